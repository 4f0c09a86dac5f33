"""The slot pool: who holds which accelerators and how many CPU threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from lit_hydra_bridge.errors import SweepSettingsError
from lit_hydra_bridge.sweep.job import Slot

# Parts of a device are kept in whole numbers, so that three thirds are one.
_WHOLE: Final = 1000


@dataclass
class SlotPool:
    """Gives slots out and takes them back.

    Args:
        devices: ids of the accelerators.
        n_jobs: the most slots at a time.
        threads: CPU threads of each slot.
    """

    devices: Sequence[str]
    n_jobs: int
    threads: int
    _free: dict[str, int] = field(init=False)
    _held: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._free = dict.fromkeys(self.devices, _WHOLE)

    @property
    def has_room(self) -> bool:
        """Whether one more job may run, if its devices are free."""
        return self._held < self.n_jobs

    def check(self, needed: float) -> None:
        """Refuse what can never be given.

        Raises:
            SweepSettingsError: a job needs more devices than there are.
        """
        if needed > len(self._free):
            raise SweepSettingsError(
                f"hydra.launcher.devices_per_job={needed:g}: a job needs {needed:g} devices, and there "
                f"{_are(len(self._free))} ({', '.join(self._free) or 'none visible'})"
            )

    def take(self, needed: float) -> Slot | None:
        """Return a slot with so many devices; None while too few are free."""
        if not self.has_room:
            return None
        share = _WHOLE if needed >= 1 else _share(needed)
        fitting = [device for device, free in self._free.items() if free >= share]
        # Shared devices are filled up before a new one is begun, so that whole ones stay free.
        chosen = sorted(fitting, key=lambda device: self._free[device])[:1] if 0 < needed < 1 else fitting
        chosen = chosen[: _count(needed)]
        if len(chosen) < _count(needed):
            return None
        for device in chosen:
            self._free[device] -= share
        self._held += 1
        return Slot(devices=tuple(chosen), share=share / _WHOLE if 0 < needed < 1 else 1.0, threads=self.threads)

    def give_back(self, slot: Slot) -> None:
        """Take back what `take` gave."""
        for device in slot.devices:
            self._free[device] += round(slot.share * _WHOLE)
        self._held -= 1


def sized_pool(
    devices: Sequence[str], needed: float | None, *, jobs: int, cores: int, n_jobs: int | None, threads: int | None
) -> SlotPool:
    """Return a pool that fits a machine and a batch.

    Args:
        devices: ids of the accelerators.
        needed: how many each job needs; None where each job's config says that itself.
        jobs: how many there are in the batch.
        cores: that may be used.
        n_jobs: the most jobs at a time, where that was said.
        threads: CPU threads of each job, where that was said.

    Raises:
        SweepSettingsError: a job needs more devices than there are.
    """
    if not devices or needed == 0:
        fitting = max(1, cores // (threads or 1))
    elif needed is None:
        fitting = len(devices)
    else:
        fitting = len(devices) // int(needed) if needed >= 1 else len(devices) * (_WHOLE // _share(needed))
    at_a_time = n_jobs or max(1, fitting)
    busy = max(1, min(at_a_time, jobs, fitting if devices and needed else at_a_time))
    pool = SlotPool(devices, at_a_time, threads or max(1, cores // busy))
    pool.check(needed or 0.0)
    return pool


def _share(needed: float) -> int:
    """The part of one device, in thousandths; a third is 333 of them."""
    return min(_WHOLE, max(1, int(needed * _WHOLE + 1e-6)))


def _count(needed: float) -> int:
    return int(needed) if needed >= 1 else int(needed > 0)


def _are(count: int) -> str:
    return f"is {count}" if count == 1 else f"are {count}"

"""Which attempts ran beside each other, on what, and how busy the sweep kept its slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lit_hydra_bridge.results.row import RUNNING, JobAttempt, JobRow

_NO_TIME: Final = 1e-9


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An attempt in the timeline."""

    attempt: JobAttempt
    lane: int
    ended: float


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """All attempts that are known to have begun and ended, or that run."""

    lanes: list[str]
    """What each lane is: an accelerator, or a slot that is only counted."""
    of_jobs: list[list[Placed]]
    started: float | None = None
    """Seconds since the epoch, of the first."""
    busy_s: float = 0.0
    """What all attempts took together."""
    span_s: float = 0.0
    """For how long any of them ran: the pauses between a sweep and its resumption don't count."""

    @property
    def utilisation(self) -> float:
        """The part of the time for which the slots had a job."""
        return self.busy_s / max(_NO_TIME, self.span_s * len(self.lanes))


def timeline(rows: Sequence[JobRow], now: float) -> Timeline:
    """Lay the attempts out on as few lanes as they need.

    Args:
        rows: the jobs.
        now: when the folder was read: up to then the running ones are drawn.
    """
    begun = [(row_at, attempt, end) for row_at, row in enumerate(rows) for attempt in row.attempts
             if (end := _end(attempt, now)) is not None]  # fmt: skip
    begun.sort(key=lambda each: each[1].started)
    hosts = {attempt.host for _, attempt, _ in begun}
    free_at: dict[tuple[str, int], float] = {}
    placed: list[tuple[int, JobAttempt, float, tuple[str, int]]] = []
    for row_at, attempt, end in begun:
        lane = _free_lane(_device(attempt, with_host=len(hosts) > 1), attempt.started, free_at)
        free_at[lane] = end
        placed.append((row_at, attempt, end, lane))
    order = sorted(free_at)
    several = {device for device, place in order if place > 0}
    of_jobs: list[list[Placed]] = [[] for _ in rows]
    for row_at, attempt, end, lane in placed:
        of_jobs[row_at].append(Placed(attempt=attempt, lane=order.index(lane), ended=end))
    return Timeline(
        lanes=[_lane_name(device, place, device in several) for device, place in order],
        of_jobs=of_jobs,
        started=begun[0][1].started if begun else None,
        busy_s=sum(end - attempt.started for _, attempt, end in begun),
        span_s=_covered([(attempt.started, end) for _, attempt, end in begun]),
    )


def _end(attempt: JobAttempt, now: float) -> float | None:
    end = now if attempt.ended is None and attempt.outcome == RUNNING else attempt.ended
    return None if end is None else max(end, attempt.started)


def _device(attempt: JobAttempt, with_host: bool) -> str:
    device = f"gpu {','.join(attempt.devices)}" if attempt.devices else "slot"
    return f"{attempt.host} {device}" if with_host else device


def _free_lane(device: str, start: float, free_at: dict[tuple[str, int], float]) -> tuple[str, int]:
    place = 0
    while free_at.get((device, place), start) > start:
        place += 1
    return device, place


def _lane_name(device: str, place: int, is_shared: bool) -> str:
    return f"{device} {place + 1}" if device.endswith("slot") else f"{device} · {place + 1}" if is_shared else device


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """Return for how long at least one of the spans, which are sorted by their starts, lasted."""
    covered, until = 0.0, float("-inf")
    for start, end in spans:
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered

"""run.json in a run's folder: how the run ended, where its checkpoints are, and its record.

The recorder writes it, as far as it knows: the start when the Trainer is made, each checkpoint when it is saved, the
record while it trains, the outcome when the task has ended. `reload` and `results` read it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.files import opened, write_file
from lit_hydra_bridge.strict_json import dumps, loads

RUN_FILE: Final = "run.json"
RUNNING: Final = "running"
_FORMAT: Final = "lit-hydra-bridge run"
_VERSION: Final = 1
_OUTCOMES: Final = ("completed", "failed", "interrupted", RUNNING)
MAX_BYTES: Final = 1 << 26
_HEAD: Final = 200
_MOST_CHECKPOINTS: Final = 100
_END_OF_TIME: Final = 1e11


class ForeignRunFileError(Exception):
    """The file is not ours."""


@dataclass(frozen=True)
class NotedCheckpoint:
    """A checkpoint that the run has saved."""

    path: Path
    """Where it is now, or would be."""
    run_id: str
    """Of its record: a later run may have written another one there."""


@dataclass(frozen=True, kw_only=True)
class RunFile:
    """What a run.json says."""

    started: float | None = None
    """Seconds since the epoch."""
    ended: float | None = None
    outcome: str | None = None
    """completed, failed, interrupted, or running until it has ended; None in a job of one of our launchers, whose
    job.json tells."""
    reason: str = ""
    process: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: tuple[NotedCheckpoint, ...] = ()
    """In the order in which they were first saved."""
    log_folders: tuple[str, ...] = ()
    record: Any = None
    """As `RunRecord.to_dict` gives it; None where the run has not come that far."""

    @property
    def outcome_now(self) -> tuple[str, str]:
        """The outcome and its reason, in view of whether the run's process is still there."""
        if self.outcome != RUNNING:
            return self.outcome or "unknown", self.reason
        alive = _is_alive(self.process)
        if alive is None:
            return (
                "unknown",
                f"it began on {self.process.get('host')}; whether it still runs is not known here",
            )
        if alive:
            return RUNNING, ""
        return "killed", "its process is gone without a word: killed, out of memory, os._exit, or a reboot"


def read_run_file(folder: str | os.PathLike[str]) -> RunFile | None:
    """Return what the run.json in a folder says; None where there is none of ours that can be read."""
    path = Path(folder, RUN_FILE)
    with suppress(OSError, ForeignRunFileError), opened(path) as file:
        return parse_run_file(file.read(MAX_BYTES + 1), path.parent)
    return None


def is_run_folder(folder: str | os.PathLike[str]) -> bool:
    """Tell, at the cost of its first bytes, whether a folder's run.json is one of ours: others use that name too."""
    with suppress(OSError), opened(Path(folder, RUN_FILE)) as file:
        return _FORMAT.encode() in file.read(_HEAD)
    return False


def parse_run_file(content: bytes, folder: Path) -> RunFile:
    """Return what the content of a run.json says.

    Args:
        content: of the file.
        folder: where it lies now.

    Raises:
        ForeignRunFileError: it is not one of ours, or damaged.
    """
    data = _parsed(content)
    here, then = folder.absolute(), str(data.get("folder"))
    return RunFile(
        started=_moment(data.get("started")),
        ended=_moment(data.get("ended")),
        outcome=found if (found := data.get("outcome")) in _OUTCOMES else None,
        reason=str(data.get("reason") or ""),
        process=data["process"] if isinstance(data.get("process"), dict) else {},
        checkpoints=tuple(
            NotedCheckpoint(path, run_id)
            for place, run_id in _saved(data)
            if (path := _path_now(place, here, then)) is not None
        ),
        log_folders=tuple(
            str(path) for each in _list(data, "logs") if (path := _path_now(str(each), here, then)) is not None
        ),
        record=data.get("record"),
    )


def _parsed(content: bytes) -> dict[str, Any]:
    if len(content) > MAX_BYTES:
        raise ForeignRunFileError(f"it has more than {MAX_BYTES} bytes")
    try:
        data = loads(content)
    except ValueError as error:
        raise ForeignRunFileError(f"it is no JSON that can be read ({str(error)[:200]})") from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise ForeignRunFileError(f"it was not written by lit-hydra-bridge: its format is not {_FORMAT!r}")
    return {str(key): value for key, value in data.items()}


def _list(data: dict[str, Any], key: str) -> list[Any]:
    found = data.get(key)
    return found if isinstance(found, list) else []


def _saved(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the path and the run of each checkpoint, each pair once."""
    found = [each for each in _list(data, "checkpoints") if isinstance(each, dict)]
    return list(dict.fromkeys((str(each.get("path")), str(each.get("run_id"))) for each in found))


def _moment(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _END_OF_TIME else None  # type: ignore[operator, arg-type]


def _path_now(path: str, folder: Path, then: str) -> Path | None:
    """Return a path of the file: relative ones are the folder's own; others may have moved along with it."""
    if "\0" in path + then or "://" in path:
        return None
    place = folder / path
    if Path(path).is_absolute() and Path(then).is_absolute() and not os.path.lexists(path):
        moved = Path(os.path.normpath(folder / os.path.relpath(path, then)))
        return moved if os.path.lexists(moved) else place
    return place


# --- writing


class RunFileWriter:
    """Writes one run's run.json, also from a process that the run has started; each time beside it, and renamed.

    Args:
        folder: the run's.
        start: what is known from the start, with `run_id` and `folder`.
    """

    def __init__(self, folder: Path, start: Mapping[str, Any]) -> None:
        self.folder = folder
        self._path = folder / RUN_FILE
        self._known: dict[str, Any] = {"format": _FORMAT, "version": _VERSION, **start}

    def write(self, changes: Mapping[str, Any], checkpoint: tuple[str, str] | None = None) -> None:
        """Change keys of the file.

        Args:
            changes: the keys and their values.
            checkpoint: one more, its path and its record's run_id.

        Raises:
            OSError: it can't be written.
            ForeignRunFileError: there is one that is not ours, and it is left alone.
        """
        before = self._read()
        is_ours = before is not None and before.get("run_id") == self._known.get("run_id")
        data = {**(before if is_ours and before else self._known), **changes}
        # What earlier runs in this folder have saved is still there.
        saved = dict.fromkeys([*_saved(before or {}), *_saved(self._known), *([checkpoint] if checkpoint else [])])
        data["checkpoints"] = [{"path": path, "run_id": run_id} for path, run_id in [*saved][-_MOST_CHECKPOINTS:]]
        self._known = {key: value for key, value in data.items() if key != "record"}
        write_file(self._path, dumps(data))

    def has_record(self) -> bool:
        """Tell whether this run's record is in the file, whichever process has written it."""
        with suppress(OSError, ForeignRunFileError):
            before = self._read() or {}
            return before.get("run_id") == self._known["run_id"] and before.get("record") is not None
        return False

    def _read(self) -> dict[str, Any] | None:
        try:
            return _parsed(self._path.read_bytes())
        except FileNotFoundError:
            return None


# --- the run's process


def this_process() -> dict[str, Any]:
    """Return what tells this process from any other, later ones with its number included."""
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "namespace": _namespace(), "start": _start_of(pid)}


def _is_alive(process: Mapping[str, Any]) -> bool | None:
    """Tell whether a process still runs; None where that can't be told from here."""
    pid = process.get("pid")
    if not isinstance(pid, int) or pid <= 0 or process.get("host") != socket.gethostname():
        return None
    if process.get("namespace") != _namespace():
        return None
    if process.get("start"):
        return bool(_start_of(pid) == process["start"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        pass
    return True


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """Return when a process began, as the system counts it; empty where it has ended, or there is no /proc."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return "" if state == b"Z" else f"{boot} {rest[18].decode()}"
    except (OSError, ValueError, IndexError):
        return ""


def now() -> float:
    """Return the time as run.json has it."""
    return round(time.time(), 3)

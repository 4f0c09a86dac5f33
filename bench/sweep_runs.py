"""Runs one sweep with one launcher, and reads what it left."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from process_tree import Run, Watch, watch
from sweep_peers import Peer

TRIVIAL = "task=trivial"
STUCK_S = 180
TAIL_BYTES = 20_000


class SweepFailedError(Exception):
    """A sweep that was to be measured did not complete; the message says what it said last."""


@dataclass(frozen=True)
class Options:
    """What the command line chooses."""

    jobs: int
    most: tuple[tuple[str, int], ...]
    """Launchers whose name contains the text get at most so many."""
    repeats: int
    peers: tuple[Peer, ...]
    cpu_jobs: int
    scale_jobs: tuple[int, ...]
    faults: tuple[str, ...]
    """Texts of which a fault's name has to contain one; none: all faults."""

    def jobs_of(self, peer: Peer) -> int:
        """Return how many jobs a launcher is given."""
        limits = [number for text, number in self.most if text in peer.name] or [peer.jobs or self.jobs]
        return min(self.jobs, *limits)


@dataclass
class Sweep:
    """One sweep that has ended."""

    run: Run
    said: str
    """The last line of its output."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Number -> what the job noted at its end: `began`, `ended`, `pid`."""
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Number -> our job.json."""
    launch: dict[str, Any] = field(default_factory=dict)
    """What the launcher's process noted."""

    @property
    def first_s(self) -> float:
        """From the process' start to the first line of the first job."""
        return min(job["began"] for job in self.jobs.values()) - self.run.begun

    @property
    def first_after_launch_s(self) -> float:
        """From the launch to the first line of the first job."""
        return min(job["began"] for job in self.jobs.values()) - float(self.launch["launched"])


class Bench:
    """Runs sweeps, one at a time, in a folder of its own.

    Args:
        folder: has the app.
    """

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder, self.options = folder, options
        self.sweep_folder = folder / "sweep"
        self._problems: dict[object, str | None] = {}

    def has(self, *peers: Peer) -> bool:
        """Whether all of them are to be measured."""
        return all(peer in self.options.peers for peer in peers)

    def problem(self, peer: Peer) -> str | None:
        """Try a launcher with one job; return why it can't be measured. This also compiles what it imports."""
        key = (type(peer), peer.overlay, peer.overrides[:1])
        if key not in self._problems:
            say(f"trying {peer.name}")
            self._problems[key] = peer.overlay.install() if peer.overlay else None
            if self._problems[key] is None:
                try:
                    self.measured(peer, 1, TRIVIAL)
                except SweepFailedError as error:
                    self._problems[key] = str(error)
            if problem := self._problems[key]:
                say(f"not available: {problem}")
        return self._problems[key]

    def measured(
        self, peer: Peer, jobs: int, *more: str, watching: Watch | None = None, env: dict[str, str] | None = None
    ) -> Sweep:
        """Run a sweep to its end.

        Raises:
            SweepFailedError: it did not complete.
        """
        watching = replace(watching or Watch(), limit_s=STUCK_S, start_s=STUCK_S, progress=self._newest_folder)
        sweep = self.sweep(peer, jobs, *more, watching=watching, env=env)
        if sweep.run.status != 0 or len(sweep.jobs) != jobs:
            ended = "hung" if sweep.run.status is None else f"exit status {sweep.run.status}"
            raise SweepFailedError(f"{ended}, {len(sweep.jobs)} of {jobs} jobs: {sweep.said}")
        return sweep

    def sweep(self, peer: Peer, jobs: int, *more: str, watching: Watch, env: dict[str, str] | None = None) -> Sweep:
        """Run a sweep, however it ends."""
        shutil.rmtree(self.sweep_folder, ignore_errors=True)
        note, output = self.folder / "launch.json", self.folder / "output.txt"
        note.unlink(missing_ok=True)
        run = watch(
            peer.command(self.folder, self.sweep_folder, jobs, *more),
            cwd=self.folder,
            env={**peer.environment(self.folder), **(env or {})},
            output=output,
            options=watching,
        )
        sweep = Sweep(run, last_line(output), self._read("times.json"), self._read("job.json"))
        sweep.launch = json.loads(note.read_text()) if note.exists() else {}
        output.unlink()
        say(f"    took {run.wall:.1f} s")
        shutil.rmtree(self.sweep_folder, ignore_errors=True)
        return sweep

    def finished(self, number: str = "*") -> int:
        """Return how many jobs of the running sweep have noted their end."""
        return sum(1 for _ in self.sweep_folder.glob(f"{number}/times.json"))

    def _newest_folder(self) -> int:
        # Of one folder: to look into thousands of jobs' folders all the time would slow the sweep.
        try:
            return self.sweep_folder.stat().st_mtime_ns
        except OSError:
            return 0

    def _read(self, name: str) -> dict[str, dict[str, Any]]:
        return {path.parent.name: json.loads(path.read_text()) for path in self.sweep_folder.glob(f"*/{name}")}


def last_line(output: Path) -> str:
    """Return the last line that is not empty, without colours."""
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - TAIL_BYTES))
        text = file.read().decode(errors="replace")
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r", "\n").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def say(text: str) -> None:
    """Tell about the progress."""
    print(text, file=sys.stderr, flush=True)


def cut(text: str, length: int = 60) -> str:
    """Return a text of at most this length."""
    return text if len(text) <= length else text[: length - 1] + "…"


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return the median, and the least and the most."""
    if not values:
        return "-"
    ordered = sorted(values)
    return f"{median(values):.{digits}f} ({ordered[0]:.{digits}f}..{ordered[-1]:.{digits}f})"


def median(values: Sequence[float]) -> float:
    """Return the value in the middle."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

"""The board of a sweep whose output goes to a file, or to a terminal that can't move its cursor."""

from __future__ import annotations

import os
import sys
import time
from typing import Final

from lit_hydra_bridge.sweep.board.lines import (
    count_line,
    ended_line,
    job_output,
    more_skipped_line,
    retry_line,
    skipped_line,
    stamped,
    started_line,
)
from lit_hydra_bridge.sweep.board.state import EndedRow, RunningRow, Snapshot
from lit_hydra_bridge.sweep.board.terminal import Terminal

_SECONDS_BETWEEN_COUNTS: Final = 60.0
_SECONDS_OF_QUIET: Final = 2.0
_MOST_SKIPPED_LINES: Final = 20
_COLOURS: Final = (36, 35, 34, 32, 33)


class SkippedJobs:
    """Says of the first few jobs that they are skipped, and of the rest how many they are."""

    def __init__(self) -> None:
        self._said = 0
        self._unsaid = 0
        self._newest = 0.0

    def line(self, row: EndedRow) -> str | None:
        """Return what to say about this one, if anything."""
        self._newest = time.monotonic()
        if self._said < _MOST_SKIPPED_LINES:
            self._said += 1
            return skipped_line(row)
        self._unsaid += 1
        return None

    def rest(self, *, quiet: bool = False) -> str | None:
        """Return what to say about the others, with `quiet` only when they have stopped coming."""
        if not self._unsaid or (quiet and time.monotonic() - self._newest < _SECONDS_OF_QUIET):
            return None
        count, self._unsaid = self._unsaid, 0
        return more_skipped_line(count)


class PlainBoard:
    """Prints a line for whatever happens, and once a minute how far the sweep is."""

    def __init__(self) -> None:
        self._terminal = Terminal(sys.stdout)
        self._coloured = self._terminal.isatty() and not os.environ.get("NO_COLOR")
        self._skipped = SkippedJobs()
        self._counted = time.monotonic()

    def start(self) -> None:
        self._counted = time.monotonic()

    def update(self, snapshot: Snapshot, *, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self._counted >= _SECONDS_BETWEEN_COUNTS:
            self._counted = now
            self._print(count_line(snapshot))
        elif rest := self._skipped.rest(quiet=True):
            self._write(stamped(rest))

    def started(self, row: RunningRow) -> None:
        self._print(started_line(row))

    def ended(self, row: EndedRow) -> None:
        self._print(ended_line(row))

    def retrying(self, row: EndedRow, next_attempt: int, attempts: int) -> None:
        self._print(retry_line(row, next_attempt, attempts))

    def skipped(self, row: EndedRow) -> None:
        if line := self._skipped.line(row):
            self._write(stamped(line))

    def say(self, text: str) -> None:
        self._print(text)

    def output(self, number: int, line: str) -> None:
        if rest := self._skipped.rest():
            self._write(stamped(rest))
        text = job_output(line, colours=self._coloured)
        if self._coloured:
            self._write(f"\x1b[{_COLOURS[number % len(_COLOURS)]}m#{number}|\x1b[0m {text}\x1b[0m")
        else:
            self._write(f"#{number}| {text}")

    def suspend(self) -> None:
        self._terminal.flush()

    def resume(self) -> None:
        pass

    def stop(self) -> None:
        if rest := self._skipped.rest():
            self._write(stamped(rest))

    def _print(self, text: str) -> None:
        if rest := self._skipped.rest():
            self._write(stamped(rest))
        self._write(stamped(text))

    def _write(self, text: str) -> None:
        self._terminal.write(text + "\n")
        self._terminal.flush()

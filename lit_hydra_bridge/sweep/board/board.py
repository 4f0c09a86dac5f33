"""The boards of a sweep: what a person sees while it runs, live on a terminal or as plain lines.

No board starts a thread, since the launcher forks; and none raises because its terminal is gone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from lit_hydra_bridge.sweep.board.state import EndedRow, RunningRow, Snapshot
from lit_hydra_bridge.sweep.board.terminal import Terminal, console_on

_UNABLE: Final = ("dumb", "unknown")
_WIDTH_OF_A_FILE: Final = 120


class Board(Protocol):
    """Is told all that happens in a sweep, and shows it."""

    def start(self) -> None:
        """Begin to show."""

    def update(self, snapshot: Snapshot, *, force: bool = False) -> None:
        """Take a new state; it is shown when it's time, with `force` at once."""

    def started(self, row: RunningRow) -> None:
        """A job's process has begun."""

    def ended(self, row: EndedRow) -> None:
        """A job has ended for the last time."""

    def retrying(self, row: EndedRow, next_attempt: int, attempts: int) -> None:
        """An attempt has ended as `row` says, and another one will follow."""

    def skipped(self, row: EndedRow) -> None:
        """A job that had completed before is not run again."""

    def say(self, text: str) -> None:
        """Something that a person should know."""

    def output(self, number: int, line: str) -> None:
        """A line that a job printed."""

    def suspend(self) -> None:
        """Give back the standard streams, as a process that is about to be forked should have them."""

    def resume(self) -> None:
        """Go on after `suspend`."""

    def stop(self) -> None:
        """End, and leave the terminal as it was. It may be called twice."""


@contextmanager
def paused(board: Board) -> Iterator[None]:
    """Suspend a board around a fork."""
    board.suspend()
    try:
        yield
    finally:
        board.resume()


def make_board(progress: str) -> Board:
    """Return the board for `auto`, `live`, `plain` or `none`.

    Auto is live on a terminal, else plain. No terminal that can't move its cursor gets a live board.
    """
    if progress not in ("auto", "live", "plain", "none"):
        raise ValueError(f"progress is {progress!r}; it can be auto, live, plain or none")
    if progress == "none":
        return NoBoard()
    able = os.environ.get("TERM", "").lower() not in _UNABLE
    wanted = progress == "live" or (progress == "auto" and Terminal(sys.stdout).isatty())
    # Not before: dataclasses take their time to import, and a sweep shows only one of them.
    if able and wanted:
        from lit_hydra_bridge.sweep.board.live import LiveBoard

        return LiveBoard()
    from lit_hydra_bridge.sweep.board.plain import PlainBoard

    return PlainBoard()


def print_summary(rows: Sequence[EndedRow], *, best: int | None, direction: str | None, limit: int = 20) -> None:
    """Print the table of a sweep that has ended to the standard output."""
    from lit_hydra_bridge.sweep.board.summary import summary_view

    terminal = Terminal(sys.stdout)
    console = console_on(terminal)
    width = console.width if terminal.isatty() else max(console.width, _WIDTH_OF_A_FILE)
    console.print(summary_view(rows, width=width, best=best, direction=direction, limit=limit), crop=False)


class NoBoard:
    """Shows nothing."""

    def start(self) -> None:
        pass

    def update(self, snapshot: Snapshot, *, force: bool = False) -> None:
        pass

    def started(self, row: RunningRow) -> None:
        pass

    def ended(self, row: EndedRow) -> None:
        pass

    def retrying(self, row: EndedRow, next_attempt: int, attempts: int) -> None:
        pass

    def skipped(self, row: EndedRow) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def output(self, number: int, line: str) -> None:
        pass

    def suspend(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def stop(self) -> None:
        pass

"""The board of a sweep on a terminal: a picture that stays at the bottom, and lines that scroll by above it."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Final

from lit_hydra_bridge.sweep.board.lines import ended_line, job_output, retry_line
from lit_hydra_bridge.sweep.board.plain import SkippedJobs
from lit_hydra_bridge.sweep.board.state import EndedRow, RunningRow, Snapshot
from lit_hydra_bridge.sweep.board.terminal import Redirection, Terminal, console_on
from lit_hydra_bridge.sweep.job import Outcome
from lit_hydra_bridge.text import printable

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_SECONDS_BETWEEN_PICTURES: Final = 0.25
_SECONDS_BETWEEN_PRINTS: Final = 0.05
_COLOURS: Final = ("cyan", "magenta", "blue", "green", "yellow")

log = logging.getLogger(__name__)


class LiveBoard:
    """Draws what runs, at most four times a second and only when it is told of something.

    Failures and messages are printed above the picture, and so is what this process writes to the standard streams
    or logs to them; that is what `suspend` undoes.
    """

    def __init__(self) -> None:
        self._terminal = Terminal(sys.stdout)
        self._console = console_on(self._terminal, force=True)
        self._redirection = Redirection(self._emit)
        self._skipped = SkippedJobs()
        self._live: Live | None = None
        self._snapshot: Snapshot | None = None
        self._pending: list[Text] = []
        self._running = False
        self._drawable = True
        self._drawn = self._printed = float("-inf")

    def start(self) -> None:
        self._running = True
        self._redirection.on()

    def update(self, snapshot: Snapshot, *, force: bool = False) -> None:
        self._snapshot = snapshot
        now = time.monotonic()
        if not self._running or not (force or now - self._drawn >= _SECONDS_BETWEEN_PICTURES):
            return
        self._drawn = now
        self._say_skipped(quiet=True)
        self._print_pending()
        self._draw()

    def started(self, row: RunningRow) -> None:
        self._say_skipped()

    def ended(self, row: EndedRow) -> None:
        if row.outcome is not Outcome.COMPLETED:
            self._add_event(ended_line(row), "yellow" if row.outcome is Outcome.INTERRUPTED else "red")
        else:
            self._say_skipped()

    def retrying(self, row: EndedRow, next_attempt: int, attempts: int) -> None:
        self._add_event(retry_line(row, next_attempt, attempts), "yellow")

    def skipped(self, row: EndedRow) -> None:
        if line := self._skipped.line(row):
            self._add_line(line, "dim")

    def say(self, text: str) -> None:
        self._add_event(printable(text), "")

    def output(self, number: int, line: str) -> None:
        from rich.text import Text

        self._say_skipped()
        self._add(Text.assemble((f"#{number}| ", _COLOURS[number % len(_COLOURS)]), _decoded(line)))

    def suspend(self) -> None:
        self._redirection.off()
        self._terminal.flush()

    def resume(self) -> None:
        if self._running:
            self._redirection.on()

    def stop(self) -> None:
        if not self._running:
            return
        self._running = False
        try:
            self._redirection.finish()
            self._say_skipped()
            self._print_pending()
        finally:
            self._redirection.off()
            self._end_picture()

    def _say_skipped(self, *, quiet: bool = False) -> None:
        if rest := self._skipped.rest(quiet=quiet):
            self._add_line(rest, "dim")

    def _add_event(self, text: str, style: str) -> None:
        self._say_skipped()
        self._add_line(text, style)

    def _add_line(self, text: str, style: str) -> None:
        from rich.text import Text

        self._add(Text.assemble((f"[{time.strftime('%H:%M:%S')}] ", "dim"), (text, style)))

    def _emit(self, line: str) -> None:
        self._add(_decoded(line))

    def _add(self, text: Text) -> None:
        """Print at once, unless much comes in little time: each print draws the picture anew."""
        self._pending.append(text)
        if time.monotonic() - self._printed >= _SECONDS_BETWEEN_PRINTS:
            self._print_pending()

    def _print_pending(self) -> None:
        from rich.text import Text

        if not self._pending or self._terminal.gone:
            self._pending.clear()
            return
        text = Text("\n").join(self._pending)
        self._pending.clear()
        # soft_wrap: the terminal breaks long lines, so that a path can be copied whole.
        self._console.print(text, soft_wrap=True)
        self._printed = time.monotonic()

    def _draw(self) -> None:
        from rich.live import Live

        from lit_hydra_bridge.sweep.board.view import live_view

        if self._snapshot is None or self._terminal.gone or not self._drawable:
            return
        try:
            width, height = self._console.size
            # A line less than there are, so that the newest message is seen.
            picture = live_view(self._snapshot, width, max(1, height - 1))
            if self._live is None:
                self._live = Live(
                    console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
                )
                self._live.start()
            self._live.update(picture, refresh=True)
        except Exception:  # a sweep of days must not end because of its picture
            self._drawable = False
            self._end_picture()
            log.warning("The table of running jobs can't be drawn and is off; the sweep goes on.", exc_info=True)

    def _end_picture(self) -> None:
        """Leave the header alone on the screen, and the cursor visible below it."""
        live, self._live = self._live, None
        if live is None:
            return
        try:
            if self._snapshot is not None and self._drawable:
                from lit_hydra_bridge.sweep.board.grid import Lines
                from lit_hydra_bridge.sweep.board.view import header_lines

                live.update(Lines(header_lines(self._snapshot, self._console.width)))
            live.stop()
        except Exception:
            self._terminal.write("\n\x1b[?25h")


def _decoded(line: str) -> Text:
    from rich.ansi import AnsiDecoder

    return AnsiDecoder().decode_line(job_output(line, colours=True))

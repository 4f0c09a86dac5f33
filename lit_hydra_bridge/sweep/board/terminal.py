"""Writing to a terminal that may go away, and keeping others' lines out of a live picture."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, Final, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

_MOST_UNFINISHED: Final = 65536


class Terminal:
    """A text stream that never raises: once it can't be written to, it swallows everything.

    It also says nothing in a forked child, so that one that unwinds can't draw over its parent's picture.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.gone = stream is None
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self._pid = os.getpid()

    def write(self, text: str) -> int:
        """Write; what the encoding can't express is escaped."""
        self._attempt(lambda stream: stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding)))
        return len(text)

    def flush(self) -> None:
        """Flush."""
        self._attempt(lambda stream: stream.flush())

    def isatty(self) -> bool:
        """Tell whether it is a terminal that is still there."""
        try:
            return not self.gone and self.stream is not None and self.stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        """Return the stream's own."""
        if self.stream is None:
            raise OSError("there is no standard output")
        return self.stream.fileno()

    def _attempt(self, action: Callable[[TextIO], object]) -> None:
        if self.gone or self.stream is None or os.getpid() != self._pid:
            return
        try:
            action(self.stream)
        except (BlockingIOError, RuntimeError):  # a full pipe, or a signal came amid a write: this text is lost
            pass
        except (OSError, ValueError):
            self.gone = True


def console_on(terminal: Terminal, *, force: bool = False) -> Console:
    """Return a console that prints text as it is; with `force` in colours whatever the stream is."""
    from rich.console import Console

    return Console(
        file=cast(IO[str], terminal),
        force_terminal=True if force else None,
        force_jupyter=False,
        highlight=False,
        markup=False,
        emoji=False,
    )


class Above:
    """Stands for sys.stdout or sys.stderr while a picture is live: `emit` prints whole lines above it."""

    def __init__(self, stream: TextIO, emit: Callable[[str], None]) -> None:
        self._stream = stream
        self._emit = emit
        self._unfinished = ""
        self._pid = os.getpid()
        self.active = True

    def write(self, text: str) -> int:
        """Take text; an unfinished line waits for its end."""
        if not self.active or os.getpid() != self._pid:
            return self._stream.write(text)
        *lines, rest = (self._unfinished + text).split("\n")
        if len(rest) > _MOST_UNFINISHED:
            lines, rest = [*lines, rest], ""
        # Of a progress bar that overwrites itself, the last state is enough.
        self._unfinished = rest[rest[:-1].rfind("\r") + 1 :]
        for line in lines:
            self._emit(line)
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush what went past us."""
        if not self.active or os.getpid() != self._pid:
            self._stream.flush()

    def finish(self) -> None:
        """Print the unfinished line."""
        rest, self._unfinished = self._unfinished, ""
        if rest:
            self._emit(rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Redirection:
    """Puts `Above` in the place of the standard streams and of the log handlers that write to them, and back."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._proxies: dict[str, tuple[TextIO, Above]] = {}

    def on(self) -> None:
        """Redirect those of the two streams that are terminals."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            known = self._proxies.get(name)
            if stream is None or not _is_terminal(stream) or isinstance(stream, Above):
                continue
            proxy = known[1] if known and known[0] is stream else Above(stream, self._emit)
            self._proxies[name] = stream, proxy
            proxy.active = True
            setattr(sys, name, proxy)
            _swap_in_handlers(stream, cast(TextIO, proxy))

    def off(self) -> None:
        """Restore the very objects that were there; whoever kept one of ours writes through it."""
        for name, (stream, proxy) in self._proxies.items():
            proxy.active = False
            if getattr(sys, name) is proxy:
                setattr(sys, name, stream)
            _swap_in_handlers(cast(TextIO, proxy), stream)

    def finish(self) -> None:
        """Print unfinished lines."""
        for _, proxy in self._proxies.values():
            proxy.finish()


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (OSError, ValueError, AttributeError):
        return False


def _swap_in_handlers(old: TextIO, new: TextIO) -> None:
    # Not by setStream, which flushes: the old stream may be a terminal that is gone.
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler) and handler.stream is old:
                handler.stream = new

"""Thousands of lines in columns: what is drawn once needs no pictures of rich's, only its colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lit_hydra_bridge.sweep.board.grid import GAP, Column, Line, Span, column_widths, fit, width_of

if TYPE_CHECKING:
    from rich.console import Console

_INDENT = 1


class CellColumn:
    """Collects cells, each of one style.

    Args:
        title: what stands above it.
        least: the least width that makes sense; None: it must not be cut.
        ideal: what it gets before the others may grow; None: all that its widest cell needs.
        rank: 0: it stays. Of the others, the highest goes first where there is no room.
        right: whether its cells stand at the right.
    """

    def __init__(
        self, title: str, *, least: int | None = None, ideal: int | None = None, rank: int = 0, right: bool = False
    ) -> None:
        self.title, self.right = title, right
        self.cells: list[Span] = []
        self._least, self._ideal, self._rank = least, ideal, rank

    def add(self, text: str, style: str = "") -> None:
        """Add a cell."""
        self.cells.append((text, style))

    def asks(self) -> Column:
        """Return how much of the width it asks for."""
        widest = max((width_of(text) for text, _ in self.cells), default=0)
        return Column.asking(
            self.title, self._draw, widest, least=self._least, ideal=self._ideal, rank=self._rank, right=self.right
        )

    def _draw(self, row: int, size: int) -> Line:
        return [_drawn(self.cells[row], size, self.right)]


def _drawn(span: Span, size: int, right: bool) -> Span:
    """Return a cell in a width, filled up to it unless it is negative: of ASCII, as nearly all are, in one step."""
    text, style = span
    if len(text) <= abs(size) and text.isascii():
        return (text.rjust(size) if right else text.ljust(size)), style
    return "".join(part for part, _ in fit([span], abs(size), right=right, pad=size > 0)), style


def fitted(columns: Sequence[CellColumn], rows: int, width: int) -> tuple[list[Line], list[str]]:
    """Return a line of titles and a line for each row, none wider than `width`; and the titles without room."""
    asked = [column.asks() for column in columns]
    sizes = column_widths(asked, width - _INDENT)
    shown = [(columns[index], sizes[index]) for index in range(len(columns)) if index in sizes]
    if shown and not shown[-1][0].right:
        shown[-1] = (shown[-1][0], -shown[-1][1])  # nothing follows that would have to stand in line
    before = [" " * (GAP if at else _INDENT) for at in range(len(shown))]
    titles = [(column.title, "dim") for column, _ in shown]
    lines: list[Line] = []
    for row in range(-1, rows):
        line: Line = []
        for at, (column, size) in enumerate(shown):
            text, style = _drawn(column.cells[row] if row >= 0 else titles[at], size, column.right)
            line.append((before[at] + text, style))
        lines.append(line)
    total = _INDENT + sum(sizes.values()) + GAP * (len(sizes) - 1)
    hidden = [column.title for index, column in enumerate(columns) if index not in sizes]
    return [fit(line, width, pad=False) for line in lines] if total > width else lines, hidden


def print_lines(console: Console, lines: Sequence[Line]) -> None:
    """Print lines as they are, in the console's colours."""
    paint = _painter(console)
    if console.color_system is None and not console.options.ascii_only:
        text = "\n".join("".join([text for text, _ in line]).rstrip() for line in lines)
    else:
        text = "\n".join("".join([paint(text, style) for text, style in line]).rstrip() for line in lines)
    console.file.write(f"{text}\n")
    console.file.flush()


def _painter(console: Console) -> Callable[[str, str], str]:
    """Return what puts a style's control sequences around a text; rich is asked once for each style."""
    from rich.text import Text

    around: dict[str, tuple[str, str]] = {"": ("", "")}
    to_ascii = str.maketrans("…★", "~*") if console.options.ascii_only else None

    def paint(text: str, style: str) -> str:
        if not text.strip():
            return text
        if style not in around:
            with console.capture() as captured:
                console.print(Text("x", style=style), end="")
            before, _, after = captured.get().partition("x")
            around[style] = before, after
        before, after = around[style]
        return f"{before}{text if to_ascii is None else text.translate(to_ascii)}{after}"

    return paint

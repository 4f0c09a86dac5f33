"""Lines of coloured text in columns that fit a width: what the views of a sweep are drawn with.

rich's own tables measure and wrap every cell anew for each picture, which takes too long for a live view
of a busy sweep; and which column goes first on a narrow terminal is for us to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

Span = tuple[str, str]
"""Text, and the name of its style."""
Line = list[Span]
GAP: Final = 2
_NARROWEST: Final = 4
# `optimizer.adam.lr=0.1`: the part that goes first where there is no room.
_PACKAGE: Final = re.compile(r"((?:^|[\s,])[+~]*)[\w./@:]+\.(?=\w+=)")
_ASCII: Final = str.maketrans({"━": "=", "╸": "=", "─": "-", "…": "~", "★": "*", "“": '"', "”": '"'})


@dataclass(frozen=True)
class Lines:
    """Lines as rich prints them: never parsed, wrapped or highlighted."""

    lines: Sequence[Line]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for line in self.lines:
            for text, style in line:
                yield Segment(text.translate(_ASCII) if options.ascii_only else text, console.get_style(style))
            yield Segment.line()


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column and how much of the width it asks for."""

    title: str
    draw: Callable[[int, int], Line]
    """Returns the cell of a row, by its index, in the width that the column got."""
    least: int
    ideal: int
    most: int
    rank: int = 0
    """0: it stays. Of the others, the highest goes first where there is no room."""
    right: bool = False

    @classmethod
    def asking(
        cls,
        title: str,
        draw: Callable[[int, int], Line],
        widest: int,
        *,
        least: int | None,
        ideal: int | None,
        rank: int,
        right: bool,
    ) -> Column:
        """Return a column whose widest cell is known.

        Args:
            title, draw, rank, right: as above.
            widest: of its cells.
            least: the least width that makes sense; None: it must not be cut.
            ideal: what it gets before the others may grow; None: all that its widest cell needs.
        """
        most = max(width_of(title), widest)
        least = most if least is None else min(most, least)
        ideal = most if ideal is None else max(least, min(most, ideal))
        return cls(title=title, draw=draw, least=least, ideal=ideal, most=most, rank=rank, right=right)


@dataclass(kw_only=True)
class TextColumn:
    """Collects cells of text, then gives the column."""

    title: str
    least: int | None = None
    """None: it must not be cut."""
    ideal: int | None = None
    """What it gets before the others may grow; None: all that its widest cell needs."""
    rank: int = 0
    right: bool = False
    cells: list[Line] = field(default_factory=list)

    def add(self, *spans: Span) -> None:
        """Add a cell."""
        self.cells.append(list(spans))

    def column(self) -> Column:
        """Return the column, as wide as its widest cell at most."""
        widest = max((line_width(cell) for cell in self.cells), default=0)
        return Column.asking(
            self.title, self._draw, widest, least=self.least, ideal=self.ideal, rank=self.rank, right=self.right
        )

    def _draw(self, row: int, size: int) -> Line:
        return fit(self.cells[row], size, right=self.right)


def overrides_column(texts: Sequence[str], width: int, bold: int | None = None) -> Column:
    """Return the overrides of each row; where they don't fit, keys go without the packages that they are in."""
    longest = max(9, *(width_of(text) for text in texts))

    def draw(row: int, size: int) -> Line:
        text = texts[row] if size >= longest else _without_packages(texts[row])
        return fit([(text, "bold" if row == bold else "")], size)

    ideal = min(longest, max(24, width * 2 // 5))
    return Column(title="overrides", draw=draw, least=min(longest, 18), ideal=ideal, most=longest)


def _without_packages(text: str) -> str:
    short = _PACKAGE.sub(r"\1", text)
    keys = re.findall(r"\w+(?==)", short)
    return short if len(set(keys)) == len(keys) else text


def table(columns: Sequence[Column], rows: int, width: int, indent: int = 1) -> list[Line]:
    """Return a line of titles and a line for each row, none wider than `width`."""
    sizes = column_widths(columns, width - indent)
    shown = [(column, sizes[index]) for index, column in enumerate(columns) if index in sizes]
    lines: list[Line] = [_joined([fit([(c.title, "dim")], size, right=c.right) for c, size in shown], indent)]
    for row in range(rows):
        lines.append(_joined([column.draw(row, size) for column, size in shown], indent))
    return [fit(line, width, pad=False) for line in lines]


def column_widths(columns: Sequence[Column], width: int) -> dict[int, int]:
    """Return how wide each column is, by its index; those without room are absent."""
    shown = {index: column.least for index, column in enumerate(columns)}

    def spare() -> int:
        return width - sum(shown.values()) - GAP * (len(shown) - 1)

    while spare() < 0 and (droppable := [index for index in shown if columns[index].rank]):
        del shown[max(droppable, key=lambda index: columns[index].rank)]
    while spare() < 0 and shown and max(shown.values()) > _NARROWEST:
        shown[max(shown, key=lambda index: shown[index])] -= 1
    by_rank = sorted(shown, key=lambda index: columns[index].rank)
    for wish in ("ideal", "most"):
        for index in by_rank:
            wished: int = getattr(columns[index], wish)
            shown[index] += max(0, min(wished - shown[index], spare()))
    return shown


def _joined(cells: Sequence[Line], indent: int) -> Line:
    line: Line = [(" " * indent, "")]
    for index, cell in enumerate(cells):
        line += [(" " * GAP, ""), *cell] if index else cell
    return line


def fit(line: Line, width: int, *, right: bool = False, pad: bool = True) -> Line:
    """Return the line cut to a width, with `…` where something is missing, or filled up to it."""
    spare = width - line_width(line)
    if spare < 0:
        return _cut(line, width)
    if not pad or not spare:
        return line
    filling = (" " * spare, "")
    return [filling, *line] if right else [*line, filling]


def _cut(line: Line, width: int) -> Line:
    from rich.cells import set_cell_size

    kept: Line = []
    left = width - 1
    if left < 0:
        return kept
    for text, style in line:
        size = width_of(text)
        if size > left:
            return [*kept, (set_cell_size(text, left) + "…", style)]
        kept.append((text, style))
        left -= size
    return kept


def line_width(line: Line) -> int:
    """Return how many terminal cells the line takes."""
    return sum(width_of(text) for text, _ in line)


def width_of(text: str) -> int:
    """Return how many terminal cells the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def bar(parts: Sequence[tuple[float, str]], width: int) -> Line:
    """Return a bar whose parts, each a share of 1 with its style, follow each other."""
    line: Line = []
    done, share_so_far = 0, 0.0
    for share, style in parts:
        share_so_far += share
        end = min(width, int(share_so_far * width + 1e-9))
        line.append(("━" * (end - done), style))
        done = max(done, end)
    if parts and done < width and share_so_far * width - done >= 0.5:
        line.append(("╸", parts[-1][1]))
        done += 1
    return [*line, ("─" * (width - done), "dim")]

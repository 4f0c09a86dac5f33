"""The runs that led to a checkpoint, drawn for a person: the oldest first, and below each what came of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from lit_hydra_bridge.cli.check import moment
from lit_hydra_bridge.cli.printing import is_terminal, one_line

if TYPE_CHECKING:
    from lit_hydra_bridge.reload.lineage import Step

_LINES: Final = {"run": "●", "stroke": "│", "end": "▼"}
_ASCII: Final = {"run": "*", "stroke": "|", "end": "v"}
_SHORT_COMMIT: Final = 12
_MAX_CHANGES: Final = 30
_LABEL: Final = len("overrides")


@dataclass(frozen=True)
class _Row:
    """One line of the drawing."""

    sign: str
    """What stands at the margin."""
    text: str
    label: str | None = None
    """What the text is; None where it begins at the margin."""
    style: str = ""


def show_steps(steps: list[Step]) -> None:
    """Print a lineage; with colours only where there is a terminal."""
    last = len(steps) - 1
    rows = [row for index, step in enumerate(steps) for row in _rows(step, index == 0, index == last)]
    if not last:
        rows.append(_Row("", "This run was started from no checkpoint that has a record."))
    signs = _LINES if _can_be_printed("".join(_LINES.values())) else _ASCII
    if is_terminal():
        _print_coloured(rows, signs)
        return
    for row in rows:
        label = "" if row.label is None else f"  {row.label:<{_LABEL}}  "
        click.echo(f"{signs.get(row.sign, ' ')} {label}{one_line(row.text)}".rstrip())


def _can_be_printed(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _rows(step: Step, first: bool, last: bool) -> list[_Row]:
    rows = [] if first else [_Row("stroke", ""), *_changes(step), _Row("end", "")]
    number = "" if step.job_num is None else f"  job {step.job_num}"
    commit = f"  commit {step.commit[:_SHORT_COMMIT]}" if step.commit else ""
    this = "  (this run)" if last else ""
    head = f"{moment(step.created)}  run {step.run_id[:12]}{this}{number}{commit}"
    rows.append(_Row("run", head, style="bold"))
    margin = "" if last else "stroke"
    if step.overrides:
        rows.append(_Row(margin, "  ".join(step.overrides), "overrides"))
    if step.checkpoint is not None and not last:
        at = "" if step.global_step is None else f"  (step {step.global_step})"
        rows.append(_Row(margin, f"{step.checkpoint}{at}", "saved"))
    return rows


def _changes(step: Step) -> list[_Row]:
    from lit_hydra_bridge.reload.compare.comparison import change_lines

    if step.changes is None:
        lines = ["not known: one of the two configs is not recorded"]
    else:
        lines = change_lines(step.changes) or ["nothing in the config"]
    if len(lines) > _MAX_CHANGES:
        lines = [*lines[:_MAX_CHANGES], f"... and {len(lines) - _MAX_CHANGES} more (--json)"]
    style = "yellow" if step.changes else ""
    return [_Row("stroke", line, "" if index else "changed", style) for index, line in enumerate(lines)]


def _print_coloured(rows: list[_Row], signs: dict[str, str]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for row in rows:
        indent = 0 if row.label is None else _LABEL + 4
        text = Text(one_line(row.text), style=row.style)
        # A text that needs several lines has the stroke beside each of them.
        lines = text.wrap(console, max(20, console.width - indent - 2), overflow="fold") or [Text()]
        for index, line in enumerate(lines):
            sign = Text(signs.get(row.sign, " ") if index == 0 or row.sign == "stroke" else " ", style="cyan")
            label = "" if row.label is None else f"  {'' if index else row.label:<{_LABEL}}  "
            line.rstrip()
            console.print(Text.assemble(sign, " ", label, line), soft_wrap=True)

"""`lit-hydra check`: could this run be made again, and what was it started from."""

from __future__ import annotations

import dataclasses
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from lit_hydra_bridge.cli.arguments import checkpoint_path
from lit_hydra_bridge.cli.printing import is_terminal, json_text, one_line

if TYPE_CHECKING:
    from lit_hydra_bridge.reload.check.line import Line
    from lit_hydra_bridge.reload.check.report_card import ReportCard
    from lit_hydra_bridge.reload.lineage import Step

_MARKS: Final = {True: "ok", False: "FAIL", None: "note"}
_STYLES: Final = {True: "green", False: "bold red", None: "yellow"}


@click.command()
@checkpoint_path
@click.option("--lineage", is_flag=True, help="Draw the runs that led to it, and what each changed.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def check(path: str, lineage: bool, as_json: bool) -> None:
    """Could the run that wrote the checkpoint at PATH be made again, here?

    Prints one line for each thing that it takes (config, seed, commit, packages, the checkpoint it was started
    from, ...), and what to do about those that fail. Run it in the app's folder and environment. Nothing of the
    checkpoint is run; torch and Lightning are not imported.

    PATH is a checkpoint file, a sharded checkpoint's folder, a run's folder (its newest checkpoint is read, or
    the record in its run.json), or a URL that fsspec can open.

    Exit codes: 0 nothing failed, 1 something did, 2 the record can't be read. With --lineage: 0 or 2.

    \b
    Examples:
      lit-hydra check last.ckpt
      lit-hydra check outputs                 the newest checkpoint below it
      lit-hydra check last.ckpt --lineage     what it was started from
      lit-hydra check last.ckpt && lit-hydra rerun last.ckpt
      lit-hydra check last.ckpt --json | jq '.lines[] | select(.verdict=="fail")'
    """
    if lineage:
        _show_lineage(path, as_json)
        return
    from lit_hydra_bridge.reload.check.report_card import check as check_run

    card = check_run(path)
    if as_json:
        _print_json(_as_data(card))
    elif is_terminal():
        _print_coloured(card)
    else:
        _print_plain(card)
    if not card.good:
        sys.exit(1)


def _show_lineage(path: str, as_json: bool) -> None:
    from lit_hydra_bridge.reload.checkpoint import read_record
    from lit_hydra_bridge.reload.lineage import lineage_of

    steps = lineage_of(read_record(path))
    if as_json:
        _print_json({"path": path, "steps": [_step_as_data(step) for step in steps]})
    else:
        from lit_hydra_bridge.cli.lineage import show_steps

        show_steps(steps)


def _step_as_data(step: Step) -> dict[str, Any]:
    changes = None if step.changes is None else [change.to_dict() for change in step.changes]
    return {**dataclasses.asdict(dataclasses.replace(step, changes=None)), "changes": changes}


def _as_data(card: ReportCard) -> dict[str, Any]:
    lines = [{**dataclasses.asdict(line), "verdict": _MARKS[line.verdict].lower()} for line in card.lines]
    return {"path": card.path, "run_id": card.run_id, "created": card.created, "good": card.good, "lines": lines}


def _print_json(data: Any) -> None:
    click.echo(json_text(data))


def moment(created: str) -> str:
    """Return a record's time for a person: `2026-11-20 10:00 UTC`."""
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(\.\d+)?\+00:00$", r"\1 \2 UTC", created)


def _heading(card: ReportCard) -> str:
    return one_line(f"run {card.run_id[:12]}  {moment(card.created)}")


def _conclusion(card: ReportCard) -> str:
    failed = sum(line.verdict is False for line in card.lines)
    notes = sum(line.verdict is None for line in card.lines)
    noted = f" {notes} {'note' if notes == 1 else 'notes'}." if notes else ""
    if failed:
        stand = "point stands" if failed == 1 else "points stand"
        return f"{failed} {stand} in the way of making this run again here.{noted}"
    return f"Nothing stands in the way of making this run again here.{noted}"


def _width(lines: list[Line]) -> int:
    return max(len(line.subject) for line in lines)


def _print_plain(card: ReportCard) -> None:
    width = _width(card.lines)
    click.echo(_heading(card))
    for line in card.lines:
        click.echo(f"{_MARKS[line.verdict]:<4} {line.subject:<{width}}  {one_line(line.finding)}")
        if line.remedy:
            click.echo(f"     {'':<{width}}  -> {one_line(line.remedy)}")
    click.echo(_conclusion(card))


def _print_coloured(card: ReportCard) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # The terminal's own sixteen colours alone: they are legible on its background, light or dark.
    console = Console(highlight=False)
    width = _width(card.lines)
    console.print(Text(_heading(card), style="bold"), soft_wrap=True)
    for line in card.lines:
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(no_wrap=True, width=4)
        grid.add_column(style="bold", no_wrap=True, width=width + 1)
        grid.add_column(overflow="fold")
        mark = Text(_MARKS[line.verdict], style=_STYLES[line.verdict])
        grid.add_row(mark, line.subject, Text(one_line(line.finding)))
        console.print(grid)
        if line.remedy:
            remedy = Text(f"-> {one_line(line.remedy)}", style="" if line.verdict else "yellow")
            # A command that needs several lines stays one for whoever copies it.
            indent = width + 7 if width + 7 + remedy.cell_len <= console.width else 5
            console.print(Text(" " * indent) + remedy, soft_wrap=True)
    console.print(Text(_conclusion(card), style=_STYLES[card.good]))

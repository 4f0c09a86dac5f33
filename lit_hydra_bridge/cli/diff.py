"""`lit-hydra diff`: what differs between two runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from lit_hydra_bridge.cli.printing import is_terminal, json_text, one_line

if TYPE_CHECKING:
    from lit_hydra_bridge.reload.compare.comparison import Comparison, Section

_SECTIONS: Final = ("config", "overrides", "code", "versions", "training", "metrics")
_RUN: Final = "run"
_STYLES: Final = {"+": "green", "-": "red", "~": "yellow"}
# A line, and what it is: the mark of a change, "head" of a section, or "".
Lines = list[tuple[str, str]]


@click.command()
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option(
    "--only",
    multiple=True,
    metavar="SECTION",
    type=click.Choice((*_SECTIONS, _RUN)),
    help=f"Only {', '.join(_SECTIONS)} or {_RUN}; may be repeated.",
)
@click.option("--all", "show_all", is_flag=True, help="When and where as well: host, folders, time, job number.")
@click.option("--json", "as_json", is_flag=True, help="All sections as JSON; with --only these.")
def diff(a: str, b: str, only: tuple[str, ...], show_all: bool, as_json: bool) -> None:
    """Show what differs between how A and B were made.

    A and B are each a checkpoint file, a sharded checkpoint's folder, a run's
    folder (its newest checkpoint is read), a URL that fsspec can open, or a
    config file (*.yaml); of a run's folder without checkpoints, its
    .hydra/config.yaml is read.

    "~" is a changed value, "+" one that only B has, "-" one that only A has.
    Configs are compared value by value, as resolved in the runs; with a config
    file, as composed. Values that follow from the time or from Hydra's folders
    don't count, nor do metrics, host, folders, job number.

    Exit codes: 0 made in the same way, 1 not, 2 one of them can't be read.

    \b
    Examples:
      lit-hydra diff a.ckpt b.ckpt
      lit-hydra diff outputs/2026-01-02/10-00-00 outputs/2026-01-02/11-00-00
      lit-hydra diff last.ckpt .hydra/config.yaml
      lit-hydra diff a.ckpt b.ckpt --only config --only overrides
      lit-hydra diff a.ckpt b.ckpt --json | jq .config.changes
    """
    from lit_hydra_bridge.reload.compare.comparison import compare

    comparison = compare(a, b)
    names = only or ((*_SECTIONS, _RUN) if show_all or as_json else _SECTIONS)
    sections = {name: comparison.sections[name] for name in names}
    # A section that was asked for by name decides, also if it is one that does not count otherwise.
    differs = any(section.changes for section in sections.values() if section.counts or only)
    if as_json:
        _print_json(comparison, sections, same=not differs)
    elif is_terminal():
        _print_coloured(_lines(comparison, sections))
    else:
        click.echo("\n".join(text for text, _ in _lines(comparison, sections)))
    if differs:
        sys.exit(1)


def _print_json(comparison: Comparison, sections: dict[str, Section], *, same: bool) -> None:
    data: dict[str, Any] = comparison.to_dict()
    click.echo(json_text({"a": data["a"], "b": data["b"], "same": same, **{name: data[name] for name in sections}}))


def _lines(comparison: Comparison, sections: dict[str, Section]) -> Lines:
    lines: Lines = [(f"a  {one_line(comparison.a)}", ""), (f"b  {one_line(comparison.b)}", "")]
    for name, section in sections.items():
        if section.changes or section.notes:
            uncounted = "" if section.counts or not section.changes else "  (does not count)"
            lines += [("", ""), (f"{name}{uncounted}", "head"), *_section_lines(name, section)]
    same = [name for name, section in sections.items() if not section.changes and section.unknown is None]
    lines.append(("", ""))
    if same:
        lines.append((f"the same: {', '.join(same)}", ""))
    unknown = {name: section.unknown for name, section in sections.items() if section.unknown is not None}
    for reason in dict.fromkeys(unknown.values()):
        names = ", ".join(name for name, why in unknown.items() if why == reason)
        lines.append((one_line(f"not compared: {names} ({reason})"), ""))
    return lines


def _section_lines(name: str, section: Section) -> Lines:
    from lit_hydra_bridge.reload.compare.comparison import change_lines

    changes = change_lines(section.changes, bare=name != "config")
    return [
        *((f"  {one_line(line)}", line[0]) for line in changes),
        *((f"  ({one_line(note)})", "") for note in section.notes),
    ]


def _print_coloured(lines: Lines) -> None:
    from rich.console import Console
    from rich.text import Text

    # The terminal's own sixteen colours alone: they are legible on its background, light or dark.
    console = Console(highlight=False, soft_wrap=True)
    for text, kind in lines:
        console.print(Text(text, style="bold cyan" if kind == "head" else _STYLES.get(kind, "")))

"""`lit-hydra show`: how a checkpoint was made, for a person or a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lit_hydra_bridge.cli.arguments import checkpoint_path
from lit_hydra_bridge.cli.completion import complete_config_key
from lit_hydra_bridge.cli.printing import json_text, print_file, printable

if TYPE_CHECKING:
    from lit_hydra_bridge.record.run_record import RunRecord


@click.command()
@checkpoint_path
@click.argument("key", required=False, shell_complete=complete_config_key)
@click.option("--json", "as_json", is_flag=True, help="The whole record, or the key's value, as JSON.")
@click.option("--diff", is_flag=True, help="Only the git diff that was not committed when the run began.")
def show(path: str, key: str | None, as_json: bool, diff: bool) -> None:
    """Show how the checkpoint at PATH was made.

    PATH is a checkpoint file, a sharded checkpoint's folder, a run's folder (its newest checkpoint is read, or
    the record in its run.json), or a URL that fsspec can open.
    KEY is one value's dotted name in the resolved config, or else in the record.

    JSON has no word for .nan and .inf: they stand as "NaN", "Infinity" and "-Infinity".

    \b
    Examples:
      lit-hydra show last.ckpt
      lit-hydra show last.ckpt optimizer.lr
      lit-hydra show last.ckpt source.commit
      lit-hydra show last.ckpt --json | jq .environment.packages
      lit-hydra show last.ckpt --diff | git apply
    """
    from lit_hydra_bridge.reload.checkpoint import read_record

    if diff and (as_json or key is not None):
        raise click.UsageError("--diff stands alone: it goes with neither KEY nor --json")
    record = read_record(path)
    if diff:
        _show_diff(record)
    elif key is not None:
        _show_value(_value(record, key), as_json)
    elif as_json:
        click.echo(json_text(record.to_dict()))
    else:
        from lit_hydra_bridge.cli.summary import show_summary

        show_summary(record)


def _value(record: RunRecord, key: str) -> Any:
    from lit_hydra_bridge.errors import ConfigKeyError
    from lit_hydra_bridge.reload.config import select

    try:
        return select(record.config.resolved, key)
    except ConfigKeyError as missing:
        try:
            return select(record.to_dict(), key)
        except ConfigKeyError:
            raise missing from None


def _show_value(value: Any, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(value))
    elif isinstance(value, dict | list):
        from lit_hydra_bridge.hydra_text import yaml_text

        click.echo(printable(yaml_text(value)), nl=False)
    else:
        click.echo(printable(_scalar(value)))


def _scalar(value: Any) -> str:
    """YAML's words for None and truth, so that a shell can compare them."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _show_diff(record: RunRecord) -> None:
    from lit_hydra_bridge.record.run_record import unpack_diff

    source = record.source
    if source is None or source.diff is None:
        raise click.ClickException(_why_no_diff(record))
    print_file(unpack_diff(source.diff))
    for gap in source.diff_gaps:
        click.echo(printable(f"Not in the diff: {gap}"), err=True)
    if source.diff_cut and not source.diff_gaps:
        click.echo("The diff was longer than the record's limit; its end is missing.", err=True)


def _why_no_diff(record: RunRecord) -> str:
    if record.source is None:
        return "The record has no git state: the program was in no repository, or git did not answer."
    if not record.source.dirty:
        return printable(
            f"There was nothing uncommitted: all tracked files were those of commit {record.source.commit}."
        )
    return "The record has no diff: it was switched off."

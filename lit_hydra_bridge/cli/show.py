"""`lit-hydra show`: how a checkpoint was made, for a person or a program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from lit_hydra_bridge.cli.printing import is_terminal, printable

if TYPE_CHECKING:
    from lit_hydra_bridge.record.run_record import RunRecord

_SHOWN_PACKAGES = ("torch", "lightning", "pytorch-lightning", "hydra-core", "omegaconf", "numpy")


def _complete_key(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Offer the keys of the config in the checkpoint that was typed before."""
    from lit_hydra_bridge.reload.checkpoint import read_record

    try:
        resolved = read_record(str(context.params.get("path"))).config.resolved
    except Exception:  # a half-typed path; completion stays silent
        return []
    return [key for key in _dotted_keys(resolved) if key.startswith(incomplete)]


@click.command()
@click.argument("path", type=click.Path())
@click.argument("key", required=False, shell_complete=_complete_key)
@click.option("--json", "as_json", is_flag=True, help="The whole record, or the key's value, as JSON.")
@click.option("--diff", is_flag=True, help="Only the git diff that was not committed when the run began.")
def show(path: str, key: str | None, as_json: bool, diff: bool) -> None:
    """Show how the checkpoint at PATH was made.

    PATH is a checkpoint file, a sharded checkpoint's folder, a run's folder (its newest checkpoint is read), or
    a URL that fsspec can open. KEY is one value's dotted name in the resolved config, or else in the record.

    \b
    Examples:
      lit-hydra show last.ckpt
      lit-hydra show last.ckpt optimizer.lr
      lit-hydra show last.ckpt source.commit
      lit-hydra show last.ckpt --json | jq .environment.packages
      lit-hydra show last.ckpt --diff | git apply
    """
    from lit_hydra_bridge.reload.checkpoint import read_record

    record = read_record(path)
    if diff:
        _show_diff(record)
    elif key is not None:
        _show_value(_value(record, key), as_json)
    elif as_json:
        click.echo(json.dumps(record.to_dict(), indent=2, ensure_ascii=is_terminal()))
    else:
        _show_record(record)


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
        click.echo(json.dumps(value, indent=2, ensure_ascii=is_terminal()))
    elif isinstance(value, dict | list):
        import yaml

        click.echo(printable(yaml.safe_dump(value, sort_keys=False, allow_unicode=True)), nl=False)
    else:
        click.echo(printable(_scalar(value)))


def _scalar(value: Any) -> str:
    """YAML's words for None and truth, so that a shell can compare them."""
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def _show_diff(record: RunRecord) -> None:
    from lit_hydra_bridge.record.run_record import unpack_diff

    source = record.source
    if source is None or source.diff is None:
        raise click.ClickException(_why_no_diff(record))
    text = unpack_diff(source.diff)
    click.echo(printable(text) if is_terminal() else text, nl=False)
    if source.diff_cut:
        click.echo("The diff was longer than the record's limit; its end is missing.", err=True)


def _why_no_diff(record: RunRecord) -> str:
    if record.source is None:
        return "The record has no git state: the program was in no repository, or git did not answer."
    if not record.source.dirty:
        return f"There was nothing uncommitted: the program was exactly commit {record.source.commit}."
    return "The record has no diff: it was switched off, or only untracked files were new."


def _show_record(record: RunRecord) -> None:
    rows = [(name, printable(value)) for name, value in _rows(record) if value]
    config = printable(record.config.composed)
    if is_terminal():
        _show_in_terminal(rows, config)
        return
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        indented = value.replace("\n", "\n" + " " * (width + 2))
        click.echo(f"{name:<{width}}  {indented}")
    click.echo(f"config\n{_indented(config)}")


def _show_in_terminal(rows: list[tuple[str, str]], config: str) -> None:
    from rich.console import Console
    from rich.syntax import Syntax
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, Text(value))
    console = Console()
    console.print(grid)
    console.print(Text("config", style="bold cyan"))
    console.print(Syntax(_indented(config), "yaml", background_color="default", word_wrap=True))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip("\n").split("\n"))


def _rows(record: RunRecord) -> list[tuple[str, str]]:
    """The record in the order in which a person asks: (name, text); an empty text is not shown."""
    return [
        ("run", f"{record.run_id}  {record.created}"),
        *_job_rows(record),
        *_program_rows(record),
        *_training_rows(record),
        ("loggers", "\n".join(_logger(run) for run in record.loggers)),
        ("versions", _versions(record)),
        ("machine", f"{record.environment.host}  {record.environment.platform}"),
        ("started from", "\n".join(_ancestor(ancestor) for ancestor in record.lineage)),
        ("redacted", ", ".join(record.config.redacted)),
        ("missing", "\n".join(record.gaps)),
    ]


def _job_rows(record: RunRecord) -> list[tuple[str, str]]:
    job = record.hydra
    if job is None:
        return [("job", "none: the config was given by hand")]
    number = "" if job.job_num is None else f"  number {job.job_num}"
    job_id = "" if job.job_id is None else f"  id {job.job_id}"
    return [
        ("job", f"{job.job_name or ''}{number}{job_id}  {(job.mode or '').lower()}"),
        ("overrides", "  ".join(job.overrides) or "(none)"),
        ("hydra overrides", "  ".join(job.hydra_overrides)),
        ("config name", job.config_name or ""),
        (
            "choices",
            "  ".join(f"{group}={choice}" for group, choice in job.choices.items() if not group.startswith("hydra/")),
        ),
        ("output", job.output_dir or ""),
        ("sweep", (job.sweep_dir or "") if job.mode == "MULTIRUN" else ""),
    ]


def _program_rows(record: RunRecord) -> list[tuple[str, str]]:
    source, entry = record.source, record.entry
    git = ""
    if source is not None:
        state = "uncommitted changes" if source.dirty else "clean"
        kept = "" if source.diff is None else ", the diff is in the record (--diff)"
        git = f"{source.commit or 'no commit yet'}  {source.branch or 'no branch'}  {state}{kept}"
    return [
        ("commit", git),
        ("remote", (source.remote if source else None) or ""),
        ("command", " ".join(entry.orig_argv)),
        ("folder", entry.cwd),
        ("task", entry.task_function or ""),
    ]


def _training_rows(record: RunRecord) -> list[tuple[str, str]]:
    training = record.training
    if training is None:
        return []
    where = f"  config key {training.model_key}" if training.model_key is not None else ""
    strategy = (training.strategy or "").rpartition(".")[2]
    return [
        ("model", f"{training.model_class}{where}"),
        ("seed", "none was set" if training.seed is None else str(training.seed)),
        (
            "trainer",
            f"{strategy}  precision {training.precision}  devices {training.devices}  nodes {training.num_nodes}"
            f"  deterministic {_scalar(training.deterministic)}",
        ),
    ]


def _logger(run: Any) -> str:
    parts = (run.kind, run.name, run.run_id or run.version, run.directory)
    return "  ".join(str(part) for part in parts if part)


def _versions(record: RunRecord) -> str:
    packages = record.environment.packages
    shown = [f"{name} {packages[name]}" for name in _SHOWN_PACKAGES if name in packages]
    more = f"  and {len(packages) - len(shown)} more (--json)" if len(packages) > len(shown) else ""
    return f"python {record.environment.python}  " + "  ".join(shown) + more


def _ancestor(ancestor: Any) -> str:
    return "  ".join(
        part for part in (ancestor.run_id, ancestor.created, ancestor.checkpoint or "", *ancestor.overrides) if part
    )


def _dotted_keys(value: Any, prefix: str = "") -> list[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [key for name, child in items for key in (f"{prefix}{name}", *_dotted_keys(child, f"{prefix}{name}."))]

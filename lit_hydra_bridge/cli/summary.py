"""A record on one screen: what a person asks first comes first, then the config, then the rest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from lit_hydra_bridge.cli.printing import is_terminal, printable

if TYPE_CHECKING:
    from rich.text import Text

    from lit_hydra_bridge.record.run_record import RunRecord

_SHOWN_PACKAGES = ("torch", "lightning", "pytorch-lightning", "hydra-core", "omegaconf", "numpy")
_SHORT_COMMIT = 12
_YAML_LINE = re.compile(r"^([\s-]*)([^\s:#][^:]*:)(?=\s|$)", re.MULTILINE)
_INTERPOLATION = re.compile(r"\$\{[^\n]*\}")
Rows = list[tuple[str, str]]


def show_summary(record: RunRecord) -> None:
    """Print a record for a person; with colours only where there is a terminal."""
    first, last = _filled(_first_rows(record)), _filled(_last_rows(record))
    config = printable(record.config.composed).rstrip("\n")
    if is_terminal():
        _print_coloured(first, config, last)
        return
    width = max(len(name) for name, _ in first + last)
    click.echo(_plain(first, width))
    click.echo("\nconfig\n" + "\n".join(f"  {line}" for line in config.split("\n")) + "\n")
    click.echo(_plain(last, width))


def _filled(rows: Rows) -> Rows:
    return [(name, printable(value)) for name, value in rows if value.strip()]


def _plain(rows: Rows, width: int) -> str:
    margin = "\n" + " " * (width + 2)
    return "\n".join(f"{name:<{width}}  {value}".replace("\n", margin) for name, value in rows)


def _print_coloured(first: Rows, config: str, last: Rows) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    # The terminal's own sixteen colours alone: they are legible on its background, light or dark.
    console = Console(highlight=False)
    width = max(len(name) for name, _ in first + last)
    for rows in (first, last):
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="bold cyan", no_wrap=True, width=width)
        grid.add_column(overflow="fold")
        for name, value in rows:
            grid.add_row(name, Text(value, style="yellow" if name in ("missing", "redacted") else ""))
        console.print(grid)
        if rows is first:
            console.print()
            console.print(Text("config", style="bold cyan"))
            console.print(Padding(_coloured_yaml(config), (0, 0, 1, 2)), overflow="fold")


def _coloured_yaml(text: str) -> Text:
    from rich.text import Text

    coloured = Text(text)
    for found in _YAML_LINE.finditer(text):
        coloured.stylize("cyan", found.start(2), found.end(2))
    for found in _INTERPOLATION.finditer(text):
        coloured.stylize("magenta", found.start(), found.end())
    return coloured


def _first_rows(record: RunRecord) -> Rows:
    return [
        *_job_rows(record),
        ("commit", _commit(record)),
        ("versions", _versions(record)),
        *_training_rows(record),
        ("metrics", _metrics(record)),
        ("redacted", ", ".join(record.config.redacted)),
        ("missing", "\n".join(record.gaps)),
    ]


def _job_rows(record: RunRecord) -> Rows:
    created = re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?\+00:00$", r"\1 \2 UTC", record.created)
    job = record.hydra
    if not job:
        return [("job", f"none: the config was given by hand  {created}")]
    mode = "of a sweep" if job.mode == "MULTIRUN" else "a single run"
    number = "" if job.job_num is None else f"number {job.job_num} "
    job_id = "" if job.job_id is None else f"  id {job.job_id}"
    choices = (f"{group}={choice}" for group, choice in job.choices.items() if not group.startswith("hydra/"))
    return [
        ("job", f"{job.job_name or '(no name)'}  {number}{mode}{job_id}  {created}"),
        ("overrides", "  ".join(job.overrides) or "(none)"),
        ("choices", "  ".join(choices)),
    ]


def _commit(record: RunRecord) -> str:
    source = record.source
    if source is None:
        return "unknown: no git repository"
    state = "uncommitted changes" if source.dirty else "unknown state" if source.dirty is None else "clean"
    kept = "" if source.diff is None else " (--diff shows them)"
    commit = source.commit[:_SHORT_COMMIT] if source.commit else "no commit yet"
    untracked = f"  {len(source.untracked)} untracked" if source.untracked else ""
    return f"{commit}  {source.branch or 'no branch'}  {state}{kept}{untracked}"


def _versions(record: RunRecord) -> str:
    packages = record.environment.packages
    shown = [f"{name} {packages[name]}" for name in _SHOWN_PACKAGES if name in packages]
    more = f"  and {len(packages) - len(shown)} more (--json)" if len(packages) > len(shown) else ""
    return f"python {record.environment.python}  " + "  ".join(shown) + more


def _training_rows(record: RunRecord) -> Rows:
    training = record.training
    if training is None:
        return []
    where = f"  from config key {training.model_key}" if training.model_key is not None else ""
    devices = f"{training.devices} device{'' if training.devices == 1 else 's'}"
    nodes = f" on each of {training.num_nodes} nodes" if training.num_nodes not in (None, 1) else ""
    strategy = (training.strategy or "unknown strategy").rpartition(".")[2]
    deterministic = "  deterministic" if training.deterministic else ""
    return [
        ("model", f"{training.model_class}{where}"),
        ("trainer", f"{strategy}  {devices}{nodes}  precision {training.precision}{deterministic}"),
        ("seed", "none was set" if training.seed is None else str(training.seed)),
    ]


def _metrics(record: RunRecord) -> str:
    return "  ".join(f"{name} {value:.6g}" for name, value in record.metrics.items())


def _last_rows(record: RunRecord) -> Rows:
    job, source, entry = record.hydra, record.source, record.entry
    return [
        ("run", record.run_id),
        ("output", job.output_dir or ""),
        ("sweep", (job.sweep_dir or "") if job.mode == "MULTIRUN" else ""),
        ("config name", job.config_name or ""),
        ("hydra overrides", "  ".join(job.hydra_overrides)),
        ("command", " ".join(entry.orig_argv)),
        ("folder", entry.cwd),
        ("task", entry.task_function or ""),
        ("full commit", (source.commit if source else None) or ""),
        ("remote", (source.remote if source else None) or ""),
        ("machine", f"{record.environment.host}  {record.environment.platform}"),
        ("slurm", _slurm_job(record)),
        ("loggers", "\n".join(_logger(run) for run in record.loggers)),
        ("started from", "\n".join(_ancestor(ancestor) for ancestor in record.lineage)),
    ]


def _slurm_job(record: RunRecord) -> str:
    job = record.slurm
    if job is None:
        return ""
    array = f"  {job.array_job_id}_{job.array_task_id} of an array" if job.array_job_id else ""
    restarts = f"  queued again {job.restarts} times" if job.restarts else ""
    return f"job {job.job_id}{array}  partition {job.partition}  {job.nodes or ''}{restarts}"


def _logger(run: Any) -> str:
    parts = (run.kind, run.name, run.run_id or run.version, run.directory)
    return "  ".join(str(part) for part in parts if part)


def _ancestor(ancestor: Any) -> str:
    return "  ".join(
        part for part in (ancestor.run_id, ancestor.created, ancestor.checkpoint or "", *ancestor.overrides) if part
    )

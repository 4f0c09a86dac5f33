"""`lit-hydra ls`: the sweeps and runs below a folder, and the jobs of a sweep."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import click

from lit_hydra_bridge.cli.completion import complete_column
from lit_hydra_bridge.cli.printing import is_terminal, print_file, printable

if TYPE_CHECKING:
    from lit_hydra_bridge.cli.ls_listing import Listing, Wish


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(file_okay=False))
@click.option("--jobs", is_flag=True, help="The jobs of all sweeps that are found, in one table.")
@click.option("--where", metavar="CONDITION", help="Only jobs such as: lr>0.01 and outcome=completed")
@click.option(
    "--sort", metavar="COLUMNS", shell_complete=complete_column, help="By these columns; -val_acc: highest first."
)
@click.option(
    "--columns",
    metavar="COLUMNS",
    shell_complete=complete_column,
    help="These; +a,-b: the usual ones, with a and without b.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N lines.")
@click.option("--json", "as_json", is_flag=True, help="All that is known, as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="The jobs with all columns, as CSV.")
@click.option("--watch", is_flag=True, help="Show it anew every two seconds, until no sweep runs or Ctrl-C.")
def ls(folders: tuple[str, ...], watch: bool, as_json: bool, as_csv: bool, **wish: Any) -> None:
    """List sweeps and runs below FOLDERs, and the jobs of a sweep.

    Newest first. Of a single sweep the jobs are shown; of several, with --jobs or whatever chooses among jobs.

    Without a FOLDER, the current one is looked through. Sweeps by lit_local and lit_slurm are shown with all that
    came out of them, also while they run. Of single runs, and of sweeps by Hydra's own launchers, there is what Hydra,
    Lightning and our recorder leave in their folders; what a task returned is not known.

    A CONDITION compares columns with values: =, !=, <, <=, >, >=, in (a, b), joined by and, or, not and parentheses.
    A bare word that is no column is a text; names and texts with other characters stand in `backticks` and "quotes".
    Durations are seconds, times are "2026-01-31 12:00". Nothing but != and `= null` holds of what a job has not.

    \b
    COLUMNS, separated by commas; all of them are what --csv prints:
      number outcome attempts started ended duration_s value checkpoint folder
      reason, and differs where config or code has changed since a job was run
      the overrides that vary, such as optimizer.lr, or lr for short
      metrics, such as val_loss, or val_*; metric.lr where there is an override lr

    \b
    Examples:
      lit-hydra ls
      lit-hydra ls multirun/2026-01-31/12-00-00 --sort -val_acc --limit 10
      lit-hydra ls outputs/sweep --where "lr>0.01 and outcome=completed"
      lit-hydra ls outputs/sweep --where 'outcome!=completed' --columns +folder
      lit-hydra ls multirun --jobs --where 'val_acc>0.9 and started>"2026-01-31"'
      lit-hydra ls outputs/sweep --columns +grad_norm,-checkpoint
      lit-hydra ls outputs/sweep --csv > results.csv
      lit-hydra ls --json | jq '.sweeps[].jobs[].metrics'

    \b
    Exit code: 0; 1 if nothing is found; 2 if a folder can't be read.
    """
    from lit_hydra_bridge.cli.ls_listing import Wish, take

    gc.disable()  # ten thousand jobs are all kept; looking for what is not would take a third of the time
    chosen = Wish(folders=folders or (".",), csv=as_csv, json=as_json, **wish)
    if as_json and as_csv:
        raise click.UsageError("--json and --csv: only one of them")
    if watch:
        if as_json or as_csv or not is_terminal():
            raise click.UsageError(
                "--watch shows a table on a terminal; it goes with neither --json nor --csv nor a pipe"
            )
        from lit_hydra_bridge.cli.ls_watch import watch_listing

        _finish(watch_listing(chosen), chosen)
        return
    listing = take(chosen)
    if as_json:
        click.echo(listing.json())
    elif as_csv:
        print_file(listing.csv())
    elif not listing.is_empty:
        _show(listing)
    _finish(listing, chosen)


def _show(listing: Listing) -> None:
    from lit_hydra_bridge.cli.ls_table import print_listing

    print_listing(listing)


def _finish(listing: Listing, wish: Wish) -> None:
    """Say what could not be read, each once; and whether there was anything."""
    for problem in listing.problems:
        click.echo(printable(f"Can't be read: {problem}"), err=True)
    if listing.is_empty:
        where = ", ".join(wish.folders)
        what = f"no job matches --where {wish.where!r}" if wish.where and listing.has_jobs else "no sweep and no run"
        click.echo(printable(f"{what} in {where}"), err=True)
        sys.exit(1)

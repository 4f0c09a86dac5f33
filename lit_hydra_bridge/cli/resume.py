"""`lit-hydra resume`: go on with a sweep."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from lit_hydra_bridge.cli.printing import printable


@click.command()
@click.argument("folder", type=click.Path())
@click.argument("overrides", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only print the command.")
@click.option("--cancel", is_flag=True, help="End the sweep instead: cancel all that it has at Slurm.")
def resume(folder: str, overrides: tuple[str, ...], dry_run: bool, cancel: bool) -> None:
    """Go on with the sweep in FOLDER: its own folder, or that of one of its jobs.

    The command that launched it is run again, in the folder where it was run. Jobs that are completed are left alone,
    and what they returned reaches the sweeper as before; all others are run, from their last checkpoint where the
    app's config has an empty `ckpt_path`. A completed job whose config has changed since is run again, unless
    hydra.launcher.resume=overrides is given; what has changed is printed.

    Jobs of hydra/launcher=lit_slurm go on without their launcher. Those that still wait or run are taken up again, and
    only what is missing is submitted.

    OVERRIDES are added to the command; use them for the launcher's settings, such as hydra.launcher.n_jobs=4. What
    the jobs are given must stay the same.

    \b
    Examples:
      lit-hydra resume multirun/2026-01-31/12-00-00
      lit-hydra resume . hydra.launcher.max_retries=2
      lit-hydra resume outputs/sweep --dry-run
      lit-hydra resume outputs/sweep --cancel

    \b
    Exit code: that of the sweep; 2 if it can't be run.
    """
    from lit_hydra_bridge.record.redaction import process_redactor
    from lit_hydra_bridge.sweep.resume import find_resumption, run

    if cancel:
        _cancel(folder)
        return
    resumption = find_resumption(folder)
    # What is printed may end up in a log; what is run has the secrets.
    command = shlex.join(process_redactor().arguments([*resumption.command, *overrides]))
    line = f"cd {shlex.quote(resumption.identity.cwd)} && {command}"
    if dry_run:
        click.echo(printable(line))
        return
    click.echo(
        printable(f"{resumption.completed} jobs completed, {resumption.unfinished} begun and not completed."), err=True
    )
    click.echo(printable(line), err=True)
    run(resumption, list(overrides))


def _cancel(folder: str) -> None:
    from lit_hydra_bridge.sweep.resume import sweep_above
    from lit_hydra_bridge.sweep.slurm.cancel import cancel_sweep

    count = cancel_sweep(sweep_above(Path(folder).absolute()), lambda text: click.echo(text, err=True))
    click.echo(f"{count} jobs cancelled." if count else "There is no job of this sweep at Slurm any more.")

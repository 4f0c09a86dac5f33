"""`lit-hydra report`: one page that shows what came out of a sweep."""

from __future__ import annotations

from pathlib import Path

import click

from lit_hydra_bridge.cli.completion import complete_metric
from lit_hydra_bridge.cli.printing import Patience, one_line


@click.command()
@click.argument("folder", type=click.Path(file_okay=False))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The file to write. [default: FOLDER/report.html]"
)
@click.option("--metric", shell_complete=complete_metric, help="Which metric to show first; the page has all of them.")
@click.option("--mode", type=click.Choice(["min", "max"]), help="Which end of it is best.")
@click.option("--open", "open_it", is_flag=True, help="Show it in the browser.")
@click.option("--force", is_flag=True, help="Replace the output also if it is no report.")
def report(folder: str, output: Path | None, metric: str | None, mode: str | None, open_it: bool, force: bool) -> None:
    """Write a page that shows the sweep in FOLDER, while it runs or afterwards.

    FOLDER is what hydra.sweep.dir was, of whichever launcher. The page is one
    file that opens from disk and needs no network: summary, parallel
    coordinates, each override's effect, learning curves (CSVLogger,
    TensorBoard), a table to sort and filter, a timeline, and for each job its
    config beside the best one's and the commands that run it again. Secrets
    are taken out as they are of records.

    Without --metric it begins with what the task returned, else with what the
    jobs' callbacks monitor. Which end is best is taken from the sweeper, or from
    the ModelCheckpoints and EarlyStoppings. Where neither says it, no job is
    called the best until --mode, or the reader of the page, chooses.

    It needs plotly: pip install "lit-hydra-bridge[report]"

    \b
    Examples:
      lit-hydra report multirun/2026-01-31/12-00-00 --open
      lit-hydra report outputs/sweep -o sweep.html --metric val_loss --mode min

    \b
    Exit code: 0 it is written; 2 it could not be.
    """
    from lit_hydra_bridge.results.read import read_sweep
    from lit_hydra_bridge.results.report.data import Choice
    from lit_hydra_bridge.results.report.page import write_report

    results = read_sweep(folder)
    path = output or results.folder / "report.html"
    with Patience() as patience:
        choice = Choice(metric=metric, mode=mode)
        write_report(results, path, choice=choice, force=force, tell=patience.say)
    click.echo(one_line(str(path)))
    if open_it and click.launch(path.resolve().as_uri()) != 0:
        click.echo("No browser could be started: open it by hand.", err=True)

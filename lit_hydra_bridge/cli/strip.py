"""`lit-hydra strip`: a copy of a checkpoint that can be given away."""

from __future__ import annotations

from pathlib import Path

import click

from lit_hydra_bridge.cli.arguments import one_checkpoint
from lit_hydra_bridge.cli.printing import one_line

_SHOWN = 3


@click.command()
@one_checkpoint
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file, or folder if sharded.")
@click.option("--private", is_flag=True, help="Keep the record, without what says who and where.")
@click.option("--force", is_flag=True, help="Replace the output if it exists; it may be PATH itself.")
def strip(path: str, output: Path | None, private: bool, force: bool) -> None:
    """Write a copy of the checkpoint at PATH without its record.

    PATH is a checkpoint file, or a sharded checkpoint's folder. The copy is
    written beside it, last.ckpt -> last.stripped.ckpt, unless -o says
    otherwise. The weights stay byte for byte as they are, and are not loaded.

    With --private the record stays, without git diff, remote, branch, names of
    untracked files, host, command line, folders, job id, the loggers' names and
    ids, the ancestors' paths and configs. Absolute paths in the config and the
    overrides become <path>, or <cwd>/..., <output_dir>/... Kept are the config,
    overrides, commit, versions, settings of the Trainer, metrics.

    What is not the record is not changed: hyper_parameters, and the paths that
    Lightning's ModelCheckpoint keeps. A note says so where there are any.

    \b
    Examples:
      lit-hydra strip last.ckpt
      lit-hydra strip last.ckpt -o give-away.ckpt
      lit-hydra strip last.ckpt --private -o give-away.ckpt
      lit-hydra strip last.ckpt -o last.ckpt --force     in place
    """
    from lit_hydra_bridge.reload.strip.strip import paths_in
    from lit_hydra_bridge.reload.strip.strip import strip as write_stripped

    written = write_stripped(path, output, private=private, force=force)
    click.echo(one_line(str(written)))
    left = paths_in(written)
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        shown = one_line(", ".join(left[:_SHOWN]))
        click.echo(f"Note: outside the record it still holds absolute paths: {shown}{more}", err=True)

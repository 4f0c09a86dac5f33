"""`lit-hydra config`: the config of a checkpoint as YAML."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from lit_hydra_bridge.cli.printing import is_terminal, printable


@click.command()
@click.argument("path", type=click.Path())
@click.option("--resolve", is_flag=True, help="Interpolations replaced by the values that they had in the run.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def config(path: str, resolve: bool, output: Path | None) -> None:
    """Print the config that made the checkpoint at PATH, as YAML.

    PATH is a checkpoint file, a sharded checkpoint's folder, a run's folder (its newest checkpoint is read), or
    a URL that fsspec can open.

    \b
    Examples:
      lit-hydra config last.ckpt
      lit-hydra config last.ckpt --resolve -o config.yaml
    """
    text = _config_text(path, resolve)
    if output is not None:
        _write(output, text)
    elif is_terminal():
        click.echo(printable(text), nl=False)
    else:
        click.echo(text, nl=False)


def _config_text(path: str, resolve: bool) -> str:
    if not resolve:
        from lit_hydra_bridge.reload.checkpoint import read_record

        return read_record(path).config.composed
    from omegaconf import OmegaConf

    from lit_hydra_bridge.reload.config import load_config

    return OmegaConf.to_yaml(load_config(path, resolve=True))


def _write(output: Path, text: str) -> None:
    """Write beside the file and rename, so that a reader sees the old one or the whole new one."""
    try:
        handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
            Path(name).replace(output)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise click.ClickException(f"{output}: can't be written: {error.strerror or error}") from None

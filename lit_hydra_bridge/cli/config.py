"""`lit-hydra config`: the config of a checkpoint as YAML."""

from __future__ import annotations

from pathlib import Path

import click

from lit_hydra_bridge.cli.arguments import checkpoint_path
from lit_hydra_bridge.cli.printing import Failure, print_file
from lit_hydra_bridge.files import write_file


@click.command()
@checkpoint_path
@click.option("--resolve", is_flag=True, help="Interpolations replaced by the values that they had in the run.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def config(path: str, resolve: bool, output: Path | None) -> None:
    """Print the config that made the checkpoint at PATH, as YAML.

    PATH is a checkpoint file, a sharded checkpoint's folder, a run's folder (its newest checkpoint is read, or
    the record in its run.json), or a URL that fsspec can open. Secrets stand as <redacted>.

    \b
    Examples:
      lit-hydra config last.ckpt
      lit-hydra config last.ckpt --resolve -o config.yaml
      lit-hydra config last.ckpt | diff - conf/config.yaml
    """
    text = _config_text(path, resolve)
    if output is None:
        print_file(text)
    else:
        _write(output, text)


def _config_text(path: str, resolve: bool) -> str:
    from lit_hydra_bridge.reload.checkpoint import read_record

    record = read_record(path)
    if not resolve:
        return record.config.composed
    from omegaconf import OmegaConf

    from lit_hydra_bridge.hydra_text import yaml_text
    from lit_hydra_bridge.reload.config import config_of

    return yaml_text(OmegaConf.to_container(config_of(record, True, path), resolve=False))


def _write(output: Path, text: str) -> None:
    try:
        if output.exists() and not output.is_file():  # a pipe, /dev/stdout: no place for a file beside it
            output.write_text(text, encoding="utf-8")
        else:
            write_file(output, text)
    except FileNotFoundError:
        raise Failure(f"{output}: can't be written: there is no folder {output.parent}") from None
    except OSError as error:
        raise Failure(f"{output}: can't be written: {error.strerror or error}") from None

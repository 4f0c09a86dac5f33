"""`lit-hydra …`: a thin face on the package. Each command imports what it needs when it runs."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from lit_hydra_bridge import __version__
from lit_hydra_bridge.cli.config import config
from lit_hydra_bridge.cli.doctor import doctor
from lit_hydra_bridge.cli.show import show
from lit_hydra_bridge.errors import BridgeError


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Tab completion (bash; zsh and fish alike):
  eval "$(_LIT_HYDRA_COMPLETE=bash_source lit-hydra)"

\b
Switches (environment variables):
  LIT_HYDRA_BRIDGE=off        record nothing
  LIT_HYDRA_BRIDGE_DIFF=off   leave the git diff out of the record
""",
)
@click.version_option(__version__, prog_name="lit-hydra")
def cli() -> None:
    """Tell from a Lightning checkpoint how it was made.

    With lit-hydra-bridge installed, every checkpoint of a Hydra app holds a record: the composed config, the
    overrides, the job number, the git commit, the package versions. These commands read it. They never import
    torch, and never run anything that a checkpoint contains.
    """


for _command in (show, config, doctor):
    cli.add_command(_command)


def main() -> NoReturn:
    """Console script: run a command; an error that we foresaw becomes one line and exit code 1."""
    try:
        cli(standalone_mode=True)
    except BridgeError as error:
        click.echo(f"Error: {error}", err=True)
    sys.exit(1)

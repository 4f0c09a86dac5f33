"""`lit-hydra …`: a thin face on the package. Each command imports what it needs when it runs."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from lit_hydra_bridge import __version__
from lit_hydra_bridge.cli.config import config
from lit_hydra_bridge.cli.doctor import doctor
from lit_hydra_bridge.cli.printing import let_any_text_be_printed, one_line
from lit_hydra_bridge.cli.show import show
from lit_hydra_bridge.errors import BridgeError


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  lit-hydra show outputs                     the newest checkpoint below it
  lit-hydra show last.ckpt optimizer.lr      one value of its config
  lit-hydra config last.ckpt -o config.yaml  the whole config, as a file
  lit-hydra doctor                           is all installed as it should be?

\b
Tab completion of paths and of config keys (bash; zsh and fish alike):
  eval "$(_LIT_HYDRA_COMPLETE=bash_source lit-hydra)"

\b
Switches (environment variables):
  LIT_HYDRA_BRIDGE=off        record nothing
  LIT_HYDRA_BRIDGE_DIFF=off   leave the git diff out of the record

\b
Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong.
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
    let_any_text_be_printed()
    if any(name.startswith("_") and name.endswith("LIT_HYDRA_COMPLETE") for name in os.environ):
        from lit_hydra_bridge.cli.completion import join_split_words

        join_split_words()
    try:
        cli(standalone_mode=True)
    except BridgeError as error:
        _fail(str(error))
    except OSError as error:  # a full disk below a redirected output; click sees to broken pipes
        _forget_output()
        _fail(f"the output can't be written: {error.strerror or error}")
    sys.exit(1)


def _fail(message: str) -> NoReturn:
    click.echo(f"Error: {one_line(message)}", err=True)
    sys.exit(1)


def _forget_output() -> None:
    """Let the interpreter's last flush succeed, or it complains a second time."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)

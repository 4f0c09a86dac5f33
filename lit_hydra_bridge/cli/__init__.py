"""`lit-hydra …`: a thin face on the package. Each command is a file of its own, and imported when it is asked for."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final, NoReturn

import click

from lit_hydra_bridge import __version__
from lit_hydra_bridge.cli.printing import let_any_text_be_printed, one_line
from lit_hydra_bridge.errors import BridgeError
from lit_hydra_bridge.switch import unsupported

# In the order in which a user meets them.
_COMMANDS: Final = ("show", "config", "diff", "check", "rerun", "ls", "report", "resume", "strip", "doctor")


class _Commands(click.Group):
    """Imports the module of the command that was asked for, and no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their whole summaries: click itself cuts each to one line."""
        found = [command for name in _COMMANDS if (command := self.get_command(ctx, name)) is not None]
        with formatter.section("Commands"):
            formatter.write_dl([(str(each.name), each.get_short_help_str(limit=1000)) for each in found])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  lit-hydra show outputs                     the newest run in it
  lit-hydra show last.ckpt optimizer.lr      one value of its config
  lit-hydra config last.ckpt -o config.yaml  the whole config, as a file
  lit-hydra diff a.ckpt b.ckpt               what differs between two runs
  lit-hydra check last.ckpt                  could this run be made again?
  lit-hydra rerun last.ckpt                  make it again
  lit-hydra rerun last.ckpt --verify         and compare the weights
  lit-hydra ls multirun                      what came out of sweeps and runs
  lit-hydra report multirun/2026-01-31/12-00-00  ... as a page with charts
  lit-hydra resume multirun/2026-01-31/12-00-00  go on with a sweep
  lit-hydra strip last.ckpt -o give-away.ckpt
  lit-hydra doctor                           is all installed as it should be?

\b
Tab completion of paths and of config keys (bash; zsh and fish alike):
  eval "$(_LIT_HYDRA_COMPLETE=bash_source lit-hydra)"

\b
Environment:
  LIT_HYDRA_BRIDGE=off         record nothing, change nothing in the apps
  LIT_HYDRA_BRIDGE_DIFF=off    leave the git diff out of the record
  LIT_HYDRA_BRIDGE_GROUPS=off  tell loggers nothing of a job's sweep
  LIT_HYDRA_BRIDGE_RUN_FILE=off  write no run.json into a run's folder

\b
Exit codes: 0 done, 1 the answer is no, 2 it could not be done.
""",
)
@click.version_option(__version__, prog_name="lit-hydra")
def cli() -> None:
    """Tell from a Lightning checkpoint how it was made, and make it again.

    With lit-hydra-bridge installed, every checkpoint of a Hydra app holds a record: the composed config, the
    overrides, the job number, the git commit, the package versions. Most commands only read it: they never import
    torch, and never run anything that a checkpoint contains. `rerun` starts the program that the record names, and
    `resume` the one that has launched a sweep.
    """


def main() -> NoReturn:
    """Console script: run a command; an error that we foresaw becomes one line and exit code 2."""
    let_any_text_be_printed()
    if any(name.startswith("_") and name.endswith("LIT_HYDRA_COMPLETE") for name in os.environ):
        from lit_hydra_bridge.cli.completion import join_split_words

        join_split_words()
    if reason := unsupported():
        click.echo(
            f"Warning: {reason}: nothing is recorded here, and commands may fail. See lit-hydra doctor.", err=True
        )
    try:
        cli(standalone_mode=True)
    except BridgeError as error:
        _fail(str(error))
    except OSError as error:  # a full disk below a redirected output; click sees to broken pipes
        _forget_output()
        _fail(f"the output can't be written: {error.strerror or error}")
    sys.exit(2)


def _fail(message: str) -> NoReturn:
    from lit_hydra_bridge.record.redaction import process_redactor

    click.echo(f"Error: {one_line(process_redactor().text(message))}", err=True)
    sys.exit(2)


def _forget_output() -> None:
    """Let the interpreter's last flush succeed, or it complains a second time."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)

"""What the commands share: the PATH argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


class _CheckpointArgument(click.Argument):
    """Says what to give, where nothing was."""

    takes_run_folder = True

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        try:
            return super().process_value(ctx, value)
        except click.MissingParameter:
            such_as = "Such as:\n" + f"  {ctx.command_path} path/to/last.ckpt"
            if self.takes_run_folder:
                what = "a checkpoint, or the folder of a run, whose newest checkpoint is read"
                such_as += f"\n  {ctx.command_path} outputs"
            else:
                what = "a checkpoint"
            raise click.UsageError(f"PATH is missing: {what}. {such_as}", ctx) from None


class _OneCheckpointArgument(_CheckpointArgument):
    takes_run_folder = False


def one_checkpoint(function: Function) -> Function:
    """Add PATH to a command that must not choose a checkpoint by itself."""
    return click.argument("path", type=click.Path(), cls=_OneCheckpointArgument)(function)


def checkpoint_path(function: Function) -> Function:
    """Add PATH to a command."""
    return click.argument("path", type=click.Path(), cls=_CheckpointArgument)(function)

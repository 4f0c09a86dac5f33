"""What the commands share: the PATH argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


class _CheckpointArgument(click.Argument):
    """Says what to give, where nothing was."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        try:
            return super().process_value(ctx, value)
        except click.MissingParameter:
            raise click.UsageError(
                "PATH is missing: a checkpoint, or the folder of a run, whose newest checkpoint is read. Such as:\n"
                f"  {ctx.command_path} path/to/last.ckpt\n"
                f"  {ctx.command_path} outputs",
                ctx,
            ) from None


def checkpoint_path(function: Function) -> Function:
    """Add PATH to a command."""
    return click.argument("path", type=click.Path(), cls=_CheckpointArgument)(function)

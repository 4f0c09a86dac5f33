"""`lit-hydra doctor`: is everything as it should be, and what to do where it is not."""

from __future__ import annotations

import sys

import click


@click.command()
def doctor() -> None:
    """Check the installation: Hydra's plugin, Lightning's entry points, launchers, versions.

    Prints one line a check, and below each that failed what to do. Exit code 1 if any did. Neither torch nor
    Lightning is imported. Run it in the app's folder and environment: both decide what Hydra finds.

    \b
    Examples:
      lit-hydra doctor
      python -m lit_hydra_bridge doctor       the same, for exactly this Python
    """
    from rich.console import Console
    from rich.text import Text

    from lit_hydra_bridge.diagnosis import diagnose

    console = Console(highlight=False, soft_wrap=True)
    marks = {
        True: Text("ok  ", style="green"),
        False: Text("FAIL", style="bold red"),
        None: Text("note", style="yellow"),
    }
    checks = diagnose()
    width = max(len(check.subject) for check in checks)
    for check in checks:
        console.print(marks[check.good], Text(f"{check.subject:<{width}}", style="bold"), Text(check.finding))
        if check.remedy:
            console.print(Text(f"     {'':<{width}} -> {check.remedy}", style="yellow"))
    if any(check.good is False for check in checks):
        sys.exit(1)

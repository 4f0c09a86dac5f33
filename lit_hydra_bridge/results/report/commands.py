"""The commands that run a sweep's job again, to be copied."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from lit_hydra_bridge.command_line import (
    arguments_not_for_hydra,
    config_flags,
    overrides_in,
    parse_python_command,
)
from lit_hydra_bridge.record.redaction import Redactor
from lit_hydra_bridge.results.row import JobRow
from lit_hydra_bridge.results.sweep_results import SweepResults

# They are said of the whole sweep.
_OF_THE_SWEEP: Final = (
    "hydra.sweep.", "hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweeper", "hydra.mode=",
    "hydra.run.dir=", "hydra.job.num=", "hydra.job.id=",
)  # fmt: skip


class Commands:
    """Tells of each job of a sweep how it is run again.

    Args:
        results: the sweep's.
        redactor: takes secrets out.
    """

    def __init__(self, results: SweepResults, redactor: Redactor) -> None:
        self._redactor, self._cwd = redactor, results.cwd
        self._start = _of_a_single_run(results.command)

    def of(self, row: JobRow) -> list[tuple[str, str]]:
        """Return what each command does, and the command; none where neither checkpoint nor sweep tells it."""
        commands = []
        if row.checkpoint is not None:
            command = f"lit-hydra rerun {shlex.quote(self._redactor.text(str(row.checkpoint)))}"
            commands.append(("Make the run again, from its record", command))
        if self._start is not None:
            line = shlex.join(self._redactor.arguments([*self._start, *row.overrides]))
            command = f"cd {shlex.quote(self._cwd)} && {line}"
            commands.append(("Run it anew, with the code and config of today", command))
        return commands


def _of_a_single_run(command: Sequence[str]) -> list[str] | None:
    """Return a sweep's command without `-m` and without its overrides, but for those that are Hydra's own."""
    given = parse_python_command(command)
    if not given.program:
        return None
    own = arguments_not_for_hydra(given.arguments)
    hydras = given.arguments[len(own) :]
    hydra = [text for text in overrides_in(hydras) if text.lstrip("+~").startswith("hydra")]
    kept = [text for text in hydra if not text.lstrip("+~").startswith(_OF_THE_SWEEP)]
    return [command[0], *given.options, *given.program, *own, *config_flags(tuple(hydras)), *kept]

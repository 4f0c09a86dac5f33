"""The commands that run a sweep's job again, to be copied."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from lit_hydra_bridge.record.redaction import Redactor
from lit_hydra_bridge.results.row import JobRow
from lit_hydra_bridge.results.sweep_results import SweepResults

# They are said of the whole sweep.
_OF_THE_SWEEP: Final = (
    "hydra.sweep.", "hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweeper", "hydra.mode=",
    "hydra.run.dir=", "hydra.job.num=", "hydra.job.id=",
)  # fmt: skip
_WITH_A_VALUE: Final = ("-W", "-X")


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
    program = _program(command)
    if program is None:
        return None
    from lit_hydra_bridge.sweep.command import config_flags, overrides_in

    arguments = tuple(command[len(program) :])
    hydra = [text for text in overrides_in(arguments) if text.lstrip("+~").startswith("hydra")]
    kept = [text for text in hydra if not text.lstrip("+~").startswith(_OF_THE_SWEEP)]
    return [*program, *config_flags(arguments), *kept]


def _program(command: Sequence[str]) -> list[str] | None:
    """Return the interpreter, its options, and the script or module."""
    at = 1
    while at < len(command) and command[at].startswith("-") and command[at] != "-m":
        at += 2 if command[at] in _WITH_A_VALUE else 1
    end = at + 2 if at < len(command) and command[at] == "-m" else at + 1
    return list(command[:end]) if end <= len(command) else None

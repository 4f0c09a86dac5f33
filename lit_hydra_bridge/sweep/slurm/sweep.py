"""A sweep whose jobs Slurm runs: what differs from one on this machine."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lit_hydra_bridge.sweep.earlier import Job
from lit_hydra_bridge.sweep.job import Outcome
from lit_hydra_bridge.sweep.launch import Sweep, log, plain_settings
from lit_hydra_bridge.sweep.program import Program
from lit_hydra_bridge.sweep.signals import Signals
from lit_hydra_bridge.sweep.slurm import executor
from lit_hydra_bridge.sweep.slurm.batch import SlurmBatch
from lit_hydra_bridge.sweep.slurm.settings import LitSlurmSettings, checked_slurm


def make_slurm_sweep(
    hydra_context: Any,
    task_function: Any,
    master: Any,
    given: dict[str, Any],
    write_results: Callable[[Path], object] | None = None,
) -> SlurmSweep:
    """Return the sweep of a launcher; see `local_sweep.make_sweep`.

    Raises:
        SweepError: a setting makes no sense, there is no Slurm here, or the folder can't be this sweep's.
    """
    settings = checked_slurm(plain_settings(given))
    program = Program(task_function=task_function, hydra_context=hydra_context)
    sweep = SlurmSweep(program, master, settings, write_results)
    sweep.prepare_folder()
    return sweep


class SlurmSweep(Sweep):
    """All batches that one launcher submits.

    Raises:
        SweepError: there is no Slurm here.
    """

    _settings: LitSlurmSettings

    def __init__(
        self,
        program: Program,
        master: Any,
        settings: LitSlurmSettings,
        write_results: Callable[[Path], object] | None = None,
    ) -> None:
        executor.check_here()
        super().__init__(program, master, settings, write_results)

    def _run_batch(self, jobs: list[Job]) -> SlurmBatch:
        self._configure_log()
        planner, shown = self._opened()
        jobs = planner.numbered(jobs)
        log.info(f"Launching {len(jobs)} jobs at Slurm, in {self._folder.path}")
        with ExitStack() as stack:
            signals = stack.enter_context(Signals())
            shown.begin(jobs, min(len(jobs), self._settings.array_parallelism))
            stack.callback(shown.end)
            batch = SlurmBatch(
                jobs=jobs,
                settings=self._settings,
                program=self._program,
                folder=self._folder,
                planner=planner,
                shown=shown,
                signals=signals,
                unwritten=self._unwritten,
            )
            batch.run()
        return batch

    def _say_how_to_go_on(self, batch: SlurmBatch) -> None:
        """A signal has ended the launcher, and not the jobs."""
        resume = shlex.join(["lit-hydra", "resume", str(self._folder.path)])
        completed = sum(state.outcome is Outcome.COMPLETED for state, _ in batch.ended.values())
        going_on = len(batch.left_alone)
        print(
            f"{going_on} of {len(batch.jobs)} jobs go on by themselves at Slurm, {completed} are completed.\n"
            f"To come back: {resume}\nTo end them:  {resume} --cancel",
            file=sys.stderr,
        )

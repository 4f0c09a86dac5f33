"""A launcher's sweep: checks before anything starts, its folder, its batches, and the table at its end.

    plan.py     a job's overrides -> its folder, config and command; whether it has been completed before
    batch.py    the loop: fill the slots, wait, settle what has ended
    slots.py    who may run now
    local_sweep.py, slurm/sweep.py    what differs where jobs run on this machine, and at Slurm
    shown.py    what a person sees, through board.py

Configs are frozen when the launcher is set up (compose.py).
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shlex
import sys
import time
import uuid
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol

from lit_hydra_bridge.errors import SweepFolderError
from lit_hydra_bridge.hydra_text import quoted
from lit_hydra_bridge.sweep.board.board import make_board, print_summary
from lit_hydra_bridge.sweep.changes import named
from lit_hydra_bridge.sweep.code import Code
from lit_hydra_bridge.sweep.command import given_overrides, own_dir, program_name, start_folder, sweep_command
from lit_hydra_bridge.sweep.compose import FrozenConfigs
from lit_hydra_bridge.sweep.earlier import Job, another_in_multirun_yaml, id_of_jobs
from lit_hydra_bridge.sweep.folder import JobFolder, SweepFolder, SweepIdentity
from lit_hydra_bridge.sweep.job import JobState, Outcome
from lit_hydra_bridge.sweep.plan import Planner
from lit_hydra_bridge.sweep.private import learn_secrets
from lit_hydra_bridge.sweep.program import Program
from lit_hydra_bridge.sweep.ranking import ranked, sweeper_direction
from lit_hydra_bridge.sweep.returns import job_return
from lit_hydra_bridge.sweep.shown import Shown
from lit_hydra_bridge.sweep.unwritten import Unwritten

log = logging.getLogger(__name__)

_NOT_RUN: Final = "it was not started, as the sweep was ended before"


def plain_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Return a launcher's settings as plain data."""
    from hydra.core.utils import setup_globals
    from omegaconf import OmegaConf

    setup_globals()
    plain: Any = OmegaConf.to_container(OmegaConf.create(given), resolve=True)
    return dict(plain)


class EndedBatch(Protocol):
    """What is left of a batch, wherever its jobs ran."""

    @property
    def jobs(self) -> Sequence[tuple[int, Sequence[str]]]:
        """Number and overrides of each."""

    @property
    def ended(self) -> dict[int, tuple[JobState, JobFolder | None]]:
        """By number: what each job came to, and where."""

    @property
    def stopped_by(self) -> int | None:
        """The signal that has ended the launcher."""


class Sweep:
    """All batches that one launcher runs; local_sweep.py and slurm/sweep.py know where.

    Args:
        program: the app.
        master: the multirun's config.
        settings: checked.
        write_results: is called at the sweep's end with its folder, and writes the table of its results there.
    """

    _settings: Any

    def __init__(
        self, program: Program, master: Any, settings: Any, write_results: Callable[[Path], object] | None = None
    ) -> None:
        self._program, self._master, self._settings = program, master, settings
        self._folder = SweepFolder(Path(os.path.abspath(str(master.hydra.sweep.dir))))
        self._planner: Planner | None = None
        self._shown: Shown | None = None
        self._summarised = 0
        self._unwritten = Unwritten(self._say)
        self._results_writer = write_results if settings.results_csv else None
        self._is_open = False
        self._adopted: str | None = None
        self._has_own_dirs = False
        # What has been imported stays: to look for garbage in it takes a tenth of a second, and that several times
        # while configs are composed; and what is not written to, jobs that are forks share.
        gc.freeze()
        self._thaw = weakref.finalize(self, gc.unfreeze)
        self._thaw.atexit = False
        self._configs = FrozenConfigs(program.hydra_context.config_loader)

    def prepare_folder(self) -> None:
        """Make the folder, or refuse it before the sweeper writes something there.

        Raises:
            SweepFolderError: it is another sweep's, or can't be written to.
        """
        if self._folder.read_identity() is None:
            self._adopt()
        self._checked_identity()
        self._folder.prepare()

    def _adopt(self) -> None:
        """What is ours in the folder may have been removed, and its jobs' files are enough to go on with.

        Raises:
            SweepFolderError: they are another sweep's.
        """
        self._adopted = id_of_jobs(self._folder)
        if self._adopted is None:
            return
        if why := another_in_multirun_yaml(self._folder.path, self._master):
            raise SweepFolderError(_another(self._folder.path, why))
        log.warning(
            f"{self._folder.identity_file} is gone. Jobs are found by their job.json in {self._folder.path}; those in "
            "other folders are not, and what code they ran with is not known."
        )

    def launch(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[Any]:
        """Run a batch of jobs; return Hydra's JobReturn of each.

        Raises:
            SweepError: a setting makes no sense here, or the folder is another sweep's or in use.
            SystemExit: a signal has ended the sweep.
        """
        jobs = [(first + i, tuple(overrides)) for i, overrides in enumerate(job_overrides)]
        try:
            batch = self._run_batch(jobs)
            self._show_end(batch)
        except BaseException:
            self.close(all_is_well=False)
            raise
        return [self._job_return(batch, number, tuple(overrides)) for number, overrides in batch.jobs]

    def close(self, *, all_is_well: bool = True) -> None:
        """Let go of the sweep's folder and of all processes.

        Args:
            all_is_well: no job is left that has to be ended first.
        """
        self._folder.unlock()
        self._is_open = False
        self._thaw()

    # --- where the jobs run ------------------------------------------------------------------------------------

    def _run_batch(self, jobs: list[Job]) -> EndedBatch:
        raise NotImplementedError

    def _device_count(self) -> int:
        """How many accelerators the jobs share; 0 where that is not the launcher's business."""
        return 0

    def _begin(self) -> None:
        """The folder has been taken; what else is needed until the sweep is over?"""

    def _say_how_to_go_on(self, batch: Any) -> None:
        left = len(batch.jobs) - sum(state.outcome is Outcome.COMPLETED for state, _ in batch.ended.values())
        waiting = len(batch.jobs) - len(batch.ended)
        started = f", {waiting} of them not started" if waiting else ""
        command = shlex.join(["lit-hydra", "resume", str(self._folder.path)])
        print(f"{left} of {len(batch.jobs)} jobs are left{started}. To go on: {command}", file=sys.stderr)

    # --- the same wherever they run ----------------------------------------------------------------------------

    def _configure_log(self) -> None:
        """As Hydra's basic launcher does; newer versions of Hydra check which classes its config may name."""
        from hydra.core.utils import configure_log

        allowed = getattr(self._program.hydra_context, "execution_whitelist", None)
        more = {} if allowed is None else {"execution_whitelist": allowed}
        configure_log(self._master.hydra.hydra_logging, self._master.hydra.verbose, **more)

    def _opened(self) -> tuple[Planner, Shown]:
        """Take the sweep's folder, once it is certain that it is this sweep's."""
        if not self._is_open:
            learn_secrets(self._master)
            self._folder.prepare()
            self._folder.lock()
            try:
                self._planner, self._shown = self._identified()
            except BaseException:
                self._folder.unlock()
                raise
            self._begin()
            self._is_open = True
            atexit.register(self._at_exit)
        assert self._planner is not None and self._shown is not None
        return self._planner, self._shown

    def _identified(self) -> tuple[Planner, Shown]:
        ours, is_there = self._checked_identity()
        self._folder.write_identity(ours)
        code = Code(self._program.task_function)
        planner = Planner(
            self._configs,
            self._master,
            self._folder,
            ours.id,
            code,
            device_count=self._device_count(),
            resume=self._settings.resume,
            tell_of_own_dirs=self._note_own_dirs,
        )
        self._write_code(code)
        if is_there:
            self._folder.remove_frozen_configs()
            for problem in planner.read_folder():
                log.warning(problem)
        return planner, self._shown or self._new_shown()

    def _write_code(self, code: Code) -> None:
        try:
            code.write(self._folder)
        except OSError as error:  # a later launch can then not name the files that have changed
            log.warning(f"{self._folder.own}: it can't be written to ({error.strerror or error})")

    def _note_own_dirs(self) -> None:
        """A job's folder depends on its config, and going on with the sweep must not put them all into one."""
        if self._has_own_dirs:
            return
        self._has_own_dirs = True
        try:
            self._folder.write_identity(self._checked_identity()[0])
        except OSError as error:
            log.warning(f"{self._folder.own}: it can't be written to ({error.strerror or error})")

    def _new_shown(self) -> Shown:
        given = [str(text) for text in self._master.hydra.overrides.task]
        return Shown(make_board(str(self._settings.progress)), self._folder.path, given)

    def _checked_identity(self) -> tuple[SweepIdentity, bool]:
        """Return which sweep this is, and whether it has been in the folder before."""
        there = self._folder.read_identity()
        hydra, place = self._master.hydra, str(self._folder.path)
        self._has_own_dirs = self._has_own_dirs or bool(there and there.folder)
        sweep_dir = own_dir(self._master) if self._has_own_dirs else quoted(place)
        ours = SweepIdentity(
            id=there.id if there else self._adopted or uuid.uuid4().hex,
            created=there.created if there else time.time(),
            program=program_name(),
            task=self._program.name,
            config_name=hydra.job.config_name,
            overrides=given_overrides(self._master, "task"),
            command=tuple(sweep_command(sweep_dir, self._master)),
            cwd=start_folder(str(hydra.runtime.cwd)),
            folder=place if self._has_own_dirs else "",
            settings={name: value for name, value in asdict(self._settings).items() if name != "_target_"},
        )
        if there is not None and (why := there.same_sweep(ours)):
            raise SweepFolderError(_another(self._folder.path, why))
        return ours, there is not None or self._adopted is not None

    def _at_exit(self) -> None:
        """A sweeper with several batches does not say which is the last."""
        self.close()
        self._summarise()

    def _show_end(self, batch: EndedBatch) -> None:
        """A signal ends the sweep here; else a sweep of one batch is over, and others tell at their end."""
        number = batch.stopped_by
        sweeper = self._master.hydra.get("sweeper") or {}
        is_whole = "basic_sweeper" in str(sweeper.get("_target_")) and not sweeper.get("max_batch_size")
        if number is not None or is_whole:
            self.close()
            self._summarise(in_a_hurry=number is not None)
        if number is not None or len(batch.ended) < len(batch.jobs):
            self._say_how_to_go_on(batch)
        if number is not None:
            raise SystemExit(128 + number)

    def _summarise(self, *, in_a_hurry: bool = False) -> None:
        shown = self._shown
        if shown is None or self._planner is None or len(shown.rows) == self._summarised:
            return
        self._summarised = len(shown.rows)
        earlier = [shown.earlier_row(job) for job in self._planner.not_in_this_launch(compare=not in_a_hurry)]
        self._say_what_is_lost(shown)
        with suppress(OSError, SweepFolderError):  # what is lost has been said
            self._folder.restore()
            self._folder.unlock()
        if self._settings.progress != "none":
            from omegaconf import OmegaConf

            hydra = self._master.hydra
            said = sweeper_direction(lambda key: OmegaConf.select(hydra, key, default=None))
            rows, best, direction = ranked([*shown.rows, *earlier], said)
            print_summary(rows, best=best, direction=direction)
        self._unwritten.settle()  # before the table, which is made of them
        self._write_results()
        self._say_what_is_unwritten()

    def _say(self, text: str) -> None:
        if self._shown is not None:
            self._shown.say(text)

    def _say_what_is_lost(self, shown: Shown) -> None:
        """Somebody may have removed folders while the sweep was running."""
        gone, lost = [], []
        for row in shown.rows:
            is_gone = bool(row.folder) and not JobFolder(Path(row.folder)).state_file.exists()
            if is_gone:
                gone.append(row.number)
            if is_gone or (row.log and not row.skipped and not os.path.exists(row.log)):
                lost.append(row.number)
        if lost:
            results = f" The results of {named(gone)} are lost as well." if gone else ""
            log.warning(f"Removed while the sweep was running: the log and other files of {named(lost)}.{results}")

    def _write_results(self) -> None:
        """The jobs are done, and have their own files: a table that can't be written is no failure."""
        writer, folder = self._results_writer, self._folder.path
        if writer is None:
            return
        try:
            self._unwritten.write(folder / "results.csv", lambda: writer(folder))
        except Exception as error:
            log.warning(f"{folder}: results.csv can't be written ({type(error).__name__}: {error})")

    def _say_what_is_unwritten(self) -> None:
        if left := self._unwritten.left:
            command = shlex.join(["lit-hydra", "resume", str(self._folder.path)])
            lines = ["These files could not be written:", *left]
            print("\n  ".join(lines), file=sys.stderr)
            print(f"Make room, and go on; jobs whose outcome is lost are run again: {command}", file=sys.stderr)

    def _job_return(self, batch: EndedBatch, number: int, overrides: tuple[str, ...]) -> Any:
        assert self._planner is not None
        planner = self._planner
        found = batch.ended.get(number)
        state, folder = found or (JobState(number=number, sweep="", overrides=overrides), None)
        return job_return(
            state,
            lambda: planner.finished_config(number, overrides, folder.path if folder else None),
            working_dir=state.working_dir,
            log=str(folder.log) if folder else "",
            fallback=_NOT_RUN,
        )


def _another(folder: Path, why: str) -> str:
    return f"hydra.sweep.dir={folder} is the folder of another sweep: {why}; choose another hydra.sweep.dir"

"""A checkpoint -> the command that makes its run again; and running it.

record.entry      -> program.py    how the program is started
record.overrides  -> overrides.py  the recorded ones, changed by the new ones
record.config     -> recompose.py  in the started process: what Hydra composes becomes what was recorded
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lit_hydra_bridge.errors import RerunError
from lit_hydra_bridge.hydra_text import quoted
from lit_hydra_bridge.record.run_record import PLACEHOLDER, RunRecord
from lit_hydra_bridge.reload.checkpoint import checkpoint_path, read_record, record_path
from lit_hydra_bridge.reload.config import config_of
from lit_hydra_bridge.reload.rerun import overrides as override_texts
from lit_hydra_bridge.reload.rerun.hydra_seam import MODE, OVERRIDES, RERUN
from lit_hydra_bridge.reload.rerun.program import Program, find_program
from lit_hydra_bridge.reload.rerun.three_way import plain_config, redacted_keys
from lit_hydra_bridge.trusted import naming


@dataclass(frozen=True, kw_only=True)
class RerunOptions:
    """How a run is made again."""

    multirun: bool = False
    """Whether the new overrides are a sweep's, as with Hydra's -m."""
    frozen: bool = False
    """The recorded YAML alone, without the app's config files."""
    strict: bool = False
    """Don't run where the app's files no longer give the recorded config."""
    resume: bool = False
    """Go on from the checkpoint instead of starting anew."""
    resume_key: str | None = None
    """The config key that the app hands to `trainer.fit(ckpt_path=...)`; None: the one called `ckpt_path`."""
    at_commit: bool = False
    """In a git worktree of the recorded commit, with the recorded diff."""
    cwd: Path | None = None
    """The folder to run in; None: the recorded one."""
    script: Path | None = None
    """A script to run instead of the recorded program."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A command, ready to run."""

    command: list[str]
    cwd: Path
    code: Path
    """The folder that the program's code lies in."""
    environment: dict[str, str] = field(default_factory=dict)
    """What is added to this process's environment."""

    def shell(self) -> str:
        """Return a line that a shell takes."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return f"cd {shlex.quote(str(self.cwd))} && {' '.join([*variables, shlex.join(self.command)])}"


def rerun(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    options: RerunOptions | None = None,
) -> int:
    """Make the run that wrote a checkpoint again. This runs the program that the checkpoint names.

    Args:
        path: a checkpoint, or a run's or a job's folder, whose newest checkpoint is read.
        overrides: Hydra overrides that change the recorded config, such as `optimizer.lr=0.1`.
        options: how; see RerunOptions.

    Returns:
        The program's exit status.

    Raises:
        CheckpointError: there is no record to read.
        RerunError: the program, or something that the run needs, is not here; or an override is wrong.
    """
    with prepared(path, overrides, options or RerunOptions()) as plan:
        return run(plan)


@contextmanager
def prepared(
    path: str | os.PathLike[str],
    overrides: Sequence[str],
    options: RerunOptions,
    *,
    flags: Sequence[str] = (),
    tell: Callable[[str], None] = lambda line: None,
    remake: bool = True,
) -> Iterator[Plan]:
    """Give the plan, and have ready what it needs while it is run.

    Args:
        path, overrides, options: as `rerun`.
        flags: Hydra's own, such as `--cfg job`, passed on as they are.
        tell: gets a line for a person about each thing that takes time.
        remake: whether checkpoints that the run was started from, and that are gone, are made again first.
    """
    from lit_hydra_bridge.reload.rerun.ancestors import remade_ancestors
    from lit_hydra_bridge.reload.rerun.worktree import worktree

    record = read_record(path)
    with ExitStack() as stack:
        if options.at_commit:
            program, environment = stack.enter_context(worktree(record, options, tell))
        else:
            program, environment = find_program(record, cwd=options.cwd, script=options.script), {}
        for remark in program.remarks:
            tell(remark)
        if remake and not options.resume:
            overrides = [*stack.enter_context(remade_ancestors(record, overrides, options, tell)), *overrides]
        source = checkpoint_path(path) if options.resume else record_path(path)
        plan = plan_rerun(record, source, program, overrides, options, flags)
        yield replace(plan, environment={**plan.environment, **environment})


def plan_rerun(
    record: RunRecord,
    source: str,
    program: Program,
    overrides: Sequence[str],
    options: RerunOptions,
    flags: Sequence[str] = (),
) -> Plan:
    """Put the command together.

    Args:
        record: of the run to make again.
        source: where that record is read from: a checkpoint, or JSON.
        program: how the program is started.
        overrides: the new ones.
        options: how.
        flags: Hydra's own, passed on.

    Raises:
        RerunError: an override is wrong, or a redacted value is missing.
    """
    if not record.hydra:
        raise RerunError("the run had no Hydra job, so there are no overrides to give again")
    config_of(record, False)  # a config that can't be read is told here, and not in the app
    new = _new_overrides(record, source, overrides, options)
    recorded = override_texts.parse_recorded(
        [*record.hydra.overrides, *override_texts.replayed_hydra_overrides(record.hydra.hydra_overrides)]
    )
    texts = [*override_texts.merged(recorded, new, record.hydra.choices), *_job_overrides(record, new, options)]
    command = [sys.executable, *program.interpreter, *program.start, *program.own]
    handed_over = {}
    if program.reads_overrides:
        command += [*program.flags, *texts, *flags]
    elif options.multirun or flags:
        raise RerunError("the program does not read Hydra's command line, so it takes neither -m nor flags of Hydra's")
    else:
        handed_over = {OVERRIDES: json.dumps(texts)}
    mode = [name for name in ("strict", "frozen") if getattr(options, name)]
    return Plan(
        command=[*command, "-m"] if options.multirun else command,
        cwd=program.cwd,
        code=program.code,
        environment={
            RERUN: source,
            **handed_over,
            **({MODE: ",".join(mode)} if mode else {}),
            **_trusted(record, source, new, options),
            **_threads(record),
        },
    )


def _threads(record: RunRecord) -> dict[str, str]:
    """As many threads as the run had: a job of a sweep has a part of the machine. A user's own wish counts more."""
    threads = record.training.threads if record.training else None
    return {} if threads is None or "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(threads)}


def _new_overrides(record: RunRecord, source: str, overrides: Sequence[str], options: RerunOptions) -> list[Any]:
    """Return the new overrides (Hydra's objects), and those by which a run goes on."""
    new = override_texts.parse(overrides)
    if options.resume:
        from lit_hydra_bridge.reload.rerun.resume import resume_overrides

        new = [*override_texts.parse(resume_overrides(record, source, options.resume_key, new)), *new]
    choices = record.hydra.choices
    groups = [override_texts.key_of(override) for override in new if override_texts.is_choice(override, choices)]
    if options.frozen and groups:
        raise RerunError(f"--frozen leaves the app's config files out, so there is no option of {groups[0]} to choose")
    override_texts.require(unrecorded_keys(record, frozen=options.frozen), new)
    return new


def unrecorded_keys(record: RunRecord, *, frozen: bool) -> list[str]:
    """Return the config keys whose value was redacted, and that the app's own files don't give again.

    Args:
        record: of the run.
        frozen: whether those files, which may hold the value, are left out.
    """
    keys: list[str] = []
    for text in record.hydra.overrides:
        if PLACEHOLDER.search(text):
            key = text.partition("=")[0].lstrip("+~")
            keys += [name for name in record.config.redacted if f"{name}.".startswith(f"{key}.")] or [key]
    if frozen:
        keys += redacted_keys(plain_config(config_of(record, False)))
    return keys


def _trusted(record: RunRecord, source: str, new: Sequence[Any], options: RerunOptions) -> dict[str, str]:
    """Name the checkpoints that the run is started from: who runs the code of one trusts what it holds."""
    from lit_hydra_bridge.reload.rerun.ancestors import starts

    recorded = {key: path for key, path, _ in starts(record)}
    given = [str(override.value()) for override in new if override_texts.key_of(override) in recorded]
    paths = [*([source] if options.resume else []), *recorded.values(), *given]
    return naming(paths)


def _job_overrides(record: RunRecord, new: Sequence[Any], options: RerunOptions) -> list[str]:
    """A job of a sweep keeps its number and id: its config may name a file after them."""
    if options.multirun:
        return []
    values = {"hydra.job.num": record.hydra.job_num, "hydra.job.id": record.hydra.job_id}
    given = {override_texts.key_of(override) for override in new}
    return [
        f"{key}={value if isinstance(value, int) else quoted(value)}"
        for key, value in values.items()
        if value is not None and key not in given
    ]


def run(plan: Plan, environment: dict[str, str] | None = None) -> int:
    """Run a plan to its end, and return its exit status; signals that would end us go to it instead.

    Raises:
        RerunError: it can't be started.
    """
    try:
        process = subprocess.Popen(
            plan.command, cwd=plan.cwd, env={**os.environ, **plan.environment, **(environment or {})}
        )
    except (OSError, ValueError) as error:
        raise RerunError(f"the program can't be started: {error}") from None
    with _forwarding(process):
        status = process.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass signals on, and stay until the program has ended."""

    def pass_on(number: int, _: Any) -> None:
        with suppress(OSError):
            process.send_signal(number)

    # A terminal's Ctrl-C reaches the program by itself; twice would be a second Ctrl-C.
    wanted: dict[int, Any] = {signal.SIGTERM: pass_on, signal.SIGHUP: pass_on}
    wanted[signal.SIGINT] = signal.SIG_IGN if _is_in_foreground() else pass_on
    before: dict[int, Any] = {}
    with suppress(ValueError):  # only the main thread may set handlers; elsewhere there is nothing to forward
        for number, handler in wanted.items():
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # no terminal
        return False

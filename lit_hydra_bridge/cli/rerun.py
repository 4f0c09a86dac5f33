"""`lit-hydra rerun`: make the run of a checkpoint again."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lit_hydra_bridge.cli.arguments import checkpoint_path
from lit_hydra_bridge.cli.completion import complete_config_key
from lit_hydra_bridge.cli.printing import Failure, json_text, one_line, printable

if TYPE_CHECKING:
    from lit_hydra_bridge.reload.rerun.plan import Plan, RerunOptions
    from lit_hydra_bridge.reload.rerun.verify import Verdict

_MOST_LINES = 10


class _GivenPath(click.Path):
    """A path; an empty word comes from a variable that is not set, and must not mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value and param is not None:
            raise Failure(f"--{param.name} is empty; expected a path")
        return super().convert(value, param, ctx)


@click.command()
@checkpoint_path
@click.argument("overrides", nargs=-1, shell_complete=complete_config_key)
@click.option("-m", "--multirun", is_flag=True, help="The overrides are a sweep's: lr=0.1,0.2 is two jobs.")
@click.option("--dry-run", is_flag=True, help="Only print the command.")
@click.option("--strict", is_flag=True, help="Don't run where the app's files no longer give the recorded config.")
@click.option("--frozen", is_flag=True, help="The recorded YAML alone: the app's config files are left out.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint: the app's ckpt_path key is given its path.")
@click.option("--resume-key", metavar="KEY", help="The config key that takes the checkpoint, if it has another name.")
@click.option("--verify", is_flag=True, help="Compare what comes out with the checkpoint; exit code 1 if it differs.")
@click.option("--json", "as_json", is_flag=True, help="With --verify: the verdict as JSON.")
@click.option("--at-commit", is_flag=True, help="In a worktree of the recorded commit and diff.")
@click.option(
    "--cwd",
    type=_GivenPath(path_type=Path),
    help="The folder to run in; by default the recorded one.",
)
@click.option(
    "--script",
    type=_GivenPath(path_type=Path),
    help="The script to run, if the recorded one is gone.",
)
def rerun(path: str, overrides: tuple[str, ...], dry_run: bool, verify: bool, as_json: bool, **how: Any) -> None:
    """Make the run that wrote the checkpoint at PATH again.

    PATH is a checkpoint, or the folder of a run or a job, whose newest checkpoint, or else run.json, is read. The
    program that the record names is started in the folder that the record names, and gets the recorded config,
    whatever the app's files say by now; what they say differently is listed first. THIS RUNS CODE THAT THE FILE NAMES:
    rerun only what you trust.

    OVERRIDES change the recorded config, as they would on the app's own command line. Another option of a config
    group replaces all that the old one had brought. Hydra's own flags follow after --.

    \b
    Examples:
      lit-hydra rerun last.ckpt
      lit-hydra rerun last.ckpt optimizer.lr=0.01 hydra.run.dir=elsewhere
      lit-hydra rerun last.ckpt model=cnn
      lit-hydra rerun last.ckpt -m optimizer.lr=0.1,0.2
      lit-hydra rerun last.ckpt --resume trainer.max_epochs=20
      lit-hydra rerun last.ckpt --verify --at-commit
      lit-hydra rerun last.ckpt -- --cfg job

    \b
    Exit code: the program's own; 1 if --strict stops it, 2 if it can't be run.
    With --verify: 0 if all is bit-identical, 1 if not, 2 if that can't be told.
    """
    from lit_hydra_bridge.reload.rerun.plan import RerunOptions, prepared, run

    options = RerunOptions(**how)
    _check(options, verify=verify, as_json=as_json, dry_run=dry_run)
    new, flags = _split(overrides)
    new = [*new, *_asked_secrets(path, new, options)]
    with _cleaning_up_when_ended():
        if verify:
            _verify(path, new, options, as_json=as_json)
        with prepared(path, new, options, flags=flags, tell=_say, remake=not dry_run) as plan:
            _announce(path, plan, to_stdout=dry_run)
            status = 0 if dry_run else run(plan)
    sys.exit(status)


def _check(options: RerunOptions, *, verify: bool, as_json: bool, dry_run: bool) -> None:
    if verify and (options.multirun or options.resume or dry_run):
        raise Failure("--verify makes the same run again: it goes with none of -m, --resume and --dry-run")
    if options.at_commit and dry_run:
        raise Failure("--at-commit makes a worktree for the run alone, so with --dry-run there is no command to print")
    if as_json and not verify:
        raise Failure("--json is the form of --verify's verdict, and --verify was not given")
    if options.resume_key is not None and not options.resume:
        raise Failure("--resume-key says where --resume puts the checkpoint, and --resume was not given")
    if options.resume and options.multirun:
        raise Failure("--resume goes on with one run: it does not go with -m")


def _split(arguments: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Part the overrides from Hydra's flags, which have values of their own."""
    first_flag = next((i for i, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
    return list(arguments[:first_flag]), list(arguments[first_flag:])


def _asked_secrets(path: str, overrides: Sequence[str], options: RerunOptions) -> list[str]:
    """Ask a person for what was redacted; where there is none, the missing names become an error later."""
    if not (sys.stdin and sys.stdin.isatty()):
        return []
    from lit_hydra_bridge.hydra_text import quoted
    from lit_hydra_bridge.reload.checkpoint import read_record
    from lit_hydra_bridge.reload.rerun.overrides import not_given, parse
    from lit_hydra_bridge.reload.rerun.plan import unrecorded_keys

    missing = not_given(unrecorded_keys(read_record(path), frozen=options.frozen), parse(overrides))
    return [
        f"{key}={quoted(click.prompt(one_line(key) + ' (not in the record)', hide_input=True, err=True))}"
        for key in missing
    ]


def _announce(path: str, plan: Plan, *, to_stdout: bool) -> None:
    from lit_hydra_bridge.reload.checkpoint import read_record
    from lit_hydra_bridge.reload.rerun.then_and_now import differences_from_here

    # What is announced may end up in a log; who asks for the command alone wants it whole.
    click.echo(printable(plan.shell()), err=False) if to_stdout else _say(_without_secrets(plan).shell())
    differences = differences_from_here(read_record(path), plan.code)
    if differences:
        _say("Not as it was then:")
        for line in differences:
            _say(f"  {line}")


def _without_secrets(plan: Plan) -> Plan:
    from dataclasses import replace

    from lit_hydra_bridge.record.redaction import process_redactor
    from lit_hydra_bridge.reload.rerun.hydra_seam import OVERRIDES

    redactor = process_redactor()
    environment = {
        name: json.dumps(redactor.arguments(json.loads(value))) if name == OVERRIDES else value
        for name, value in plan.environment.items()
    }
    return replace(plan, command=redactor.arguments(plan.command), environment=environment)


@contextlib.contextmanager
def _cleaning_up_when_ended() -> Iterator[None]:
    """A signal that ends us while no program runs leaves no folder and no worktree behind."""

    def end(number: int, _: Any) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    yield


def _verify(path: str, overrides: list[str], options: RerunOptions, *, as_json: bool) -> None:
    from lit_hydra_bridge.reload.rerun.verify import verify

    verdict = verify(
        path, overrides, options=options, tell=_say, started=lambda plan: _announce(path, plan, to_stdout=False)
    )
    if as_json:
        click.echo(json_text(verdict.to_dict()))
    else:
        click.echo("\n".join(printable(line) for line in _verdict_lines(verdict)))
    sys.exit(0 if verdict.identical else 1)


def _verdict_lines(verdict: Verdict) -> list[str]:
    from lit_hydra_bridge.reload.compare.config_changes import change_lines

    step = "" if verdict.global_step is None else f" at step {verdict.global_step}"
    renamed = "" if verdict.again == verdict.original else f", compared with {verdict.again}"
    lines = [f"{verdict.original}{step}{renamed}"]
    for name, changes in (("config", verdict.config), ("metrics", verdict.metrics)):
        lines.append(f"  {name:<8} {'the same' if not changes else f'{len(changes)} differ'}")
        lines += [f"    {line}" for line in change_lines(changes[:_MOST_LINES])]
    first, largest = next(iter(verdict.weights), None), verdict.largest
    if first is None:
        lines.append(f"  weights  bit-identical ({verdict.tensors} tensors)")
    else:
        lines.append(f"  weights  {len(verdict.weights)} of {verdict.tensors} tensors differ")
        lines.append(f"    the first: {first.name}: {first.reason}")
        if largest is not None:
            lines.append(f"    the largest difference: {largest.difference:.3g} in {largest.name}")
    if verdict.exit_status:
        lines.append(f"  The run itself ended with exit status {verdict.exit_status}.")
    if verdict.causes:
        lines.append("  What may be the cause:")
        lines += [f"    {one_line(cause)}" for cause in verdict.causes]
    keys = ", ".join(one_line(change.key) for change in verdict.config[:_MOST_LINES])
    same = f"bit-identical, config differs in {keys}" if keys else "bit-identical"
    only_config = not (verdict.weights or verdict.metrics)
    lines.append(same if verdict.identical else f"NOT the same: {same}" if only_config else "NOT the same")
    return lines


def _say(line: str) -> None:
    click.echo(printable(line), err=True)

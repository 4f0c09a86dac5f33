"""The report card's lines on the source code: its commit, what was not committed, and the program's entry point."""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from lit_hydra_bridge.errors import RerunError
from lit_hydra_bridge.record.environment import installed_packages
from lit_hydra_bridge.record.hydra_job import installed_as
from lit_hydra_bridge.record.run_record import REDACTED, unpack_diff
from lit_hydra_bridge.reload.check.line import Line, bad, count, good, note, short, some

if TYPE_CHECKING:
    from lit_hydra_bridge.record.run_record import RunRecord, SourceCode

_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SHORT_COMMIT: Final = 12
# The address goes into a command that a person may copy: nothing that git or a shell takes for more than an address.
_REMOTE: Final = re.compile(r"(https?|ssh|git)://[\w@][\w.@:/~+-]*|[\w.-]+@[\w.-]+:[\w~][\w./~+-]*", re.ASCII)
_OUTPUTS: Final = (".ckpt", "checkpoints/", "lightning_logs/")
_CODE: Final = (".py", ".yaml", ".yml", ".toml", ".cfg", ".json", ".sh")


def look_at_commit(record: RunRecord) -> list[Line]:
    """Tell whether the commit is known, and whether a repository here has it."""
    source = record.source
    installed = _installed_code(record)
    if source is None:
        gaps = [gap for gap in record.gaps if gap.startswith("git")]
        finding = some(gaps) or "not known: the program was in no git repository"
        return installed or [bad("commit", finding, "git init, git commit; later runs will have it")]
    return [*installed, *_commit(source)]


def _installed_code(record: RunRecord) -> list[Line]:
    """Code that pip has installed is told by its version; an editable installation is its repository's."""
    from importlib.metadata import packages_distributions

    name = installed_as(record.entry.task_file or "")
    if name is None:
        return []
    then = record.environment.packages
    called = [name, *packages_distributions().get(name, [])]
    package = next((known for each in called if (known := re.sub(r"[-_.]+", "-", each).lower()) in then), None)
    if package is None:
        return [note("code", f"installed: {short(name)}, of a package whose version is not recorded")]
    here = installed_packages().get(package)
    compared = "the same here" if here == then[package] else f"here {here}" if here else "not installed here"
    return [note("code", f"installed: {short(package)} {short(then[package], 40)} ({compared})")]


def _commit(source: SourceCode) -> list[Line]:
    if source.commit is None:
        return [bad("commit", "none: nothing was committed yet", "git commit; later runs will have it")]
    if not _COMMIT.fullmatch(source.commit):
        return [bad("commit", f"{short(source.commit)!r} is none", "use another checkpoint of the run")]
    branch = f" on {short(source.branch)}" if source.branch else ""
    return [good("commit", f"{source.commit[:_SHORT_COMMIT]}{branch}"), _commit_here(source, source.commit)]


def _commit_here(source: SourceCode, commit: str) -> Line:
    from lit_hydra_bridge.reload.rerun.worktree import has_commit, missing_submodules

    subject = "commit here"
    if shutil.which("git") is None:
        return note(subject, "can't be told: git is not installed here", "install git")
    root = Path(source.root or ".")
    places = [(Path.cwd(), "the current folder's repository")]
    if root.is_absolute() and root.is_dir():
        places.append((root, short(str(root))))
    for folder, name in places:
        try:
            if not has_commit(folder, commit):
                continue
            missing = missing_submodules(folder, commit)
        except RerunError as error:
            return note(subject, f"can't be told: {short(str(error), 400)}")
        if missing:
            finding = f"in {name}, without its submodules: {some(map(str, missing))}"
            return bad(subject, finding, "git submodule update --init --recursive")
        return good(subject, f"in {name}")
    return bad(subject, "neither the run's folder nor the current one has it", _get_commit(source))


def _get_commit(source: SourceCode) -> str:
    address = (source.remote or "").replace(f"{REDACTED}@", "")
    if not address:
        return "no remote is recorded: ask for the repository at the machine where the run took place"
    in_repository = any((folder / ".git").exists() for folder in (Path.cwd(), *Path.cwd().parents))
    fetch = "git fetch --all in the program's repository"
    if not _REMOTE.fullmatch(address):
        return f"{fetch}, or clone the recorded remote: {short(address)}"
    return f"{fetch}, or git clone {address}" if in_repository else f"git clone {address}, and check again in there"


def look_at_changes(record: RunRecord) -> list[Line]:
    """Tell whether what was not committed can be had again."""
    source = record.source
    if source is None or source.commit is None:
        return []  # said above
    lines = [_changes(source)]
    untracked = _untracked(record, source)
    if untracked:
        finding = f"{count(len(untracked), 'file')} by name only: {some(untracked)}"
        lines.append(note("untracked", finding, "git add those that the run needs; later runs will have them"))
    return lines


def _changes(source: SourceCode) -> Line:
    subject = "changes"
    if source.dirty is None:
        return note(subject, "not known whether files were changed: git did not say in time")
    if not source.dirty:
        return good(subject, "none: tracked files were those of the commit")
    if source.diff_gaps:
        line = note if all(gap.endswith("redacted") for gap in source.diff_gaps) else bad
        remedy = "git commit before a run; what there is: lit-hydra show {path} --diff"
        return line(subject, f"not all recorded: {some(source.diff_gaps)}", remedy)
    if source.diff is None:
        if source.diff_cut:
            return bad(subject, "not recorded: longer than the limit", "git commit, or RunRecorder(diff_limit_kib=...)")
        return bad(subject, "not recorded: the diff was switched off", "git commit before a run, or keep the diff")
    if source.diff_cut:
        finding = "recorded in part: the diff was longer than the limit"
        return bad(subject, finding, "git commit before a run, or RunRecorder(diff_limit_kib=...)")
    text = unpack_diff(source.diff)
    lines = sum(line.startswith(("+", "-")) and not line.startswith(("+++", "---")) for line in text.split("\n"))
    finding = f"recorded as a diff of {count(lines, 'line')}"
    if REDACTED in text:  # by an older version
        return note(subject, f"{finding}, without its secrets", "fill them in: lit-hydra show {path} --diff")
    return good(subject, finding, "lit-hydra show {path} --diff | git apply")


def _untracked(record: RunRecord, source: SourceCode) -> list[str]:
    """What may be code comes first; what Hydra, Lightning and the loggers have written is none."""
    job = record.hydra
    folders = [logger.directory for logger in record.loggers]
    folders += [job.output_dir, job.sweep_dir] if job else []
    root = PurePosixPath(source.root or "/")
    written = [PurePosixPath(folder) for folder in folders if folder]
    names = [
        name
        for name in source.untracked
        if not name.endswith(_OUTPUTS) and not any(folder.is_relative_to(root / name) for folder in written)
    ]
    return sorted(names, key=lambda name: not name.endswith(_CODE))


def look_at_entry(record: RunRecord) -> list[Line]:
    """Tell whether the program that was started is here, as `lit-hydra rerun` would start it."""
    from lit_hydra_bridge.reload.rerun.program import find_program

    subject = "entry"
    if not record.hydra or record.entry.task_function is None:
        finding = "the config was given by hand: no Hydra app is known that could be started again"
        return [note(subject, finding, "lit_hydra_bridge.load_config gives the config to your own code")]
    try:
        program = find_program(record)
    except RerunError as error:
        finding, _, remedy = str(error).partition("; ")
        return [bad(subject, short(finding, 400), short(remedy, 400))]
    lines = [note(subject, short(remark, 400)) for remark in program.remarks]
    option, *named = program.start
    if option in ("-m", "-c"):
        module = named[0] if option == "-m" else (record.entry.task_function or "").partition(":")[0]
        return [good(subject, f"module {short(' '.join([module, *program.own]))}"), *lines]
    shown = short(" ".join([option, *program.own]))
    return [good(subject, f"{shown} in {short(str(program.cwd))}"), *lines]

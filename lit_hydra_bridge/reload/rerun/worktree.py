"""The recorded commit with the recorded diff, in a git worktree: the user's own checkout is not touched.

Files that git does not track (data, outputs, an .env file) are linked into the worktree, so that a program finds them
where it looks for them. What a run leaves there that is not linked is kept, with the worktree, and said.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.errors import RerunError
from lit_hydra_bridge.git import Git, GitError
from lit_hydra_bridge.record.run_record import REDACTED, RunRecord, SourceCode, unpack_diff
from lit_hydra_bridge.reload.rerun.program import Program, find_program
from lit_hydra_bridge.text import one_line

_NOT_LINKED: Final = {"__pycache__", ".git"}
_SHORT: Final = 12
_LONG: Final = 600.0
_SUBMODULE: Final = "160000"


@contextmanager
def worktree(record: RunRecord, options: Any, tell: Callable[[str], None]) -> Iterator[tuple[Program, dict[str, str]]]:
    """Check the recorded commit out into a folder of its own while the block runs.

    Args:
        record: of the run.
        options: RerunOptions; its folder and script are those of the user's checkout.
        tell: gets a line about what is kept.

    Returns:
        The program in the worktree, and what its environment needs so that it imports from there.

    Raises:
        RerunError: the commit or the diff can't be had.
    """
    source = _known_source(record)
    root = _repository(source, options.cwd)
    folder = Path(tempfile.mkdtemp(prefix=f"lit-hydra-{str(source.commit)[:_SHORT]}-")) / (root.name or "worktree")
    checkouts: list[tuple[Path, Path]] = []
    tell(f"Checking out commit {source.commit} of {root} in {folder}")
    try:
        _check_out(root, folder, str(source.commit), checkouts, lambda: _apply_diff(source, folder))
        linked = _link_untracked(checkouts)
        before = _strange_files(checkouts)
        old_root = Path(source.root or root)
        moved = replace(record, entry=_moved_entry(record, old_root, folder))
        program = find_program(
            moved, cwd=_moved_cwd(options.cwd, record, old_root, root, folder), script=options.script
        )
        yield program, _environment(root, program)
        left = _strange_files(checkouts) - before - linked
        if left:
            tell(
                f"The run left {len(left)} files in the worktree of its commit, so it is kept: {folder} "
                f"(git -C {root} worktree remove --force {folder} removes it)"
            )
            return
    except BaseException:
        _remove(checkouts, folder)
        raise
    _remove(checkouts, folder)


def _check_out(
    repository: Path, folder: Path, commit: str, checkouts: list[tuple[Path, Path]], change: Callable[[], None]
) -> None:
    """Make a worktree, and one of each submodule in it, from the clones that lie in the repository's folder.

    Args:
        repository, folder, commit: what of, where, and which.
        checkouts: gets each pair of repository and worktree, before it is made.
        change: what follows before the submodules.
    """
    checkouts.append((repository, folder))
    _git(repository, "worktree", "add", "--detach", "--quiet", str(folder), commit, seconds=_LONG)
    change()
    for path, named in _submodules(repository, commit):
        _check_out(repository / path, folder / path, named, checkouts, lambda: None)


def _submodules(repository: Path, commit: str) -> Iterator[tuple[str, str]]:
    """Return the path and the commit of each submodule of a commit."""
    for entry in _names(repository, "ls-tree", "-r", "-z", "--full-tree", commit):
        facts, _, path = entry.partition("\t")
        mode, _, named = facts.split(" ")
        if mode == _SUBMODULE:
            yield path, named


def missing_submodules(repository: Path, commit: str) -> list[Path]:
    """Return the submodules of a commit that are not to be had in the repository's folder, nested ones included.

    Raises:
        RerunError: git refuses the repository.
    """
    missing = []
    for path, named in _submodules(repository, commit):
        clone = repository / path
        if (clone / ".git").exists() and has_commit(clone, named):
            missing += missing_submodules(clone, named)
        else:
            missing.append(clone)
    return missing


def _known_source(record: RunRecord) -> SourceCode:
    source = record.source
    if source is None or not source.commit:
        raise RerunError("the record has no git commit: the program was in no repository, or git did not answer")
    if not re.fullmatch("[0-9a-f]{40,64}", source.commit):
        raise RerunError(f"the record's commit {source.commit[:60]!r} is not one")
    if source.dirty and source.diff is None:
        raise RerunError(
            f"the run had changes that were not committed on top of {source.commit[:_SHORT]}, and their diff was not "
            "recorded (LIT_HYDRA_BRIDGE_DIFF=off, or nothing of it fitted the limit): its code can't be had"
        )
    if source.diff_gaps:
        raise RerunError(
            f"the record does not have all changes on top of {source.commit[:_SHORT]}, so its code can't be had: "
            f"{'; '.join(source.diff_gaps)}"
        )
    if source.diff_cut:
        raise RerunError(
            f"the run's diff on top of {source.commit[:_SHORT]} was longer than the record's limit and its end is "
            "missing: its code can't be had (RunRecorder(diff_limit_kib=...) records more)"
        )
    return source


def _repository(source: SourceCode, cwd: Path | None) -> Path:
    """Return the root of a repository here that has the commit, with its submodules."""
    tried: list[Path] = []
    for place in (source.root, cwd, Path.cwd()):
        if place is None or not Path(place).is_dir():
            continue
        top = Path(os.fsdecode(_git(Path(place), "rev-parse", "--show-toplevel", check=False).removesuffix(b"\n")))
        if not top.is_absolute() or top in tried:
            continue
        tried.append(top)
        if has_commit(top, str(source.commit)):
            if missing := missing_submodules(top, str(source.commit)):
                raise RerunError(
                    f"the commit's submodule {' and '.join(map(str, missing))} is not here, or without the commit "
                    f"that is named: get it with git -C {shlex.quote(str(top))} submodule update --init --recursive"
                )
            return top
    remote = f" of {source.remote}" if source.remote else ""
    if tried:
        raise RerunError(
            f"commit {source.commit} is not in the repository at {' or '.join(map(str, tried))}: get it with "
            f"git -C {tried[0]} fetch origin {source.commit}"
        )
    raise RerunError(f"the repository at {source.root} is not here: run this inside a clone{remote}")


def _git(folder: Path, *arguments: str, given: bytes = b"", check: bool = True, seconds: float = 10.0) -> bytes:
    # The repository's filters may run, as its program is what is run next: without Git LFS its files are not there.
    try:
        return Git(folder, time_limit_s=seconds, filters=True)(*arguments, given=given, check=check)
    except GitError as error:
        raise RerunError(one_line(str(error))) from None


def _names(folder: Path, *arguments: str, seconds: float = 10.0) -> list[str]:
    listed = _git(folder, *arguments, check=False, seconds=seconds)
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def has_commit(folder: Path, commit: str) -> bool:
    """Tell whether the repository that a folder is in has a commit.

    Raises:
        RerunError: git is not installed, or refuses the repository.
    """
    return _git(folder, "cat-file", "-t", commit, check=False).strip() == b"commit"


def _apply_diff(source: SourceCode, folder: Path) -> None:
    if source.diff is None:
        return
    text = unpack_diff(source.diff)
    try:
        _git(folder, "apply", "--whitespace=nowarn", "--no-ignore-whitespace", "-", given=text.encode(), seconds=_LONG)
    except RerunError as error:
        hint = " (a secret in it was redacted)" if REDACTED in text else ""
        raise RerunError(
            f"the recorded diff can't be applied to {str(source.commit)[:_SHORT]}{hint}: {error}"
        ) from None


def _others(folder: Path, *arguments: str) -> set[str]:
    """Return what git does not track, ignored files included."""
    status = ("status", "--porcelain", "-z", "--ignored", "--ignore-submodules=all", *arguments)
    listed = _names(folder, *status, seconds=_LONG)
    names = {entry[3:].rstrip("/") for entry in listed if entry[:2] in ("??", "!!")}
    return {name for name in names if not _NOT_LINKED & set(Path(name).parts)}


def _strange_files(checkouts: list[tuple[Path, Path]]) -> set[Path]:
    """Return what git does not track, but for Python's own leftovers."""
    return {
        folder / name
        for _, folder in checkouts
        for name in _others(folder, "--untracked-files=all")
        if not name.endswith(".pyc")
    }


def _link_untracked(checkouts: list[tuple[Path, Path]]) -> set[Path]:
    """Link what lies beside the tracked files into the worktree; whole folders where nothing in them is tracked."""
    linked = set()
    for root, folder in checkouts:
        for name in _others(root, "--untracked-files=normal"):
            target = folder / name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(root / name)
                linked.add(target)
    return linked


def _moved(path: str | None, root: Path, folder: Path) -> str | None:
    if path is None or not Path(path).is_relative_to(root):
        return path
    return str(folder / Path(path).relative_to(root))


def _moved_entry(record: RunRecord, root: Path, folder: Path) -> Any:
    entry = record.entry
    script = entry.script if entry.script and Path(entry.script).parent.name in ("bin", "Scripts") else None
    return replace(
        entry,
        script=script or _moved(entry.script, root, folder),
        task_file=_moved(entry.task_file, root, folder),
        cwd=_moved(entry.cwd, root, folder) or str(folder),
    )


def _moved_cwd(cwd: Path | None, record: RunRecord, old_root: Path, root: Path, folder: Path) -> Path | None:
    if cwd is not None:
        moved = Path(str(_moved(str(cwd.absolute()), root, folder)))
    else:
        moved = Path(str(_moved(record.entry.cwd, old_root, folder)))
    if moved.is_relative_to(folder):
        moved.mkdir(parents=True, exist_ok=True)
    return moved if moved.is_dir() else None


def _environment(root: Path, program: Program) -> dict[str, str]:
    """What an editable installation leads to the user's checkout for comes from the worktree instead."""
    folder = next((path for path in (program.code, *program.code.parents) if (path / ".git").exists()), program.code)
    inside = [path for path in sys.path if path and Path(path).is_relative_to(root) and "site-packages" not in path]
    mapped = [str(folder / Path(path).relative_to(root)) for path in inside]
    paths = [path for path in dict.fromkeys([*mapped, str(folder)]) if Path(path).is_dir()]
    return {"PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])}


def _remove(checkouts: list[tuple[Path, Path]], folder: Path) -> None:
    for repository, place in reversed(checkouts):
        _git(repository, "worktree", "remove", "--force", str(place), check=False, seconds=_LONG)
    shutil.rmtree(folder.parent, ignore_errors=True)
    for repository, _ in checkouts:
        _git(repository, "worktree", "prune", check=False)

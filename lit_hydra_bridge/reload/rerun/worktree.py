"""The recorded commit with the recorded diff, in a git worktree: the user's own checkout is not touched.

Files that git does not track (data, outputs, an .env file) are linked into the worktree, so that a program finds them
where it looks for them. What a run leaves there that is not linked is kept, with the worktree, and said.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.errors import RerunError
from lit_hydra_bridge.record.run_record import REDACTED, RunRecord, SourceCode, unpack_diff
from lit_hydra_bridge.reload.rerun.program import Program, find_program
from lit_hydra_bridge.text import one_line

_NOT_LINKED: Final = {"__pycache__", ".git"}
_SHORT: Final = 12


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
    try:
        _git(root, "worktree", "add", "--detach", "--quiet", str(folder), str(source.commit))
        _apply_diff(source, folder)
        linked = _link_untracked(root, folder)
        before = _strange_files(folder)
        old_root = Path(source.root or root)
        moved = replace(record, entry=_moved_entry(record, old_root, folder))
        program = find_program(
            moved, cwd=_moved_cwd(options.cwd, record, old_root, root, folder), script=options.script
        )
        yield program, _environment(root, program)
        left = _strange_files(folder) - before - linked
        if left:
            tell(
                f"The run left {len(left)} files in the worktree of its commit, so it is kept: {folder} "
                f"(git -C {root} worktree remove --force {folder} removes it)"
            )
            return
    except BaseException:
        _remove(root, folder)
        raise
    _remove(root, folder)


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
    if source.diff_cut:
        raise RerunError(
            f"the run's diff on top of {source.commit[:_SHORT]} was longer than the record's limit and its end is "
            "missing: its code can't be had (RunRecorder(diff_limit_kib=...) records more)"
        )
    return source


def _repository(source: SourceCode, cwd: Path | None) -> Path:
    """Return the root of a repository here that has the commit."""
    tried = []
    for place in (source.root, cwd, Path.cwd()):
        if place is None or not Path(place).is_dir():
            continue
        top = _git(Path(place), "rev-parse", "--show-toplevel", check=False).strip()
        if not top or top in tried:
            continue
        tried.append(top)
        if _git(Path(top), "cat-file", "-t", str(source.commit), check=False).strip() == "commit":
            return Path(top)
    remote = f" of {source.remote}" if source.remote else ""
    if tried:
        raise RerunError(
            f"commit {source.commit} is not in the repository at {' or '.join(tried)}: get it with "
            f"git -C {tried[0]} fetch origin {source.commit}"
        )
    raise RerunError(f"the repository at {source.root} is not here: run this inside a clone{remote}")


def _git(folder: Path, *arguments: str, check: bool = True, given: bytes | None = None) -> str:
    # Neither hooks nor a monitor of the repository are run: only what was asked for happens.
    safe = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *safe, "-C", str(folder), *arguments],
            input=given if given is not None else b"",
            capture_output=True,
            env={**environment, "LC_ALL": "C"},
        )
    except OSError as error:
        raise RerunError(f"git can't be run: {error}") from None
    if done.returncode and check:
        raise RerunError(f"git {arguments[0]} said: {one_line(done.stderr.decode('utf-8', 'replace').strip())[:300]}")
    return done.stdout.decode("utf-8", "surrogateescape") if not done.returncode else ""


def _apply_diff(source: SourceCode, folder: Path) -> None:
    if source.diff is None:
        return
    text = unpack_diff(source.diff)
    try:
        _git(folder, "apply", "--whitespace=nowarn", "-", given=text.encode("utf-8"))
    except RerunError as error:
        hint = " (a secret in it was redacted)" if REDACTED in text else ""
        raise RerunError(
            f"the recorded diff can't be applied to {str(source.commit)[:_SHORT]}{hint}: {error}"
        ) from None


def _strange_files(folder: Path) -> set[str]:
    """Return what git does not track, ignored files included, but for Python's own leftovers."""
    listed = _git(folder, "status", "--porcelain", "-z", "--ignored", "--untracked-files=all", check=False).split("\0")
    names = {entry[3:].rstrip("/") for entry in listed if entry[:2] in ("??", "!!")}
    return {name for name in names if not _NOT_LINKED & set(Path(name).parts) and not name.endswith(".pyc")}


def _link_untracked(root: Path, folder: Path) -> set[str]:
    """Link what lies beside the tracked files into the worktree; whole folders where nothing in them is tracked."""
    listed = _git(root, "status", "--porcelain", "-z", "--ignored", "--untracked-files=normal", check=False).split("\0")
    linked = set()
    for entry in listed:
        name = entry[3:].rstrip("/")
        target = folder / name
        if entry[:2] not in ("??", "!!") or _NOT_LINKED & set(Path(name).parts) or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(root / name)
        linked.add(name)
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


def _remove(root: Path, folder: Path) -> None:
    _git(root, "worktree", "remove", "--force", str(folder), check=False)
    shutil.rmtree(folder.parent, ignore_errors=True)
    _git(root, "worktree", "prune", check=False)

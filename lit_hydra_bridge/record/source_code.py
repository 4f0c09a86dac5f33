"""The git state of the program's folder: commit, branch, remote, and what is not committed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from lit_hydra_bridge.git import Git, GitError, NotARepositoryError
from lit_hydra_bridge.record.redaction import REDACTED, Redactor
from lit_hydra_bridge.record.run_record import SourceCode
from lit_hydra_bridge.record.source_diff import DIFF_COMMAND, TOO_LONG, FileChange, changes_in, stored_diff

# Of a diff, and of a file in it: more than that is not looked at.
_MOST_BYTES: Final = 4_000_000
_MAX_UNTRACKED: Final = 200


@dataclass(frozen=True)
class Checkout:
    """What git said: the facts, and the changes, which must not be stored as they are."""

    source: SourceCode
    changes: list[FileChange] = field(default_factory=list)
    gap: str = ""
    """What git did not tell in time, though it had told the rest."""


def read_checkout(
    folder: Path, *, diff: bool = True, time_limit_s: float = 4.0, filters: bool = True
) -> Checkout | None:
    """Ask git about the repository that holds `folder`.

    Args:
        folder: where the program lies.
        diff: False does not ask for the diff.
        time_limit_s: for all questions together, in seconds.
        filters: whether the repository's own filters may run; see Git.

    Returns:
        None where the folder is in no repository.

    Raises:
        GitError: git is missing, hung, or refused.
    """
    git = Git(folder, time_limit_s=time_limit_s, filters=filters)
    try:
        up = git.text("rev-parse", "--show-cdup")
    except NotARepositoryError:
        return None
    if not re.fullmatch(r"(\.\./)*", up):
        raise GitError(f"git gave an unexpected answer: {up[:60]!r}")
    root = git.text("rev-parse", "--show-toplevel")
    commit = git.text("rev-parse", "--verify", "-q", "HEAD", check=False) or None
    if commit is not None and not re.fullmatch("[0-9a-f]{40,64}", commit):
        raise GitError(f"git gave an unexpected answer: {commit[:60]!r}")
    remote = git.text("config", "--get", "remote.origin.url", check=False).strip() or None
    source = SourceCode(
        commit=commit,
        branch=git.text("symbolic-ref", "--short", "-q", "HEAD", check=False).strip() or None,
        remote=remote and re.sub(r"(?<=://)[^/]+@", f"{REDACTED}@", remote),
        root=root,
    )
    try:
        return _with_changes(source, git, up or ".", folder / up, diff=diff)
    except GitError as error:
        return Checkout(source, gap=str(error))


def _with_changes(source: SourceCode, git: Git, up: str, root: Path, *, diff: bool) -> Checkout:
    """Add what takes git long in a large repository."""
    # From the root: in a subfolder git would show the rest of the repository with ../ or not at all.
    status = git.text(
        "-C", up, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal",
        "--ignore-submodules=untracked",
    )  # fmt: skip
    entries = [entry for entry in status.split("\0") if entry]
    untracked = [entry[3:] for entry in entries if entry.startswith("?? ")]
    changed = [entry[3:] for entry in entries if not entry.startswith("?? ")]
    source = replace(source, dirty=bool(changed), untracked=untracked[:_MAX_UNTRACKED])
    if not (diff and changed and source.commit):
        return Checkout(source)
    text = git("-C", up, *DIFF_COMMAND, most_bytes=_MOST_BYTES)
    changes = changes_in(text, root, most_bytes=_MOST_BYTES)
    if len(text) > _MOST_BYTES:
        seen = {change.path for change in changes}
        changes += [FileChange(path, "", problem=TOO_LONG) for path in changed if path not in seen]
    return Checkout(source, changes)


def finished_source_code(
    checkout: Checkout, redactor: Redactor, *, diff: bool = True, diff_limit_kib: int = 128
) -> SourceCode:
    """Return what may be stored of a checkout: secrets redacted, the diff packed.

    Args:
        checkout: what git said.
        redactor: cleans the diff and the names.
        diff: False leaves the diff out.
        diff_limit_kib: the longest diff to keep, packed, in KiB.
    """
    stored = stored_diff(checkout.changes if diff else [], redactor, limit_bytes=diff_limit_kib * 1024)
    source = checkout.source
    return replace(
        source,
        branch=source.branch and redactor.text(source.branch),
        remote=source.remote and redactor.data(source.remote),
        untracked=[redactor.text(name) for name in source.untracked],
        diff=stored.packed,
        diff_cut=stored.is_cut,
        diff_gaps=stored.gaps,
    )

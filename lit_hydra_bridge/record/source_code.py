"""The git state of the program's folder: commit, branch, remote, and what is not committed."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lit_hydra_bridge.record.diff_redaction import redact_diff
from lit_hydra_bridge.record.redaction import REDACTED, Redactor
from lit_hydra_bridge.record.run_record import SourceCode

# Twice the characters of the longest diff that is kept, so that cutting is left to who knows where lines end.
_MAX_OUTPUT_BYTES: Final = 4_000_000
_MAX_UNTRACKED: Final = 200
# More than fits under the cap when packed, and little enough to redact in a fraction of a second.
_MAX_RAW_DIFF_CHARACTERS: Final = 2_000_000
# Whatever the user's git is set to show, this is a diff that `git apply` takes.
_DIFF: Final = (
    "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "HEAD",
)  # fmt: skip
# A git hook sets these for its own repository, which need not be the program's (`git rev-parse --local-env-vars`).
_HOOK_VARIABLES: Final = frozenset({
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
})  # fmt: skip


class GitError(Exception):
    """Git is not there, or did not answer in time, or refused."""


@dataclass(frozen=True)
class Checkout:
    """What git said: the facts, and the diff as raw text that must not be stored as it is."""

    source: SourceCode
    diff: str
    gap: str = ""
    """What git did not tell in time, though it had told the rest."""


def read_checkout(folder: Path, *, diff: bool = True, time_limit_s: float = 4.0) -> Checkout | None:
    """Ask git about the repository that holds `folder`.

    Args:
        folder: where the program lies.
        diff: False does not ask for the diff.
        time_limit_s: for all questions together, in seconds.

    Returns:
        None where the folder is in no repository.

    Raises:
        GitError: git is missing, hung, or refused.
    """
    git = _Git(folder, deadline=time.monotonic() + time_limit_s)
    try:
        up = git("rev-parse", "--show-cdup").removesuffix("\n")
    except _NotARepositoryError:
        return None
    if not re.fullmatch(r"(\.\./)*", up):
        raise GitError(f"git gave an unexpected answer: {up[:60]!r}")
    root = git("rev-parse", "--show-toplevel").removesuffix("\n")
    commit = git("rev-parse", "--verify", "-q", "HEAD", check=False).strip() or None
    if commit is not None and not re.fullmatch("[0-9a-f]{40,64}", commit):
        raise GitError(f"git gave an unexpected answer: {commit[:60]!r}")
    remote = git("config", "--get", "remote.origin.url", check=False).strip() or None
    source = SourceCode(
        commit=commit,
        branch=git("symbolic-ref", "--short", "-q", "HEAD", check=False).strip() or None,
        remote=remote and re.sub(r"(?<=://)[^/]+@", f"{REDACTED}@", remote),
        root=root,
    )
    try:
        # From the root: in a subfolder git would show the rest of the repository with ../ or not at all.
        return _with_changes(source, lambda *arguments: git("-C", up or ".", *arguments), diff=diff)
    except GitError as error:
        return Checkout(source, "", gap=str(error))


def _with_changes(source: SourceCode, git: Callable[..., str], *, diff: bool) -> Checkout:
    """Add what takes git long in a large repository."""
    status = git("status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal")
    entries = [entry for entry in status.split("\0") if entry]
    untracked = [entry[3:] for entry in entries if entry.startswith("?? ")]
    changed = len(entries) > len(untracked)
    source = replace(source, dirty=changed, untracked=untracked[:_MAX_UNTRACKED])
    return Checkout(source, git(*_DIFF) if diff and changed and source.commit else "")


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
    packed, cut = (None, False)
    if diff and checkout.diff:
        text = _whole_lines(checkout.diff, _MAX_RAW_DIFF_CHARACTERS)
        packed, cut = _pack(redact_diff(text, redactor), diff_limit_kib * 1024)
        cut = cut or len(text) < len(checkout.diff)
    source = checkout.source
    return replace(
        source,
        branch=source.branch and redactor.text(source.branch),
        remote=source.remote and redactor.data(source.remote),
        untracked=[redactor.text(name) for name in source.untracked],
        diff=packed,
        diff_cut=cut,
    )


def _pack(text: str, limit_bytes: int) -> tuple[str | None, bool]:
    """Compress to at most `limit_bytes` of base64, dropping whole lines from the end until it fits."""
    cut = False
    while text:
        packed = base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), 6)).decode("ascii")
        if len(packed) <= limit_bytes:
            return packed, cut
        cut = True
        text = _whole_lines(text, int(len(text) * min(0.9, 0.95 * limit_bytes / len(packed))))
    return None, cut


def _whole_lines(text: str, limit: int) -> str:
    """Return the longest run of whole lines from the start within `limit` characters."""
    return text if len(text) <= limit else text[: text.rfind("\n", 0, max(0, limit)) + 1]


class _NotARepositoryError(Exception):
    pass


class _Git:
    """Runs git in one folder, all calls under one deadline."""

    def __init__(self, folder: Path, deadline: float) -> None:
        self._folder = folder
        self._deadline = deadline

    def __call__(self, *arguments: str, check: bool = True) -> str:
        # No optional locks: a look must not get in the way of a `git commit` typed at the same time.
        inherited = {name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES}
        environment = {**inherited, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        try:
            # A session of its own, so that what git starts (hooks, fsmonitor) can be ended with it.
            process = subprocess.Popen(
                ["git", "-C", str(self._folder), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise GitError("git is not installed") from None
        except OSError as error:
            raise GitError(f"git could not be started: {error}") from None
        try:
            output, errors = _read(process, self._deadline)
        except subprocess.TimeoutExpired:
            _end(process)
            raise GitError("git did not answer in time") from None
        if not process.returncode or len(output) >= _MAX_OUTPUT_BYTES:
            return output.decode("utf-8", "replace")
        if not check:
            return ""
        message = errors.decode("utf-8", "replace").strip()
        if "not a git repository" in message:
            raise _NotARepositoryError
        raise GitError(f"git {arguments[0]} said: {message.splitlines()[0] if message else process.returncode}")


def _read(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes]:
    """Read what a git prints, up to a limit: a diff may be of gigabytes, and the rest of it would be cut anyway.

    Raises:
        subprocess.TimeoutExpired: the deadline has passed.
    """
    assert process.stdout is not None
    chunks: list[bytes] = []
    size = 0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while size < _MAX_OUTPUT_BYTES:
            left = max(0.05, deadline - time.monotonic())
            if not selector.select(left):
                raise subprocess.TimeoutExpired("git", left)
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                _, errors = process.communicate(timeout=max(0.05, deadline - time.monotonic()))
                return b"".join(chunks), errors
            chunks.append(chunk)
            size += len(chunk)
    _end(process)
    return b"".join(chunks), b""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a git that hangs and what it started, without waiting for one that left its session."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=1)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()

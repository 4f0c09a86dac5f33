"""Git, started in one place only, so that a repository of somebody else's making can start nothing through it.

A repository's own configuration names programs: hooks, a file system monitor, a pager, external diffs, text
conversions, filters, credential helpers, and ways to fetch what a partial clone lacks. None of them is run.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

_SETTINGS: Final = (
    "core.fsmonitor=false", f"core.hooksPath={os.devnull}", "core.askPass=", "credential.helper=",
    "safe.bareRepository=explicit", "submodule.recurse=false", "core.quotePath=true",
    f"diff.orderFile={os.devnull}",
)  # fmt: skip
_ENVIRONMENT: Final = {
    "GIT_ALLOW_PROTOCOL": "none",  # unlike protocol.allow, a repository can't overrule it
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",  # a look must not get in the way of a `git commit` typed at the same time
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
# All others go: a git hook sets some for its own repository, and others name programs.
_KEPT_VARIABLES: Final = ("GIT_CONFIG_", "GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
_FILTER_COMMANDS: Final = r"^filter\..*\.(clean|smudge|process|required)$"


class GitError(Exception):
    """Git is not there, or did not answer in time, or refused."""


class NotARepositoryError(GitError):
    """The folder is in no repository."""


class Git:
    """Git in one folder.

    Args:
        folder: where it runs.
        time_limit_s: for all its calls together, in seconds.
        filters: whether it runs the repository's own filters (Git LFS, nbstripout): only for a repository whose code
            the user runs anyway.
    """

    def __init__(self, folder: Path, *, time_limit_s: float = 10.0, filters: bool = False) -> None:
        self._folder = folder
        self._deadline = time.monotonic() + time_limit_s
        self._settings: list[str] | None = list(_SETTINGS) if filters else None

    def __call__(self, *arguments: str, given: bytes = b"", check: bool = True, most_bytes: int | None = None) -> bytes:
        """Return what git prints.

        Args:
            arguments: the command and its arguments.
            given: its standard input.
            check: False returns nothing where git fails, unless it refuses a repository that somebody else owns.
            most_bytes: git is ended once it has printed more.

        Raises:
            GitError: git is not installed, refused, or did not answer in time.
        """
        if self._settings is None:
            self._settings = [*_SETTINGS, *self._no_filters()]
        return self._run(self._settings, arguments, given=given, check=check, most_bytes=most_bytes)

    def text(self, *arguments: str, check: bool = True) -> str:
        """Return what git prints as text, without the last line's end."""
        return self(*arguments, check=check).decode("utf-8", "replace").removesuffix("\n")

    def _no_filters(self) -> list[str]:
        """Git has no one switch for filters; without a command a filter does nothing."""
        asked = ("config", "--null", "--name-only", "--get-regexp", _FILTER_COMMANDS)
        listed = self._run(_SETTINGS, asked, check=False)
        names = {os.fsdecode(name) for name in listed.split(b"\0") if name}
        if any("=" in name for name in names):
            raise GitError("the repository's configuration has a filter with `=` in its name")
        return [f"{name}={'false' if name.endswith('.required') else ''}" for name in sorted(names)]

    def _run(
        self,
        settings: Sequence[str],
        arguments: Sequence[str],
        *,
        given: bytes = b"",
        check: bool = True,
        most_bytes: int | None = None,
    ) -> bytes:
        options = [part for setting in settings for part in ("-c", setting)]
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
            stdin.write(given)
            stdin.seek(0)
            process = self._started(["--no-pager", *options, *arguments], stdin, stderr)
            try:
                output, whole = _read(process, self._deadline, most_bytes)
            except subprocess.TimeoutExpired:
                raise GitError("git did not answer in time") from None
            finally:
                _end(process)
            if process.returncode == 0 or not whole:
                return output
            stderr.seek(0)
            message = stderr.read().decode("utf-8", "replace").strip()
        if not check and "dubious ownership" not in message:
            return b""
        if "not a git repository" in message:
            raise NotARepositoryError(message)
        raise GitError(f"git {arguments[0]} said: {message.splitlines()[0] if message else process.returncode}")

    def _started(self, arguments: list[str], stdin: IO[bytes], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GIT_") or name.startswith(_KEPT_VARIABLES)
        }
        try:
            # A session of its own, so that what git starts can be ended with it.
            return subprocess.Popen(
                ["git", "-C", str(self._folder), *arguments],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**kept, **_ENVIRONMENT},
                start_new_session=True,
            )
        except FileNotFoundError:
            raise GitError("git is not installed") from None
        except (OSError, ValueError) as error:
            raise GitError(f"git could not be started: {error}") from None


def _read(process: subprocess.Popen[bytes], deadline: float, most_bytes: int | None) -> tuple[bytes, bool]:
    """Read what a git prints; the second value is False where it had more to say than `most_bytes`.

    Raises:
        subprocess.TimeoutExpired: the deadline has passed.
    """
    assert process.stdout is not None
    output = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while most_bytes is None or len(output) <= most_bytes:
            left = max(0.05, deadline - time.monotonic())
            if not selector.select(left):
                raise subprocess.TimeoutExpired("git", left)
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                process.wait(max(0.05, deadline - time.monotonic()))
                return bytes(output), True
            output += chunk
    return bytes(output), False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a git that still runs and what it started, without waiting for one that left its session."""
    if process.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
    assert process.stdout is not None
    process.stdout.close()

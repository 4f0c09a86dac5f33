"""Files that others may have damaged, or that a full disk keeps from being written.

What is written goes beside and is renamed, so that no reader sees half a file. Only regular files are read, and no
endless ones.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, Final, TypeVar

PATIENCE_S: Final = 15.0
"""For how long a write is tried again that may succeed later."""
MOST_BYTES: Final = 1 << 28
_BETWEEN_S: Final = 0.25
_PASSING: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.EAGAIN}
)

Path = str | os.PathLike[str]
T = TypeVar("T")


class DamagedFileError(ValueError):
    """A file is there and can't be read; the message is one line that names it."""


def write_file(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write a file beside and rename it.

    Args:
        path: the file.
        content: text is written as UTF-8.
        private: only its owner may read it.

    Raises:
        OSError: it can't be written; what was there before still is.
    """
    beside = f"{os.fspath(path)}.{os.getpid()}.tmp"
    try:
        mode = 0o600 if private else 0o666
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
            file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
        os.replace(beside, path)
    except OSError:
        with suppress(OSError):
            os.unlink(beside)
        raise


def write_json(path: Path, data: Any, *, private: bool = False) -> None:
    """Write data as JSON; see `write_file`."""
    write_file(path, json.dumps(data, indent=1), private=private)


def may_pass(error: BaseException) -> bool:
    """Tell whether what failed may succeed later: the disk is full, or a network file system is away."""
    return isinstance(error, OSError) and error.errno in _PASSING


def patiently(work: Callable[[], T], limit_s: float = PATIENCE_S) -> T:
    """Do something that writes; try again for `limit_s` seconds where that may help.

    Raises:
        OSError: what the last try raised.
    """
    until = time.monotonic() + limit_s
    while True:
        try:
            return work()
        except OSError as error:
            if not may_pass(error) or time.monotonic() >= until:
                raise
        time.sleep(_BETWEEN_S)


def opened(path: Path) -> IO[bytes]:
    """Open a regular file; a pipe in its place would be waited for without end.

    Raises:
        OSError: there is none, or it can't be opened.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", path)
    raise OSError(errno.EINVAL, "it is not a regular file", path)


def read_text(path: Path, most: int = MOST_BYTES) -> str | None:
    """Return a file's text; None where there is no file.

    Raises:
        DamagedFileError: it can't be read, is no UTF-8, or has more than `most` bytes.
    """
    try:
        with opened(path) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise ValueError(f"it has more than {most:,} bytes")
        return data.decode().removeprefix("\ufeff")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None


def read_json(path: Path, read: Callable[[Any], T]) -> T | None:
    """Return what `read` makes of a file's JSON; None where there is no file.

    Args:
        path: the file.
        read: checks the data, and raises ValueError if it is not as expected.

    Raises:
        DamagedFileError: it can't be read, or is not as expected.
    """
    text = read_text(path)
    if text is None:
        return None
    try:
        return read(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> DamagedFileError:
    """Return the error that says in one line which file can't be read, and why."""
    reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return DamagedFileError(f"{os.fspath(path)}: it can't be read ({reason[:200]})")

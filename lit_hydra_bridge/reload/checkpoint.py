"""Read a record out of a checkpoint, without torch, and without running anything the file says.

A checkpoint is a zip whose `data.pkl` refers to the weights by name; they are members of their own and are never
opened, so the cost does not grow with them. The pickle is read by an unpickler for which every global is the same
inert placeholder: a hostile file gets to build dicts and lists, and nothing else.
"""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from lit_hydra_bridge.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    DamagedCheckpointError,
    ForeignFileError,
    InvalidRecordError,
    NoRecordError,
)
from lit_hydra_bridge.record.run_record import RECORD_KEY, RunRecord

_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
# Far beyond any real checkpoint's (it holds names, not weights); stops a zip bomb.
_MAX_PICKLE_BYTES: Final = 1 << 30


def read_record(path: str | os.PathLike[str]) -> RunRecord:
    """Return how the run that wrote a checkpoint was made.

    Args:
        path: a checkpoint file; a sharded checkpoint's folder; a run's folder, whose newest checkpoint is read;
            or any fsspec URL of a file, such as `s3://bucket/last.ckpt`.

    Raises:
        CheckpointNotFoundError: there is nothing at the path.
        ForeignFileError: the file is not a checkpoint.
        DamagedCheckpointError: it is one, but cut off or overwritten.
        NoRecordError: it is whole, and has no record.
    """
    place = os.fspath(path)
    with _opened(place) as (file, name):
        data = _record_data(file, name)
    try:
        return RunRecord.from_dict(data)
    except InvalidRecordError as error:
        raise DamagedCheckpointError(
            f"{name}: what stands under {RECORD_KEY!r} is not a record: {error}. "
            "It was overwritten, or written by something else."
        ) from None


@contextmanager
def _opened(place: str) -> Iterator[tuple[IO[bytes], str]]:
    try:
        if "://" in place:
            import fsspec  # only here: a local file doesn't need its import time

            with fsspec.open(place, "rb") as remote:
                yield remote, place
            return
        file = checkpoint_file(Path(place))
        with file.open("rb") as local:
            yield local, str(file)
    except FileNotFoundError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointNotFoundError(f"{place}: there is no such file or folder") from None
    except (OSError, ImportError, ValueError) as error:
        raise CheckpointError(f"{place}: can't be read: {error}") from None


def checkpoint_file(path: Path) -> Path:
    """Return the file to read for a checkpoint, a sharded checkpoint's folder, or a run's folder.

    Raises:
        CheckpointNotFoundError: there is nothing at the path, or no checkpoint in it.
    """
    if not path.is_dir():
        return path
    if (path / "meta.pt").is_file():
        return path / "meta.pt"
    found = [file for file in path.rglob("*.ckpt") if file.is_file() or (file / "meta.pt").is_file()]
    if not found:
        raise CheckpointNotFoundError(f"{path}: there is no checkpoint (*.ckpt) in this folder or below")
    newest = max(found, key=lambda file: (file.stat().st_mtime_ns, file.name))
    return newest / "meta.pt" if newest.is_dir() else newest


def _record_data(file: IO[bytes], name: str) -> object:
    try:
        checkpoint = _read_checkpoint(file, name)
    except CheckpointError:
        raise
    except Exception as error:  # a pickle of garbage fails in any way it likes
        raise DamagedCheckpointError(
            f"{name}: the checkpoint is damaged ({type(error).__name__}: {error}); was its writing cut off?"
        ) from None
    if not isinstance(checkpoint, dict) or RECORD_KEY not in checkpoint:
        raise NoRecordError(
            f"{name}: this checkpoint has no record of how it was made. It was saved without lit-hydra-bridge, "
            "outside a Hydra job, or with LIT_HYDRA_BRIDGE=off."
        )
    return checkpoint[RECORD_KEY]


def _read_checkpoint(file: IO[bytes], name: str) -> object:
    start = file.read(2)
    file.seek(0)
    if start == b"PK":
        return _InertUnpickler(_pickle_of_zip(file, name)).load()
    if start[:1] == b"\x80":
        return _read_legacy(file, name)
    what = "is empty" if not start else "is not a checkpoint (neither a zip nor a pickle)"
    raise ForeignFileError(f"{name}: the file {what}; expected one that Lightning or torch.save wrote")


def _pickle_of_zip(file: IO[bytes], name: str) -> IO[bytes]:
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise DamagedCheckpointError(
            f"{name}: the file begins as a checkpoint and has no end: its writing was cut off"
        ) from None
    members = [info for info in archive.infolist() if info.filename.count("/") == 1]
    pickles = [info for info in members if info.filename.endswith("/data.pkl")]
    if not pickles:
        raise ForeignFileError(f"{name}: a zip file, but not a checkpoint: there is no data.pkl in it")
    if pickles[0].file_size > _MAX_PICKLE_BYTES:
        raise DamagedCheckpointError(f"{name}: data.pkl claims {pickles[0].file_size} bytes; that is no checkpoint's")
    return io.BytesIO(archive.read(pickles[0]))


def _read_legacy(file: IO[bytes], name: str) -> object:
    """Before torch 1.6: pickles in a row, of a magic number, a version, the machine, and the checkpoint."""
    if _InertUnpickler(file).load() != _LEGACY_MAGIC:
        raise ForeignFileError(f"{name}: a pickle, but not a checkpoint; expected one that torch.save wrote")
    for _ in range(2):
        _InertUnpickler(file).load()
    return _InertUnpickler(file).load()


class _Inert(dict[Any, Any]):
    """Takes the place of every class and function: accepts what a pickle may do to it, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return _Inert()

    def __setstate__(self, _: object) -> None:
        pass

    def __setitem__(self, _: object, __: object) -> None:
        pass

    def append(self, _: object) -> None:
        """A pickle may take this for a list."""

    def extend(self, _: object) -> None:
        """A pickle may take this for a list."""

    def add(self, _: object) -> None:
        """A pickle may take this for a set."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        return _Inert

    def persistent_load(self, pid: object, /) -> Any:
        return _Inert()

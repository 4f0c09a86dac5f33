"""Read a record out of a checkpoint, without torch, and without running anything the file says.

A checkpoint is a zip whose `data.pkl` refers to the weights by name; they are members of their own and are never
opened, so the cost does not grow with them. The pickle is read for its plain data alone (see `inert_pickle`): a
hostile file gets to make dicts and lists, and nothing else.
"""

from __future__ import annotations

import os
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
from lit_hydra_bridge.reload.inert_pickle import BadPickleError, TruncatedPickleError, read_pickle
from lit_hydra_bridge.reload.run_folder import META, newest_file
from lit_hydra_bridge.run_file import MAX_BYTES, RUN_FILE, ForeignRunFileError, parse_run_file

_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
_LEGACY_TEXT_MAGIC: Final = b"L%dL\n" % _LEGACY_MAGIC  # as pickle's protocols 0 and 1 write it
# Far beyond any real checkpoint's: the pickle holds names, not weights.
_MAX_PICKLE_BYTES: Final = 1 << 30
# torch never compresses; a zip that was packed again is read, a zip bomb is not.
_MAX_INFLATED_BYTES: Final = 1 << 24
_FIRST_LEGACY_BYTES: Final = 1 << 18
# A record is a tree of a few thousand values, a few levels deep.
_MAX_VALUES: Final = 1_000_000
_MAX_DEPTH: Final = 100
_MAX_MESSAGE: Final = 300


def read_record(path: str | os.PathLike[str]) -> RunRecord:
    """Return how the run that wrote a checkpoint was made.

    Args:
        path: a checkpoint file; a sharded checkpoint's folder; a run's folder, whose newest checkpoint is read, or
            the record in its run.json if it has left none; or any fsspec URL of a file, such as `s3://bucket/last.ckpt`.

    Raises:
        CheckpointNotFoundError: there is nothing at the path.
        ForeignFileError: the file is not a checkpoint.
        DamagedCheckpointError: it is one, but cut off or overwritten.
        NoRecordError: it is whole, and has no record.
    """
    with _opened(os.fsdecode(path), with_weights=False) as (file, name):
        data = _record_in_run_file(file, name) if Path(name).name == RUN_FILE else _record_data(file, name)
    try:
        return RunRecord.from_dict(data)
    except InvalidRecordError as error:
        raise _not_a_record(name, str(error)) from None


def read_plain_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a checkpoint's plain data, such as `epoch` and `global_step`; all else in it is an inert placeholder.

    Raises:
        CheckpointError: as `read_record`, but for a checkpoint without a record, which is taken.
    """
    with _opened(os.fsdecode(path)) as (file, name):
        checkpoint = _plain_checkpoint(file, name)
    return checkpoint if isinstance(checkpoint, dict) else {}


def checkpoint_path(path: str | os.PathLike[str]) -> str:
    """Return the checkpoint itself, as Lightning takes it: absolute, a sharded one's folder; a URL as it is.

    Raises:
        CheckpointNotFoundError: there is nothing at the path.
    """
    return _place_of(path, with_weights=True)


def record_path(path: str | os.PathLike[str]) -> str:
    """Return what `read_record` reads at a path: the checkpoint, as above, or a run.json.

    Raises:
        CheckpointNotFoundError: there is nothing at the path.
    """
    return _place_of(path, with_weights=False)


def _place_of(path: str | os.PathLike[str], *, with_weights: bool) -> str:
    place = os.fsdecode(path)
    if "://" in place:
        return place
    found = checkpoint_file(Path(place), with_weights=with_weights)
    file = Path(os.path.abspath(found))  # noqa: PTH100  # absolute() keeps `..`
    return str(file.parent if file.name == META else file)


def read_record_or_json(path: str) -> RunRecord:
    """Return the record of a checkpoint, or one that was written as JSON (`lit-hydra show PATH --json`).

    Raises:
        CheckpointError: as `read_record`.
    """
    if not path.endswith(".json") or Path(path).name == RUN_FILE:
        return read_record(path)
    import json

    try:
        return RunRecord.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: no record can be read from it: {str(error)[:_MAX_MESSAGE]}") from None


def _not_a_record(name: str, reason: str) -> DamagedCheckpointError:
    cut = reason if len(reason) <= _MAX_MESSAGE else reason[:_MAX_MESSAGE] + " ..."
    return DamagedCheckpointError(
        f"{name}: what stands under {RECORD_KEY!r} is not a record: {cut}. "
        "It was overwritten, or written by something else; use another checkpoint of the run"
    )


@contextmanager
def _opened(place: str, *, with_weights: bool = True) -> Iterator[tuple[IO[bytes], str]]:
    if not place:  # pathlib takes it for the working folder; it comes from an unset variable in a shell
        raise CheckpointNotFoundError("the path is empty; expected a checkpoint file, or a run's folder")
    try:
        if "://" in place:
            with _opened_remote(place) as remote:
                yield remote, place
            return
        file = checkpoint_file(Path(place), with_weights=with_weights)
        with file.open("rb") as local:
            yield local, str(file)
    except FileNotFoundError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointNotFoundError(f"{place}: there is no such file or folder") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{place}: can't be read: {reason}") from None


@contextmanager
def _opened_remote(place: str) -> Iterator[IO[bytes]]:
    """Open a URL; each of fsspec's backends has errors of its own."""
    try:
        import fsspec  # only here: a local file doesn't need its import time

        opened = fsspec.open(place, "rb").open()
    except (OSError, ValueError):
        raise
    except Exception as error:
        raise CheckpointError(f"{place}: can't be opened: {type(error).__name__}: {error}") from None
    with opened as file:
        yield file


def checkpoint_file(path: Path, *, with_weights: bool = True) -> Path:
    """Return the file to read for a checkpoint, a sharded checkpoint's folder, or a run's folder.

    Args:
        path: of one of these.
        with_weights: False takes the run.json of a run that has left no checkpoint as well.

    Raises:
        CheckpointNotFoundError: there is nothing at the path, or no checkpoint in it.
    """
    if not path.is_dir():
        return path
    if (path / META).is_file():
        return path / META
    return newest_file(path, _run_id_of, with_weights=with_weights)


def _run_id_of(file: Path) -> str | None:
    try:
        return read_record(file).run_id
    except CheckpointError:
        return None


def _record_in_run_file(file: IO[bytes], name: str) -> object:
    try:
        data = parse_run_file(file.read(MAX_BYTES + 1), Path(name).parent).record
    except ForeignRunFileError as error:
        raise ForeignFileError(f"{name}: {error}") from None
    if data is None:
        raise NoRecordError(f"{name}: the run had no record yet when this was written")
    return data


def _record_data(file: IO[bytes], name: str) -> object:
    checkpoint = _plain_checkpoint(file, name)
    if not isinstance(checkpoint, dict) or RECORD_KEY not in checkpoint:
        raise NoRecordError(
            f"{name}: this checkpoint has no record of how it was made: it was saved without lit-hydra-bridge, "
            "outside a Hydra job, or with LIT_HYDRA_BRIDGE=off; or lit-hydra strip took it out"
        )
    data: object = checkpoint[RECORD_KEY]
    if not _is_small_tree(data):
        raise _not_a_record(name, f"it has more than {_MAX_VALUES} values, or more than {_MAX_DEPTH} levels")
    return data


def _plain_checkpoint(file: IO[bytes], name: str) -> object:
    try:
        return _read_checkpoint(file, name)
    except TruncatedPickleError:
        raise DamagedCheckpointError(f"{name}: the checkpoint ends too early: its writing was cut off") from None
    except BadPickleError as error:
        raise DamagedCheckpointError(f"{name}: the checkpoint is damaged: {error}") from None


def _read_checkpoint(file: IO[bytes], name: str) -> object:
    start = file.read(len(_LEGACY_TEXT_MAGIC))
    file.seek(0)
    if start[:2] == b"PK":
        return read_pickle(pickle_of_zip(file, name))[0]
    if start[:1] == b"\x80" or start == _LEGACY_TEXT_MAGIC:
        return _read_legacy(file, name)
    what = "is empty" if not start else "is not a checkpoint (neither a zip nor a pickle)"
    raise ForeignFileError(f"{name}: the file {what}; expected one that Lightning or torch.save wrote")


def pickle_of_zip(file: IO[bytes], name: str) -> bytes:
    """Return the bytes of `data.pkl`; `name` is what an error calls the file.

    Raises:
        ForeignFileError: the zip has no such member.
        DamagedCheckpointError: it can't be read to its end.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            member = data_pkl(archive, name)
            _check_member(member, name)
            if member.CRC == 0:  # torch.serialization.set_crc32_options(False): there is none to check
                del member.CRC
            with archive.open(member) as opened:
                # A length, since without one a member that lies about its size is inflated to its end.
                data = opened.read(member.file_size)
    except (CheckpointError, OSError):
        raise
    except Exception as error:  # a directory of garbage fails in any way it likes
        whole = not isinstance(error, zipfile.BadZipFile) or "not a zip file" not in str(error)
        reason = f"its zip is damaged: {error}" if whole else "it begins as a checkpoint and has no end"
        raise DamagedCheckpointError(f"{name}: {reason}; was its writing or copying cut off?") from None
    if len(data) < member.file_size:
        raise DamagedCheckpointError(f"{name}: data.pkl in it is cut off")
    return data


def data_pkl(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Find the pickle in torch's own folder, which is the first; an app may have added members after it."""
    members = archive.infolist()
    folder = members[0].filename.partition("/")[0] if members else ""
    for wanted in (f"{folder}/data.pkl", None):
        for member in members:
            path = member.filename
            if path == wanted or (wanted is None and path.count("/") == 1 and path.endswith("/data.pkl")):
                return member
    raise ForeignFileError(
        f"{name}: a zip file, but not a checkpoint: there is no data.pkl in it; "
        "expected a file that Lightning or torch.save wrote"
    )


def _check_member(member: zipfile.ZipInfo, name: str) -> None:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DamagedCheckpointError(f"{name}: data.pkl in it is compressed in a way that torch never does")
    limit = _MAX_PICKLE_BYTES if member.compress_type == zipfile.ZIP_STORED else _MAX_INFLATED_BYTES
    if member.file_size > limit:
        raise DamagedCheckpointError(f"{name}: data.pkl claims {member.file_size} bytes; no checkpoint's is so long")


def _read_legacy(file: IO[bytes], name: str) -> object:
    """Before torch 1.6: pickles in a row, of a magic number, a version, the machine, and the checkpoint.

    The weights follow in the same file, so only its beginning is read: twice as much again, until it is enough.
    """
    data = file.read(_FIRST_LEGACY_BYTES)
    while True:
        try:
            magic, end = read_pickle(data)
            if magic != _LEGACY_MAGIC:
                raise ForeignFileError(f"{name}: a pickle, but not a checkpoint; expected one that torch.save wrote")
            for _ in range(3):
                value, end = read_pickle(data, end)
            return value
        except TruncatedPickleError:
            more = file.read(len(data)) if len(data) < _MAX_PICKLE_BYTES else b""
            if not more:
                raise
            data += more


def _is_small_tree(data: object) -> bool:
    """Tell whether all of `data` can be walked.

    A few bytes of pickle can say "this list holds the one before twice", fifty times over.
    """
    level, count = [data], 0
    for _ in range(_MAX_DEPTH):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict | list):
                below.extend(value.values() if isinstance(value, dict) else value)
            if len(below) > _MAX_VALUES:
                return False
        count += len(below)
        if not below:
            return count <= _MAX_VALUES
        level = below
    return False

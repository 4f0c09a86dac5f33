"""Read a record out of a checkpoint, without torch, and without running anything the file says.

A checkpoint is a zip whose `data.pkl` refers to the weights by name; they are members of their own and are never
opened, so the cost does not grow with them. The pickle is not loaded either: its opcodes are read up to the record,
which is one JSON text (`pickle_entries.py`, `record_json.py`). A hostile file can at worst be refused.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from lit_hydra_bridge.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    DamagedCheckpointError,
    ForeignFileError,
    InvalidRecordError,
    NoRecordError,
)
from lit_hydra_bridge.files import DamagedFileError, opened, read_json
from lit_hydra_bridge.record.record_json import parse_record
from lit_hydra_bridge.record.run_record import RECORD_KEY, RunRecord
from lit_hydra_bridge.reload.pickle_entries import BadPickleError, TruncatedPickleError, entries, single_value
from lit_hydra_bridge.reload.run_folder import META, newest_file
from lit_hydra_bridge.run_file import MAX_BYTES, RUN_FILE, ForeignRunFileError, parse_run_file

_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
_LEGACY_TEXT_MAGIC: Final = b"L%dL\n" % _LEGACY_MAGIC  # as pickle's protocols 0 and 1 write it
# Far beyond any real checkpoint's: the pickle holds names, not weights.
_MAX_PICKLE_BYTES: Final = 1 << 30
# torch never compresses; a zip that was packed again is read, a zip bomb is not.
_MAX_INFLATED_BYTES: Final = 1 << 24
_MAX_MESSAGE: Final = 300
_EMPTY_PICKLE: Final = b"}."
STRIPPED: Final = ""
"""What `strip` leaves in a record's place: the key stays, so that all else in the file does."""
_WHY_NO_RECORD: Final = "it was saved without lit-hydra-bridge, outside a Hydra job, or with LIT_HYDRA_BRIDGE=off"


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
        in_run_file = Path(name).name == RUN_FILE
        stored: object = _record_in_run_file(file, name) if in_run_file else _stored_record(file, name)
    try:
        return RunRecord.from_dict(stored) if in_run_file else parse_record(stored)
    except InvalidRecordError as error:
        raise _malformed(name, str(error)) from None


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
    try:
        record = read_json(path, RunRecord.from_dict)
    except DamagedFileError as error:
        raise CheckpointError(str(error)) from None
    if record is None:
        raise CheckpointNotFoundError(f"{path}: there is no such file or folder")
    return record


def _malformed(name: str, reason: str) -> DamagedCheckpointError:
    cut = reason if len(reason) <= _MAX_MESSAGE else reason[:_MAX_MESSAGE] + " ..."
    return DamagedCheckpointError(f"{name}: its record is malformed: {cut}; use another checkpoint of the run")


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
        with opened(file) as local:
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


def _stored_record(file: IO[bytes], name: str) -> str | None:
    """Return the text that is stored under the record's key; None where it is not a text."""
    try:
        stored = next((value for key, value in entries(_checkpoint_pickle(file, name)) if key == RECORD_KEY), None)
    except TruncatedPickleError:
        raise DamagedCheckpointError(f"{name}: the checkpoint ends too early: its writing was cut off") from None
    except BadPickleError as error:
        raise DamagedCheckpointError(f"{name}: the checkpoint is damaged: {error}") from None
    if stored is None or stored.text == STRIPPED:
        raise NoRecordError(
            f"{name}: this checkpoint has no record of how it was made: "
            + ("lit-hydra strip removed it" if stored else _WHY_NO_RECORD)
        )
    return stored.text


def _checkpoint_pickle(file: IO[bytes], name: str) -> IO[bytes]:
    """Return a stream that is at the beginning of the checkpoint's pickle."""
    start = file.read(len(_LEGACY_TEXT_MAGIC))
    file.seek(0)
    if start[:2] == b"PK":
        data = pickle_of_zip(file, name)
        return io.BytesIO(data if RECORD_KEY.encode() in data else _EMPTY_PICKLE)  # the whole need not be walked
    if start[:1] != b"\x80" and start != _LEGACY_TEXT_MAGIC:
        what = "is empty" if not start else "is not a checkpoint (neither a zip nor a pickle)"
        raise ForeignFileError(f"{name}: the file {what}; expected one that Lightning or torch.save wrote")
    # Before torch 1.6: a pickle each of a magic number, a version, the machine, and the checkpoint; then the weights.
    if single_value(file) != _LEGACY_MAGIC:
        raise ForeignFileError(f"{name}: a pickle, but not a checkpoint; expected one that torch.save wrote")
    for _ in range(2):
        single_value(file)
    return file


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

"""A checkpoint -> a copy that can be given away: without its record, or with the part of it that tells on nobody."""

from __future__ import annotations

import io
import os
import re
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from lit_hydra_bridge.errors import CheckpointError, CheckpointNotFoundError, DamagedCheckpointError, NoRecordError
from lit_hydra_bridge.record.record_json import record_text
from lit_hydra_bridge.record.run_record import RECORD_KEY
from lit_hydra_bridge.reload.checkpoint import STRIPPED, checkpoint_file, data_pkl, pickle_of_zip, read_record
from lit_hydra_bridge.reload.pickle_entries import BadPickleError, Value, entries, texts
from lit_hydra_bridge.reload.strip.private_record import private_record
from lit_hydra_bridge.reload.strip.zip_copy import ZipCopyError, copy_zip
from lit_hydra_bridge.run_file import RUN_FILE

_META: Final = "meta.pt"
_A_PATH: Final = re.compile(r"(/[^/\s]+){2,}/?|[A-Za-z]:\\[^\n]+")
_MAX_NAME: Final = 60
_FRAME_BYTES: Final = 9


def strip(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    private: bool = False,
    force: bool = False,
) -> Path:
    """Write a copy of a checkpoint without its record, and return where it is.

    The weights are not loaded: every member of the file but the one that holds the record is copied byte for byte,
    and of that one all but the record stays as it is. Nothing that the file says is run. The copy appears under its
    name when it is whole.

    Args:
        path: a checkpoint file, or a sharded checkpoint's folder.
        output: where to write; None: beside it, `last.ckpt` -> `last.stripped.ckpt`.
        private: keep a record, without what says who made the run and where: git diff, remote, branch and untracked
            files, host, command line, folders, job id, loggers' names and ids, ancestors' paths and configs. Absolute
            paths in the config and in overrides become `<path>`, or `<cwd>/…`, `<output_dir>/…`.
        force: replace `output` where it exists; it may be `path` itself.

    Raises:
        NoRecordError: the checkpoint has no record; nothing was written.
        CheckpointError: it can't be read, or the copy can't be written; nothing was written.
    """
    place = os.fsdecode(path)
    source = _source(place)
    target = _target(source, output, force)
    try:
        if not source.is_dir():
            _write_stripped(source, target, private)
        elif _is_same(source, target):
            _write_stripped(source / _META, target / _META, private)
        else:
            _write_folder(source, target, private)
    except OSError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{target}: can't be written: {error.strerror or error}") from None
    return target


def paths_in(path: str | os.PathLike[str]) -> list[str]:
    """Return the absolute paths in a checkpoint's data, each once: what `strip` leaves since it is not the record's.

    Lightning's ModelCheckpoint keeps some, and an app's hyperparameters may.
    """
    file = checkpoint_file(Path(path))
    with file.open("rb") as opened:
        data = pickle_of_zip(opened, str(file))
    return list(dict.fromkeys(text for text in texts(io.BytesIO(data)) if _A_PATH.fullmatch(text)))


def _source(place: str) -> Path:
    if not place:
        raise CheckpointNotFoundError("the path is empty; expected a checkpoint file, or a sharded checkpoint's folder")
    if "://" in place:
        raise CheckpointError(f"{place}: only a local checkpoint can be stripped; copy it to this machine first")
    path = Path(place)
    try:
        if not path.exists():
            raise CheckpointNotFoundError(f"{place}: there is no such file or folder")
        if path.name == RUN_FILE:
            raise CheckpointError(f"{place}: is the record of a run, and no checkpoint")
        if path.is_dir() and not (path / _META).is_file():
            newest = checkpoint_file(path)
            chosen = newest.parent if newest.name == _META else newest
            raise CheckpointError(f"{place}: is a folder of a run; say which checkpoint to strip, such as {chosen}")
    except (OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{place}: can't be read: {getattr(error, 'strerror', None) or error}") from None
    return path


def _target(source: Path, output: str | os.PathLike[str] | None, force: bool) -> Path:
    if output is None:
        named = Path(os.path.realpath(source)) if source.name in ("", ".", "..") else source
        target = named.with_name(f"{named.stem}.stripped{named.suffix}")
    else:
        target = Path(os.fsdecode(output))
    if not target.parent.is_dir():
        raise CheckpointError(f"{target}: can't be written: there is no folder {target.parent}")
    if not os.path.lexists(target):
        if source.is_dir() and Path(os.path.realpath(source)) in Path(os.path.realpath(target)).parents:
            raise CheckpointError(f"{target}: is inside the checkpoint that is copied; choose a place outside of it")
        return target
    if target.is_dir() != source.is_dir():
        raise CheckpointError(f"{target}: is there already, and {'a' if target.is_dir() else 'no'} folder")
    if not force:
        raise CheckpointError(f"{target}: is there already; choose another output, or replace it with --force")
    if not target.is_dir() and target.exists() and not target.is_file():
        raise CheckpointError(f"{target}: is not a file, and can't be replaced by one")
    if target.is_dir() and not _is_same(source, target):
        _check_folder(source, target)
    # What a symbolic link leads to is replaced, and not the link: its old content must not stay behind.
    return Path(os.path.realpath(target))


def _check_folder(source: Path, target: Path) -> None:
    inner, outer = Path(os.path.realpath(source)), Path(os.path.realpath(target))
    if inner in outer.parents or outer in inner.parents:
        raise CheckpointError(f"{target}: one of the two folders is inside the other; choose another output")
    if not (target / _META).is_file():
        raise CheckpointError(f"{target}: is a folder, but no sharded checkpoint; it is not replaced")


def _is_same(source: Path, target: Path) -> bool:
    return target.exists() and source.samefile(target)


def _write_stripped(source: Path, target: Path, private: bool) -> None:
    name = str(source)
    with _opened(source) as file:
        member, data = _stripped_pickle(file, name, private)
        with _file_beside(target, source) as copy:
            try:
                copy_zip(file, copy, member, data)
                copy.flush()
                _check_copy(file, copy, member, data)
            except (ZipCopyError, zipfile.BadZipFile) as error:
                raise DamagedCheckpointError(f"{name}: {error}; nothing was written") from None


@contextmanager
def _opened(source: Path) -> Iterator[IO[bytes]]:
    try:
        file = source.open("rb")
    except OSError as error:
        raise CheckpointError(f"{source}: can't be read: {error.strerror or error}") from None
    with file:
        yield file


def _stripped_pickle(file: IO[bytes], name: str, private: bool) -> tuple[str, bytes]:
    """Return the name of the member that holds the record, and what is to be in it."""
    if file.read(2) != b"PK":
        read_record(name)  # says what is wrong, unless it is a checkpoint
        raise CheckpointError(
            f"{name}: was written in torch's format from before version 1.6, which can't be stripped; "
            "load it with torch.load, and save it again with torch.save"
        )
    data = pickle_of_zip(file, name)
    try:
        found = [value for key, value in entries(io.BytesIO(data)) if key == RECORD_KEY]
    except BadPickleError as error:
        raise DamagedCheckpointError(f"{name}: can't be stripped: {error}; nothing was written") from None
    stored = [each for each in found if each.text != STRIPPED]
    if not stored:
        raise NoRecordError(f"{name}: has no record that could be stripped; nothing was written")
    if len(found) > 1 or stored[0].text is None:
        raise DamagedCheckpointError(f"{name}: can't be stripped: its record is malformed; nothing was written")
    text = record_text(private_record(read_record(name))) if private else STRIPPED
    with zipfile.ZipFile(file) as archive:
        return data_pkl(archive, name).orig_filename, _with_text(data, stored[0], text)


def _with_text(data: bytes, old: Value, text: str) -> bytes:
    """Return the pickle with a text in the place of a value, and all else as it is."""
    encoded = text.encode()
    opcode = b"X" + struct.pack("<I", len(encoded)) + encoded
    before = data[: old.start]
    if old.frame is not None:  # its length is no longer right, and no reader needs it
        before = before[: old.frame] + before[old.frame + _FRAME_BYTES :]
    return before + opcode + data[old.end :]


def _check_copy(source: IO[bytes], copy: IO[bytes], member: str, data: bytes) -> None:
    """Read back what was written: the same members, and the new data."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(copy) as new:

        def others(archive: zipfile.ZipFile) -> dict[str, tuple[int, int, int]]:
            return {
                info.orig_filename: (info.CRC, info.compress_size, info.file_size)
                for info in archive.infolist()
                if info.orig_filename != member
            }

        if others(old) != others(new) or new.read(member) != data:
            raise ZipCopyError("the copy is not as it should be")


@contextmanager
def _file_beside(target: Path, like: Path) -> Iterator[IO[bytes]]:
    """Open a new file that becomes `target` when all went well, and is gone otherwise."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:_MAX_NAME]}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(like, temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_folder(source: Path, target: Path, private: bool) -> None:
    with _opened(source / _META) as file:  # before gigabytes are copied
        _stripped_pickle(file, str(source / _META), private)
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:_MAX_NAME]}.", suffix=".part"))
    try:
        copy = beside / "new"
        shutil.copytree(source, copy, ignore=lambda folder, _: [_META] if Path(folder) == source else [])
        _write_stripped(source / _META, copy / _META, private)
        _put_in_place(copy, target, beside / "old")
    except shutil.Error as error:
        raise CheckpointError(f"{source}: can't be copied: {str(error)[:200]}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _put_in_place(new: Path, target: Path, old: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise

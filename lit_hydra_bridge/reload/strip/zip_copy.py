"""Copy a zip with one member's data exchanged, every other member's bytes as they are.

Nothing is unpacked or packed again, so a checkpoint of any size costs one reading and one writing. torch maps
weights into memory from where they lie in the file, and therefore begins each member's data at a multiple of 64
bytes (or of what it was told), by a field of padding in the member's header. That padding is made anew here.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, Final

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64: Final = struct.Struct("<4sLQL")
_DESCRIPTOR_SIGNATURE: Final = b"PK\x07\x08"
_HAS_DESCRIPTOR: Final = 0x08
_ENCRYPTED: Final = 0x01
_UTF8: Final = 0x800
_ZIP64: Final = 1
_PADDING: Final = int.from_bytes(b"FB", "little")
_MAX_32: Final = 0xFFFFFFFF
_MAX_16: Final = 0xFFFF
_MAX_ALIGNMENT: Final = 1 << 15
_CHUNK_BYTES: Final = 1 << 20


class ZipCopyError(Exception):
    """The zip is damaged, or of a kind that torch never writes."""


@dataclass(frozen=True)
class _Member:
    info: zipfile.ZipInfo
    header: bytes
    name: bytes
    fields: list[tuple[int, bytes]]
    """The header's extra fields, without the padding."""
    padded: bool
    data_at: int

    @property
    def descriptor_size(self) -> int:
        """Of a descriptor's numbers, without its signature, in bytes."""
        if not self.info.flag_bits & _HAS_DESCRIPTOR:
            return 0
        return 20 if any(kind == _ZIP64 for kind, _ in self.fields) else 12


def copy_zip(source: IO[bytes], target: IO[bytes], exchanged: str, data: bytes) -> None:
    """Write a copy of the zip `source` to `target`, in which the member `exchanged` holds `data`, uncompressed.

    Raises:
        ZipCopyError: the zip is damaged.
        OSError: the target can't be written.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            infos, comment = archive.infolist(), archive.comment
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise ZipCopyError(f"its zip is damaged: {error}") from None
    members = _members(source, sorted(infos, key=lambda info: info.header_offset))
    alignment = _alignment(members)
    entries = []
    for member in members:
        offset = target.tell()
        if member.info.orig_filename == exchanged:
            _write_exchanged(target, member, data, alignment)
        else:
            _write_copied(source, target, member, alignment)
        entries.append((member.info, offset))
    _write_directory(target, entries, comment)


def data_offsets(source: IO[bytes]) -> dict[str, int]:
    """Return where each member's data begins, in bytes."""
    with zipfile.ZipFile(source) as archive:
        return {member.info.filename: member.data_at for member in _members(source, archive.infolist())}


def _members(source: IO[bytes], infos: list[zipfile.ZipInfo]) -> list[_Member]:
    size = source.seek(0, 2)
    if sum(info.compress_size for info in infos) > size:
        raise ZipCopyError("its members claim to be longer than the file")
    if len({info.filename for info in infos}) < len(infos):
        raise ZipCopyError("two of its members have the same name, and either could be the one that is read")
    return [_member(source, info) for info in infos]


def _member(source: IO[bytes], info: zipfile.ZipInfo) -> _Member:
    source.seek(info.header_offset)
    header = source.read(_LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04" or info.flag_bits & _ENCRYPTED:
        raise ZipCopyError(f"its zip is damaged: there is no header of {info.filename!r} where it should be")
    name_size, extra_size = struct.unpack_from("<2H", header, 26)
    name, extra = source.read(name_size), source.read(extra_size)
    fields = _fields(extra)
    return _Member(
        info,
        header,
        name,
        [(kind, content) for kind, content in fields if kind != _PADDING],
        any(kind == _PADDING for kind, _ in fields),
        source.tell(),
    )


def _fields(extra: bytes) -> list[tuple[int, bytes]]:
    result, at = [], 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        result.append((kind, extra[at + 4 : at + 4 + size]))
        at += 4 + size
    return result


def _packed(fields: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack("<2H", kind, len(content)) + content for kind, content in fields)


def _alignment(members: list[_Member]) -> int:
    """Return the largest power of two at whose multiples all padded data begins."""
    common = _MAX_ALIGNMENT
    for member in members:
        if member.padded:
            while member.data_at % common:
                common //= 2
    return common


def _write_header(target: IO[bytes], member: _Member, header: bytes, alignment: int) -> None:
    extra = _packed(member.fields)
    if member.padded:
        unpadded = target.tell() + len(header) + len(member.name) + len(extra) + 4
        extra += _packed([(_PADDING, b"Z" * (-unpadded % alignment))])
    target.write(header[:28] + struct.pack("<H", len(extra)) + member.name + extra)


def _write_copied(source: IO[bytes], target: IO[bytes], member: _Member, alignment: int) -> None:
    _write_header(target, member, member.header, alignment)
    source.seek(member.data_at)
    left = member.info.compress_size
    while left:
        chunk = source.read(min(left, _CHUNK_BYTES))
        if not chunk:
            raise ZipCopyError(f"{member.info.filename} in it is cut off")
        target.write(chunk)
        left -= len(chunk)
    if member.descriptor_size:
        signature = source.read(4)
        rest = source.read(member.descriptor_size - (0 if signature == _DESCRIPTOR_SIGNATURE else 4))
        target.write(signature + rest)


def _write_exchanged(target: IO[bytes], member: _Member, data: bytes, alignment: int) -> None:
    info = member.info
    info.CRC, info.compress_size, info.file_size = zlib.crc32(data), len(data), len(data)
    info.compress_type = zipfile.ZIP_STORED
    values = list(_LOCAL.unpack(member.header))
    values[3] = zipfile.ZIP_STORED
    numbers = [info.CRC, len(data), len(data)]
    values[6:9] = [0, 0, 0] if member.descriptor_size else numbers
    plain = _Member(info, b"", member.name, [f for f in member.fields if f[0] != _ZIP64], member.padded, 0)
    _write_header(target, plain, _LOCAL.pack(*values), alignment)
    target.write(data)
    if member.descriptor_size:
        target.write(_DESCRIPTOR_SIGNATURE + struct.pack("<3L", *numbers))


def _write_directory(target: IO[bytes], entries: list[tuple[zipfile.ZipInfo, int]], comment: bytes) -> None:
    begin = target.tell()
    for info, offset in entries:
        target.write(_directory_entry(info, offset))
    end = target.tell()
    count, size = len(entries), end - begin
    if count >= _MAX_16 or size >= _MAX_32 or begin >= _MAX_32:
        target.write(_END64.pack(b"PK\x06\x06", _END64.size - 12, 45, 45, 0, 0, count, count, size, begin))
        target.write(_LOCATOR64.pack(b"PK\x06\x07", 0, end, 1))
    short = min(count, _MAX_16)
    target.write(
        _END.pack(b"PK\x05\x06", 0, 0, short, short, min(size, _MAX_32), min(begin, _MAX_32), len(comment)) + comment
    )


def _directory_entry(info: zipfile.ZipInfo, offset: int) -> bytes:
    name = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
    long = [number for number in (info.file_size, info.compress_size, offset) if number >= _MAX_32]
    fields = [field for field in _fields(info.extra) if field[0] not in (_ZIP64, _PADDING)]
    if long:
        fields.insert(0, (_ZIP64, struct.pack(f"<{len(long)}Q", *long)))
    year, month, day, hour, minute, second = info.date_time
    extra = _packed(fields)
    fixed = _CENTRAL.pack(
        b"PK\x01\x02",
        info.create_version | info.create_system << 8,
        max(info.extract_version, 45 if long else 0),
        info.flag_bits,
        info.compress_type,
        hour << 11 | minute << 5 | second // 2,
        (year - 1980) << 9 | month << 5 | day,
        info.CRC,
        min(info.compress_size, _MAX_32),
        min(info.file_size, _MAX_32),
        len(name),
        len(extra),
        len(info.comment),
        0,
        info.internal_attr,
        info.external_attr,
        min(offset, _MAX_32),
    )
    return fixed + name + extra + info.comment

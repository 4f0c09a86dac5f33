"""The entries of a pickle's outermost mapping, without unpickling it.

The opcodes are read one by one with the standard library's pickletools, up to the entry that is wanted and no further.
They are not executed: only the texts and marks on their stack are followed, so that the keys of the outermost mapping
can be told from those of the mappings inside it. Nothing that the pickle names is built, imported or called.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final, NamedTuple, cast

MAX_OPCODES: Final = 20_000_000
"""A checkpoint of a large model has some hundred thousand."""
# No single value of a checkpoint's pickle is longer: weights are stored elsewhere, in a legacy file behind it.
MAX_READ_BYTES: Final = 64 << 20

_TEXTS: Final = frozenset({"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})
_SILENT: Final = frozenset({"PROTO", "FRAME", "STOP", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"})
_PUTS: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GETS: Final = frozenset({"GET", "BINGET", "LONG_BINGET"})
# For each opcode: how many values it takes (below the mark, if it takes all above that), and how many it gives.
_EFFECTS: Final = {
    opcode.name: (
        opcode.stack_before.index(pickletools.markobject)
        if pickletools.markobject in opcode.stack_before
        else len(opcode.stack_before),
        pickletools.markobject in opcode.stack_before,
        len(opcode.stack_after),
    )
    for opcode in pickletools.opcodes
}


class BadPickleError(Exception):
    """The bytes are not a pickle."""


class TruncatedPickleError(BadPickleError):
    """The bytes end before the pickle does."""


class Value(NamedTuple):
    """A value on pickle's stack."""

    text: str | None
    """None for all that is not a text."""
    start: int
    """Where the opcode that pushed it begins, in bytes from the beginning of the file."""
    end: int
    """Where that opcode ends."""
    frame: int | None
    """Where the FRAME opcode before it begins (protocol 4 and newer)."""


class _BoundedReader:
    """Refuses to read more at once than any checkpoint needs, however long a value claims to be."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if size > MAX_READ_BYTES:
            raise TruncatedPickleError(f"a value in it claims to have {size} bytes")
        return self._file.read(size)

    def readline(self) -> bytes:
        return self._file.readline(MAX_READ_BYTES)


def single_value(file: IO[bytes]) -> object:
    """Read past one pickle, and return its value if that is a text or a number and nothing else, None if not."""
    with _one_error(file):
        values = [argument for name, argument, _ in _opcodes(file) if name not in _SILENT]
    return values[0] if len(values) == 1 else None


def entries(file: IO[bytes]) -> Iterator[tuple[str, Value]]:
    """Yield the entries of the outermost mapping whose keys are texts.

    The first one comes as soon as its text was read; a tuple that begins with a text is taken for that text. The
    others come when they are put into the mapping: until then they could as well belong to a mapping inside it.

    Raises:
        BadPickleError: the bytes are not a pickle, or it has more than MAX_OPCODES.
    """
    stack = _Stack()
    first = None
    with _one_error(file):
        for name, argument, start in _opcodes(file):
            for key, value in stack.put_into_outermost(name):
                if value.start != first:
                    yield key, value
            stack.apply(name, argument, start, file.tell())
            if first is None and (entry := stack.first_entry()) is not None:
                first = entry[1].start
                yield entry


def texts(file: IO[bytes]) -> Iterator[str]:
    """Yield every text that a pickle spells out, in its order.

    Raises:
        BadPickleError: as `entries`.
    """
    with _one_error(file):
        for _, argument, _ in _opcodes(file):
            if isinstance(argument, str):
                yield argument


def _opcodes(file: IO[bytes]) -> Iterator[tuple[str, Any, int]]:
    reader = cast("IO[bytes]", _BoundedReader(file))
    for count, (opcode, argument, position) in enumerate(pickletools.genops(reader)):
        if count >= MAX_OPCODES:
            raise BadPickleError(f"its pickle has more than {MAX_OPCODES:,} opcodes")
        yield opcode.name, argument, position or 0


@contextmanager
def _one_error(file: IO[bytes]) -> Iterator[None]:
    """Bytes that are not a pickle make pickletools, and our stack, fail in several ways."""
    try:
        yield
    except (IndexError, KeyError, ValueError, OverflowError, struct.error) as error:
        if not file.read(1):
            raise TruncatedPickleError("it ends too early") from None
        raise BadPickleError(f"no valid pickle near byte {file.tell()}: {type(error).__name__}") from None


class _Stack:
    """What the opcodes have put on pickle's stack."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self._marks: list[int] = []
        self._memo: dict[int, Value] = {}
        self._frame: int | None = None

    def apply(self, name: str, argument: Any, start: int, end: int) -> None:
        """Do to the stack what an opcode does to it."""
        values = self.values
        if name in _TEXTS:
            values.append(Value(argument, start, end, self._frame))
        elif name == "MARK":
            self._marks.append(len(values))
        elif name in _GETS:
            values.append(self._memo[argument]._replace(start=start, end=end, frame=self._frame))
        elif name in _PUTS:
            self._memo[argument] = values[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = values[-1]
        elif name == "FRAME":
            self._frame = start
        else:
            takes, to_mark, gives = _EFFECTS[name]
            if to_mark:
                del values[self._marks.pop() :]
            if takes > len(values):
                raise IndexError("the stack is empty")
            del values[len(values) - takes :]
            values.extend([Value(None, start, end, self._frame)] * gives)

    def first_entry(self) -> tuple[str, Value] | None:
        """Return the key and the value of `[mapping, (mark,) key, value]`, if that is the stack and both are texts."""
        if len(self.values) != 3 or self._marks not in ([], [1]):
            return None
        _, key, value = self.values
        return (key.text, value) if key.text is not None and value.text is not None else None

    def put_into_outermost(self, name: str) -> Iterator[tuple[str, Value]]:
        """Yield the keys, if they are texts, and the values that an opcode is about to put into the lowest value."""
        if (name == "SETITEMS" and self._marks == [1]) or (name == "SETITEM" and len(self.values) == 3):
            for key, value in zip(self.values[1::2], self.values[2::2], strict=False):
                if key.text is not None:
                    yield key.text, value

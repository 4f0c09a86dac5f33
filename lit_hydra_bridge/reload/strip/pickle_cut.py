"""Cut one key of the top-level dict out of a pickle, and leave every other opcode as it is.

Nothing is loaded or run. The opcodes are followed with a stack that holds no values, only where in the pickle each
one was made; so the opcodes that made the key and its value are known, and are left out. What remains may refer to a
text that was first spelled out in the part that went: there the text itself is put in.
"""

from __future__ import annotations

import pickletools
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

_TEXTS: Final = frozenset({"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})
_PUTS: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS: Final = frozenset({"GET", "BINGET", "LONG_BINGET"})
# They change the object below them, and leave it where it is.
_MUTATIONS: Final = frozenset({"SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS", "BUILD"})
_MARK, _SETITEM, _SETITEMS = "MARK", "SETITEM", "SETITEMS"


class PickleCutError(Exception):
    """The pickle has not a form in which the key can be cut out."""


@dataclass(slots=True)
class _Item:
    """What the stack holds: the opcode with which a value begins, and that which spells it out if it is a text."""

    first: int
    literal: int | None = None


@dataclass(frozen=True)
class _Pair:
    """A key and its value in the top-level dict, as ranges of opcodes."""

    key: int
    value: int
    end: int
    whole: tuple[int, int]
    """What has to go with them: the opcode that sets them, where it sets nothing else."""


@dataclass
class _Opcodes:
    """A pickle, opcode by opcode."""

    data: bytes
    names: list[str] = field(default_factory=list)
    arguments: list[Any] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    """One more than there are opcodes: the last is where the pickle ends."""

    def bytes_of(self, index: int) -> bytes:
        return self.data[self.starts[index] : self.starts[index + 1]]


def cut(data: bytes, key: str, replacement: object = None) -> bytes:
    """Return a pickle without `key` in its top-level dict.

    Args:
        data: the pickle; what follows its end stays.
        key: the key to cut out.
        replacement: plain data to put there as its value; None cuts the key out as well.

    Raises:
        PickleCutError: the pickle has no such key, or it can't be cut out without a change to something else.
    """
    opcodes = _read(data)
    tracer = _Tracer(opcodes, key)
    tracer.run()
    if not tracer.pairs:
        raise PickleCutError(f"no {key!r} was found in its top-level dict")
    new = plain_opcodes(replacement) if replacement is not None else b""
    result = _rewrite(tracer, new) + data[opcodes.starts[-1] :]
    _check(tracer, result, key, keep_key=bool(new))
    return result


def texts_in(data: bytes) -> list[str]:
    """Return every text that a pickle spells out, in its order."""
    opcodes = _read(data)
    return [
        argument for name, argument in zip(opcodes.names, opcodes.arguments, strict=True) if name in _TEXTS and argument
    ]


def plain_opcodes(value: object) -> bytes:
    """Return opcodes of protocol 2 that make plain data, and use no memo."""
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(text)) + text
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, int):
        if -(1 << 31) <= value < 1 << 31:
            return b"J" + struct.pack("<i", value)
        digits = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8b" + struct.pack("<I", len(digits)) + digits
    if isinstance(value, list):
        return b"](" + b"".join(map(plain_opcodes, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(plain_opcodes(part) for pair in value.items() for part in pair) + b"u"
    raise TypeError(f"{type(value).__name__} is no plain data")


def _read(data: bytes) -> _Opcodes:
    result = _Opcodes(data)
    try:
        for opcode, argument, position in pickletools.genops(data):
            result.names.append(opcode.name)
            result.arguments.append(argument)
            result.starts.append(position or 0)
    except (ValueError, struct.error, OverflowError) as error:
        raise PickleCutError(f"its pickle makes no sense: {str(error)[:100]}") from None
    result.starts.append(result.starts[-1] + 1)  # STOP is one byte
    return result


@lru_cache(maxsize=256)
def _effect(name: str) -> tuple[int, bool, int]:
    """Return how many values an opcode takes from below the mark, whether it takes all above it, how many it puts."""
    opcode = next(known for known in pickletools.opcodes if known.name == name)
    before = opcode.stack_before
    has_mark = pickletools.markobject in before
    taken = before.index(pickletools.markobject) if has_mark else len(before)
    return taken, has_mark, len(opcode.stack_after)


class _Tracer:
    """Follows the opcodes, and notes where the key's pairs are and what the memo refers to."""

    def __init__(self, opcodes: _Opcodes, key: str) -> None:
        self.opcodes = opcodes
        self.key = key
        self.pairs: list[_Pair] = []
        self.memo_index: dict[int, int] = {}
        """Position of an opcode that writes to the memo -> where to."""
        self.literal: dict[int, int | None] = {}
        """Position of an opcode that uses the memo -> the opcode that spells out the text meant, if it is one."""
        self._stack: list[_Item] = []
        self._marks: list[int] = []
        self._memo: dict[int, _Item] = {}

    def run(self) -> None:
        """Follow the opcodes to the end."""
        try:
            for index, name in enumerate(self.opcodes.names):
                self._step(index, name)
        except (IndexError, KeyError):
            raise PickleCutError("its pickle takes what it has not put there") from None

    def _step(self, index: int, name: str) -> None:
        stack = self._stack
        if name == _MARK:
            self._marks.append(len(stack))
            stack.append(_Item(index))
        elif name in _PUTS:
            to = len(self._memo) if name == "MEMOIZE" else self.opcodes.arguments[index]
            self.memo_index[index], self.literal[index] = to, stack[-1].literal
            self._memo[to] = stack[-1]
        elif name in _GETS:
            self.literal[index] = self._memo[self.opcodes.arguments[index]].literal
            stack.append(_Item(index, self.literal[index]))
        elif name in _TEXTS:
            stack.append(_Item(index, index))
        elif name == "POP" and self._marks and self._marks[-1] == len(stack) - 1:
            stack.pop(self._marks.pop())
        else:
            self._other(index, name)

    def _other(self, index: int, name: str) -> None:
        taken, has_mark, put = _effect(name)
        mark = self._marks[-1] if has_mark else len(self._stack)
        if mark < taken or (self._marks and not has_mark and mark - taken <= self._marks[-1]):
            raise IndexError
        if name in (_SETITEM, _SETITEMS) and mark == (1 if name == _SETITEMS else 3):
            self._note_pairs(index, mark)
        if has_mark:
            self._marks.pop()
        items = self._stack[mark - taken :]
        del self._stack[mark - taken :]
        if name in _MUTATIONS:
            self._stack.append(items[0])
        else:
            first = items[0].first if items else index
            self._stack.extend(_Item(first if i == 0 else index) for i in range(put))

    def _note_pairs(self, index: int, mark: int) -> None:
        several = self.opcodes.names[index] == _SETITEMS
        items = self._stack[mark + 1 :] if several else self._stack[1:]
        if len(items) % 2:
            raise IndexError
        bounds = [*(item.first for item in items), index]
        for i in range(0, len(items), 2):
            literal = items[i].literal
            if literal is not None and self.opcodes.arguments[literal] == self.key:
                alone = len(items) == 2
                begin = self._stack[mark].first if alone and several else bounds[i]
                whole = (begin, index + 1 if alone else bounds[i + 2])
                self.pairs.append(_Pair(bounds[i], bounds[i + 1], bounds[i + 2], whole))


def _cut_ranges(tracer: _Tracer, keep_key: bool) -> list[tuple[int, int]]:
    return [(pair.value, pair.end) if keep_key else pair.whole for pair in tracer.pairs]


def _rewrite(tracer: _Tracer, new: bytes) -> bytes:
    opcodes, out = tracer.opcodes, []
    ends = dict(_cut_ranges(tracer, bool(new)))
    gone: dict[int, int | None] = {}
    """What the memo lacks since its writing was cut out -> the opcode that spells it out."""
    inside_until = 0
    for index, name in enumerate(opcodes.names):
        if index in ends:
            inside_until = ends[index]
            out.append(new)
        if index < inside_until:
            if name in _PUTS:
                gone[tracer.memo_index[index]] = tracer.literal[index]
        elif name in _PUTS:
            gone.pop(tracer.memo_index[index], None)
            # MEMOIZE counts what is in the memo, which is less now.
            out.append(_put(tracer.memo_index[index]) if name == "MEMOIZE" else opcodes.bytes_of(index))
        elif name in _GETS and opcodes.arguments[index] in gone:
            literal = gone.pop(opcodes.arguments[index])
            if literal is None:
                raise PickleCutError("the rest of it refers to an object inside the record")
            out += [opcodes.bytes_of(literal), _put(opcodes.arguments[index])]
        elif name != "FRAME":  # frames are optional, and their lengths are no longer right
            out.append(opcodes.bytes_of(index))
    return b"".join(out)


def _put(index: int) -> bytes:
    return b"q" + bytes([index]) if index < 256 else b"r" + struct.pack("<I", index)


def _check(tracer: _Tracer, result: bytes, key: str, *, keep_key: bool) -> None:
    """Hold the new pickle against the old one: the same opcodes, but for the part that went."""
    again = _Tracer(_read(result), key)
    again.run()
    if bool(again.pairs) != keep_key or _meaning(tracer, keep_key) != _meaning(again, keep_key):
        raise PickleCutError("the record could not be cut out without a change to something else")


def _meaning(tracer: _Tracer, keep_key: bool) -> list[object]:
    """Return the opcodes outside of the record, with each text spelled out, and without the memo's bookkeeping."""
    opcodes, result = tracer.opcodes, list[object]()
    ends = dict(_cut_ranges(tracer, keep_key))
    inside_until = 0
    for index, name in enumerate(opcodes.names):
        inside_until = ends.get(index, inside_until)
        if index < inside_until or name in _PUTS or name == "FRAME":
            continue
        literal = tracer.literal.get(index, index if name in _TEXTS else None)
        if literal is not None:
            result.append(("text", opcodes.arguments[literal]))
        elif name in _GETS:
            result.append(("object", opcodes.arguments[index]))
        else:
            result.append(opcodes.bytes_of(index))
    return result

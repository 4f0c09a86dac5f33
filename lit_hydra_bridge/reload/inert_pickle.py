"""Read the plain data in a pickle without running, importing or building anything that it names.

Python's own unpickler is a machine that a hostile file drives: it calls what the file says, hashes what the file
nested, and makes a memo table as long as the file asks for. This one knows the same opcodes and builds dict, list,
str, int, float, bool and None alone. Whatever else a pickle may hold (an object, a tensor, a tuple, bytes) becomes
`INERT`, and whatever is done to it leaves it as it is. There is no recursion, and nothing is read twice, so time and
memory are bounded by the length of the pickle.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final


class BadPickleError(Exception):
    """The bytes are no pickle."""


class TruncatedPickleError(BadPickleError):
    """The bytes end before the pickle does."""


class _Inert:
    """What stands for everything that is not plain data."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<an object>"


INERT: Final = _Inert()
# An OrderedDict is plain data to us: some libraries make one of a whole checkpoint.
_ORDERED_DICT: Final = _Inert()
_KEY_TYPES: Final = frozenset({str, int, float, bool, type(None)})
# Far beyond any number in a record; a longer one could not even be printed.
_MAX_INT_BYTES: Final = 1024


def read_pickle(data: bytes, start: int = 0) -> tuple[Any, int]:
    """Return the plain value of the pickle at `start`, and where that pickle ends.

    Raises:
        TruncatedPickleError: the bytes end before the pickle does.
        BadPickleError: they are no pickle.
    """
    machine = _Machine(data, start)
    try:
        machine.run()
        return machine.stack.pop(), machine.position
    except (IndexError, KeyError, ValueError, struct.error) as error:
        if machine.position >= len(data):
            raise TruncatedPickleError("it ends too early") from None
        raise BadPickleError(f"no sense at byte {machine.position}: {type(error).__name__}") from None


class _Machine:
    """A stack, the positions of the marks in it, and a memo: what pickle's opcodes work on."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> None:
        """Work through the opcodes up to STOP. The commonest are spelled out here, for speed."""
        data, stack, memo, opcodes, at = self.data, self.stack, self.memo, _OPCODES, self.position
        try:
            while True:
                opcode = data[at]
                at += 1
                if opcode == 0x71:  # BINPUT
                    memo[data[at]] = stack[-1]
                    at += 1
                elif opcode == 0x72:  # LONG_BINPUT
                    memo[int.from_bytes(data[at : at + 4], "little")] = stack[-1]
                    at += 4
                elif opcode == 0x68:  # BINGET
                    stack.append(memo[data[at]])
                    at += 1
                elif opcode == 0x4B:  # BININT1
                    stack.append(data[at])
                    at += 1
                elif opcode == 0x58:  # BINUNICODE
                    begin = at + 4
                    at = begin + int.from_bytes(data[at:begin], "little")
                    stack.append(data[begin:at].decode("utf-8", "surrogatepass"))
                elif opcode == 0x2E:  # STOP
                    return
                else:
                    self.position = at
                    opcodes[opcode](self)
                    at = self.position
        finally:
            self.position = max(at, self.position)

    def take(self, count: int) -> bytes:
        begin = self.position
        self.position += count
        if self.position > len(self.data):
            raise IndexError
        return self.data[begin : self.position]

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.position)
        begin, self.position = self.position, len(self.data) if end < 0 else end + 1
        if end < 0:
            raise IndexError
        return self.data[begin:end]

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def replace(self, count: int) -> None:
        """Take `count` values off the stack and put an inert one there."""
        if count > len(self.stack):
            raise IndexError
        del self.stack[len(self.stack) - count :]
        self.stack.append(INERT)


_Opcode = Callable[[_Machine], None]


def _push(value: Any) -> _Opcode:
    return lambda machine: machine.stack.append(value)


def _skip(size: int) -> _Opcode:
    return lambda machine: void(machine.take(size))


def void(_: object) -> None:
    """Forget a value."""


def _inert_bytes(size: int) -> _Opcode:
    def opcode(machine: _Machine) -> None:
        length = machine.unsigned(size)
        machine.position += length
        machine.stack.append(INERT)

    return opcode


def _text(size: int) -> _Opcode:
    return lambda machine: machine.stack.append(machine.take(machine.unsigned(size)).decode("utf-8", "surrogatepass"))


def _signed(size: int) -> _Opcode:
    return lambda machine: machine.stack.append(int.from_bytes(machine.take(size), "little", signed=True))


def _unsigned(size: int) -> _Opcode:
    return lambda machine: machine.stack.append(machine.unsigned(size))


def _long(size: int) -> _Opcode:
    def opcode(machine: _Machine) -> None:
        digits = machine.take(machine.unsigned(size))
        fits = len(digits) <= _MAX_INT_BYTES
        machine.stack.append(int.from_bytes(digits, "little", signed=True) if fits else INERT)

    return opcode


def _int_line(machine: _Machine) -> None:
    line = machine.line().rstrip(b"L")
    if len(line) > _MAX_INT_BYTES:
        machine.stack.append(INERT)
    else:
        machine.stack.append({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line))


def _inert(popped: int, lines: int = 0, skipped: int = 0) -> _Opcode:
    def opcode(machine: _Machine) -> None:
        for _ in range(lines):
            machine.line()
        machine.take(skipped)
        machine.replace(popped)

    return opcode


def _inert_since_mark(lines: int = 0) -> _Opcode:
    def opcode(machine: _Machine) -> None:
        for _ in range(lines):
            machine.line()
        machine.since_mark()
        machine.stack.append(INERT)

    return opcode


def _global(machine: _Machine) -> None:
    named = (machine.line(), machine.line())
    machine.stack.append(_ORDERED_DICT if named == (b"collections", b"OrderedDict") else INERT)


def _stack_global(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    ordered = module == "collections" and name == "OrderedDict"
    machine.stack.append(_ORDERED_DICT if ordered else INERT)


def _reduce(machine: _Machine) -> None:
    machine.stack.pop()
    machine.stack[-1] = {} if machine.stack[-1] is _ORDERED_DICT else INERT


def _append(machine: _Machine) -> None:
    value = machine.stack.pop()
    if type(machine.stack[-1]) is list:
        machine.stack[-1].append(value)


def _extend(machine: _Machine) -> None:
    values = machine.since_mark()
    if type(machine.stack[-1]) is list:
        machine.stack[-1].extend(values)


def _set(target: Any, items: list[Any]) -> Any:
    """Put keys and values, taking turns in `items`, into a dict; keys that are no plain data fall away."""
    if type(target) is dict:
        for i in range(0, len(items) - 1, 2):
            if type(items[i]) in _KEY_TYPES:
                target[items[i]] = items[i + 1]
    return target


def _set_item(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set(machine.stack[-1], [key, value])


def _set_items(machine: _Machine) -> None:
    items = machine.since_mark()
    _set(machine.stack[-1], items)


def _pop(machine: _Machine) -> None:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.stack.pop()


def _bad(machine: _Machine) -> None:
    raise BadPickleError(f"byte {machine.position - 1} is no opcode")


def _put(index: Callable[[_Machine], int]) -> _Opcode:
    def opcode(machine: _Machine) -> None:
        machine.memo[index(machine)] = machine.stack[-1]

    return opcode


def _get(index: Callable[[_Machine], int]) -> _Opcode:
    return lambda machine: machine.stack.append(machine.memo[index(machine)])


def _index_line(machine: _Machine) -> int:
    return int(machine.line()[:20])


# Each by its letter or number; names and meanings as in the standard library's pickletools.
_KNOWN: Final[dict[int, _Opcode]] = {
    # Plain values.
    ord("N"): _push(None),
    0x88: _push(True),
    0x89: _push(False),
    ord("I"): _int_line,
    ord("L"): _int_line,
    ord("J"): _signed(4),
    ord("M"): _unsigned(2),
    0x8A: _long(1),
    0x8B: _long(4),
    ord("F"): lambda machine: machine.stack.append(float(machine.line())),
    ord("G"): lambda machine: machine.stack.append(struct.unpack(">d", machine.take(8))[0]),
    ord("V"): lambda machine: machine.stack.append(machine.line().decode("raw_unicode_escape")),
    0x8C: _text(1),
    0x8D: _text(8),
    # Containers.
    ord("}"): lambda machine: machine.stack.append({}),
    ord("]"): lambda machine: machine.stack.append([]),
    ord("l"): lambda machine: machine.stack.append(machine.since_mark()),
    ord("d"): lambda machine: machine.stack.append(_set({}, machine.since_mark())),
    ord("a"): _append,
    ord("e"): _extend,
    ord("s"): _set_item,
    ord("u"): _set_items,
    # What is no plain data: Python 2's strings, bytes, tuples, sets, classes, instances, tensors.
    ord("S"): _inert(0, lines=1),
    ord("U"): _inert_bytes(1),
    ord("T"): _inert_bytes(4),
    ord("C"): _inert_bytes(1),
    ord("B"): _inert_bytes(4),
    0x8E: _inert_bytes(8),
    0x96: _inert_bytes(8),
    0x97: _push(INERT),
    0x98: _skip(0),
    ord(")"): _push(INERT),
    ord("t"): _inert_since_mark(),
    0x85: _inert(1),
    0x86: _inert(2),
    0x87: _inert(3),
    0x8F: _push(INERT),
    0x90: lambda machine: void(machine.since_mark()),
    0x91: _inert_since_mark(),
    ord("c"): _global,
    0x93: _stack_global,
    ord("R"): _reduce,
    ord("b"): lambda machine: machine.stack.pop(),
    ord("i"): _inert_since_mark(lines=2),
    ord("o"): _inert_since_mark(),
    0x81: _inert(2),
    0x92: _inert(3),
    0x82: _inert(0, skipped=1),
    0x83: _inert(0, skipped=2),
    0x84: _inert(0, skipped=4),
    ord("P"): _inert(0, lines=1),
    ord("Q"): _inert(1),
    # The stack and the memo.
    ord("("): lambda machine: machine.marks.append(len(machine.stack)),
    ord("0"): _pop,
    ord("1"): lambda machine: void(machine.since_mark()),
    ord("2"): lambda machine: machine.stack.append(machine.stack[-1]),
    0x94: _put(lambda machine: len(machine.memo)),
    ord("p"): _put(_index_line),
    ord("g"): _get(_index_line),
    ord("j"): _get(lambda machine: machine.unsigned(4)),
    0x80: _skip(1),
    0x95: _skip(8),
}
_OPCODES: Final[list[_Opcode]] = [_KNOWN.get(number, _bad) for number in range(256)]

"""`lr > 0.01 and outcome = completed`: which jobs are wanted.

Python's own parser reads it, and of its trees a few nodes alone are taken: nothing of the text is ever run.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.results.fields import Field, Fields
from lit_hydra_bridge.results.row import JobRow

Test = Callable[[JobRow], Any]
_MOST_CHARACTERS: Final = 2000
_TOKEN: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|[=!<>]=|=|&&|\|\||!""")
_SPELLED: Final = {"=": "==", "&&": " and ", "||": " or ", "!": " not "}
_WORDS: Final[dict[str, Any]] = {
    "null": None, "none": None, "true": True, "false": False, "nan": float("nan"), "inf": float("inf"),
}  # fmt: skip
_ORDERS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_EXPECTED: Final = (
    "expected comparisons such as lr>0.01, outcome=completed, 0.1<=lr<1, model in (cnn, mlp), joined by and, or, not "
    "and parentheses; texts with spaces stand in quotes, and names with other characters in backticks, "
    "as in `val/acc`>0.9"
)


def make_test(text: str, fields: Fields) -> Test:
    """Return what tells whether a job is wanted.

    Args:
        text: the expression.
        fields: the names that may stand in it.

    Raises:
        ResultsError: it can't be understood, or names what is not there; the message says what was expected.
    """
    return _Reader(text, fields).test()


class _Reader:
    def __init__(self, text: str, fields: Fields) -> None:
        self._text, self._fields = text, fields
        self._quoted: dict[str, str] = {}

    def test(self) -> Test:
        if not self._text.strip() or len(self._text) > _MOST_CHARACTERS:
            raise self._error(
                "it is empty" if not self._text.strip() else f"it has more than {_MOST_CHARACTERS} characters"
            )
        source = " ".join(_TOKEN.sub(self._spelled, self._text).split("\n")).strip()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as that of `1and`: Python's advice on Python
                tree = ast.parse(source, mode="eval")
            return self._condition(tree.body)
        except SyntaxError as error:
            rest = source[max(0, (error.offset or 1) - 1) :][:30]
            for name, given in self._quoted.items():
                rest = rest.replace(name, f"`{given}`")
            raise self._error(f"it can't be read from {rest!r} on" if rest else "its end is missing") from None
        except (ValueError, RecursionError, MemoryError):
            raise self._error("it can't be read") from None

    def _spelled(self, found: re.Match[str]) -> str:
        """Return a token as Python has it; a name in backticks becomes one that Python takes."""
        token = found[0]
        if token[0] == "`":
            name = f"_quoted_{len(self._quoted)}_"
            self._quoted[name] = token[1:-1]
            return name
        return _SPELLED.get(token, token)

    def _error(self, what: str) -> ResultsError:
        return ResultsError(f"--where {self._text[:200]!r}: {what}; {_EXPECTED}")

    def _condition(self, node: ast.expr) -> Test:
        if isinstance(node, ast.BoolOp):
            tests = [self._condition(value) for value in node.values]
            every = all if isinstance(node.op, ast.And) else any
            return lambda row: every(test(row) for test in tests)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            test = self._condition(node.operand)
            return lambda row: not test(row)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        field = self._field(node)
        if field is None:
            raise self._no_field(node)
        return lambda row: bool(field.get(row))

    def _comparison(self, node: ast.Compare) -> Test:
        sides = [node.left, *node.comparators]
        known = [self._field(side) for side in sides]
        links = []
        for index, op in enumerate(node.ops):
            left, right = known[index], known[index + 1]
            if left is None and right is None:
                raise self._no_field(sides[index])
            is_time = bool((left and left.is_time) or (right and right.is_time))
            values = [self._value(sides[at], known[at], is_time) for at in (index, index + 1)]
            links.append(self._link(op, *values))
        return lambda row: all(link(row) for link in links)

    def _link(self, op: ast.cmpop, left: Test, right: Test) -> Test:
        if isinstance(op, ast.Eq | ast.Is):
            return lambda row: _same(left(row), right(row))
        if isinstance(op, ast.NotEq | ast.IsNot):
            return lambda row: not _same(left(row), right(row))
        if isinstance(op, ast.In):
            return lambda row: _is_in(left(row), right(row))
        if isinstance(op, ast.NotIn):
            return lambda row: not _is_in(left(row), right(row))
        order = _ORDERS[type(op)]
        return lambda row: _ordered(order, left(row), right(row))

    def _field(self, node: ast.expr) -> Field | None:
        """Return the field that an expression names: `lr`, `optimizer.lr`, and `val/acc` or `lr-SGD` if it is one."""
        if isinstance(node, ast.Name):
            name = self._quoted.get(node.id)
            if name is not None and (found := self._fields.get(name)) is None:
                raise self._unknown(name)
            return found if name is not None else self._fields.get(node.id)
        if isinstance(node, ast.Attribute | ast.BinOp):
            return self._fields.get("".join(ast.unparse(node).split()))
        return None

    def _no_field(self, node: ast.expr) -> ResultsError:
        if isinstance(node, ast.Name | ast.Attribute):
            return self._unknown(ast.unparse(node))
        return self._error(f"{ast.unparse(node)[:60]} is no comparison with a name that there is")

    def _unknown(self, name: str) -> ResultsError:
        return ResultsError(f"--where {self._text[:200]!r}: {self._fields.unknown(name)}")

    def _value(self, node: ast.expr, field: Field | None, is_time: bool) -> Test:
        if field is not None:
            return field.get
        constant = self._constant(node)
        if is_time and isinstance(constant, str):
            constant = self._moment(constant)
        return lambda row: constant

    def _constant(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | None):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            number = self._constant(node.operand)
            if isinstance(number, int | float) and not isinstance(number, bool):
                return -number if isinstance(node.op, ast.USub) else number
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            return [self._constant(item) for item in node.elts]
        if isinstance(node, ast.Name | ast.Attribute):
            word = ast.unparse(node)
            return _WORDS.get(word.lower(), word)
        raise self._error(f"{ast.unparse(node)[:60]} is neither a name nor a value")

    def _moment(self, text: str) -> float:
        try:
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError):
            raise self._error(f"{text!r} is no time such as '2026-01-31' or '2026-01-31 12:00'") from None


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(left == right)


def _ordered(order: Callable[[Any, Any], Any], left: Any, right: Any) -> bool:
    """What is not there is neither more nor less than anything; and so are a text and a number."""
    are_numbers = isinstance(left, int | float) and isinstance(right, int | float)
    return bool(order(left, right)) if are_numbers or (isinstance(left, str) and isinstance(right, str)) else False


def _is_in(left: Any, right: Any) -> bool:
    if isinstance(right, list):
        return any(_same(left, item) for item in right)
    return isinstance(right, str) and isinstance(left, str) and left in right

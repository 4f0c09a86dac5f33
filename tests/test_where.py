"""The language of `lit-hydra ls --where`: what it means, what it refuses, and that nothing in it is ever run."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.results.fields import Fields
from lit_hydra_bridge.results.row import JobRow
from lit_hydra_bridge.results.selection import filtered, sorted_by
from lit_hydra_bridge.results.where import make_test


def job(number: int, outcome: str = "completed", metrics: dict[str, float] | None = None, **varying: Any) -> JobRow:
    keys = {"optimizer.lr": None, "model": None, "use_bn": None, "group/x": None, "lr-SGD": None}
    return JobRow(
        number=number,
        folder=Path(f"/sweep/{number}"),
        overrides=("trainer.max_epochs=5", "a.name=x", "b.name=y"),
        varying={**keys, **{key.replace("__", "."): value for key, value in varying.items()}},
        outcome=outcome,
        metrics=metrics or {},
        started=1_770_000_000.0 + number * 86400,
        duration_s=60.0 * number,
    )


JOBS = [
    job(0, optimizer__lr=0.1, model="cnn", use_bn=True, metrics={"val/acc": 0.9, "loss": 0.3, "model": 7.0}),
    job(1, optimizer__lr=0.01, model="mlp", use_bn=False, metrics={"val/acc": 0.7, "loss": 0.5}),
    job(2, outcome="timed out", optimizer__lr=1, model='it\'s "quoted"', metrics={"loss": float("nan")}),
    job(3, outcome="failed", optimizer__lr=None, model=None, **{"group/x": "deep", "lr-SGD": 0.5}),
]


def wanted(text: str) -> list[int]:
    return [row.number for row in filtered(JOBS, text, Fields(JOBS))]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("lr>0.01", [0, 2]),
        ("optimizer.lr >= 1e-2 and outcome=completed", [0, 1]),
        ("outcome == completed and not lr = 0.1", [1]),
        ("outcome != completed", [2, 3]),
        ("outcome='timed out'", [2]),
        ('outcome in (failed, "timed out")', [2, 3]),
        ("outcome not in [completed]", [2, 3]),
        ("0.01 <= lr < 1", [0, 1]),
        ("lr = null", [3]),
        ("lr is None", [3]),
        ("lr is not null", [0, 1, 2]),
        ("model=cnn or model=mlp", [0, 1]),
        ("model=cnn||model=mlp", [0, 1]),
        ("model='it\\'s \"quoted\"'", [2]),
        ("'m' in model", [1]),
        ("`val/acc`>0.8", [0]),
        ("val/acc > 0.8", [0]),
        ("group/x = deep", [3]),
        ("lr-SGD < 1", [3]),
        ("metric.model=7", [0]),
        ("loss<0.4", [0]),
        ("loss>0", [0, 1]),
        ("loss=nan", []),
        ("loss<val/acc", [0, 1]),
        ("use_bn", [0]),
        ("!use_bn && outcome=completed", [1]),
        ("use_bn=true", [0]),
        ("use_bn=1", []),
        ("number>=2", [2, 3]),
        ("job=2", [2]),
        ("duration>60 and time<=120", [2]),
        ("lr > -1", [0, 1, 2]),
        ("lr > banana", []),
        ("max_epochs=5", [0, 1, 2, 3]),
        ("trainer.max_epochs!=5", []),
        ("started < '2026-02-03'", [0]),
        ("(lr>0.05) == (lr>0.05)", None),
    ],
)
def test_what_a_condition_means(text: str, numbers: list[int] | None) -> None:
    if numbers is None:
        with pytest.raises(ResultsError):
            wanted(text)
    else:
        assert wanted(text) == numbers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("lrr>0.1", "did you mean 'lr'"),
        ("lrr>0.1", "optimizer.lr, model"),
        ("`no such`=1", "there is no 'no such'"),
        ("name=x", "there is no 'name'"),  # two keys end so
        ("lr>0.1 foo", "expected comparisons such as"),
        ("lr>", "can't be read"),
        ("(lr>0.1", "can't be read"),
        ("lr>0.1) or (lr<1", "expected"),
        ("outcome=timed out", "texts with spaces stand in quotes"),
        ("__import__('os').system('true')", "no comparison"),
        ("lr.__class__=1", "there is no 'lr.__class__'"),
        ("lr > (lambda: 1)()", "neither a name nor a value"),
        ("lr > [x for x in model]", "neither a name nor a value"),
        ("lr > f'{lr}'", "neither a name nor a value"),
        ("(lr := 3) > 1", "can't be read from"),
        ("lr > 10**9**9", "neither a name nor a value"),
        ("1 < 2", "no comparison with a name"),
        ("started > tomorrow", "no time such as '2026-01-31'"),
        ("lr>" + "9" * 5000, "more than 2000 characters"),
        ("(" * 500 + "lr>1" + ")" * 500, "can't be read"),
        ("lr>1\x00", "can't be read"),
    ],
)
def test_what_it_refuses_says_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(ResultsError) as caught:
        wanted(text)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@given(st.text(alphabet=st.characters(max_codepoint=0x3000), max_size=60))
def test_any_text_is_a_condition_or_one_clear_error(text: str) -> None:
    try:
        test = make_test(text, Fields(JOBS))
    except ResultsError as error:
        assert "--where" in str(error)
    else:
        assert all(isinstance(test(row), bool) for row in JOBS)


_NUMBERS = st.one_of(st.integers(-5, 5), st.floats(-5, 5))
_OPS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne}
_LEAVES = st.tuples(st.sampled_from(["number", "duration_s", "optimizer.lr"]), st.sampled_from(sorted(_OPS)), _NUMBERS)
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.tuples(inner, st.sampled_from(["and", "or"]), inner), st.tuples(st.just("not"), inner)),
    max_leaves=8,
)


def _text(tree: Any) -> str:
    if len(tree) == 2:
        return f"not ({_text(tree[1])})"
    return f"({_text(tree[0])}) {tree[1]} ({_text(tree[2])})" if tree[1] in ("and", "or") else "".join(map(str, tree))


def _holds(tree: Any, row: JobRow) -> bool:
    if len(tree) == 2:
        return not _holds(tree[1], row)
    left, op, right = tree
    if op in ("and", "or"):
        sides = (_holds(left, row), _holds(right, row))
        return all(sides) if op == "and" else any(sides)
    values = {"number": row.number, "duration_s": row.duration_s, "optimizer.lr": row.varying["optimizer.lr"]}
    return op == "!=" if values[left] is None else _OPS[op](values[left], right)


@given(_TREES)
def test_a_condition_is_what_python_makes_of_it(tree: Any) -> None:
    assert wanted(_text(tree)) == [row.number for row in JOBS if _holds(tree, row)]


def test_sorting_keeps_what_is_not_there_at_the_end() -> None:
    fields = Fields(JOBS)
    assert [row.number for row in sorted_by(JOBS, ["lr"], fields)] == [1, 0, 2, 3]
    assert [row.number for row in sorted_by(JOBS, ["-lr"], fields)] == [2, 0, 1, 3]
    assert [row.number for row in sorted_by(JOBS, ["outcome", "-number"], fields)] == [1, 0, 3, 2]
    assert [row.number for row in sorted_by(JOBS, ["-loss"], fields)] == [1, 0, 2, 3]
    with pytest.raises(ResultsError, match="there is no 'nothing'"):
        sorted_by(JOBS, ["-nothing"], fields)


def test_columns_are_chosen_by_name_pattern_and_change() -> None:
    fields = Fields(JOBS)
    usual = [fields.named("number"), fields.named("outcome")]

    def names(*wanted: str) -> list[str]:
        return [each.name for each in fields.chosen(wanted, usual)]

    assert names("lr", "loss") == ["optimizer.lr", "loss"]
    assert names("+loss", "-outcome") == ["number", "loss"]
    assert names("val/*", "number") == ["val/acc", "number"]
    assert names("+max_epochs") == ["number", "outcome", "trainer.max_epochs"]
    with pytest.raises(ResultsError, match="there is no 'nope\\*'"):
        names("nope*")

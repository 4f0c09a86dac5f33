"""RunRecord: plain data there and back, and nothing but InvalidRecordError for what is none."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import sys
import types
import typing
import zlib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lit_hydra_bridge.errors import InvalidRecordError
from lit_hydra_bridge.hydra_text import escape_interpolations
from lit_hydra_bridge.record.record_json import parse_record, record_text, text_for_checkpoints
from lit_hydra_bridge.record.run_record import (
    ComposedConfig,
    Entry,
    Environment,
    RunRecord,
    SavedCheckpoint,
    SourceCode,
    unpack_diff,
)
from tests.support import run

any_text = st.text(st.characters(codec=None), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | any_text
keys = any_text | st.integers() | st.floats(allow_nan=False) | st.booleans()
plain = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))
anything = st.recursive(
    scalars | st.binary() | st.complex_numbers() | st.just(object()) | st.just(int),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.frozensets(st.integers()) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def for_hint(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, for any field that a newer version may add too."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return plain
    if origin is types.UnionType:
        return st.none() | for_hint(arguments[0])
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return st.builds(hint, **{spec.name: for_hint(hints[spec.name]) for spec in dataclasses.fields(hint)})
    if origin is list:
        return st.lists(for_hint(arguments[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(keys if arguments[0] is Any else any_text, for_hint(arguments[1]), max_size=3)
    return {str: any_text, int: st.integers(), bool: st.booleans(), float: st.floats()}[hint]


records = for_hint(RunRecord)
ROOT = Path(__file__).resolve().parents[1]
SCHEMA_FILE = ROOT / "docs" / "record.schema.json"
SCHEMA = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


def a_record(**changes: Any) -> RunRecord:
    return RunRecord(
        run_id="1",
        created="2026-01-01T00:00:00+00:00",
        config=ComposedConfig(composed="a: 1\n", resolved={"a": 1}),
        entry=Entry(argv=["x"], orig_argv=["python", "x"], cwd="/", python="python"),
        environment=Environment(python="3.11", platform="linux", host="h"),
        **changes,
    )


@settings(max_examples=60, deadline=None)
@given(records)
def test_there_and_back(record: RunRecord) -> None:
    assert RunRecord.from_dict(record.to_dict()) == record


def assert_plain(value: Any) -> None:
    assert value is None or type(value) in (str, int, float, bool, list, dict)
    for item in [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []:
        assert_plain(item)


@settings(max_examples=60, deadline=None)
@given(records)
def test_the_stored_text_is_strict_json_and_holds_all(record: RunRecord) -> None:
    assert_plain(record.to_dict())
    text = record_text(record)
    assert text.isascii()
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert repr(parse_record(text)) == repr(record)  # a NaN is not equal to itself


@settings(max_examples=60, deadline=None)
@given(records)
def test_every_record_fits_the_published_schema(record: RunRecord) -> None:
    SCHEMA.validate(json.loads(record_text(record)))


@pytest.mark.parametrize("key, garbage", [("run_id", 1), ("metrics", {"a": "b"}), ("entry", None), ("lineage", [{}])])
def test_the_schema_refuses_what_is_no_record(key: str, garbage: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate({**a_record().to_dict(), key: garbage})


def test_the_published_schema_is_that_of_the_fields() -> None:
    done = run(sys.executable, "-c", "import record_schema; print(record_schema.text(), end='')", cwd=ROOT / "tools")
    assert done.stdout == SCHEMA_FILE.read_text(encoding="utf-8"), "run `python tools/record_schema.py`"


@settings(max_examples=20, deadline=None)
@given(records)
def test_what_differs_from_checkpoint_to_checkpoint_is_put_in(record: RunRecord) -> None:
    saved = SavedCheckpoint(epoch=1, global_step=2, weights_only=False, score=math.inf)
    metrics = {"loss": -math.inf, "$x": 0.5}
    whole = dataclasses.replace(record, metrics=metrics, checkpoint=saved)
    assert repr(parse_record(text_for_checkpoints(record)(metrics, saved))) == repr(whole)


def test_a_record_that_is_too_long_loses_the_diff_first() -> None:
    source = SourceCode(commit="abc", diff="x" * (9 << 20))
    text = text_for_checkpoints(a_record(source=source))({}, SavedCheckpoint(epoch=0, global_step=0, weights_only=True))
    record = parse_record(text)
    assert record.source == SourceCode(commit="abc") and record.config.resolved == {"a": 1}
    assert len(record.gaps) == 1 and "the git diff: left out" in record.gaps[0]


def test_a_newer_record_is_read_and_its_news_passed_over() -> None:
    data = a_record().to_dict()
    data |= {"schema_version": 9, "weather": {"rain": True}}
    data["entry"] |= {"shell": "fish"}
    record = RunRecord.from_dict(data)
    assert record == dataclasses.replace(a_record(), schema_version=9)


def test_what_has_a_default_may_be_missing() -> None:
    data = a_record().to_dict()
    for key in ("hydra", "source", "training", "loggers", "lineage", "gaps", "schema_version"):
        del data[key]
    del data["config"]["resolved"]
    assert RunRecord.from_dict(data) == dataclasses.replace(a_record(), config=ComposedConfig(composed="a: 1\n"))


def test_a_run_without_hydra_has_an_empty_job_and_no_none() -> None:
    record = RunRecord.from_dict({key: value for key, value in a_record().to_dict().items() if key != "hydra"})
    assert not record.hydra and record.hydra.overrides == [] and record.hydra.output_dir is None
    assert RunRecord.from_dict(record.to_dict()) == record


@pytest.mark.parametrize("key", ["run_id", "created", "config", "entry", "environment"])
def test_what_has_none_may_not(key: str) -> None:
    data = a_record().to_dict()
    del data[key]
    with pytest.raises(InvalidRecordError, match=key):
        RunRecord.from_dict(data)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a record's data where something else can be put."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in [(value, key), *places(item)]]


@settings(max_examples=300, deadline=None)
@given(st.data(), anything)
def test_garbage_anywhere_is_refused_with_our_error_or_read(data: st.DataObject, garbage: Any) -> None:
    stored = a_record(gaps=["one"]).to_dict()
    container, key = data.draw(st.sampled_from(places(stored)))
    container[key] = garbage
    try:
        record = RunRecord.from_dict(stored)
    except InvalidRecordError as error:
        assert len(str(error)) < 1000
    else:
        assert_plain(record.to_dict())


@pytest.mark.parametrize(
    "garbage", [None, 1, "x", [], (), object(), {}, {1: 2}, RunRecord, b"x", 10**5000], ids=lambda _: ""
)
def test_garbage_as_a_whole(garbage: object) -> None:
    with pytest.raises(InvalidRecordError):
        RunRecord.from_dict(garbage)


class Nameless:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize("value", [Nameless(), {(1, 2): 3}, {Nameless(): 1}, {None: 1}, {b"x": 1}], ids=lambda _: "")
def test_what_can_not_even_be_shown(value: object) -> None:
    data = a_record().to_dict()
    data["config"]["resolved"] = {"a": value}
    with pytest.raises(InvalidRecordError, match=r"record\.config\.resolved\.a"):
        RunRecord.from_dict(data)


def test_a_switch_is_no_number() -> None:
    data = a_record().to_dict()
    data["schema_version"] = True
    with pytest.raises(InvalidRecordError, match="schema_version"):
        RunRecord.from_dict(data)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"k" * 1000: [value]}
    return value


def test_a_record_nested_too_deeply_is_refused() -> None:
    data = a_record().to_dict()
    data["config"]["resolved"] = {"a": deep(20_000)}
    with pytest.raises(InvalidRecordError):
        RunRecord.from_dict(data)


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from("\\${}ab:,'\" \n"), max_size=12) | any_text)
def test_escaped_text_is_read_as_itself(text: str) -> None:
    if text != "???":  # there is no other way to write a missing value, and none to write these three marks
        assert OmegaConf.create({"a": escape_interpolations(text)}).a == text


def test_a_diff_is_unpacked() -> None:
    text = "diff --git ü\n+x\n"
    assert unpack_diff(base64.b64encode(zlib.compress(text.encode())).decode()) == text


@pytest.mark.parametrize(
    "packed",
    [
        "",
        "ü",
        "!!",
        "AAAA",
        base64.b64encode(zlib.compress(b"x" * 1000)[:-4]).decode(),
        base64.b64encode(zlib.compress(b"\0" * (64 * 1024 * 1024 + 10))).decode(),
        None,
        7,
    ],
    ids=["empty", "letters", "marks", "no-zlib", "cut", "bomb", "none", "number"],
)
def test_a_damaged_diff_is_refused(packed: Any) -> None:
    with pytest.raises(InvalidRecordError, match="diff"):
        unpack_diff(packed)

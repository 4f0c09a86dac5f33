"""The recorded config, changed by what the new overrides change: property tests, without any training."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from lit_hydra_bridge.hydra_text import quoted
from lit_hydra_bridge.record.composed_config import read_config
from lit_hydra_bridge.record.redaction import Redactor
from lit_hydra_bridge.record.run_record import PLACEHOLDER, REDACTED, ComposedConfig, Entry, Environment, RunRecord
from lit_hydra_bridge.reload.compare.config_changes import config_changes, is_same
from lit_hydra_bridge.reload.config import config_of
from lit_hydra_bridge.reload.rerun.overrides import key_of, merged, package_of, parse, parse_recorded
from lit_hydra_bridge.reload.rerun.three_way import fill_redacted, plain_config, put_back

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3).filter(lambda key: key != "hydra")
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts.filter(lambda text: "${" not in text)
values = st.recursive(
    leaves | st.sampled_from(["???", "${a}", "a ${b.c} d"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.integers(0, 3), inner, max_size=3),
    max_leaves=12,
)
configs = st.dictionaries(keys, values, max_size=4)


EMPTY = RunRecord(
    run_id="1",
    created="",
    config=ComposedConfig(composed=""),
    entry=Entry(argv=[], orig_argv=[], cwd="", python=""),
    environment=Environment(python="", platform="", host=""),
)


def created(content: dict[str, Any]) -> DictConfig:
    config = OmegaConf.create(content)
    OmegaConf.set_struct(config, True)  # as Hydra leaves it
    return config


@settings(max_examples=300, deadline=None)
@given(recorded=configs, today=configs)
def test_without_new_overrides_the_recorded_config_comes_back(recorded: dict[str, Any], today: dict[str, Any]) -> None:
    config = created(today)
    assert put_back(config, plain_config(config), recorded, {}) == []
    result = plain_config(config)
    assert is_same(result, recorded)
    assert list(result) == list(recorded), "in the recorded order"
    assert OmegaConf.is_struct(config), "what follows is checked as it was before"


@settings(max_examples=300, deadline=None)
@given(recorded=configs, change=configs)
def test_where_the_app_is_unchanged_a_change_is_taken_as_it_is(
    recorded: dict[str, Any], change: dict[str, Any]
) -> None:
    theirs = copy.deepcopy(recorded) | change
    config = created(theirs)
    assert put_back(config, recorded, recorded, {}) == []
    assert is_same(plain_config(config), theirs)


@settings(max_examples=200, deadline=None)
@given(recorded=configs, today=configs, value=leaves)
def test_a_kept_path_is_decided_by_the_override_alone(
    recorded: dict[str, Any], today: dict[str, Any], value: Any
) -> None:
    config = created({**today, "mine": {"x": value, "y": 1}})
    base = {**today, "mine": {"x": 0, "y": 1}}
    put_back(config, base, {**recorded, "mine": {"x": 5, "y": 7}}, {("mine", "x"): value})
    assert is_same(plain_config(config)["mine"], {"x": value, "y": 7})


class Color(Enum):
    RED = 1
    BLUE = 2


@dataclass
class Inner:
    color: Color = Color.RED
    path: Path = Path("a")
    rate: float = 1.0


@dataclass
class Typed:
    inner: Inner = field(default_factory=Inner)
    numbers: list[int] = field(default_factory=lambda: [1])
    added: int = 3


def test_types_hold_and_what_does_not_fit_them_is_told() -> None:
    config = OmegaConf.structured(Typed)
    base = plain_config(config)
    recorded = {"inner": {"color": "BLUE", "path": "b/c", "rate": "fast", "gone": 1}, "numbers": [4, 5]}
    unfit = put_back(config, base, recorded, {})
    assert config.inner.color is Color.BLUE and config.inner.path == Path("b/c") and config.numbers == [4, 5]
    assert OmegaConf.get_type(config) is Typed
    assert [text.partition(" ")[0] for text in unfit] == ["inner.rate"] and config.inner.rate == 1.0
    assert config.inner.gone == 1 and "added" not in config, "fields that the app has lost and gained since"


@dataclass
class Everything:
    whole: int = 0
    real: float = 0.0
    flag: bool = False
    text: str = ""
    raw: bytes = b""
    path: Path = Path("a")
    color: Color = Color.RED
    maybe: int | None = None
    either: int | str = 1
    anything: Any = None
    numbers: list[float] = field(default_factory=list)
    by_name: dict[str, Inner] = field(default_factory=dict)
    by_color: dict[Color, int] = field(default_factory=dict)
    by_number: dict[int, str] = field(default_factory=dict)
    nested: list[Inner] = field(default_factory=list)


plain_texts = texts.filter(lambda text: "${" not in text and text != "???")
paths = st.from_regex(r"[a-z =]{1,6}(/[a-z.]{1,3})?", fullmatch=True).map(Path)
inners = st.builds(Inner, st.sampled_from(Color), paths, st.floats(allow_nan=False))
interpolated = st.sampled_from(["${whole}", "${oc.env:HOME,x}", "a ${text}", "???"])
everything = st.fixed_dictionaries(
    {},
    optional={
        "whole": st.integers() | st.sampled_from(["???", "${by_number.1}"]),
        "real": st.floats(allow_nan=False),
        "flag": st.booleans(),
        "text": plain_texts | interpolated,
        "raw": st.text(st.characters(exclude_categories=["Cs"]), max_size=4).map(str.encode),
        "path": paths,
        "color": st.sampled_from(Color),
        "maybe": st.none() | st.integers(),
        "either": st.integers() | plain_texts,
        "anything": values,
        "numbers": st.lists(st.floats(allow_nan=False), max_size=3),
        "by_name": st.dictionaries(keys, inners, max_size=2),
        "by_color": st.dictionaries(st.sampled_from(Color), st.integers(), max_size=2),
        "by_number": st.dictionaries(st.integers(), plain_texts, max_size=2),
        "nested": st.lists(inners, max_size=2),
    },
)


@settings(max_examples=200, deadline=None)
@given(then=everything, now=everything)
def test_every_type_of_node_comes_back_through_a_record(then: dict[str, Any], now: dict[str, Any]) -> None:
    original, today = (OmegaConf.merge(OmegaConf.structured(Everything), content) for content in (then, now))
    reading, _ = read_config(original, Redactor({}))
    record = dataclasses.replace(EMPTY, config=reading.composed_config())
    unfit = put_back(today, plain_config(today), plain_config(config_of(record, False)), {})
    assert unfit == []
    assert is_same(OmegaConf.to_container(today), OmegaConf.to_container(original))
    assert OmegaConf.get_type(today) is Everything
    for typed in today.by_name.values():
        assert OmegaConf.get_type(typed) is Inner


def test_redacted_values_are_taken_from_the_app() -> None:
    recorded = {"a": REDACTED, "url": f"x://u:{REDACTED}@h", "list": [{"token": REDACTED}, 1], "new": {"b": REDACTED}}
    base = {"a": "s1", "url": "x://u:s2@h", "list": [{"token": "s3"}, 2]}
    filled = fill_redacted(recorded, base)
    assert filled == {"a": "s1", "url": "x://u:s2@h", "list": [{"token": "s3"}, 1], "new": {"b": "???"}}
    assert config_changes(filled, {**base, "new": {"b": "???"}})


# --- overrides


@settings(max_examples=400, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(["null", "True", "nan"]))
def test_a_quoted_value_is_read_as_itself(text: str) -> None:
    assume(text != "???")  # omegaconf's word for a missing value, however it is quoted
    (override,) = OverridesParser.create().parse_overrides([f"key={quoted(text)}"])
    config = OmegaConf.create({"key": None})
    OmegaConf.update(config, "key", override.value())
    assert config.key == text


words = st.from_regex(r"[a-z]{1,5}", fullmatch=True)
quoted_texts = texts.map(quoted)


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
    pairs = st.dictionaries(words, inner, max_size=3).map(
        lambda items: [f"{key}:{item}" for key, item in items.items()]
    )
    return lists | pairs.map(lambda items: "{" + ",".join(items) + "}")


plain_elements = (
    words | st.integers().map(str) | st.floats().map(str) | st.sampled_from(["null", "true", "${a.b}", "a/b"])
)
elements = st.recursive(plain_elements | quoted_texts, _containers, max_leaves=6)
override_keys = st.lists(words, min_size=1, max_size=3).map(".".join)
override_texts = st.tuples(st.sampled_from(["", "+", "++"]), override_keys, elements).map(
    lambda parts: f"{parts[0]}{parts[1]}={parts[2]}"
)
# What stands for a removed value is dropped on purpose; another test has that.
override_texts = override_texts.filter(lambda text: not PLACEHOLDER.search(text))
override_lists = st.lists(override_texts, max_size=5, unique_by=lambda text: text.lstrip("+").partition("=")[0])


@settings(max_examples=300, deadline=None)
@given(recorded=override_lists)
def test_recorded_overrides_come_back_as_what_hydra_reads_the_same(recorded: list[str]) -> None:
    again = merged(parse_recorded(recorded), [], {})
    assert again == recorded
    values = [(override.type, key_of(override), repr(override.value())) for override in parse(again)]
    assert values == [(override.type, key_of(override), repr(override.value())) for override in parse(recorded)]


@settings(max_examples=200, deadline=None)
@given(recorded=override_lists, new=override_lists)
def test_each_key_is_set_once_and_the_new_one_wins(recorded: list[str], new: list[str]) -> None:
    result = parse(merged(parse_recorded(recorded), parse(new), {}))
    values = {key_of(override): repr(override.value()) for override in result}
    assert len(values) == len(result)
    for override in parse(new):
        assert values[key_of(override)] == repr(override.value())
    assert values.keys() == {key_of(override) for override in parse([*recorded, *new])}


def test_prefixes_groups_and_secrets() -> None:
    choices = {"model": "small", "db@store": "mysql", "experiment": "a", "hydra/launcher": "basic"}

    def result(recorded: list[str], new: list[str]) -> list[str]:
        return merged(parse_recorded(recorded), parse(new), choices)

    assert result(["+x=1", "y=2"], ["x=3"]) == ["y=2", "++x=3"]
    assert result(["+experiment=a"], ["experiment=b"]) == ["+experiment=b"]
    assert result(["+x=1"], ["~x"]) == ["+x=1", "~x"] and result(["~x"], ["x=1"]) == ["x=1"]
    assert result(["model.lr=1", "models=2"], ["model=large"]) == ["models=2", "model=large"]
    assert result(["model.lr=1"], ["model=small"]) == ["model.lr=1", "model=small"]
    assert result(["store.host=h", "db.x=1"], ["db@store=other"]) == ["db.x=1", "db@store=other"]
    assert result([f"+db.password={REDACTED}"], ["db.password=again"]) == ["++db.password=again"]
    assert result([f"+db.password={REDACTED}"], []) == []
    assert [package_of(group) for group in ("a/b", "a@_global_", "a@x.y")] == ["a.b", "", "x.y"]

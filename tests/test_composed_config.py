"""A DictConfig -> plain data, whatever an app puts into one."""

from __future__ import annotations

import copy
import enum
import itertools
import random
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import MISSING, OmegaConf

from lit_hydra_bridge.hydra_text import escape_interpolations
from lit_hydra_bridge.record.composed_config import as_config, read_config
from lit_hydra_bridge.record.redaction import Redactor
from lit_hydra_bridge.record.run_record import ComposedConfig, RunRecord


@pytest.fixture(autouse=True)
def no_resolver_is_left_behind() -> Iterator[None]:
    yield
    OmegaConf.clear_resolvers()


def read(config: Any, **options: Any) -> tuple[ComposedConfig, list[str]]:
    reading, gaps = read_config(as_config(config), Redactor({}), **options)
    return reading.composed_config(), gaps


def values_of(composed: str) -> Any:
    return OmegaConf.to_container(OmegaConf.create(composed), resolve=True)


yaml_traps = st.sampled_from([
    "yes", "No", "on", "1e3", "1.", ".5", "null", "~", "", "0x10", "0o7", "010", "1_000", "1:30", "2026-01-01", "=",
    "<<", "nan", ".inf", "- a", "a: b", "a\n b: c", "# x", "'", '"', "\\", "\\\\", "{a", "[", "!!x", "&a", "*a", "%",
    "@", "|",
])  # fmt: skip
texts = yaml_traps | st.text(max_size=15) | st.text(st.sampled_from("\\$ {}ab:'\"\n#-"), max_size=8)
literal_texts = texts.filter(lambda text: text != "???").map(escape_interpolations)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | literal_texts
# Keys of no other form than `k…`: no secret's name among them.
config_keys = st.integers(0, 99) | st.booleans() | st.text("k. -\u00fc'\"0", max_size=4).map("k".__add__) | yaml_traps
configs = st.dictionaries(
    config_keys,
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(config_keys, inner, max_size=3)),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(configs)
@example({"a": "\x85", "b": "x\u2028y", "c": "\ufeff"})
def test_text_and_values_say_the_same(plain: dict[Any, Any]) -> None:
    config = OmegaConf.create(plain)
    read_back, gaps = read(config)
    assert gaps == []
    assert read_back.resolved == OmegaConf.to_container(config, resolve=True)
    again = values_of(read_back.composed)
    assert again == read_back.resolved
    assert repr(again) == repr(read_back.resolved)  # 1 and True are equal, and not the same


def test_interpolations_of_every_form() -> None:
    config = OmegaConf.create(
        {
            "model": {"lr": 0.1, "decay": "${.lr}", "up": "${..batch}", "name": "net-${model.lr}"},
            "batch": 32,
            "copy": "${model}",
            "items": [1, "${batch}", {"x": "${model.lr}"}],
            "second": "${items[1]}",
            "which": "batch",
            "nested": "${${which}}",
            "default": "${oc.select:nothing,7}",
            "twice": "${copy.decay}",
            "dict": "${oc.create:{a:1,b:[1,2]}}",
            "escaped": r"\${batch}",
        }
    )
    read_back, gaps = read(config)
    assert gaps == []
    assert read_back.unresolved == []
    assert read_back.resolved == OmegaConf.to_container(config, resolve=True)
    assert OmegaConf.create(read_back.composed) == config
    assert read_back.resolved["copy"] == {"lr": 0.1, "decay": 0.1, "up": 32, "name": "net-0.1"}


def test_a_resolver_that_raises_costs_its_own_node() -> None:
    def fail() -> None:
        raise RuntimeError("first line\nsecond line")

    OmegaConf.register_new_resolver("fail", fail)
    read_back, gaps = read({"a": "${fail:}", "b": 1})
    assert read_back.resolved == {"a": "${fail:}", "b": 1}
    assert read_back.unresolved == ["a"]
    (gap,) = gaps
    assert "a (" in gap and "first line" in gap and "second line" not in gap


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_error_without_a_text() -> None:
    def fail() -> None:
        raise UnspeakableError

    OmegaConf.register_new_resolver("fail", fail)
    read_back, gaps = read({"a": "${fail:}"})
    assert read_back.resolved == {"a": "${fail:}"}
    assert len(gaps) == 1


@pytest.mark.parametrize("use_cache", [False, True])
def test_what_is_random_keeps_its_text_quietly(use_cache: bool) -> None:
    numbers = itertools.count()
    OmegaConf.register_new_resolver("draw", lambda *_: random.random() + next(numbers), use_cache=use_cache)
    OmegaConf.register_new_resolver("pair", lambda: {"same": 1, "other": next(numbers)})
    config = OmegaConf.create(
        {"a": "${draw:}", "b": "x-${a}", "c": [1, "${draw:x}"], "d": "${c}", "p": "${pair:}", "e": 1}
    )
    _ = config.a  # the app has asked before us
    read_back, gaps = read(config)
    assert gaps == []
    assert read_back.resolved["a"] == "${draw:}"
    assert read_back.resolved["b"] == "x-${a}"
    assert read_back.resolved["c"] == [1, "${draw:x}"]
    assert read_back.resolved["p"] == "${pair:}"
    assert read_back.resolved["e"] == 1
    assert {"a", "b", "c.1", "p"} <= set(read_back.unresolved)


def test_a_resolver_that_makes_a_folder(tmp_path: Path) -> None:
    def folder(name: str) -> str:
        (tmp_path / name).mkdir(exist_ok=True)
        return str(tmp_path / name)

    OmegaConf.register_new_resolver("folder", folder)
    read_back, gaps = read({"a": "${folder:x}"})
    assert (read_back.resolved, read_back.unresolved, gaps) == ({"a": str(tmp_path / "x")}, [], [])


def test_a_resolver_that_nobody_registered() -> None:
    read_back, gaps = read({"a": {"b": "${nobody:1}"}, "c": 2})
    assert read_back.resolved == {"a": {"b": "${nobody:1}"}, "c": 2}
    assert len(gaps) == 1 and "a.b" in gaps[0]


def test_custom_resolvers_can_be_left_alone() -> None:
    calls: list[str] = []
    OmegaConf.register_new_resolver("mine", lambda *arguments: calls.append("x") or 5)
    config = {
        "direct": "${mine:}",
        "transitive": "${direct}",
        "in_text": "a-${transitive}",
        "group": {"x": "${mine:}", "y": "${.x}", "z": "${lr}"},
        "whole": "${group}",
        "argument": "${oc.decode:${direct}}",
        "alias": {"to": "${group}"},
        "through": "${alias.to.y}",
        "which": "lr",
        "known": "${${which}}",
        "lr": 0.1,
        "ordinary": "${lr}",
        "env": "${oc.env:NOT_SET_ANYWHERE,7}",
    }
    read_back, gaps = read(config, custom_resolvers=False)
    assert calls == []
    assert gaps == []
    kept = ["direct", "transitive", "in_text", "group.x", "group.y", "whole", "argument", "alias.to", "through"]
    assert read_back.unresolved == kept
    assert read_back.resolved["whole"] == "${group}"
    assert read_back.resolved["group"] == {"x": "${mine:}", "y": "${.x}", "z": 0.1}
    assert [read_back.resolved[key] for key in ("known", "ordinary", "env")] == [0.1, 0.1, "7"]


def test_a_relative_interpolation_behind_another_one_is_read_where_it_stands() -> None:
    OmegaConf.register_new_resolver("mine", lambda: 5)
    config = {"deep": {"group": {"x": "${..y}"}, "y": "${mine:}"}, "a": "${deep.group}"}
    assert read(config)[0].resolved["a"] == {"x": 5}
    read_back, _ = read(config, custom_resolvers=False)
    assert read_back.resolved["a"] == "${deep.group}"


def test_the_apps_config_is_not_touched() -> None:
    OmegaConf.register_new_resolver("cached", lambda: random.random(), use_cache=True)
    config = OmegaConf.create({"a": "${cached:}", "b": {"c": [1, "${a}"]}, "hydra": {"job": 1}, "password": "x"})
    OmegaConf.set_readonly(config, True)
    OmegaConf.set_struct(config, True)
    OmegaConf.set_readonly(config.b, False)
    seen = config.a

    def state() -> Any:
        flags = [copy.deepcopy(node._metadata.flags) for node in (config, config.b, config.b.c)]
        return OmegaConf.to_container(config, resolve=False), flags, copy.deepcopy(OmegaConf.get_cache(config))

    before, nodes = state(), [id(config.b), id(config.b.c), id(config.hydra)]
    read_back, _ = read(config)
    assert state() == before
    assert [id(config.b), id(config.b.c), id(config.hydra)] == nodes
    assert config.a == seen
    assert "hydra" not in read_back.resolved and "hydra" not in read_back.composed


class Color(enum.Enum):
    RED = 1


@dataclass
class Inner:
    path: Path = Path("/data/x")
    colors: list[Color] = field(default_factory=lambda: [Color.RED])


@dataclass
class Structured:
    needed: int = MISSING
    color: Color = Color.RED
    by_color: dict[Color, int] = field(default_factory=lambda: {Color.RED: 3})
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None
    items: list[int] | None = None
    blob: bytes = b"ab${c"
    rate: float = 1
    again: Inner = "${inner}"  # type: ignore[assignment]


def test_structured_configs() -> None:
    read_back, gaps = read(OmegaConf.structured(Structured))
    inner = {"path": "/data/x", "colors": ["RED"]}
    assert gaps == []
    assert read_back.resolved == {
        "needed": "???",
        "color": "RED",
        "by_color": {"RED": 3},
        "inner": inner,
        "maybe": None,
        "items": None,
        "blob": "ab${c",
        "rate": 1.0,
        "again": inner,
    }
    back = OmegaConf.create(read_back.composed)
    assert OmegaConf.is_missing(back, "needed")
    assert (back.blob, back.again, back.color) == ("ab${c", inner, "RED")


def test_what_is_missing_is_missing_quietly() -> None:
    config = OmegaConf.create({"a": "???", "b": "${a}", "c": "x-${a}", "d": ["???"]})
    read_back, gaps = read(config)
    assert gaps == []
    assert read_back.resolved == {"a": "???", "b": "${a}", "c": "x-${a}", "d": ["???"]}
    assert read_back.unresolved == ["b", "c"]


def test_keys_of_every_kind() -> None:
    config = OmegaConf.create({7: "a", 2.5: "b", True: "c", Color.RED: "d", "a.b c": "${.x}", "x": 4, b"by": "e"})
    read_back, gaps = read(config)
    assert gaps == []
    assert read_back.resolved == {7: "a", 2.5: "b", True: "c", "RED": "d", "a.b c": 4, "x": 4, "by": "e"}
    assert values_of(read_back.composed) == read_back.resolved


class Thing:
    def __init__(self) -> None:
        self.lock = threading.Lock()  # can't be copied


def test_objects_are_named_and_never_copied() -> None:
    config = OmegaConf.create(
        {"thing": Thing(), "type": Thing, "lr": 0.1, "copy": "${lr}", "t": (1, Color.RED)},
        flags={"allow_objects": True},
    )
    OmegaConf.register_new_resolver("mine", lambda: 5)
    config.mine = "${mine:}"
    read_back, gaps = read(config)
    assert read_back.resolved["thing"] == f"<{__name__}.Thing>"
    assert read_back.resolved["type"] == f"{__name__}.Thing"
    assert (read_back.resolved["copy"], read_back.resolved["mine"], read_back.resolved["t"]) == (0.1, 5, [1, "RED"])
    assert values_of(read_back.composed)["lr"] == 0.1
    assert len(gaps) == 1 and "thing" in gaps[0] and "type" in gaps[0]


def test_numbers_of_numpy() -> None:
    config = OmegaConf.create(
        {"a": np.float64(0.5), "b": np.int64(3), "c": np.bool_(True)}, flags={"allow_objects": True}
    )
    read_back, gaps = read(config)
    assert gaps == []
    assert repr(read_back.resolved) == repr({"a": 0.5, "b": 3, "c": True})
    assert repr(values_of(read_back.composed)) == repr(read_back.resolved)


def test_what_refers_to_itself() -> None:
    config = {"a": "${b}", "b": "${a}", "c": {"d": "${c}"}, "e": {"f": "${g}"}, "g": {"h": "${e}"}, "i": 1}
    read_back, gaps = read(config)
    assert read_back.resolved["i"] == 1
    assert read_back.resolved["c"] == {"d": "${c}"}
    assert {"a", "b", "c.d"} <= set(read_back.unresolved)
    assert len(gaps) == 1


def test_few_lines_that_stand_for_billions_of_nodes() -> None:
    config = {f"n{i}": dict.fromkeys("abcdefgh", f"${{n{i + 1}}}") for i in range(12)} | {"n12": {"x": 1}}
    read_back, gaps = read(config)
    assert read_back.resolved["n12"] == {"x": 1}
    assert len(gaps) == 1 and "too many nodes" in gaps[0]


@pytest.mark.parametrize("levels", [100, 500])
def test_very_deep_nesting_is_a_gap(levels: int) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    try:
        plain: Any = 1
        for _ in range(levels):
            plain = {"a": plain}
        config = OmegaConf.create(plain)
    finally:
        sys.setrecursionlimit(limit)
    read_back, gaps = read(config)
    assert (read_back.resolved, values_of(read_back.composed)) == ({}, {})
    assert len(gaps) == 1 and "deep" in gaps[0]


def test_twenty_thousand_nodes() -> None:
    config = OmegaConf.create(
        {"base": {"lr": 0.1}, "rows": [{"i": i, "lr": "${base.lr}", "next": "${.i}"} for i in range(5000)]}
    )
    read_back, gaps = read(config)
    assert gaps == []
    assert read_back.resolved["rows"][4999] == {"i": 4999, "lr": 0.1, "next": 4999}


def test_hydras_now_has_the_answer_that_the_app_got() -> None:
    numbers = itertools.count()
    OmegaConf.register_new_resolver("now", lambda pattern: f"{pattern}-{next(numbers)}", use_cache=True)
    config = OmegaConf.create({"a": "${now:%H}", "b": "${now:%H}"})
    seen = config.a
    read_back, gaps = read(config)
    assert (read_back.resolved, gaps) == ({"a": seen, "b": seen}, [])


def test_a_config_of_nothing() -> None:
    for empty in (OmegaConf.create({}), OmegaConf.create({"hydra": {"a": 1}})):
        read_back, gaps = read(empty)
        assert (read_back.composed, read_back.resolved, gaps) == ("{}\n", {}, [])


@pytest.mark.parametrize("value", [[1], 7, None, "- 1", object(), OmegaConf.create([1])])
def test_what_is_no_config(value: Any) -> None:
    with pytest.raises(TypeError, match="DictConfig"):
        as_config(value)


@pytest.mark.parametrize("value", [{"a": 1}, "a: 1", OmegaConf.create({"a": 1})])
def test_what_is_one(value: Any) -> None:
    assert as_config(value) == {"a": 1}
    assert as_config(Inner).path == Path("/data/x")


def test_the_record_takes_it() -> None:
    read_back, _ = read(OmegaConf.structured(Structured))
    data = {
        "run_id": "",
        "created": "",
        "config": vars(read_back),
        "entry": {"argv": [], "orig_argv": [], "cwd": "", "python": ""},
        "environment": {"python": "", "platform": "", "host": ""},
    }
    assert RunRecord.from_dict(data).config == read_back

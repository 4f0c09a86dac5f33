"""load_config: the config of a run comes back as it was."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from lit_hydra_bridge import load_config, read_record
from lit_hydra_bridge.cli import cli
from lit_hydra_bridge.errors import CheckpointError, ConfigKeyError, DamagedCheckpointError, ResultsError
from lit_hydra_bridge.record.run_record import RECORD_KEY
from lit_hydra_bridge.reload import yaml_text
from lit_hydra_bridge.reload.config import select
from lit_hydra_bridge.reload.source import CheckpointOptions
from lit_hydra_bridge.results.row import JobRow
from lit_hydra_bridge.strict_json import dumps
from tests.support import App

CONFIG = r"""
model:
  lr: 0.1
  decay: ${.lr}
  layers: [1, "${model.lr}", {depth: "${seed}"}]
seed: 7
text: "of ${model.lr} and ${seed}"
escaped: '\${model.lr} costs \\${seed}'
plain: "a $ and { and \\ and } and 'quotes' \"both\""
missing: ???
nothing: null
empty: {}
lists: [[], [[1.5]]]
env: ${oc.env:APP_VALUE}
money: ${oc.env:APP_MONEY}
random: ${draw:}
late: ${late:1}
words: ["yes", "1e3", "0x10", "null", "~", "1_000", " padded ", "12:30:45", ""]
unicode: "Größe 重み 🚀"
1: integer key
dotted.key: dotted
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A checkpoint of a real run, and what the run itself saw of its config."""
    app = App.create(tmp_path_factory.mktemp("config") / "app", config=CONFIG)
    app.script(
        """
        import json
        t = trainer(default_root_dir=".")
        t.fit(Net(lr=cfg.model.lr), data())
        plain = lambda value: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        values = {key: plain(cfg[key]) for key in cfg if key not in ("missing", "random", "late")}
        Path("live.json").write_text(json.dumps({"raw": OmegaConf.to_container(cfg), "values": values}))
        """,
        prelude="""
        import random
        from omegaconf import OmegaConf
        OmegaConf.register_new_resolver("draw", lambda: random.random())
        """,
    )
    app.run("model.lr=0.25", "late=${nowhere}", env={"APP_VALUE": "a ${b} c", "APP_MONEY": "$5"}, check=True)
    return app.checkpoints()[0], json.loads((app.folder / "live.json").read_text())


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_unresolved_it_equals_the_live_config(trained: tuple[Path, dict[str, Any]]) -> None:
    path, live = trained
    config = load_config(path)
    assert isinstance(config, DictConfig)
    assert _as_json(OmegaConf.to_container(config)) == live["raw"]
    assert config.model.decay == 0.25
    config.model.lr = 2.0  # the interpolations are alive
    assert config.model.decay == config.model.layers[1] == 2.0


def test_resolved_it_has_the_values_of_the_run(trained: tuple[Path, dict[str, Any]]) -> None:
    path, live = trained
    config = load_config(path, resolve=True)
    values = {
        str(key): OmegaConf.to_container(config[key], resolve=True) if OmegaConf.is_config(config[key]) else config[key]
        for key in config
        if key not in ("missing", "random", "late")
    }
    assert _as_json(values) == live["values"]
    assert config.env == "a ${b} c" and config.money == "$5"
    config.model.lr = 2.0  # the values stay
    assert config.model.decay == 0.25


def test_what_had_no_one_value_stays_an_interpolation(trained: tuple[Path, dict[str, Any]]) -> None:
    path, _ = trained
    config = load_config(path, resolve=True)
    assert OmegaConf.is_missing(config, "missing")
    assert OmegaConf.is_interpolation(config, "random") and OmegaConf.is_interpolation(config, "late")
    assert set(read_record(path).config.unresolved) >= {"random", "late"}


def test_errors_are_those_of_reading(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such file"):
        load_config(tmp_path / "no.ckpt")


def _saved(path: Path, composed: str, resolved: dict[Any, Any], unresolved: list[str] | None = None) -> Path:
    record = {
        "schema_version": 2,
        "run_id": "1",
        "created": "2026-01-02T03:04:05+00:00",
        "config": {"composed": composed, "resolved": resolved, "unresolved": unresolved or []},
        "entry": {"argv": [], "orig_argv": [], "cwd": "/", "python": ""},
        "environment": {"python": "3", "platform": "", "host": ""},
    }
    torch.save({RECORD_KEY: dumps(record)}, path)
    return path


TRICKY = ["${a}", r"\${a}", r"\\${a}", "${", "$", r"a\\", "???", "${oc.env:HOME}", "}", "${a", "null", "1e3", "yes"]
texts = st.text(max_size=10) | st.sampled_from([*TRICKY, "\x85", "\u2028"])
keys = st.text(st.characters(exclude_characters="."), min_size=1, max_size=5) | st.integers(-5, 5) | st.booleans()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(resolved=st.dictionaries(keys, values, max_size=4))
def test_every_resolved_value_comes_back_as_itself(
    tmp_path_factory: pytest.TempPathFactory, resolved: dict[Any, Any]
) -> None:
    path = _saved(tmp_path_factory.getbasetemp() / "round.ckpt", "", resolved)
    config = load_config(path, resolve=True)
    assert OmegaConf.to_container(config, resolve=True) == resolved


@settings(max_examples=150, deadline=None)
@given(composed=st.dictionaries(st.text(min_size=1, max_size=5), values, max_size=4))
def test_every_composed_config_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, composed: dict[Any, Any]
) -> None:
    try:
        config = OmegaConf.create(composed)
        text = OmegaConf.to_yaml(config)
        expected = OmegaConf.to_container(OmegaConf.create(text))
    except Exception:  # text that is no valid interpolation, or that omegaconf's own YAML can't carry
        return
    path = _saved(tmp_path_factory.getbasetemp() / "composed.ckpt", text, {})
    assert OmegaConf.to_container(load_config(path)) == expected


def test_a_float_that_is_no_number_comes_back(tmp_path: Path) -> None:
    config = load_config(_saved(tmp_path / "a.ckpt", "", {"a": math.nan, "b": -math.inf}), resolve=True)
    assert math.isnan(config.a) and config.b == -math.inf


@pytest.mark.parametrize(
    "composed, reason",
    [
        ("a: [1, 2", "can't be read"),
        ("- 1\n- 2\n", "should be a mapping"),
        ("a: !!python/object/apply:os.system ['exit 1']", "can't be read"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "aliases"),
        ("[" * 5000, "can't be read"),
        ("a: {\x01: 1}", "can't be read"),
    ],
)
def test_a_config_that_is_none_is_called_so(tmp_path: Path, composed: str, reason: str) -> None:
    path = _saved(tmp_path / "a.ckpt", composed, {})
    with pytest.raises(DamagedCheckpointError, match=reason) as raised:
        load_config(path)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)


def test_a_resolved_config_that_is_none_is_called_so(tmp_path: Path) -> None:
    path = _saved(tmp_path / "a.ckpt", "", {None: 1})
    with pytest.raises(DamagedCheckpointError, match=r"can't be read|malformed"):
        load_config(path, resolve=True)


TREE = {"a": {"b": [10, {"c": None}], "d.e": {"f": 1}, "d": {"g": 2}}, 3: "three", True: "yes"}


@pytest.mark.parametrize(
    "key, value",
    [
        ("a.b.0", 10),
        ("a.b[0]", 10),
        ("a.b.-1.c", None),
        ("a.b[1].c", None),
        ("a.d.e.f", 1),
        ("a.d.g", 2),
        ("a[b][0]", 10),
        ("3", "three"),
        ("True", "yes"),
        ("", TREE),
    ],
)
def test_select_finds_a_value_by_its_dotted_name(key: str, value: Any) -> None:
    assert select(TREE, key) == value


@pytest.mark.parametrize(
    "key, said",
    [
        ("x", "the config has no 'x'; it has: a, 3, True"),
        ("a.x.y", "'a' has no 'x'; it has: b, d.e, d"),
        ("a.b.2", "'a.b' is a list of 2, and '2' is no position"),
        ("a.b.x", "'a.b' is a list of 2"),
        ("a.b.--1", "'a.b' is a list of 2"),
        ("a.b.²", "'a.b' is a list of 2"),
        ("a.b.0.c", "'a.b.0' is 10, and has no keys"),
        ("3.x", "'3' is 'three'"),
        ("a..b", "'a' has no ''"),
    ],
)
def test_select_says_what_there_is_instead(key: str, said: str) -> None:
    with pytest.raises(ConfigKeyError) as raised:
        select(TREE, key)
    assert str(raised.value).startswith(f"there is no {key!r}: ") and said in str(raised.value)


def _shared(levels: int, leaf: Any) -> Any:
    value = leaf
    for _ in range(levels):
        value = [value] * 10
    return value


HOSTILE: dict[str, tuple[str, Any]] = {
    "many values": ("", {"a": _shared(5, 1)}),
    "many characters": ("", {"a": _shared(2, "x" * (1 << 20))}),
    "text deep": ("[" * 100_000, {}),
    "text wide": ("a: [" + "1," * 250_000 + "1]", {}),
    "a tag without a value": ("a: !!bool x", {}),
    "no time": ("a: !!timestamp x", {}),
    "no number": ('a: !!int ""', {}),
    "a long number": ("a: 1" + ":59" * 50_000, {}),
}


@pytest.mark.parametrize("composed, resolved", HOSTILE.values(), ids=HOSTILE)
def test_a_config_that_would_take_minutes_is_refused(tmp_path: Path, composed: str, resolved: Any) -> None:
    path = _saved(tmp_path / "a.ckpt", composed, resolved)
    with pytest.raises(CheckpointError) as raised:
        load_config(path, resolve=bool(resolved))
    assert str(raised.value).startswith(str(path)) and len(str(raised.value)) < 700 and "\n" not in str(raised.value)
    done = CliRunner().invoke(cli, ["config", str(path), *(["--resolve"] if resolved else ["-o", "/dev/null"])])
    assert done.exit_code == 0 if not resolved else isinstance(done.exception, CheckpointError)
    with pytest.raises(CheckpointError):
        CheckpointOptions(str(path)).load("checkpoint/config" if composed else "checkpoint/a")


def _bomb(reference: str) -> dict[str, Any]:
    return {f"a{i}": reference.format(i + 1) * 2 for i in range(30)} | {"a30": "x"}


BOMBS = {
    "from the front": _bomb("${{a{}}}"),
    "from the end": dict(reversed(_bomb("${{a{}}}").items())),
    "by a resolver": _bomb("${{oc.select:a{}}}"),
    "wide": {"b": "x" * (1 << 20), "a": "${b}" * 3000},
    "itself": {"a": "${a}"},
    "each other": {"a": "${b}", "b": "${a}"},
    "its parent": {"a": {"b": "${a}"}},
    "deep": {f"a{i}": f"${{a{i + 1}}}" for i in range(3000)} | {"a3000": 1},
}


@pytest.mark.parametrize("config", BOMBS.values(), ids=BOMBS)
def test_interpolations_without_an_end_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]
) -> None:
    monkeypatch.setattr(yaml_text, "MOST_SECONDS", 1.0)
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(json.dumps(config))
    row = JobRow(number=0, folder=tmp_path)
    assert OmegaConf.to_container(row.config(resolve=False)) == config
    with pytest.raises(ResultsError, match=r"config\.yaml: it can't be read") as raised:
        row.config(resolve=True)
    assert "\n" not in str(raised.value)


def test_a_config_is_resolved_as_ever(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("a: 1\nb: ${a}-${a}\nc: &x {d: '${b}'}\ne: *x\n")
    before = sys.getprofile()
    assert JobRow(number=0, folder=tmp_path).config(resolve=True) == {
        "a": 1,
        "b": "1-1",
        "c": {"d": "1-1"},
        "e": {"d": "1-1"},
    }
    assert sys.getprofile() is before

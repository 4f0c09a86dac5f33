"""`ckpt://`: apps compose from what a checkpoint's record holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.errors import ConfigCompositionException, MissingConfigException
from hydra.plugins.config_source import ConfigLoadError, ConfigResult
from hydra.test_utils.config_source_common_tests import ConfigSourceTestSuite
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from hydra_plugins.lit_hydra_bridge.checkpoint_source import LitCheckpointConfigSource
from lit_hydra_bridge import load_config, read_record
from lit_hydra_bridge.record import redaction
from lit_hydra_bridge.record.run_record import RECORD_KEY
from lit_hydra_bridge.reload import source
from lit_hydra_bridge.strict_json import dumps
from tests.support import App


def save(path: Path, composed: str, resolved: dict[Any, Any] | None = None, unresolved: tuple[str, ...] = ()) -> Path:
    """Save a checkpoint with a record; without `resolved` it is what omegaconf makes of `composed`."""
    if resolved is None:
        plain: Any = OmegaConf.to_container(OmegaConf.create(composed), resolve=True)
        resolved = plain
    record = {
        "schema_version": 2,
        "run_id": "1",
        "created": "2026-01-02T03:04:05+00:00",
        "config": {"composed": composed, "resolved": resolved, "unresolved": list(unresolved)},
        "entry": {"argv": [], "orig_argv": [], "cwd": "/", "python": ""},
        "environment": {"python": "3", "platform": "", "host": ""},
    }
    torch.save({RECORD_KEY: dumps(record)}, path)
    return path


def opened(path: object) -> LitCheckpointConfigSource:
    return LitCheckpointConfigSource(provider="test", path=f"ckpt://{path}")


def composed_from(path: object, *overrides: str) -> Any:
    """What Hydra's compose API makes of it, as plain data."""
    GlobalHydra.instance().clear()
    with initialize(config_path=None, version_base="1.3"):
        cfg = compose(overrides=[f'hydra.searchpath=["ckpt://{path}"]', *overrides])
    return OmegaConf.to_container(cfg)


# --- Hydra's own suite --------------------------------------------------------------------------------------------

TREE = """
dataset:
  imagenet: {name: imagenet, path: /datasets/imagenet}
  cifar10: {name: cifar10, path: /datasets/cifar10}
optimizer:
  adam: {type: adam, lr: 0.1, beta: 0.01}
  nesterov: {type: nesterov, lr: 0.001}
level1:
  level2:
    nested1: {l1_l2_n1: true}
    nested2: {l1_l2_n2: true}
config_without_group: {group: false}
config_with_unicode: {group: 数据库}
config_with_defaults_list: {defaults: [{dataset: imagenet}], key: value}
configs_with_defaults_list:
  global_package: {defaults: [{foo: bar}], x: 10}
  group_package: {defaults: [{foo: bar}], x: 10}
package_test: {none: {foo: bar}, explicit: {foo: bar}, global: {foo: bar}, group: {foo: bar}, group_name: {foo: bar},
  name: {foo: bar}}
primary_config: {x: 1}
primary_config_with_non_global_package: {x: 1}
"""


class BelowTheGroup(LitCheckpointConfigSource):
    """The suite asks for `dataset/imagenet`, and all that we serve is in the group `checkpoint`."""

    def is_group(self, config_path: str) -> bool:
        return super().is_group(f"checkpoint/{config_path}".rstrip("/"))

    def is_config(self, config_path: str) -> bool:
        return super().is_config(f"checkpoint/{config_path}".rstrip("/"))

    def load_config(self, config_path: str) -> ConfigResult:
        return super().load_config(f"checkpoint/{config_path}")

    def list(self, config_path: str, results_filter: ObjectType | None) -> Any:
        return super().list(f"checkpoint/{config_path}".rstrip("/"), results_filter)


def hydras_own(test: str) -> Any:
    """The parameters that the suite gives one of its tests, in the version of Hydra that is installed."""
    [mark] = getattr(ConfigSourceTestSuite, test).pytestmark
    return pytest.mark.parametrize(*mark.args)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("suite") / "tree.ckpt", TREE)


@pytest.mark.matrix
class TestHydrasOwnSuite(ConfigSourceTestSuite):  # type: ignore[misc]
    """All of it; where a record can't be a folder of files, what holds instead, and why."""

    @pytest.fixture
    def path(self, tree: Path) -> str:
        return f"ckpt://{tree}"

    @pytest.fixture
    def type_(self) -> type[LitCheckpointConfigSource]:
        return BelowTheGroup

    @hydras_own("test_is_config")
    def test_is_config(self, type_: Any, path: str, config_path: str, expected: bool) -> None:
        # A folder is no config; a mapping of mappings is one.
        expected = expected or config_path in ("optimizer", "level1", "level1/level2")
        super().test_is_config(type_, path, config_path, expected)

    @hydras_own("test_source_load_config")
    def test_source_load_config(
        self,
        type_: Any,
        path: str,
        config_path: str,
        expected_config: Any,
        expected_defaults_list: Any,
        expected_package: Any,
        recwarn: Any,
    ) -> None:
        if "defaults_list" in config_path:
            # A composed config has no defaults list: what looks like one is a value, which Hydra would act on.
            expected_config = pytest.raises(ConfigLoadError, match="a key named 'defaults'")
        # There are no headers: a node's package is the place that it had.
        package = config_path.replace("/", ".")
        super().test_source_load_config(
            type_, path, config_path, expected_defaults_list, package, expected_config, recwarn
        )

    @hydras_own("test_package_behavior")
    def test_package_behavior(
        self, type_: Any, path: str, config_path: str, expected_result: Any, expected_package: str
    ) -> None:
        super().test_package_behavior(type_, path, config_path, expected_result, config_path.replace("/", "."))

    def test_default_package_for_primary_config(self, type_: Any, path: str) -> None:
        pytest.skip("no node is a primary config: Hydra takes those from files and packages alone")

    def test_primary_config_with_non_global_package(self, type_: Any, path: str) -> None:
        pytest.skip("there are no package headers in a record")


# --- What is served, and where ------------------------------------------------------------------------------------

CONFIG = """
seed: 7
model:
  lr: 0.1
  decay: ${.lr}
  double: ${model.lr}
  optimizer: ${optimizer}
  layers: [1, "${seed}", {depth: "${seed}"}]
  words: ["1e3", "yes", "null"]
  text: 'costs \\${seed}'
  nothing: null
  _target_: some.where.Model
optimizer:
  name: sgd
  seed: ${seed}
trainer:
  inner: {deeper: {a: 1}}
config:
  sub: {b: 2}
dotted.key: {c: 3}
7: {not: text}
empty: {}
"""
OPTIMIZER = {"name": "sgd", "seed": 7}
MODEL = {
    "lr": 0.1,
    "decay": 0.1,
    "double": 0.1,
    "optimizer": OPTIMIZER,
    "layers": [1, 7, {"depth": 7}],
    "words": ["1e3", "yes", "null"],
    "text": r"costs \${seed}",  # as omegaconf writes the text "costs ${seed}"
    "nothing": None,
    "_target_": "some.where.Model",
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("checkpoint") / "x.ckpt", CONFIG)


@pytest.mark.matrix
@pytest.mark.parametrize(
    "overrides, expected",
    [
        (["+checkpoint=model"], {"model": MODEL}),
        (["+checkpoint=[model,optimizer]"], {"model": MODEL, "optimizer": OPTIMIZER}),
        (["+checkpoint@net=model"], {"net": MODEL}),
        (["+checkpoint@a.b=optimizer"], {"a": {"b": OPTIMIZER}}),
        (["+checkpoint@_global_=optimizer"], OPTIMIZER),
        (["+checkpoint=model/optimizer"], {"model": {"optimizer": OPTIMIZER}}),
        (["+checkpoint/model=optimizer"], {"model": {"optimizer": OPTIMIZER}}),
        (["+checkpoint/model@o=optimizer"], {"o": OPTIMIZER}),
        (["+checkpoint/trainer/inner=deeper"], {"trainer": {"inner": {"deeper": {"a": 1}}}}),
        (["+checkpoint=./config"], {"config": {"sub": {"b": 2}}}),
        (["+checkpoint/config=sub"], {"config": {"sub": {"b": 2}}}),
        (["+checkpoint=dotted.key"], {"dotted.key": {"c": 3}}),
        (["+checkpoint=empty"], {"empty": {}}),
        (["+checkpoint=optimizer", "optimizer.name=adam"], {"optimizer": {"name": "adam", "seed": 7}}),
        ([], {}),
    ],
)  # fmt: skip
def test_each_spelling_puts_a_node_in_its_place(checkpoint: Path, overrides: list[str], expected: Any) -> None:
    assert composed_from(checkpoint, *overrides) == expected


@pytest.mark.matrix
def test_the_whole_is_as_it_was_composed(checkpoint: Path) -> None:
    whole = composed_from(checkpoint, "+checkpoint=config", "model.lr=2", "seed=8")
    assert whole == {
        **(load := OmegaConf.to_container(load_config(checkpoint))),
        "seed": 8,
        "model": {**load["model"], "lr": 2},
    }
    values: Any = OmegaConf.to_container(OmegaConf.create(whole), resolve=True)
    assert values["model"]["decay"] == values["model"]["double"] == 2 and values["optimizer"]["seed"] == 8


def test_of_two_checkpoints_the_first_that_has_an_option_serves_it(checkpoint: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "other.ckpt", "optimizer: {name: adam}\nscheduler: {gamma: 1}")
    both = f'{checkpoint}","ckpt://{other}'
    composed = composed_from(both, "+checkpoint=[optimizer,scheduler]")
    assert composed == {"optimizer": OPTIMIZER, "scheduler": {"gamma": 1}}


def test_options_are_all_mappings_that_have_a_name(checkpoint: Path) -> None:
    found = opened(checkpoint)
    assert found.list("", None) == found.list("", ObjectType.GROUP) == ["checkpoint"]
    assert found.list("checkpoint", ObjectType.CONFIG) == [
        "config", "dotted.key", "empty", "model", "optimizer", "trainer",
    ]  # fmt: skip
    assert found.list("checkpoint", ObjectType.GROUP) == ["config", "model", "trainer"]
    assert found.list("checkpoint/model", None) == ["optimizer"]
    assert found.list("nowhere", None) == found.list("checkpoint/nowhere", None) == []
    assert not found.is_group("model") and not found.is_config("model") and not found.is_config("checkpoint")
    assert found.full_path() == f"ckpt://{checkpoint}"


@pytest.mark.matrix
def test_a_name_that_is_not_there_is_answered_with_those_that_are(checkpoint: Path) -> None:
    with pytest.raises(MissingConfigException, match=r"(?s)'checkpoint/modle'.*Available options.*model\s+optimizer"):
        composed_from(checkpoint, "+checkpoint=modle")
    with pytest.raises(ConfigLoadError, match="no mapping for 'checkpoint/modle'"):
        opened(checkpoint).load_config("checkpoint/modle")


def test_what_had_no_one_value_keeps_its_text(tmp_path: Path) -> None:
    text = "model: {a: '${draw:}', b: '${seed}'}\nseed: 1"
    path = save(tmp_path / "a.ckpt", text, {"model": {"a": "${draw:}", "b": 1}, "seed": 1}, ("model.a",))
    assert composed_from(path, "+checkpoint=model") == {"model": {"a": "${draw:}", "b": 1}}


SECRETS = """
model: {token: <redacted>, url: "https://me:<redacted>@host", list: [1, <redacted>], lr: 1}
hub: "${oc.env:HF_TOKEN,'<redacted>'}"
"""


def test_a_secret_is_missing_and_not_a_text(tmp_path: Path) -> None:
    resolved = {"model": OmegaConf.to_container(OmegaConf.create(SECRETS).model), "hub": "<redacted>"}
    path = save(tmp_path / "a.ckpt", SECRETS, resolved)
    model = {"token": "???", "url": "???", "list": [1, "???"], "lr": 1}

    assert source.REDACTED == redaction.REDACTED
    assert composed_from(path, "+checkpoint=model") == {"model": model}
    # The variable is asked for as ever; only the default, which was the secret, is gone.
    assert composed_from(path, "+checkpoint=config") == {"model": model, "hub": "${oc.env:HF_TOKEN}"}


def test_an_apps_own_value_stays_where_a_secret_is_missing(tmp_path: Path) -> None:
    app = show_app(tmp_path, "model: {token: mine, lr: 2}")
    save(tmp_path / "a.ckpt", "model: {token: <redacted>, lr: 1}")
    arguments = ["hydra.searchpath=[ckpt://a.ckpt]", "+checkpoint=model"]
    assert show(app, *arguments) == {"model": {"token": "mine", "lr": 1}}
    # Under another name there is no value for it, and the app that asks is told so.
    failed = app.run(*arguments[:1], "+checkpoint@net=model", "+used=${net.token}", script="show.py", check=False)
    assert (
        failed.returncode != 0
        and "Missing mandatory value: net.token" in failed.stderr
        and "redacted" not in failed.stderr
    )


def test_an_apps_own_choice_is_taken_out_before_the_checkpoints_comes_in(checkpoint: Path, tmp_path: Path) -> None:
    app = show_app(tmp_path, "defaults: [optimizer: adam]")
    app.write("conf/optimizer/adam.yaml", "{name: adam, betas: 1}")
    at = f'hydra.searchpath=["ckpt://{checkpoint}"]'
    assert show(app, at, "+checkpoint=optimizer") == {"optimizer": {**OPTIMIZER, "betas": 1}}
    assert show(app, at, "~optimizer", "+checkpoint=optimizer") == {"optimizer": OPTIMIZER}


def test_a_forged_node_for_hydra_itself_is_not_served(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", "hydra: {callbacks: {x: {_target_: os.system}}}\nseed: 1\nhydra.run: {dir: x}")
    assert composed_from(path, "+checkpoint=config") == {"seed": 1, "hydra.run": {"dir": "x"}}
    assert composed_from(path, "+checkpoint=hydra.run") == {"hydra.run": {"dir": "x"}}
    assert not opened(path).is_config("checkpoint/hydra") and not opened(path).is_group("checkpoint/hydra")
    assert not opened(path).is_config("checkpoint/hydra/callbacks")


@pytest.mark.parametrize("key", ["_global_", "a._group_", "b]c.d", ""])
def test_a_node_whose_place_has_no_name_in_hydra_is_served_within_the_whole_alone(tmp_path: Path, key: str) -> None:
    path = save(tmp_path / "a.ckpt", json.dumps({"m": {key: {"x": 1}}}))
    assert composed_from(path, "+checkpoint=m") == {"m": {key: {"x": 1}}}
    assert opened(path).list("checkpoint/m", None) == []


# --- Any config ---------------------------------------------------------------------------------------------------

TRICKY = ["${a}", r"\${a}", r"\\${a}", "${", "$", r"a\\", "???", "${oc.env:HOME}", "}", "${a", "null", "1e3", "yes"]
texts = st.text(max_size=10) | st.sampled_from([*TRICKY, "\x85", "\u2028"])
names = st.text("ab", min_size=1, max_size=2) | st.text(min_size=1, max_size=4) | st.sampled_from(["a.b", "a/b", "[a]"])
keys = names.filter(lambda key: key != "hydra") | st.integers(-5, 5) | st.booleans()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(composed=st.dictionaries(keys, values, max_size=4))
def test_the_whole_equals_what_load_config_gives(
    tmp_path_factory: pytest.TempPathFactory, composed: dict[Any, Any]
) -> None:
    try:
        text = OmegaConf.to_yaml(OmegaConf.create(composed))
        OmegaConf.create(text)
    except Exception:  # text that is no valid interpolation, or that omegaconf's own YAML can't carry
        return
    path = save(tmp_path_factory.getbasetemp() / "whole.ckpt", text, {})
    served = opened(path).load_config("checkpoint/config")
    assert OmegaConf.to_container(served.config) == OmegaConf.to_container(load_config(path))
    assert served.header["package"] == "_global_"


def mappings(node: dict[Any, Any], above: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], dict[Any, Any]]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield (*above, key), value
            yield from mappings(value, (*above, key))


@settings(max_examples=300, deadline=None)
@given(resolved=st.dictionaries(keys, values, max_size=4))
def test_each_node_equals_the_resolved_one_and_returns_to_its_place(
    tmp_path_factory: pytest.TempPathFactory, resolved: dict[Any, Any]
) -> None:
    found = opened(save(tmp_path_factory.getbasetemp() / "nodes.ckpt", "", resolved))
    for path, value in mappings(resolved):
        if all(isinstance(key, str) and key.isalpha() for key in path):
            served = found.load_config("/".join(("checkpoint", *path)))
            assert OmegaConf.to_container(served.config, resolve=True) == value
            placed = OmegaConf.create()
            OmegaConf.update(placed, served.header["package"], served.config, merge=False)
            at: Any = OmegaConf.to_container(placed, resolve=True)
            for key in path:
                [(only, at)] = at.items()
                assert only == key
            assert at == value


# --- What can't be served -----------------------------------------------------------------------------------------


def unreadable(folder: Path) -> Iterator[tuple[Any, str]]:
    (folder / "empty").mkdir()
    (folder / "text.ckpt").write_text("no checkpoint")
    torch.save({"state_dict": {}}, folder / "bare.ckpt")
    yield folder / "no.ckpt", "there is no such file or folder"
    yield folder / "empty", "there is no checkpoint"
    yield folder / "text.ckpt", "is not a checkpoint"
    yield folder / "bare.ckpt", "has no record of how it was made"
    yield "", "the path is empty"
    yield "nosuchscheme://x.ckpt", "can't be"


@pytest.mark.matrix
def test_a_file_without_a_record_is_unavailable_and_says_why(tmp_path: Path) -> None:
    for path, reason in unreadable(tmp_path):
        found = opened(path)
        assert not found.available()
        # Hydra comes as far as loading: were it no group, `+checkpoint=config` would become a plain value.
        assert found.is_group("checkpoint") and found.is_group("checkpoint/model") and not found.is_group("model")
        assert found.is_config("checkpoint/config") and found.list("checkpoint", None) == []
        for overrides in (["+checkpoint=config"], ["+checkpoint=[model,data]"], ["+checkpoint/model=optimizer"]):
            with (
                pytest.warns(UserWarning, match="is not available"),
                pytest.raises(ConfigLoadError, match=reason) as said,
            ):
                composed_from(path, *overrides)
            assert "\n" not in str(said.value)
        with pytest.warns(UserWarning, match="is not available"):
            assert composed_from(path, "+x=1") == {"x": 1}


@pytest.mark.parametrize(
    "composed, resolved, option, reason",
    [
        ("a: [1, 2", {}, "config", "the config in the record can't be read"),
        ("defaults: [evil]\na: 1", {}, "config", "a key named 'defaults'"),
        ("", {"data": {"defaults": {"a": 1}}}, "data", "a key named 'defaults'"),
        ("", {"data": {"text": "${never closed"}}, "data", "can't be read"),
    ],
)
def test_a_part_that_hydra_cant_be_given_is_refused(
    tmp_path: Path, composed: str, resolved: dict[str, Any], option: str, reason: str
) -> None:
    path = save(tmp_path / "a.ckpt", composed, resolved, ("data.text",))
    with pytest.raises(ConfigLoadError, match=reason) as said:
        composed_from(path, f"+checkpoint={option}")
    assert str(said.value).startswith(str(path)) and "\n" not in str(said.value)


def test_the_file_is_read_once_and_answers_are_not_shared(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", "model: {lr: 1}")
    found = opened(path)
    assert found.available()
    path.unlink()
    found.load_config("checkpoint/model").config.lr = 2  # Hydra changes what it is given
    assert found.load_config("checkpoint/model").config.lr == 1
    assert found.load_config("checkpoint/config").config == {"model": {"lr": 1}}


def test_other_urls_are_read_through_fsspec(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", "model: {lr: 1}")
    assert composed_from(f"file://{path}", "+checkpoint=model") == {"model": {"lr": 1}}


# --- Apps ---------------------------------------------------------------------------------------------------------

SHOW = """
import json
import sys
{prelude}
import hydra
from omegaconf import OmegaConf


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    shown = dict(cfg=OmegaConf.to_container(cfg, resolve=True), torch="torch" in sys.modules)
    print(json.dumps(shown, default=str))
    {body}


main()
"""


def show(app: App, *arguments: str, **options: Any) -> Any:
    """What an app composed, which needs neither torch nor Lightning to show it."""
    printed = app.run(*arguments, script="show.py", cold=True, **options).stdout
    shown = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert [one["torch"] for one in shown] == [False] * len(shown)
    return [one["cfg"] for one in shown] if len(shown) > 1 else shown[0]["cfg"]


def show_app(folder: Path, config: str = "own: 1\n", prelude: str = "", body: str = "") -> App:
    app = App(folder)
    app.write("conf/config.yaml", config)
    app.write("show.py", SHOW.format(prelude=prelude, body=body))
    return app


@pytest.mark.matrix
def test_an_app_composes_from_its_command_line(tmp_path: Path, checkpoint: Path) -> None:
    app = show_app(tmp_path, "own: 1\nmodel: {lr: 5, mine: 1}\n")
    at = f'hydra.searchpath=["ckpt://{checkpoint}"]'
    model = {**MODEL, "text": "costs ${seed}"}

    assert show(app, at, "+checkpoint=model") == {"own": 1, "model": {"mine": 1, **model}}
    assert show(app, at, "+checkpoint=config", "seed=8", "model.lr=3")["model"] == {
        "mine": 1, **model, "lr": 3, "decay": 3, "double": 3, "optimizer": {**OPTIMIZER, "seed": 8},
        "layers": [1, 8, {"depth": 8}],
    }  # fmt: skip
    assert [job["o"] for job in show(app, "-m", at, "+checkpoint@o=optimizer,trainer/inner/deeper")] == [
        OPTIMIZER, {"a": 1},
    ]  # fmt: skip


@pytest.mark.matrix
def test_an_app_composes_from_its_own_yaml(tmp_path: Path, checkpoint: Path) -> None:
    app = show_app(
        tmp_path,
        """
        hydra: {searchpath: ["ckpt://${oc.env:CKPT}"]}
        defaults:
          - checkpoint@net: model
          - checkpoint: [optimizer, trainer]
          - checkpoint/config: sub
          - _self_
        net: {lr: 9}
        seed: ${optimizer.seed}
        """,
    )
    composed = show(app, env={"CKPT": str(checkpoint)})
    assert composed == {
        "net": {**MODEL, "lr": 9, "text": "costs ${seed}"},  # `_self_` comes last, and wins
        "optimizer": OPTIMIZER,
        "trainer": {"inner": {"deeper": {"a": 1}}},
        "config": {"sub": {"b": 2}},
        "seed": 7,
    }
    # The compose API inside of a running app, and Hydra's own looks at a config.
    assert (
        "checkpoint/config/sub" in app.run("--info", "defaults", script="show.py", env={"CKPT": str(checkpoint)}).stdout
    )
    assert f"ckpt://{checkpoint}" in app.run("--info", script="show.py", env={"CKPT": str(checkpoint)}).stdout
    job = app.run("--cfg", "job", "--package", "optimizer", script="show.py", env={"CKPT": str(checkpoint)}).stdout
    assert OmegaConf.create(job) == OPTIMIZER
    unset = app.run(script="show.py", check=False)
    assert unset.returncode != 0 and "Environment variable 'CKPT' not found" in unset.stderr


@pytest.mark.parametrize(
    "name", ["epoch=3-step=1.ckpt", "with space.ckpt", "Größe 重み.ckpt", "50%20.ckpt", "a#b?c.ckpt"]
)
def test_a_path_is_taken_verbatim(tmp_path: Path, name: str) -> None:
    save(tmp_path / name, "model: {lr: 1}")
    assert composed_from(tmp_path / name, "+checkpoint=model") == {"model": {"lr": 1}}


@pytest.mark.matrix
def test_a_path_on_the_command_line_may_be_relative_and_stays_so_where_jobs_change_folder(tmp_path: Path) -> None:
    app = show_app(tmp_path, body="from pathlib import Path; Path('been.txt').touch()")
    save(tmp_path / "epoch=3 a.ckpt", "model: {lr: 1}")
    at = ['hydra.searchpath=["ckpt://epoch=3 a.ckpt"]', "hydra.job.chdir=true"]
    assert show(app, *at, "+checkpoint=model")["model"] == {"lr": 1}
    assert [job["n"] for job in show(app, "-m", *at, "+checkpoint@n=model", "own=1,2")] == [{"lr": 1}, {"lr": 1}]
    assert len(list(tmp_path.glob("*/*/*/**/been.txt"))) == 3


STRUCTURED = """
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from hydra.core.config_store import ConfigStore

class Kind(Enum):
    MLP = 1
    CNN = 2

@dataclass
class Model:
    lr: float = 0.0
    kind: Kind = Kind.MLP
    root: Path = Path(".")

@dataclass
class Base:
    model: Model = field(default_factory=Model)

ConfigStore.instance().store(name="base", node=Base)
"""


@pytest.mark.matrix
def test_a_structured_config_keeps_its_types(tmp_path: Path) -> None:
    save(tmp_path / "good.ckpt", "model: {lr: 1, kind: CNN, root: /a/b}")
    save(tmp_path / "bad.ckpt", "model: {lr: 1, kind: RNN}")
    app = show_app(
        tmp_path,
        """
        hydra: {searchpath: ["ckpt://${oc.env:CKPT}"]}
        defaults: [base, checkpoint: model, _self_]
        """,
        prelude=STRUCTURED,
        body="print(type(cfg.model.lr), repr(cfg.model.kind), repr(cfg.model.root))",
    )
    app.write(
        "show.py",
        (tmp_path / "show.py").read_text().replace("enum_to_str=True", "enum_to_str=True, resolve=False) and dict(a=1"),
    )
    good = app.run(script="show.py", env={"CKPT": "good.ckpt"})
    assert good.stdout.splitlines()[-1] == "<class 'float'> <Kind.CNN: 2> PosixPath('/a/b')"
    bad = app.run(script="show.py", env={"CKPT": "bad.ckpt"}, check=False)
    assert bad.returncode != 0 and "Invalid value 'RNN', expected one of [MLP, CNN]" in bad.stderr


@pytest.mark.matrix
def test_an_app_is_told_in_one_line_what_is_wrong_with_a_checkpoint(tmp_path: Path) -> None:
    app = show_app(tmp_path)
    arguments = ['hydra.searchpath=["ckpt://no.ckpt"]', "+checkpoint=config"]
    done = app.run(*arguments, script="show.py", check=False, env={"HYDRA_FULL_ERROR": ""})
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "path=no.ckpt is not available" in done.stderr
    assert "no.ckpt: there is no such file or folder" in done.stderr.splitlines()


def test_reading_works_where_recording_is_switched_off(tmp_path: Path) -> None:
    app = show_app(tmp_path)
    save(tmp_path / "a.ckpt", "model: {lr: 1}")
    composed = show(app, "hydra.searchpath=[ckpt://a.ckpt]", "+checkpoint=model", env={"LIT_HYDRA_BRIDGE": "off"})
    assert composed["model"] == {"lr": 1}


@pytest.mark.matrix
def test_a_run_made_from_a_checkpoint_says_so_in_its_own_record(app: App) -> None:
    app.script("trainer(default_root_dir='.').fit(Net(lr=cfg.model.lr), data())")
    app.run("model.lr=0.25", "hydra.run.dir=first", "hydra.job.chdir=true")
    [first] = app.checkpoints()
    folder = app.folder / "first"  # a run's folder serves its newest checkpoint
    app.run(
        f'hydra.searchpath=["ckpt://{folder}"]', "+checkpoint=model", "hydra.run.dir=second", "hydra.job.chdir=true"
    )

    [second] = [path for path in app.checkpoints() if path != first]
    record = read_record(second)
    assert record.config.resolved == {"model": {"lr": 0.25, "decay": 0.25}, "seed": 7}
    assert {
        "path": str(folder),
        "schema": "ckpt",
        "provider": "hydra.searchpath in command-line",
    } in record.hydra.config_sources
    assert record.hydra.choices["checkpoint"] == "model"


def test_a_value_override_that_names_no_option_is_an_error(checkpoint: Path) -> None:
    with pytest.raises(ConfigCompositionException, match="Could not override 'checkpoint'"):
        composed_from(checkpoint, "checkpoint=model")

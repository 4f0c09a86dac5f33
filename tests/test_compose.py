"""A job's config is to the last node what Hydra itself composes, though most of it is kept from other jobs."""

from __future__ import annotations

import copy
import gc
import itertools
import pickle
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import pytest
from hydra import version
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.singleton import Singleton
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf, UnionNode, base, open_dict
from omegaconf.base import Box, Node

from lit_hydra_bridge.sweep import common_parts
from lit_hydra_bridge.sweep.compose import FrozenConfigs
from lit_hydra_bridge.sweep.quick_configs import quick_configs

pytestmark = pytest.mark.matrix

NUMBER: Final = 7
"""What every job here has."""

FILES = {
    "config.yaml": """
        defaults:
          - schema: full
          - model: a
          - optim: adam
          - optional data: not_there
          - many: [x, y]
          - optional recipe: ${model}_${optim}
          - _self_
          - override hydra/job_logging: disabled
        twice: ${t_twice:${optim.lr}}
        once: ${t_once:}
        time: ${now:%f}
        home: ${oc.env:T_HOME}/${oc.env:T_NOT_SET,x}
        dirname: ${hydra:job.override_dirname}
        here: ${.layers}
        stages:
          - {name: warm, steps: 1, of: "${optim.name}"}
          - {name: main, steps: [1, "${..0.steps}"]}
        layers: [1, 2, 3]
        nothing: null
        todo: ???
        hydra:
          job: {env_copy: [T_HOME], config: {override_dirname: {exclude_keys: [seed]}}}
          sweep: {dir: out, subdir: "${hydra.job.num}"}
        """,
    "model/a.yaml": "{width: 4, lr: '${optim.lr}'}",
    "model/b.yaml": """
        defaults: [a, part: wide, /optim@inner: sgd, _self_]
        width: 8
        """,
    "model/part/wide.yaml": "# @package net.wide\nsize: [1, 2]",
    "model/part/thin.yaml": "# @package _global_\nthin: {size: 1}",
    "optim/adam.yaml": "{name: adam, lr: 0.1, betas: [0.9, 0.99]}",
    "optim/sgd.yaml": "{name: sgd, lr: 0.01, momentum: '???'}",
    "recipe/b_sgd.yaml": "epochs: 3",
    "data/real.yaml": "files: 3",
    "many/x.yaml": "x: [1, 2]",
    "many/y.yaml": "# @package many.of_y\ny: {z: 1}",
    "extra/more.yaml": """
        # @package _global_
        defaults: [override /optim: sgd, override /model: b]
        layers: [9]
        """,
    "extra/needs.yaml": "defaults: [/optim@chosen: '???']",
    "elsewhere/optim/late.yaml": "{name: late, lr: 2}",
    "elsewhere/plugin/x.yaml": "found: elsewhere",
    "elsewhere/recipe/a_adam.yaml": "epochs: 5",
    "further/plugin/x.yaml": "found: further",
    "further/recipe/a_adam.yaml": "epochs: 6",
}

ELSEWHERE = "hydra.searchpath=[file://{folder}/elsewhere]"
FURTHER = "hydra.searchpath=[file://{folder}/further]"
JOBS: list[tuple[str, ...]] = [
    (),
    ("model=b", "optim.lr=0.5", "layers=[4,5]", "schema.count=4", "schema.either=word"),
    ("optim.lr=1", "model=b", "stages.0.steps=9", "schema.must=5", "schema.where=/x"),
    ("model=b", "model/part=thin", "optim@model.inner=adam", "schema.maybe=6", "+schema.names.c=9"),
    ("model=c", "model.width=${optim.lr}", "schema.color=BLUE", "~stages", "+new=1", "schema.numbers=[7]"),
    ("model=closed", "schema.lone=${schema.part}", "schema.part.tags=[y]", "nothing=5", "schema.maybe=null"),
    ("optim=sgd", "+optim@other=sgd", "+optim@other.deeper=adam", "schema.parts=[{size: 2}]", "~model.width"),
    ("+extra=more", "stages=[{name: only}]", "+schema.by_color={BLUE: {size: 5}}", "schema.names={a: 8}"),
    ("many=[y]", "data=real", "hydra/job_logging=none", "hydra.job.name=mine", "todo=done", "schema.anything=[1]"),
    ("many=y", "data=neither", "+model.more={a: [1, {b: null}]}", "~optim.betas", "++schema.must_list=[1]"),
    ("+many@other=x", "~schema", "~twice", "layers=[]", "++seed=3", "optim={lr: 3}"),
    ("+many@third=x", "~schema", "home=${oc.env:T_HOME}", "++optim.lr=0.5", "~time"),
    ("+plugin=x", "++new.deep=2"),
    (FURTHER, "+plugin=x", "layers.1=7"),
    (ELSEWHERE, "+plugin=x", "+optim.new={x: 1}"),
    (ELSEWHERE,),
    (ELSEWHERE, "optim=late"),
]
"""Each is good, and has what the ones before it had or have not."""
WRONG = [
    "unknown=1", "model=unknown", "optim=late", "optim@nowhere=sgd", "model/part=thin", "~optim", "~optim=sgd", "~many",
    "~unknown", "~layers=[9]", "++model=a", "+model=b", "model=3", "model=[a,b]", "+optim.lr=1", "schema.count=word",
    "schema.color=GREEN", "schema.lone={unknown: 1}", "schema.part.unknown=1", "schema.either=[1]", "optim.lr=1,2",
    "+extra=needs", "optim.lr=[", "hydra.searchpath=5",
]  # fmt: skip


class Color(Enum):
    RED = 1
    BLUE = 2


@dataclass
class Part:
    size: int = 1
    tags: list[str] = field(default_factory=lambda: ["x"])


@dataclass
class Schema:
    count: int = 3
    must: int = MISSING
    color: Color = Color.RED
    maybe: int | None = None
    either: int | str = 5
    where: Path = Path("a/b")
    raw: bytes = b"\0"
    rate: float = float("nan")
    anything: Any = "${.count}"
    names: dict[str, int] = field(default_factory=lambda: {"a": 1, "b": 2})
    by_color: dict[Color, Part] = field(default_factory=lambda: {Color.RED: Part()})
    numbers: list[int] = field(default_factory=lambda: [1, 2])
    eithers: list[int | str] = field(default_factory=lambda: [1, "a", "${schema.count}"])
    parts: list[Part] = field(default_factory=lambda: [Part(), Part(size=9)])
    part: Part = field(default_factory=Part)
    lone: Part | None = None
    must_list: list[int] = MISSING
    same: dict[str, int] = "${.names}"  # type: ignore[assignment]


@dataclass
class WithDefaults:
    defaults: list[Any] = field(default_factory=lambda: [{"/optim@deep": "adam"}, "_self_"])
    width: int = 16


class Own(DictConfig):
    """An app's own kind of node."""


class World:
    """A folder with configs, and a Hydra that remembers nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(textwrap.dedent(text))
        hydra = self._hydra()
        self._loader = hydra.config_loader
        self.master = hydra.compose_config(
            config_name="config",
            overrides=["hydra.job.name=app"],
            run_mode=RunMode.MULTIRUN,
            with_log_configuration=False,
        )
        anatomy(self.master)  # what a cached resolver answers here, it answers to every job
        self._known: dict[tuple[str, ...], list[Any]] = {}

    def _hydra(self) -> Hydra:
        GlobalHydra.instance().clear()
        return Hydra.create_main_hydra2("app", create_config_search_path(str(self.folder)))

    def loader(self) -> Any:
        """Return one of its own."""
        return self._hydra().config_loader

    def by_hydra(self, *overrides: str) -> list[Any]:
        """Return what becomes of a job."""
        if overrides not in self._known:
            self._known[overrides] = self.as_checked(self._loader, *overrides)
        return self._known[overrides]

    def as_checked(self, composer: Any, *overrides: str) -> list[Any]:
        """Return what becomes of a job when the sweeper composes it."""
        return outcome(lambda: numbered(composer.load_sweep_config(self.master, self._filled(overrides))))

    def as_job(self, composer: Any, *overrides: str) -> list[Any]:
        """Return what becomes of a job when it is launched, as its own process sees it."""
        with quick_configs():
            return outcome(lambda: composer.job_config(self.master, self._filled(overrides), NUMBER))

    def _filled(self, overrides: Sequence[str]) -> list[str]:
        return [override.replace("{folder}", str(self.folder)) for override in overrides]


def numbered(config: Any) -> Any:
    """Return a job's config with its number, as Hydra's basic launcher sets it."""
    with open_dict(config):
        config.hydra.job.id = str(NUMBER)
        config.hydra.job.num = NUMBER
    return config


def outcome(compose: Callable[[], Any]) -> list[Any]:
    """Return all there is to see of a config, or of the error in its place."""
    try:
        config = compose()
    except Exception as error:
        return ["error", *chain(error)]
    return anatomy(config)


def chain(error: BaseException | None) -> Iterator[tuple[type, str]]:
    """Yield what a traceback shows of an error and of those behind it."""
    while error is not None:
        yield type(error), str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


FLAGS = ("readonly", "struct", "allow_objects", "no_deepcopy_set_nodes", "HYDRA_REMOVE_TOP_LEVEL_DEFAULTS")


def anatomy(config: Any) -> list[Any]:
    """Return what there is to see of each node, in order."""
    holder = HydraConfig.instance()
    before, holder.cfg = holder.cfg, config
    try:
        return [row for node in nodes_of(config) for row in seen(node)]
    finally:
        holder.cfg = before


def nodes_of(node: Any) -> Iterator[Any]:
    """Yield a node and all below it; each knows who holds it, and by which key."""
    yield node
    content = node.__dict__.get("_content")
    held = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, child in [(None, content)] if isinstance(node, UnionNode) and isinstance(content, Node) else held:
        assert child._get_parent() is node
        assert child._key() == key
        yield from nodes_of(child)


def seen(node: Any) -> Iterator[Any]:
    """Yield a node's kind, key, types and flags, its value, and what is found where that is an interpolation."""
    own, answers = vars(node._metadata), node._metadata.resolver_cache
    kept = {"flags": dict(own["flags"]), "resolver_cache": copy.deepcopy(answers) if answers else None}
    yield type(node), own | kept, [node._get_flag(flag) for flag in FLAGS]
    content = node.__dict__["_content"] if isinstance(node, Box) else node._value()
    if not isinstance(content, dict | list | Node):
        yield type(content), content if isinstance(content, str) else repr(content)
    if isinstance(content, str) and "${" in content:
        try:
            found = node._dereference_node()
            yield type(found), found._metadata.object_type, str(found)
        except Exception as error:
            yield list(chain(error))


def scribble(config: Any) -> None:
    """Change all that can be changed in place."""
    for node in reversed(list(nodes_of(config))):
        node._metadata.flags["readonly"] = True
        node._metadata.resolver_cache["t_once"][()] = "scribbled"
        node._metadata.key = node._metadata.ref_type = "scribbled"
        content = node.__dict__.get("_content")
        if isinstance(content, dict | list):
            content.clear()
        else:
            node.__dict__["_content" if isinstance(node, Box) else "_val"] = "scribbled"


def assert_same(found: list[Any], expected: list[Any]) -> None:
    """For a message that can be read."""
    assert next((pair for pair in zip_longest(found, expected) if pair[0] != pair[1]), None) is None


@pytest.fixture(scope="module", autouse=True)
def no_trace_in_this_process() -> Iterator[None]:
    before = copy.deepcopy(Singleton.get_state())
    asked = itertools.count(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T_HOME", "/home/t")
        patch.delenv("T_NOT_SET", raising=False)
        setup_globals()
        version.setbase("1.3")
        OmegaConf.register_new_resolver("t_twice", lambda number: 2 * number)
        OmegaConf.register_new_resolver("t_once", lambda: next(asked), use_cache=True)
        store = ConfigStore.instance()
        store.store(group="schema", name="full", node=Schema)
        store.store(group="model", name="c", node=WithDefaults)
        closed = OmegaConf.create({"width": {"min": 1}}, flags={"readonly": True})
        store.store(group="model", name="closed", node=closed)
        gc.disable()  # Hydra makes so many objects that looking for garbage takes half of the time
        yield
        gc.enable()
        for name in ("t_twice", "t_once"):
            OmegaConf.clear_resolver(name)
    Singleton.set_state(before)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def used(world: World) -> FrozenConfigs:
    """One that has composed the job without overrides."""
    frozen = FrozenConfigs(world.loader())
    world.as_checked(frozen)
    return frozen


def test_each_job_is_what_hydra_composes(world: World) -> None:
    frozen = FrozenConfigs(world.loader())
    for overrides in JOBS:
        assert world.by_hydra(*overrides)[0] != "error", world.by_hydra(*overrides)
        assert_same(world.as_checked(frozen, *overrides), world.by_hydra(*overrides))
    for overrides in reversed(JOBS):
        assert_same(world.as_job(frozen, *overrides), world.by_hydra(*overrides))


pool = st.sampled_from(sorted({override for overrides in JOBS for override in overrides}))
own_overrides = st.lists(pool | pool | st.sampled_from(WRONG), max_size=3)


# To look for a shorter example would take minutes.
@settings(max_examples=12, deadline=None, phases=(Phase.reuse, Phase.generate))
@given(
    st.lists(pool, max_size=2), st.lists(st.tuples(own_overrides, st.booleans()), max_size=4), st.sampled_from([1, 64])
)
def test_whatever_the_jobs_before_it_were(
    world: World, common: list[str], jobs: list[tuple[list[str], bool]], most_kept: int
) -> None:
    frozen = FrozenConfigs(world.loader())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common_parts, "_MOST_KEPT", most_kept)
        for own, is_checked in jobs:
            overrides = (*common, *own)
            if is_checked:
                assert_same(world.as_checked(frozen, *overrides), world.by_hydra(*overrides))
            assert_same(world.as_job(frozen, *overrides), world.by_hydra(*overrides))


SETTINGS = {
    "optim.lr": ["0.5", "1", "1e-3", "-2.5", "nan", "null", "true", "'1'", "${layers}", "[1,2]", "{a: 1}"],
    "nothing": ["5", "word", "'a b'", "???", "'${once}'", "0x", "1_0"],
    "todo": ["done", "1", "2", "f(1)"],
    "model": ["a", "b", "c", "unknown"],
    "model.width": ["8", "16", "'x'", "${optim.lr}"],
    "schema.count": ["4", "5", "word", "1.5"],
    "schema.color": ["RED", "BLUE", "GREEN", "1"],
    "schema.maybe": ["4", "null", "word"],
    "schema.either": ["4", "word", "[1]"],
    "schema.where": ["/x", "y"],
    "schema.raw": ["x", "y"],
    "schema.anything": ["1", "2", "x", "[1]"],
    "schema.names": ["{a: 4}", "{a: 5}"],
    "schema.names.a": ["4", "5"],
    "schema.part": ["{size: 3}", "null"],
    "schema.part.size": ["4", "5"],
    "layers.0": ["4", "5"],
    "layers[1]": ["4", "5"],
    "layers": ["4", "5", "[6]"],
    "stages.0.steps": ["4", "5"],
    "twice": ["4", "5"],
    "here": ["4", "5"],
    "+new": ["4", "5"],
    "++new.deep": ["4", "5"],
    "~todo": ["done"],
    "hydra.job.name": ["one", "two"],
    "hydra.job.config.override_dirname.item_sep": [";", "+"],
}
"""By key, values of which each job of a sweep has another one, good or bad."""


@st.composite
def sweeps(draw: st.DrawFn) -> list[tuple[str, ...]]:
    """Jobs that set the same, in the same order, each to values of its own; most of these are alike."""
    keys = draw(st.lists(st.sampled_from(sorted(SETTINGS)), min_size=1, max_size=3))
    values = [draw(st.lists(st.sampled_from(SETTINGS[key]), min_size=1, max_size=2, unique=True)) for key in keys]
    jobs = draw(st.lists(st.tuples(*map(st.sampled_from, values)), min_size=3, max_size=6))
    return [tuple(f"{key}={value}" for key, value in zip(keys, job, strict=True)) for job in jobs]


# To look for a shorter example would take minutes.
@settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(sweeps())
@example([(f"schema.count={count}", f"optim.lr={lr}") for count in (4, 5, 6) for lr in (0.5, 1)])
@example([(f"model.width={value}", f"model={model}") for model in "ab" for value in range(4)])
@example([(f"+plugin={name}", f"optim.lr={lr}", FURTHER) for name in "xy" for lr in (1, 2, 3)])
@example([(f"optim.lr={value}",) for value in ("1", "2", "true", "1.0", "0.0", "-0.0", "'1'", "nan", "null", "1")])
@example([(f"optim.lr={value}", "optim={lr: 3}") for value in (4, 3, 5)])
@example([(f"layers[1]={value}", "layers=[7,8]") for value in (4, 8, 5)])
@example([(f"schema.names={value}",) for value in ("{a: 4}", "{a: 5}", "{b: 6}")])
@example([(f"optim.lr={value}",) for value in ("1", "2", "${layers}", "???", "${once}", "1")])
@example([(f"optim.lr={value}",) for value in ("${layers}", "1", "2", "???", "3")])
@example([(f"optim.lr={value}", f"++optim.lr={other}") for value, other in ((1, 2), (3, 4), (4, 1))])
@example([(f"+new={value}", "new=5", "++new=6") for value in (1, 2, 3)])
@example([(f"hydra.sweep.subdir={value}", f"todo={value}") for value in ("one", "two", "three")])
@example([("+new=1",), ("+new=2",), ("new=3",), ("++new=4",)])
def test_jobs_that_differ_in_values_alone(world: World, jobs: list[tuple[str, ...]]) -> None:
    frozen = FrozenConfigs(world.loader())
    for overrides in jobs:
        assert_same(world.as_checked(frozen, *overrides), world.by_hydra(*overrides))
    for overrides in jobs:
        assert_same(world.as_job(frozen, *overrides), world.by_hydra(*overrides))


def test_hydra_composes_two_of_those_that_differ_in_values_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = FrozenConfigs(world.loader())
    pairs = [("0.1", "RED"), ("0.2", "BLUE"), ("0.3", "RED"), ("1e-4", "BLUE")]
    alike = [("model=b", f"optim.lr={value}", "+seed=3", f"schema.color={color}") for value, color in pairs]
    expected = [world.by_hydra(*overrides) for overrides in alike]
    for overrides in alike[:2]:
        world.as_checked(frozen, *overrides)
    monkeypatch.delattr(ConfigLoaderImpl, "load_sweep_config")
    for overrides, its in zip(alike[2:], expected[2:], strict=True):
        assert_same(world.as_checked(frozen, *overrides), its)
    for overrides, its in zip(alike, expected, strict=True):
        assert_same(world.as_job(frozen, *overrides), its)


def test_what_comes_from_this_process_is_looked_at_for_each_job(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    frozen, composer = FrozenConfigs(world.loader()), world.loader()
    answers = OmegaConf.get_cache(world.master)["t_once"]
    for number in range(8):
        if number in (3, 4):
            monkeypatch.setenv("T_HOME", f"/home/{number}")
        if number == 5:
            answers["later",] = 5
        if number == 6:
            monkeypatch.chdir(tmp_path)
        overrides = f"optim.lr={number}"
        assert_same(world.as_checked(frozen, overrides), world.as_checked(composer, overrides))
    del answers["later",]


def test_what_is_done_to_one_of_those_that_are_alike_is_done_to_no_other(world: World) -> None:
    frozen = FrozenConfigs(world.loader())
    for number in range(6):
        config = frozen.load_sweep_config(world.master, [f"optim.lr={number}"])
        assert (config.optim.lr, config.model.width, config.layers) == (number, 4, [1, 2, 3])
        config.optim.lr = config.model.width = "changed"
        config.layers.append(4)


@pytest.mark.parametrize("override", WRONG)
def test_what_is_wrong_is_said_as_hydra_says_it(world: World, used: FrozenConfigs, override: str) -> None:
    expected = world.by_hydra(override)
    assert expected[0] == "error"
    assert world.as_job(used, override) == expected


def test_what_is_a_jobs_own(world: World, used: FrozenConfigs) -> None:
    for lr in ("1", "2"):
        config = used.job_config(world.master, ["optim=sgd", f"optim.lr={lr}", "+seed=3"], NUMBER)
        assert config.hydra.overrides == {
            "hydra": ["hydra.job.name=app"],
            "task": ["optim=sgd", f"optim.lr={lr}", "+seed=3"],
        }
        assert config.hydra.runtime.choices.optim == "sgd"
        assert config.hydra.job.override_dirname == f"optim.lr={lr},optim=sgd"
        assert config.twice == 2 * int(lr)
        assert config.once == world.master.once


def test_what_is_done_to_a_config_is_done_to_no_other(world: World) -> None:
    frozen = FrozenConfigs(world.loader())
    for overrides in ((), ("optim.lr=0.5",), ("optim.lr=0.5",)):
        scribble(frozen.load_sweep_config(world.master, list(overrides)))
        for _ in range(2):
            assert_same(world.as_job(frozen, *overrides), world.by_hydra(*overrides))
            scribble(frozen.job_config(world.master, list(overrides), NUMBER))


def test_nothing_is_composed_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    load = ConfigLoaderImpl._load_single_config

    def counted(*args: Any, **kwargs: Any) -> Any:
        loaded.append(kwargs)
        return load(*args, **kwargs)

    monkeypatch.setattr(ConfigLoaderImpl, "_load_single_config", counted)
    loader = world.loader()
    frozen = FrozenConfigs(loader)
    loader.load_sweep_config(world.master, ["model=b", "optim.lr=1"])
    assert loaded
    loaded.clear()
    loader.load_sweep_config(world.master, ["optim.lr=2", "model=b"])
    assert not loaded
    monkeypatch.delattr(ConfigLoaderImpl, "load_sweep_config")
    assert frozen.job_config(world.master, ["model=b", "optim.lr=1"], NUMBER).optim.lr == 1


def test_a_file_is_read_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    jobs = [("model=b", "layers.0=5"), ("model=b", "optim@model.inner=adam")]
    frozen, other = FrozenConfigs(world.loader()), FrozenConfigs(world.loader())
    expected = [world.by_hydra(*overrides) for overrides in jobs]
    world.as_checked(frozen, "model=b")

    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("layers: [1, 2, 3]", "layers: [4]"))
    (tmp_path / "model" / "b.yaml").write_text("defaults: [/optim@inner: adam]")
    (tmp_path / "optim" / "adam.yaml").write_text("{name: changed, lr: 5}")
    (tmp_path / "optim" / "new.yaml").write_text("{name: new, lr: 6}")

    for overrides, as_before in zip(jobs, expected, strict=True):
        assert_same(world.as_job(frozen, *overrides), as_before)
        changed = world.as_job(other, *overrides)
        assert_same(changed, world.as_checked(world.loader(), *overrides))
        assert changed != as_before
    assert frozen.job_config(world.master, ["optim=new"], NUMBER).optim == {"name": "new", "lr": 6}


def test_in_another_process_it_composes_too(world: World, used: FrozenConfigs) -> None:
    assert_same(world.as_job(pickle.loads(pickle.dumps(used)), *JOBS[1]), world.by_hydra(*JOBS[1]))


def in_place(loader: Any) -> list[Any]:
    of_omegaconf = [DictConfig.__deepcopy__, ListConfig.__deepcopy__, vars(base)["parse"], vars(OmegaConf)["to_yaml"]]
    of_hydra = [getattr(config_loader_impl, name) for name in ("create_defaults_list", "ConfigSourceInfo")]
    return [*of_omegaconf, OverridesParser.parse_rule, *of_hydra, loader._compose_config_from_defaults_list]


@pytest.mark.parametrize("override", ["optim.lr=1", "unknown=1", "model=unknown", "optim.lr=["])
def test_hydra_is_left_as_it_was(world: World, override: str) -> None:
    loader = world.loader()
    before = in_place(loader)
    world.as_checked(FrozenConfigs(loader), override)
    assert in_place(loader) == before


def test_omegaconf_is_left_as_it_was(world: World) -> None:
    loader = world.loader()
    before = in_place(loader)
    with pytest.raises(KeyError), quick_configs():
        inside = in_place(loader)
        with pytest.raises(ValueError), quick_configs():
            raise ValueError
        assert in_place(loader) == inside
        raise KeyError
    assert in_place(loader) == before
    assert all(quick != original for quick, original in zip(inside[:5], before[:5], strict=True))


@pytest.mark.parametrize("text", ["a=[1,{b: 'c'}]", "+a@b=null", "~a", "a=1,2", "a=shuffle(range(3))", "a=["])
def test_an_override_that_is_parsed_again_is_another_one(text: str) -> None:
    def parse() -> Any:
        try:
            return OverridesParser.create().parse_override(text)
        except HydraException as error:
            return str(error)

    expected = parse()
    with quick_configs():
        first = parse()
        if not isinstance(first, str):
            first.config_loader, first._value = object(), "changed"
        assert parse() == expected


leaves = st.sampled_from([
    None, "???", "${x}", "${top}", "${t_twice:2}", "text", 1, 0.5, float("nan"), True, b"\0", Path("p"), Color.RED,
    World,
])  # fmt: skip
container_kinds: list[Callable[[], Any]] = [
    lambda: DictConfig(None), lambda: DictConfig("???"), lambda: DictConfig("${top}"),
    lambda: ListConfig(None), lambda: ListConfig("???"), lambda: ListConfig("${top}"),
    lambda: DictConfig({"a": 1}, key_type=str, element_type=int), lambda: DictConfig(None, element_type=int),
    lambda: DictConfig({"a": 1, "b": None}, element_type=int | str | None), lambda: DictConfig(Part),
    lambda: DictConfig(None, ref_type=Part), lambda: ListConfig([1, "${x}"], element_type=int | str),
    lambda: ListConfig([1], element_type=int), lambda: ListConfig([Part()], element_type=Part), Schema,
]  # fmt: skip
containers = st.sampled_from(container_kinds).map(lambda make: make())
keys = st.sampled_from(["a", "b", 1, 0.5, Color.BLUE, b"k"])
numbers = st.integers(0, 9)
contents = st.recursive(
    leaves | containers, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
)


@settings(max_examples=60, deadline=None)
@given(contents, st.lists(st.tuples(numbers, st.sampled_from(FLAGS), st.booleans()), max_size=3), numbers)
def test_a_quick_copy_is_a_copy(content: Any, flags: list[tuple[int, str, bool]], which: int) -> None:
    config = OmegaConf.create({"x": 3, "top": content}, flags={"allow_objects": True})
    OmegaConf.get_cache(config)["t_once"][()] = [1]
    nodes = list(nodes_of(config))
    for number, flag, value in flags:
        nodes[number % len(nodes)]._set_flag(flag, value)
    before = anatomy(config)
    boxes = [node for node in nodes if isinstance(node, Box)]
    for node in (config, boxes[which % len(boxes)]):
        with quick_configs():
            quick = copy.deepcopy(node)
        assert quick is not node
        assert_same(anatomy(quick), anatomy(copy.deepcopy(node)))
        assert quick._get_parent() is node._get_parent()
        scribble(quick)
        assert_same(anatomy(config), before)


def test_an_apps_own_kind_of_node_is_copied_as_ever() -> None:
    config = OmegaConf.create({"x": 1}, flags={"no_deepcopy_set_nodes": True})
    config.own = Own({"a": [{"b": "${x}"}]})
    assert type(config._get_node("own")) is Own
    for node in (config, config.own):
        with quick_configs():
            quick = copy.deepcopy(node)
        assert_same(anatomy(quick), anatomy(copy.deepcopy(node)))


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_copied_together_stays_together(order: int) -> None:
    config = OmegaConf.create({"a": {"b": [1]}})
    with quick_configs():
        whole, part = copy.deepcopy([config, config.a.b][::order])[::order]
    assert whole.a.b is part and part._get_parent()._get_parent() is whole


ALMOST_PLAIN = st.text(st.sampled_from("ab1.:-'\"#&*!|>%@`?,[]{}~$/\\  \n\n\t\x85é漢😀"), max_size=24)
LINES = st.lists(st.sampled_from(["word", "a: b", "'s", "#", "${x}", "-", "", " ", "end "]), max_size=40)
TEXTS = (
    ALMOST_PLAIN | LINES.map(" ".join) | LINES.map("\n".join) | st.sampled_from(["null", "1e3", "0x1", "yes", "~", "="])
)
KEYS = st.sampled_from(["a", "B.c", "d/e", "f@g", "1", "null", "", "h i", "é", "k" * 101]) | ALMOST_PLAIN
LEAVES = TEXTS | st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=3) | st.just(Path("p"))
TREES = st.recursive(LEAVES, lambda each: st.lists(each, max_size=3) | st.dictionaries(KEYS, each, max_size=3))


@settings(deadline=None, max_examples=150)
@example({"a": " \n".join(["fold me or not, I am wide"] * 12)})
@given(st.dictionaries(KEYS, TREES, max_size=4))
def test_yaml_is_what_omegaconf_writes(content: dict[str, Any]) -> None:
    try:
        config = OmegaConf.create(content)
    except Exception:  # no interpolation, though it looks like one
        return
    with quick_configs():
        quick = OmegaConf.to_yaml(config)
    assert quick == OmegaConf.to_yaml(config)

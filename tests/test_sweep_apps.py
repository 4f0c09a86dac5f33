"""Apps of many shapes under `hydra/launcher=lit_local`: each job is what Hydra's own launcher makes of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from tests.support import run

METHODS = ("fork", "forkserver", "spawn")
each_method = pytest.mark.parametrize("method", METHODS)
OURS = {"job.json", "job.log", "progress.json", "results.csv"}
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+")

# `tell(cfg)` prints all that a job can see; and the launcher's process prints what its sweeper got back.
TELLING = """
import json
import os
import sys

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_original_cwd, to_absolute_path
from omegaconf import OmegaConf

multirun = Hydra.multirun


def plain(node, resolve=True):
    return OmegaConf.to_container(node, resolve=resolve, throw_on_missing=False, enum_to_str=True)


def tell(cfg):
    hydra = HydraConfig.get()
    told = dict(
        cfg=OmegaConf.to_yaml(cfg), resolved=plain(cfg), types={key: type(cfg[key]).__qualname__ for key in cfg},
        flags=[OmegaConf.is_readonly(cfg), OmegaConf.is_struct(cfg), cfg._get_parent() is None],
        job=plain(hydra.job), mode=str(hydra.mode), runtime=plain(hydra.runtime), tasks=list(hydra.overrides.task),
        sweep=plain(hydra.sweep), readonly=OmegaConf.is_readonly(HydraConfig.instance().cfg),
        cwd=os.getcwd(), pwd=os.environ.get("PWD"), original=get_original_cwd(), absolute=to_absolute_path("x"),
        path=sys.path, program=sys.argv[0], main=getattr(sys.modules["__main__"], "__file__", None),
        env={name: value for name, value in os.environ.items() if name.startswith("APP_")},
    )
    told["runtime"]["choices"].pop("hydra/launcher")
    print("TOLD", json.dumps(told, default=str), flush=True)


def telling_multirun(*args, **kwargs):
    returned = multirun(*args, **kwargs)
    for each in returned[0]:
        hydra = plain(each.hydra_cfg, resolve=False)["hydra"]
        said = dict(value=repr(each.return_value), cfg=plain(each.cfg, resolve=False), overrides=list(each.overrides),
            type=type(each.return_value).__qualname__, status=each.status.name, task_name=each.task_name,
            working_dir=os.path.abspath(each.working_dir), job=hydra["job"], output=hydra["runtime"]["output_dir"])
        print("RETURNED", json.dumps(said, default=str), flush=True)
    return returned


Hydra.multirun = telling_multirun
"""
TOP = """
import logging

import hydra
from omegaconf import OmegaConf
from telling import tell

log = logging.getLogger("app")
"""
CONF = {
    "conf/config.yaml": """
        defaults: [{model: small}, _self_]
        lr: 1
        rate: ${model.width}
        text: 'it is ${lr}, ${hydra:job.num}'
        """,
    "conf/model/small.yaml": "{kind: small, width: 4}",
    "conf/model/large.yaml": "{kind: large, width: 8, depth: 2}",
}
MAIN = '@hydra.main(version_base="1.3", config_path="conf", config_name="config")'
IN_PACKAGE = MAIN.replace('"conf"', '"../conf"')
GUARDED = """

if __name__ == "__main__":
    main()
"""
TELL = """
def main(cfg):
    tell(cfg)
    log.info("SAID %s", cfg.lr)
    return cfg.lr * cfg.model.width
"""


def script(before: str = "", body: str = TELL, end: str = GUARDED, decorators: str = MAIN) -> dict[str, str]:
    """An app in one file."""
    return {**CONF, "train.py": f"{TOP}{dedent(before)}\n{decorators}{dedent(body)}{dedent(end)}"}


@dataclass(frozen=True)
class Shape:
    """An app, and the sweep that is made of it."""

    files: dict[str, str]
    command: tuple[str, ...] = ("train.py",)
    arguments: tuple[str, ...] = ("model=small,large",)
    env: dict[str, str] = field(default_factory=dict)
    launchers: tuple[tuple[str, ...], tuple[str, ...]] = (("hydra/launcher=basic",), ("hydra/launcher=lit_local",))
    jobs: int = 2
    module: str = ""
    """That has to be installed."""


@dataclass
class App:
    """A shape, written to a folder."""

    folder: Path
    shape: Shape

    def sweep(self, *launcher: str, check: bool = True, arguments: tuple[str, ...] | None = None) -> Sweep:
        """Run the sweep, and read all that it has left; it leaves the app's folder as it was."""
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        done = run(
            sys.executable,
            *self.shape.command,
            "-m",
            "hydra.sweep.dir=out",
            *launcher,
            *(self.shape.arguments if arguments is None else arguments),
            cwd=self.folder,
            env={"PYTHONPATH": f"{self.folder}/helpers:{self.folder}", "APP_GIVEN": "given", **self.shape.env},
            check=check,
        )
        return Sweep(done.returncode, done.stdout, done.stderr, out)


@dataclass
class Sweep:
    """What came of a sweep."""

    code: int
    stdout: str
    stderr: str
    out: Path

    @property
    def folders(self) -> list[Path]:
        """Of the jobs, in their order."""
        kept = [path.parent for path in self.out.rglob("job.json")]
        return sorted(kept, key=lambda path: json.loads((path / "job.json").read_text())["number"])

    def states(self) -> list[Any]:
        """What each job.json says."""
        return [json.loads((folder / "job.json").read_text()) for folder in self.folders]

    def log(self, number: int) -> str:
        """What a job has printed."""
        return (self.folders[number] / "job.log").read_text()

    def printed(self) -> str:
        """What all jobs have printed: by Hydra's own launcher that is what the launcher printed."""
        return "".join(self.log(number) for number in range(len(self.folders))) or self.stdout

    def lines(self, mark: str) -> list[str]:
        """The lines of jobs that have a mark."""
        return [_TIME.sub("TIME", line) for line in self.printed().splitlines() if mark in line]

    def told(self) -> list[Any]:
        """What each job saw."""
        return [json.loads(line.partition("TOLD ")[2]) for line in self.lines("TOLD ")]

    def returned(self) -> list[Any]:
        """What the sweeper got back."""
        lines = [line[9:] for line in self.stdout.splitlines() if line.startswith("RETURNED ")]
        return [json.loads(line) for line in lines]

    def files(self) -> dict[str, Any]:
        """Everything that lies in the sweep's folder, but what is ours, and what names launcher or folder."""
        found: dict[str, Any] = {}
        for path in sorted(self.out.rglob("*")):
            name = str(path.relative_to(self.out))
            if not path.is_file() or path.name in OURS or name.startswith(".sweep"):
                continue
            text = _TIME.sub("TIME", path.read_text())
            found[name] = _without_launcher(yaml.unsafe_load(text), name) if path.suffix == ".yaml" else text
        return found


def _without_launcher(content: Any, name: str) -> Any:
    if isinstance(content, dict) and "hydra" in content:
        node = content["hydra"]
        del node["run"]["dir"], node["launcher"], node["runtime"]["choices"]["hydra/launcher"]
        node["overrides"]["hydra"] = [text for text in node["overrides"]["hydra"] if "launcher" not in text]
    return content


@pytest.fixture(scope="session")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Shape], App]:
    """Write a shape to a folder, once for all that ask."""
    known: dict[int, App] = {}

    def get(shape: Shape) -> App:
        if id(shape) not in known:
            folder = tmp_path_factory.mktemp("app")
            known[id(shape)] = write(folder, shape)
        return known[id(shape)]

    return get


def write(folder: Path, shape: Shape) -> App:
    """Write an app."""
    for name, text in {**shape.files, "helpers/telling.py": TELLING}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return App(folder, shape)


@pytest.fixture(scope="session")
def by_hydra(apps: Callable[[Shape], App]) -> Callable[[Shape], tuple[Any, ...]]:
    """What Hydra's own launcher makes of a shape."""
    known: dict[int, tuple[Any, ...]] = {}

    def get(shape: Shape) -> tuple[Any, ...]:
        if id(shape) not in known:
            sweep = apps(shape).sweep(*shape.launchers[0])
            known[id(shape)] = (sweep.told(), sweep.lines("SAID"), sweep.returned(), sweep.files())
        return known[id(shape)]

    return get


def differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Say where two values differ."""
    if type(ours) is type(theirs) is dict:
        keys = [*ours, *(key for key in theirs if key not in ours)]
        return [
            line
            for key in keys
            for line in differences(ours.get(key, "<nothing>"), theirs.get(key, "<nothing>"), f"{where}/{key}")
        ]
    if type(ours) is type(theirs) is list and len(ours) == len(theirs):
        return [
            line for i, pair in enumerate(zip(ours, theirs, strict=True)) for line in differences(*pair, f"{where}/{i}")
        ]
    return [] if ours == theirs and type(ours) is type(theirs) else [f"{where}: {ours!r}, and not {theirs!r}"]


def local(method: str, **settings: Any) -> list[str]:
    """The launcher's settings as overrides."""
    return [f"hydra.launcher.{name}={value}" for name, value in {"start_method": method, **settings}.items()]


# --- the same as by Hydra's own launcher -----------------------------------------------------------------------

PACKAGE = {
    "pkg/__init__.py": "",
    "pkg/kinds.py": """
        from dataclasses import dataclass, field
        from enum import Enum

        from hydra.core.config_store import ConfigStore


        class Color(Enum):
            RED = 1
            BLUE = 2


        @dataclass
        class Model:
            color: Color = Color.RED
            width: int = 3


        @dataclass(frozen=True)
        class Result:
            color: Color
            width: int


        ConfigStore.instance().store(group="model", name="wide", node=Model(width=9))
        """,
    "pkg/train.py": TOP
    + """
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from .kinds import Color, Model, Result


@dataclass
class Inner:
    where: Path = Path("a b/c=d")


@dataclass
class Config:
    model: Model = field(default_factory=Model)
    inner: Inner = field(default_factory=Inner)
    needed: int = MISSING
    lr: float = 0.5


ConfigStore.instance().store(name="schema", node=Config)


@hydra.main(version_base="1.3", config_path="configs", config_name="main")
def main(cfg):
    tell(cfg)
    assert isinstance(OmegaConf.to_object(cfg), Config) and isinstance(OmegaConf.to_object(cfg).model, Model)
    log.info("SAID %s %s", cfg.model.color is Color.BLUE, cfg.inner.where)
    return Result(cfg.model.color, cfg.needed)


if __name__ == "__main__":
    main()
""",
    "pkg/configs/__init__.py": "",
    "pkg/configs/main.yaml": "{defaults: [schema, _self_], model: {width: 5}}",
    "pkg/configs/model/red.yaml": "{color: RED}",
}
STRUCTURED = ("needed=1,2", "model.color=BLUE", "model.width=7")
CONSOLE = """\
#!python
# -*- coding: utf-8 -*-
import re
import sys
from pkg.train import main
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit(main())
"""
DECORATED = """
import functools


def loud(function):
    @functools.wraps(function)
    def inner(*args):
        print("SAID before" if args else "in the launcher", len(args))
        return function(*args)

    return inner

"""
IN_A_FACTORY = """
def make(factor):
    @hydra.main(version_base="1.3", config_path="conf", config_name="config")
    def closure(cfg):
        tell(cfg)
        return cfg.model.width * factor

    return closure


made = make(3)

if __name__ == "__main__":
    made()
"""
AN_OBJECT = """
class Task:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, cfg):
        tell(cfg)
        return cfg.model.width * self.factor


if __name__ == "__main__":
    hydra.main(version_base="1.3", config_path="conf", config_name="config")(Task(5))()
"""
UNPICKLABLE = """
import sqlite3
import threading

lock = threading.Lock()
database = sqlite3.connect(":memory:")
numbers = (number for number in range(10))
OmegaConf.register_new_resolver("locked", lambda text: f"{text} {lock.locked()}")
"""
RESOLVERS = """
OmegaConf.register_new_resolver("twice", lambda number: 2 * number)
calls = []


def counted(text):
    calls.append(text)
    return f"{text} {calls.count(text)}"


OmegaConf.register_new_resolver("cached", counted, use_cache=True)
"""
RESOLVED = """
defaults: [{model: small}, _self_]
lr: 1
a: ${twice:${lr}}
b: ${cached:${model.kind}}
c: ['${b}', '${cached:${model.kind}}', '${locked:is}']
"""
IN_AN_ENVIRONMENT = """
defaults: [{model: small}, _self_]
lr: 1
seen: ${oc.env:APP_GIVEN}
hydra: {job: {env_set: {APP_SET: 'set ${hydra:job.num}'}, env_copy: [APP_GIVEN]}}
"""
HUGE = """
from dataclasses import dataclass


@dataclass
class Huge:
    width: int = 64
    kind: str = "${thrice:huge}"
"""
IN_MAIN = """

if __name__ == "__main__":
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(group="model", name="huge", node=Huge)
    ConfigStore.instance().store(group="model", name="plain", node={"width": 65, "kind": "plain"})
    unit = 3
    OmegaConf.register_new_resolver("thrice", lambda text: text * unit)
    OmegaConf.register_new_resolver("once", lambda text: text * unit, use_cache=True)
    main()
"""
CALLBACKS = """
import os
import threading
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf


class Told(Callback):
    def __init__(self, name):
        self.name = name
        self.lock = threading.Lock()

    def on_job_start(self, config, *, task_function, **kwargs):
        print("SAID start", self.name, task_function.__name__, config.hydra.job.num, config.lr, os.getcwd())

    def on_job_end(self, config, job_return, **kwargs):
        value = job_return.return_value
        print("SAID end", self.name, value, job_return.status.name, config.model.width, os.getcwd())

    def on_compose_config(self, config, config_name, overrides):
        pass
"""
ZEN = """
from hydra_zen import builds, store, zen


class Model:
    def __init__(self, width):
        self.width = width


def task(zen_cfg, model, lr):
    tell(zen_cfg)
    print("SAID", type(model).__name__, model.width, lr)
    return model.width * lr


if __name__ == "__main__":
    store(builds(Model, width=4), group="model", name="small")
    store(builds(Model, width=8), group="model", name="large")
    config = builds(dict, hydra_defaults=["_self_", {"model": "small"}], model=None, lr=3)
    store({"hydra_defaults": None, "model": None, "lr": 3}, name="other")
    store(dict(defaults=["_self_", {"model": "small"}], model="???", lr=3), name="app")
    store.add_to_hydra_store()
    zen(task).hydra_main(config_name="app", version_base="1.3", config_path=None)
"""
COMPOSES = """
def main(cfg):
    from pathlib import Path

    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    tell(cfg)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(Path(__file__).parent / "conf"), "train", version_base="1.3"):
        other = compose("config", overrides=["model=large", f"lr={cfg.model.width}"])
    print("SAID", other)
    return other.lr
"""
WITH_LAUNCHER = {
    **script(),
    "conf/config.yaml": """
        defaults: [{model: small}, {override hydra/launcher: lit_local}, _self_]
        lr: 1
        hydra: {job: {name: named, config: {override_dirname: {exclude_keys: [lr]}}}}
        """,
}
SHAPES = {
    "script": Shape(script(), arguments=("model=small,large", "lr=1,2.5", "+new.key='a, b'"), jobs=4),
    "module": Shape(PACKAGE, ("-m", "pkg.train"), STRUCTURED),
    "package": Shape({**PACKAGE, "pkg/__main__.py": f"from .train import main\n{GUARDED}"}, ("-m", "pkg"), STRUCTURED),
    "package_unguarded": Shape(
        {**PACKAGE, "pkg/__main__.py": "from .train import main; main()\n"}, ("-m", "pkg"), STRUCTURED
    ),
    "package_main": Shape(
        {**CONF, "pkg/__init__.py": "", "pkg/__main__.py": script(decorators=IN_PACKAGE)["train.py"]}, ("-m", "pkg")
    ),
    "console": Shape({**PACKAGE, "bin/my-tool": CONSOLE}, ("bin/my-tool",), STRUCTURED),
    "decorated": Shape(script(DECORATED, decorators=f"@loud\n{MAIN}\n@loud\n@loud")),
    "factory": Shape(script(body=IN_A_FACTORY, end="", decorators="")),
    "object": Shape(script(body=AN_OBJECT, end="", decorators="")),
    "globals": Shape({**script(UNPICKLABLE + RESOLVERS), "conf/config.yaml": RESOLVED}),
    "main_block": Shape(
        {**script(HUGE, end=IN_MAIN), "conf/more.yaml": "{defaults: [config], a: '${thrice:ab}', b: '${once:${lr}}'}"},
        ("train.py", "--config-name", "more"),
        arguments=("model=huge,plain", "lr=2"),
    ),
    "environment": Shape(
        {**script(), "seen.py": CALLBACKS, "conf/config.yaml": IN_AN_ENVIRONMENT},
        arguments=("model=small,large", "hydra.job.chdir=true", "+hydra.callbacks.a={_target_:seen.Told,name:'${lr}'}"),
    ),
    "colorlog": Shape(
        script(), arguments=("model=small,large", "hydra/job_logging=colorlog"), module="hydra_plugins.hydra_colorlog"
    ),
    "no_log": Shape(
        script(), arguments=("model=small,large", "hydra/job_logging=disabled", "hydra.output_subdir=null")
    ),
    "verbose": Shape(
        script(body=TELL.replace("info", "debug")),
        arguments=("model=small,large", "hydra.verbose=true", "hydra.sweep.subdir=x/${hydra.job.override_dirname}/y"),
    ),
    "in_defaults": Shape(
        WITH_LAUNCHER,
        arguments=("model=small,large", "hydra.sweep.subdir=${hydra.job.override_dirname}", "lr=2"),
        launchers=(("hydra/launcher=basic",), ()),
    ),
    "searchpath": Shape(
        {
            **script(),
            "conf/config.yaml": "{defaults: [{model: '???'}, _self_], lr: '???'}",
            "more/model/medium.yaml": "{kind: medium, width: 6}",
            "most/model/most.yaml": "{width: 99}",
            "most/other.yaml": "{defaults: [config, _self_], other: 7}",
        },
        ("train.py", "--config-name", "other", "--config-dir", "most"),
        arguments=("model=medium,most", "lr=2", "hydra.searchpath=[file://more]"),
    ),
    "zen": Shape(script(body=ZEN, end="", decorators=""), module="hydra_zen"),
    "composes": Shape(script(body=COMPOSES)),
}


# A forkserver's job is handed its program as a spawned one is, so one of the two is shown each way to find it again;
# and what Hydra does with a job's config is the same in all of them.
BY_FORKSERVER = ("script", "package_main", "object", "globals", "main_block", "environment", "zen")
BY_SPAWN = ("script", "module", "package", "package_unguarded", "console", "decorated", "factory")
RUNS = [
    *((name, "fork") for name in SHAPES if name not in ("module", "package", "package_unguarded")),
    *((name, "forkserver") for name in BY_FORKSERVER),
    *((name, "spawn") for name in BY_SPAWN),
]


@pytest.mark.parametrize(("name", "method"), RUNS)
def test_same_as_hydras_own_launcher(
    name: str, method: str, apps: Callable[[Shape], App], by_hydra: Callable[[Shape], tuple[Any, ...]]
) -> None:
    shape = SHAPES[name]
    if shape.module and find_spec(shape.module) is None:
        pytest.skip(f"{shape.module} is not installed")
    told, said, returned, files = by_hydra(shape)
    assert len(told) == len(returned) == shape.jobs
    sweep = apps(shape).sweep(*shape.launchers[1], *local(method, progress="none", n_jobs=2))
    assert differences(sweep.told(), told) == []
    assert sweep.lines("SAID") == said
    assert differences(sweep.returned(), returned) == []
    assert differences(sweep.files(), files) == []
    assert [state["attempts"][-1]["start_method"] for state in sweep.states()] == [method] * shape.jobs


IN_BLOCK = """
if __name__ == "__main__":
    from dataclasses import dataclass

    from hydra.core.config_store import ConfigStore

    @dataclass
    class Config:
        lr: int = 1

    ConfigStore.instance().store(name="inner", node=Config)
    main()
"""


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_class_that_is_only_there_in_the_main_block_is_named(method: str, tmp_path: Path) -> None:
    shape = Shape(
        script(body="\ndef main(cfg):\n    print(cfg.lr)\n", end=IN_BLOCK), ("train.py", "--config-name=inner")
    )
    sweep = write(tmp_path, shape).sweep(LOCAL, *local(method), arguments=("lr=1,2",), check=False)
    assert sweep.code == 1
    for state in sweep.states():
        reason = state["attempts"][-1]["reason"]
        assert "'Config'" in reason and "define it at the top of the file" in reason
        assert "hydra.launcher.start_method=fork" in reason


UNGUARDED = script(body="\ndef main(cfg):\n    tell(cfg)\n    return cfg.lr\n", end="\n\nmain()\n")
LOCAL = "hydra/launcher=lit_local"


@each_method
def test_an_unguarded_script_works_or_is_told_the_two_lines(method: str, tmp_path: Path) -> None:
    in_package = {"pkg/__init__.py": "", "pkg/__main__.py": UNGUARDED["train.py"].replace('"conf"', '"../conf"')}
    for command in (("train.py",), ("-m", "pkg")):
        app = write(tmp_path, Shape({**UNGUARDED, **in_package}, command))
        sweep = app.sweep(LOCAL, *local(method), check=False)
        if method == "fork":
            assert sweep.code == 0 and [state["return_value"] for state in sweep.states()] == [1, 1]
            continue
        assert sweep.code == 1
        assert [state["outcome"] for state in sweep.states()] == ["failed", "failed"]
        for number in range(2):
            assert '    if __name__ == "__main__":\n        main()\n' in sweep.log(number)
        assert "TOLD" not in sweep.printed()


TYPED = """
import hydra

@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    print("SAID", cfg.a, helper(cfg.a))
    return helper(cfg.a)

def helper(number):
    return 2 * number

main()
"""


@pytest.mark.parametrize(("argument", "method"), [("-c", "fork"), ("-c", "spawn"), ("-", "forkserver"), ("-", "spawn")])
def test_code_without_a_file_works(argument: str, method: str, tmp_path: Path) -> None:
    code = ["-c", TYPED] if argument == "-c" else ["-"]
    done = subprocess.run(
        [sys.executable, *code, "-m", LOCAL, *local(method), "+a=1,2", "hydra.sweep.dir=out"],
        cwd=tmp_path,
        input=TYPED if argument == "-" else "",
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sweep = Sweep(0, done.stdout, done.stderr, tmp_path / "out")
    assert [state["return_value"] for state in sweep.states()] == [2, 4]
    assert sweep.lines("SAID") == ["SAID 1 2", "SAID 2 4"]


TWICE = """

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def first(cfg):
    return f"first {cfg.lr}"


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def second(cfg):
    return f"second {cfg.lr}"


if __name__ == "__main__":
    first()
    import os
    import sys

    if "APP_SAME" not in os.environ:
        sys.argv = [argument.replace("dir=out", "dir=out2") for argument in sys.argv]
    second()
"""


@each_method
def test_an_app_of_two_tasks(method: str, tmp_path: Path) -> None:
    app = write(tmp_path, Shape(script(body=TWICE, end="", decorators="")))
    sweep = app.sweep(LOCAL, *local(method, progress="none"), arguments=("lr=1,2",))
    assert [each["value"] for each in sweep.returned()] == ["'first 1'", "'first 2'", "'second 1'", "'second 2'"]


def test_two_tasks_do_not_share_a_folder(tmp_path: Path) -> None:
    shape = Shape(script(body=TWICE, end="", decorators=""), env={"APP_SAME": "1", "HYDRA_FULL_ERROR": "0"})
    sweep = write(tmp_path, shape).sweep(LOCAL, "hydra.launcher.progress=none", arguments=("lr=1,2",), check=False)
    assert sweep.code == 1 and [each["value"] for each in sweep.returned()] == ["'first 1'", "'first 2'"]
    assert "is the folder of another sweep: it has the task 'first', and this one 'second'" in sweep.stderr


# --- what one job does, another never sees ---------------------------------------------------------------------

DIRTY = """
import atexit
import json
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
import weakref
from pathlib import Path

NOTES = Path(__file__).with_name("notes")
counter = []


def note(line):
    with NOTES.open("a") as file:
        file.write(line + "\\n")


class Thing:
    pass


thing = Thing()


def late(number):
    time.sleep(0.3)
    note(f"thread {number}")
"""
DIRTY_TASK = """
def main(cfg):
    number = cfg.lr
    seen = dict(
        env="LEFT" in os.environ, counter=len(counter), handlers=len(logging.getLogger().handlers), cwd=os.getcwd(),
        signal=signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL, filters=len(warnings.filters),
        resolver=OmegaConf.has_resolver("left"), path="/left" in sys.path, umask=oct(os.umask(0o22)),
        temporary=os.path.isdir(os.environ["APP_TEMPORARY"]), level=logging.getLogger().level,
    )
    print("SAID", json.dumps(seen))
    os.environ["LEFT"] = "1"
    counter.append(1)
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger().setLevel(5)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    warnings.simplefilter("ignore")
    OmegaConf.register_new_resolver("left", str)
    sys.path.append("/left")
    atexit.register(note, f"atexit {number}")
    weakref.finalize(thing, note, f"finalized {number}")
    threading.Thread(target=late, args=[number]).start()
    os.umask(0o77)
    os.chdir("/")
"""
DIRTY_END = """

if __name__ == "__main__":
    temporary = tempfile.TemporaryDirectory()
    os.environ["APP_TEMPORARY"] = temporary.name
    atexit.register(note, "atexit launcher")
    weakref.finalize(thing, note, "finalized launcher")
    main()
    note(f"after the sweep {os.path.isdir(temporary.name)} {counter} {'LEFT' in os.environ}")
"""


@each_method
def test_no_job_sees_what_another_has_done(method: str, tmp_path: Path) -> None:
    app = write(tmp_path, Shape(script(DIRTY, DIRTY_TASK, DIRTY_END)))
    sweep = app.sweep(LOCAL, *local(method, n_jobs=1), arguments=("lr=1,2,3",))
    seen = [json.loads(line[5:]) for line in sweep.lines("SAID")]
    assert seen[0] == seen[1] == seen[2]
    expected = {"env": False, "counter": 0, "signal": True, "resolver": False, "path": False, "temporary": True}
    assert {key: seen[0][key] for key in expected} == expected
    assert seen[0]["cwd"] == str(tmp_path) and seen[0]["umask"] == "0o22"
    notes = (tmp_path / "notes").read_text().splitlines()
    each = [f"{what} {number}" for what in ("atexit", "finalized", "thread") for number in ("1", "2", "3")]
    whole = [*each, "atexit launcher", "finalized launcher", "after the sweep True [] False"]
    assert sorted(notes) == sorted(whole)


EDITS = """
def main(cfg):
    from pathlib import Path

    tell(cfg)
    conf = Path(__file__).parent / "conf"
    (conf / "config.yaml").write_text("{defaults: [{model: small}], lr: 99}")
    (conf / "model" / "large.yaml").write_text("{kind: edited}")
    (conf / "model" / "small.yaml").unlink(missing_ok=True)
"""


@each_method
def test_configs_are_those_of_the_launch(method: str, tmp_path: Path) -> None:
    app = write(tmp_path, Shape(script(body=EDITS)))
    sweep = app.sweep(LOCAL, *local(method, n_jobs=1), arguments=("model=small,large", "lr=1,2"))
    assert [(told["resolved"]["lr"], told["resolved"]["model"]) for told in sweep.told()] == [
        (lr, model)
        for model in ({"kind": "small", "width": 4}, {"kind": "large", "width": 8, "depth": 2})
        for lr in (1, 2)
    ]
    assert "edited" in (tmp_path / "conf/model/large.yaml").read_text()


# --- errors ----------------------------------------------------------------------------------------------------


SAY = """
def main(cfg):
    log.info("SAID %s", cfg.lr)
    print("and", cfg.model.width)
"""


@pytest.fixture(scope="module")
def plain_app(tmp_path_factory: pytest.TempPathFactory) -> App:
    """An app that does nothing of note."""
    return write(
        tmp_path_factory.mktemp("plain"), Shape(script(body=SAY), env={"HYDRA_FULL_ERROR": "0", "TERM": "xterm"})
    )


def test_two_jobs_never_have_one_folder(plain_app: App) -> None:
    sweep = plain_app.sweep(LOCAL, "hydra.sweep.subdir=same", "hydra.launcher.progress=none", check=False)
    assert sweep.code == 1
    (line,) = [line for line in (sweep.stdout + sweep.stderr).splitlines() if "same folder" in line]
    assert str(sweep.out / "same") in line and "hydra.sweep.subdir" in line and "jobs 0 and 1" in line
    assert "(log: )" not in line and [state["outcome"] for state in sweep.states()] == ["completed"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("+hydra.launcher.foo=1", ["'foo'", "start_method"]),
        ("hydra.launcher.n_jobs=0", ["n_jobs=0", "whole number from 1"]),
        ("hydra.launcher.devices=[0,0]", ["devices=[0, 0]", "different ids"]),
        ("hydra.launcher.devices_per_job=1", ["devices_per_job=1", "no accelerator"]),
        ("hydra.launcher.on_failure=explode", ["on_failure='explode'", "continue, stop"]),
        ("hydra.launcher.resume=maybe", ["resume='maybe'", "true, overrides or false"]),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_line(override: str, expected: list[str], plain_app: App) -> None:
    """What each setting may be: see test_slots.py."""
    sweep = plain_app.sweep(LOCAL, override, check=False)
    assert sweep.code == 1
    lines = [line for line in (sweep.stdout + sweep.stderr).splitlines() if "hydra.launcher" in line]
    assert len(lines) == 1 and all(text in lines[0] for text in expected), sweep.stdout + sweep.stderr
    assert "Traceback" not in sweep.stderr
    assert [path for path in sweep.out.glob("*") if path.is_dir() and path.name != ".sweep"] == []


def test_a_launcher_that_has_nothing_to_launch_is_mentioned(plain_app: App) -> None:
    helpers = {"PYTHONPATH": str(plain_app.folder / "helpers")}
    done = run(sys.executable, "train.py", LOCAL, "hydra.run.dir=single", cwd=plain_app.folder, env=helpers)
    assert "is ignored: this is a single run" in done.stderr
    for multirun in ("--multirun", "hydra.mode=MULTIRUN"):
        shutil.rmtree(plain_app.folder / "out", ignore_errors=True)
        command = (sys.executable, "train.py", multirun, LOCAL, "hydra.launcher.start_method=spawn")
        done = run(*command, "lr=1,2", "hydra.sweep.dir=out", cwd=plain_app.folder, env=helpers)
        sweep = Sweep(0, done.stdout, done.stderr, plain_app.folder / "out")
        assert len(sweep.folders) == 2 and "is ignored" not in done.stdout + done.stderr + sweep.printed()


# --- what is shown ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("progress", ["plain", "none", "live"])
def test_output_is_shown_with_its_jobs_number(progress: str, plain_app: App) -> None:
    sweep = plain_app.sweep(LOCAL, f"hydra.launcher.progress={progress}", "hydra.launcher.output=tee")
    shown = re.sub(r"\x1b\[[0-9?;]*[A-Za-z]|\r", "", sweep.stdout)
    assert (shown == sweep.stdout) == (progress != "live")
    for number in range(2):
        lines = sweep.log(number).splitlines()
        assert len(lines) == 2
        for line in lines:
            assert (f"#{number}| {line}" in shown) == (progress != "none")
    assert ("2 completed" in shown) == (progress != "none")


# --- devices and threads ---------------------------------------------------------------------------------------

BUSY = """
import json
import os
import time

"""
BUSY_TASK = """
def main(cfg):
    begun = time.monotonic()
    time.sleep(0.2)
    names = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
    threads = [os.environ.get(f"{name}_NUM_THREADS") for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")]
    masks = {name: os.environ[name] for name in names if name in os.environ}
    said = dict(begun=begun, ended=time.monotonic(), masks=masks, threads=threads, need=cfg.get("need"))
    print("SAID", json.dumps(said))
"""
CUDA, HIP = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"
MIG = "MIG-GPU-1f/1/0,MIG-GPU-1f/2/0"


@pytest.fixture(scope="module")
def busy_app(tmp_path_factory: pytest.TempPathFactory) -> App:
    """An app whose jobs say when they ran, and on which devices."""
    files = {**script(BUSY, BUSY_TASK), "conf/config.yaml": "{lr: 1, need: 1}"}
    return write(tmp_path_factory.mktemp("busy"), Shape(files))


@pytest.mark.parametrize(
    ("given", "settings", "method", "each", "at_a_time", "used"),
    [
        ({CUDA: "GPU-aaa,GPU-bbb"}, {}, "fork", 1, 1, "GPU-aaa,GPU-bbb"),
        ({CUDA: MIG}, {}, "forkserver", 1, 1, MIG),
        ({CUDA: "0,1,2"}, {"devices_per_job": 2}, "spawn", 2, 1, "0,1,2"),
        ({}, {"devices": "[0,1]"}, "fork", 1, 1, "0,1"),
        ({CUDA: "5,6,7"}, {"devices": "[7,5]"}, "fork", 1, 1, "5,7"),
        ({CUDA: "0,1"}, {"devices_per_job": 0.5}, "fork", 1, 2, "0,1"),
        ({CUDA: "0,1"}, {"devices_per_job": "'${need}'"}, "fork", None, 1, "0,1"),
        ({HIP: "2,3"}, {}, "spawn", 1, 1, "2,3"),
        ({CUDA: ""}, {}, "fork", 0, 1, ""),
    ],
)
def test_no_device_is_held_twice(
    given: dict[str, str],
    settings: dict[str, Any],
    method: str,
    each: int | None,
    at_a_time: int,
    used: str,
    busy_app: App,
) -> None:
    app = App(busy_app.folder, Shape({}, env=given))
    sweep = app.sweep(LOCAL, *local(method, **settings), arguments=("need=0,2", "lr=1,2"))
    said = [json.loads(line[5:]) for line in sweep.lines("SAID")]
    assert len(said) == 4
    (variable,) = given or [CUDA]
    assert {name for job in said for name in job["masks"]} == {variable}
    held = [[device for device in job["masks"][variable].split(",") if device] for job in said]
    assert [len(devices) for devices in held] == [job["need"] if each is None else each for job in said]
    assert all(len(set(devices)) == len(devices) for devices in held)
    assert {device for devices in held for device in devices} <= {device for device in used.split(",") if device}
    for device in used.split(","):
        jobs = [job for job, devices in zip(said, held, strict=True) if device in devices]
        most = max((sum(job["begun"] <= at["begun"] < job["ended"] for job in jobs) for at in jobs), default=0)
        assert most <= at_a_time


def test_a_users_own_mask_is_the_limit(busy_app: App) -> None:
    app = App(busy_app.folder, Shape({}, env={CUDA: "4,5", "HYDRA_FULL_ERROR": "0"}))
    for setting in ("devices=[0,1]", "devices=3", "devices_per_job=3"):
        sweep = app.sweep(LOCAL, f"hydra.launcher.{setting}", arguments=("lr=1,2",), check=False)
        assert sweep.code == 1
        (line,) = [line for line in (sweep.stdout + sweep.stderr).splitlines() if "hydra.launcher" in line]
        assert setting.partition("=")[0] in line and "4, 5" in line
        assert sweep.folders == []


@each_method
def test_threads_are_those_of_the_slot(method: str, busy_app: App) -> None:
    app = App(busy_app.folder, Shape({}, env={"OMP_NUM_THREADS": ""}))
    sweep = app.sweep(LOCAL, *local(method, threads_per_job=3), arguments=("lr=1,2",))
    assert [json.loads(line[5:])["threads"] for line in sweep.lines("SAID")] == [["3"] * 4] * 2
    assert [state["attempts"][-1]["slot"]["threads"] for state in sweep.states()] == [3] * 2


LIBRARIES = """
import os

import numpy
import threadpoolctl


def limits():
    return sorted({library["num_threads"] for library in threadpoolctl.threadpool_info()})


"""
LIBRARIES_TASK = """
def main(cfg):
    running = len(os.listdir("/proc/self/task"))
    numpy.dot(numpy.ones((64, 64)), numpy.ones((64, 64)))
    print("SAID", running, limits())
"""
LIBRARIES_END = """

if __name__ == "__main__":
    before = limits()
    main()
    print("LIMITS", before == limits())
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="a process's threads are only listed on Linux")
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_libraries_keep_to_the_slots_threads_and_start_none_before_they_are_used(method: str, tmp_path: Path) -> None:
    """OpenBLAS starts its threads as soon as it is told their number, and they spin."""
    files = script(LIBRARIES, LIBRARIES_TASK, LIBRARIES_END)
    app = write(tmp_path, Shape(files, env={"OMP_NUM_THREADS": ""}))
    sweep = app.sweep(LOCAL, *local(method, threads_per_job=1), arguments=("lr=1,2",))
    assert sweep.lines("SAID") == ["SAID 1 [1]"] * 2
    assert "LIMITS True" in sweep.stdout.splitlines()


@each_method
def test_an_app_may_bring_plugins_of_its_own(method: str, tmp_path: Path) -> None:
    plugin = """
        from hydra.core.config_search_path import ConfigSearchPath
        from hydra.plugins.search_path_plugin import SearchPathPlugin

        class Own(SearchPathPlugin):
            def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
                search_path.append("own", "file://own")
        """
    body = """
        def main(cfg):
            from hydra.core.plugins import Plugins
            from hydra.plugins.launcher import Launcher
            from hydra.plugins.search_path_plugin import SearchPathPlugin

            found = Plugins.instance().discover(SearchPathPlugin) + Plugins.instance().discover(Launcher)
            names = sorted(each.__name__ for each in found)
            wanted = ("Own", "LitLocalLauncher", "BasicLauncher")
            print("SAID", [names.count(name) for name in wanted])
        """
    app = write(tmp_path, Shape({**script(body=body), "hydra_plugins/own/__init__.py": plugin}))
    sweep = app.sweep(LOCAL, *local(method), arguments=("lr=1,2",))
    assert sweep.lines("SAID") == ["SAID [1, 1, 1]"] * 2


@each_method
def test_jobs_see_what_their_sweeper_has_set(method: str, tmp_path: Path) -> None:
    sweeper = """
        import os

        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        class Setting(BasicSweeper):
            def validate_batch_is_legal(self, batch):
                os.environ["BATCH"] = str(int(os.environ.get("BATCH", "0")) + 1)
                os.environ.pop("GONE", None)
                return super().validate_batch_is_legal(batch)
        """
    body = """
        def main(cfg):
            print("SAID", os.environ["BATCH"], "GONE" in os.environ)
        """
    files = {**script("import os", body), "hydra_plugins/own/__init__.py": sweeper}
    app = write(tmp_path, Shape(files, env={"GONE": "not yet"}))
    chosen = ("hydra.sweeper._target_=hydra_plugins.own.Setting", "hydra.sweeper.max_batch_size=1")
    for launcher in (("hydra/launcher=basic",), (LOCAL, *local(method))):
        sweep = app.sweep(*launcher, *chosen, arguments=("lr=1,2",))
        assert sweep.lines("SAID") == ["SAID 1 False", "SAID 2 False"]

"""Every Hydra app on the machine executes our plugins, so none of them may end for anything that is wrong with us."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.environments import hydra_without
from tests.support import run
from tests.sweep_support import SweepApp

OURS = {"LitCheckpointConfigSource", "LitHydraBridgeSearchPath", "LitLocalLauncher", "LitSlurmLauncher"}
SCAN = """
from hydra.core.plugins import Plugins
print(sorted(plugin.__name__ for plugin in Plugins.instance().discover() if plugin.__name__.startswith("Lit")))
"""
# There `list[str]` is a class to `inspect.isclass`, and none to `issubclass`, which Hydra asks of each.
AS_PYTHON_3_10 = """
import inspect, types
is_class = inspect.isclass
inspect.isclass = lambda found: is_class(found) or isinstance(found, types.GenericAlias)
"""
APP = """
import sys
sys.argv = ["app.py", "hydra.run.dir=out", "+x=1"]
import hydra
hydra.main(config_path=None, version_base="1.3")(lambda cfg: print("task ran with", cfg.x))()
"""
IMPORTING_US_FAILS = """
import importlib.abc, sys
class Broken(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "lit_hydra_bridge":
            raise RuntimeError("broken")
sys.meta_path.insert(0, Broken())
"""
NO_CONFIG_IS_STORED = """
from hydra.core.config_store import ConfigStore
original = ConfigStore.store
def store(self, *args, provider=None, **others):
    if provider == "lit-hydra-bridge":
        raise TypeError("another signature")
    return original(self, *args, provider=provider, **others)
ConfigStore.store = store
"""
NO_SEARCH_PATH = """
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
append = ConfigSearchPathImpl.append
def refuse_ours(self, provider, path, **others):
    if provider == "lit-hydra-bridge":
        raise TypeError("another signature")
    return append(self, provider, path, **others)
ConfigSearchPathImpl.append = refuse_ours
"""


@pytest.mark.matrix
@pytest.mark.parametrize("python", ["this Python", "as Python 3.10"])
def test_hydra_finds_our_plugins_on_every_python(tmp_path: Path, python: str) -> None:
    before = AS_PYTHON_3_10 if python == "as Python 3.10" else ""
    done = run(sys.executable, "-W", "error", "-c", before + SCAN, cwd=tmp_path)
    assert done.stdout.strip() == str(sorted(OURS)) and done.stderr == ""


def test_nothing_in_a_plugin_module_is_a_class_to_some_pythons_only() -> None:
    """What the simulation above is a model of, said without it: no alias such as `list[str]` at module level."""
    import types
    from importlib import import_module
    from pkgutil import iter_modules

    package = import_module("hydra_plugins.lit_hydra_bridge")
    modules = [
        package,
        *(import_module(f"{package.__name__}.{found.name}") for found in iter_modules(package.__path__)),
    ]
    aliases = {
        f"{module.__name__}.{name}"
        for module in modules
        for name, member in vars(module).items()
        if isinstance(member, types.GenericAlias)
    }
    assert len(modules) > 3 and aliases == set()


@pytest.mark.matrix
@pytest.mark.parametrize("switch", ["on", "off"])
@pytest.mark.parametrize("fault", ["IMPORTING_US_FAILS", "NO_CONFIG_IS_STORED", "NO_SEARCH_PATH"])
def test_an_app_lives_whatever_fails_in_us(tmp_path: Path, fault: str, switch: str) -> None:
    done = run(sys.executable, "-c", globals()[fault] + APP, cwd=tmp_path, env={"LIT_HYDRA_BRIDGE": switch})
    assert "task ran with 1" in done.stdout
    assert "lit-hydra-bridge: " in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["repo", "config_loader_impl", "get_args_parser", "parse_rule"])
def test_a_sweep_lives_without_a_private_name_of_hydras(tmp_path: Path, name: str) -> None:
    other = hydra_without(name, tmp_path / "other")
    app = SweepApp.create(tmp_path / "app")
    app.task("return cfg.x * 2")
    ended = app.sweep("x=1,2", env={"PYTHONPATH": str(other)})
    assert ended.returncode == 0, ended.output


def test_a_rank_lives_without_the_way_to_its_jobs_config(tmp_path: Path) -> None:
    newer = hydra_without("_load_configuration_impl", tmp_path / "newer")
    as_rank = {"PYTHONPATH": str(newer), "LIT_HYDRA_BRIDGE_JOB_CONFIG": "job.pickle", "LOCAL_RANK": "1"}
    done = run(sys.executable, "-c", APP, cwd=tmp_path, env=as_rank)
    assert "task ran with 1" in done.stdout and done.stderr.count("lit-hydra-bridge: ") == 1

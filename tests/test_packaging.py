"""The distribution: what is in it, that each way of installing it is found, what it costs, and what it leaves."""

from __future__ import annotations

import json
import re
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from tests.environments import ROOT, Environment, copy_sources, make_environment
from tests.support import run

# What an app on such an environment would meet; prints what it found.
PROBE = """
import json, sys
from importlib import metadata
from hydra import compose, initialize
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

found = {"plugins": [plugin.__name__ for plugin in Plugins.instance().discover(SearchPathPlugin)]}
for group in ("lightning.pytorch.callbacks_factory", "pytorch_lightning.callbacks_factory"):
    points = [point for point in metadata.entry_points(group=group) if "lit_hydra_bridge" in point.value]
    found[group] = [point.load().__name__ for point in points]
with initialize(version_base=None, config_path=None):
    # Where there is no such group, Hydra takes this for a key of that name.
    config = compose(overrides=["+lit/trainer=cpu"])
    found["trainer"] = config.lit.trainer._target_ if "lit" in config else "no such group"
print(json.dumps(found))
"""
NOWHERE = {
    "plugins": [],
    "lightning.pytorch.callbacks_factory": [],
    "pytorch_lightning.callbacks_factory": [],
    "trainer": "no such group",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return make_environment(tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def wheel(environment: Environment, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    environment.pip("wheel", "--no-deps", *_isolation(), "-w", str(folder), str(sources))
    return next(folder.glob("*.whl"))


def _isolation() -> list[str]:
    from importlib.util import find_spec

    return ["--no-build-isolation"] if find_spec("setuptools") else []


def _modules() -> set[str]:
    """Every file that has to be in a distribution."""
    kinds = ("*.py", "*.yaml", "*.html", "*.css", "*.js", "py.typed")
    packages = (ROOT / "lit_hydra_bridge", ROOT / "hydra_plugins")
    return {str(path.relative_to(ROOT)) for package in packages for kind in kinds for path in package.rglob(kind)}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        metadata = message_from_string(
            archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
        )
    content = {name for name in names if ".dist-info/" not in name}
    assert content == _modules()
    assert {"lit_hydra_bridge/py.typed", "lit_hydra_bridge/conf/lit/trainer/cpu.yaml"} <= content
    assert "lit_hydra_bridge/results/report/template/page.html" in content
    assert "hydra_plugins/__init__.py" not in content
    assert "hydra_plugins/lit_hydra_bridge/__init__.py" in content
    assert any("LICENSE" in name for name in names)
    needed = {line.split(";")[0].strip() for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    names = {re.split(r"[<>=!]", line)[0] for line in needed}
    assert names >= {"hydra-core", "omegaconf", "torch", "lightning", "click", "rich"}


def test_the_sdist_builds_the_same_wheel(environment: Environment, wheel: Path, sources: Path, tmp_path: Path) -> None:
    build = "import sys, setuptools.build_meta as backend; print(backend.build_sdist(sys.argv[1]))"
    if not _isolation():
        pytest.skip("setuptools is not in this environment")
    run(environment.python, "-c", build, str(tmp_path), cwd=sources)
    archive = next(tmp_path.glob("*.tar.gz"))
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert _modules() | {"setup.py", "pyproject.toml", "README.md", "LICENSE"} <= names
    environment.pip("wheel", "--no-deps", *_isolation(), "-w", str(tmp_path), str(archive))
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as again, zipfile.ZipFile(wheel) as first:
        assert sorted(again.namelist()) == sorted(first.namelist())


@pytest.mark.parametrize("way", ["pip install .", "pip install -e .", "wheel"])
def test_each_way_of_installing_is_found_and_uninstalling_leaves_no_trace(
    environment: Environment, sources: Path, wheel: Path, tmp_path: Path, way: str
) -> None:
    def found() -> dict[str, object]:
        answer = json.loads(run(environment.python, "-c", PROBE, cwd=tmp_path).stdout)
        ours = [name for name in answer["plugins"] if name.startswith("LitHydra")]
        return {**answer, "plugins": ours}

    before = environment.files()
    assert found() == NOWHERE
    what = {"pip install .": [str(sources)], "pip install -e .": ["-e", str(sources)], "wheel": [str(wheel)]}[way]
    environment.install(*what)
    assert environment.files() > before
    assert found() == {
        "plugins": ["LitHydraBridgeSearchPath"],
        "lightning.pytorch.callbacks_factory": ["lightning_callbacks"],
        "pytorch_lightning.callbacks_factory": ["pytorch_lightning_callbacks"],
        "trainer": "lightning.pytorch.Trainer",
    }
    tool = str(environment.folder / "bin" / "lit-hydra")
    assert run(tool, "--version", cwd=tmp_path).stdout.startswith("lit-hydra, version ")
    environment.pip("uninstall", "-y", "lit-hydra-bridge")
    assert environment.files() == before
    assert found() == NOWHERE


# --- what it costs others

SCAN = """
import json, sys
from hydra.core.plugins import Plugins
Plugins.instance()
print(json.dumps(sorted(sys.modules)))
"""
HEAVY = ("torch", "lightning", "pytorch_lightning", "submitit", "rich", "wandb", "mlflow", "fsspec", "click", "numpy")


def _own_plugin_folder(folder: Path) -> str:
    """A folder through which Hydra sees our plugin and no other."""
    (folder / "hydra_plugins").mkdir()
    (folder / "hydra_plugins" / "lit_hydra_bridge").symlink_to(ROOT / "hydra_plugins" / "lit_hydra_bridge")
    (folder / "lit_hydra_bridge").symlink_to(ROOT / "lit_hydra_bridge")
    return str(folder)


def _modules_after_scan(environment: Environment, folder: Path, path: str) -> set[str]:
    others = environment.folder / "linked" / "hydra_plugins"
    hidden = others.with_name("hidden")
    if others.exists():
        others.rename(hidden)
    try:
        done = run(environment.python, "-c", SCAN, cwd=folder, env={"PYTHONPATH": path})
    finally:
        if hidden.exists():
            hidden.rename(others)
    return set(json.loads(done.stdout))


def test_hydras_scan_imports_few_small_modules_of_ours_and_no_heavy_one(
    environment: Environment, tmp_path: Path
) -> None:
    without = _modules_after_scan(environment, tmp_path, "")
    with_us = _modules_after_scan(environment, tmp_path, _own_plugin_folder(tmp_path))
    added = with_us - without
    assert {name for name in added if name.partition(".")[0] in HEAVY} == set()
    assert {name for name in added - {"hydra_plugins"} if "hydra" in name} == {
        "hydra_plugins.lit_hydra_bridge",
        "hydra_plugins.lit_hydra_bridge.checkpoint_source",
        "hydra_plugins.lit_hydra_bridge.launchers",
        "hydra_plugins.lit_hydra_bridge.search_path",
        "lit_hydra_bridge",
        "lit_hydra_bridge.errors",
        "lit_hydra_bridge.sweep",
        "lit_hydra_bridge.sweep.settings",
        "lit_hydra_bridge.sweep.slurm",
        "lit_hydra_bridge.sweep.slurm.settings",
    }
    assert len(added) <= 12, added


def test_lightning_without_hydra_has_nothing_of_ours(tmp_path: Path) -> None:
    code = """if True:
        import sys
        import lightning.pytorch as pl
        trainer = pl.Trainer(logger=False, accelerator="cpu")
        ours = [c for c in trainer.callbacks if "lit_hydra_bridge" in type(c).__module__]
        print(ours, sorted(name for name in sys.modules if name.startswith(("lit_hydra_bridge", "hydra"))))
    """
    shown = run(sys.executable, "-c", code, cwd=tmp_path).stdout.strip().split("\n")[-1]
    modules = ["lit_hydra_bridge", "lit_hydra_bridge.record", "lit_hydra_bridge.record.factories"]
    assert shown == f"[] {[*modules, 'lit_hydra_bridge.switch']}"


def test_importing_the_package_imports_nothing_else(tmp_path: Path) -> None:
    code = "import sys, lit_hydra_bridge; print(sorted(n for n in sys.modules if n.startswith('lit_hydra_bridge')))"
    assert run(sys.executable, "-c", code, cwd=tmp_path).stdout.strip() == "['lit_hydra_bridge']"


def test_every_public_name_is_there_and_listed() -> None:
    import lit_hydra_bridge

    for name in lit_hydra_bridge.__all__:
        assert getattr(lit_hydra_bridge, name).__name__ == name
        assert name in dir(lit_hydra_bridge)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = lit_hydra_bridge.no_such_name

"""`lit-hydra doctor` in environments that are as they should be, and in some that are not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.environments import Environment, copy_sources, make_environment
from tests.support import lit_hydra, run


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """All that this environment has, but for the package."""
    return make_environment(tmp_path_factory.mktemp("bare"))


def doctor(
    environment: Environment, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return run(environment.python, "-m", "lit_hydra_bridge", "doctor", cwd=cwd, env=env, check=False)


def lines(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """`ok   subject   finding` by subject, with the remedy that follows."""
    found: dict[str, str] = {}
    subject = ""
    for line in done.stdout.strip().split("\n"):
        if line.strip().startswith("->"):
            found[subject] += " " + line.strip()
        else:
            names = ("hydra plugin", "hydra launchers", "hydra's release", line[5:].split()[0])
            subject = next(name for name in names if name in line)
            found[subject] = line[:4].strip() + line[5 + len(subject) :]
    return found


def test_a_good_installation_is_called_good(tmp_path: Path) -> None:
    done = lit_hydra("doctor", cwd=tmp_path)
    found = lines(done)
    assert done.returncode == 0 and done.stderr == ""
    assert {value[:2] for name, value in found.items() if name != "hydra's release"} == {"ok"}
    assert {"python", "hydra-core", "omegaconf", "torch", "hydra plugin", "hydra launchers"} <= set(found)
    assert "BasicLauncher" in found["hydra launchers"]
    assert "registered" in found["lightning.pytorch.callbacks_factory"]
    assert "registered" in found["pytorch_lightning.callbacks_factory"]
    assert len(done.stdout.split("\n")) < 24, "one screen"


def test_switched_off_is_a_note_and_no_failure(tmp_path: Path) -> None:
    done = lit_hydra("doctor", cwd=tmp_path, env={"LIT_HYDRA_BRIDGE": "off"})
    assert done.returncode == 0
    recording = lines(done)["recording"]
    assert recording.startswith("note") and "LIT_HYDRA_BRIDGE=off" in recording and "-> unset" in recording


def test_without_the_diff_is_said(tmp_path: Path) -> None:
    done = lit_hydra("doctor", cwd=tmp_path, env={"LIT_HYDRA_BRIDGE_DIFF": "0"})
    assert done.returncode == 0 and "without the git diff" in lines(done)["recording"]
    assert "GROUPS" not in lines(done)["recording"]


def test_without_groups_is_said(tmp_path: Path) -> None:
    done = lit_hydra("doctor", cwd=tmp_path, env={"LIT_HYDRA_BRIDGE_GROUPS": "off"})
    said = lines(done)["recording"]
    assert done.returncode == 0 and "loggers are not told of sweeps (LIT_HYDRA_BRIDGE_GROUPS=off)" in said
    done = lit_hydra("doctor", cwd=tmp_path, env={"LIT_HYDRA_BRIDGE_RUN_FILE": "off"})
    assert "no run.json (LIT_HYDRA_BRIDGE_RUN_FILE=off)" in lines(done)["recording"] and "run.json" not in said


@pytest.mark.parametrize("by", ["PYTHONPATH", "working directory"])
def test_a_foreign_init_in_hydra_plugins_is_found(tmp_path: Path, by: str) -> None:
    intruder = tmp_path / "foreign" / "hydra_plugins" / "__init__.py"
    intruder.parent.mkdir(parents=True)
    intruder.write_text("")
    on_path = by == "PYTHONPATH"
    cwd, env = (tmp_path, {"PYTHONPATH": str(intruder.parents[1])}) if on_path else (intruder.parents[1], {})
    done = lit_hydra("doctor", cwd=cwd, env=env, check=False)
    found = lines(done)
    assert done.returncode == 1 and done.stderr == ""
    assert found["hydra_plugins"].startswith("FAIL") and str(intruder) in found["hydra_plugins"]
    assert "-> remove that file" in found["hydra_plugins"]
    if on_path:  # it really hides our plugin, and the remedy is not to install again
        assert found["hydra plugin"].startswith("FAIL") and "-> see hydra_plugins above" in found["hydra plugin"]


def test_a_package_that_is_not_installed_is_called_so(bare: Environment, tmp_path: Path) -> None:
    done = doctor(bare, tmp_path, {"PYTHONPATH": str(copy_sources(tmp_path / "sources"))})
    found = lines(done)
    assert done.returncode == 1
    assert found["lit-hydra-bridge"].startswith("FAIL") and "not installed" in found["lit-hydra-bridge"]
    for group in ("lightning.pytorch.callbacks_factory", "pytorch_lightning.callbacks_factory"):
        assert found[group].startswith("FAIL") and "-> pip install lit-hydra-bridge" in found[group]
    assert found["hydra plugin"].startswith("ok")


def test_another_copy_before_the_installed_one_is_found(tmp_path: Path) -> None:
    other = copy_sources(tmp_path / "other")
    init = other / "lit_hydra_bridge" / "__init__.py"
    text = init.read_text(encoding="utf-8")
    init.write_text(text.replace('__version__ = "', '__version__ = "9.'), encoding="utf-8")
    done = lit_hydra("doctor", cwd=tmp_path, check=False, env={"PYTHONPATH": str(other)})
    found = lines(done)["lit-hydra-bridge"]
    assert done.returncode == 1 and found.startswith("FAIL") and str(other) in found


def test_a_plugin_that_hydra_cannot_see_is_found(bare: Environment, tmp_path: Path) -> None:
    copy = copy_sources(tmp_path / "sources")
    shutil.rmtree(copy / "hydra_plugins")
    found = lines(doctor(bare, tmp_path, {"PYTHONPATH": str(copy)}))
    assert found["hydra plugin"].startswith("FAIL") and "-> pip install" in found["hydra plugin"]


def _pretend(folder: Path, name: str, version: str, requirement: str = "") -> None:
    """Installed metadata of another version, before the real one on the path."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    needs = f"Requires-Dist: {requirement}\n" if requirement else ""
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")


@pytest.mark.parametrize(
    "name, version, good",
    [
        ("torch", "1.13.1", False),
        ("torch", "2.1.0+cu118", True),
        ("hydra-core", "1.3.1", False),
        ("hydra-core", "1.4.0rc3", True),
        ("lightning", "2.0.9", False),
        ("omegaconf", "2.3.0.dev1", True),
        ("omegaconf", "unknown", False),
    ],
)
def test_a_version_that_is_too_old_is_found(tmp_path: Path, name: str, version: str, good: bool) -> None:
    _pretend(tmp_path / "old", name, version)
    done = lit_hydra("doctor", cwd=tmp_path, check=False, env={"PYTHONPATH": str(tmp_path / "old")})
    found = lines(done)[name]
    assert version in found and done.returncode == (0 if good else 1)
    assert found.startswith("ok" if good else "FAIL") and (good or f"-> pip install '{name}>=" in found)


@pytest.mark.parametrize("name", ["lightning", "pytorch-lightning"])
@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_a_release_of_lightning_that_steals_credentials_is_called_so(tmp_path: Path, name: str, version: str) -> None:
    _pretend(tmp_path / "stolen", name, version)
    done = lit_hydra("doctor", cwd=tmp_path, check=False, env={"PYTHONPATH": str(tmp_path / "stolen")})
    found = lines(done)[name]
    assert done.returncode == 1 and found.startswith("FAIL") and version in found
    assert "GHSA-w37p-236h-pfx3" in found and f"-> pip uninstall -y {name}" in found and "every password" in found


@pytest.mark.parametrize(
    "requirement, named",
    [
        ("hydra-core (>=1.1.0.dev7)", True),
        ("Hydra_Core>=1.4.0rc1,<2; python_version > '3'", True),
        ("hydra-core>=1.3", False),
        ("hydra-core-extras>=1.1.0.dev7", False),
    ],
)
def test_a_pre_release_of_hydra_is_said_with_who_asked_for_it(tmp_path: Path, requirement: str, named: bool) -> None:
    _pretend(tmp_path / "pre", "hydra-core", "1.4.0rc3")
    _pretend(tmp_path / "pre", "a-launcher", "7.1", requirement)
    done = lit_hydra("doctor", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "pre")})
    found = next(line for line in done.stdout.splitlines() if "pre-release" in line)
    assert found.startswith("note") and "1.4.0rc3" in found and '-> pip install "hydra-core<1.4"' in done.stdout
    assert (f"a-launcher 7.1 asks for {requirement.partition(';')[0]}" in found) == named


def test_windows_is_called_unsupported(tmp_path: Path) -> None:
    """As the package sees it: the libraries below would look for what only Windows has."""
    code = """if True:
        import sys, types
        import lit_hydra_bridge.switch
        lit_hydra_bridge.switch.sys = types.SimpleNamespace(platform="win32")
        sys.argv = ["lit-hydra", "doctor"]
        from lit_hydra_bridge.cli import main
        main()
    """
    done = run(sys.executable, "-c", code, cwd=tmp_path, check=False)
    assert done.returncode == 1 and "does not support Windows" in done.stderr
    assert lines(done)["recording"].startswith("FAIL") and "WSL" in lines(done)["recording"]


def test_a_check_that_breaks_is_a_finding(tmp_path: Path) -> None:
    plugin = tmp_path / "broken" / "hydra_plugins" / "bad"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text("raise RuntimeError('a plugin that breaks every Hydra app')")
    done = lit_hydra("doctor", cwd=tmp_path, check=False, env={"PYTHONPATH": str(tmp_path / "broken")})
    assert done.returncode == 1 and "Traceback" not in done.stderr + done.stdout
    assert "a plugin that breaks every Hydra app" in lines(done)["plugin"]


def test_neither_torch_nor_lightning_is_imported(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from lit_hydra_bridge.diagnosis import diagnose
        failed = [check for check in diagnose() if check.good is False]
        print(failed, {"torch", "lightning", "pytorch_lightning"} & set(sys.modules))
    """
    assert run(sys.executable, "-c", code, cwd=tmp_path).stdout.strip() == "[] set()"

"""What `lit-hydra doctor` finds out about an installation. Neither torch nor Lightning is imported for it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import lit_hydra_bridge
from lit_hydra_bridge.run_file import RUN_FILE
from lit_hydra_bridge.switch import (
    DIFF_SWITCH,
    GROUPS_SWITCH,
    RUN_FILE_SWITCH,
    SWITCH,
    diff_is_on,
    groups_are_on,
    is_on,
    run_file_is_on,
    unsupported,
)

_OURSELVES = "lit-hydra-bridge"
_PLUGIN = "LitHydraBridgeSearchPath"
_FLAVOURS = {
    "lightning": "lightning.pytorch.callbacks_factory",
    "pytorch-lightning": "pytorch_lightning.callbacks_factory",
}
_OLDEST = {
    "hydra-core": (1, 3, 2),
    "omegaconf": (2, 3),
    "torch": (2, 1),
    "lightning": (2, 4),
    "pytorch-lightning": (2, 4),
}
_STOLEN_BY: Final = ((2, 6, 2), (2, 6, 3))
"""Releases of Lightning, under both names, that stole credentials when they were imported."""
_PRE_RELEASE: Final = re.compile(r"\d(a|b|rc|\.?dev)\d", re.IGNORECASE)


@dataclass(frozen=True)
class Check:
    """One finding: good, bad, or (None) worth knowing."""

    subject: str
    good: bool | None
    finding: str
    remedy: str = ""


def diagnose() -> list[Check]:
    """Run every check; one that breaks is a finding too."""
    checks: list[Check] = []
    for check in (
        _check_switch, _check_python, _check_versions, _check_hydras_release, _check_namespace, _check_plugin,
        _check_entry_points,
    ):  # fmt: skip
        checks += _guarded(check)
    return checks


def _guarded(check: Callable[[], list[Check]]) -> list[Check]:
    try:
        return check()
    except Exception as error:
        subject = check.__name__.removeprefix("_check_").replace("_", " ")
        return [Check(subject, False, f"the check itself failed: {type(error).__name__}: {error}")]


def _check_switch() -> list[Check]:
    if reason := unsupported():
        return [Check("recording", False, f"off: {reason}", "use Linux or macOS, or WSL 2 on Windows")]
    if not is_on():
        off = f"switched off: {SWITCH}={os.environ[SWITCH]}"
        return [Check("recording", None, off, f"unset {SWITCH} to record again")]
    diff = "with the git diff" if diff_is_on() else f"without the git diff ({DIFF_SWITCH}={os.environ[DIFF_SWITCH]})"
    groups = (
        "" if groups_are_on() else f", loggers are not told of sweeps ({GROUPS_SWITCH}={os.environ[GROUPS_SWITCH]})"
    )
    run_file = "" if run_file_is_on() else f", no {RUN_FILE} ({RUN_FILE_SWITCH}={os.environ[RUN_FILE_SWITCH]})"
    return [Check("recording", True, f"on, {diff}{groups}{run_file}")]


def _check_python() -> list[Check]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return [Check("python", True, f"{version}  {sys.executable}"), _check_ourselves()]


def _check_ourselves() -> Check:
    here = str(Path(lit_hydra_bridge.__file__).parent)
    installed, imported = _version(_OURSELVES), lit_hydra_bridge.__version__
    if installed is None:
        return Check(_OURSELVES, False, f"imported from {here}, but not installed", f"pip install {_OURSELVES}")
    if installed != imported:
        finding = f"{installed} is installed, and {imported} is imported from {here}"
        return Check(_OURSELVES, False, finding, "remove that folder from PYTHONPATH, or install it")
    return Check(_OURSELVES, True, f"{installed}  {here}")


def _check_versions() -> list[Check]:
    checks = [_check_version(name) for name in ("hydra-core", "omegaconf", "torch")]
    lightnings = [_check_version(name) for name in _FLAVOURS if _version(name)]
    if not lightnings:
        install = "pip install lightning   (or pytorch-lightning)"
        lightnings = [Check("lightning", False, "neither lightning nor pytorch-lightning is installed", install)]
    return checks + lightnings


def _check_version(name: str) -> Check:
    version = _version(name)
    oldest = ".".join(str(part) for part in _OLDEST[name])
    if version is None:
        return Check(name, False, "not installed", f"pip install '{name}>={oldest}'")
    if name in _FLAVOURS and _numbers(version) in _STOLEN_BY:
        finding = f"{version} is MALWARE: it steals credentials when it is imported (GHSA-w37p-236h-pfx3)"
        remedy = f"pip uninstall -y {name}; then change every password, token and key that this machine could read"
        return Check(name, False, finding, remedy)
    good = _numbers(version) >= _OLDEST[name]
    return Check(name, good, version, "" if good else f"pip install '{name}>={oldest}'")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """`2.6.1rc1+cpu` -> (2, 6, 1): enough to compare with a lower bound."""
    found = re.match(r"\d+(\.\d+){0,2}", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _check_hydras_release() -> list[Check]:
    version = _version("hydra-core") or ""
    if not _PRE_RELEASE.search(version):
        return []
    asking = "; ".join(_asking_for_pre_releases()) or "no installed package asks for it, so pip was asked by hand"
    finding = f"{version} is a pre-release of Hydra: {asking}"
    return [Check("hydra's release", None, finding, 'pip install "hydra-core<1.4"')]


def _asking_for_pre_releases() -> list[str]:
    """A bound that names a pre-release lets pip take one, wherever nothing else holds it."""
    found: dict[str, None] = {}
    for distribution in metadata.distributions():
        for text in distribution.requires or ():
            name, bounds = re.match(r"([\w.-]*)([^;]*)", text).groups()  # type: ignore[union-attr]
            if re.sub(r"[-_.]+", "-", name).lower() == "hydra-core" and _PRE_RELEASE.search(bounds):
                needed = text.partition(";")[0].strip()
                found[f"{distribution.metadata['Name']} {distribution.version} asks for {needed}"] = None
    return sorted(found)


def _check_namespace() -> list[Check]:
    remedy = "remove that file, or report it to the package that owns it: it hides other packages' Hydra plugins"
    return [Check("hydra_plugins", False, f"{path} exists", remedy) for path in _intruders()]


def _intruders() -> list[Path]:
    """A package that ships `hydra_plugins/__init__.py` hides the plugins of all others.

    The working directory counts: `python train.py` puts the script's folder on the path.
    """
    folders = dict.fromkeys(Path(entry).absolute() for entry in [*sys.path, ""])
    files = [folder / "hydra_plugins" / "__init__.py" for folder in folders]
    return [file for file in files if file.is_file()]


def _check_plugin() -> list[Check]:
    if find_spec("hydra") is None:
        return []
    from hydra.core.plugins import Plugins
    from hydra.plugins.launcher import Launcher
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    plugins: Any = Plugins.instance()
    names = [plugin.__name__ for plugin in plugins.discover(SearchPathPlugin)]
    launchers = sorted(plugin.__name__ for plugin in plugins.discover(Launcher))
    good = _PLUGIN in names
    remedy = "see hydra_plugins above" if _intruders() else _reinstall()
    finding = f"{_PLUGIN} found by Hydra" if good else f"{_PLUGIN} not found; Hydra sees {', '.join(names)}"
    return [
        Check("hydra plugin", good, finding, "" if good else remedy),
        Check("hydra launchers", True, ", ".join(launchers)),
    ]


def _reinstall() -> str:
    if _version(_OURSELVES) is None:
        return f"pip install {_OURSELVES}"
    return f"pip install --force-reinstall --no-deps {_OURSELVES}"


def _check_entry_points() -> list[Check]:
    checks = []
    for name, group in _FLAVOURS.items():
        ours = [point for point in metadata.entry_points(group=group) if point.name == "lit_hydra_bridge"]
        checks.append(_check_entry_point(name, group, ours))
    return checks


def _check_entry_point(name: str, group: str, ours: list[metadata.EntryPoint]) -> Check:
    if not ours:
        return Check(group, False, "not registered: Lightning will not record", _reinstall())
    # The same distribution may be seen twice, through two entries of sys.path; Lightning calls each.
    if len({point.value for point in ours}) > 1:
        values = ", ".join(point.value for point in ours)
        return Check(
            group, False, f"registered twice: {values}", f"pip uninstall {_OURSELVES}, twice; install it again"
        )
    factory = ours[0].load()
    used = "" if _version(name) else f"  ({name} is not installed; nothing calls it)"
    return Check(group, callable(factory), f"registered{used}")

"""What `lit-hydra doctor` finds out about an installation. Neither torch nor Lightning is imported for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lit_hydra_bridge.switch import DIFF_SWITCH, SWITCH, diff_is_on, is_on

_PLUGIN = "LitHydraBridgeSearchPath"
_FLAVOURS = {
    "lightning": "lightning.pytorch.callbacks_factory",
    "pytorch-lightning": "pytorch_lightning.callbacks_factory",
}
_OLDEST = {
    "hydra-core": (1, 3, 2),
    "omegaconf": (2, 3),
    "torch": (2, 1),
    "lightning": (2, 1),
    "pytorch-lightning": (2, 1),
}


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
    for check in (_check_switch, _check_python, _check_versions, _check_namespace, _check_plugin, _check_entry_points):
        checks += _guarded(check)
    return checks


def _guarded(check: Callable[[], list[Check]]) -> list[Check]:
    try:
        return check()
    except Exception as error:
        subject = check.__name__.removeprefix("_check_").replace("_", " ")
        return [Check(subject, False, f"the check itself failed: {type(error).__name__}: {error}")]


def _check_switch() -> list[Check]:
    if not is_on():
        off = f"switched off: {SWITCH}={os.environ[SWITCH]}"
        return [Check("recording", None, off, f"unset {SWITCH} to record again")]
    diff = "with the git diff" if diff_is_on() else f"without the git diff ({DIFF_SWITCH}={os.environ[DIFF_SWITCH]})"
    return [Check("recording", True, f"on, {diff}")]


def _check_python() -> list[Check]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return [Check("python", True, f"{version}  {sys.executable}")]


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
    good = _numbers(version) >= _OLDEST[name]
    return Check(name, good, version, "" if good else f"pip install '{name}>={oldest}'")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """`2.6.1rc1+cpu` -> (2, 6, 1): enough to compare with a lower bound."""
    numbers = []
    for part in version.split("+")[0].split(".")[:3]:
        digits = "".join(character for character in part if character.isdigit())
        if not part[:1].isdigit():
            break
        numbers.append(int(digits) if part.isdigit() else int(part[: len(part) - len(part.lstrip("0123456789"))]))
    return tuple(numbers)


def _check_namespace() -> list[Check]:
    """A package that ships `hydra_plugins/__init__.py` hides the plugins of all others."""
    intruders = [Path(entry, "hydra_plugins", "__init__.py") for entry in sys.path]
    found = [str(path) for path in intruders if path.is_file()]
    if not found:
        return []
    remedy = "remove that file, or report it to the package that owns it: it hides other packages' Hydra plugins"
    return [Check("hydra_plugins", False, f"{path} exists", remedy) for path in found]


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
    remedy = "pip install --force-reinstall --no-deps lit-hydra-bridge"
    finding = f"{_PLUGIN} found by Hydra" if good else f"{_PLUGIN} not found; Hydra sees {', '.join(names)}"
    return [
        Check("hydra plugin", good, finding, "" if good else remedy),
        Check("hydra launchers", True, ", ".join(launchers)),
    ]


def _check_entry_points() -> list[Check]:
    checks = []
    for name, group in _FLAVOURS.items():
        ours = [point for point in metadata.entry_points(group=group) if point.name == "lit_hydra_bridge"]
        checks.append(_check_entry_point(name, group, ours))
    return checks


def _check_entry_point(name: str, group: str, ours: list[metadata.EntryPoint]) -> Check:
    if not ours:
        return Check(group, False, "not registered", "pip install --force-reinstall --no-deps lit-hydra-bridge")
    if len(ours) > 1:
        return Check(
            group,
            False,
            f"registered {len(ours)} times",
            "pip uninstall lit-hydra-bridge until it says so, and install again",
        )
    factory = ours[0].load()
    used = "" if _version(name) else f"  ({name} is not installed; nothing calls it)"
    return Check(group, callable(factory), f"registered{used}")

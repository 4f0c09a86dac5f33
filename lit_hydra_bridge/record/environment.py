"""Python, platform, host, and the version of every installed package."""

from __future__ import annotations

import platform
import re
import socket
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from lit_hydra_bridge.record.run_record import Environment

_DIST_INFO: Final = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)\.dist-info")


def read_environment() -> Environment:
    """Describe the machine and the interpreter."""
    return Environment(
        python=platform.python_version(),
        platform=f"{sys.platform}-{platform.machine()}-{platform.release()}",
        host=socket.gethostname(),
        packages=installed_packages(),
    )


def installed_packages() -> dict[str, str]:
    """Return the version of every distribution on `sys.path`, by normalised name.

    A dist-info folder's own name says both (PEP 427), which spares opening hundreds of METADATA files while
    the user waits for the first training step; only the rest is asked through importlib.metadata. As in an
    import, the first hit on the path wins.
    """
    found: dict[str, str] = {}
    for entry in dict.fromkeys(entry for entry in sys.path if isinstance(entry, str)):
        for name, version in _packages_in(Path(entry or ".")):
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))


def _packages_in(folder: Path) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    try:
        paths = list(folder.iterdir())
    except (OSError, ValueError):  # a zip file, a file that is gone, a folder that is closed to us
        return []
    for path in paths:
        if path.name.startswith("~"):  # pip's name for what it has half removed
            continue
        plain = _DIST_INFO.fullmatch(path.name)
        if plain and (path / "METADATA").is_file():
            pairs.append((plain["name"], plain["version"]))
        elif path.name.endswith((".dist-info", ".egg-info")) or (path.name == "EGG-INFO" and folder.suffix == ".egg"):
            pairs += _asked(path)
    return pairs


def _asked(info: Path) -> list[tuple[str, str]]:
    try:
        data = metadata.Distribution.at(info).metadata
        name, version = data["Name"], data["Version"]
    except Exception:  # what a broken installation left behind must not cost all the others
        return []
    return [(name, version)] if name and version else []

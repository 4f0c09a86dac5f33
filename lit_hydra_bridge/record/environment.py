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
    for entry in dict.fromkeys(sys.path):
        for name, version in _packages_in(Path(entry or ".")):
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))


def _packages_in(folder: Path) -> list[tuple[str, str]]:
    if not folder.is_dir():
        return []
    pairs: list[tuple[str, str]] = []
    try:
        names = [path.name for path in folder.iterdir() if path.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return []
    for name in names:
        if plain := _DIST_INFO.fullmatch(name):
            pairs.append((plain["name"], plain["version"]))
        elif name.endswith(".egg-info"):
            distribution = metadata.Distribution.at(folder / name)
            if distribution.metadata["Name"]:
                pairs.append((distribution.metadata["Name"], distribution.version))
    return pairs

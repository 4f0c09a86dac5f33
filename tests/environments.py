"""Fresh Python environments that have all that this one has, but for this package."""

from __future__ import annotations

import re
import shutil
import site
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.support import run

ROOT = Path(__file__).resolve().parents[1]
_OURS = re.compile(r"_*(editable_*)?_*\.?lit[_-]hydra[_-]bridge", re.IGNORECASE)


@dataclass(frozen=True)
class Environment:
    """A virtual environment in `folder`; what it has installed of its own is in `packages`."""

    folder: Path
    packages: Path

    @property
    def python(self) -> str:
        """The interpreter."""
        return str(self.folder / "bin" / "python")

    def pip(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pip, offline where that is possible."""
        quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PYTHONPATH": ""}
        return run(self.python, "-m", "pip", *arguments, cwd=self.folder, env=quiet, timeout_s=200)

    def install(self, *what: str) -> None:
        """Install without looking for dependencies: they are all there."""
        isolation = ["--no-build-isolation"] if find_spec("setuptools") else []
        self.pip("install", "--no-deps", *isolation, *what)

    def files(self) -> set[str]:
        """Every file that an installation could have added; pip leaves the empty folder of a namespace behind."""
        found = [path for part in (self.packages, self.folder / "bin") for path in part.rglob("*")]
        return {str(path.relative_to(self.folder)) for path in found if path.is_symlink() or path.is_file()}


def make_environment(folder: Path) -> Environment:
    """Make an environment that sees the packages of this one through links, and this package not at all."""
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    links = folder / "linked"
    links.mkdir()
    for outer in dict.fromkeys(Path(entry) for entry in [*site.getsitepackages(), *_more_site_packages()]):
        _link(outer, links)
    (packages / "linked.pth").write_text(f"{links}\n", encoding="utf-8")
    return Environment(folder, packages)


def _more_site_packages() -> list[str]:
    """Where a virtual environment was made with --system-site-packages, or packages come by PYTHONPATH."""
    return [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]


def _link(outer: Path, links: Path) -> None:
    for entry in outer.iterdir() if outer.is_dir() else ():
        if _OURS.match(entry.name) or entry.suffix == ".pth" or (links / entry.name).exists():
            continue
        if entry.name == "hydra_plugins":  # a namespace: an installation of ours may be in it, beside others
            (links / entry.name).mkdir()
            _link(entry, links / entry.name)
        else:
            (links / entry.name).symlink_to(entry)


def copy_sources(folder: Path) -> Path:
    """Copy what a distribution is built from, so that building leaves nothing in the repository."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("lit_hydra_bridge", "hydra_plugins", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def hydra_without(name: str, folder: Path) -> Path:
    """Copy Hydra to where PYTHONPATH can name it, with one of its names, or modules, called otherwise."""
    spec = find_spec("hydra")
    assert spec is not None and spec.origin is not None
    hydra = Path(spec.origin).parent
    shutil.copytree(hydra, folder / "hydra", ignore=shutil.ignore_patterns("__pycache__", "test_utils"))
    changed = 0
    for file in folder.rglob("*.py"):
        text, count = re.subn(rf"\b{name}\b", f"{name}_renamed", file.read_text(encoding="utf-8"))
        file.write_text(text, encoding="utf-8")
        changed += count
        if file.stem == name:
            file.rename(file.with_stem(f"{name}_renamed"))
    assert changed, f"this Hydra has no {name} to be renamed"
    return folder

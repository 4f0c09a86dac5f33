"""The rules of the layout, held by parsing every import of the package."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = "lit_hydra_bridge"
# Libraries that cost a Hydra app dearly, or that not everyone has.
HEAVY = {
    "fsspec",
    "lightning",
    "lightning_fabric",
    "mlflow",
    "numpy",
    "pandas",
    "plotly",
    "pytorch_lightning",
    "rich",
    "submitit",
    "tensorboard",
    "torch",
    "wandb",
}
# The modules that are about one of them, and that nobody imports before it is there.
ABOUT = {
    f"{OURS}.record.callback_lightning": {"lightning"},
    f"{OURS}.record.callback_pytorch_lightning": {"pytorch_lightning"},
    f"{OURS}.record.callback_both": {"lightning", "pytorch_lightning"},
}
# What each part may import of ours, apart from itself. Every part may import those of BELOW.
BELOW = {"errors", "hydra_seams", "hydra_text", "on_import", "progress", "switch", "text", "trusted"}
ALLOWED: dict[str, set[str]] = {
    "cli": {"record", "reload", "sweep", "results", "diagnosis"},
    "hydra_plugins": {"conf", "record", "reload", "sweep", "results"},
    "results": {"record", "reload", "sweep"},
    "diagnosis": set(),
    "record": set(),
    "reload": set(),  # and SHARED_WITH_RELOAD
    "sweep": set(),
    "errors": set(),
    "hydra_seams": {"errors"},
    "hydra_text": set(),
    "on_import": set(),
    "progress": set(),
    "switch": set(),
    "text": set(),
    "trusted": set(),
    "conf": set(),
    "__main__": {"cli"},
    "": {"record", "reload", "results"},  # the public names
}


# The record itself; and what is asked of here and now in the same words as it was asked then.
SHARED_WITH_RELOAD = {
    f"{OURS}.record.{name}"
    for name in ("run_record", "plain", "hydra_job", "source_code", "environment", "redaction", "kept_copies")
}


@dataclass(frozen=True)
class Import:
    """One import: who, what, and whether it happens when the module is loaded."""

    importer: str
    imported: str
    eager: bool

    @property
    def library(self) -> str:
        return self.imported.partition(".")[0]


def _sources() -> Iterator[tuple[str, Path]]:
    for package in (OURS, "hydra_plugins"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _imports(module: str, path: Path) -> Iterator[Import]:
    def walk(node: ast.AST, eager: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, eager)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            for alias in node.names:
                # `from package import module` imports that module; a name is no file, and does no harm here.
                full = f"{node.module}.{alias.name}"
                yield Import(module, full if full in MODULES else str(node.module), eager)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                yield from walk(child, eager)
        else:
            inside = eager and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from walk(child, inside)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), True)


SETTINGS = {f"{OURS}.sweep.settings", f"{OURS}.sweep.slurm.settings"}
MODULES = dict(_sources())
IMPORTS = [found for module, path in MODULES.items() for found in _imports(module, path)]


def _part(module: str) -> str:
    """`lit_hydra_bridge.record.capture` -> `record`; the package itself -> ``."""
    return "hydra_plugins" if module.startswith("hydra_plugins") else module.partition(".")[2].partition(".")[0]


def _crossing() -> Iterator[tuple[Import, str, str]]:
    for found in IMPORTS:
        if found.library in (OURS, "hydra_plugins"):
            importer, imported = _part(found.importer), _part(found.imported)
            if importer != imported:
                yield found, importer, imported


def test_the_parser_sees_the_imports() -> None:
    assert Import(f"{OURS}.reload.checkpoint", f"{OURS}.errors", True) in IMPORTS
    assert Import(f"{OURS}.reload.checkpoint", "fsspec", False) in IMPORTS
    assert Import(f"{OURS}.record.callback_lightning", "lightning.pytorch", True) in IMPORTS
    assert not any(found.importer == OURS and found.imported.startswith(OURS + ".record.run") for found in IMPORTS)


def test_every_part_is_known() -> None:
    assert {_part(module) for module in MODULES} <= set(ALLOWED)


def test_imports_run_downwards_only() -> None:
    broken = [
        f"{found.importer} imports {found.imported}"
        for found, importer, imported in _crossing()
        if imported not in ALLOWED[importer] | BELOW | {""}
        and not (importer == "reload" and found.imported in SHARED_WITH_RELOAD)
    ]
    assert broken == []


def test_nobody_imports_the_command_line_or_the_plugins() -> None:
    importers = {found.importer for found, _, imported in _crossing() if imported in ("cli", "hydra_plugins")}
    assert importers <= {f"{OURS}.__main__"}


def test_the_lowest_parts_import_nothing_of_ours_but_the_errors() -> None:
    lowest = [found for found in IMPORTS if _part(found.importer) in BELOW and found.library == OURS]
    assert [found for found in lowest if found.imported != f"{OURS}.errors"] == []


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    broken = [
        f"{found.importer} imports {found.imported} when it is loaded"
        for found in IMPORTS
        if found.eager and found.library in HEAVY - ABOUT.get(found.importer, set())
    ]
    assert broken == []


def test_modules_about_a_heavy_library_are_imported_inside_functions() -> None:
    assert [found for found in IMPORTS if found.eager and found.imported in ABOUT] == []


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("hydra_plugins.")])
def test_a_plugin_module_imports_next_to_nothing_when_it_is_loaded(module: str) -> None:
    """Hydra executes it at the start of every app on the machine."""
    eager = {found.imported for found in IMPORTS if found.importer == module and found.eager}
    light = {name for name in eager if name.partition(".")[0] in {*sys.stdlib_module_names, "hydra", "omegaconf"}}
    assert eager - light <= {"hydra_plugins.lit_hydra_bridge"}


def test_the_launchers_settings_import_next_to_nothing() -> None:
    eager = {found.imported for found in IMPORTS if found.importer in SETTINGS and found.eager}
    others = {name for name in eager if name.partition(".")[0] not in sys.stdlib_module_names}
    assert others <= {f"{OURS}.errors", *SETTINGS}


def test_hydra_plugins_stays_a_namespace() -> None:
    assert not (ROOT / "hydra_plugins" / "__init__.py").exists()
    folders = [path for path in (ROOT / "hydra_plugins").iterdir() if path.name != "__pycache__"]
    assert folders and all((folder / "__init__.py").is_file() for folder in folders)

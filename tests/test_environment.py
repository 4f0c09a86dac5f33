"""The package list agrees with importlib.metadata, and survives whatever stands on sys.path."""

from __future__ import annotations

import re
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from lit_hydra_bridge.record.environment import installed_packages, read_environment


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def write(path: Path, name: str, version: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")


def test_agrees_with_importlib() -> None:
    expected: dict[str, str] = {}
    for distribution in metadata.distributions():
        expected.setdefault(normalised(distribution.metadata["Name"]), distribution.version)
    found = installed_packages()
    assert found == expected
    # Installed in editable mode in the developer's environment, and from a wheel elsewhere.
    assert found["lit-hydra-bridge"] == metadata.version("lit-hydra-bridge")


def test_all_forms_of_a_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "A_b.C-1.0+local.dist-info/METADATA", "A-b.C", "1.0+local")
    write(tmp_path / "old.egg-info/PKG-INFO", "Old_One", "2.0")
    write(tmp_path / "flat-3.0.egg-info", "flat", "3.0")
    write(tmp_path / "eggs/thing-4.0-py3.egg/EGG-INFO/PKG-INFO", "thing", "4.0")
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "eggs/thing-4.0-py3.egg")])
    assert installed_packages() == {"a-b-c": "1.0+local", "old-one": "2.0", "flat": "3.0", "thing": "4.0"}


def test_the_first_on_the_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a/thing-1.0.dist-info/METADATA", "thing", "1.0")
    write(tmp_path / "b/thing-2.0.dist-info/METADATA", "thing", "2.0")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "a")])
    assert installed_packages() == {"thing": "1.0"}


def test_garbage_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "good-1.0.dist-info/METADATA", "good", "1.0")
    write(tmp_path / "~ood-0.9.dist-info/METADATA", "good", "0.9")  # what pip leaves when it is interrupted
    (tmp_path / "gone-1.0.dist-info").mkdir()
    (tmp_path / "empty.egg-info").mkdir()
    (tmp_path / "nameless-1.0.egg-info").write_bytes(b"\xff\xfe\0")
    write(tmp_path / "locked.egg-info/PKG-INFO", "", "")
    (tmp_path / "a file").write_text("x", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("zipped-1.0.dist-info/METADATA", "Name: zipped\nVersion: 1.0\n")
    monkeypatch.chdir(tmp_path)
    names = ["", str(tmp_path / "a.zip"), str(tmp_path / "missing"), str(tmp_path / "a file"), "nul\0byte"]
    monkeypatch.setattr(sys, "path", [*names, None, 7, b"bytes", tmp_path])
    assert installed_packages() == {"good": "1.0"}


def test_the_rest_of_the_environment() -> None:
    environment = read_environment()
    assert environment.python.split(".")[:2] == [str(sys.version_info.major), str(sys.version_info.minor)]
    assert environment.platform.startswith(sys.platform)
    assert environment.host
    assert "torch" in environment.packages

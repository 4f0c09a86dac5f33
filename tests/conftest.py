"""Shared fixtures: a folder with a small Hydra + Lightning app, and ways to run it as a real process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import App


@pytest.fixture
def app(tmp_path: Path) -> App:
    """A small app in a folder of its own; it never mentions the bridge."""
    return App.create(tmp_path / "app")

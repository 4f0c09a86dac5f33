"""Shared fixtures: a folder with a small Hydra + Lightning app, and ways to run it as a real process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import App

# What takes longest comes first, so that no worker is left with it at the end.
LONGEST = (
    "test_slurm_training.py", "test_sweep_apps.py", "test_rerun.py", "test_launcher_conformance.py",
    "test_sweep_ddp.py", "test_sweep_lightning.py", "test_sweep_faults.py", "test_slurm_launcher.py",
    "test_slurm_sweep.py", "test_example_app.py", "test_capture.py", "test_sweep_resume.py",
    "test_sweep_seeding.py", "test_loggers.py", "test_verify.py", "test_checkpoints.py", "test_trust.py",
    "test_report.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files; the order within each stays."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture
def app(tmp_path: Path) -> App:
    """A small app in a folder of its own; it never mentions the bridge."""
    return App.create(tmp_path / "app")

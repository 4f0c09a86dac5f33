"""A Slurm for all tests of a session, and an app that sweeps on it."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.apps import SlurmApp
from tests.slurm.cluster import Cluster, running, why_not


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A real Slurm; where there can be none, what is left out is said aloud."""
    if reason := why_not():
        warnings.warn(f"lit_slurm is NOT TESTED here: {reason}", stacklevel=1)
        pytest.skip(f"lit_slurm is NOT TESTED here: {reason}")
    # The path of a socket may have a hundred characters only.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with running(folder) as found:
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def app(cluster: Cluster, tmp_path: Path) -> SlurmApp:
    """An app in a folder of its own."""
    return SlurmApp.on(cluster, tmp_path / "an app")

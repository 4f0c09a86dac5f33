"""Hydra's own conformance suites for launchers pass, with each way of starting job processes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher

from tests.sweep_support import START_METHODS, clean_environment

pytestmark = pytest.mark.matrix
SUITES = Path(__file__).with_name("launcher_suites.py")


@pytest.mark.parametrize("method", START_METHODS)
def test_hydras_suites_pass(method: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", str(SUITES), "-p", "no:xdist", "-q", f"--basetemp={tmp_path / 'base'}"]
    ended = subprocess.run(
        command,
        cwd=SUITES.parent.parent,
        env=clean_environment({"START_METHOD": method}),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    passed = re.search(r"(\d+) passed", ended.stdout)
    # As many as Hydra's three suites have: a suite that is not collected has not passed.
    assert passed and int(passed[1]) >= 20, ended.stdout


def test_it_is_discovered() -> None:
    assert "LitLocalLauncher" in [plugin.__name__ for plugin in Plugins.instance().discover(Launcher)]

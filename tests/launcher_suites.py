"""Hydra's own conformance suites for launchers, to be run in a process of their own (see test_launcher_conformance.py).

They launch sweeps from the test process itself. What other tests leave in it would decide what happens: a thread that
some library has started forbids to fork, a version_base that an app has chosen changes what Hydra does.
"""

from __future__ import annotations

import os

import pytest
from hydra.core.plugins import Plugins
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

# The suites save and restore singletons, this one included, so it has to be there before.
Plugins.instance()

METHOD = os.environ["START_METHOD"]
SETTINGS = ["hydra.launcher.progress=none", f"hydra.launcher.start_method={METHOD}"]


@pytest.mark.parametrize("launcher_name, overrides", [("lit_local", SETTINGS)])
class TestLauncher(LauncherTestSuite):
    pass


@pytest.mark.parametrize(
    "launcher_name, overrides",
    [("lit_local", [*SETTINGS, "hydra/sweeper=basic", "hydra.sweeper.max_batch_size=2"])],
)
class TestBatchedSweeper(BatchedSweeperTestSuite):
    pass


# One of these tests launches a sweep twice into one folder, with another program, and expects to see it run twice.
@pytest.mark.parametrize(
    "task_launcher_cfg, extra_flags",
    [({}, ["-m", "hydra/launcher=lit_local", "hydra.launcher.resume=false", *SETTINGS])],
)
class TestIntegration(IntegrationTestSuite):
    pass

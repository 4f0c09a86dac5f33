"""Hydra's own conformance suites for launchers, with each way of starting job processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)
from hydra.version import VersionBase

from hydra_plugins.lit_hydra_bridge.launchers import LitLocalLauncher

# The suites save and restore singletons, this one included, so it has to be there before.
Plugins.instance()

pytestmark = pytest.mark.matrix
EACH_METHOD = [
    ("lit_local", ["hydra.launcher.progress=none", f"hydra.launcher.start_method={method}"])
    for method in ("fork", "forkserver", "spawn")
]


@pytest.fixture(autouse=True)
def no_version_base() -> Iterator[None]:
    """The suites expect Hydra as it starts; other tests of this process may have chosen a version_base."""
    before = Singleton._instances.pop(VersionBase, None)
    yield
    Singleton._instances.pop(VersionBase, None)
    if before is not None:
        Singleton._instances[VersionBase] = before


def test_it_is_discovered() -> None:
    from hydra.plugins.launcher import Launcher

    assert LitLocalLauncher.__name__ in [plugin.__name__ for plugin in Plugins.instance().discover(Launcher)]


@pytest.mark.parametrize("launcher_name, overrides", EACH_METHOD)
class TestLauncher(LauncherTestSuite):
    pass


@pytest.mark.parametrize(
    "launcher_name, overrides",
    [(name, [*overrides, "hydra/sweeper=basic", "hydra.sweeper.max_batch_size=2"]) for name, overrides in EACH_METHOD],
)
class TestBatchedSweeper(BatchedSweeperTestSuite):
    pass


# One of these tests launches a sweep twice into one folder, with another program, and expects to see it run twice.
@pytest.mark.parametrize(
    "task_launcher_cfg, extra_flags",
    [({}, ["-m", f"hydra/launcher={name}", "hydra.launcher.resume=false", *more]) for name, more in EACH_METHOD],
)
class TestIntegration(IntegrationTestSuite):
    pass

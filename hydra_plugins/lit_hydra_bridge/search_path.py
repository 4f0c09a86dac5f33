"""Makes the config groups of `lit_hydra_bridge.conf` available to every Hydra app.

Hydra executes this module at the start of every app on the machine, so it imports next to nothing.
"""

from __future__ import annotations

import os
import sys

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from hydra_plugins.lit_hydra_bridge import or_without


class LitHydraBridgeSearchPath(SearchPathPlugin):  # type: ignore[misc]
    """Appends our config groups, and prepares Lightning's loader for checkpoints with omegaconf nodes."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        with or_without("the config group lit"):
            import lit_hydra_bridge.conf  # noqa: F401  # Hydra does so for each path, and lets errors pass

            search_path.append(provider="lit-hydra-bridge", path="pkg://lit_hydra_bridge.conf")
        with or_without("loading checkpoints with omegaconf nodes"):
            from lit_hydra_bridge.switch import is_on

            if is_on():
                from lit_hydra_bridge.record.lightning_seams import install_when_imported

                install_when_imported()


def _make_a_run_again() -> None:
    """Where `lit-hydra rerun` has started this app, what Hydra composes becomes what was recorded."""
    if os.environ.get("LIT_HYDRA_BRIDGE_RERUN"):
        try:
            from lit_hydra_bridge.reload.rerun import hydra_seam

            hydra_seam.install()
        except Exception as error:  # the app would run with another config than was asked for
            raise SystemExit(f"lit-hydra rerun: {error}") from error


def _take_the_jobs_config() -> None:
    """Where Lightning has started this app as a further rank of a sweep's job, it gets that job's very config."""
    if os.environ.get("LIT_HYDRA_BRIDGE_JOB_CONFIG"):
        from lit_hydra_bridge.sweep import frozen_config

        frozen_config.install()


def _warn_of_an_ignored_launcher() -> None:
    """Where one of our launchers is on the command line, and this turns out to be no multirun."""
    if any("hydra/launcher=lit_" in text for text in sys.argv):
        from lit_hydra_bridge.sweep import ignored

        ignored.install()


# Here and not in the plugin: a launcher's job process scans the plugins, and takes the search path from its parent.
_make_a_run_again()
with or_without("giving a rank its job's very config"):
    _take_the_jobs_config()
with or_without("a warning of an ignored launcher"):
    _warn_of_an_ignored_launcher()

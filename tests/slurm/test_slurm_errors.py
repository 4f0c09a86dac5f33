"""What is wrong before anything is submitted: one clear error, with Slurm's own words where they are to be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.slurm.apps import SlurmApp
from tests.slurm.cluster import Cluster
from tests.sweep_support import Ended, SweepApp

# The errors that need no Slurm.
WRONG = {
    "hydra.launcher.tasks_per_node=0": "hydra.launcher.tasks_per_node=0: expected a whole number from 1",
    "hydra.launcher.timeout_min=0.5": "hydra.launcher.timeout_min=0.5: expected a whole number from 1",
    "hydra.launcher.setup=module": "hydra.launcher.setup='module': expected a list of texts, or null",
    "hydra.launcher.on_failure=maybe": "expected one of continue, stop",
    "+hydra.launcher.n_jobs=2": "hydra.launcher has no setting 'n_jobs'",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> SlurmApp:
    """An app where there is no Slurm."""
    folder = tmp_path_factory.mktemp("plain")
    app = SlurmApp.on(Cluster(folder / "none"), folder / "app")
    app.task("return cfg.x")
    return app


def _refused(app: SweepApp, *overrides: str, **env: str) -> Ended:
    ended = app.run(*app.command("x=1,2", *overrides), returncode=1, env=env)
    assert "Traceback" not in ended.output and not list(app.out.rglob("job.json"))
    return ended


@pytest.mark.parametrize("override", WRONG)
def test_a_setting_that_makes_no_sense(plain: SlurmApp, override: str) -> None:
    assert WRONG[override] in _refused(plain, override).output


def test_no_slurm(plain: SlurmApp) -> None:
    ended = _refused(plain, PATH=str(plain.folder))
    assert "there is no sbatch here" in ended.output and "login node" in ended.output and "lit_local" in ended.output


def test_no_submitit(plain: SlurmApp) -> None:
    elsewhere = plain.write("without/submitit.py", "raise ImportError('as if it were not installed')")
    ended = _refused(plain, PYTHONPATH=str(elsewhere.parent), PATH=str(plain.folder))
    assert 'pip install "lit-hydra-bridge[slurm]"' in ended.output


def test_nothing_is_cancelled_that_is_not_at_slurm(plain: SlurmApp) -> None:
    local = plain.folder / "local"
    command = [text.replace("lit_slurm", "lit_local") for text in plain.command("x=1", out=local)]
    plain.run(*[text for text in command if "poll_s" not in text])
    ended = plain.run(plain.tool, "resume", str(local), "--cancel", cwd=Path("/"), returncode=2)
    assert "it has submitted nothing to Slurm" in ended.output


def test_a_partition_that_is_not_there(app: SlurmApp) -> None:
    app.task("return cfg.x")
    ended = _refused(app, "hydra.launcher.partition=nope")
    assert "Slurm refused the jobs" in ended.output and "invalid partition specified: nope" in ended.output
    assert list((app.out / ".sweep" / "slurm").iterdir()) == []
    # The same sweep can be launched then.
    app.sweep("x=1,2")


def test_more_than_the_cluster_has(app: SlurmApp) -> None:
    app.task("return cfg.x")
    ended = _refused(app, "hydra.launcher.additional_parameters={mem: 999999GB}")
    assert "Slurm refused the jobs: sbatch: error: " in ended.output

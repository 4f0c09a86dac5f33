"""Lightning trainings on a real Slurm: time limits, preemption, DDP, and what the record says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.apps import SlurmApp
from tests.slurm.cluster import Cluster
from tests.sweep_support import job_states, outcomes, until


@pytest.fixture(scope="module")
def trained(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> SlurmApp:
    """Three uninterrupted trainings: alone, with loader workers, and as two ranks."""
    app = SlurmApp.on(cluster, tmp_path_factory.mktemp("trained") / "an app")
    app.training()
    app.sweep("workers=0,2", script="train.py", out=app.folder / "whole")
    ddp = ("devices=2", "strategy=ddp", "hydra.launcher.tasks_per_node=2")
    app.sweep("epochs=2", *ddp, script="train.py", out=app.folder / "whole-ddp")
    return app


def _steps(text: str) -> list[str]:
    return re.findall(r"^STEP (.*)$", text, re.MULTILINE)


def _same(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(bool((one[key] == other[key]).all()) for key in one)


def _interrupted(app: SlurmApp, hold: str, *overrides: str, number: int = 0, launcher: tuple[str, ...] = ()) -> str:
    """Sweep, and send SIGUSR2 as Slurm does before a time limit, while a step is held; return what was printed."""
    (app.folder / f"hold-{hold}").touch()
    with app.launch(*app.command(*overrides, *launcher, script="train.py")) as launched:
        until(lambda: f"STEP {hold}" in app.log(number), f"step {hold}: {launched.output}{app.logs()}")
        (attempt,) = job_states(app.out)[number]["attempts"]
        app.cluster.run("scancel", "--signal=USR2", attempt["slurm_job"])
        until(lambda: "Slurm sent SIGUSR2" in app.log(number), "the signal has come")
        (app.folder / f"hold-{hold}").unlink()
        status = launched.wait(90)
        assert status == 0, launched.output + app.logs()
        return launched.output


@pytest.mark.parametrize(
    ("hold", "workers"), [("1-2", 0), ("0-3", 2), ("0-5", 0)], ids=["mid-epoch", "loader workers", "end of epoch"]
)
def test_a_requeued_training_ends_with_the_weights_of_a_whole_one(
    trained: SlurmApp, app: SlurmApp, hold: str, workers: int
) -> None:
    app.training()
    said = _interrupted(app, hold, f"workers={workers}")
    whole = trained.folder / "whole" / ("1" if workers else "0")
    (state,) = job_states(app.out).values()
    assert state["outcome"] == "completed" and "1 completed" in said
    assert _steps(app.log()) == _steps((whole / "job.log").read_text())
    assert _same(app.weights(app.out / "0"), app.weights(whole))
    first, second = state["attempts"]
    assert (
        first["outcome"] == "interrupted"
        and "SIGUSR2" in first["reason"]
        and "hpc_ckpt_1.ckpt saved" in first["reason"]
    )
    assert first["slurm_job"] == second["slurm_job"]
    assert second["resumed_from"] == str(app.out / "0" / "hpc_ckpt_1.ckpt")
    # Nothing of it in the folder that the app shares among its jobs.
    assert list(app.folder.glob("hpc_ckpt*")) == []


def test_ranks_of_slurm_are_one_job_and_are_requeued_together(trained: SlurmApp, app: SlurmApp) -> None:
    app.training()
    ddp = ("devices=2", "strategy=ddp", "hydra.launcher.tasks_per_node=2")
    _interrupted(app, "0-1", "epochs=2", *ddp)
    (state,) = job_states(app.out).values()
    told = [line.split() for line in re.findall(r"^RANK (.*)$", app.log(), re.MULTILINE)]
    assert (
        sorted(line[:3] for line in told) == [["0", "2", "SLURMEnvironment"]] * 2 + [["1", "2", "SLURMEnvironment"]] * 2
    )
    # One config, in every rank and attempt; one id; one folder.
    assert len({tuple(line[3:]) for line in told}) == 1 and told[0][3] == state["attempts"][0]["slurm_job"]
    assert [path.name for path in sorted(app.out.iterdir())] == [".sweep", "0", "multirun.yaml"]
    assert state["outcome"] == "completed" and len(state["attempts"]) == 2
    whole = trained.folder / "whole-ddp" / "0"
    assert _same(app.weights(app.out / "0"), app.weights(whole))


def test_a_failing_rank_fails_its_job(app: SlurmApp) -> None:
    app.training()
    ddp = ("devices=2", "strategy=ddp", "hydra.launcher.tasks_per_node=2")
    app.sweep("ill_rank=1", *ddp, script="train.py", returncode=1)
    (state,) = job_states(app.out).values()
    assert state["outcome"] == "failed"
    assert "rank 1 failed: ValueError: rank 1 is ill" in state["attempts"][-1]["reason"], state["attempts"][-1][
        "reason"
    ]


def test_a_time_limit_of_slurms_own(trained: SlurmApp, app: SlurmApp) -> None:
    """Slurm sends the signal by itself; max_num_timeout bounds how often."""
    app.training()
    (app.folder / "hold-1-2").touch()
    limit = ("hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=55", "hydra.launcher.max_num_timeout=0")
    with app.launch(*app.command("workers=0", *limit, script="train.py")) as launched:
        until(lambda: "Slurm sent SIGUSR2" in app.log(), "Slurm warns of the time limit", 100)
        (app.folder / "hold-1-2").unlink()
        assert launched.wait(60) == 1
    (state,) = job_states(app.out).values()
    (attempt,) = state["attempts"]
    assert state["outcome"] == "timed out"
    assert "hpc_ckpt_1.ckpt saved" in attempt["reason"] and "timed-out too many times" in attempt["reason"]
    # To resume is to submit it again: it goes on from there.
    app.resume()
    (state,) = job_states(app.out).values()
    assert state["outcome"] == "completed" and len(state["attempts"]) == 2
    assert _same(app.weights(app.out / "0"), app.weights(trained.folder / "whole" / "0"))


def test_a_slurm_that_requeues_by_itself(app: SlurmApp) -> None:
    """As after a node's failure, or a preemption without a warning: Slurm kills the job, and starts it again."""
    app.training()
    (app.folder / "hold-0-2").touch()
    with app.launch(*app.command("saves=true", script="train.py")) as launched:
        until(lambda: "STEP 0-2" in app.log(), "it trains")
        app.cluster.run("scontrol", "requeue", job_states(app.out)[0]["attempts"][0]["slurm_job"])
        (app.folder / "hold-0-2").unlink()
        assert launched.wait(90) == 0, launched.output + app.logs()
    (state,) = job_states(app.out).values()
    assert state["outcome"] == "completed" and len(state["attempts"]) == 2
    assert state["attempts"][0]["outcome"] in ("interrupted", "killed")


def test_the_record_knows_slurms_job(app: SlurmApp) -> None:
    from lit_hydra_bridge import read_record

    app.training()
    app.sweep("saves=true", "epochs=1,2", "hydra.job.chdir=true", script="train.py")
    assert outcomes(app.out) == {0: "completed", 1: "completed"}
    for number, state in job_states(app.out).items():
        (checkpoint,) = (app.out / str(number)).rglob("*.ckpt")
        record = read_record(checkpoint)
        id = state["attempts"][0]["slurm_job"]
        assert record.hydra and record.hydra.job_id == id and record.slurm
        assert record.slurm.array_job_id == id.partition("_")[0] and record.slurm.array_task_id == str(number)
        assert record.slurm.job_id == app.cluster.raw_id(id) and record.slurm.partition == "main"
        assert record.slurm.nodes and record.slurm.nodes == record.environment.host
        assert json.loads((Path(state["folder"]) / "progress.json").read_text())["max_epochs"] == number + 1

"""Lightning trainings on a real Slurm: time limits, preemption, DDP, and what the record says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from lit_hydra_bridge import read_record
from tests.slurm.apps import SlurmApp
from tests.slurm.cluster import Cluster
from tests.sweep_support import Launched, job_states, until

DDP = ("devices=2", "strategy=ddp", "hydra.launcher.tasks_per_node=2")
# Where each of four trainings is held: in the middle of an epoch, there with loader workers, in an epoch's last step;
# and where Slurm itself queues it again, without a warning.
PLACES = ("1-2", "0-3", "0-5", "0-1")
MIDDLE, WORKERS, LAST, UNWARNED = range(4)


@pytest.fixture(scope="module")
def whole(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> SlurmApp:
    """An uninterrupted training."""
    app = SlurmApp.on(cluster, tmp_path_factory.mktemp("whole") / "an app")
    app.training()
    app.sweep("epochs=2", script="train.py")
    return app


@contextmanager
def _held(app: SlurmApp, places: tuple[str, ...], *overrides: str) -> Iterator[Launched]:
    """Launch a training for each place, and wait until each is held there."""
    for place in places:
        (app.folder / f"hold-{place}").touch()
    with app.launch(*app.command(f"at={','.join(places)}", *overrides, script="train.py")) as launched:
        for number, place in enumerate(places):
            until(lambda n=number, p=place: f"STEP {p}" in app.log(n), f"{app.folder} trains up to {place}", 150)
        yield launched


def _warn(app: SlurmApp, number: int, place: str) -> None:
    """Send the signal that Slurm sends before a time limit, and let the step end once it is there."""
    app.cluster.run("scancel", "--signal=USR2", job_states(app.out)[number]["attempts"][0]["slurm_job"])
    until(lambda: "Slurm sent SIGUSR2" in app.log(number), "the signal has come")
    (app.folder / f"hold-{place}").unlink()


@pytest.fixture(scope="module")
def requeued(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> SlurmApp:
    """Four trainings that were interrupted, each at another place."""
    app = SlurmApp.on(cluster, tmp_path_factory.mktemp("requeued") / "an app")
    app.training()
    with _held(app, PLACES, "workers='${with_workers:${at}}'") as launched:
        for number, place in enumerate(PLACES[:3]):
            _warn(app, number, place)
        app.cluster.run("scontrol", "requeue", job_states(app.out)[UNWARNED]["attempts"][0]["slurm_job"])
        (app.folder / f"hold-{PLACES[UNWARNED]}").unlink()
        assert launched.wait(150) == 0, launched.output + app.logs()
        assert "4 completed" in launched.output
    return app


def _steps(text: str) -> list[str]:
    return re.findall(r"^STEP (.*)$", text, re.MULTILINE)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(bool((one[key] == other[key]).all()) for key in one)


@pytest.mark.parametrize("number", [MIDDLE, WORKERS, LAST])
def test_a_requeued_training_ends_with_the_weights_of_a_whole_one(
    whole: SlurmApp, requeued: SlurmApp, number: int
) -> None:
    state, folder = job_states(requeued.out)[number], requeued.out / str(number)
    first, second = state["attempts"]
    assert first["outcome"] == "interrupted" and second["outcome"] == "completed"
    assert "SIGUSR2" in first["reason"] and "hpc_ckpt_1.ckpt saved" in first["reason"]
    assert first["slurm_job"] == second["slurm_job"] and second["resumed_from"] == str(folder / "hpc_ckpt_1.ckpt")
    assert _steps(requeued.log(number)) == _steps(whole.log())
    assert _same(requeued.weights(folder), whole.weights(whole.out / "0"))


def test_what_slurm_requeues_by_itself_is_run_again(requeued: SlurmApp, whole: SlurmApp) -> None:
    """As after a node's failure, or a preemption without a warning."""
    state = job_states(requeued.out)[UNWARNED]
    assert [attempt["outcome"] for attempt in state["attempts"]][1:] == ["completed"]
    assert state["attempts"][0]["outcome"] in ("interrupted", "killed")
    assert _same(requeued.weights(requeued.out / str(UNWARNED)), whole.weights(whole.out / "0"))


def test_checkpoints_of_a_requeue_are_the_jobs_own(requeued: SlurmApp) -> None:
    """The app's default_root_dir is the folder that all jobs share; the record knows Slurm's job."""
    assert list(requeued.folder.glob("hpc_ckpt*")) == []
    record = read_record(requeued.out / "0" / "hpc_ckpt_1.ckpt")
    id = job_states(requeued.out)[0]["attempts"][0]["slurm_job"]
    assert record.hydra and record.hydra.job_id == id and record.slurm
    assert (record.slurm.array_job_id, record.slurm.array_task_id) == tuple(id.split("_"))
    assert record.slurm.job_id == requeued.cluster.raw_id(id)
    assert record.slurm.partition == "main" and record.slurm.nodes == record.environment.host


def test_ranks_of_slurm_are_one_job_and_are_requeued_together(app: SlurmApp) -> None:
    app.training()
    other = SlurmApp.on(app.cluster, app.folder.with_name("other"))
    other.training()
    with other.launch(*other.command("ill_rank=null,1", *DDP, script="train.py")) as launched:
        with _held(app, ("0-1",), *DDP) as interrupted:
            _warn(app, 0, "0-1")
            assert interrupted.wait(150) == 0, interrupted.output + app.logs()
        assert launched.wait(100) == 1
    (state,) = job_states(app.out).values()
    told = [line.split() for line in re.findall(r"^RANK (.*)$", app.log(), re.MULTILINE)]
    ranks = sorted(line[:3] for line in told)
    assert ranks == [["0", "2", "SLURMEnvironment"]] * 2 + [["1", "2", "SLURMEnvironment"]] * 2
    # One config, in every rank and attempt; one id; one folder.
    assert len({tuple(line[3:]) for line in told}) == 1 and told[0][3] == state["attempts"][0]["slurm_job"]
    assert [path.name for path in sorted(app.out.iterdir())] == [".sweep", "0", "multirun.yaml", "results.csv"]
    assert state["outcome"] == "completed" and len(state["attempts"]) == 2
    assert _same(app.weights(app.out / "0"), other.weights(other.out / "0"))
    ill = job_states(other.out)[1]
    assert ill["outcome"] == "failed"
    assert "rank 1 failed: ValueError: rank 1 is ill" in ill["attempts"][-1]["reason"]


def test_a_time_limit_of_slurms_own(whole: SlurmApp, app: SlurmApp) -> None:
    """Slurm sends the signal by itself; max_num_timeout bounds how often."""
    app.training()
    limit = ("hydra.launcher.timeout_min=10", "hydra.launcher.signal_delay_s=500", "hydra.launcher.max_num_timeout=0")
    with _held(app, ("1-2",), *limit) as launched:
        (attempt,) = job_states(app.out)[0]["attempts"]
        # Slurm looks at time limits twice a minute; ten of them would take long, so it gets less once it is held.
        minutes = int((time.time() - attempt["started"]) / 60) + 3
        app.cluster.run("scontrol", "update", f"jobid={attempt['slurm_job']}", f"timelimit={minutes}")
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
    assert _steps(app.log()) == _steps(whole.log())
    assert _same(app.weights(app.out / "0"), app.weights(whole.out / "0"))


def test_a_preempted_training_makes_room_and_goes_on(whole: SlurmApp, app: SlurmApp) -> None:
    """Slurm sends SIGTERM at the beginning of the grace time, as it does for scancel."""
    app.training()
    with _held(app, ("1-2",)) as launched:
        app.cluster.run("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
        (attempt,) = job_states(app.out)[0]["attempts"]
        preempted = ("scontrol", "show", "job", attempt["slurm_job"])
        until(lambda: re.search(r"PreemptTime=2", app.cluster.run(*preempted)), "it is preempted")
        (app.folder / "hold-1-2").unlink()
        assert launched.wait(150) == 0, launched.output + app.logs()
    (state,) = job_states(app.out).values()
    first, second = state["attempts"]
    assert "SIGTERM" in first["reason"] and "saved" in first["reason"] and first["slurm_job"] == second["slurm_job"]
    assert _same(app.weights(app.out / "0"), whole.weights(whole.out / "0"))

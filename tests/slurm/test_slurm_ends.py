"""How a job at Slurm may end, other than by itself."""

from __future__ import annotations

from tests.slurm.apps import SlurmApp
from tests.sweep_support import job_states, outcomes, until

HOLDS = "note(f'began {cfg.x}'); hold(); return cfg.x"


def _attempts(app: SlurmApp, number: int) -> list[dict[str, object]]:
    attempts: list[dict[str, object]] = job_states(app.out)[number]["attempts"]
    return attempts


def test_scancel_of_one_that_runs_and_one_that_waits(app: SlurmApp) -> None:
    app.task(HOLDS)
    (app.folder / "hold").touch()
    with app.launch(*app.command("x=1,2,3", "hydra.launcher.array_parallelism=1")) as launched:
        until(lambda: app.notes()["began 1"], "the first job runs")
        (running,) = _attempts(app, 0)
        array = str(running["slurm_job"]).partition("_")[0]
        app.cluster.run("scancel", f"{array}_2")
        app.cluster.run("scancel", f"{array}_0")
        until(lambda: app.notes()["began 2"], "the second job runs")
        (app.folder / "hold").unlink()
        assert launched.wait() == 1
    assert outcomes(app.out) == {0: "killed", 1: "completed", 2: "killed"}
    assert "it was cancelled (scancel)" in str(_attempts(app, 0)[-1]["reason"])
    assert "before it had begun" in str(_attempts(app, 2)[-1]["reason"])
    assert app.notes() == {"began 1": 1, "began 2": 1}
    assert "#0 KILLED" in launched.output and "#2 KILLED" in launched.output
    # Both are run by the next launch, and nothing else.
    app.resume()
    assert outcomes(app.out) == dict.fromkeys(range(3), "completed")
    assert app.notes() == {"began 1": 2, "began 2": 1, "began 3": 1}


def test_a_process_that_dies(app: SlurmApp) -> None:
    app.task("os.kill(os.getpid(), 9)")
    app.sweep("x=1", returncode=1)
    assert outcomes(app.out) == {0: "failed"}
    assert "its process ended before the task returned" in str(_attempts(app, 0)[-1]["reason"])


def test_a_failed_node(app: SlurmApp) -> None:
    app.task(HOLDS)
    (app.folder / "hold").touch()
    node = app.cluster.run("sinfo", "--noheader", "--format=%n").strip()
    with app.launch(*app.command("x=1", "hydra.launcher.additional_parameters={no-requeue: true}")) as launched:
        until(lambda: app.notes()["began 1"], "it runs")
        try:
            app.cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
            assert launched.wait(60) == 1
        finally:
            # Slurm may have taken it back by itself, and then refuses.
            app.cluster.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
            until(lambda: "idle" in app.cluster.run("sinfo", "--noheader", "--format=%t"), "the node is back")
    assert outcomes(app.out) == {0: "killed"}
    assert "its node failed" in str(_attempts(app, 0)[-1]["reason"])


def test_a_job_that_can_not_begin(app: SlurmApp) -> None:
    """What Slurm or `setup` print is the evidence."""
    app.task("return cfg.x")
    app.sweep("x=1", "hydra.launcher.setup=['echo no such module: cuda/99; exit 3']", returncode=1)
    (attempt,) = _attempts(app, 0)
    assert attempt["outcome"] == "failed" and "it could not be started" in str(attempt["reason"])
    assert "no such module: cuda/99" in str(attempt["reason"])

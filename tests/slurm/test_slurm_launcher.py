"""A launcher that goes away, and comes back: the jobs run on by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.slurm.apps import SlurmApp
from tests.sweep_support import Launched, job_states, outcomes, until

HOLDS = "note(f'began {cfg.x}'); hold(); note(f'ended {cfg.x}'); return cfg.x"


def _all_began(app: SlurmApp, launched: Launched, count: int) -> None:
    until(lambda: len(app.notes()) == count, f"{count} jobs run: {launched.output}{app.logs()}")


def test_killed_and_resumed(app: SlurmApp) -> None:
    """Two jobs run and two wait when the launcher is killed; one of them has ended when another comes."""
    app.task("note(f'began {cfg.x}'); hold(f'hold{cfg.x}'); note(f'ended {cfg.x}'); return cfg.x")
    for number in (1, 2):
        (app.folder / f"hold{number}").touch()
    with app.launch(*app.command("x=1,2,3,4", "hydra.launcher.array_parallelism=2")) as launched:
        _all_began(app, launched, 2)
        launched.signal(signal.SIGKILL)
        launched.process.wait()
        (app.folder / "hold1").unlink()
        until(lambda: app.notes()["ended 1"], "the first has ended, and nobody looked")
        with app.launch(app.tool, "resume", str(app.out), cwd=Path("/")) as second:
            until(lambda: "taken up" in second.output, second.output)
            assert "submitted to Slurm" not in second.output
            (app.folder / "hold2").unlink()
            assert second.wait() == 0, second.output
    assert outcomes(app.out) == dict.fromkeys(range(4), "completed")
    assert set(app.notes().values()) == {1} and len(app.notes()) == 8
    assert len(list((app.out / ".sweep" / "slurm").iterdir())) == 1
    assert "4 completed" in second.output


def test_killed_before_it_has_noted_slurms_answer(app: SlurmApp) -> None:
    """The jobs are found by what they carry."""
    app.task(HOLDS)
    (app.folder / "hold").touch()
    # sbatch goes through, and the launcher dies with the answer in its hands.
    real = next(path for folder in os.environ["PATH"].split(":") if (path := Path(folder) / "sbatch").exists())
    wrapper = app.write("bin/sbatch", f'#!/bin/sh\n{real} "$@"\nkill -9 $PPID\n')
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{os.environ['PATH']}"
    with app.launch(*app.command("x=1,2"), env={"PATH": path}) as launched:
        assert launched.wait() == -signal.SIGKILL
    assert len(app.cluster.states()) >= 2 and '"id": null' in (app.out / ".sweep/slurm/0/jobs.json").read_text()
    # submitit had no time to hand its pickles over, so these jobs can't run; but they are not submitted twice.
    with app.launch(app.tool, "resume", str(app.out), cwd=Path("/")) as second:
        until(lambda: "taken up" in second.output, second.output)
        assert "submitted to Slurm" not in second.output
        second.signal(signal.SIGINT)
        second.wait()
    app.run(app.tool, "resume", str(app.out), "--cancel", cwd=Path("/"))


def test_interrupted_resumed_and_cancelled(app: SlurmApp) -> None:
    app.task(HOLDS)
    (app.folder / "hold").touch()
    with app.launch(*app.command("x=1,2,3", "hydra.launcher.array_parallelism=2")) as launched:
        _all_began(app, launched, 2)
        launched.signal(signal.SIGINT)
        assert launched.wait() == 128 + signal.SIGINT
        assert "3 of 3 jobs go on by themselves at Slurm" in launched.output
        assert f"lit-hydra resume '{app.out}'" in launched.output and "--cancel" in launched.output
        ended = app.run(app.tool, "resume", str(app.out), "--cancel", cwd=Path("/"))
        assert "3 jobs cancelled" in ended.output
    assert outcomes(app.out) == dict.fromkeys(range(3), "interrupted")
    assert all("--cancel" in state["attempts"][-1]["reason"] for state in job_states(app.out).values())
    assert set(app.cluster.states().values()) & {"RUNNING", "PENDING"} == set()
    again = app.run(app.tool, "resume", str(app.out), "--cancel", cwd=Path("/"))
    assert "no job" in again.output
    (app.folder / "hold").unlink()
    app.resume()
    assert outcomes(app.out) == dict.fromkeys(range(3), "completed")


def test_a_controller_that_is_restarted(app: SlurmApp) -> None:
    app.task(HOLDS)
    (app.folder / "hold").touch()
    with app.launch(*app.command("x=1,2,3", "hydra.launcher.array_parallelism=2")) as launched:
        _all_began(app, launched, 2)
        app.cluster.stop_controller()
        try:
            until(lambda: "Slurm does not answer" in launched.output, "the launcher has noticed", 90)
            cancel = (app.tool, "resume", str(app.out), "--cancel")
            refused = subprocess.run(cancel, env=app.environment(), capture_output=True, text=True, timeout=90)
            assert refused.returncode == 2 and "does not answer" in refused.stderr and "Traceback" not in refused.stderr
        finally:
            app.cluster.start_controller()
        (app.folder / "hold").unlink()
        assert launched.wait(90) == 0, launched.output
    assert "Slurm answers again" in launched.output
    assert outcomes(app.out) == dict.fromkeys(range(3), "completed")
    assert set(app.notes().values()) == {1}


def test_hydras_own_launcher_for_slurm_is_still_there(app: SlurmApp) -> None:
    app.task("from hydra.core.hydra_config import HydraConfig; note(HydraConfig.get().job.id); return cfg.x")
    command = [text.replace("lit_slurm", "submitit_slurm") for text in app.command("x=1,2")]
    app.run(*[text for text in command if "poll_s" not in text])
    assert len(app.notes()) == 2 and not list(app.out.rglob("job.json"))


def test_lit_local_in_an_allocation(app: SlurmApp) -> None:
    """Its jobs have the allocation's cores, and don't take themselves for ranks that srun has started."""
    app.training()
    app.task(
        """
        import torch
        import lightning.pytorch as pl
        environment = pl.Trainer(accelerator="cpu", logger=False)._accelerator_connector.cluster_environment
        names = sorted(name for name in os.environ if name.startswith("SLURM_"))
        note(f"{type(environment).__name__} {torch.get_num_threads()} {' '.join(names)}")
        return cfg.x
        """
    )
    command = [text.replace("lit_slurm", "lit_local") for text in app.command("x=1")]
    local = [text for text in command if "poll_s" not in text]
    inside = ["srun", "--ntasks=1", "--ntasks-per-node=1", "--cpus-per-task=2"]
    threads = {"OMP_NUM_THREADS": ""}
    app.run(*inside, *local, env=threads)
    (note,) = app.notes()
    assert note == "LightningEnvironment 2 SLURM_CONF"
    assert sys.platform == "linux"
    (app.folder / "runs.txt").unlink()
    app.run(
        *inside,
        *local[:-1],
        "x=2",
        "hydra.launcher.strip_slurm=false",
        f"hydra.sweep.dir='{app.folder}/other'",
        env=threads,
    )
    (note,) = app.notes()
    assert note.startswith("SLURMEnvironment 2 ") and "SLURM_PROCID" in note

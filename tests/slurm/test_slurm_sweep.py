"""A sweep on a real Slurm: results, job array, folder, record, failures; and the same sweep with lit_local."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.slurm.apps import SlurmApp
from tests.slurm.cluster import Cluster
from tests.sweep_support import Ended, job_states, outcomes, until

TASK = """
from hydra.core.hydra_config import HydraConfig
node = HydraConfig.get()
print("TOLD", node.job.id, node.job.num, os.environ["SLURM_JOB_ID"], Path.cwd(), flush=True)
if cfg.x == cfg.bad:
    raise ValueError("boom")
return cfg.x**2 + cfg.y
"""
TWELVE = ("x=1,2,3,4,5,6", "y=0.5,0.25")


@pytest.fixture(scope="module")
def swept(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[SlurmApp, Ended]:
    """Twelve jobs."""
    app = SlurmApp.on(cluster, tmp_path_factory.mktemp("twelve") / "an app", "{x: 0, y: 0, bad: 0}")
    app.task(TASK.replace('os.environ["SLURM_JOB_ID"]', 'os.environ.get("SLURM_JOB_ID")'))
    return app, app.sweep(*TWELVE)


def test_twelve_jobs_are_as_with_the_basic_launcher(swept: tuple[SlurmApp, Ended]) -> None:
    app, ended = swept
    basic = app.folder / "basic"
    app.run(sys.executable, "app.py", "-m", f"hydra.sweep.dir='{basic}'", *TWELVE)
    states = job_states(app.out)
    assert outcomes(app.out) == dict.fromkeys(range(12), "completed")
    assert "12 completed" in ended.output and "best: unknown" in ended.output
    for number in range(12):
        x, y = 1 + number // 2, (0.5, 0.25)[number % 2]
        assert states[number]["return_value"] == x**2 + y
        overrides = (basic / str(number) / ".hydra" / "overrides.yaml").read_text()
        assert (app.out / str(number) / ".hydra" / "overrides.yaml").read_text() == overrides
        config = (basic / str(number) / ".hydra" / "config.yaml").read_text()
        assert (app.out / str(number) / ".hydra" / "config.yaml").read_text() == config


def test_a_batch_is_one_array_whose_ids_are_hydras(swept: tuple[SlurmApp, Ended]) -> None:
    app, ended = swept
    (array,) = re.findall(r"12 jobs submitted to Slurm as (\d+)\.", ended.output)
    for number, state in job_states(app.out).items():
        assert [attempt["slurm_job"] for attempt in state["attempts"]] == [f"{array}_{number}"]
        told = re.search(r"TOLD (\S+) (\S+) (\d+) (.*)", app.log(number))
        assert told and told.groups()[:2] == (f"{array}_{number}", str(number)) and told[4] == str(app.folder)
    assert {id for id in app.cluster.states() if id.startswith(f"{array}_")} == {f"{array}_{i}" for i in range(12)}


def test_the_folder_and_the_table_are_those_of_lit_local(swept: tuple[SlurmApp, Ended]) -> None:
    app, ended = swept
    local = app.folder / "local"
    command = [text.replace("lit_slurm", "lit_local") for text in app.command(*TWELVE, out=local)]
    there = app.run(*[text for text in command if "poll_s" not in text])

    def layout(folder: Path) -> list[str]:
        paths = [str(path.relative_to(folder)) for path in folder.rglob("*")]
        return sorted(path for path in paths if not path.startswith(".sweep/slurm"))

    assert layout(app.out) == layout(local)
    assert _table(ended.output) == _table(there.output)
    ours, theirs = job_states(app.out)[3], job_states(local)[3]
    assert ours.keys() == theirs.keys() and ours["attempts"][0].keys() == theirs["attempts"][0].keys()


def _table(output: str) -> list[str]:
    """Return the results' table, without times."""
    return [re.sub(r"\s+[\d.]+ m?s$", "", line) for line in output.splitlines() if re.search(r" #\d+ +x=", line)]


def test_a_second_launch_runs_nothing_again(swept: tuple[SlurmApp, Ended]) -> None:
    app, _ = swept
    ended = app.sweep(*TWELVE)
    assert "12 of them in an earlier launch" in ended.output and "submitted" not in ended.output
    assert len(list((app.out / ".sweep" / "slurm").iterdir())) == 1


def test_a_job_that_raises_fails_alone_and_is_tried_again(app: SlurmApp) -> None:
    app.write("conf/config.yaml", "{x: 0, y: 0, bad: 2}")
    app.task(TASK)
    ended = app.sweep("x=1,2,3", "hydra.launcher.max_retries=1", returncode=1)
    assert outcomes(app.out) == {0: "completed", 1: "failed", 2: "completed"}
    attempts = job_states(app.out)[1]["attempts"]
    assert [attempt["reason"] for attempt in attempts] == ["ValueError: boom"] * 2
    assert attempts[0]["slurm_job"] != attempts[1]["slurm_job"] and "raise ValueError" in attempts[1]["traceback"]
    assert "#1 will be tried again (attempt 2 of 2)" in ended.output and "#1 FAILED" in ended.output
    assert str(app.out / "1" / "job.log") in ended.output


def test_stop_on_failure_cancels_the_others(app: SlurmApp) -> None:
    app.write("conf/config.yaml", "{x: 0, y: 0, bad: 1}")
    app.task("if cfg.x != cfg.bad: hold()\n" + TASK.strip())
    (app.folder / "hold").touch()
    app.sweep("x=1,2,3,4", "hydra.launcher.on_failure=stop", "hydra.launcher.array_parallelism=2", returncode=1)
    found = job_states(app.out)
    assert outcomes(app.out) == {0: "failed", 1: "interrupted", 2: "interrupted", 3: "interrupted"}
    assert all("on_failure=stop" in found[number]["attempts"][-1]["reason"] for number in (1, 2, 3))
    assert set(app.cluster.states().values()) & {"RUNNING", "PENDING"} == set()


def test_configs_are_frozen(app: SlurmApp) -> None:
    """A job that waits at Slurm gets the config as it was when the sweep was launched."""
    app.write("conf/config.yaml", "{x: 0, y: 5, bad: 0}")
    app.task('(HERE / "conf" / "config.yaml").write_text("{x: 0, y: 99, bad: 0}")\n' + TASK.strip())
    app.sweep("x=1,2", "hydra.launcher.array_parallelism=1")
    assert [state["return_value"] for _, state in sorted(job_states(app.out).items())] == [6, 9]


def test_more_jobs_than_an_array_may_have(app: SlurmApp) -> None:
    """They are several arrays. MaxArraySize is 21 here, and nothing but submitting is of interest."""
    app.task("return cfg.x")
    with app.launch(*app.command("x=range(0,25)", "hydra.launcher.array_parallelism=1")) as launched:
        until(lambda: launched.output.count("submitted to Slurm as") == 2, "two arrays")
        assert "20 jobs submitted" in launched.output and "5 jobs submitted" in launched.output
        launched.signal(9)
    ids = [json.loads((app.out / ".sweep" / "slurm" / n / "jobs.json").read_text())["jobs"] for n in ("0", "1")]
    assert [job["number"] for job in [*ids[0], *ids[1]]] == list(range(25))
    app.cluster.run("scancel", *{job["id"].partition("_")[0] for job in [*ids[0], *ids[1]]})

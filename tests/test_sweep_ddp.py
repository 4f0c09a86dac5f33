"""DDP inside of a sweep's jobs: real trainings of two ranks on the CPU."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support import App

METHODS = ("fork", "forkserver", "spawn")
APP = """
    import json
    import random
    from hydra.core.hydra_config import HydraConfig
    node = HydraConfig.get()
    rank = os.environ.get("LOCAL_RANK", "0")
    told = dict(rank=rank, pid=os.getpid(), lr=cfg.model.lr, when=cfg.when, dice=cfg.dice, word=cfg.word,
        output=node.runtime.output_dir, num=node.job.num, cwd=os.getcwd(), threads=torch.get_num_threads(),
        ports=os.environ.get("MASTER_PORT"))
    print("TOLD", json.dumps(told), flush=True)
    if cfg.fails and rank == "1":
        raise ValueError("rank 1 is ill")
    t = trainer(devices=2, strategy=cfg.strategy, max_epochs=2, default_root_dir=node.runtime.output_dir)
    t.fit(Net(lr=cfg.model.lr), data(), ckpt_path=cfg.ckpt_path)
    print("ENDED", json.dumps([t.global_rank, t.world_size, t.global_step]), flush=True)
    return float(t.callback_metrics["loss"])
"""
PRELUDE = """
from omegaconf import OmegaConf
import random
print("IMPORTED", flush=True)
OmegaConf.register_new_resolver("dice", lambda: random.SystemRandom().random())
"""
CONFIG = """
model: {lr: 0.1}
when: ${now:%H-%M-%S-%f}
dice: ${dice:}
word: ${oc.env:USERS_WORD,none}
fails: false
strategy: ddp
ckpt_path: null
"""


@pytest.fixture(scope="module")
def ddp_app(tmp_path_factory: pytest.TempPathFactory) -> App:
    app = App.create(tmp_path_factory.mktemp("ddp") / "an app", config=CONFIG)
    app.script(APP, prelude=PRELUDE)
    return app


def _sweep(app: App, name: str, method: str, *more: str, check: bool = True, **env: str) -> Path:
    """Sweep, and return the sweep's folder."""
    folder = app.folder / "sweeps" / f"{name} {method}"
    arguments = [
        "-m",
        "hydra/launcher=lit_local",
        f"hydra.launcher.start_method={method}",
        f"hydra.sweep.dir='{folder}'",
    ]
    done = app.run(*arguments, "hydra.launcher.n_jobs=2", *more, check=False, env=env, timeout_s=280)
    (folder / "said.txt").write_text(done.stdout + done.stderr)
    assert (done.returncode == 0) == check, done.stdout + done.stderr + _logs(folder)
    return folder


def _logs(folder: Path) -> str:
    return "\n".join(f"== {path}\n{path.read_text()}" for path in sorted(folder.glob("*/job.log")))


def _told(folder: Path, number: int) -> list[dict[str, Any]]:
    text = (folder / str(number) / "job.log").read_text()
    return [json.loads(found) for found in re.findall(r"TOLD (\{.*?\})", text)]


def _ended(folder: Path, number: int) -> list[list[int]]:
    text = (folder / str(number) / "job.log").read_text()
    return sorted(json.loads(found) for found in re.findall(r"ENDED (\[.*?\])", text))


def _state(folder: Path, number: int) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((folder / str(number) / "job.json").read_text())
    return state


@pytest.mark.parametrize("method", METHODS)
def test_ranks_share_their_jobs_config_and_folder(ddp_app: App, method: str) -> None:
    folder = _sweep(ddp_app, "two jobs", method, "model.lr=0.1,0.2")
    for number, lr in enumerate((0.1, 0.2)):
        told = _told(folder, number)
        assert sorted(each["rank"] for each in told) == ["0", "1"]
        for key in ("lr", "when", "dice", "word", "output", "num", "cwd"):
            assert len({str(each[key]) for each in told}) == 1, (key, told)
        assert told[0]["lr"] == lr and told[0]["output"] == str(folder / str(number))
        assert _ended(folder, number) == [[0, 2, 2], [1, 2, 2]]
    assert _told(folder, 0)[0]["dice"] != _told(folder, 1)[0]["dice"]
    # No second sweep, and no folder of a rank's own.
    assert sorted(path.name for path in folder.iterdir()) == [
        ".sweep", "0", "1", "multirun.yaml", "results.csv", "said.txt",
    ]  # fmt: skip
    assert not (ddp_app.folder / "multirun").exists() and not (ddp_app.folder / "outputs").exists()
    assert list((folder / ".sweep").glob("config-*")) == []


def test_warm_ranks_are_no_new_interpreters(ddp_app: App) -> None:
    """A rank that is a program of its own imports the app again."""
    folder = _sweep(ddp_app, "warm", "fork", "model.lr=0.3")
    assert "IMPORTED" not in _logs(folder)
    ranks = {each["rank"]: each["pid"] for each in _told(folder, 0)}
    assert ranks["0"] != ranks["1"] and _state(folder, 0)["attempts"][0]["pid"] == ranks["0"]


def test_a_failing_rank_fails_its_job_only(ddp_app: App) -> None:
    folder = _sweep(ddp_app, "ill", "forkserver", "fails=false,true", "hydra.launcher.n_jobs=1", check=False)
    assert _state(folder, 0)["outcome"] == "completed" and _ended(folder, 0) == [[0, 2, 2], [1, 2, 2]]
    assert _state(folder, 1)["outcome"] == "failed"
    assert re.search(
        "rank 1 ended with exit code 1; .*: ValueError: rank 1 is ill",
        _reason := _state(folder, 1)["attempts"][-1]["reason"],
    )
    assert "^^" not in _reason
    assert "rank 1 is ill" in (folder / "1" / "job.log").read_text()


def test_a_job_is_not_disturbed_by_what_the_one_before_has_left(ddp_app: App) -> None:
    """Neither by that of a launcher which was itself part of a distributed run."""
    left = {"LOCAL_RANK": "0", "MASTER_PORT": "1", "WORLD_SIZE": "7", "NODE_RANK": "3", "MASTER_ADDR": "nowhere"}
    folder = _sweep(ddp_app, "left", "fork", "model.lr=0.1,0.2", "hydra.launcher.n_jobs=1", **left)
    assert [_ended(folder, number) for number in (0, 1)] == [[[0, 2, 2], [1, 2, 2]]] * 2
    assert all(each["ports"] is None for number in (0, 1) for each in _told(folder, number) if each["rank"] == "0")


def test_ranks_share_the_jobs_threads(ddp_app: App) -> None:
    folder = _sweep(ddp_app, "threads", "fork", "model.lr=0.1", "hydra.launcher.threads_per_job=4", OMP_NUM_THREADS="")
    threads = {each["rank"]: each["threads"] for each in _told(folder, 0)}
    assert threads == {"0": 4, "1": 2}  # rank 0 is alone until it starts the other


def test_ddp_spawn(ddp_app: App) -> None:
    folder = _sweep(ddp_app, "spawned", "fork", "strategy=ddp_spawn", "model.lr=0.1,0.2")
    assert [_state(folder, number)["outcome"] for number in (0, 1)] == ["completed"] * 2
    assert not (ddp_app.folder / "multirun").exists()


def test_a_rank_takes_its_jobs_config_though_the_files_have_changed(ddp_app: App, tmp_path: Path) -> None:
    app = App.create(tmp_path / "edited", config=CONFIG)
    edit = '    Path("conf/config.yaml").write_text(Path("conf/config.yaml").read_text().replace("lr: 0.1", "lr: 0.9"))'
    app.script(edit.strip() + "\n" + APP.replace("\n    ", "\n").strip(), prelude=PRELUDE)
    folder = _sweep(app, "edited", "spawn")
    assert [each["lr"] for each in _told(folder, 0)] == [0.1, 0.1]
    assert "lr: 0.9" in (app.folder / "conf" / "config.yaml").read_text()

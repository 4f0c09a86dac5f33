"""Lightning trainings in a sweep's jobs: what is recorded, what is told meanwhile, and that it can be made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lit_hydra_bridge import read_record
from tests.support import EACH_FLAVOUR, App, lit_hydra

TRAIN = """
    from hydra.core.hydra_config import HydraConfig
    from {package}.callbacks import ModelCheckpoint
    folder = HydraConfig.get().runtime.output_dir
    pl.seed_everything(cfg.seed, verbose=False)
    saver = ModelCheckpoint(folder + "/checkpoints", monitor="loss", mode="min", save_last=True)
    t = trainer(max_epochs=3, default_root_dir=folder, callbacks=[saver])
    t.fit(Net(lr=cfg.model.lr), data(), ckpt_path=cfg.ckpt_path)
    return t.callback_metrics["loss"]
"""
CONFIG = "{model: {lr: 0.1}, seed: 7, ckpt_path: null}"


def _swept(folder: Path, package: str, method: str, *more: str) -> tuple[Path, str]:
    app = App.create(folder / "app", package, CONFIG)
    app.script(TRAIN.format(package=package))
    where = app.folder / "sweep"
    local = ["hydra/launcher=lit_local", f"hydra.launcher.start_method={method}", f"hydra.sweep.dir={where}"]
    return where, app.run("-m", *local, "model.lr=0.1,0.5", *more).stdout


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.matrix
@pytest.mark.parametrize("package", EACH_FLAVOUR)
def test_a_jobs_training_is_recorded_and_told(tmp_path: Path, package: str) -> None:
    sweep, said = _swept(tmp_path, package, "auto")
    states = [_json(sweep / str(number) / "job.json") for number in (0, 1)]
    for number, state in enumerate(states):
        progress = _json(sweep / str(number) / "progress.json")
        assert (progress["epoch"], progress["max_epochs"], progress["steps"], progress["global_step"]) == (3, 3, 2, 6)
        assert state["metrics"].keys() == {"loss"} == progress["metrics"].keys()
        assert state["checkpoints"]["monitor"] == "loss" and state["checkpoints"]["mode"] == "min"
        best = Path(state["checkpoints"]["best"])
        record = read_record(best)
        assert record.hydra and record.hydra.job_num == number and record.hydra.output_dir == str(sweep / str(number))
        assert record.hydra.overrides == [f"model.lr={(0.1, 0.5)[number]}"]
        assert record.training and record.training.threads == state["attempts"][0]["slot"]["threads"]
        # The task has returned a tensor: a number for people, and itself for the sweeper.
        assert state["return_value"] == pytest.approx(state["metrics"]["loss"]) and state["return_value_pickle"]
    winner = min((0, 1), key=lambda number: states[number]["return_value"])
    assert f"best: job {winner} (lowest value" in said and states[winner]["checkpoints"]["best"] in said


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_job_is_made_again_bit_by_bit(tmp_path: Path, method: str) -> None:
    sweep, _ = _swept(tmp_path, "lightning.pytorch", method, "hydra.launcher.threads_per_job=1")
    done = lit_hydra("rerun", str(sweep / "1" / "checkpoints" / "last.ckpt"), "--verify", cwd=tmp_path)
    assert done.stdout.rstrip().endswith("bit-identical") and "NOT" not in done.stdout


def test_nothing_is_told_where_nobody_asks(tmp_path: Path) -> None:
    app = App.create(tmp_path / "app", config=CONFIG)
    app.script(TRAIN.format(package="lightning.pytorch"))
    app.run(f"hydra.run.dir={tmp_path / 'run'}")
    assert not list(tmp_path.rglob("progress.json")) and not list(tmp_path.rglob("job.json"))


def test_with_the_bridge_off_the_sweep_still_runs(tmp_path: Path) -> None:
    app = App.create(tmp_path / "app", config=CONFIG)
    app.script(TRAIN.format(package="lightning.pytorch"))
    app.run("-m", "hydra/launcher=lit_local", "model.lr=0.1,0.5", "hydra.sweep.dir=s", env={"LIT_HYDRA_BRIDGE": "off"})
    assert [_json(app.folder / "s" / str(number) / "job.json")["outcome"] for number in (0, 1)] == ["completed"] * 2
    assert not list(app.folder.rglob("progress.json"))

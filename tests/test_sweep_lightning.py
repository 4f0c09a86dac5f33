"""Lightning trainings in a sweep's jobs: what is recorded, what is told meanwhile, and that it can be made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lit_hydra_bridge import read_record, read_sweep
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
        assert state["metrics"].keys() == {"loss", "best.loss"} and progress["metrics"].keys() == {"loss"}
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


# --- callbacks of any sequence

AS_TEMPLATES_DO = """
    from {package}.callbacks import EarlyStopping
    node = OmegaConf.create(dict(_target_="{package}.Trainer", max_epochs=3, accelerator="cpu", devices=1, logger=False,
        enable_progress_bar=False, enable_model_summary=False))
    given = [EarlyStopping(monitor="score", mode="max", patience=9)]
    t = hydra.utils.instantiate(node, callbacks=given if cfg.kind == "ListConfig" else None)
    if cfg.kind == "one":
        t = trainer(max_epochs=3, callbacks=given[0])
    elif cfg.kind == "shared":
        _, t = trainer(callbacks=given), trainer(max_epochs=3, callbacks=given)
    hooks = [type(callback).__name__ for callback in t.callbacks]
    assert hooks.count("RunRecorder") == hooks.count("ProgressReporter") == 1, hooks

    class Scored(Net):
        def validation_step(self, batch, index):
            self.log("score", 1 / (1 + self.step(batch)))

    pl.seed_everything(1, verbose=False)
    t.fit(Scored(lr=cfg.lr), data(), data())
    return t.callback_metrics["score"].item()
"""


@pytest.mark.matrix
@pytest.mark.parametrize("package", EACH_FLAVOUR)
def test_callbacks_of_any_sequence_are_joined(tmp_path: Path, package: str) -> None:
    app = App.create(tmp_path / "app", package, "{lr: 0.1, kind: ListConfig}")
    app.script(AS_TEMPLATES_DO.format(package=package))
    said = app.run(
        "-m", "hydra/launcher=lit_local", "hydra.sweep.dir=s", "kind=ListConfig,one,shared", "lr=0.01,1"
    ).stdout
    states = [_json(app.folder / "s" / str(number) / "job.json") for number in range(6)]
    assert all(state["metrics"]["score"] == state["return_value"] for state in states)
    assert all(state["monitors"] == {"score": "max"} for state in states)
    best = max(range(6), key=lambda number: (states[number]["return_value"], -number))
    assert f"best: job {best} (highest value" in said and states[best]["return_value"] > states[0]["return_value"]
    assert best == 1 and states[0]["return_value"] == states[2]["return_value"], "lr decides, not the sequence"


# --- all metrics of a task

SEVERAL_TRAINERS = """
    from {package}.callbacks import ModelCheckpoint
    from hydra.core.hydra_config import HydraConfig
    folder = HydraConfig.get().runtime.output_dir
    pl.seed_everything(1, verbose=False)
    scores = iter(cfg.scores)

    class Told(Net):
        def validation_step(self, batch, index):
            if self.trainer.state.fn == "fit":
                self.log("val_loss", next(scores))
            else:
                self.log("before", 5.0)

    for fold in range(2):
        saver = ModelCheckpoint(f"{{folder}}/{{fold}}", monitor="val_loss")
        t = trainer(max_epochs=2, callbacks=[saver], num_sanity_val_steps=0, limit_val_batches=1)
        t.validate(Told(), data(), verbose=False)
        t.fit(Told(), data(), data())
    trainer().test(Told(), data(), verbose=False)
"""


def test_each_metric_of_a_task_is_kept_with_its_last_value_and_what_is_monitored_with_its_best(tmp_path: Path) -> None:
    app = App.create(tmp_path / "app", config="{scores: [4.0, 2.0, 1.0, 3.0]}")
    app.script(SEVERAL_TRAINERS.format(package="lightning.pytorch"))
    app.run("-m", "hydra/launcher=lit_local", "hydra.sweep.dir=s", "scores=[4.0,2.0,1.0,3.0],[1.0,2.0,4.0,nan]")
    one, other = read_sweep(app.folder / "s").rows
    assert one.metrics.keys() == other.metrics.keys() == {"loss", "before", "val_loss", "best.val_loss", "test_loss"}
    assert (one.metrics["val_loss"], one.metrics["best.val_loss"], one.metrics["before"]) == (3.0, 1.0, 5.0)
    assert other.metrics["val_loss"] != other.metrics["val_loss"] and other.metrics["best.val_loss"] == 1.0
    assert one.checkpoint is not None and one.checkpoint.parent.name == "1", "the better fold's"
    assert other.checkpoint is not None and other.checkpoint.parent.name == "0"
    assert "best.val_loss" in (app.folder / "s" / "results.csv").read_text().partition("\n")[0].split(",")


# --- what happens after a training that has ended

AFTER = """
    from {package}.callbacks import EarlyStopping, ModelCheckpoint
    from hydra.core.hydra_config import HydraConfig
    folder = HydraConfig.get().runtime.output_dir
    pl.seed_everything(1, verbose=False)
    here = []

    class Noted(Net):
        def training_step(self, batch, index):
            loss = self.step(batch)
            self.log("loss", loss, on_step=True, on_epoch=True)
            here.append(loss.item())
            return loss

    saver = ModelCheckpoint(folder, monitor="val_loss", save_last=True,
        save_on_train_epoch_end=False if cfg.shape == "validation" else None)
    stops = [EarlyStopping("val_loss", patience=1, min_delta=9.0)] if cfg.shape == "early" else []
    limit = dict(max_steps=3) if cfg.shape == "steps" else dict(max_epochs=4 if cfg.shape == "early" else 2)
    for _ in range(2 if cfg.shape == "twice" else 1):
        model, t = Noted(lr=cfg.lr), trainer(callbacks=[saver, *stops], **dict(dict(max_epochs=-1), **limit))
        t.fit(model, data(), data(), ckpt_path=cfg.ckpt_path)
        cfg.lr = cfg.lr / 2
        stops, saver = [], ModelCheckpoint(f"{{folder}}/second")
    once = Path(folder) / "failed"
    if cfg.fail and not once.exists():
        once.touch()
        raise OSError("the server does not answer")
    values = [t.callback_metrics[name].item() for name in ("val_loss", "loss_epoch", "loss_step")]
    if cfg.shape == "process":
        values.append(sum(here) / len(here))
    values += list(t.test(model, data(), verbose=False)[0].values())
    return [*values, t.global_step]
"""
SHAPES = ["epochs", "steps", "early", "validation", "twice", "process"]


@pytest.mark.parametrize("package", EACH_FLAVOUR)
def test_a_job_that_fails_after_its_training_comes_to_what_it_would_have_come_to(tmp_path: Path, package: str) -> None:
    app = App.create(tmp_path / "app", package, "{lr: 0.3, shape: '', fail: false, ckpt_path: null}")
    app.script(AFTER.format(package=package))
    axes = [f"shape={','.join(SHAPES)}", "fail=false,true"]
    app.run("-m", "hydra/launcher=lit_local", "hydra.launcher.max_retries=2", "hydra.sweep.dir=s", *axes, timeout_s=300)
    for at, shape in enumerate(SHAPES):
        usual, failed = (_json(app.folder / "s" / str(2 * at + each) / "job.json") for each in (0, 1))
        assert failed["outcome"] == "completed" and len(failed["attempts"]) == (3 if shape == "process" else 2), shape
        assert failed["return_value"] == usual["return_value"] and failed["metrics"] == usual["metrics"], shape
        goes_on = [attempt["resumed_from"] is not None for attempt in failed["attempts"]]
        assert goes_on == {"process": [False, True, False], "twice": [False, False]}.get(shape, [False, True]), shape


def test_rerun_resume_of_a_training_that_is_over_has_its_metrics(tmp_path: Path) -> None:
    app = App.create(tmp_path / "app", config=CONFIG)
    app.script(
        TRAIN.replace("return t.callback_metrics", "print('LOSS', t.callback_metrics")
        .format(package="lightning.pytorch")
        .rstrip()
        + ".item())\n"
    )
    first = app.run("hydra.run.dir=one").stdout
    again = lit_hydra("rerun", "one/checkpoints/last.ckpt", "--resume", cwd=app.folder).stdout
    loss = next(line for line in first.splitlines() if line.startswith("LOSS"))
    assert loss in again.splitlines()

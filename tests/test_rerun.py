"""`lit-hydra rerun`: from a checkpoint alone, the run again."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lit_hydra_bridge import read_record
from tests.environments import hydra_without
from tests.shapes import Shape, chdir_app, groups_app, module_app, move_checkpoint, told
from tests.support import lit_hydra, run


@pytest.fixture(scope="module")
def shape(tmp_path_factory: pytest.TempPathFactory) -> Shape:
    return groups_app(tmp_path_factory.mktemp("rerun") / "app")


@pytest.fixture(scope="module")
def trained(shape: Shape, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in an empty folder; all else that the run left is gone."""
    shape.train("model.lr=0.25", "+extra.key=[1,2]", "optimizer=sgd", "~model.act")
    return move_checkpoint(shape, tmp_path_factory.mktemp("kept here=only"))


RECORDED = {
    "model": {"kind": "small", "lr": 0.25, "width": 4},
    "optimizer": {"name": "sgd", "momentum": 0.5},
    "seed": 3,
    "epochs": 2,
    "ckpt_path": None,
    "rate": 0.25,
    "callbacks": {"first": {"a": 1}, "second": {"b": 2}},
    "extra": {"key": [1, 2]},
}


@pytest.mark.matrix
def test_the_config_is_the_recorded_one(shape: Shape, trained: Path) -> None:
    done = shape.rerun(trained, cwd=trained.parent)
    (run_told,) = told(done)
    assert run_told["config"] == RECORDED
    assert run_told["cwd"] == str(shape.app.folder)
    # In any order: what counts is what they set.
    assert sorted(run_told["overrides"]) == sorted(["model.lr=0.25", "+extra.key=[1,2]", "optimizer=sgd", "~model.act"])
    assert "ENDED at step 4" in done.stdout
    assert "has changed" not in done.stderr


def test_nothing_runs_where_hydra_can_not_be_given_the_recorded_config(
    shape: Shape, trained: Path, tmp_path: Path
) -> None:
    """The app's own config would be another one, silently."""
    newer = hydra_without("_load_configuration_impl", tmp_path / "newer")
    done = shape.rerun(trained, cwd=tmp_path, env={"PYTHONPATH": str(newer)}, check=False)
    assert done.returncode == 1 and told(done) == [] and "Traceback" not in done.stderr
    assert 'can\'t be given a recorded config; pip install "hydra-core<1.5"' in done.stderr


def test_the_command_that_is_printed_can_be_given_to_a_shell(shape: Shape, trained: Path, tmp_path: Path) -> None:
    dry = shape.rerun(trained, "--dry-run", "model.lr=0.5", "epochs=0", cwd=tmp_path)
    assert dry.stdout.count("\n") == 1 and told(dry) == []
    done = run("bash", "-c", dry.stdout, cwd=tmp_path)
    assert told(done)[0]["config"]["model"] == {"kind": "small", "lr": 0.5, "width": 4}


@pytest.mark.matrix
def test_a_value_override_wins_and_interpolations_follow(shape: Shape, trained: Path, tmp_path: Path) -> None:
    done = shape.rerun(trained, "model.lr=0.5", "extra.key=[7]", "+more=x", "epochs=0", cwd=tmp_path)
    (run_told,) = told(done)
    changed = {"rate": 0.5, "extra": {"key": [7]}, "more": "x", "epochs": 0}
    assert run_told["config"] == {**RECORDED, **changed, "model": {"kind": "small", "lr": 0.5, "width": 4}}


@pytest.mark.matrix
def test_another_option_of_a_group_replaces_what_the_old_one_brought(
    shape: Shape, trained: Path, tmp_path: Path
) -> None:
    done = shape.rerun(trained, "model=large", "epochs=0", cwd=tmp_path)
    (run_told,) = told(done)
    large = {"kind": "large", "lr": 0.2, "depth": 9}
    assert run_told["config"] == {**RECORDED, "model": large, "rate": 0.2, "epochs": 0}


def test_the_same_option_changes_nothing(shape: Shape, trained: Path, tmp_path: Path) -> None:
    done = shape.rerun(trained, "model=small", "epochs=0", cwd=tmp_path)
    assert told(done)[0]["config"] == {**RECORDED, "epochs": 0}


def test_a_group_with_the_global_package_changes_what_it_says(shape: Shape, trained: Path, tmp_path: Path) -> None:
    done = shape.rerun(trained, "+experiment=fast", "seed=0", cwd=tmp_path)
    (run_told,) = told(done)
    # The recorded override of model.lr comes after any config group, as on one command line.
    assert run_told["config"] == {**RECORDED, "epochs": 0, "seed": 0}


@pytest.mark.matrix
def test_a_sweep(shape: Shape, trained: Path, tmp_path: Path) -> None:
    sweep = ("-m", "model=small,large", "seed=1,2", "epochs=1", f"hydra.sweep.dir={tmp_path}/s")
    jobs = told(shape.rerun(trained, *sweep, cwd=tmp_path))
    assert [(job["num"], job["config"]["model"]["kind"], job["config"]["seed"]) for job in jobs] == [
        (0, "small", 1),
        (1, "small", 2),
        (2, "large", 1),
        (3, "large", 2),
    ]
    assert jobs[0]["config"] == {**RECORDED, "epochs": 1, "seed": 1}
    assert jobs[3]["config"]["model"] == {"kind": "large", "lr": 0.2, "depth": 9}
    record = read_record(tmp_path / "s" / "3")
    assert "seed=2" in record.hydra.overrides


def test_a_sweep_in_processes_of_a_launcher(shape: Shape, trained: Path, tmp_path: Path) -> None:
    edited = shape.app.folder / "conf/optimizer/sgd.yaml"
    before = edited.read_text()
    edited.write_text("{name: sgd, momentum: 0.99}")
    try:
        for launcher in ("joblib", "submitit_local"):
            shape.rerun(
                trained, "-m", "seed=1,2", "epochs=1", f"hydra/launcher={launcher}",
                f"hydra.sweep.dir={tmp_path}/{launcher}", cwd=tmp_path,
            )  # fmt: skip
            for job, seed in ((0, 1), (1, 2)):
                config = read_record(tmp_path / launcher / str(job)).config.resolved
                assert config == {**RECORDED, "epochs": 1, "seed": seed}, launcher
    finally:
        edited.write_text(before)


def test_a_job_of_a_sweep_keeps_its_number(shape: Shape, tmp_path: Path) -> None:
    for launcher in ("basic", "submitit_local"):
        folder = tmp_path / launcher
        shape.train("-m", "model.lr=0.1,0.2", "epochs=1", f"hydra/launcher={launcher}", f"hydra.sweep.dir={folder}")
        done = shape.rerun(folder / "1", "epochs=0", cwd=tmp_path)
        (run_told,) = told(done)
        assert (run_told["num"], run_told["config"]["model"]["lr"]) == (1, 0.2)
        assert not run_told["output"].startswith(str(folder)), "the run that is made again is not written over"


# --- the app has changed


@pytest.fixture
def edited(tmp_path: Path) -> tuple[Shape, Path]:
    """An app whose files are not what they were."""
    shape = groups_app(tmp_path / "app")
    shape.train("model.lr=0.25", "model.width=5", "+extra=1", "epochs=1")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    shape.app.write("conf/model/small.yaml", "{kind: tiny, lr: 0.1, new: {key: 1}}")
    config = shape.app.folder / "conf/config.yaml"
    config.write_text(config.read_text().replace("{first: {a: 1}, second: {b: 2}}", "{second: {b: 3}, first: {a: 1}}"))
    return shape, checkpoint


def test_drift_is_told_and_the_recorded_config_used(edited: tuple[Shape, Path], tmp_path: Path) -> None:
    shape, checkpoint = edited
    recorded = read_record(checkpoint).config.resolved
    done = shape.rerun(checkpoint, cwd=tmp_path)
    (run_told,) = told(done)
    assert run_told["config"] == recorded
    assert list(run_told["config"]["callbacks"]) == ["first", "second"], "callbacks are made in this order"
    for told_line in ("model.kind: 'small' -> 'tiny'", "callbacks.second.b: 2 -> 3", "model.new"):
        assert told_line.replace("'", "") in done.stderr.replace("'", "").replace('"', ""), told_line
    assert "model.width=5 no longer fits" in done.stderr
    assert done.stderr.index("has changed") < done.stderr.index("GPU available")

    strict = shape.rerun(checkpoint, "--strict", cwd=tmp_path, check=False)
    assert strict.returncode == 1 and told(strict) == [] and "model.kind" in strict.stderr
    assert "Traceback" not in strict.stderr

    # A key that only the record has can be changed; one that nobody has can not.
    assert told(shape.rerun(checkpoint, "model.width=6", "epochs=0", cwd=tmp_path))[0]["config"]["model"]["width"] == 6
    typo = shape.rerun(checkpoint, "model.widht=6", cwd=tmp_path, check=False)
    assert typo.returncode != 0 and told(typo) == [] and "widht" in typo.stderr


def test_frozen_needs_no_config_files(edited: tuple[Shape, Path], tmp_path: Path) -> None:
    shape, checkpoint = edited
    recorded = read_record(checkpoint).config.resolved
    done = shape.rerun(checkpoint, "--frozen", "seed=9", "epochs=0", cwd=tmp_path)
    assert told(done)[0]["config"] == {**recorded, "seed": 9, "epochs": 0} and "has changed" not in done.stderr
    assert told(done)[0]["choices"] == {"model": "small", "optimizer": "adam"}
    assert "seed=9" in told(done)[0]["overrides"] and "model.lr=0.25" in told(done)[0]["overrides"]

    (shape.app.folder / "conf/model/small.yaml").unlink()
    done = shape.rerun(checkpoint, "seed=9", "epochs=0", cwd=tmp_path)
    assert told(done)[0]["config"] == {**recorded, "seed": 9, "epochs": 0}
    assert "can't be composed any more" in done.stderr


@pytest.mark.parametrize("how", ["--config-dir", "--config-path", "hydra.searchpath", "conf"])
def test_config_folders_that_are_gone(how: str, tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    more = shape.app.folder / "more"
    shutil.copytree(shape.app.folder / "conf", more)
    shape.app.write("more/model/extra.yaml", "{kind: extra, lr: 0.5}")
    folders = {
        "--config-dir": ["--config-dir", "more"],
        "--config-path": ["--config-path", "more"],
        "hydra.searchpath": ["hydra.searchpath=[file://more,pkg://gone]"],
        "conf": ["--config-dir=more"],
    }
    shape.train("model=extra", "epochs=1", *folders[how])
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    shutil.rmtree(more)
    if how == "conf":
        shutil.rmtree(shape.app.folder / "conf")
    for frozen in ([], ["--frozen"]):
        (run_told,) = told(shape.rerun(checkpoint, "epochs=0", *frozen, cwd=tmp_path))
        assert run_told["config"]["model"] == {"kind": "extra", "lr": 0.5}
    assert "note config files" in lit_hydra("check", str(checkpoint), cwd=tmp_path, check=False).stdout


def test_hydra_settings_of_the_app_hold_in_a_frozen_rerun(tmp_path: Path) -> None:
    shape = chdir_app(tmp_path)
    shape.train("model.lr=0.2")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    (run_told,) = told(shape.rerun(checkpoint, "--frozen", "epochs=0", cwd=tmp_path))
    assert run_told["cwd"] == run_told["output"], "hydra.job.chdir=true is the app's setting"
    assert run_told["config"]["a.b"] == {"c": 1} and run_told["config"]["model"]["lr"] == 0.2


@pytest.mark.matrix
def test_structured_configs_keep_their_types(tmp_path: Path) -> None:
    shape = module_app(tmp_path / "app")
    shape.train("model.color=BLUE", "where=x/y")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    source = shape.app.folder / "pkg" / "train.py"
    source.write_text(source.read_text().replace("seed: int = 5", "seed: int = 6\n    added: int = 1"))
    done = shape.rerun(checkpoint, "epochs=0", cwd=tmp_path)
    (run_told,) = told(done)
    assert run_told["types"]["where"] == "PosixPath"
    assert run_told["config"]["model"] == {"lr": 0.4, "color": "BLUE"}
    assert (run_told["config"]["where"], run_told["config"]["seed"]) == ("x/y", 5)
    assert "seed: 5 -> 6" in done.stderr
    wrong = shape.rerun(checkpoint, "model.color=GREEN", cwd=tmp_path, check=False)
    assert wrong.returncode != 0 and told(wrong) == [], "the type still says what is allowed"


def test_what_a_recorded_override_had_added_can_be_taken_away(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    shape.app.write("conf/net/deep.yaml", "# @package model\n{depth: 5}")
    script = shape.app.folder / "conf/experiment/fast.yaml"
    script.write_text("# @package _global_\nepochs: 1\nseed: 77\n")
    shape.train("+experiment=fast", "+extra.k=1", "+net=deep", "+db.password=hunter2-xyz", "model.width=6")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")

    def config(*arguments: str) -> Any:
        return told(shape.rerun(checkpoint, "db.password=x", "epochs=0", *arguments, cwd=tmp_path))[0]["config"]

    assert config()["extra"] == {"k": 1} and config()["seed"] == 77
    assert config("~extra.k")["extra"] == {}
    assert config("~experiment")["seed"] == 3
    without = told(shape.rerun(checkpoint, "~db.password", "epochs=0", cwd=tmp_path))[0]["config"]
    assert without["db"] == {}
    # A mapping sets values in a group's package; it is no other option of it.
    assert config("model={lr: 3}")["model"] == {"kind": "small", "lr": 3, "width": 6, "act": "relu", "depth": 5}
    strict = shape.rerun(checkpoint, "db.password=x", "epochs=0", "--strict", cwd=tmp_path)
    assert "has changed" not in strict.stderr and "password=x" not in strict.stderr


def test_an_item_of_a_list_that_is_shorter_today(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    config = shape.app.folder / "conf/config.yaml"
    text = config.read_text()
    config.write_text(text + "list: [1, 2, 3]\n")
    shape.train("epochs=1")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    config.write_text(text + "list: [1, 2]\n")
    done = shape.rerun(checkpoint, "list.1=5", "epochs=0", cwd=tmp_path)
    assert told(done)[0]["config"]["list"] == [1, 5, 3]


def test_a_global_option_that_says_what_the_app_says_today(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    shape.train("epochs=1")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    config = shape.app.folder / "conf/config.yaml"
    config.write_text(config.read_text().replace("seed: 3", "seed: 77"))
    shape.app.write("conf/experiment/fast.yaml", "# @package _global_\n{epochs: 0, seed: 77}")
    assert told(shape.rerun(checkpoint, "epochs=0", cwd=tmp_path))[0]["config"]["seed"] == 3
    assert told(shape.rerun(checkpoint, "+experiment=fast", cwd=tmp_path))[0]["config"]["seed"] == 77


def test_errors_are_about_what_the_user_wrote(shape: Shape, trained: Path, tmp_path: Path) -> None:
    wrong = shape.rerun(trained, "model=nosuch", cwd=tmp_path, check=False)
    assert wrong.returncode == 1 and "Could not find 'model/nosuch'" in wrong.stderr
    assert "++" not in wrong.stderr.split("Could not")[1]
    hydra = shape.rerun(trained, "hydra.rnu.dir=x", cwd=tmp_path, check=False)
    assert hydra.returncode == 1 and "hydra.rnu" in hydra.stderr and "are left out" not in hydra.stderr


def test_the_apps_own_compositions_are_its_own(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    script = shape.app.folder / "train.py"
    composing = """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    GlobalHydra.instance().clear()
    with initialize_config_dir(os.path.abspath("conf"), version_base="1.3"):
        print("OWN", compose("config", overrides=["seed=100"]).model.width)
"""
    script.write_text(script.read_text().replace("    if not cfg.epochs:", composing + "    if not cfg.epochs:"))
    assert "OWN 4" in shape.train("model.width=7", "epochs=1").stdout
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    done = shape.rerun(checkpoint, "epochs=0", cwd=tmp_path)
    assert "OWN 4" in done.stdout and told(done)[0]["config"]["model"]["width"] == 7


# --- what the record has not


def test_a_redacted_value_is_asked_for_by_name(shape: Shape, tmp_path: Path) -> None:
    shape.train("+db.password=hunter2-xyz", "+db.user=me", "epochs=1", f"hydra.run.dir={tmp_path}/r")
    missing = shape.rerun(tmp_path / "r", cwd=tmp_path, check=False)
    assert (missing.returncode, told(missing)) == (2, [])
    assert "db.password=..." in missing.stderr and missing.stderr.count("\n") == 1
    done = shape.rerun(tmp_path / "r", "db.password=again", "epochs=0", cwd=tmp_path)
    assert told(done)[0]["config"]["db"] == {"password": "again", "user": "me"}


def test_a_secret_in_the_apps_own_files_is_taken_from_there(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    shape.app.write("conf/model/small.yaml", "{kind: small, lr: 0.1, api_key: very-secret-1}")
    shape.train("epochs=1")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    assert "very-secret" not in read_record(checkpoint).config.composed
    done = shape.rerun(checkpoint, "epochs=0", cwd=tmp_path)
    assert told(done)[0]["config"]["model"]["api_key"] == "very-secret-1" and "very-secret" not in done.stderr
    frozen = shape.rerun(checkpoint, "--frozen", cwd=tmp_path, check=False)
    assert frozen.returncode == 2 and "model.api_key=..." in frozen.stderr


def test_a_program_that_is_gone(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    shape.train("epochs=1")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    shutil.move(shape.app.folder, tmp_path / "moved")
    done = shape.rerun(checkpoint, cwd=tmp_path, check=False)
    assert done.returncode == 2 and "--script" in done.stderr and done.stderr.count("\n") == 1
    done = shape.rerun(checkpoint, "--script", "moved/train.py", "--cwd", "moved", "epochs=0", cwd=tmp_path)
    assert told(done)[0]["config"]["seed"] == 3


def test_a_fixed_run_folder_is_not_written_over(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    config = shape.app.folder / "conf/config.yaml"
    config.write_text(config.read_text() + f"hydra: {{run: {{dir: {tmp_path}/fixed}}}}\n")
    shape.train("epochs=1")
    before = {path: path.read_bytes() for path in (tmp_path / "fixed").rglob("*") if path.is_file()}
    (run_told,) = told(shape.rerun(tmp_path / "fixed", "seed=1", "epochs=0", cwd=tmp_path))
    assert run_told["output"].startswith(f"{tmp_path}/fixed-rerun-")
    assert {path: path.read_bytes() for path in (tmp_path / "fixed").rglob("*") if path.is_file()} == before


def test_a_fixed_sweep_folder_is_not_written_over(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    config = shape.app.folder / "conf/config.yaml"
    config.write_text(config.read_text() + f"hydra: {{sweep: {{dir: {tmp_path}/sw, subdir: '${{hydra.job.num}}'}}}}\n")
    shape.train("-m", "seed=1,2", "epochs=1")
    before = {path: path.read_bytes() for path in (tmp_path / "sw").rglob("*") if path.is_file()}
    jobs = told(shape.rerun(tmp_path / "sw/1", "-m", "seed=8,9", "epochs=0", cwd=tmp_path))
    folders = {Path(job["output"]).parent for job in jobs}
    assert len(jobs) == 2 and len(folders) == 1 and folders.pop().name.startswith("sw-rerun-")
    assert {path: path.read_bytes() for path in (tmp_path / "sw").rglob("*") if path.is_file()} == before


# --- going on


@pytest.mark.matrix
def test_resume_goes_on_from_the_checkpoint(shape: Shape, trained: Path, tmp_path: Path) -> None:
    done = shape.rerun(trained, "--resume", "epochs=3", f"hydra.run.dir={tmp_path}/r", cwd=tmp_path)
    assert told(done)[0]["config"]["ckpt_path"] == str(trained)
    assert "ENDED at step 6" in done.stdout
    record = read_record(tmp_path / "r")
    assert [ancestor.checkpoint for ancestor in record.lineage] == [str(trained)]
    assert record.lineage[0].global_step == 4


def test_resume_says_what_it_needs(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    config = shape.app.folder / "conf/config.yaml"
    config.write_text(config.read_text().replace("ckpt_path: null", "go: {up: {from: null}}"))
    script = shape.app.folder / "train.py"
    text = script.read_text()
    script.write_text(text.replace("ckpt_path=cfg.ckpt_path", "ckpt_path=cfg.go.up['from']"))
    shape.train("epochs=1")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    none = shape.rerun(checkpoint, "--resume", cwd=tmp_path, check=False)
    assert none.returncode == 2 and "'ckpt_path'" in none.stderr and "--resume-key" in none.stderr
    wrong = shape.rerun(checkpoint, "--resume", "--resume-key", "go.down", cwd=tmp_path, check=False)
    assert wrong.returncode == 2 and "go.down" in wrong.stderr
    done = shape.rerun(checkpoint, "--resume", "--resume-key", "go.up.from", "epochs=2", cwd=tmp_path)
    assert "ENDED at step 4" in done.stdout

    script.write_text(script.read_text().replace("trainer(", "trainer(callbacks=saver, ").replace(
        "    t = trainer", "    saver = pl.callbacks.ModelCheckpoint(save_weights_only=True)\n    t = trainer"
    ))  # fmt: skip
    shape.train("epochs=1", f"hydra.run.dir={tmp_path}/w")
    weights = shape.rerun(tmp_path / "w", "--resume", "--resume-key", "go.up.from", cwd=tmp_path, check=False)
    assert weights.returncode == 2 and "weights alone" in weights.stderr and told(weights) == []


def test_a_wandb_run_goes_on(shape: Shape, tmp_path: Path) -> None:
    """The id of the run that the config made is handed on, where its node takes one."""
    record = read_record(_with_wandb(shape, tmp_path))
    (logger,) = record.loggers
    dry = shape.rerun(tmp_path, "--resume", "--dry-run", cwd=tmp_path)
    assert logger.kind == "WandbLogger" and f"++log.id={logger.run_id}" in dry.stdout.replace("'", "").replace('"', "")
    assert "++log.resume=allow" in dry.stdout


def _with_wandb(shape: Shape, tmp_path: Path) -> Path:
    pytest.importorskip("wandb", reason="wandb is not installed")
    script = shape.app.folder / "train.py"
    text = script.read_text()
    with_logger = text.replace("trainer(max_epochs", "trainer(logger=hydra.utils.instantiate(cfg.log), max_epochs")
    assert with_logger != text
    script.write_text(with_logger)
    try:
        node = "{_target_: lightning.pytorch.loggers.WandbLogger, offline: true, save_dir: " + str(tmp_path) + "}"
        shape.train(f"+log={node}", "epochs=1", f"hydra.run.dir={tmp_path}/w")
    finally:
        script.write_text(text)
    return tmp_path


# --- garbage


@pytest.mark.parametrize(
    "arguments",
    [
        ["no.ckpt"],
        [""],
        ["a\nb\x1b.ckpt"],
        ["HERE", "model.lr"],
        ["HERE", "=1"],
        ["HERE", "lr=[1,"],
        ["HERE", "lr=<redacted>"],
        ["HERE", "\x1b[31m=1"],
        ["HERE", "--cwd", "nowhere"],
        ["HERE", "--cwd", ""],
        ["HERE", "--cwd", "x" * 5000],
        ["HERE", "--script", "x" * 5000],
        ["HERE", "--resume", "--resume-key", ""],
        ["HERE", "--resume", "--resume-key", "model"],
        ["HERE", "--resume", "--resume-key", "extra.key[0]"],
        ["HERE", "--script", "nowhere.py"],
        ["HERE", "--resume-key", "x"],
        ["HERE", "--verify", "-m"],
        ["HERE", "--json"],
        ["HERE", "--at-commit", "--dry-run"],
        ["HERE", "--at-commit"],
    ],
)
def test_garbage_is_one_line(trained: Path, arguments: list[str], tmp_path: Path) -> None:
    done = lit_hydra(
        "rerun", *(str(trained) if word == "HERE" else word for word in arguments), cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert re.fullmatch(r"Error: .+\n", done.stderr) and done.stderr[:-1].isprintable()


def test_the_programs_exit_status_is_ours(shape: Shape, trained: Path, tmp_path: Path) -> None:
    done = shape.rerun(trained, "model.lr=text", cwd=tmp_path, check=False)
    assert done.returncode == 1
    passed_on = shape.rerun(trained, "--", "--cfg", "job", cwd=tmp_path)
    assert "lr: 0.25" in passed_on.stdout and told(passed_on) == []


def test_the_python_api(shape: Shape, trained: Path, tmp_path: Path) -> None:
    script = "import sys, lit_hydra_bridge as b; sys.exit(b.rerun(sys.argv[1], ['epochs=0', 'seed=8']))"
    done = subprocess.run([sys.executable, "-c", script, str(trained)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert told(done)[0]["config"]["seed"] == 8


def test_every_rank_of_ddp_gets_the_recorded_config(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    script = shape.app.folder / "train.py"
    text = script.read_text().replace("trainer(max_epochs", "trainer(devices=2, strategy='ddp', max_epochs")
    script.write_text(
        text.replace("t.fit(", "print('RANK', t.global_rank, cfg.model.lr, cfg.callbacks.first.a)\n    t.fit(")
    )
    shape.train("epochs=1")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    config = shape.app.folder / "conf/config.yaml"
    config.write_text(config.read_text().replace("{a: 1}", "{a: 2}"))
    done = shape.rerun(checkpoint, "model.lr=0.3", cwd=tmp_path)
    assert sorted(re.findall(r"RANK (.+)", done.stdout)) == ["0 0.3 1", "1 0.3 1"]
    assert done.stderr.count("has changed since this run") == 1

"""What a run leaves in its folder, run.json: its outcome, its record, and where its checkpoints are."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lit_hydra_bridge import load_config, load_model, read_record, read_sweep
from lit_hydra_bridge.errors import CheckpointNotFoundError
from tests.support import App, lit_hydra, run
from tests.sweep_support import until

TRAINER = 'pl.Trainer(max_epochs=1, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False{})'
# As Lightning's first page has it: no default_root_dir, so all goes to ./lightning_logs.
TRAIN = f"fitted = {TRAINER.format('')}\nfitted.fit(Net(cfg.model.lr), data(), data())"
WITHOUT_CHECKPOINT = f"fitted = {TRAINER.format(', enable_checkpointing=False')}\nfitted.fit(Net(), data(), data())"
DIR = "hydra.run.dir=out/{}"


def noted(folder: Path) -> dict[str, Any]:
    """What the file in a run's folder says."""
    return json.loads((folder / "run.json").read_text())


def listed(app: App, *arguments: str) -> dict[str, dict[str, Any]]:
    """What `ls` says of the single runs below the app's folder, by the folder's name."""
    done = lit_hydra("ls", "--json", *arguments, cwd=app.folder)
    return {Path(row["folder"]).name: row for row in json.loads(done.stdout)["runs"]}


# --- any run's folder will do


@pytest.mark.matrix
def test_the_folder_of_the_simplest_app_will_do(app: App) -> None:
    app.write(
        "train.py",
        f"""
        from dataclasses import dataclass, field
        import hydra
        from hydra.core.config_store import ConfigStore
        from net import Net, data, pl

        @dataclass
        class Config:
            lr: float = 0.1
            ckpt_path: str | None = None

        ConfigStore.instance().store("main", Config)

        @hydra.main(version_base=None, config_path=None, config_name="main")
        def main(cfg):
            pl.seed_everything(1, verbose=False)
            fitted = {TRAINER.format("")}
            fitted.fit(Net(cfg.lr), data(), ckpt_path=cfg.ckpt_path)

        main()
        """,
    )
    app.run("lr=0.5")
    app.run("lr=0.25", DIR.format("b"))
    (first,) = (app.folder / "outputs").glob("*/*")
    assert not list(first.rglob("*.ckpt")) and len(app.checkpoints()) == 2
    for folder in (first, app.folder / "outputs"):
        assert lit_hydra("show", str(folder), "lr", cwd=app.folder).stdout == "0.5\n"
    assert lit_hydra("config", "out/b", cwd=app.folder).stdout == "lr: 0.25\nckpt_path: null\n"
    assert "lr: 0.5 -> 0.25" in lit_hydra("diff", str(first), "out/b", cwd=app.folder, check=False).stdout
    assert "entry" in lit_hydra("check", "out/b", cwd=app.folder, check=False).stdout
    assert load_config(first).lr == 0.5 and load_model(first, model_class=None).hparams.lr == 0.5
    strip = lit_hydra("strip", "out/b", cwd=app.folder, check=False)
    assert strip.returncode == 2 and "version_1/checkpoints" in strip.stderr
    again = lit_hydra("rerun", "out/b", "--verify", "--json", cwd=app.folder)
    assert json.loads(again.stdout)["identical"]
    lit_hydra("rerun", "out/b", "--resume", DIR.format("c"), cwd=app.folder)
    assert read_record(app.folder / "out/c").lineage[0].run_id == read_record(app.folder / "out/b").run_id


def test_a_run_without_checkpoint_has_its_record_in_its_folder(app: App) -> None:
    app.add_to_config({"ckpt_path": ""})
    with (app.folder / "conf/config.yaml").open("a") as file:
        file.write("steps: {10: 0.5, 20: .nan, yes: [{1: a, '1': b}]}\n")
    app.script(WITHOUT_CHECKPOINT + "\nprint('ONCE', cfg.model.lr)\nfitted.test(Net(), data())")
    app.run("model.lr=0.5", DIR.format("a"), "hydra.output_subdir=null")
    folder = app.folder / "out/a"
    assert {path.name for path in folder.iterdir()} == {"run.json", "train.log"} and not app.checkpoints()
    assert lit_hydra("show", "out/a", "model.decay", cwd=app.folder).stdout == "0.5\n"
    assert lit_hydra("show", "out", "training.model_class", cwd=app.folder).stdout == "net.Net\n"
    record = read_record(folder)
    assert {"loss", "val_loss", "test_loss"} <= set(record.metrics)
    assert lit_hydra("config", "out/a", cwd=app.folder).stdout == record.config.composed
    config = load_config(folder, resolve=True)
    assert (
        config.steps[10] == 0.5
        and config.steps[20] != config.steps[20]
        and dict(config.steps[True][0]) == {1: "a", "1": "b"}
    )
    assert "ONCE 0.5" in lit_hydra("rerun", "out/a", DIR.format("again"), cwd=app.folder).stdout
    assert "the same" in lit_hydra("diff", "out/a", "out/again", cwd=app.folder, check=False).stdout
    (app.folder / "copy").mkdir()
    shutil.copy(folder / "run.json", app.folder / "copy")
    assert read_record(app.folder / "copy" / "run.json") == read_record(app.folder / "copy")
    for command in (["strip", "out/a"], ["rerun", "out/a", "--verify"], ["rerun", "out/a", "--resume"]):
        done = lit_hydra(*command, cwd=app.folder, check=False)
        assert done.returncode == 2 and "left no checkpoint" in done.stderr
    with pytest.raises(CheckpointNotFoundError, match="left no checkpoint"):
        load_model(folder)


def test_the_newest_checkpoint_counts_and_only_if_it_is_this_runs(app: App) -> None:
    app.script(
        """
        fitted = trainer(enable_checkpointing=False)
        fitted.fit(Net(), data())
        for name in cfg.get("names", ["fixed.ckpt"]):
            fitted.save_checkpoint(name)
        """
    )
    app.run("model.lr=1", DIR.format("first"), "+names=[old.pt,fixed.ckpt]")
    os.utime(app.folder / "old.pt", (1, 1))
    assert read_record(app.folder / "out/first").metrics and noted(app.folder / "out/first")["record"]
    app.run("model.lr=2", DIR.format("second"))  # writes over fixed.ckpt
    for name, lr in (("first", "1"), ("second", "2")):
        assert lit_hydra("show", f"out/{name}", "model.lr", cwd=app.folder).stdout == f"{lr}\n"
    rows = listed(app)
    assert rows["first"]["checkpoint"] == str(app.folder / "old.pt") and rows["first"]["overrides"][0] == "model.lr=1"
    assert rows["second"]["checkpoint"] == str(app.folder / "fixed.ckpt")
    with_weights = lit_hydra("rerun", "out/first", "--verify", cwd=app.folder, check=False)
    assert "old.pt" in with_weights.stdout + with_weights.stderr


@pytest.mark.parametrize("moved", ["the run's folder", "all of the app"])
def test_a_moved_folder(app: App, tmp_path: Path, moved: str) -> None:
    app.script(TRAIN)
    app.run("model.lr=0.5", DIR.format("a"))
    if moved == "all of the app":
        folder, above = tmp_path / "elsewhere/out/a", tmp_path / "elsewhere"
        app.folder.rename(above)
        checkpoint = next(above.rglob("*.ckpt"))
    else:
        folder, checkpoint = tmp_path / "b", app.checkpoints()[0]
        (app.folder / "out/a").rename(folder)
    assert read_record(folder).config.resolved["model"]["lr"] == 0.5
    (row,) = json.loads(lit_hydra("ls", str(folder), "--json", cwd=tmp_path).stdout)["runs"]
    assert row["checkpoint"] == str(checkpoint) and row["outcome"] == "completed"


# --- how it ended

ENDS = {
    "completed": ("pass", "completed", ""),
    "failed": ("raise ValueError('after the\\nTrainer')", "failed", "ValueError: after the"),
    "exit": ("sys.exit(3)", "failed", "SystemExit"),
    "ctrl_c": ("raise KeyboardInterrupt", "interrupted", "KeyboardInterrupt"),
    "os_exit": ("os._exit(0)", "killed", "without a word"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "killed", "without a word"),
}
IN_TRAINING = {
    "training_ctrl_c": ("os.kill(os.getpid(), signal.SIGINT)", "interrupted", "KeyboardInterrupt"),
    "training_sigterm": ("os.kill(os.getpid(), signal.SIGTERM)", "interrupted", "SIGTERM"),
    "training_killed": ("os.kill(os.getpid(), signal.SIGKILL)", "killed", "without a word"),
    "training_failed": ("raise ValueError('in it')", "failed", "ValueError: in it"),
}


@pytest.mark.matrix
def test_ls_tells_how_each_run_ended_and_how_long_it_took(app: App) -> None:
    """Also of a training that is killed, and of one that Lightning ends after SIGTERM with exit code 0."""
    cases = {**ENDS, **IN_TRAINING}
    body = [f"elif cfg.end == {name!r}:\n    {text!s}" for name, (text, *_) in ENDS.items()]
    hooks = [f"elif cfg.end == {name!r}:\n            {text!s}" for name, (text, *_) in IN_TRAINING.items()]
    app.write("ends.py", "import os, signal\ndef act(cfg):\n    if False: pass\n")
    app.script(
        "import signal\n"
        "class Ends(pl.Callback):\n    def on_train_batch_end(self, *_):\n        if False: pass\n        "
        + "\n        ".join(hooks)
        + f"\nfitted = {TRAINER.format(', callbacks=[Ends()]')}\nfitted.fit(Net(), data())\nif False: pass\n"
        + "\n".join(body)
    )
    for name in cases:
        app.run(f"+end={name}", DIR.format(name), check=False)
    rows = listed(app)
    for name, (_, outcome, reason) in cases.items():
        row = rows[name]
        assert (row["outcome"], reason in row["reason"]) == (outcome, True), name
        assert (row["duration_s"] is None) == (outcome == "killed"), name
    shown = lit_hydra("ls", "out", cwd=app.folder).stdout
    assert "time" in shown and all(outcome in shown for outcome in ("completed", "failed", "killed", "interrupted"))
    assert lit_hydra("show", "out/training_killed", "end", cwd=app.folder, check=False).stdout in (
        "",
        "training_killed\n",
    )
    assert lit_hydra("show", "out/training_sigterm", "end", cwd=app.folder).stdout == "training_sigterm\n"


def test_a_run_is_running_while_its_process_is_there(app: App) -> None:
    app.script(TRAIN + "\nPath('ready').touch()\nimport time\ntime.sleep(600)")
    command = [sys.executable, "train.py", DIR.format("a")]
    process = subprocess.Popen(command, cwd=app.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until((app.folder / "ready").exists, "the training has ended", timeout_s=240)
        row = listed(app)["a"]
        assert row["outcome"] == "running" and row["duration_s"] > 0 and "val_loss" in row["metrics"]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert listed(app)["a"]["outcome"] == "killed"
    data = noted(app.folder / "out/a")
    for key, other in (("host", "another"), ("namespace", "pid:[1]")):
        changed = {**data, "process": {**data["process"], key: other}}
        (app.folder / "out/a/run.json").write_text(json.dumps(changed))
        row = listed(app)["a"]
        assert row["outcome"] == "unknown" and "not known" in row["reason"]


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_jobs_of_hydras_own_launchers(app: App, launcher: str) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    app.script(TRAIN + "\nif cfg.seed == 2:\n    raise ValueError('two')")
    app.run("-m", f"hydra/launcher={launcher}", "seed=1,2,3", "hydra.sweep.dir=sweep", check=False)
    results = read_sweep(app.folder / "sweep")
    assert [row.outcome for row in results.rows] == ["completed", "failed", "completed"]
    assert results.rows[1].reason == "ValueError: two" and all(row.duration_s for row in results.rows)
    assert all("val_loss" in row.metrics and row.checkpoint for row in results.rows)
    assert [read_record(app.folder / f"sweep/{number}").hydra.job_num for number in range(3)] == [0, 1, 2]


def test_in_a_job_of_ours_job_json_alone_has_the_outcome(app: App) -> None:
    app.script(TRAIN + "\nif cfg.seed == 2:\n    sys.exit(1)")
    app.run("-m", "hydra/launcher=lit_local", "seed=1,2", "hydra.sweep.dir=sweep", check=False)
    for number, outcome in enumerate(("completed", "failed")):
        assert "outcome" not in noted(app.folder / f"sweep/{number}")
        assert read_record(app.folder / f"sweep/{number}").hydra.job_num == number
        assert read_sweep(app.folder / "sweep").rows[number].outcome == outcome


# --- it costs no training


def test_nothing_of_it_may_end_a_training(app: App) -> None:
    app.script(
        "from hydra.core.hydra_config import HydraConfig\n"
        "here = Path(HydraConfig.get().runtime.output_dir)\n"
        "if cfg.case == 'theirs':\n    (here / 'run.json').write_text('{\"mine\": 1}')\n"
        "elif cfg.case == 'folder':\n    (here / 'run.json').mkdir()\n"
        + TRAIN
        + "\nif cfg.case == 'gone':\n    import shutil\n    shutil.rmtree(here)\n"
        "elif cfg.case == 'later':\n    (here / 'run.json').write_text('mine')\n"
        "print('ENDED', fitted.global_step)"
    )
    places = {case: app.folder / "out" / case for case in ("theirs", "folder", "gone", "later", "null", "chdir")}
    places["."] = app.folder
    for case in places:
        more = {"null": ["hydra.output_subdir=null"], "chdir": ["hydra.job.chdir=true"]}.get(case, [])
        where = "hydra.run.dir=." if case == "." else DIR.format(case)
        done = app.run(f"+case={case!r}", where, *more)
        assert "ENDED 2" in done.stdout
        warned = [line for line in done.stderr.splitlines() if "BridgeWarning" in line]
        assert len(warned) == (case in ("folder", "gone")), (case, warned)
    assert (places["theirs"] / "run.json").read_text() == '{"mine": 1}'
    assert (places["later"] / "run.json").read_text() == "mine"
    assert not places["gone"].exists()
    for case in ("null", "chdir", "."):
        assert noted(places[case])["outcome"] == "completed"
        assert not list(places[case].glob(".run.json*"))
    assert read_record(places["chdir"]).config.resolved["case"] == "chdir"


def test_the_switches(app: App) -> None:
    app.script(TRAIN)
    for switch in ("LIT_HYDRA_BRIDGE", "LIT_HYDRA_BRIDGE_RUN_FILE"):
        app.run(DIR.format(switch), env={switch: "off"})
        assert not (app.folder / "out" / switch / "run.json").exists()
    assert read_record(app.checkpoints()[-1]) is not None


def test_a_hydra_without_the_seam_costs_one_warning_and_the_outcome(app: App) -> None:
    app.script(
        "for _ in range(2):\n    " + TRAIN.replace("\n", "\n    "),
        prelude="import hydra._internal.callbacks as c\nrun_end = c.Callbacks.__dict__['on_job_end']\n",
    )
    text = (app.folder / "train.py").read_text()
    # Hydra calls it, so it is renamed on the class that our code looks at, and not on the object that Hydra has.
    text = text.replace("    for _ in range(2):", "    del c.Callbacks.on_job_end\n    for _ in range(2):")
    text = text.replace("def main(cfg", "def main(cfg", 1)
    (app.folder / "train.py").write_text(text + "\n")
    done = app.run(DIR.format("a"), check=False)
    assert done.stderr.count("BridgeWarning") == 1 and "does not tell the end" in done.stderr
    assert read_record(app.folder / "out/a").training is not None


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp"])
def test_ranks(app: App, strategy: str) -> None:
    app.script(f"fitted = {TRAINER.format(f', strategy={strategy!r}, devices=2')}\nfitted.fit(Net(), data())")
    app.run("model.lr=0.5", DIR.format("a"))
    data = noted(app.folder / "out/a")
    assert data["outcome"] == "completed" and len(data["checkpoints"]) == 1
    assert data["record"]["training"]["world_size"] == 2
    assert read_record(app.folder / "out/a").config.resolved["model"]["lr"] == 0.5


# --- damage


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"format": "lit-hydra-bridge run"}',
        b'{"format": "lit-hydra-bridge run", "record": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
        json.dumps(
            {
                "format": "lit-hydra-bridge run",
                "started": 1e300,
                "ended": "x",
                "outcome": ["\x1b[31m"],
                "reason": {"a": "\x1b[31m"},
                "process": {"pid": 10**30, "host": os.uname().nodename},
                "checkpoints": [{"path": "\0", "run_id": 1}, {"path": "/dev/zero"}, {"path": ["x"]}, 7, {"path": "."}],
                "logs": ["/proc/self", "\0", 3],
                "folder": [],
                "record": {"run_id": 5},
            }
        ).encode(),
    ],
    ids=["empty", "deep", "bytes", "bare", "deep record", "wrong types"],
)
def test_a_damaged_file_costs_no_more_than_itself(tmp_path: Path, content: bytes) -> None:
    for name in ("bad", "good"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra/overrides.yaml").write_text("[a=1]")
    (tmp_path / "bad/run.json").write_bytes(content)
    done = run(sys.executable, "-m", "lit_hydra_bridge", "ls", "--json", cwd=tmp_path)
    assert {Path(row["folder"]).name for row in json.loads(done.stdout)["runs"]} == {"bad", "good"}
    assert "\x1b" not in lit_hydra("ls", "--jobs", cwd=tmp_path).stdout
    for path in ("bad", "bad/run.json"):
        done = lit_hydra("show", path, cwd=tmp_path, check=False)
        assert done.returncode == 2 and done.stderr.startswith("Error: bad") and done.stderr.count("\n") == 1

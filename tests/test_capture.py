"""The record says how the run was made, however the program was started and whatever the app does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lit_hydra_bridge import load_config, read_record
from lit_hydra_bridge.record.run_record import unpack_diff
from tests.support import EACH_FLAVOUR, App, run

SAVE = """
fitted = trainer(enable_checkpointing=False)
fitted.fit(Net(), data())
fitted.save_checkpoint(os.environ.get("SAVE_AS", "x.ckpt"))
"""


@pytest.mark.matrix
@pytest.mark.parametrize("override", ["hydra.output_subdir=null", "hydra.job.chdir=true", "hydra.run.dir='a = ü b'"])
def test_nothing_is_read_back_from_disk(app: App, override: str) -> None:
    app.script(SAVE)
    app.run(override, "model.lr=0.9")
    [path] = app.checkpoints()
    record = read_record(path)
    assert record.config.resolved["model"] == {"lr": 0.9, "decay": 0.9}
    assert record.hydra.overrides == ["model.lr=0.9"]
    assert record.hydra.hydra_overrides[0] == override
    assert Path(record.hydra.output_dir).is_dir()
    assert record.entry.cwd == str(app.folder)


def test_python_dash_m_and_console_script(app: App) -> None:
    package = app.folder / "pkg"
    app.write("pkg/__init__.py", "")
    app.script(SAVE, name="pkg/main.py")
    (app.folder / "conf").rename(package / "conf")
    app.write("pkg/conf/__init__.py", "")
    run(sys.executable, "-m", "pkg.main", "model.lr=2", cwd=app.folder)
    entry = read_record(app.folder / "x.ckpt").entry
    assert entry.module == "pkg.main"
    assert entry.task_function == "__main__:main"
    assert entry.task_file == str(package / "main.py")
    assert entry.argv[1:] == ["model.lr=2"]
    assert entry.orig_argv[1:] == ["-m", "pkg.main", "model.lr=2"]
    (app.folder / "bin").mkdir()
    console = app.write("bin/my-app", "import sys\nfrom pkg.main import main\nsys.exit(main())\n")
    run(sys.executable, str(console), "model.lr=3", cwd=app.folder, env={"PYTHONPATH": str(app.folder)})
    record = read_record(app.folder / "x.ckpt")
    assert record.entry.task_function == "pkg.main:main"
    assert record.entry.script == str(console)
    assert record.entry.module is None
    assert record.config.resolved["model"]["lr"] == 3


@pytest.mark.matrix
def test_structured_config_and_no_config_file(app: App) -> None:
    app.write(
        "train.py",
        """
        import enum, pathlib
        from dataclasses import dataclass, field
        from typing import List, Optional
        import hydra
        from hydra.core.config_store import ConfigStore
        from omegaconf import MISSING
        from net import Net, data, trainer

        class Kind(enum.Enum):
            BIG = 1
            SMALL = 2

        @dataclass
        class Optim:
            lr: float = 0.1

        @dataclass
        class Config:
            optim: Optim = field(default_factory=Optim)
            kind: Kind = Kind.BIG
            path: pathlib.Path = pathlib.Path("a")
            sizes: List[int] = field(default_factory=lambda: [1])
            late: str = MISSING
            none: Optional[int] = None

        ConfigStore.instance().store("schema", Config)

        @hydra.main(version_base="1.3", config_path=None, config_name="schema")
        def main(cfg):
            fitted = trainer(enable_checkpointing=False)
            fitted.fit(Net(), data())
            fitted.save_checkpoint("x.ckpt")

        main()
        """,
    )
    done = app.run("kind=SMALL", "optim.lr=1", "path=b/c")
    assert "lit-hydra-bridge" not in done.stderr
    record = read_record(app.folder / "x.ckpt")
    expected = {"optim": {"lr": 1.0}, "kind": "SMALL", "path": "b/c", "sizes": [1], "late": "???", "none": None}
    assert record.config.resolved == expected
    assert load_config(app.folder / "x.ckpt").kind == "SMALL"


def test_hydra_zen(app: App) -> None:
    app.write(
        "train.py",
        """
        from hydra_zen import builds, store, zen
        from net import Net, data, trainer

        def train(model, seed):
            fitted = trainer(enable_checkpointing=False)
            fitted.fit(model, data())
            fitted.save_checkpoint("x.ckpt")

        store(dict(model=builds(Net, lr=0.5), seed=1), name="train")
        store.add_to_hydra_store()
        if __name__ == "__main__":
            zen(train).hydra_main(config_name="train", version_base="1.3", config_path=None)
        """,
    )
    app.run("seed=4")
    record = read_record(app.folder / "x.ckpt")
    assert record.hydra.overrides == ["seed=4"]
    assert record.training.model_key == "model"
    assert record.entry.task_function == "__main__:train"


def test_multirun_from_a_config_file_and_rewritten_argv(app: App) -> None:
    app.script(SAVE + "\nassert cfg.seed in (1, 2)", prelude="import sys\nsys.argv = [sys.argv[0], 'seed=1,2']")
    config = app.folder / "conf" / "config.yaml"
    config.write_text(config.read_text() + "hydra: {mode: MULTIRUN, job: {chdir: true}}\n")
    app.run("--epochs", "3")
    records = [read_record(path) for path in app.checkpoints()]
    assert [record.hydra.job_num for record in records] == [0, 1]
    assert {record.hydra.mode for record in records} == {"MULTIRUN"}
    assert [record.hydra.overrides for record in records] == [["seed=1"], ["seed=2"]]
    assert records[0].entry.argv[1:] == ["seed=1,2"]
    assert records[0].entry.orig_argv[-2:] == ["--epochs", "3"]
    assert records[0].hydra.sweep_dir == str(Path(records[0].hydra.output_dir).parent)


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_jobs_of_other_launchers(app: App, launcher: str) -> None:
    app.script(SAVE)
    app.run("-m", f"hydra/launcher={launcher}", "seed=5,6", "hydra.job.chdir=true", timeout_s=240)
    records = [read_record(path) for path in app.checkpoints()]
    assert [record.hydra.job_num for record in records] == [0, 1]
    assert [record.config.resolved["seed"] for record in records] == [5, 6]
    assert {record.entry.task_file for record in records} == {str(app.folder / "train.py")}


def test_compose_api_and_recorder_by_hand(app: App) -> None:
    app.write(
        "notebook.py",
        """
        import sys
        from hydra import compose, initialize
        import lit_hydra_bridge
        from net import Net, data, trainer

        def save(name, **settings):
            fitted = trainer(enable_checkpointing=False, **settings)
            fitted.fit(Net(), data())
            fitted.save_checkpoint(name)
            return fitted

        with initialize(version_base="1.3", config_path="conf"):
            cfg = compose("config", overrides=["model.lr=0.7"])
        save("nothing.ckpt")
        with lit_hydra_bridge.recording(cfg, overrides=["model.lr=0.7"]):
            save("recording.ckpt")
        recorder = lit_hydra_bridge.RunRecorder(config={"a": 1, "b": "${a}"}, diff=False)
        fitted = save("by_hand.ckpt", callbacks=[recorder])
        assert [c for c in fitted.callbacks if type(c).__module__.startswith("lit_hydra")] == [recorder]
        save("after.ckpt")
        """,
    )
    app.run(script="notebook.py")
    assert read_record(app.folder / "recording.ckpt").config.resolved["model"]["lr"] == 0.7
    assert read_record(app.folder / "recording.ckpt").hydra.overrides == ["model.lr=0.7"]
    assert read_record(app.folder / "by_hand.ckpt").config.resolved == {"a": 1, "b": 1}
    for name in ("nothing", "after"):
        done = run(sys.executable, "-m", "lit_hydra_bridge", "show", f"{name}.ckpt", cwd=app.folder, check=False)
        assert "no record" in done.stderr


def test_recording_without_hydra_at_all(app: App) -> None:
    app.write(
        "plain.py",
        """
        import sys
        from lit_hydra_bridge import recording
        from net import Net, data, trainer
        with recording({"lr": 0.1}):
            fitted = trainer(enable_checkpointing=False)
            fitted.fit(Net(), data())
            fitted.save_checkpoint("x.ckpt", weights_only=True)
        assert "hydra" not in sys.modules
        """,
    )
    app.run(script="plain.py")
    record = read_record(app.folder / "x.ckpt")
    assert record.config.resolved == {"lr": 0.1}
    assert not record.hydra and record.hydra.overrides == []


def test_recorder_by_hand_replaces_the_automatic_one_and_takes_options(app: App) -> None:
    app.script(
        """
        from lit_hydra_bridge import RunRecorder

        OmegaConf.register_new_resolver("double", lambda x: 2 * x)
        recorder = RunRecorder(custom_resolvers=False, diff=False)
        fitted = trainer(enable_checkpointing=False, callbacks=[recorder])
        assert [c for c in fitted.callbacks if "lit_hydra" in type(c).__module__] == [recorder]
        fitted.fit(Net(), data())
        fitted.save_checkpoint("x.ckpt")
        """,
    )
    app.add_to_config({"twice": "${double:${seed}}", "thrice": "${twice}", "same": "${seed}"})
    app.run()
    resolved = read_record(app.folder / "x.ckpt").config.resolved
    assert (resolved["twice"], resolved["thrice"], resolved["same"]) == ("${double:${seed}}", "${twice}", 7)


def test_off_switch_holds_for_recorders_by_hand(app: App) -> None:
    app.write(
        "by_hand.py",
        """
        import threading
        from lit_hydra_bridge import RunRecorder, recording
        from net import Net, data, trainer
        with recording({"a": 1}):
            fitted = trainer(enable_checkpointing=False, callbacks=[RunRecorder(config={"a": 1})])
            assert not [t for t in threading.enumerate() if "lit-hydra" in t.name]
            fitted.fit(Net(), data())
            fitted.save_checkpoint("x.ckpt")
        """,
    )
    app.run(script="by_hand.py", env={"LIT_HYDRA_BRIDGE": "off"})
    assert b"lit_hydra_bridge" not in (app.folder / "x.ckpt").read_bytes()


def test_off_switch(app: App) -> None:
    app.script(SAVE + "\nassert not any('lit_hydra' in type(c).__module__ for c in fitted.callbacks)")
    app.run(env={"LIT_HYDRA_BRIDGE": "off"})
    done = run(sys.executable, "-m", "lit_hydra_bridge", "show", "x.ckpt", cwd=app.folder, check=False)
    assert done.returncode == 2


RESOLVERS = """
import itertools, random, os, tempfile
counter = itertools.count()
OmegaConf.register_new_resolver("random", lambda: random.random())
OmegaConf.register_new_resolver("cached", lambda: random.random(), use_cache=True)
OmegaConf.register_new_resolver("count", lambda: next(counter))
OmegaConf.register_new_resolver("folder", lambda name: os.makedirs(name, exist_ok=True) or name)
OmegaConf.register_new_resolver("double", lambda x: 2 * x)
"""


def test_resolvers_registered_only_inside_the_job(app: App) -> None:
    app.script(
        RESOLVERS
        + "first = cfg.cached\n"
        + SAVE
        + "\nassert cfg.cached == first and OmegaConf.clear_resolvers() is None"
    )
    nodes = {
        "random": "${random:}",
        "cached": "${cached:}",
        "count": "${count:}",
        "folder": "${folder:made}",
        "double": "${double:${seed}}",
        "through": "${double}",
    }
    app.add_to_config(nodes)
    done = app.run()
    config = read_record(app.folder / "x.ckpt").config
    kept = {key: config.resolved[key] for key in nodes}
    assert kept == {**nodes, "folder": "made", "double": 14, "through": 14}
    assert config.unresolved == ["random", "cached", "count"]
    assert "lit-hydra-bridge" not in done.stderr


def test_what_fails_costs_one_warning_that_names_it(app: App) -> None:
    app.script(
        """
        OmegaConf.register_new_resolver("raises", lambda: 1 / 0)
        with_object = OmegaConf.create({"seed": 1, "thing": object()}, flags={"allow_objects": True})
        from lit_hydra_bridge import RunRecorder
        for name, recorder in {"auto": None, "hand": RunRecorder(config=with_object)}.items():
            fitted = trainer(enable_checkpointing=False, callbacks=[recorder] if recorder else None)
            fitted.fit(Net(), data())
            for _ in range(3):
                fitted.save_checkpoint(f"{name}.ckpt")
        """
    )
    folder = app.folder / "bin"
    folder.mkdir()
    done = app.run("+bad=${raises:}", "+absent=${nowhere}", env={"PATH": str(folder)})
    warnings = [line for line in done.stderr.splitlines() if "BridgeWarning" in line]
    assert len(warnings) == 1 and "git is not installed" in warnings[0] and "bad" not in warnings[0]
    record = read_record(app.folder / "auto.ckpt")
    assert all(any(name in gap for gap in record.gaps) for name in ("bad", "absent", "ZeroDivisionError"))
    assert record.source is None
    assert record.config.resolved["bad"] == "${raises:}"
    assert any("git" in gap for gap in record.gaps)


def test_a_healthy_app_gets_no_warning_of_gaps(app: App) -> None:
    # A resolver that only the job registers, after its Trainer; a missing value and what refers to it.
    app.script(
        "fitted = trainer(enable_checkpointing=False)\n"
        "OmegaConf.register_new_resolver('inside', lambda: 1)\n"
        "fitted.fit(Net(), data())\nfitted.save_checkpoint('x.ckpt')"
    )
    app.add_to_config(
        {"a": "${inside:}", "b": "???", "c": "${b}", "d": "${oc.env:NOT_SET_ANYWHERE}", "e": "${gone.key}"}
    )
    assert "BridgeWarning" not in app.run().stderr
    record = read_record(app.folder / "x.ckpt")
    assert all(any(f"{key} (" in gap for gap in record.gaps) for key in ("a", "d", "e"))
    assert {"a", "c", "d", "e"} <= set(record.config.unresolved)


def test_resolvers_that_exit_or_draw_and_modules_that_refuse(app: App) -> None:
    """None of it is read by the app itself, so without us none of it would happen."""
    app.write("lazy.py", "def __getattr__(name):\n    raise RuntimeError('needs a GPU')\n")
    app.script("""
        import random, sys, lazy
        import numpy
        OmegaConf.register_new_resolver("exits", lambda: sys.exit("needs a GPU"))
        OmegaConf.register_new_resolver("draws", lambda: torch.rand(1).item() + numpy.random.rand() + random.random())
        pl.seed_everything(1)
        fitted = trainer(enable_checkpointing=False)
        print("drawn", torch.rand(3).tolist(), numpy.random.rand(), random.random())
        fitted.fit(Net(), data())
        fitted.save_checkpoint("x.ckpt")
    """)
    app.add_to_config({"exits": "${exits:}", "draws": "${draws:}", "_target_": "lazy.Model"})
    with_us = app.run()
    record = read_record(app.folder / "x.ckpt")
    assert record.training is not None
    assert record.config.resolved["exits"] == "${exits:}"
    assert any("exits" in gap for gap in record.gaps)
    drawn = [line for line in with_us.stdout.splitlines() if line.startswith("drawn")]
    without = app.run(env={"LIT_HYDRA_BRIDGE": "off"}).stdout.splitlines()
    assert drawn == [line for line in without if line.startswith("drawn")] != []


def test_warnings_as_errors_do_not_end_the_training(app: App) -> None:
    app.script(
        "import warnings\nwarnings.simplefilter('error', UserWarning)\n"
        + "import lit_hydra_bridge.record.warning as c\n"
        "warnings.simplefilter('ignore'); warnings.filterwarnings('error', category=c.BridgeWarning)\n" + SAVE
    )
    (app.folder / "out" / "run.json").mkdir(parents=True)
    done = app.run("hydra.run.dir=out")
    assert "run.json can't be written" in done.stderr
    assert read_record(app.folder / "x.ckpt").config.resolved


def test_hanging_git_costs_the_time_limit_and_leaves_no_process(app: App) -> None:
    folder = app.folder / "bin"
    folder.mkdir()
    git = app.write("bin/git", "#!/bin/sh\nsleep 987 &\nsleep 987\n")
    git.chmod(0o755)
    app.script(
        "from lit_hydra_bridge import RunRecorder\n"
        + SAVE.replace("False)", "False, callbacks=[RunRecorder(time_limit_s=0.5)])", 1)
    )
    done = app.run(env={"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}, timeout_s=60)
    assert "git did not answer in time" in done.stderr
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 987" not in listed


def test_git_state_and_diff(app: App) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.invalid"]
        return run("git", *identity, *arguments, cwd=app.folder).stdout.strip()

    app.script(SAVE)
    git("init", "-q", "-b", "topic")
    git("add", ".")
    git("commit", "-qm", "first")
    git("remote", "add", "origin", "https://me:s3cr3tpass@example.invalid/r.git")
    app.write("notes.yaml", "password: hunter2\n")
    git("add", "notes.yaml")
    app.run("hydra.job.chdir=true")
    [path] = app.checkpoints()
    source = read_record(path).source
    assert (source.commit, source.branch, source.dirty) == (git("rev-parse", "HEAD"), "topic", True)
    assert "s3cr3tpass" not in json.dumps(read_record(path).to_dict())
    assert "+password: <redacted>" in unpack_diff(source.diff)
    path.unlink()
    app.run("hydra.job.chdir=true", env={"LIT_HYDRA_BRIDGE_DIFF": "off"})
    assert read_record(app.checkpoints()[0]).source.diff is None


def test_environment_and_training_facts(app: App) -> None:
    app.script(
        "pl.seed_everything(cfg.seed)\n"
        + SAVE.replace("False)", "False, deterministic=True, precision='bf16-true')", 1)
    )
    app.run()
    record = read_record(app.folder / "x.ckpt")
    assert record.training.seed == 7
    assert record.training.deterministic is True
    assert record.training.precision == "bf16-true"
    assert (record.training.devices, record.training.num_nodes, record.training.world_size) == (1, 1, 1)
    assert record.environment.packages["lit-hydra-bridge"]
    assert record.environment.packages["torch"].startswith("2.")


def test_secrets_are_nowhere_in_the_file(app: App) -> None:
    app.script(SAVE)
    app.run(
        "+db.password=hunter2hunter2",
        "+wandb.api_key='${oc.env:MY_API_KEY}'",
        "+plain=sk-9f8e7d6c5b4a",
        env={"MY_API_KEY": "sk-9f8e7d6c5b4a"},
    )
    content = (app.folder / "x.ckpt").read_bytes()
    assert b"hunter2" not in content
    assert b"sk-9f8e7d6c5b4a" not in content
    record = read_record(app.folder / "x.ckpt")
    assert record.config.resolved["db"]["password"] == "<redacted>"
    assert "${oc.env:MY_API_KEY}" in record.config.composed


def test_secrets_in_folder_names_and_paths(app: App) -> None:
    app.script(
        "from lightning.pytorch.loggers import CSVLogger\n" + SAVE.replace("False)", "False, logger=CSVLogger('logs'))")
    )
    app.run("+db.password=hunter2XY99", "hydra.run.dir=out/${hydra.job.override_dirname}")
    record = read_record(app.folder / "x.ckpt")
    assert "hunter2XY99" not in json.dumps(record.to_dict())
    assert record.hydra.output_dir == str(app.folder / "out" / "+db.password=<redacted>")
    assert all("hunter2XY99" not in path.read_text() for path in app.folder.rglob("logs/**/hparams.yaml"))


def test_read_only_folder(app: App) -> None:
    """Where the app itself can save nothing, we add no second failure."""
    app.script("""
        fitted = trainer(enable_checkpointing=False)
        fitted.fit(Net(), data())
        try:
            fitted.save_checkpoint("/proc/nowhere/x.ckpt")
        except OSError as error:
            print("the app's own:", type(error).__name__)
    """)
    assert "the app's own:" in app.run().stdout


def test_lightning_without_hydra_gets_nothing(app: App) -> None:
    app.write(
        "plain.py",
        """
        import sys
        from net import Net, data, trainer
        fitted = trainer(enable_checkpointing=False)
        assert not any("lit_hydra" in type(c).__module__ for c in fitted.callbacks)
        assert "lit_hydra_bridge.record.callback" not in sys.modules and "hydra" not in sys.modules
        """,
    )
    app.run(script="plain.py")


def test_both_names_of_lightning_in_one_process(app: App) -> None:
    app.script(
        "import pytorch_lightning\nfrom lit_hydra_bridge import RunRecorder\nRunRecorder()\n"
        "pytorch_lightning.Trainer(callbacks=[RunRecorder()], logger=False, enable_checkpointing=False)\n" + SAVE
    )
    app.run(timeout_s=180)
    assert read_record(app.folder / "x.ckpt").hydra.job_name == "train"


CALLBACK_SHAPES = {
    "none": "None",
    "list": "[pl.Callback()]",
    "tuple": "(pl.Callback(), pl.Callback())",
    "one": "pl.Callback()",
    "empty": "[]",
    "empty tuple": "()",
    "ListConfig": "OmegaConf.create([pl.Callback()], flags={'allow_objects': True})",
    "empty ListConfig": "OmegaConf.create([])",
    "instantiated": "hydra.utils.instantiate(OmegaConf.create([{'_target_': f'{pl.__name__}.Callback'}]))",
}


@pytest.mark.parametrize("flavour", EACH_FLAVOUR)
def test_lightning_announces_no_callback_of_ours(tmp_path: Path, flavour: str) -> None:
    """Whatever the Trainer is given as callbacks; also where a launcher wants to know how far the training is."""
    app = App.create(tmp_path / "app", flavour)
    cases = "\n".join(
        f"given = {text}\n"
        "try:\n    fitted = trainer(callbacks=given, enable_checkpointing=False)\n"
        "except AttributeError:\n    assert isinstance(given, tuple)  # which Lightning itself can't extend\n"
        f"else:\n    assert any('RunRecorder' in type(c).__name__ for c in fitted.callbacks), {name!r}\n"
        f"print('CASE', {name!r}, flush=True)\n"
        for name, text in CALLBACK_SHAPES.items()
    )
    app.script("import logging\nlogging.basicConfig(level=logging.INFO, force=True)\n" + cases)
    done = app.run(env={"LIT_HYDRA_BRIDGE_PROGRESS": str(tmp_path / "progress.json")})
    assert done.stdout.count("CASE") == len(CALLBACK_SHAPES)
    assert "callbacks from entry point" not in done.stdout + done.stderr

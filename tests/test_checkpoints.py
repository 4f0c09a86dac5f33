"""Every checkpoint that Lightning writes carries the record, whichever way it was written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lit_hydra_bridge import load_config, read_record
from tests.support import EACH_FLAVOUR, FLAVOURS, App, run

EVERY_WAY = """
    from importlib import import_module

    callbacks = import_module(pl.__name__ + ".callbacks")
    ModelCheckpoint = callbacks.ModelCheckpoint

    class OwnCheckpoint(ModelCheckpoint):
        pass

    saved = [
        ModelCheckpoint("a", filename="full", save_last=True),
        ModelCheckpoint("b", filename="weights", save_weights_only=True, every_n_train_steps=1),
        OwnCheckpoint("c", filename="own", monitor="val_loss"),
    ]
    fitted = trainer(callbacks=saved, max_epochs=2)
    fitted.fit(Net(cfg.model.lr), data(), data())
    fitted.save_checkpoint("by_hand.ckpt")
    fitted.save_checkpoint("by_hand_weights.ckpt", weights_only=True)
"""


@pytest.mark.matrix
@pytest.mark.parametrize("flavour", EACH_FLAVOUR)
def test_every_way_of_saving_carries_the_record(tmp_path: Path, flavour: str) -> None:
    app = App.create(tmp_path / "app with space, = and ü", flavour)
    other = next(name for name in FLAVOURS if name != flavour)
    app.script(EVERY_WAY + f"    assert {other!r} not in sys.modules")
    app.run("model.lr=0.5", "hydra.job.chdir=true")
    found = app.checkpoints()
    names = {path.name for path in found}
    assert {"full.ckpt", "last.ckpt", "weights.ckpt", "own.ckpt", "by_hand.ckpt", "by_hand_weights.ckpt"} <= names
    records = [read_record(path) for path in found]
    assert all(record.hydra and record.hydra.overrides == ["model.lr=0.5"] for record in records)
    assert len({record.run_id for record in records}) == 1
    assert records[0].config.resolved == {"model": {"lr": 0.5, "decay": 0.5}, "seed": 7}
    assert "decay: ${.lr}" in records[0].config.composed
    assert records[0].training is not None
    assert records[0].training.model_class == "net.Net"


@pytest.mark.matrix
def test_weights_only_load_takes_our_part(app: App) -> None:
    """`torch.load(weights_only=True)` is what torch does by default: nothing of ours may stop it."""
    app.script("""
        fitted = trainer(enable_checkpointing=False)
        fitted.fit(Net(), data())
        fitted.save_checkpoint("full.ckpt")
        assert '"schema_version":2' in torch.load("full.ckpt", weights_only=True)["lit_hydra_bridge"]
    """)
    app.run()


def test_async_and_own_checkpoint_io(app: App) -> None:
    app.script("""
        from lightning.pytorch.plugins.io import AsyncCheckpointIO, TorchCheckpointIO

        class OwnIO(TorchCheckpointIO):
            saved = 0

            def save_checkpoint(self, checkpoint, path, storage_options=None):
                self.saved += 1
                torch.save(checkpoint, path)

        for name, io in {"async": AsyncCheckpointIO(), "own": OwnIO()}.items():
            fitted = trainer(enable_checkpointing=False, plugins=[io])
            fitted.fit(Net(), data())
            fitted.save_checkpoint(f"{name}.ckpt")
            fitted.save_checkpoint(f"{name}_weights.ckpt", weights_only=True)
            fitted.strategy.checkpoint_io.teardown()
            assert fitted.strategy.checkpoint_io is io
        assert type(io) is OwnIO and io.saved == 2
    """)
    app.run()
    assert len(app.checkpoints()) == 4
    assert {read_record(path).hydra.job_name for path in app.checkpoints()} == {"train"}


def test_checkpoint_on_exception(app: App) -> None:
    app.script("""
        from lightning.pytorch.callbacks import OnExceptionCheckpoint

        class Fails(Net):
            def on_train_batch_start(self, batch, index):
                raise RuntimeError("the app's own")

        try:
            trainer(callbacks=[OnExceptionCheckpoint(".", filename="crashed")]).fit(Fails(), data())
        except RuntimeError as error:
            print("raised", error)
    """)
    assert "raised the app's own" in app.run().stdout
    assert read_record(app.folder / "crashed.ckpt").training.model_class.endswith("Fails")


DDP = """
    # The group of one module-level port: rank 1 is started by running this script again.
    fitted = trainer(strategy={strategy!r}, devices=2, max_epochs=1, enable_checkpointing=False)
    fitted.fit(Net(cfg.model.lr), data())
    fitted.save_checkpoint("full.ckpt")
    fitted.save_checkpoint("weights.ckpt", weights_only=True)
"""


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_distributed_on_two_processes(app: App, strategy: str) -> None:
    app.script(DDP.format(strategy=strategy))
    done = app.run("model.lr=0.25", timeout_s=240)
    for name in ("full.ckpt", "weights.ckpt"):
        record = read_record(app.folder / name)
        assert record.hydra.overrides == ["model.lr=0.25"]
        assert record.training.world_size == 2
        assert record.config.resolved["model"]["lr"] == 0.25
    assert "lit-hydra-bridge" not in done.stderr


def test_saved_inside_a_spawned_process(app: App) -> None:
    """The spawned rank zero has no Hydra; its ModelCheckpoint's files must say how they were made all the same."""
    app.script("""
        from lightning.pytorch.callbacks import ModelCheckpoint

        full = ModelCheckpoint("x", filename="full")
        weights = ModelCheckpoint("x", filename="w", save_weights_only=True, every_n_train_steps=1)
        trainer(strategy="ddp_spawn", devices=2, callbacks=[full, weights]).fit(Net(), data())
    """)
    app.run("model.lr=0.75", timeout_s=240)
    assert [read_record(path).config.resolved["model"]["lr"] for path in app.checkpoints()] == [0.75, 0.75]


SHARDED_NET = """
    import torch
    from net import Net

    class Sharded(Net):
        def configure_model(self):
            from torch.distributed._composable.fsdp import fully_shard
            fully_shard(self.layer, mesh=self.device_mesh["data_parallel"])
"""


def test_sharded_checkpoint_has_the_record_in_its_meta_file(app: App) -> None:
    """ModelParallelStrategy runs on a CPU; FSDPStrategy, the other one that shards, refuses to."""
    app.write("sharded.py", SHARDED_NET)
    app.script("""
        from lightning.pytorch.strategies import ModelParallelStrategy
        from sharded import Sharded

        def fit(**settings):
            strategy = ModelParallelStrategy(2, 1, process_group_backend="gloo")
            fitted = trainer(strategy=strategy, devices=2, enable_checkpointing=False, **settings)
            fitted.fit(Sharded(), data(), ckpt_path="full.ckpt" if cfg.seed == 8 else None)
            return fitted

        if cfg.seed == 7:
            fitted = fit()
            fitted.save_checkpoint("full.ckpt")
            fitted.save_checkpoint("weights.ckpt", weights_only=True)
        else:
            fit(max_epochs=2).save_checkpoint("resumed.ckpt")
    """)
    app.run(timeout_s=240)
    for name in ("full", "weights"):
        assert (app.folder / f"{name}.ckpt" / "meta.pt").is_file()
        assert read_record(app.folder / f"{name}.ckpt").training.world_size == 2
    app.run("seed=8", timeout_s=240)
    resumed = read_record(app.folder / "resumed.ckpt")
    assert [ancestor.run_id for ancestor in resumed.lineage] == [read_record(app.folder / "full.ckpt").run_id]


RESUME = """
    first = trainer(enable_checkpointing=False)
    first.fit(Net(), data())
    first.save_checkpoint("first.ckpt")
"""


@pytest.mark.matrix
def test_resume_and_fine_tune_carry_the_lineage(app: App) -> None:
    app.script(RESUME)
    app.run("model.lr=0.3", "+note=pretraining")
    app.script(
        """
        resumed = trainer(max_epochs=2, enable_checkpointing=False)
        resumed.fit(Net(), data(), ckpt_path="first.ckpt")
        resumed.save_checkpoint("resumed.ckpt")
        """,
        name="resume.py",
    )
    app.script(
        """
        model = Net.load_from_checkpoint("first.ckpt" if cfg.seed == 7 else "resumed.ckpt")
        tuned = trainer(enable_checkpointing=False)
        tuned.fit(model, data())
        tuned.save_checkpoint("tuned.ckpt", weights_only=True)
        """,
        name="tune.py",
    )
    app.run(script="resume.py")
    first, resumed = (read_record(app.folder / f"{name}.ckpt") for name in ("first", "resumed"))
    assert [ancestor.run_id for ancestor in resumed.lineage] == [first.run_id]
    assert resumed.lineage[0].overrides == ["model.lr=0.3", "+note=pretraining"]
    assert "note: pretraining" in resumed.lineage[0].config
    app.run(script="tune.py")
    assert [ancestor.run_id for ancestor in read_record(app.folder / "tuned.ckpt").lineage] == [first.run_id]
    app.run("seed=8", script="tune.py")
    tuned = read_record(app.folder / "tuned.ckpt")
    assert [ancestor.run_id for ancestor in tuned.lineage] == [resumed.run_id, first.run_id]
    assert tuned.lineage[0].checkpoint == str(app.folder / "resumed.ckpt")


def test_lineage_of_a_recorder_with_options_and_of_a_long_chain(app: App) -> None:
    app.script("""
        import lit_hydra_bridge.record.composed_config as reading
        from lit_hydra_bridge import RunRecorder

        OmegaConf.register_new_resolver("forbidden", lambda: open("evaluated", "w").close())
        if os.path.exists("chain.ckpt"):
            Net.load_from_checkpoint("chain.ckpt")
        recorder = RunRecorder(custom_resolvers=False, diff=False)
        fitted = trainer(enable_checkpointing=False, callbacks=[recorder])
        fitted.fit(Net(), data())
        fitted.save_checkpoint("chain.ckpt")
        assert not os.path.exists("evaluated")
    """)
    app.add_to_config({"never": "${forbidden:}"})
    runs = []
    for seed in range(3):
        app.run(f"seed={seed}")
        record = read_record(app.folder / "chain.ckpt")
        assert [ancestor.run_id for ancestor in record.lineage] == runs
        runs.insert(0, record.run_id)


def test_lightning_imported_inside_the_task_still_sees_what_is_loaded(app: App) -> None:
    """Nothing of Lightning is there when Hydra starts; the loader is prepared the moment it is imported."""
    app.script(RESUME)
    app.run()
    app.write(
        "late.py",
        """
        import sys
        import hydra

        @hydra.main(version_base="1.3", config_path="conf", config_name="config")
        def main(cfg):
            assert "torch" not in sys.modules
            from net import Net, data, trainer
            model = Net.load_from_checkpoint("first.ckpt")
            tuned = trainer(enable_checkpointing=False)
            tuned.fit(model, data())
            tuned.save_checkpoint("tuned.ckpt")

        main()
        """,
    )
    app.run(script="late.py", cold=True)
    assert len(read_record(app.folder / "tuned.ckpt").lineage) == 1


def test_checkpoint_is_read_where_the_package_is_absent(app: App, tmp_path: Path) -> None:
    """`-S` and a bare path of site-packages: our modules are blocked, as on a machine without the package."""
    app.script(RESUME)
    app.run()
    reader = tmp_path / "reader.py"
    reader.write_text(f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "lit_hydra_bridge":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
sys.path.insert(0, {str(app.folder)!r})
import json, os
os.environ["LIT_HYDRA_BRIDGE"] = "off"
import torch
from net import Net
path = {str(app.folder / "first.ckpt")!r}
assert json.loads(torch.load(path)["lit_hydra_bridge"])["hydra"]["job_name"] == "train"
assert Net.load_from_checkpoint(path).hparams.lr == 0.1
assert "lit_hydra_bridge" not in sys.modules
""")
    run(sys.executable, str(reader), cwd=tmp_path)


def test_member_added_to_the_zip_and_own_keys(app: App) -> None:
    app.script("""
        import zipfile

        class Own(Net):
            def on_save_checkpoint(self, checkpoint):
                checkpoint["cfg"] = OmegaConf.to_container(cfg)

        fitted = trainer(enable_checkpointing=False)
        fitted.fit(Own(), data())
        fitted.save_checkpoint("own.ckpt")
        with zipfile.ZipFile("own.ckpt", "a") as archive:
            archive.writestr("archive/data.pkl.txt", "x")
            archive.writestr("archive/notes/data.pkl", "x")
        assert torch.load("own.ckpt")["cfg"]["seed"] == 7
    """)
    app.run()
    assert load_config(app.folder / "own.ckpt", resolve=True).model.decay == 0.1


@pytest.mark.matrix
def test_several_trainers_in_one_job_and_jobs_in_one_process(app: App) -> None:
    app.script("""
        for name in ("a", "b"):
            fitted = trainer(enable_checkpointing=False, max_epochs=1 if name == "a" else 2)
            fitted.fit(Net(), data())
            fitted.save_checkpoint(f"{cfg.seed}{name}.ckpt")
    """)
    app.run("-m", "seed=1,2")
    records = {path.stem: read_record(path) for path in app.checkpoints()}
    assert {name: record.hydra.job_num for name, record in records.items()} == {"1a": 0, "1b": 0, "2a": 1, "2b": 1}
    assert records["1a"].run_id == records["1b"].run_id != records["2a"].run_id
    assert records["2b"].hydra.mode == "MULTIRUN"
    assert records["2b"].hydra.overrides == ["seed=2"]
    assert records["2b"].lineage == []


@pytest.mark.parametrize("where", ["before Hydra", "before the config changes"])
def test_record_has_the_composed_config(app: App, where: str) -> None:
    if where == "before Hydra":
        app.script(
            """
            fitted.fit(Net(), data())
            fitted.save_checkpoint(f"{cfg.seed}.ckpt")
            """,
            prelude="",
        )
        text = (app.folder / "train.py").read_text()
        made = "fitted = trainer(enable_checkpointing=False)\n\n\n@hydra.main"
        (app.folder / "train.py").write_text(text.replace("@hydra.main", made))
    else:
        app.script("""
            seed, cfg.seed, cfg.model.lr = cfg.seed, 99, 99
            fitted = trainer(enable_checkpointing=False)
            fitted.fit(Net(), data())
            fitted.save_checkpoint(f"{seed}.ckpt")
        """)
    app.run("-m", "seed=3,4")
    assert [load_config(path, resolve=True).seed for path in app.checkpoints()] == [3, 4]
    assert [load_config(path, resolve=True).model.lr for path in app.checkpoints()] == [0.1, 0.1]


def test_no_file_and_no_word_on_a_good_day(app: App) -> None:
    """The same app with the bridge and without it: same output, same files but for run.json."""
    app.script("""
        fitted = trainer(default_root_dir=".", callbacks=[])
        fitted.fit(Net(), data())
        print(sorted(type(c).__name__ for c in fitted.callbacks if "lit_hydra" not in type(c).__module__))
    """)
    seen = []
    for switch in ("on", "off"):
        done = app.run(f"hydra.run.dir=out_{switch}", env={"LIT_HYDRA_BRIDGE": switch}, timeout_s=60)
        files = sorted(
            str(p.relative_to(app.folder / f"out_{switch}")) for p in (app.folder / f"out_{switch}").rglob("*")
        )
        beside = sorted(p.name for p in app.folder.iterdir() if "out_" not in p.name)
        assert ("run.json" in files) == (switch == "on")
        files = [name for name in files if name != "run.json"]
        seen.append((_without_times(done).replace(f"out_{switch}", "out"), files, beside))
        for path in app.checkpoints():
            path.unlink()
    assert seen[0] == seen[1]


def _without_times(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(line.partition("][")[2] or line for line in (done.stdout + done.stderr).splitlines())

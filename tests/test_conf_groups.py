"""The config groups that come with the package: composed by Hydra and instantiated, in real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lit_hydra_bridge import read_record
from tests.support import FLAVOURS, App

CONF = Path(__file__).parents[1] / "lit_hydra_bridge" / "conf" / "lit"
OPTIONS = {
    group: sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("trainer", "logger", "callbacks")
}

CONFIG = """
defaults:
  - lit/trainer@trainer: cpu
  - lit/logger@loggers: [csv, tensorboard]
  - lit/callbacks@callbacks: default
  - _self_

trainer:
  max_epochs: 3
  logger: ${oc.dict.values:loggers}
  callbacks: ${oc.dict.values:callbacks}

model:
  lr: 0.1
"""

# Instantiates every option, under its own package and under another, and notes what came of it.
INSTANTIATE = """
import json
import sys

from hydra import compose, initialize
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import OmegaConf

options, extra = json.loads(sys.argv[1]), sys.argv[2:]
# No accelerator of these can be counted on where tests run, and Lightning asks for it when a Trainer is made.
on_cpu = {"gpu": ["accelerator=cpu"], "mps": ["accelerator=cpu"], "ddp": ["accelerator=cpu", "devices=1"]}
facts = ["hydra.runtime.output_dir=out", "hydra.runtime.cwd=.", "hydra.job.name=job"]
found = {}
with initialize(config_path=None, version_base="1.3"):
    for group, names in options.items():
        for name in names:
            for relocation, node in (("", f"lit.{group}"), ("@some.place", "some.place")):
                changes = [f"{node}.{one}" for one in on_cpu.get(name, ())] if group == "trainer" else []
                asked = [f"+lit/{group}{relocation}={name}", *extra, *facts]
                plain = compose(overrides=asked)
                cfg = compose(overrides=[*asked, *changes], return_hydra_config=True)
                HydraConfig.instance().set_config(cfg)
                made = instantiate(OmegaConf.select(cfg, node))
                parts = {"": made} if group == "trainer" else dict(made)
                found[f"{group}/{name}{relocation}"] = {
                    "made": {key: type(part).__module__ + "." + type(part).__name__ for key, part in parts.items()},
                    "asked": OmegaConf.to_container(OmegaConf.select(plain, node), resolve=False),
                    "devices": made.num_devices if group == "trainer" else None,
                    "root": made.default_root_dir if group == "trainer" else None,
                }
other = {"lightning.pytorch": "pytorch_lightning", "pytorch_lightning": "lightning"}
flavour = "pytorch_lightning" if extra else "lightning.pytorch"
assert flavour in sys.modules and other[flavour] not in sys.modules
print("FOUND " + json.dumps(found))
"""

CLASSES = {
    "checkpoint": "callbacks.model_checkpoint.ModelCheckpoint",
    "early_stopping": "callbacks.early_stopping.EarlyStopping",
    "progress_bar": "callbacks.progress.tqdm_progress.TQDMProgressBar",
    "csv": "loggers.csv_logs.CSVLogger",
    "tensorboard": "loggers.tensorboard.TensorBoardLogger",
    "wandb": "loggers.wandb.WandbLogger",
    "mlflow": "loggers.mlflow.MLFlowLogger",
}


def expected(flavour: str, group: str, name: str) -> dict[str, str]:
    """The classes that an option stands for."""
    if group == "trainer":
        return {"": f"{flavour}.trainer.trainer.Trainer"}
    names = ["checkpoint", "early_stopping", "progress_bar"] if name == "default" else [name]
    return {one: f"{flavour}.{CLASSES[one]}" for one in names}


def test_the_groups_have_what_is_promised() -> None:
    assert {"cpu", "gpu", "ddp", "mps"} <= set(OPTIONS["trainer"])
    assert set(OPTIONS["logger"]) == {"csv", "tensorboard", "wandb", "mlflow"}
    assert set(OPTIONS["callbacks"]) == {"checkpoint", "early_stopping", "progress_bar", "default"}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_option_is_instantiated(app: App, flavour: str) -> None:
    app.write("instantiate.py", INSTANTIATE)
    extra = ["+lightning_package=pytorch_lightning"] if flavour == "pytorch_lightning" else []
    done = app.run(json.dumps(OPTIONS), *extra, script="instantiate.py", env={"WANDB_MODE": "offline"})
    found = json.loads(done.stdout.split("FOUND ")[1])
    for group, names in OPTIONS.items():
        for name in names:
            for relocation in ("", "@some.place"):
                assert found[f"{group}/{name}{relocation}"]["made"] == expected(flavour, group, name)
    asked = {name: found[f"trainer/{name}"]["asked"] for name in OPTIONS["trainer"]}
    accelerators = {name: asked[name]["accelerator"] for name in ("cpu", "gpu", "ddp", "mps", "ddp_cpu")}
    assert accelerators == {"cpu": "cpu", "gpu": "gpu", "ddp": "gpu", "mps": "mps", "ddp_cpu": "cpu"}
    assert asked["ddp"]["strategy"] == "ddp"
    assert found["trainer/ddp_cpu"]["devices"] == 2
    assert {Path(found[f"trainer/{name}"]["root"]).name for name in OPTIONS["trainer"]} == {"out"}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_app_of_a_few_lines(app: App, flavour: str) -> None:
    """The config at the top of `lit/trainer/default.yaml` gives a whole Trainer with its loggers and callbacks."""
    app.write("conf/config.yaml", CONFIG + f"lightning_package: {flavour}\n" * (flavour != "lightning.pytorch"))
    app.write("net.py", (app.folder / "net.py").read_text().replace("lightning.pytorch", flavour))
    app.script(
        """
        made = instantiate(cfg.trainer)
        names = [type(one).__name__ for one in [*made.loggers, *made.callbacks]]
        for name in ("CSVLogger", "TensorBoardLogger", "ModelCheckpoint", "EarlyStopping", "TQDMProgressBar"):
            assert names.count(name) == 1, names
        made.fit(Net(cfg.model.lr), data(), data())
        assert made.current_epoch == 3
        unwanted = {"lightning.pytorch": "pytorch_lightning", "pytorch_lightning": "lightning"}[pl.__name__]
        assert unwanted not in sys.modules
        """,
        "from hydra.utils import instantiate",
    )
    app.run("-m", "model.lr=0.1,0.2", "hydra.sweep.dir=sweep")
    for job, lr in (("0", 0.1), ("1", 0.2)):
        folder = app.folder / "sweep" / job
        assert (folder / "csv/version_0/metrics.csv").is_file()
        assert list((folder / "tensorboard/version_0").glob("events.out.*"))
        assert (folder / "checkpoints/last.ckpt").is_file()
        record = read_record(folder / "checkpoints/last.ckpt")
        assert record.config.resolved["model"]["lr"] == lr
        assert record.config.resolved["trainer"]["_target_"] == f"{flavour}.Trainer"
        assert [run.kind for run in record.loggers] == ["CSVLogger", "TensorBoardLogger"]
    assert not (app.folder / "lightning_logs").exists()


def test_of_two_processes_with_ddp_cpu_one_logs(app: App) -> None:
    app.write("conf/config.yaml", CONFIG)
    app.script(
        """
        made = instantiate(cfg.trainer)
        made.fit(Net(cfg.model.lr), data(), data())
        Path(cfg.folder, f"rank{made.global_rank}").write_text(str(made.world_size))
        """,
        "from hydra.utils import instantiate",
    )
    app.run("lit/trainer@trainer=ddp_cpu", "trainer.max_epochs=1", "hydra.run.dir=out", f"+folder={app.folder}")
    assert (app.folder / "rank1").read_text() == "2"
    assert (app.folder / "out/checkpoints/last.ckpt").is_file()
    (hparams,) = app.folder.rglob("csv/**/hparams.yaml")
    assert "ddp" in hparams.read_text() and "output_dir" in hparams.read_text()
    (_,) = app.folder.rglob("events.out.*")


def test_the_compose_api_without_a_job_says_what_is_missing(app: App) -> None:
    """`${hydra:…}` needs a job: an error that names it, rather than files in some folder nobody named."""
    app.write("conf/config.yaml", CONFIG)
    app.write(
        "compose_it.py",
        """
        from hydra import compose, initialize
        from hydra.utils import instantiate

        with initialize(config_path="conf", version_base="1.3"):
            own = ["trainer.default_root_dir=here", "loggers.csv.save_dir=here", "callbacks.checkpoint.dirpath=here"]
            made = instantiate(compose("config", overrides=["lit/logger@loggers=csv", *own]).trainer)
            assert [type(logger).__name__ for logger in made.loggers] == ["CSVLogger"]
            try:
                instantiate(compose("config").trainer)
            except Exception as error:
                print("ERROR", error)
        """,
    )
    assert "HydraConfig was not set" in app.run(script="compose_it.py").stdout.split("ERROR")[1]

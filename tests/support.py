"""What the tests share: a small app that knows nothing of the bridge, run in real processes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

import pytest

from tests import warm

_TOOL = str(Path(sys.executable).with_name("lit-hydra"))
FLAVOURS = ("lightning.pytorch", "pytorch_lightning")
EACH_FLAVOUR = [
    pytest.param(
        name, marks=pytest.mark.skipif(find_spec(name.split(".")[0]) is None, reason=f"{name} is not installed")
    )
    for name in FLAVOURS
]

# A model of ten weights and a data set of sixteen rows: a fit takes milliseconds.
NET = """
import {flavour} as pl
import torch
from torch.utils.data import DataLoader, TensorDataset


class Net(pl.LightningModule):
    def __init__(self, lr: float = 0.1, **other):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 2)

    def step(self, batch):
        return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def training_step(self, batch, index):
        loss = self.step(batch)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.step(batch))

    def test_step(self, batch, index):
        self.log("test_loss", self.step(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 4, generator=generator)
    return DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=8)


def trainer(**settings):
    quiet = dict(accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False)
    return pl.Trainer(**{{"max_epochs": 1, "log_every_n_steps": 1, **quiet, **settings}})
"""

CONFIG = """
model:
  lr: 0.1
  decay: ${.lr}
seed: 7
"""

# `{body}` runs in the task function, with cfg, pl, net, torch, and Path at hand.
SCRIPT = """
{prelude}
import os
import sys
from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf

import net
from net import Net, data, trainer, pl


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig):
{body}


if __name__ == "__main__":
    main()
"""


@dataclass(frozen=True)
class App:
    """A folder with `net.py`, `conf/config.yaml` and a script."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, flavour: str = "lightning.pytorch", config: str = CONFIG) -> App:
        """Write the app for one of Lightning's two names."""
        app = cls(folder)
        (folder / "conf").mkdir(parents=True)
        app.write("net.py", NET.format(flavour=flavour))
        app.write("conf/config.yaml", config)
        return app

    def write(self, name: str, text: str) -> Path:
        """Write one of the app's files."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def script(self, body: str, prelude: str = "", name: str = "train.py") -> Path:
        """Write a script whose task function is `body`."""
        indented = "\n".join(f"    {line}" for line in dedent(body).strip().split("\n"))
        return self.write(name, SCRIPT.format(body=indented, prelude=dedent(prelude)))

    def add_to_config(self, nodes: Mapping[str, str]) -> None:
        """Add top-level nodes to `conf/config.yaml`."""
        with (self.folder / "conf" / "config.yaml").open("a", encoding="utf-8") as file:
            file.writelines(f"{key}: '{value}'\n" for key, value in nodes.items())

    def run(
        self,
        *arguments: str,
        script: str = "train.py",
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout_s: float = 120,
        cold: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run the script in a process of its own."""
        command = (sys.executable, script, *arguments)
        return run(*command, cwd=self.folder, env=env, check=check, timeout_s=timeout_s, cold=cold)

    def checkpoints(self) -> list[Path]:
        """All checkpoint files below the folder."""
        return sorted(self.folder.rglob("*.ckpt"))


def run(
    *command: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    timeout_s: float = 120,
    cold: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command without the switches that the developer's own shell may have set.

    A script starts warm (see warm.py), unless it is to be `cold`: what it has imported itself is what matters.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LIT_HYDRA", "PYTEST", "COV_"))}
    environment = {**clean, "HYDRA_FULL_ERROR": "1", "OMP_NUM_THREADS": "1", **(env or {})}
    if not cold and warm.can_run(command, environment):
        done = subprocess.CompletedProcess(command, *warm.run(command, cwd, environment, timeout_s))
    else:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )
    if check and done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def lit_hydra(*arguments: str, cwd: Path, check: bool = True, env: Mapping[str, str] | None = None):
    """Run the command line tool that belongs to this interpreter."""
    return run(_TOOL, *arguments, cwd=cwd, check=check, env=env)


def on_terminal(*arguments: str, cwd: Path, columns: int = 80, **env: str) -> tuple[int, str]:
    """Run the tool on a pseudo-terminal; return how it ended, and what was shown."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **env}
    process = subprocess.Popen([_TOOL, *arguments], cwd=cwd, env=environment, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:  # Linux says EIO where the other side is closed
        pass
    os.close(master)
    return process.wait(60), shown.decode("utf-8", "surrogateescape").replace("\r\n", "\n")

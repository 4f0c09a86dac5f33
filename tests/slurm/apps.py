"""An app that is swept with `hydra/launcher=lit_slurm`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from lit_hydra_bridge.hydra_text import quoted
from tests.slurm.cluster import Cluster
from tests.sweep_support import Ended, SweepApp

# A training that can be held in a step; data are shuffled and units dropped, so that nothing but the very same random
# numbers gives the same weights. With `at=1-3` the file `hold-1-3` holds it in epoch 1 before batch 3.
TRAINING = """
import hydra
import lightning.pytorch as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from pathlib import Path
from torch.utils.data import DataLoader, TensorDataset
import os
import time

HERE = Path(__file__).resolve().parent
OmegaConf.register_new_resolver("with_workers", lambda at: 2 if at == "0-3" else 0)


class Net(pl.LightningModule):
    def __init__(self, at):
        super().__init__()
        self.at = at
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 2))

    def training_step(self, batch, index):
        place = f"{self.current_epoch}-{index}"
        print("STEP", place, float(batch[0].sum()), flush=True)
        while place == self.at and (HERE / f"hold-{place}").exists():
            time.sleep(0.05)
        loss = torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.05)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


def data(workers):
    x = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=8, shuffle=True, num_workers=workers)


@hydra.main(version_base="1.3", config_path="conf", config_name="training")
def main(cfg):
    pl.seed_everything(3, verbose=False)
    quiet = dict(logger=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1)
    trainer = pl.Trainer(accelerator="cpu", devices=cfg.devices, strategy=cfg.strategy, max_epochs=cfg.epochs,
        enable_checkpointing=cfg.saves, **quiet)
    environment = type(trainer._accelerator_connector.cluster_environment).__name__
    print("RANK", trainer.global_rank, trainer.world_size, environment, HydraConfig.get().job.id, cfg.when, flush=True)
    if cfg.ill_rank == trainer.global_rank:
        raise ValueError(f"rank {trainer.global_rank} is ill")
    model = Net(cfg.at)
    trainer.fit(model, data(cfg.workers))
    folder = Path(HydraConfig.get().runtime.output_dir)
    if trainer.is_global_zero:
        torch.save(model.state_dict(), folder / "final.pt")
    return float(trainer.callback_metrics["loss"])


if __name__ == "__main__":
    main()
"""
TRAINING_CONFIG = """
at: null
epochs: 2
devices: 1
strategy: auto
workers: 0
saves: false
ill_rank: null
when: ${now:%f}
"""


@dataclass(frozen=True)
class SlurmApp(SweepApp):
    """A SweepApp whose sweeps go to a cluster."""

    cluster: Cluster = field(kw_only=True)

    @classmethod
    def on(cls, cluster: Cluster, folder: Path, config: str = "x: 0\n") -> SlurmApp:
        """Make the folder, with a config."""
        app = cls(folder, cluster=cluster)
        app.write("conf/config.yaml", config)
        return app

    def training(self) -> Path:
        """Write the training."""
        self.write("conf/training.yaml", TRAINING_CONFIG)
        return self.write("train.py", dedent(TRAINING))

    def command(self, *overrides: str, script: str = "app.py", out: Path | None = None) -> list[str]:
        """Return the command of a sweep."""
        launcher = ["hydra/launcher=lit_slurm", "hydra.launcher.poll_s=0.5"]
        return [sys.executable, script, "-m", *launcher, f"hydra.sweep.dir={quoted(str(out or self.out))}", *overrides]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return that of the app's processes."""
        return super().environment({**self.cluster.environment, **(more or {})})

    def run(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        returncode: int | None = 0,
        timeout_s: float = 120,
    ) -> Ended:
        """Run a command to its end; Slurm's own processes of the app may end a moment later."""
        with self.launch(*command, env=env, cwd=cwd) as launched:
            status = launched.wait(timeout_s)
            assert returncode in (None, status), f"exit status {status}\n{launched.output}\n{self.logs()}"
            return Ended(status, launched.output)

    def logs(self) -> str:
        """Return what all jobs have printed."""
        paths = [*sorted(self.out.rglob("job*.log")), *sorted(self.out.rglob("*_log.out"))]
        return "\n".join(f"== {path}\n{path.read_text(errors='replace')}" for path in paths)

    def log(self, number: int = 0) -> str:
        """Return what a job has printed."""
        path = self.out / str(number) / "job.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def weights(self, folder: Path) -> Any:
        """Return the final weights of a training."""
        import torch

        return torch.load(folder / "final.pt")

"""The digits with Lightning, driven by Hydra: where the conversion ends.

Run it with `python example_app/train.py`, or `python -m example_app.train`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
import lightning.pytorch as pl
from hydra.utils import instantiate
from omegaconf import DictConfig

# Finds `example_app` however this file is started: as a script, as a module, from any folder.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Hydra 1.4 wants to be told which classes a config may name, and older ones which version's defaults are meant.
WHITELIST = ["example_app.*", "lightning.pytorch.*", "torch.*"]
FOR_THIS_HYDRA = {"version_base": "1.3"} if hydra.__version__ < "1.4" else {"execution_whitelist": WHITELIST}


@hydra.main(config_path="conf", config_name="config", **FOR_THIS_HYDRA)
def main(cfg: DictConfig) -> float:
    """Trains once; the accuracy that it returns is what a sweeper can optimise."""
    pl.seed_everything(cfg.seed, verbose=False)
    train_loader, val_loader = instantiate(cfg.data)
    module: pl.LightningModule = instantiate(cfg.model)
    trainer: pl.Trainer = instantiate(cfg.trainer)

    trainer.fit(module, train_loader, val_loader, ckpt_path=cfg.ckpt_path)

    accuracy = float(trainer.callback_metrics["val_acc"])
    print(f"validation accuracy: {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()

"""How good is a checkpoint? Its model and its images are made from the config that it was trained with.

Run it with `CKPT=path/to/last.ckpt python example_app/evaluate.py`. This needs lit-hydra-bridge, both here and in the
run that saved the checkpoint.
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
WHITELIST = ["example_app.*", "torch.*"]
FOR_THIS_HYDRA = {"version_base": "1.3"} if hydra.__version__ < "1.4" else {"execution_whitelist": WHITELIST}


@hydra.main(config_path="conf", config_name="evaluate", **FOR_THIS_HYDRA)
def main(cfg: DictConfig) -> float:
    """Validates once, and returns the accuracy."""
    _, val_loader = instantiate(cfg.data)
    module: pl.LightningModule = instantiate(cfg.model)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)

    trainer.validate(module, val_loader, ckpt_path=cfg.ckpt_path, verbose=False)

    accuracy = float(trainer.callback_metrics["val_acc"])
    print(f"validation accuracy: {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()

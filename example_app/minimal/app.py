"""The smallest app with Hydra and Lightning: a line through 640 points, and three values to configure."""

from __future__ import annotations

import hydra
import lightning.pytorch as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class Line(pl.LightningModule):
    """y = ax + b."""

    def __init__(self, learning_rate: float, weight_decay: float) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        return nn.functional.mse_loss(self.line(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)


# Before Hydra 1.4 it has to be said which version's defaults are meant.
@hydra.main(config_path="conf", config_name="config", **({"version_base": "1.3"} if hydra.__version__ < "1.4" else {}))
def main(cfg: DictConfig) -> None:
    x = torch.linspace(-1, 1, 640).unsqueeze(dim=1)
    points = DataLoader(TensorDataset(x, 2 * x + 1), batch_size=cfg.data.batch_size, shuffle=True)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=HydraConfig.get().runtime.output_dir,
    )

    trainer.fit(Line(cfg.model.learning_rate, cfg.model.weight_decay), points)

    # Asked of the optimizer and the trainer: what the run used, whatever the config said.
    used = trainer.optimizers[0].param_groups[0]
    print(f"learning rate: {used['lr']}")
    print(f"weight decay: {used['weight_decay']}")
    print(f"batches of {cfg.data.batch_size} in an epoch: {trainer.global_step}")


if __name__ == "__main__":
    main()

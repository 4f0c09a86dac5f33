"""A config group with two options: one file per option, and the command line picks."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig, OmegaConf


# Before Hydra 1.4 it has to be said which version's defaults are meant.
@hydra.main(config_path="conf", config_name="config", **({"version_base": "1.3"} if hydra.__version__ < "1.4" else {}))
def main(cfg: DictConfig) -> None:
    print(OmegaConf.to_yaml(cfg), end="")


if __name__ == "__main__":
    main()

"""From a live Hydra job and a Trainer to a RunRecord in every checkpoint and logger."""

"""Config groups that any Hydra app may use: `lit/trainer`, `lit/logger`, `lit/callbacks`."""

"""The config in a WandbLogger: in the run's config, and as text among the run's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lit_hydra_bridge.record.nested import merged


def log_to_wandb(logger: Any, ours: dict[str, Any]) -> None:
    """Its config takes nested values of any length, and is shown and searched by dotted names."""
    config = logger.experiment.config
    there = dict(config.items())
    changed = {key: value for key, value in merged(ours, there).items() if key not in there or there[key] != value}
    if changed:
        config.update(changed, allow_val_change=True)
        _let_the_app_replace(config, {key: config[key] for key in changed if key in config})


def _let_the_app_replace(config: Any, ours: dict[str, Any]) -> None:
    """W&B refuses to change a key unless told otherwise; one that is there because of us must not stand in the way."""
    original = config._sanitize

    def sanitize(key: str, value: Any, allow_val_change: bool | None = None) -> Any:
        name = str(key).strip("-")
        if name in ours and name in config and config[name] == ours[name]:
            allow_val_change = True
        return original(key, value, allow_val_change)

    # On this run's object, past its own __setattr__, which would make it a key.
    object.__setattr__(config, "_sanitize", sanitize)


def save_text_in_wandb(run: Any, composed: str) -> None:
    """The config as composed, with its interpolations, among the run's files."""
    folder = getattr(run, "dir", None)
    if isinstance(folder, str) and Path(folder).is_dir():
        path = Path(folder, "hydra", "config.yaml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(composed, encoding="utf-8")
        run.save(str(path), base_path=folder, policy="now")

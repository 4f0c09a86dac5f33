"""A live Trainer and its model -> the Training section of a record."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from lit_hydra_bridge.progress import Checkpoints
from lit_hydra_bridge.record.run_record import TARGETS, ComposedConfig, SavedCheckpoint, Training


def read_training(trainer: Any, model: Any, config: ComposedConfig) -> Training:
    """Describe what the Trainer was set to. What a version of Lightning does not tell stays None."""
    torch = sys.modules["torch"]
    model_class = type(model)
    strategy = getattr(trainer, "strategy", None)
    return Training(
        model_class=f"{model_class.__module__}.{model_class.__qualname__}",
        model_key=find_target(config.resolved, model_class),
        seed=_seed(),
        deterministic=bool(torch.are_deterministic_algorithms_enabled()),
        cudnn_deterministic=bool(torch.backends.cudnn.deterministic),
        cudnn_benchmark=bool(torch.backends.cudnn.benchmark),
        accelerator=_class_name(getattr(trainer, "accelerator", None)),
        strategy=_class_name(strategy),
        precision=_text(getattr(trainer, "precision", None)),
        devices=_integer(getattr(trainer, "num_devices", None)),
        num_nodes=_integer(getattr(trainer, "num_nodes", None)),
        world_size=_integer(getattr(trainer, "world_size", None)),
        threads=_integer(torch.get_num_threads()),
    )


def read_metrics(trainer: Any) -> dict[str, float]:
    """Return the last value of each metric that the model has logged. Never raises."""
    metrics: dict[str, float] = {}
    for name, value in getattr(trainer, "callback_metrics", {}).items():
        with suppress(Exception):  # whatever else than a number stands there
            metrics[str(name)] = float(value)
    return metrics


def read_saved_checkpoint(trainer: Any, checkpoint: dict[str, Any]) -> SavedCheckpoint:
    """Describe a checkpoint that Lightning is about to write."""
    found = read_checkpoints(trainer)
    return SavedCheckpoint(
        epoch=_integer(checkpoint.get("epoch")) or 0,
        global_step=_integer(checkpoint.get("global_step")) or 0,
        weights_only="optimizer_states" not in checkpoint,
        best=found.get("best"),
        monitor=found.get("monitor"),
        mode=found.get("mode"),
        score=found.get("score"),
        monitors=read_monitors(trainer),
    )


def read_checkpoints(trainer: Any) -> Checkpoints:
    """Return what a ModelCheckpoint has found so far: the first one with a monitor, or else the first of all.

    `best`, `last`: paths; `monitor`, `mode`, `score`: what the best one is best at.
    """
    found = sorted(getattr(trainer, "checkpoint_callbacks", ()), key=lambda each: not getattr(each, "monitor", None))
    if not found:
        return {}
    score = getattr(found[0], "best_model_score", None)
    return {
        "best": str(getattr(found[0], "best_model_path", "")) or None,
        "last": str(getattr(found[0], "last_model_path", "")) or None,
        "monitor": getattr(found[0], "monitor", None),
        "mode": getattr(found[0], "mode", None),
        "score": float(score) if score is not None and math.isfinite(float(score)) else None,
    }


def watching(trainer: Any) -> Iterator[tuple[Any, str, str]]:
    """Give each callback that says which metric it monitors, and which end of it is best."""
    for callback in trainer.callbacks:
        monitor, mode = getattr(callback, "monitor", None), getattr(callback, "mode", None)
        if isinstance(monitor, str) and mode in ("min", "max"):
            yield callback, monitor, mode


def read_monitors(trainer: Any) -> dict[str, str]:
    """Return which metrics callbacks monitor, and `min` or `max` for each, unless they disagree."""
    found: dict[str, set[str]] = {}
    for _, monitor, mode in watching(trainer):
        found.setdefault(monitor, set()).add(mode)
    return {monitor: modes.pop() for monitor, modes in found.items() if len(modes) == 1}


def put_back(trainer: Any, metrics: Mapping[str, float]) -> None:
    """Give a Trainer metrics that were logged earlier, except those that it has logged since."""
    torch = sys.modules["torch"]
    for there in (trainer.callback_metrics, trainer.logged_metrics):
        for name, value in metrics.items():
            if name not in there:
                tensor = torch.tensor(value)
                is_exact = tensor.item() == value or value != value
                there[name] = tensor if is_exact else tensor.new_tensor(value, dtype=torch.float64)


def _seed() -> int | None:
    try:
        return int(os.environ["PL_GLOBAL_SEED"])
    except (KeyError, ValueError):
        return None


def find_target(config: Any, wanted: type) -> str | None:
    """Return the dotted key of the shallowest node whose target is the class `wanted`."""
    level: list[tuple[str, Any]] = [("", config)]
    while level:
        for key, node in level:
            if isinstance(node, dict) and any(_is_target(node.get(name), wanted) for name in TARGETS):
                return key
        level = [
            (f"{key}.{name}".lstrip("."), child)
            for key, node in level
            if isinstance(node, dict | list)
            for name, child in (node.items() if isinstance(node, dict) else enumerate(node))
            if isinstance(child, dict | list)
        ]
    return None


def _is_target(target: object, wanted: type) -> bool:
    """A target may name the class where it is defined, or any other place that imports it."""
    if not isinstance(target, str):
        return False
    if target == f"{wanted.__module__}.{wanted.__qualname__}":
        return True
    module, _, name = target.rpartition(".")
    # Not getattr: a lazy module's own __getattr__ would import what nobody asked for.
    return vars(sys.modules[module]).get(name) is wanted if module in sys.modules else False


def _class_name(value: object) -> str | None:
    return None if value is None else f"{type(value).__module__}.{type(value).__qualname__}"


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _integer(value: object) -> int | None:
    return int(value) if isinstance(value, int) else None

"""A live Trainer and its model -> the Training section of a record."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from lit_hydra_bridge.record.run_record import TARGETS, ComposedConfig, Training


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

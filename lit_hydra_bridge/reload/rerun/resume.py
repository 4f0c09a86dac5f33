"""Going on from a checkpoint: which config key takes it, and which logger runs go on with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from lit_hydra_bridge.errors import RerunError
from lit_hydra_bridge.hydra_text import quoted
from lit_hydra_bridge.record.run_record import LoggerRun, RunRecord
from lit_hydra_bridge.reload.config import config_of
from lit_hydra_bridge.reload.rerun.overrides import key_of
from lit_hydra_bridge.reload.rerun.three_way import plain_config

_KEY: Final = "ckpt_path"
# The argument of each logger that takes up an earlier run, and what must be set beside it. CSVLogger has one as well,
# and empties that run's folder; a TensorBoard run goes on only where its folder is the same.
_TAKES_UP: Final = {"WandbLogger": ("id", {"resume": "allow"}), "MLFlowLogger": ("run_id", {})}


def resume_overrides(record: RunRecord, checkpoint: str, key: str | None, new: Sequence[Any] = ()) -> list[str]:
    """Return the overrides that make the app go on from a checkpoint.

    Args:
        record: of the run.
        checkpoint: what Lightning is to load.
        key: the config key that the app passes to `trainer.fit(ckpt_path=...)`; None looks for one called `ckpt_path`.
        new: the new overrides, which must not say something else.

    Raises:
        RerunError: the config has no such key, or the checkpoint holds weights alone.
    """
    config = plain_config(config_of(record, False))
    name = _find_key(config, key)
    if any(key_of(override) == name for override in new):
        raise RerunError(f"--resume sets {name} to the checkpoint, and so does an override: leave one of them out")
    if record.checkpoint is not None and record.checkpoint.weights_only:
        raise RerunError(
            f"{checkpoint}: it holds the weights alone, without the optimizer's state (save_weights_only=True), so the "
            "training can't go on from it; load_model reads it"
        )
    return [f"{name}={quoted(checkpoint)}", *_logger_overrides(config, record.loggers)]


def _find_key(config: dict[Any, Any], key: str | None) -> str:
    from lit_hydra_bridge.errors import ConfigKeyError
    from lit_hydra_bridge.reload.config import select

    if key is not None:
        parent, _, name = key.rpartition(".")
        try:
            node = select(config, parent)
            value = select(node, name) if name else node
        except ConfigKeyError as error:
            raise RerunError(f"--resume-key {key}: {error}") from None
        if not name or not isinstance(node, dict) or isinstance(value, dict | list):
            raise RerunError(f"--resume-key {key!r} names no single value of the config, such as {_KEY}")
        return key
    found = sorted(_keys_called(config, _KEY), key=lambda name: name.count("."))
    if not found:
        raise RerunError(
            f"the app's config has no key {_KEY!r}, so it can't be told to go on from a checkpoint: add `{_KEY}: null` "
            f"to it, and pass it on with trainer.fit(..., {_KEY}=cfg.{_KEY}); or name the key with --resume-key"
        )
    if len(found) > 1 and "." in found[0]:
        raise RerunError(f"the app's config has {' and '.join(found)}: say which with --resume-key")
    return found[0]


def _keys_called(value: Any, wanted: str, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            here = f"{path}.{key}".lstrip(".")
            if key == wanted:
                yield here
            yield from _keys_called(item, wanted, here)


def _logger_overrides(config: dict[Any, Any], runs: list[LoggerRun]) -> list[str]:
    """Each logger's run goes on in the node that made it, where there is just one of its kind."""
    result = []
    for run in runs:
        if run.kind not in _TAKES_UP or not run.run_id:
            continue
        argument, beside = _TAKES_UP[run.kind]
        nodes = list(_nodes_of(config, run.kind))
        if len(nodes) == 1 and not nodes[0][1].get(argument):
            values = {argument: run.run_id, **beside}
            result += [f"++{nodes[0][0]}.{name}={quoted(value)}" for name, value in values.items()]
    return result


def _nodes_of(value: Any, kind: str, path: str = "") -> Iterator[tuple[str, dict[Any, Any]]]:
    """Walk to the nodes whose `_target_` is a class of this name."""
    if not isinstance(value, dict):
        return
    if str(value.get("_target_")).rpartition(".")[2] == kind and path:
        yield path, value
    for key, item in value.items():
        yield from _nodes_of(item, kind, f"{path}.{key}".lstrip("."))

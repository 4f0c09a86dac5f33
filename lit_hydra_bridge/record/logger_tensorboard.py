"""The config in TensorBoard: hyperparameters, `hparams.yaml` and a text.

TensorBoard shows the first summary of hyperparameters of a run and no other. So ours join the first one that the app
or Lightning writes; if none has come when the run begins, they make one themselves. In a job of a sweep that summary
shows the overrides instead of the whole config: see group_tensorboard.py.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from lit_hydra_bridge.record.group_tensorboard import session_of
from lit_hydra_bridge.record.nested import (
    escaped,
    is_omegaconf,
    merged,
    readable_by_omegaconf,
    shown_empty,
)

_MARK: Final = "__lit_hydra_bridge__"
_waiting: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()


def log_to_tensorboard(logger: Any, base: Any, ours: dict[str, Any], composed: str) -> None:
    """Note what the first summary must hold; write the text, and what will be saved as `hparams.yaml`.

    Args:
        logger: the app's logger.
        base: Lightning's own class that it is, or derives from.
        ours: the config and the job's facts.
        composed: the config as YAML.
    """
    install(base)
    ours = readable_by_omegaconf(ours)
    if not logger.hparams:  # else the app has logged its own, and the first summary is written
        _waiting[logger] = ours
    logger.hparams = _beside(ours, logger.hparams)
    block = "\n".join(f"    {line}" for line in composed.splitlines())
    logger.experiment.add_text("hydra/config", block, 0)


def write_waiting(logger: Any, base: Any) -> None:
    """Make the summary where the app and Lightning had none to write, unless the logger is told to have none."""
    if session := session_of(logger):
        session.begin(logger)
    elif logger in _waiting and logger._default_hp_metric:
        ours = _waiting.pop(logger)
        super(base, logger).log_hyperparams(shown_empty(ours))  # Fabric's: writes, and touches nothing else


def install(base: Any) -> None:
    """Let our part join what the app's loggers of this class, Lightning's own, log from now on."""
    original = base.log_hyperparams
    if not hasattr(original, _MARK) and original.__module__ == base.__module__:
        wrapped = functools.wraps(original)(_joining(original, base))
        setattr(wrapped, _MARK, True)
        base.log_hyperparams = wrapped


def _joining(original: Callable[..., Any], base: Any) -> Callable[..., Any]:
    def log_hyperparams(self: Any, params: Any, metrics: Any = None, *args: Any, **kwargs: Any) -> Any:
        theirs = params
        with contextlib.suppress(Exception):  # then the app's call meets what it would meet without us
            if self in _waiting:
                params = _join(self, params, metrics)
        session = session_of(self)
        if session is None:
            return original(self, params, metrics, *args, **kwargs)

        def store() -> Any:
            with _without_placeholder(self):
                return original(self, params, None, *args, **kwargs)

        return session.log(self, base, store, theirs, metrics, (args, kwargs))

    return log_hyperparams


@contextlib.contextmanager
def _without_placeholder(logger: Any) -> Iterator[None]:
    """While the block runs, hyperparameters that come without metrics make no summary."""
    before, logger._default_hp_metric = logger._default_hp_metric, False
    try:
        yield
    finally:
        logger._default_hp_metric = before


def _join(logger: Any, params: Any, metrics: Any) -> Any:
    """Return what the app logs with ours beside it; we wait on if no summary comes of it."""
    ours = _waiting[logger]
    if isinstance(params, Namespace):
        params = vars(params)
    if is_omegaconf(params) and isinstance(logger.hparams, dict):
        # Lightning will merge the app's DictConfig into this, which would read our text anew.
        logger.hparams = _beside(ours, {}, escape=True)
    both = _beside(shown_empty(ours), params) if is_omegaconf(params) else merged(shown_empty(ours), params or {})
    if metrics or logger._default_hp_metric or session_of(logger):
        del _waiting[logger]
    return both


def _beside(ours: dict[str, Any], theirs: Any, *, escape: bool = False) -> Any:
    """Both, as one mapping of the kind that `theirs` is."""
    from omegaconf import OmegaConf

    if escape or is_omegaconf(theirs):
        return OmegaConf.merge(OmegaConf.create(escaped(ours), flags={"allow_objects": True}), theirs)
    return merged(ours, theirs if isinstance(theirs, Mapping) else vars(theirs))

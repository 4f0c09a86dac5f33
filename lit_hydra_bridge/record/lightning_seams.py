"""The few places in Lightning where the bridge must act and no public hook exists.

    dump_checkpoint      every checkpoint passes it, whatever the strategy, also weights-only  -> stamp the record
    Trainer.save_checkpoint, _atomic_save   a file was written                                 -> note it as ours
    pl_load              every file that Lightning loads passes it                             -> load, note lineage
    _LoggerConnector.on_trainer_init   a Trainer gets its loggers                              -> name the sweep to them

They are wrapped on Lightning's own classes and modules, not on the app's objects: those keep their types and
attributes, and pickle as before. Each wrapper calls the original first or last and adds nothing to its
signature. A name that a future Lightning no longer has is left alone, and costs one warning.
"""

from __future__ import annotations

import functools
import inspect
import os
import pickle
import shlex
import sys
from collections.abc import Callable
from typing import Any, Final

from lit_hydra_bridge.on_import import when_imported
from lit_hydra_bridge.record import trust
from lit_hydra_bridge.record.kept_copies import keep_copy
from lit_hydra_bridge.record.warning import warn
from lit_hydra_bridge.switch import is_on
from lit_hydra_bridge.trusted import naming

FABRIC: Final = {"lightning.pytorch": "lightning.fabric", "pytorch_lightning": "lightning_fabric"}
_MARK: Final = "__lit_hydra_bridge__"


def _seams(package: str) -> list[tuple[str, str, str, Callable[[Any], Any]]]:
    """(module, class or "", name, wrapper) for one of Lightning's two names."""
    return [
        (
            f"{package}.trainer.connectors.checkpoint_connector",
            "_CheckpointConnector",
            "dump_checkpoint",
            _stamping,
        ),
        (f"{package}.trainer.trainer", "Trainer", "save_checkpoint", _noting_saved),
        (
            f"{package}.trainer.connectors.logger_connector.logger_connector",
            "_LoggerConnector",
            "on_trainer_init",
            _noting_loggers,
        ),
        (f"{FABRIC[package]}.plugins.io.torch_io", "", "_atomic_save", _noting_written),
        (f"{FABRIC[package]}.plugins.io.torch_io", "", "pl_load", _loading),
        (f"{package}.core.saving", "", "pl_load", _loading),
    ]


def install(package: str) -> None:
    """Wrap the seams of `lightning.pytorch` or `pytorch_lightning`, as far as its modules are loaded."""
    for module_name, class_name, name, wrapper in _seams(package):
        owner: Any = sys.modules.get(module_name)
        if owner is None:
            continue
        if class_name:
            owner = getattr(owner, class_name, None)
        original = getattr(owner, name, None)
        if original is None:
            _warn_once(f"{module_name} has no {f'{class_name}.{name}'.strip('.')}: something may not be recorded")
        elif not hasattr(original, _MARK):
            wrapped = functools.wraps(original)(wrapper(original))
            setattr(wrapped, _MARK, True)
            setattr(owner, name, wrapped)


@functools.cache
def _warn_once(message: str) -> None:
    warn(f"this version of Lightning is not known: {message}")


@functools.cache
def install_when_imported() -> None:
    """Wrap what is loaded, and the checkpoint loader of what is imported later.

    Called when Hydra starts, so that `load_from_checkpoint` before the first Trainer is covered as well.
    """
    when_imported({f"{package}.core.saving": functools.partial(install, package) for package in FABRIC})


def _stamping(original: Callable[..., Any]) -> Callable[..., Any]:
    def dump_checkpoint(self: Any, *args: Any, **kwargs: Any) -> Any:
        from lit_hydra_bridge.record.callback import stamp

        checkpoint = original(self, *args, **kwargs)
        stamp(self.trainer, checkpoint)
        return checkpoint

    return dump_checkpoint


def _noting_loggers(original: Callable[..., Any]) -> Callable[..., Any]:
    def on_trainer_init(self: Any, *args: Any, **kwargs: Any) -> Any:
        from lit_hydra_bridge.record.callback import note_loggers

        result = original(self, *args, **kwargs)
        note_loggers(self.trainer)
        return result

    return on_trainer_init


def _noting_saved(original: Callable[..., Any]) -> Callable[..., Any]:
    def save_checkpoint(self: Any, filepath: Any, *args: Any, **kwargs: Any) -> Any:
        from lit_hydra_bridge.record.callback import note_saved

        if not is_on():
            return original(self, filepath, *args, **kwargs)
        before = trust.state_of(filepath)
        result = original(self, filepath, *args, **kwargs)
        if self.is_global_zero:
            keep_copy(filepath, self.global_step)
            note_saved(self, filepath)
        if not _writes_with_lightnings_own(self):
            # Somebody else's file may lie there still, if an asynchronous CheckpointIO has not begun to write.
            if self.is_global_zero and trust.state_of(filepath) != before:
                trust.note_written(filepath)
        elif not self.is_global_zero and self.node_rank == 0:
            # Rank zero noted it in `_atomic_save`; for the others on its machine it is whole once the barrier is
            # passed. Another machine may not see the same file.
            trust.note_written(filepath)
        return result

    return save_checkpoint


def _writes_with_lightnings_own(trainer: Any) -> bool:
    save = getattr(type(trainer.strategy.checkpoint_io), "save_checkpoint", None)
    return getattr(save, "__module__", "") in {f"{fabric}.plugins.io.torch_io" for fabric in FABRIC.values()}


def _noting_written(original: Callable[..., Any]) -> Callable[..., Any]:
    """The last step of a write, also in the thread of an asynchronous one."""

    def _atomic_save(checkpoint: Any, filepath: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(checkpoint, filepath, *args, **kwargs)
        if isinstance(checkpoint, dict):
            keep_copy(filepath, checkpoint.get("global_step"))
        if is_on():
            trust.note_written(filepath)
        return result

    return _atomic_save


def _loading(original: Callable[..., Any]) -> Callable[..., Any]:
    decides_itself = _leaves_the_choice_to_torch(original)

    def pl_load(path_or_url: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_on():
            return original(path_or_url, *args, **kwargs)
        undecided = decides_itself and len(args) < 2 and kwargs.get("weights_only") is None
        if undecided and (trust.wrote(path_or_url) or trust.is_named_trusted(path_or_url)):
            kwargs["weights_only"] = False
        try:
            checkpoint = original(path_or_url, *args, **kwargs)
        except pickle.UnpicklingError as refusal:
            if isinstance(path_or_url, str | os.PathLike):
                refusal.args = (f"{refusal}\n\n{_what_loads(os.fspath(path_or_url))}",)
            checkpoint = _load_omegaconf(original, refusal, path_or_url, *args, **kwargs)
        _note_loaded(checkpoint, path_or_url)
        return checkpoint

    return pl_load


def _what_loads(path: str) -> str:
    """The line below torch's refusal: what loads the file without trust in it, and what loads it whole."""
    ((name, value),) = naming([os.path.abspath(path)]).items()  # noqa: PTH100  # absolute() keeps `..`
    return (
        f"lit-hydra-bridge: lit_hydra_bridge.load_model({path!r}) gives the model without unpickling objects; if you "
        f"trust the file, start this program with {name}={shlex.quote(value)} to load it whole."
    )


def _leaves_the_choice_to_torch(load: Callable[..., Any]) -> bool:
    """Since 2.6 Lightning's `weights_only` is None by default, and torch decides; before it was False."""
    parameter = inspect.signature(load).parameters.get("weights_only")
    return parameter is not None and parameter.default is None


def _load_omegaconf(
    original: Callable[..., Any], refusal: Exception, path_or_url: Any, *args: Any, **kwargs: Any
) -> Any:
    """Load once more with stand-ins for omegaconf's nodes; where that is not enough, torch's refusal stands."""
    from lit_hydra_bridge.record.omegaconf_nodes import has_omegaconf, omegaconf_stand_ins

    try:
        names = _refused_globals(path_or_url)
    except Exception:  # whatever is wrong with the file, torch has said it already
        raise refusal from None
    if not has_omegaconf(names):
        raise refusal
    try:
        with omegaconf_stand_ins(names) as revive:
            return revive(original(path_or_url, *args, **kwargs))
    except (pickle.UnpicklingError, RecursionError, TypeError, AttributeError, KeyError, ValueError):
        raise refusal from None


def _refused_globals(path_or_url: Any) -> list[str]:
    import fsspec
    import torch

    if hasattr(path_or_url, "read"):
        raise TypeError("a stream can't be read twice")
    with fsspec.open(str(path_or_url), "rb") as file:
        return list(torch.serialization.get_unsafe_globals_in_checkpoint(file))


def _note_loaded(checkpoint: Any, path: Any) -> None:
    from lit_hydra_bridge.record.capture import note_loaded

    note_loaded(checkpoint, path)

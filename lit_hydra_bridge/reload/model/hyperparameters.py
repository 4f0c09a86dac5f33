"""A loaded checkpoint's hyperparameters -> the arguments that its model was made with, as Lightning keeps them.

`save_hyperparameters()` leaves arguments by name; `save_hyperparameters(cfg)` leaves one argument's content, and the
argument's name beside it. Nodes of omegaconf came as inert placeholders. They are made anew from their content:
structured configs become plain ones, so their classes need not be here.
"""

from __future__ import annotations

import enum
import pathlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from lit_hydra_bridge.reload.weights import Placeholder

_PATHS: Final = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_FLAGS: Final = ("struct", "readonly", "allow_objects")


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """What a checkpoint says of its model's arguments."""

    content: Any
    """A dict or a DictConfig; {} where there is nothing."""
    name: str | None
    """`kwargs` where the content is the arguments by name; else the one argument's name, or None."""


def hyperparameters_of(
    checkpoint: dict[str, Any], model_class: Any, here: Callable[[str], str] = str
) -> Hyperparameters:
    """Return a checkpoint's hyperparameters, with what can be made of their placeholders without running code.

    Call it after the model's class is imported: members of an Enum are found among the modules that are there.

    Args:
        checkpoint: what `load_checkpoint` gave.
        model_class: tells the checkpoint's keys.
        here: gives a class's dotted name in this process for the recorded one.
    """
    from omegaconf import DictConfig

    content = revived(checkpoint.get(_key(model_class, "KEY", "hyper_parameters")), here)
    name = checkpoint.get(_key(model_class, "NAME", "hparams_name"))
    return Hyperparameters(
        content=content if isinstance(content, dict | DictConfig) else {},
        name=name if isinstance(name, str) else None,
    )


def put_back(checkpoint: dict[str, Any], model_class: Any, content: Any) -> None:
    """Put revived hyperparameters into a checkpoint, where the model's own hooks look for them."""
    key = _key(model_class, "KEY", "hyper_parameters")
    if key in checkpoint:
        checkpoint[key] = content


def _key(model_class: Any, part: str, default: str) -> str:
    return str(getattr(model_class, f"CHECKPOINT_HYPER_PARAMS_{part}", default))


def placeholder_in(value: Any) -> str | None:
    """Return the name of a class or function whose placeholder is somewhere in `value`; None where there is none."""
    from omegaconf import DictConfig, ListConfig, OmegaConf

    if isinstance(value, Placeholder) or (isinstance(value, type) and issubclass(value, Placeholder)):
        return value.stands_for
    if isinstance(value, DictConfig | ListConfig):
        value = OmegaConf.to_container(value, resolve=False)
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set):
        return next((found for item in value if (found := placeholder_in(item)) is not None), None)
    return None


def revived(value: Any, here: Callable[[str], str]) -> Any:
    """Return `value` with configs, paths and members of an Enum in place of their placeholders."""
    return _Revival(here).value(value)


class _Revival:
    def __init__(self, here: Callable[[str], str]) -> None:
        self._here = here
        self._made: dict[int, Any] = {}

    def value(self, value: Any) -> Any:
        if isinstance(value, Placeholder):
            return self._object(value)
        if isinstance(value, dict):
            # Not the same type: what came as an OrderedDict was some kind of dict.
            return {self.value(key): self.value(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self.value(item) for item in value)
        return value

    def _object(self, stand_in: Placeholder) -> Any:
        module, _, name = stand_in.stands_for.rpartition(".")
        if module in ("omegaconf.dictconfig", "omegaconf.listconfig"):
            return self._config(stand_in)
        if module.startswith("omegaconf."):
            return self.value(_state(stand_in).get("_val"))
        if module.startswith("pathlib") and name in _PATHS:
            parts = [part for part in stand_in.arguments if isinstance(part, str)]
            # A path of the other system can't be made here; as a pure path it keeps its text.
            made = pathlib.Path(*parts)
            return made if isinstance(made, getattr(pathlib, name)) else getattr(pathlib, f"Pure{name}")(*parts)
        return _member(stand_in, self._here(stand_in.stands_for))

    def _config(self, stand_in: Placeholder) -> Any:
        """Make a node anew, in the context of its parents: interpolations may reach out of it."""
        if id(stand_in) in self._made:
            return self._made[id(stand_in)]
        from omegaconf import DictConfig, ListConfig

        content, state = self._content(stand_in), _state(stand_in)
        if isinstance(content, Placeholder):
            return content
        parent = state.get("_parent")
        above = self._config(parent) if isinstance(parent, Placeholder) else None
        made: Any = (ListConfig if isinstance(content, list) else DictConfig)(
            content=content,
            parent=None if isinstance(above, Placeholder) else above,
            flags={"allow_objects": True},  # for what stays a placeholder
        )
        self._made[id(stand_in)] = made
        flags = _state(state.get("_metadata")).get("flags")
        for flag in _FLAGS:
            made._set_flag(flag, flags.get(flag) if isinstance(flags, dict) else None)
        return made

    def _content(self, stand_in: Any) -> Any:
        """Return a node's content as plain data, interpolations as text.

        A mapping with keys of an Enum that is not imported can't be made: the Enum's placeholder stands for it.
        """
        if not isinstance(stand_in, Placeholder) or not stand_in.stands_for.startswith("omegaconf."):
            return self.value(stand_in)
        state = _state(stand_in)
        if "_content" not in state:
            return self._content(state.get("_val"))
        content = state["_content"]
        if isinstance(content, dict):
            made = {self.value(key): self._content(item) for key, item in content.items()}
            return next((key for key in made if isinstance(key, Placeholder)), made)
        return [self._content(item) for item in content] if isinstance(content, list) else content


def _state(stand_in: Any) -> dict[str, Any]:
    state = stand_in.state if isinstance(stand_in, Placeholder) else None
    return state if isinstance(state, dict) else {}


def _member(stand_in: Placeholder, name: str) -> Any:
    """Return a member of an Enum that is imported already; else the placeholder."""
    module, _, qualname = name.rpartition(".")
    while module and module not in sys.modules:
        module, _, outer = module.rpartition(".")
        qualname = f"{outer}.{qualname}"
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = vars(found).get(part) if found is not None and hasattr(found, "__dict__") else None
    if isinstance(found, type) and issubclass(found, enum.Enum) and len(stand_in.arguments) == 1:
        # Not `Enum(value)`: that may run the app's `_missing_`.
        for member in found:
            if type(member.value) is type(stand_in.arguments[0]) and member.value == stand_in.arguments[0]:
                return member
    return stand_in

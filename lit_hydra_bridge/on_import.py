"""Something to do right after a module was imported, whoever imports it and whenever."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType


class OnImport:
    """A finder that sees the modules that it waits for, each once, and no other.

    Args:
        actions: by the module's name, what to call once it was executed.
    """

    def __init__(self, actions: dict[str, Callable[[], object]]) -> None:
        self._waiting = dict(actions)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Python's hook."""
        action = self._waiting.pop(name, None)
        if action is None:
            return None
        spec = importlib.util.find_spec(name)  # the popped name no longer stops at us
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                with suppress(Exception):  # what was imported is not ours, and must be
                    action()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def __deepcopy__(self, memo: object) -> OnImport:
        return self


def when_imported(actions: dict[str, Callable[[], object]]) -> None:
    """Do each action now where its module is there, and else once it is."""
    later = {}
    for name, action in actions.items():
        if name in sys.modules:
            action()
        else:
            later[name] = action
    if later:
        sys.meta_path.insert(0, OnImport(later))

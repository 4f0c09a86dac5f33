"""Hydra's private names: a Hydra that no longer has one costs a feature and one warning, and nothing else."""

from __future__ import annotations

import functools
import inspect
import operator
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from lit_hydra_bridge.errors import BridgeError

_LOADER: Final = "hydra._internal.config_loader_impl"
_PARAMETERS: Final = ["self", "config_name", "overrides", "run_mode"]


def private(module: str, name: str, lost: str = "") -> Any:
    """Return what Hydra has under a private name, or None.

    Args:
        module, name: such as `hydra._internal.hydra` and `Hydra.run`.
        lost: what does not work without it, which is then said once.
    """
    try:
        return operator.attrgetter(name)(import_module(module))
    except (ImportError, AttributeError):
        if lost:
            _say(lost)
        return None


@functools.cache
def _say(lost: str) -> None:
    print(f"lit-hydra-bridge: Hydra {_version()} is newer than this package knows: {lost}", file=sys.stderr, flush=True)


def _version() -> str:
    import hydra

    return str(hydra.__version__)


def wrap_composition(wrapped: Callable[[Callable[..., Any]], Callable[..., Any]], mark: str) -> None:
    """Put a function in the place of the method through which all of Hydra's configs come, once in this process.

    It gives the single run's config, each job's of a multirun, and that of each DDP rank that Lightning starts. Hydra
    1.3 and 1.4 reach it by different ways, so it is the inner method.

    Args:
        wrapped: makes that function from the method.
        mark: the name of an attribute that tells it from any other.

    Raises:
        BridgeError: this Hydra has no such method.
    """
    original = private(_LOADER, "ConfigLoaderImpl._load_configuration_impl")
    if original is None or list(inspect.signature(original).parameters)[:4] != _PARAMETERS:
        raise BridgeError(
            f"Hydra {_version()} is newer than this package knows, so it can't be given a recorded config; "
            'pip install "hydra-core<1.5"'
        )
    if not hasattr(original, mark):
        function = wrapped(original)
        setattr(function, mark, True)
        private(_LOADER, "ConfigLoaderImpl")._load_configuration_impl = function

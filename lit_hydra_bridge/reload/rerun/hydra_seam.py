"""The one place in Hydra where a run that is made again acts: see hydra_seams.py.

    Hydra composes (recorded + new overrides)  ->  recompose.py  ->  the recorded config, changed by the new overrides

It is wrapped only where the environment names a checkpoint to make again, in LIT_HYDRA_BRIDGE_RERUN.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from lit_hydra_bridge.errors import BridgeError
from lit_hydra_bridge.hydra_seams import wrap_composition
from lit_hydra_bridge.record.hydra_job import running_task_function
from lit_hydra_bridge.reload.checkpoint import read_record_or_json
from lit_hydra_bridge.reload.rerun.recompose import Recomposition

RERUN: Final = "LIT_HYDRA_BRIDGE_RERUN"
"""Environment variable: the checkpoint whose run is made again, or a record as JSON."""
MODE: Final = "LIT_HYDRA_BRIDGE_RERUN_MODE"
"""Environment variable: `strict`, `frozen`, or both with a comma."""
OVERRIDES: Final = "LIT_HYDRA_BRIDGE_RERUN_OVERRIDES"
"""Environment variable: the overrides as JSON, for a program that gives Hydra its overrides itself."""
_MARK: Final = "__lit_hydra_bridge__"


def install() -> None:
    """Wrap Hydra's composition if this process is to make a run again.

    Raises:
        BridgeError: this Hydra can't be given a config.
    """
    if not os.environ.get(RERUN):
        return
    wrap_composition(_wrapped, _MARK)


def _is_set(mode: str) -> bool:
    return mode in os.environ.get(MODE, "").split(",")


def _wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _load_configuration_impl(
        self: Any, config_name: str | None, overrides: list[str], run_mode: Any, *args: Any, **kwargs: Any
    ) -> Any:
        from hydra.errors import ConfigCompositionException
        from omegaconf.errors import OmegaConfBaseException

        # Hydra 1.4 hands the same overrides on in parsed form.
        others = {name: value for name, value in kwargs.items() if name != "parsed_overrides"}

        def compose(name: str | None, texts: Sequence[str]) -> Any:
            try:
                return original(self, name, list(texts), run_mode, *args, **others)
            except (OmegaConfBaseException, ValueError, TypeError) as error:
                raise ConfigCompositionException(str(error)) from error

        try:
            record = _record()
            if not record.hydra or config_name != record.hydra.config_name or running_task_function():
                # Another config, or a composition of the task's own; launchers compose before the task.
                return original(self, config_name, overrides, run_mode, *args, **kwargs)
            # Hydra gives up where the app's config folder is gone; the record has its content.
            self.ensure_main_config_source_available = lambda: None
            return Recomposition(
                record=record,
                source=os.environ[RERUN],
                loader=self,
                config_name=config_name,
                given=_given(overrides),
                run_mode=run_mode,
                compose=compose,
                strict=_is_set("strict"),
                frozen=_is_set("frozen"),
            ).config()
        except BridgeError as error:
            raise ConfigCompositionException(f"lit-hydra rerun: {error}") from None

    return _load_configuration_impl


def _given(overrides: list[str]) -> list[str]:
    """Return the overrides that hold: where they were handed over, of the program's own only those of Hydra itself."""
    if OVERRIDES not in os.environ:
        return overrides
    own = [text for text in overrides if text.lstrip("+~").startswith("hydra")]  # a rank is told its folder so
    return [*own, *json.loads(os.environ[OVERRIDES])]


@functools.cache
def _record() -> Any:
    return read_record_or_json(os.environ[RERUN])

"""Which of a sweep's jobs was the best: by what its sweeper optimises, or by what its checkpoints say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from lit_hydra_bridge.sweep.board.state import EndedRow
from lit_hydra_bridge.sweep.job import Outcome

MINIMIZE: Final = "minimize"
MAXIMIZE: Final = "maximize"


def ranked(rows: Sequence[EndedRow], master: Any) -> tuple[list[EndedRow], int | None, str]:
    """Return the jobs, best first; the best one's number, None where no task returned one; and the direction."""
    direction = _of_sweeper(master) or _of_checkpoints(rows) or MINIMIZE
    sign = -1.0 if direction == MAXIMIZE else 1.0

    def key(row: EndedRow) -> tuple[int, float, int]:
        value = row.return_value
        is_number = _is_number(value) and row.outcome is Outcome.COMPLETED and "config" not in row.differs
        return (0 if is_number else 1, sign * float(value) if is_number else 0.0, row.number)

    ordered = sorted(rows, key=key)
    best = ordered[0] if ordered and key(ordered[0])[0] == 0 else None
    return ordered, best.number if best else None, direction


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _of_sweeper(master: Any) -> str | None:
    """Optuna's `direction`, nevergrad's `optim.maximize`, Ax's `experiment.minimize`."""
    from omegaconf import OmegaConf

    node = master.hydra.get("sweeper")
    if node is None:
        return None
    direction = OmegaConf.select(node, "direction", default=None)
    text = str(getattr(direction, "name", direction)).lower()
    if text in ("maximize", "minimize"):
        return MAXIMIZE if text == "maximize" else MINIMIZE
    maximize = OmegaConf.select(node, "optim.maximize", default=None)
    minimize = OmegaConf.select(node, "ax_config.experiment.minimize", default=None)
    if maximize is not None:
        return MAXIMIZE if maximize else MINIMIZE
    return None if minimize is None else MINIMIZE if minimize else MAXIMIZE


def _of_checkpoints(rows: Sequence[EndedRow]) -> str | None:
    """What a ModelCheckpoint monitors is best at its own end, if it is what the task returns."""
    modes = {str(row.checkpoint_mode) for row in rows if row.checkpoint_mode in ("min", "max") and _is_monitored(row)}
    return {"max": MAXIMIZE, "min": MINIMIZE}[modes.pop()] if len(modes) == 1 else None


def _is_monitored(row: EndedRow) -> bool:
    candidates = [row.checkpoint_score, row.metrics.get(row.checkpoint_monitor or "")]
    return _is_number(row.return_value) and any(
        value is not None and math.isclose(value, row.return_value, rel_tol=1e-5) for value in candidates
    )

"""CSVLogger's metrics.csv -> points of curves."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from lit_hydra_bridge.files import opened


def read_metrics_csv(path: str) -> dict[str, dict[float, tuple[float, float | None]]]:
    """Return each metric's values by step, with the epoch where there is one.

    A line that is half written counts as far as it goes; without a column `step` the lines are counted.

    Raises:
        OSError: it can't be read.
    """
    found: dict[str, dict[float, tuple[float, float | None]]] = {}
    with opened(path) as data, io.TextIOWrapper(data, encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.reader(line.replace("\0", "") for line in file)
        try:
            names = next(rows, [])
            step_at, epoch_at = (names.index(name) if name in names else None for name in ("step", "epoch"))
            columns = [(i, name) for i, name in enumerate(names) if i not in (step_at, epoch_at) and name]
            for count, row in enumerate(rows):
                step = _number(row, step_at) if step_at is not None else float(count)
                epoch = _number(row, epoch_at)
                if step is None or not math.isfinite(step):
                    continue
                for i, name in columns:
                    if (value := _number(row, i)) is not None:
                        found.setdefault(name, {})[step] = (value, epoch)
        except csv.Error as error:
            raise ValueError(str(error)) from None
    return found


def _number(row: Sequence[str], at: int | None) -> float | None:
    if at is None or at >= len(row) or not row[at]:
        return None
    try:
        return float(row[at])
    except ValueError:
        return None

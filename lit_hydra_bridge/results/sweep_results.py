"""A sweep as its folder shows it: its jobs, and what can be asked of them all."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.results.fields import Fields, metric_names
from lit_hydra_bridge.results.row import RUNNING, JobRow
from lit_hydra_bridge.text import shortened

if TYPE_CHECKING:
    import pandas

MODES: Final = ("min", "max")


@dataclass(frozen=True, kw_only=True)
class SweepResults:
    """What came out of a sweep, up to the moment when its folder was read."""

    folder: Path
    name: str
    """The end of the folder's path, that tells it from other sweeps of the app."""
    launcher: str
    """lit_local, basic, joblib, submitit_slurm and so on; empty where nothing says."""
    command: tuple[str, ...] = ()
    """That has launched it; empty where nothing says."""
    cwd: str = ""
    """Where the command was run."""
    created: float | None = None
    """Seconds since the epoch."""
    direction: str | None = None
    """minimize or maximize: what the sweeper does to the value that the task returns; None where nothing says."""
    is_running: bool = False
    rows: tuple[JobRow, ...] = ()
    """By number."""
    problems: tuple[str, ...] = ()
    """What could not be read, each once."""

    def __repr__(self) -> str:
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.items())
        return shortened(f"<SweepResults {self.name}: {len(self.rows)} jobs{outcomes and f' ({outcomes})'}>")

    def _repr_html_(self) -> str:
        """Return a table for a notebook."""
        from lit_hydra_bridge.results.exports import html_table

        return html_table(self)

    @property
    def override_keys(self) -> list[str]:
        """The overrides that vary."""
        return list(self.rows[0].varying) if self.rows else []

    @property
    def metric_names(self) -> list[str]:
        """The metrics, those that most jobs have first; among equals, in the order in which they were logged."""
        return metric_names(self.rows)

    @property
    def outcomes(self) -> dict[str, int]:
        """How many jobs had each outcome."""
        return dict(Counter(row.outcome for row in self.rows))

    def best(self, metric: str | None = None, mode: str | None = None) -> JobRow:
        """Return the best job.

        Args:
            metric: by which one; None: what the task returned.
            mode: min or max; None: the sweeper's own direction for what the task returned, for a metric what the
                jobs' ModelCheckpoints say of it.

        Raises:
            ResultsError: no job has that number, or nothing says which end is the best.
        """
        mode = mode or self.mode_of(metric)
        what = "a return value that is a number" if metric is None else f"a metric {metric!r}"
        if mode is None:
            name = "what the task returned" if metric is None else repr(metric)
            raise ResultsError(
                f"{self.folder}: nothing says whether a low {name} is good: say mode='min' or mode='max'"
            )
        if mode not in MODES:
            raise ResultsError(f"mode={mode!r}: expected 'min' or 'max'")
        found = [(number, row) for row in self.rows if _is_number(number := row.number_of(metric))]
        if not found:
            there = ", ".join(self.metric_names) or "none"
            raise ResultsError(f"{self.folder}: no job has {what}; metrics that there are: {there}")
        sign = 1 if mode == "min" else -1
        return min(found, key=lambda pair: (sign * float(pair[0] or 0.0), pair[1].number))[1]

    def mode_of(self, metric: str | None) -> str | None:
        """Return at which end a number is best, min or max; None where nothing says."""
        if metric is None and self.direction is not None:
            return {"minimize": "min", "maximize": "max"}[self.direction]
        said = {
            str(row.checkpoints["mode"])
            for row in self.rows
            if row.checkpoints.get("mode") in MODES and _is_about(row, metric)
        }
        return said.pop() if len(said) == 1 else None

    def to_pandas(self) -> pandas.DataFrame:
        """Return a DataFrame with a row a job, by its number; columns as in `to_csv`.

        Raises:
            ResultsError: pandas is not installed.
        """
        from lit_hydra_bridge.results.exports import data_frame

        return data_frame(self.rows)

    def to_csv(self) -> str:
        """Return a line a job as CSV, after one of names: what `results.csv` holds.

        What is not there is empty, times are UTC in ISO 8601.
        """
        from lit_hydra_bridge.results.exports import csv_text

        return csv_text(self.rows, Fields(self.rows).all)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it: what `lit-hydra ls --json` prints."""
        from lit_hydra_bridge.results.exports import sweep_dict

        return sweep_dict(self)

    @property
    def running(self) -> list[JobRow]:
        """The jobs that run."""
        return [row for row in self.rows if row.outcome == RUNNING]


def _is_about(row: JobRow, metric: str | None) -> bool:
    """Tell whether the job's checkpoints are best at this metric; None: at what its task returned."""
    monitor = row.checkpoints.get("monitor")
    if metric is not None:
        return bool(monitor == metric)
    candidates = [row.checkpoints.get("score"), row.metrics.get(str(monitor))]
    return row.value is not None and any(
        isinstance(value, int | float) and math.isclose(value, row.value, rel_tol=1e-5) for value in candidates
    )


def _is_number(value: float | None) -> bool:
    return value is not None and not math.isnan(value)

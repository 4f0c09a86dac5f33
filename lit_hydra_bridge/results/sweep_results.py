"""A sweep as its folder shows it: its jobs, and what can be asked of them all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.results.fields import Fields, metric_names
from lit_hydra_bridge.results.row import RUNNING, JobRow
from lit_hydra_bridge.sweep.ranking import MODES, best_of, mode_of
from lit_hydra_bridge.text import shortened

if TYPE_CHECKING:
    import pandas


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
        """Return the best job; one whose config has changed since does not count.

        Args:
            metric: by which one; None: what the task returned.
            mode: min or max; None: the sweeper's own direction for what the task returned, and what the jobs'
                ModelCheckpoints and EarlyStoppings say of a metric that they monitor.

        Raises:
            ResultsError: there is no such metric, no job has a finite number, or nothing says which end is the best.
        """
        if metric is not None and metric not in self.metric_names:
            raise ResultsError(f"{self.folder}: no job has a metric {metric!r}; {self._names()}")
        mode = mode or self.mode_of(metric)
        what = "what the task returned" if metric is None else repr(metric)
        if mode is None:
            raise ResultsError(
                f"{self.folder}: nothing says whether a low {what} is good: say mode='min' or mode='max'"
            )
        if mode not in MODES.values():
            raise ResultsError(f"mode={mode!r}: expected 'min' or 'max'")
        best = best_of(self.rows, metric, mode)
        if best is None:
            raise ResultsError(f"{self.folder}: no job has a finite number as {what}; {self._names()}")
        return best

    def _names(self) -> str:
        return f"metrics that there are: {', '.join(self.metric_names) or 'none'}"

    def mode_of(self, metric: str | None) -> str | None:
        """Return at which end a number is best, min or max; None where nothing says.

        Args:
            metric: which one; None: what the task returned.
        """
        return mode_of(self.rows, metric, self.direction)

    def to_pandas(self) -> pandas.DataFrame:
        """Return a DataFrame with a row a job, by its number; columns as in `to_csv`.

        Raises:
            ResultsError: pandas is not installed.
        """
        from lit_hydra_bridge.results.exports import data_frame

        return data_frame(self.rows)

    def to_csv(self) -> str:
        """Return a line a job as CSV, after one of names: what `results.csv` holds.

        What is not there is empty, times are UTC in ISO 8601. A text that begins with one of `= + - @`, a tab or a
        line's end has a `'` before it, so that no spreadsheet takes it for a formula; numbers have not.
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

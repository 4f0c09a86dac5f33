"""What `lit-hydra ls` was asked for -> what there is to show, before anything is drawn."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lit_hydra_bridge.cli.printing import Patience, json_text
from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.results.exports import csv_text, row_dict, sweep_dict
from lit_hydra_bridge.results.fields import JOB, Field, Fields
from lit_hydra_bridge.results.find import Found, created, find_results
from lit_hydra_bridge.results.overrides import varying
from lit_hydra_bridge.results.read import read_run, read_sweep
from lit_hydra_bridge.results.row import JobRow
from lit_hydra_bridge.results.selection import filtered, sorted_by
from lit_hydra_bridge.results.sweep_results import SweepResults


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was asked for."""

    folders: tuple[str, ...]
    jobs: bool = False
    where: str | None = None
    sort: str | None = None
    columns: str | None = None
    limit: int | None = None
    json: bool = False
    csv: bool = False

    @property
    def is_about_jobs(self) -> bool:
        """Whether it makes sense of jobs alone."""
        return self.jobs or self.csv or any(text is not None for text in (self.where, self.sort, self.columns))


@dataclass(kw_only=True)
class Listing:
    """What there is to show."""

    wish: Wish
    sweeps: list[SweepResults] = field(default_factory=list)
    """Newest first."""
    runs: list[JobRow] = field(default_factory=list)
    """Single ones, newest first."""
    problems: list[str] = field(default_factory=list)
    left_out: int = 0
    """Lines that the limit has cut."""

    def __post_init__(self) -> None:
        self.shows_jobs = self.wish.is_about_jobs or (len(self.sweeps) == 1 and not self.runs)
        self._rows_of_all = self._all_rows()
        self.fields = Fields(self._rows_of_all)
        self.rows = self._chosen() if self.shows_jobs else []
        """The jobs that are wanted, in their order."""

    @property
    def sweep(self) -> SweepResults | None:
        """The one sweep that all jobs are of."""
        return self.sweeps[0] if len(self.sweeps) == 1 and not self.runs else None

    @property
    def has_jobs(self) -> bool:
        """Whether there are any, wanted or not."""
        return bool(self._rows_of_all)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.sweeps or self.runs) or (self.wish.where is not None and not self.rows)

    @property
    def is_running(self) -> bool:
        """Whether any sweep runs."""
        return any(sweep.is_running for sweep in self.sweeps)

    def _all_rows(self) -> list[JobRow]:
        """Return the jobs of all sweeps; of several, the overrides count that vary among all of them."""
        if self.sweep is not None:
            return list(self.sweep.rows)
        rows = [row for sweep in self.sweeps for row in sweep.rows] + self.runs
        pairs = zip(rows, varying([row.overrides for row in rows]), strict=True)
        return [replace(row, varying=own) for row, own in pairs]

    def _chosen(self) -> list[JobRow]:
        rows = sorted_by(filtered(self._rows_of_all, self.wish.where, self.fields), _names(self.wish.sort), self.fields)
        self.left_out = max(0, len(rows) - (self.wish.limit or len(rows)))
        return rows[: self.wish.limit]

    def columns(self, default: Sequence[Field]) -> list[Field]:
        """Return the columns that were asked for; `default` where none were.

        Raises:
            ResultsError: there is none of such a name.
        """
        names = _names(self.wish.columns)
        return self.fields.chosen(names, default) if names else list(default)

    def csv(self) -> str:
        """Return the jobs, as `results.csv` has them; those of several sweeps with their folders first."""
        everything = self.fields.all if self.sweep is not None else [JOB_FOLDER, *self.fields.all]
        return csv_text(self.rows, self.columns(everything))

    def json(self) -> str:
        """Return it as JSON."""
        data = {
            "sweeps": [{**sweep_dict(replace(sweep, rows=())), "jobs": self._jobs(sweep)} for sweep in self.sweeps],
            "runs": [self._job(row) for row in self._wanted(self.runs)],
            "problems": self.problems,
        }
        try:
            return json.dumps(data, allow_nan=False)
        except ValueError:
            return json_text(data)

    def _jobs(self, sweep: SweepResults) -> list[Any]:
        return [self._job(row) for row in self._wanted(sweep.rows)]

    def _wanted(self, rows: Sequence[JobRow]) -> list[JobRow]:
        if not self.shows_jobs:
            return list(rows)
        own = {row.folder: row for row in rows}
        return [own[row.folder] for row in self.rows if row.folder in own]

    def _job(self, row: JobRow) -> dict[str, Any]:
        if self.wish.columns is None:
            return row_dict(row)
        return {each.name: each.get(row) for each in self.columns(self.fields.all)}


JOB_FOLDER = Field("job", JOB, lambda row: relative(row.folder))


def relative(folder: Path) -> str:
    """Return a folder as it is called from here."""
    here = os.path.relpath(folder)
    return str(folder) if here.startswith(os.pardir) else here


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def take(wish: Wish) -> Listing:
    """Look for what was asked for, and read it.

    Raises:
        ResultsError: there is no such folder, or no such column; or a condition can't be understood.
    """
    with Patience() as patience:
        found = _found(wish.folders, patience)
        places = sorted([(created(place), place) for place in (*found.sweeps, *found.runs)], reverse=True)
        is_overview = not wish.is_about_jobs and not wish.json and len(places) > 1
        shown = places[: wish.limit] if is_overview else places
        sweeps, runs, problems = _read([place for _, place in shown], set(found.sweeps), patience)
    listing = Listing(wish=wish, sweeps=sweeps, runs=runs, problems=problems)
    if is_overview:
        listing.left_out = len(places) - len(shown)
    return listing


def _found(folders: Sequence[str], patience: Patience) -> Found:
    found = Found()
    for folder in folders:
        if not os.path.isdir(folder):  # noqa: PTH112
            raise ResultsError(f"{folder}: there is no such folder")
        below = find_results(folder, lambda count: patience.say(f"looking through folders: {count}"))
        found.sweeps += [place for place in below.sweeps if place not in found.sweeps]
        found.runs += [place for place in below.runs if place not in found.runs]
    return found


def _read(
    places: Sequence[str], sweeps: set[str], patience: Patience
) -> tuple[list[SweepResults], list[JobRow], list[str]]:
    read: list[SweepResults] = []
    runs: list[JobRow] = []
    problems: list[str] = []
    for index, place in enumerate(places):
        patience.say(f"reading {index + 1} of {len(places)}")
        if place in sweeps:
            read.append(read_sweep(place))
            problems += read[-1].problems
        else:
            row, more = read_run(place)
            runs += [row] if row is not None else []
            problems += more
    return sorted(read, key=lambda sweep: -(sweep.created or 0)), runs, list(dict.fromkeys(problems))

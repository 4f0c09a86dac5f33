"""The configs of all jobs, as far as they differ: for each job's difference to any other one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lit_hydra_bridge.errors import CheckpointError, CheckpointNotFoundError
from lit_hydra_bridge.record.redaction import (
    Redactor,
    hides,
    redact_env_defaults,
    redact_text_under_secret_key,
)
from lit_hydra_bridge.results.row import JobRow

ABSENT: Final = -1
_MOST_KEYS: Final = 400
_MOST_NAMED: Final = 20
Leaves = dict[str, str]
"""By dotted key: the value as text."""


@dataclass(frozen=True, kw_only=True)
class Configs:
    """What differs between the jobs' configs."""

    keys: list[str]
    """Of the values that are not the same in all jobs."""
    texts: list[str]
    of_jobs: list[list[int] | None]
    """For each job the place of each key's value in `texts`, or ABSENT; None where there is no config."""
    notes: list[str] = field(default_factory=list)


def read_configs(rows: Sequence[JobRow], redactor: Redactor, tell: Callable[[str], None]) -> Configs:
    """Read the config that Hydra has saved in each job's folder; else that in its checkpoint's record.

    Args:
        rows: the jobs.
        redactor: takes secrets out, and learns them: what Hydra saves still has them.
        tell: is told how far it is.
    """
    notes: list[str] = []
    of_rows: list[Leaves | None] = []
    without: list[str] = []
    for count, row in enumerate(rows):
        tell(f"reading configs, {count} of {len(rows)}")
        config = _config(row, notes)
        of_rows.append(None if config is None else dict(_leaves(config, redactor)))
        if config is None:
            without.append(str(row.number))
    if without:
        more = f" and {len(without) - _MOST_NAMED} more" if len(without) > _MOST_NAMED else ""
        notes.append(f"Neither .hydra nor a checkpoint has the config of job {', '.join(without[:_MOST_NAMED])}{more}")
    there = [leaves for leaves in of_rows if leaves is not None]
    keys = [key for key in dict.fromkeys(key for leaves in there for key in leaves) if _differs(there, key)]
    if len(keys) > _MOST_KEYS:
        notes.append(f"The configs differ in {len(keys)} values, of which the first {_MOST_KEYS} are shown")
    return _numbered(keys[:_MOST_KEYS], of_rows, redactor, notes)


def _numbered(keys: list[str], of_rows: list[Leaves | None], redactor: Redactor, notes: list[str]) -> Configs:
    places: dict[str, int] = {}
    of_jobs = [
        None
        if leaves is None
        else [places.setdefault(leaves[key], len(places)) if key in leaves else ABSENT for key in keys]
        for leaves in of_rows
    ]
    texts = [redactor.data(redact_env_defaults(text)) for text in places]
    return Configs(keys=[redactor.text(key) for key in keys], texts=texts, of_jobs=of_jobs, notes=notes)


def _differs(of_rows: Sequence[Leaves], key: str) -> bool:
    first = of_rows[0].get(key)
    return any(leaves.get(key) != first for leaves in of_rows)


def _config(row: JobRow, notes: list[str]) -> Mapping[Any, Any] | None:
    from lit_hydra_bridge.reload.compare.sides import load_side

    saved = row.folder / ".hydra" / "config.yaml"
    places = [saved, *([row.checkpoint] if row.checkpoint else [])]
    for place in places:
        try:
            return load_side(place).composed
        except CheckpointNotFoundError:
            continue
        except CheckpointError as error:
            if place is saved or not saved.exists():
                notes.append(str(error))
    return None


def _leaves(config: Mapping[Any, Any], redactor: Redactor) -> Iterator[tuple[str, str]]:
    from lit_hydra_bridge.reload.compare.config_changes import ABSENT as NOTHING
    from lit_hydra_bridge.reload.compare.config_changes import differences, dotted_key, value_text

    for steps, _, value in differences(NOTHING, dict(config)):
        text = value_text(value)
        if hides(steps, value) and value is not None and not isinstance(value, bool):
            redactor.learn(value)
            text = redact_text_under_secret_key(text)
        yield dotted_key(steps), text

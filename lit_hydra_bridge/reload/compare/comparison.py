"""What differs between two runs: config, overrides, code, versions, settings, metrics."""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from lit_hydra_bridge.errors import CheckpointError, InvalidRecordError
from lit_hydra_bridge.record.run_record import RunRecord, SourceCode, unpack_diff
from lit_hydra_bridge.reload.compare.config_changes import ABSENT, Difference, as_change, differences, dotted_key
from lit_hydra_bridge.reload.compare.config_changes import Change as Change
from lit_hydra_bridge.reload.compare.config_changes import change_lines as change_lines
from lit_hydra_bridge.reload.compare.config_changes import config_changes as config_changes
from lit_hydra_bridge.reload.compare.sides import InterpolationReach, Side, load_side

_REDACTED: Final = "<redacted>"
# Where a run was put and how it was launched does not change what it made.
_PLACES: Final = frozenset({"hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.mode"})
_JOB_FACTS: Final = ("config_name", "mode", "job_num", "job_id", "sweep_dir", "output_dir")


@dataclass(frozen=True, kw_only=True)
class Section:
    """The differences of one sort."""

    changes: list[Change] = dataclasses.field(default_factory=list)
    counts: bool = True
    """Whether a difference here means that the runs were made differently."""
    unknown: str | None = None
    """Why it could not be compared; None where it was."""
    notes: list[str] = dataclasses.field(default_factory=list)
    """What else is to be known, one sentence each."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What differs between two runs, `a` and `b`."""

    a: str
    b: str
    config: Section
    """Values as they were in the runs; as composed, interpolations as text, where one side is a config file."""
    overrides: Section
    """The task's overrides and Hydra's own."""
    code: Section
    """Commit, uncommitted changes, task function."""
    versions: Section
    """Python and packages."""
    training: Section
    """What the Trainer was set to: seed, deterministic flags, devices, precision."""
    metrics: Section
    """What came of it; does not count."""
    run: Section
    """When and where: host, folders, job number, time; does not count."""

    @property
    def sections(self) -> dict[str, Section]:
        """All sections, by name."""
        return {spec.name: getattr(self, spec.name) for spec in dataclasses.fields(self) if spec.name not in "ab"}

    @property
    def same(self) -> bool:
        """Whether both were made in the same way, as far as that could be compared."""
        return not any(section.changes for section in self.sections.values() if section.counts)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain containers."""
        sections = {
            name: {
                "changes": [change.to_dict() for change in section.changes],
                "counts": section.counts,
                "unknown": section.unknown,
                "notes": list(section.notes),
            }
            for name, section in self.sections.items()
        }
        return {"a": self.a, "b": self.b, "same": self.same, **sections}


def compare(a: str | os.PathLike[str] | RunRecord, b: str | os.PathLike[str] | RunRecord) -> Comparison:
    """Return what differs between how two runs were made.

    Configs are compared value by value, as resolved in the runs: a value that is written otherwise and came out the
    same is no difference, and a note says so; nor is one that follows from the time or from Hydra's folders alone
    (`${now:…}`, `${hydra:runtime.output_dir}`), where both have the same text. If one side is a config file, which
    has no resolved values, the configs are compared as composed.

    Args:
        a: what `read_record` takes; a config file (`*.yaml`, `*.yml`); a run's folder without checkpoints, whose
            `.hydra/config.yaml` is read; or a record.
        b: the same.

    Raises:
        CheckpointError: one of them can't be read; see `read_record`.
    """
    sides = load_side(a), load_side(b)
    first, second = sides[0].record, sides[1].record
    return Comparison(
        a=sides[0].name,
        b=sides[1].name,
        config=_config(*sides),
        overrides=_overrides(*sides),
        **_record_sections(first, second, [side.name for side in sides if side.record is None]),
    )


def _record_sections(first: RunRecord | None, second: RunRecord | None, files: list[str]) -> dict[str, Section]:
    """Return the sections for which it takes two records."""
    if first is None or second is None:
        counted = Section(unknown=f"{' and '.join(files)}: a config file, and no record")
        uncounted = dataclasses.replace(counted, counts=False)
        return {"code": counted, "versions": counted, "training": counted, "metrics": uncounted, "run": uncounted}
    return {
        "code": _code(first, second),
        "versions": _versions(first, second),
        "training": _training(first, second),
        "metrics": _metrics(first, second),
        "run": Section(counts=False, changes=config_changes(_run_facts(first), _run_facts(second))),
    }


def _config(a: Side, b: Side) -> Section:
    first, second = a.record, b.record
    if first is None or second is None or not (first.config.resolved and second.config.resolved):
        return _composed_configs(a, b)
    found = list(differences(first.config.resolved, second.config.resolved))
    if a.text == b.text and not found:
        return Section()
    try:
        reaches = InterpolationReach(a.composed), InterpolationReach(b.composed)
        rewritten = [
            steps
            for steps, _, _ in differences(a.composed, b.composed)
            if not any(steps[: len(place)] == place or place[: len(steps)] == steps for place, _, _ in found)
        ]
    except CheckpointError as error:
        return Section(changes=_changes(found), notes=[str(error)])
    volatile = [
        steps
        for steps, old, new in found
        if ABSENT not in (old, new)
        and reaches[0].text_at(steps) == reaches[1].text_at(steps)
        and all(reach.is_volatile(steps) for reach in reaches)
    ]
    notes = [
        *_naming("not counted, as it follows from the time or Hydra's folders", volatile),
        *_naming("written otherwise, and the same in value", rewritten),
    ]
    return Section(changes=_changes(item for item in found if item[0] not in volatile), notes=notes)


def _composed_configs(a: Side, b: Side) -> Section:
    found = list(differences(a.composed, b.composed))
    # A record has no secrets, and a file may have them.
    hidden = [
        steps for steps, *values in found if (a.record is None) != (b.record is None) and any(map(_is_redacted, values))
    ]
    notes = _naming("not compared, as the record has it redacted", hidden)
    return Section(changes=_changes(item for item in found if item[0] not in hidden), notes=notes)


def _changes(found: Iterable[Difference]) -> list[Change]:
    return [as_change(dotted_key(steps), old, new) for steps, old, new in found]


def _naming(what: str, places: list[tuple[Any, ...]]) -> list[str]:
    return [f"{what}: {', '.join(map(dotted_key, places))}"] if places else []


def _is_redacted(value: Any) -> bool:
    return isinstance(value, str) and _REDACTED in value


def _overrides(a: Side, b: Side) -> Section:
    if a.overrides is None or b.overrides is None:
        which = " and ".join(side.name for side in (a, b) if side.overrides is None)
        return Section(unknown=f"{which}: the overrides are not known")
    old, new = _by_key(a.overrides), _by_key(b.overrides)
    if a.record is not None and b.record is not None:
        for overrides, record in ((old, a.record), (new, b.record)):
            launched = _by_key(record.hydra.hydra_overrides)
            overrides.update({key: value for key, value in launched.items() if key.lstrip("+") not in _PLACES})
    found = list(differences(old, new))
    is_mixed = (a.record is None) != (b.record is None)
    hidden = [key for (key,), *values in found if is_mixed and any(map(_is_redacted, values))]
    notes = [f"not compared, as the record has it redacted: {', '.join(hidden)}"] if hidden else []
    return Section(changes=[as_change(key, x, y) for (key,), x, y in found if key not in hidden], notes=notes)


def _by_key(overrides: list[str]) -> dict[str, str]:
    """Take overrides apart; of two with the same key the last one holds."""
    return {key: value for key, _, value in (override.partition("=") for override in overrides)}


def _code(first: RunRecord, second: RunRecord) -> Section:
    sources = first.source, second.source
    facts: list[dict[str, Any]] = [{"task_function": record.entry.task_function} for record in (first, second)]
    notes = []
    if sources[0] is not None and sources[1] is not None:
        for fact, source in zip(facts, sources, strict=True):
            fact |= {"commit": source and source.commit, "dirty": source and source.dirty}
        if sources[0].diff is not None and sources[1].diff is not None:
            for fact, source in zip(facts, sources, strict=True):
                fact["uncommitted"] = source and _diff_text(source)
        elif sources[0].dirty and sources[1].dirty:
            notes.append("the uncommitted changes can't be compared: a record has none of the git diff")
    # What one of the two does not know is no difference.
    known = [key for key in facts[0] if facts[0][key] is not None and facts[1].get(key) is not None]
    changes = config_changes(*({key: fact[key] for key in known} for fact in facts))
    unknown = None if "commit" in known else "a record has no commit: no git repository, or nothing recorded of it"
    return Section(changes=changes, unknown=unknown, notes=notes)


def _diff_text(source: SourceCode) -> str:
    packed = source.diff or ""
    try:
        text = unpack_diff(packed)
    except InvalidRecordError:
        text = packed
    cut = ", its beginning" if source.diff_cut else ""
    # The number tells texts of equal length apart.
    return f"git diff of {text.count(chr(10))} lines{cut} ({zlib.crc32(text.encode('utf-8', 'replace')):08x})"


def _versions(first: RunRecord, second: RunRecord) -> Section:
    old, new = first.environment, second.environment
    if not old.packages or not new.packages:
        changes = config_changes({"python": old.python}, {"python": new.python})
        return Section(changes=changes, notes=["the packages can't be compared: a record has no list of them"])
    return Section(
        changes=config_changes({"python": old.python, **old.packages}, {"python": new.python, **new.packages})
    )


def _training(first: RunRecord, second: RunRecord) -> Section:
    if first.training is None or second.training is None:
        return Section(unknown="a record does not say what the Trainer was set to")
    return Section(changes=config_changes(*(dataclasses.asdict(x) for x in (first.training, second.training))))


def _metrics(first: RunRecord, second: RunRecord) -> Section:
    if not first.metrics or not second.metrics:
        return Section(counts=False, unknown="a record has none")
    return Section(counts=False, changes=config_changes(first.metrics, second.metrics))


def _run_facts(record: RunRecord) -> dict[str, Any]:
    job, source = record.hydra, record.source
    facts = {
        "run_id": record.run_id,
        "created": record.created,
        "host": record.environment.host,
        "platform": record.environment.platform,
        "command": record.entry.orig_argv,
        "cwd": record.entry.cwd,
        "branch": source and source.branch,
        "remote": source and source.remote,
        "slurm": record.slurm and dataclasses.asdict(record.slurm),
        **{name: job and getattr(job, name) for name in _JOB_FACTS},
    }
    return {name: value for name, value in facts.items() if value is not None}

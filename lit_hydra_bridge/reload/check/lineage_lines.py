"""The report card's line on what the run was started from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.reload.check.line import Line, bad, count, good, note, short, some
from lit_hydra_bridge.reload.lineage import folders_of, has_no_record, local_checkpoint, recorded_at

if TYPE_CHECKING:
    from lit_hydra_bridge.record.run_record import Ancestor, RunRecord

# Under such a key stands a file that a run begins with, and not one that it writes.
_STARTS_FROM: Final = re.compile(
    r"(ckpt|checkpoint|weights)(_(path|file))?|(resume|init|load)(d?_from)?(_\w+)?|pretrained\w*"
)
_CHECKPOINT: Final = re.compile(r"[^\n]*\.(ckpt|pth?)")


def look_at_lineage(record: RunRecord) -> list[Line]:
    """Tell whether all checkpoints that the run was started from are here, and known."""
    problems = [*_nearest(record), *_older(record), *_unrecorded(record)]
    if problems:
        return problems
    if not record.lineage:
        return [good("lineage", "none: the run was started from no checkpoint")]
    if _is_url(record.lineage[0].checkpoint):
        return [note("lineage", f"started from {_named(record.lineage[0])}, which was not looked at")]
    return [good("lineage", f"complete: started from {short(str(record.lineage[0].checkpoint))}")]


def _nearest(record: RunRecord) -> list[Line]:
    """The one that this run itself needs."""
    if not record.lineage:
        return []
    ancestor = record.lineage[0]
    problem = _problem(ancestor, record)
    if problem is None:
        return []
    return [bad("lineage", f"started from {_named(ancestor)}, {problem}", "bring that file back to its place")]


def _older(record: RunRecord) -> list[Line]:
    """Needed only to make the runs before this one again."""
    problems = [(ancestor, _problem(ancestor, record)) for ancestor in record.lineage[1:]]
    missing = [f"{_named(ancestor)}, {problem}" for ancestor, problem in problems if problem is not None]
    if not missing:
        return []
    return [note("lineage", f"of the runs before: {some(missing)}", "needed only to make those again")]


def _named(ancestor: Ancestor) -> str:
    return short(ancestor.checkpoint or f"a checkpoint of run {short(ancestor.run_id, 12)}")


def _problem(ancestor: Ancestor, record: RunRecord) -> str | None:
    if ancestor.checkpoint is None:
        return "whose place is not recorded"
    if _is_url(ancestor.checkpoint):
        return None  # a stranger's address is no reason to go online
    file = local_checkpoint(ancestor.checkpoint, *folders_of(record))
    if file is None:
        return "which is not here"
    found = recorded_at(file)
    if found is None:
        return "which can't be read, or has no record now"
    return None if found.run_id == ancestor.run_id else f"which is now of another run ({short(found.run_id, 12)})"


def _is_url(place: str | None) -> bool:
    return place is not None and "://" in place


def _unrecorded(record: RunRecord) -> list[Line]:
    """Checkpoints that the config names and the lineage does not: made without the bridge, or read by hand."""
    folders = folders_of(record)
    known = {local_checkpoint(ancestor.checkpoint, *folders) for ancestor in record.lineage}
    without, missing = [], []
    for key, value in _named_checkpoints(record.config.resolved):
        file = local_checkpoint(value, *folders)
        if file is None and not _is_url(value) and not _is_known(value, record):
            missing.append(f"{key} = {short(value)}")
        elif file is not None and file not in known and has_no_record(file):
            without.append(f"{key} = {short(value)}")
    lines = []
    if without:
        finding = f"incomplete: how these were made is not recorded: {some(without)}"
        lines.append(bad("lineage", finding, "keep them with the run, or make them again with lit-hydra-bridge"))
    if missing:
        finding = f"{count(len(missing), 'checkpoint')} that the config names, and not here: {some(missing)}"
        lines.append(bad("lineage", finding, "bring them back to their place, if the run began with them"))
    return lines


def _is_known(value: str, record: RunRecord) -> bool:
    """What the lineage has is looked at there."""
    return any(str(ancestor.checkpoint).endswith(value.removeprefix("./")) for ancestor in record.lineage)


def _named_checkpoints(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for name, child in items:
            yield from _named_checkpoints(child, f"{key}.{name}".lstrip("."))
    elif (
        isinstance(node, str) and _CHECKPOINT.fullmatch(node) and _STARTS_FROM.fullmatch(key.rpartition(".")[2].lower())
    ):
        yield key, node

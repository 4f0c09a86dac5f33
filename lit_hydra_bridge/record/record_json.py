"""RunRecord <-> the JSON text that a checkpoint stores. `docs/record.schema.json` describes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from lit_hydra_bridge.errors import InvalidRecordError
from lit_hydra_bridge.record.run_record import RunRecord, SavedCheckpoint
from lit_hydra_bridge.strict_json import dumps, loads

MAX_BYTES: Final = 8 << 20
"""A longer record is neither written nor read."""

# For metrics, which are not known beforehand.
_ROOM: Final = 1 << 20


def record_text(record: RunRecord) -> str:
    """Return a record as the text that is stored."""
    return dumps(record.to_dict())


def text_for_checkpoints(record: RunRecord) -> Callable[[dict[str, float], SavedCheckpoint], str]:
    """Return a function of what differs from checkpoint to checkpoint, so that each costs little."""
    data = {key: value for key, value in _storable(record).to_dict().items() if key not in ("metrics", "checkpoint")}
    common = dumps(data)[:-1]
    return lambda metrics, saved: f'{common},"metrics":{dumps(metrics)},"checkpoint":{dumps(vars(saved))}}}'


def _storable(record: RunRecord) -> RunRecord:
    """Leave out of a record that is too long what can best be spared."""
    for part in ("the git diff", "the configs of the lineage", "the resolved config"):
        if len(record_text(record)) < MAX_BYTES - _ROOM:
            break
        gap = f"{part}: left out, because the record would be over {MAX_BYTES:,} bytes"
        record = replace(_without(part, record), gaps=[*record.gaps, gap])
    return record


def _without(part: str, record: RunRecord) -> RunRecord:
    if part == "the git diff":
        return replace(record, source=record.source and replace(record.source, diff=None))
    if part == "the configs of the lineage":
        return replace(record, lineage=[replace(ancestor, config="") for ancestor in record.lineage])
    return replace(record, config=replace(record.config, resolved={}, unresolved=[]))


def parse_record(text: object) -> RunRecord:
    """Read what `record_text` wrote; `text` may be anything that a file holds in its place.

    Raises:
        InvalidRecordError: it is no such text, is too long, or describes no record.
    """
    if not isinstance(text, str):
        raise InvalidRecordError("expected JSON text")
    if len(text) > MAX_BYTES:
        raise InvalidRecordError(f"it has {len(text):,} characters; the limit is {MAX_BYTES:,}")
    try:
        data = loads(text)
    except ValueError as error:
        raise InvalidRecordError(f"it is not valid JSON: {str(error)[:100]}") from None
    return RunRecord.from_dict(data)

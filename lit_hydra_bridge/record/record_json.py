"""RunRecord <-> the JSON text that a checkpoint stores.

The text is strict ASCII JSON, so any language can read it. What JSON lacks is written as an object with one key:

    NaN and infinities                      {"$float": "nan" | "inf" | "-inf"}
    a mapping with a key that is no text,   {"$map": [[key, value], ...]}
    or that begins with a dollar sign

`docs/record.schema.json` describes the whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NoReturn

from lit_hydra_bridge.errors import InvalidRecordError
from lit_hydra_bridge.record.run_record import RunRecord, SavedCheckpoint

MAX_BYTES: Final = 8 << 20
"""A longer record is neither written nor read."""

# For metrics, which are not known beforehand.
_ROOM: Final = 1 << 20
_FLOAT, _MAP = "$float", "$map"
_FLOATS: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def record_text(record: RunRecord) -> str:
    """Return a record as the text that is stored."""
    return json_of(record.to_dict())


def text_for_checkpoints(record: RunRecord) -> Callable[[dict[str, float], SavedCheckpoint], str]:
    """Return a function of what differs from checkpoint to checkpoint, so that each costs little."""
    data = {key: value for key, value in _storable(record).to_dict().items() if key not in ("metrics", "checkpoint")}
    common = json_of(data)[:-1]
    return lambda metrics, saved: f'{common},"metrics":{json_of(metrics)},"checkpoint":{json_of(vars(saved))}}}'


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
        data = json.loads(text, object_pairs_hook=_mapping, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidRecordError(f"it is not valid JSON: {str(error)[:100]}") from None
    return RunRecord.from_dict(data)


def json_of(value: Any) -> str:
    """Return plain data as the JSON described above."""
    return json.dumps(_tagged(value), allow_nan=False, separators=(",", ":"))


def _tagged(value: Any) -> Any:
    if isinstance(value, dict):
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: _tagged(item) for key, item in value.items()}
        return {_MAP: [[_tagged(key), _tagged(item)] for key, item in value.items()]}
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(value)}
    return value


def _mapping(pairs: list[tuple[str, Any]]) -> Any:
    if len(pairs) != 1 or pairs[0][0] not in (_FLOAT, _MAP):
        return dict(pairs)
    tag, value = pairs[0]
    try:
        return _FLOATS[value] if tag == _FLOAT else dict(value)
    except (KeyError, TypeError, ValueError):
        raise InvalidRecordError(f"{tag} in it has an unknown value") from None


def _refuse(constant: str) -> NoReturn:
    raise InvalidRecordError(f"it holds {constant}, which JSON does not have")

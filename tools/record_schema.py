"""Writes docs/record.schema.json: the JSON Schema of the record that a checkpoint holds, from RunRecord's fields.

python tools/record_schema.py
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any

from lit_hydra_bridge.record.run_record import RECORD_KEY, SCHEMA_VERSION, RunRecord

PATH = Path(__file__).resolve().parent.parent / "docs" / "record.schema.json"

# What JSON lacks; see lit_hydra_bridge/record/record_json.py.
TAGGED: dict[str, Any] = {
    "number": {
        "description": "A number; NaN and infinities are objects",
        "anyOf": [
            {"type": "number"},
            {
                "type": "object",
                "required": ["$float"],
                "properties": {"$float": {"enum": ["nan", "inf", "-inf"]}},
                "additionalProperties": False,
            },
        ],
    },
    "map": {
        "description": "A mapping with a key that is not a text, or that begins with a dollar sign, as pairs",
        "type": "object",
        "required": ["$map"],
        "properties": {
            "$map": {
                "type": "array",
                "items": {"type": "array", "items": {"$ref": "#/$defs/value"}, "minItems": 2, "maxItems": 2},
            }
        },
        "additionalProperties": False,
    },
    "value": {
        "description": "Plain data",
        "anyOf": [
            {"type": ["null", "boolean", "string"]},
            {"$ref": "#/$defs/number"},
            {"type": "array", "items": {"$ref": "#/$defs/value"}},
            {"$ref": "#/$defs/map"},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/value"}},
        ],
    },
}
SIMPLE: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"$ref": "#/$defs/number"},
}


def schema() -> dict[str, Any]:
    """Return the whole schema."""
    definitions: dict[str, Any] = dict(TAGGED)
    root = of_class(RunRecord, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "RunRecord",
        "description": f"The JSON text under the key {RECORD_KEY!r} of a checkpoint, schema version {SCHEMA_VERSION}.",
        **root,
        "$defs": definitions,
    }


def of_class(cls: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one of the record's classes. A newer version may add keys."""
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)
    return {
        "type": "object",
        "description": (cls.__doc__ or "").split("\n")[0],
        "required": [
            each.name
            for each in fields
            if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        ],
        "properties": {each.name: of_hint(hints[each.name], definitions) for each in fields},
    }


def of_hint(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a field's type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return {"$ref": "#/$defs/value"}
    if origin is types.UnionType:
        return {"anyOf": [of_hint(arguments[0], definitions), {"type": "null"}]}
    if origin is list:
        return {"type": "array", "items": of_hint(arguments[0], definitions)}
    if origin is dict:
        mapping = {"type": "object", "additionalProperties": of_hint(arguments[1], definitions)}
        return {"anyOf": [{"$ref": "#/$defs/map"}, mapping]}
    if dataclasses.is_dataclass(hint):
        name = typing.cast("type[Any]", hint).__name__
        if name not in definitions:
            definitions[name] = of_class(hint, definitions)
        return {"$ref": f"#/$defs/{name}"}
    return SIMPLE[hint]


def text() -> str:
    """Return the file's text."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")

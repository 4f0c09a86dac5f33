"""Plain data <-> strict ASCII JSON, which any language can read.

What JSON lacks is written as an object with one key:

    NaN and infinities                      {"$float": "nan" | "inf" | "-inf"}
    a mapping with a key that is no text,   {"$map": [[key, value], ...]}
    or that begins with a dollar sign
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

_FLOAT, _MAP = "$float", "$map"
_FLOATS: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def dumps(value: Any) -> str:
    """Return plain data as JSON."""
    return json.dumps(_tagged(value), allow_nan=False, separators=(",", ":"))


def loads(text: str | bytes) -> Any:
    """Return the data that `dumps` wrote.

    Raises:
        ValueError: it is not valid JSON, or nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_mapping, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


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
        raise ValueError(f"{tag} in it has an unknown value") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which JSON does not have")

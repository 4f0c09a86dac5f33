"""What a job hands to its sweeper -> text in job.json, and back: a return value, or the exception that was raised.

What can be pickled can't always be unpickled. The job tries it while the value can still be told from the job's own
failure; the launcher tries again, as it may lack a module that the job had.
"""

from __future__ import annotations

import base64
import json
import pickle
import threading
from typing import Any, Final

from lit_hydra_bridge.sweep.program import dumps

LIMIT_S: Final = 10.0
"""For how long a value may be unpickled."""
MOST_BYTES: Final = 1 << 26
_MOST_LEVELS: Final = 50
_MOST_BITS: Final = 64
_MOST_JSON: Final = 1 << 20


class UnreadableValueError(ValueError):
    """A value can't be handed over; the message says why, as the end of a sentence about it."""


def pack(value: Any, most: int = MOST_BYTES) -> str:
    """Pickle a value, and see that it can be read again.

    Raises:
        UnreadableValueError: it can't, or takes more than `most` bytes.
    """
    try:
        packed = dumps(value)
    except Exception as error:
        raise UnreadableValueError(f"can't be pickled ({_reason(error)})") from None
    if len(packed) > most:
        raise UnreadableValueError(f"takes {len(packed):,} bytes, and at most {most:,} are kept")
    _loads(packed)
    return base64.b64encode(packed).decode()


def unpack(text: str) -> Any:
    """Return what was packed.

    Raises:
        UnreadableValueError: it can't be unpickled in this process.
    """
    try:
        packed = base64.b64decode(text)
    except ValueError as error:
        raise UnreadableValueError(f"is damaged ({_reason(error)})") from None
    return _loads(packed)


def _loads(packed: bytes) -> Any:
    """Unpickle in a thread of its own, since the code of a value's class may do anything, and for ever."""
    loaded: list[Any] = []
    raised: list[BaseException] = []

    def load() -> None:
        try:
            loaded.append(pickle.loads(packed))
        except BaseException as error:  # SystemExit, too
            raised.append(error)

    thread = threading.Thread(target=load, name="lit-hydra-bridge-value", daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    if raised:
        raise UnreadableValueError(f"can be pickled, but not unpickled ({_reason(raised[0])})")
    if not loaded:
        raise UnreadableValueError(f"can be pickled, but unpickling it takes more than {LIMIT_S:g} s")
    return loaded[0]


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def is_plain(value: Any) -> bool:
    """Tell whether JSON gives a value back as it is, and no reader takes it for damaged."""
    return _has_json_types(value, _MOST_LEVELS) and len(json.dumps(value)) <= _MOST_JSON


def _has_json_types(value: Any, levels: int) -> bool:
    if not levels:
        return False
    if type(value) is list:
        return all(_has_json_types(item, levels - 1) for item in value)
    if type(value) is dict:
        return all(type(key) is str and _has_json_types(item, levels - 1) for key, item in value.items())
    if type(value) is int:
        return value.bit_length() <= _MOST_BITS
    return value is None or type(value) in (bool, float, str)

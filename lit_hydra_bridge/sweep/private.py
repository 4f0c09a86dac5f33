"""A sweep's files are read by people, tables and pages, and hold no secret. What it needs to go on is for its owner.

Where a secret was taken out of job.json or sweep.json, the true values lie beside it in `.job.private.json` or
`.sweep.private.json`, which nobody else may read.
"""

from __future__ import annotations

import base64
import binascii
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.files import DamagedFileError, read_json, write_file
from lit_hydra_bridge.record.redaction import REDACTED, Redactor, process_redactor

_NEEDED: Final = frozenset({
    "overrides", "command", "settings", "checkpoints", "working_dir", "return_value", "return_value_pickle",
    "error_pickle",
})  # fmt: skip
_PACKED: Final = ("return_value_pickle", "error_pickle")
_MOST_SEARCHED: Final = 1 << 18


def parted(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what may be shown of a file's data; and the true values of what was taken out and is needed again."""
    redactor = process_redactor()
    # First, since it tells which secrets there are.
    overrides = [redactor.override(text) for text in data.get("overrides", ())]
    shown = {key: _shown(key, value, redactor) for key, value in data.items()} | {"overrides": overrides}
    needed = {key: data[key] for key in _NEEDED & data.keys()}
    # Also an app's own `<redacted>`, which would be taken for ours.
    cut = [key for key, value in needed.items() if value != shown[key] and REDACTED in _as_json(shown[key])]
    cut += [key for key, value in needed.items() if REDACTED in _as_json(value)]
    return shown, {key: needed[key] for key in cut}


def keep_private(path: Path, hidden: dict[str, Any]) -> None:
    """Write beside a file what only its owner may read, before the file itself.

    Raises:
        OSError: it can't be written.
    """
    private = _private(path)
    if not hidden:
        private.unlink(missing_ok=True)
        return
    write_file(private, json.dumps(hidden), private=True)


def whole(path: Path, data: Any) -> Any:
    """Return a file's data with the true values in it.

    Raises:
        ValueError: a value was taken out, and is not here.
    """
    if not isinstance(data, dict):
        return data
    needed = {key: data[key] for key in _NEEDED & data.keys()}
    if REDACTED not in _as_json(needed):  # in one go: a table reads ten thousand such files
        return data
    cut = [key for key, value in needed.items() if REDACTED in _as_json(value)]
    private = _private(path)
    try:
        hidden = read_json(private, dict) or {}
        return data | {key: hidden[key] for key in cut}
    except (DamagedFileError, KeyError, TypeError):
        raise ValueError(
            f"secrets were taken out of {', '.join(sorted(cut))}, and {private.name} beside it, which has them, "
            "is missing or damaged"
        ) from None


def learn_secrets(config: Any) -> None:
    """Remember the secrets of a job's or a multirun's config, which errors and logs may tell."""
    from omegaconf import OmegaConf

    with suppress(Exception):  # what can't be read has no secret to tell
        plain: Any = OmegaConf.to_container(config, resolve=False, throw_on_missing=False)
        process_redactor().learn_config({key: item for key, item in plain.items() if key != "hydra"})


def shown_text(text: str) -> str:
    """Return a text that a person is about to see, or that a file for everybody will hold, without secrets."""
    return process_redactor().text(text)


def _private(path: Path) -> Path:
    return path.with_name(f".{path.stem}.private.json")


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _shown(key: str, value: Any, redactor: Redactor) -> Any:
    if key == "metrics":
        return value
    if key == "command":
        return redactor.arguments(value)
    if key in _PACKED and value is not None:
        return REDACTED if _holds_secret(value, redactor) else value
    return redactor.plain(value)


def _holds_secret(packed: str, redactor: Redactor) -> bool:
    """Pickles keep texts as they are; one too long to search is nobody's to read."""
    if len(packed) > _MOST_SEARCHED:
        return True
    with suppress(binascii.Error, ValueError):
        text = base64.b64decode(packed).decode("utf-8", "replace")
        return redactor.text(text) != text
    return True

"""Text that Hydra and omegaconf read as exactly itself."""

from __future__ import annotations

import re
from typing import Final

# What Hydra reads as text without quotes; and words that it reads as something else.
_BARE: Final = re.compile(r"[A-Za-z_/][\w./-]*", re.ASCII)
_WORDS: Final = frozenset({"null", "true", "false", "nan", "inf"})


def escape_interpolations(text: str) -> str:
    r"""Return text that omegaconf reads as `text` itself: `${x}` -> `\${x}`, and backslashes before it doubled."""
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)


def quoted(text: str) -> str:
    """Return a value of an override that Hydra reads as exactly this text."""
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    from hydra.core.override_parser.types import Quote, QuotedString

    return str(QuotedString(text=escape_interpolations(text), quote=Quote.single).with_quotes())

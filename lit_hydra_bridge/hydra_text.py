"""Text that Hydra and omegaconf read as exactly itself."""

from __future__ import annotations

import re
from typing import Any, Final

# What Hydra reads as text without quotes; and words that it reads as something else.
_BARE: Final = re.compile(r"[A-Za-z_/][\w./-]*", re.ASCII)
_YAML_LINE_BREAKS: Final = re.compile("[\x85\u2028\u2029]")
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


def yaml_text(plain: Any) -> str:
    """Return plain data as the YAML that `OmegaConf.to_yaml` writes, but such that reading it gives the same texts."""
    import yaml
    from omegaconf._utils import get_omega_conf_dumper

    def dumped(*, allow_unicode: bool) -> str:
        dumper = get_omega_conf_dumper()
        return str(
            yaml.dump(plain, Dumper=dumper, default_flow_style=False, allow_unicode=allow_unicode, sort_keys=False)
        )

    text = dumped(allow_unicode=True)
    # YAML reads these as line breaks, and so as spaces, unless they are escaped.
    return dumped(allow_unicode=False) if _YAML_LINE_BREAKS.search(text) else text

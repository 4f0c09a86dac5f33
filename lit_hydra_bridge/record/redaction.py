"""Secrets never leave the process.

Three nets, each for what slips through the one before it:

1. by name: a value whose key, or whose environment variable, looks like a secret's (secret_names.py);
2. by form: a password in a URL, `password=x` inside a text, the well-known forms of tokens (secret_shapes.py);
3. by value: any text that holds a secret already known from the config or the environment.

All that is stored or shown passes a `Redactor` first.

The third is the dangerous one: a password that reads `config` or `0.1000` would wreck the record. So in free
text only distinctive values are looked for: not numbers, not plain words, not paths that exist. What one of the
app's own resolvers returns is held against every known value, because nothing else tells what it is made of.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from lit_hydra_bridge.record.run_record import REDACTED as REDACTED
from lit_hydra_bridge.record.secret_names import hides as hides
from lit_hydra_bridge.record.secret_names import is_plainly_other as is_plainly_other
from lit_hydra_bridge.record.secret_names import looks_secret as looks_secret
from lit_hydra_bridge.record.secret_names import path_looks_secret as path_looks_secret
from lit_hydra_bridge.record.secret_names import variable_looks_secret as variable_looks_secret
from lit_hydra_bridge.record.secret_shapes import hide_shapes

_URL_PASSWORD: Final = re.compile(
    r"""(?<=://)(?P<user>(?:\$\{[^{}]*\}|[^/\s:@'"$]|\$(?!\{))*):(?P<password>(?:\$\{[^{}]*\}|[^/\s'"])+)@"""
)
_INLINE_KEY: Final = re.compile(r"""(?P<key>[\w.\-/@]+)["']?\s*:\s*""")
# References, also nested ones, and resolvers without a quoted, listed or nested argument.
_PURE_INTERPOLATION: Final = re.compile(
    r"""\$\{(?!\s*oc\.(?:decode|create)\s*:)(?:[^${}'",]*|[\w.\[\]]*(?:\$\{[\w.\[\]]+\}[\w.\[\]]*)+)\}"""
)
_ENV_WITH_DEFAULT: Final = re.compile(r"""oc\.env:\s*(?P<name>["']?[\w.]+["']?|\$\{[^{}]*\}[\w.]*)\s*,""")
_NUMBER: Final = re.compile(r"[+-]?[\d_.,:]+(?:[eE][+-]?\d+)?")
_WORDS: Final = re.compile(r"[^\W\d]+(?:[ _./-][^\W\d]+)*")
_DISTINCTIVE_LENGTH: Final = 6
_DISTINCTIVE_WORDS_LENGTH: Final = 16
# Too short for a token, and without what a secret in a text stands behind.
_SHORT_VALUE: Final = re.compile(r"[\w.+-]{0,13}")
_OPTION: Final = re.compile(r"--?[a-z][a-z0-9-]*(?:=.*)?", re.DOTALL)


def redact_text_under_secret_key(text: str) -> str:
    """Redact a secret's text as composed: an interpolation stays, all else goes."""
    bare = text[1:-1] if text[:1] in ("'", '"') and text[-1:] == text[:1] else text
    if _PURE_INTERPOLATION.fullmatch(bare):
        return text
    if re.match(r"\$\{\s*oc\.env:", bare) and value_end(bare, 2, "") == len(bare) - 1:
        return redact_env_defaults(text, any_name=True)
    return REDACTED


def redact_env_defaults(text: str, *, any_name: bool = False) -> str:
    """Redact the literal in `${oc.env:NAME,literal}` where NAME looks like a secret's, or could be one."""
    done = 0
    result: list[str] = []
    for found in _ENV_WITH_DEFAULT.finditer(text):
        if found.start() < done or not (
            any_name or "$" in found["name"] or variable_looks_secret(found["name"].strip("\"'"))
        ):
            continue
        end = value_end(text, found.end(), "")
        default = text[found.end() : end]
        if default.strip() != "null" and not re.fullmatch(r"\$\{.*\}", default.strip(), re.DOTALL):
            result += [text[done : found.end()], f"'{REDACTED}'"]
            done = end
    return "".join([*result, text[done:]])


def value_end(text: str, start: int, separators: str = ",") -> int:
    """Return where the value at `start` ends: at a separator or a closing bracket of its level, outside quotes."""
    depth, quoted_by, i = 0, "", start
    while i < len(text):
        character = text[i]
        if character == "\\":
            i += 1
        elif quoted_by:
            quoted_by = "" if character == quoted_by else quoted_by
        elif character in "'\"":
            quoted_by = character
        elif character in "([{":
            depth += 1
        elif depth == 0 and (character in separators or character in ")]}"):
            return i
        elif character in ")]}":
            depth -= 1
        i += 1
    return len(text)


class Redactor:
    """Takes secrets out of texts, and remembers those that it has met.

    Args:
        environ: the environment variables; those with a secret's name are known from the start.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._distinctive: set[str] = set()
        self._all: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._environ: dict[str, str] = {}
        self.learn_environment(environ)

    def learn_environment(self, environ: Mapping[str, str]) -> None:
        """Remember the secrets among environment variables, and the passwords in their URLs."""
        for name, value in set(environ.items()) - self._environ.items():
            if variable_looks_secret(name):
                self._learn_distinctive(value)
            elif "://" in value:
                for found in _URL_PASSWORD.finditer(value):
                    self._learn_distinctive(found["password"])
        self._environ = dict(environ)

    def learn_config(self, config: Any, path: tuple[Any, ...] = ()) -> None:
        """Remember the secrets of a config, given as plain containers with its interpolations as text."""
        if isinstance(config, dict | list):
            for key, item in config.items() if isinstance(config, dict) else enumerate(config):
                self.learn_config(item, (*path, key))
        elif config is not None and not isinstance(config, bool) and hides(path, config):
            variable = re.fullmatch(r"\$\{oc\.env:(\w+)\}", str(config))
            self.learn(self._environ.get(variable[1], "") if variable else config)

    def learn(self, secret: object) -> None:
        """Remember a secret, so that it is found wherever else it stands."""
        if isinstance(secret, Mapping):
            secret = list(secret.values())
        if isinstance(secret, list | tuple | set | frozenset):
            for item in secret:
                self.learn(item)
            return
        text = secret.decode("utf-8", "replace") if isinstance(secret, bytes) else str(secret)
        if len(text) > 2 and text not in (REDACTED, "None", "True", "False"):
            self._all.add(text)
        self._learn_distinctive(text)

    def _learn_distinctive(self, text: str) -> None:
        # A key block's first and last line are the same for all, and tell where one is.
        lines = (line.strip() for line in text.splitlines() if not line.startswith("-----"))
        for part in {text, *lines}:
            if _is_distinctive(part):
                # As it would stand in a URL, and in a JSON or Python string.
                self._distinctive |= {part, quote(part, safe="", errors="replace"), json.dumps(part)[1:-1]}
        self._pattern = None

    def holds_secret(self, value: object) -> bool:
        """Tell whether a value holds any secret known from the config, distinctive or not."""
        text = str(value)
        return any(secret in text for secret in self._all) or self.text(text) != text

    def text(self, text: str, *, assignments: bool = True) -> str:
        """Return `text` without distinctive known secrets, and without what shows by its form that it is one.

        Args:
            text: any.
            assignments: False leaves `password=x` to the caller.
        """
        text = self._without_known(text)
        if "://" in text:
            text = _URL_PASSWORD.sub(_hide_url_password, text)
        return hide_shapes(text, assignments=assignments)

    def _without_known(self, text: str) -> str:
        if not self._distinctive:
            return text
        if self._pattern is None:
            longest_first = sorted(self._distinctive, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(secret) for secret in longest_first))
        return self._pattern.sub(REDACTED, text)

    def override(self, override: str) -> str:
        """Return a Hydra override, or any `key=value` argument, without its secret."""
        start = 0
        while override[:1] not in ("{", "[") and (equals := override.find("=", start)) >= 0:
            keys = re.split(r"[./@\[\]:\s]", override[start:equals].lstrip("+~-"))
            if hides(keys, override[equals + 1 :].strip("'\"")):
                return f"{self.text(override[:equals])}={self._secret_value(override[equals + 1 :])}"
            start = equals + 1
            # `--set=db.password=x` has its key behind another one.
            if not re.match(r"[\w.+~/@-]+=", override[start:]):
                break
        head, value = override[:start], override[start:]
        if _SHORT_VALUE.fullmatch(value):
            return self._without_known(override)
        return self.text(head + self._inline_mappings(redact_env_defaults(value)))

    def arguments(self, argv: Iterable[str]) -> list[str]:
        """Return a command line without its secrets: `key=value`, `--password value`, `--password=value`."""
        result: list[str] = []
        option = ""
        for argument in argv:
            if option and not _OPTION.fullmatch(argument) and hides([option], argument):
                result.append(self._secret_value(argument))
            else:
                result.append(self.override(argument))
            option = argument if argument.startswith("-") and "=" not in argument else ""
        # A secret that stands under its name may stand elsewhere as well, even before it.
        return [self.text(argument) for argument in result]

    def data(self, value: Any) -> Any:
        """Return plain containers with every text in them cleaned of known secrets."""
        if isinstance(value, str):
            return self._leaf(value)
        if isinstance(value, dict):
            return {self.data(key): self.data(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.data(item) for item in value]
        return value

    def plain(self, value: Any, path: tuple[Any, ...] = ()) -> Any:
        """Return plain containers without the values under a secret's name, and with every text in them cleaned."""
        if isinstance(value, dict):
            return {self.data(key): self.plain(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item, path) for item in value]
        if value is not None and not isinstance(value, bool) and hides(path, value):
            self.learn(value)
            return REDACTED
        return self.text(value) if isinstance(value, str) else value

    def _leaf(self, text: str) -> str:
        clean = self.text(text)
        if clean != text and "${" in text and not _is_readable_interpolation(clean):
            return REDACTED
        return clean

    def _secret_value(self, value: str) -> str:
        kept = redact_text_under_secret_key(value)
        if kept == REDACTED:
            bare = value.strip().strip("'\"")
            self.learn([bare, bare.replace("\\", ""), *re.split(r"[,\[\]{}()'\"]", value)])
        return kept

    def _inline_mappings(self, value: str) -> str:
        """Redact `{user:me,password:x}`, however nested, in an override's or an argument's value."""
        result: list[str] = []
        done = 0
        for found in _INLINE_KEY.finditer(value) if "{" in value else ():
            if found.start() >= done and looks_secret(found["key"]):
                end = value_end(value, found.end())
                result += [value[done : found.end()], self._secret_value(value[found.end() : end])]
                done = end
        return "".join([*result, value[done:]])


@cache
def _redactor_of_process() -> Redactor:
    return Redactor({})


def process_redactor() -> Redactor:
    """Return the process's own, which knows the secrets in its environment as it is now, and all that it was told."""
    redactor = _redactor_of_process()
    redactor.learn_environment(os.environ)
    return redactor


def _is_distinctive(text: str) -> bool:
    if len(text) < _DISTINCTIVE_LENGTH or REDACTED in text or text.isspace():
        return False
    if len(text) < _DISTINCTIVE_WORDS_LENGTH and (_NUMBER.fullmatch(text) or _WORDS.fullmatch(text)):
        return False
    return not _is_existing_path(text)


def _is_existing_path(text: str) -> bool:
    # `SECRETS_DIR=/home/me` must not take every path out of the record.
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def _hide_url_password(found: re.Match[str]) -> str:
    password = redact_env_defaults(found["password"], any_name=True)
    kept = password if re.fullmatch(r"(?:\$\{[^{}]*\})+", password) else REDACTED
    return f"{found['user']}:{kept}@"


def _is_readable_interpolation(text: str) -> bool:
    from omegaconf.errors import OmegaConfBaseException
    from omegaconf.grammar_parser import parse

    try:
        parse(text)
    except OmegaConfBaseException:
        return False
    return True

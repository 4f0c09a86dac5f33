"""Secrets never leave the process.

Three nets, each for what slips through the one before it:

1. by name: a value whose key, or whose environment variable, looks like a secret's;
2. by form: a password in a URL, `password=x` inside a text, the well-known forms of tokens;
3. by value: any text that holds a secret already known from the config or the environment.

The third is the dangerous one: a password that reads `config` or `0.1000` would wreck the record. So in free
text only distinctive values are looked for: not numbers, not plain words, not paths that exist. What one of the
app's own resolvers returns is held against every known value, because nothing else tells what it is made of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from lit_hydra_bridge.record.run_record import REDACTED as REDACTED

_MARKERS: Final = (
    "secret", "password", "passwd", "passphrase", "apikey", "credential", "privatekey", "accesskey", "authkey",
    "signingkey", "encryptionkey", "sshkey", "authorization",
)  # fmt: skip
# In this field "token" mostly means a piece of text. These words beside it say so.
_TEXT_TOKEN_WORDS: Final = frozenset({
    "pad", "eos", "bos", "unk", "cls", "sep", "mask", "special", "num", "n", "nb", "max", "min", "new", "per",
    "dim", "len", "length", "count", "type", "id", "ids", "idx", "embed", "embedding", "size", "limit", "budget",
    "vocab", "drop", "dropout", "level", "classification", "class", "mixer", "mixing", "learning", "position", "pos",
    "start", "end", "first", "last", "prefix", "image", "patch", "register", "text", "merge", "merging", "ratio",
    "total", "train", "target", "weight", "batch", "seq", "sequence", "context", "window", "input", "output",
    "hidden", "loss", "shift", "masking", "pruning",
})  # fmt: skip
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_URL_PASSWORD: Final = re.compile(
    r"""(?<=://)(?P<user>(?:\$\{[^{}]*\}|[^/\s:@'"$]|\$(?!\{))*):(?P<password>(?:\$\{[^{}]*\}|[^/\s'"])+)@"""
)
_TOKEN_FORMS: Final = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[a-z]-[\w-]{10,}"
    r"|AKIA[A-Z0-9]{16}\b|AIza[\w-]{35}|sk-(?=[\w-]*\d)[\w-]{20,})"
)
_PARAMETER: Final = re.compile(r"""(?P<key>[\w.\-]+)=(?P<value>'[^']*'|"[^"]*"|[^\s&;,'"]+)""")
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
_OPTION: Final = re.compile(r"--?[a-z][a-z0-9-]*(?:=.*)?", re.DOTALL)


def looks_secret(name: object) -> bool:
    """Tell whether a key or an environment variable of this name holds a secret.

    `hf_token`, `API_KEY` and `dbPassword` do; `tokenizer`, `max_tokens`, `pad_token_id` and `secretary` don't.
    """
    return _looks_secret(str(name))


@lru_cache(maxsize=4096)
def _looks_secret(text: str) -> bool:
    squeezed = re.sub(r"[^a-z0-9]", "", text.lower())
    if any(marker in re.sub("secretar(?:y|ies)", "", squeezed) for marker in _MARKERS):
        return True
    if "token" not in squeezed or "tokeni" in squeezed:
        return False
    return not {word.lower() for word in _WORD.findall(text)} & _TEXT_TOKEN_WORDS


def path_looks_secret(keys: Iterable[object]) -> bool:
    """Tell whether a node on this path of keys is, or lies inside, a secret."""
    return any(looks_secret(key) for key in keys if isinstance(key, str))


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
        if found.start() < done or not (any_name or "$" in found["name"] or looks_secret(found["name"])):
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
        for name, value in environ.items():
            if looks_secret(name):
                self._learn_distinctive(value)

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
        for part in {text, *(line.strip() for line in text.splitlines())}:
            if _is_distinctive(part):
                # As it would stand in a URL, and in a JSON or Python string.
                self._distinctive |= {part, quote(part, safe="", errors="replace"), json.dumps(part)[1:-1]}
        self._pattern = None

    def holds_secret(self, value: object) -> bool:
        """Tell whether a value holds any secret known from the config, distinctive or not."""
        text = str(value)
        return any(secret in text for secret in self._all) or self.text(text) != text

    def text(self, text: str) -> str:
        """Return `text` without distinctive known secrets, passwords in URLs, and well-known tokens."""
        if self._distinctive:
            if self._pattern is None:
                longest_first = sorted(self._distinctive, key=len, reverse=True)
                self._pattern = re.compile("|".join(re.escape(secret) for secret in longest_first))
            text = self._pattern.sub(REDACTED, text)
        if "://" in text:
            text = _URL_PASSWORD.sub(_hide_url_password, text)
        return _TOKEN_FORMS.sub(REDACTED, text)

    def override(self, override: str) -> str:
        """Return a Hydra override, or any `key=value` argument, without its secret."""
        start = 0
        while override[:1] not in ("{", "[") and (equals := override.find("=", start)) >= 0:
            keys = re.split(r"[./@\[\]:\s]", override[start:equals].lstrip("+~-"))
            if path_looks_secret(keys):
                return f"{self.text(override[:equals])}={self._secret_value(override[equals + 1 :])}"
            start = equals + 1
            # `--set=db.password=x` has its key behind another one.
            if not re.match(r"[\w.+~/@-]+=", override[start:]):
                break
        head, value = override[:start], override[start:]
        return self.text(head + _hide_parameters(self._inline_mappings(redact_env_defaults(value))))

    def arguments(self, argv: Iterable[str]) -> list[str]:
        """Return a command line without its secrets: `key=value`, `--password value`, `--password=value`."""
        result: list[str] = []
        value_is_secret = False
        for argument in argv:
            if value_is_secret and not _OPTION.fullmatch(argument):
                result.append(self._secret_value(argument))
            else:
                result.append(self.override(argument))
            value_is_secret = argument.startswith("-") and "=" not in argument and looks_secret(argument)
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

    def _leaf(self, text: str) -> str:
        clean = self.text(_hide_parameters(text))
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


def _hide_parameters(text: str) -> str:
    """`host=x password=y`, `?token=y&n=1`: the forms of connection strings and queries."""

    def replace(found: re.Match[str]) -> str:
        if not looks_secret(found["key"]) or found["value"].startswith("${"):
            return found[0]
        return f"{found['key']}={REDACTED}"

    return _PARAMETER.sub(replace, text) if "=" in text else text


def _is_readable_interpolation(text: str) -> bool:
    from omegaconf.errors import OmegaConfBaseException
    from omegaconf.grammar_parser import parse

    try:
        parse(text)
    except OmegaConfBaseException:
        return False
    return True

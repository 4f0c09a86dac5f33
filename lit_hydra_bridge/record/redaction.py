"""Secrets never leave the process.

Three nets, each for what slips through the one before it:

1. by name: a value whose key, or whose environment variable, looks like a secret's;
2. by form: a password in a URL, a private key's lines;
3. by value: any text that holds a secret already known from the config or the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

REDACTED: Final = "<redacted>"

_MARKERS: Final = (
    "token", "secret", "password", "passwd", "passphrase", "apikey", "credential", "privatekey", "accesskey",
)  # fmt: skip
# In this field "token" mostly means a piece of text. These words beside it say so.
_TEXT_TOKEN_WORDS: Final = frozenset({
    "pad", "eos", "bos", "unk", "cls", "sep", "mask", "special", "num", "n", "nb", "max", "min", "new", "per",
    "dim", "len", "length", "count", "type", "ids", "idx", "embed", "embedding", "size", "limit", "budget", "vocab",
    "drop", "dropout", "level", "classification", "class", "mixer", "mixing", "learning", "position", "pos",
    "start", "end", "first", "last", "prefix", "image", "patch", "register", "text", "merge", "merging", "ratio",
})  # fmt: skip
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^/\s:@'\"]*):([^/\s@'\"]+)@")
_PURE_INTERPOLATION: Final = re.compile(r"\$\{[^${}'\",]*\}")
_ENV_WITH_DEFAULT: Final = re.compile(r"(\$\{oc\.env:\s*[\w.]+\s*,\s*)(?!\s*null\s*\})([^{}]*)(\})")
_KEY: Final = r"[\w.\-/@]*"
_ASSIGNMENT: Final = re.compile(rf"""(?P<key>{_KEY})(?P<sep>["']?\]?\s*(?::=|=>|[:=])\s*)(?P<value>.*)""", re.DOTALL)
_QUOTED: Final = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_MINIMUM_KNOWN_LENGTH: Final = 6


def looks_secret(name: object) -> bool:
    """Tell whether a key or an environment variable of this name holds a secret.

    `hf_token`, `API_KEY` and `dbPassword` do; `tokenizer`, `max_tokens` and `pad_token_id` don't.
    """
    text = str(name)
    squeezed = re.sub(r"[^a-z0-9]", "", text.lower())
    if not any(marker in squeezed for marker in _MARKERS):
        return False
    if any(marker in squeezed for marker in _MARKERS if marker != "token"):
        return True
    words = {word.lower() for word in _WORD.findall(text)}
    return "tokeni" not in squeezed and not words & _TEXT_TOKEN_WORDS


def path_looks_secret(keys: Iterable[object]) -> bool:
    """Tell whether a node on this path of keys is, or lies inside, a secret."""
    return any(looks_secret(key) for key in keys if isinstance(key, str))


def redact_text_under_secret_key(text: str) -> str:
    """Redact a secret's text as composed: an interpolation stays, all else goes."""
    if _PURE_INTERPOLATION.fullmatch(text):
        return text
    without_default = redact_env_defaults(text)
    if without_default != text and re.fullmatch(r"\$\{oc\.env:[^{}]*\}", text):
        return without_default
    if re.fullmatch(r"\$\{oc\.env:\s*[\w.]+\s*,\s*null\s*\}", text):
        return text
    return REDACTED


def redact_env_defaults(text: str) -> str:
    """Redact the literal in `${oc.env:NAME,literal}` where NAME looks like a secret's."""

    def replace(found: re.Match[str]) -> str:
        return f"{found[1]}'{REDACTED}'{found[3]}"

    return _ENV_WITH_DEFAULT.sub(replace, text)


class Redactor:
    """Takes secrets out of texts, and remembers those that it has met.

    Args:
        environ: the environment variables; those with a secret's name are known from the start.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._known: set[str] = set()
        for name, value in environ.items():
            if looks_secret(name):
                self.learn(value)

    def learn(self, secret: object) -> None:
        """Remember a secret, so that it is found wherever else it stands; a short one is left to its key."""
        text = str(secret)
        if len(text) >= _MINIMUM_KNOWN_LENGTH and text != REDACTED and not text.isspace():
            self._known.add(text)

    def text(self, text: str) -> str:
        """Return `text` without known secrets and without passwords in URLs."""
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, REDACTED)
        if "://" in text:
            text = _URL_PASSWORD.sub(_hide_url_password, text)
        return text

    def override(self, override: str) -> str:
        """Return a Hydra override, or any `key=value` argument, without its secret."""
        key, separator, value = override.partition("=")
        if separator and path_looks_secret(re.split(r"[./@\[\]:]", key.lstrip("+~-"))):
            kept = redact_text_under_secret_key(value)
            if kept == REDACTED:
                self.learn(value.strip("'\""))
            return f"{key}={kept}"
        if separator and value[:1] in "{[":
            value = self._inline_mapping(value)
        return self.text(f"{key}{separator}{redact_env_defaults(value) if _names_secret_env(value) else value}")

    def arguments(self, argv: Iterable[str]) -> list[str]:
        """Return a command line without its secrets: `key=value`, `--password value`, `--password=value`."""
        result: list[str] = []
        value_is_secret = False
        for argument in argv:
            if value_is_secret and not argument.startswith("-"):
                self.learn(argument)
                result.append(REDACTED)
            else:
                result.append(self.override(argument))
            value_is_secret = argument.startswith("-") and "=" not in argument and looks_secret(argument)
        return result

    def data(self, value: Any) -> Any:
        """Return plain containers with every text in them cleaned of known secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.data(key): self.data(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.data(item) for item in value]
        return value

    def diff(self, diff: str) -> str:
        """Return a git diff without its secrets, line by line.

        In Python code only literals go, so that `token=token` stays readable; elsewhere the rest of the
        line behind a secret's key goes, and the lines indented below it.
        """
        lines: list[str] = []
        python = False
        block_indent: int | None = None
        private_key = False
        for line in diff.split("\n"):
            if line.startswith(("diff --git ", "@@")):
                python = line.endswith(".py") if line.startswith("diff") else python
                block_indent, private_key = None, False
                lines.append(self.text(line))
                continue
            sign, body = line[:1], line[1:]
            indent = len(body) - len(body.lstrip())
            if "PRIVATE KEY-----" in body:
                private_key = "BEGIN" in body
                lines.append(f"{sign}{REDACTED}")
                continue
            if private_key or (block_indent is not None and body.strip() and indent > block_indent):
                lines.append(f"{sign}{' ' * indent}{REDACTED}")
                continue
            block_indent = None
            clean = _redact_line(body, python)
            if clean != body and _opens_block(body):
                block_indent = indent
            lines.append(self.text(f"{sign}{clean}"))
        return "\n".join(lines)

    def _inline_mapping(self, value: str) -> str:
        """Redact `{user:me,password:x}` given as one override's value."""

        def replace(found: re.Match[str]) -> str:
            if not looks_secret(found["key"]):
                return found[0]
            self.learn(found["value"].strip("'\" "))
            return f"{found['key']}{found['sep']}{REDACTED}"

        pattern = rf"""(?P<key>{_KEY})(?P<sep>["']?\s*:\s*)(?P<value>"[^"]*"|'[^']*'|[^,{{}}\[\]]+)"""
        return re.sub(pattern, replace, value)


def _hide_url_password(found: re.Match[str]) -> str:
    if _PURE_INTERPOLATION.fullmatch(found[2]) or "${" in found[1] + found[2]:
        return found[0]
    return f"{found[1]}:{REDACTED}@"


def _names_secret_env(text: str) -> bool:
    return any(looks_secret(name) for name in re.findall(r"oc\.env:\s*([\w.]+)", text))


def _opens_block(body: str) -> bool:
    return re.search(r"[:=]\s*[|>(\[{]?[+-]?\s*(#.*)?$", body) is not None


def _redact_line(body: str, python: bool) -> str:
    """Redact one line of a file from the first secret-looking key on."""
    start = 0
    while (found := _ASSIGNMENT.search(body, start)) is not None:
        if looks_secret(found["key"]):
            head, value = body[: found.start("value")], found["value"]
            if not python or "#" in head:
                return head + (REDACTED if value.strip() else value)
            return head + _redact_literals(value)
        start = found.end("sep")
    if python and any(looks_secret(name) for name in re.findall(r"\w+", body)):
        return _redact_literals(body)
    return body


def _redact_literals(code: str) -> str:
    code, hash_sign, comment = code.partition("#")
    code = _QUOTED.sub(lambda found: f"{found[0][0]}{REDACTED}{found[0][-1]}", code)
    code = re.sub(r"(?<![\w.<])\d[\w.]{3,}", REDACTED, code)
    return code + (hash_sign + f" {REDACTED}" if hash_sign and comment.strip() else hash_sign)

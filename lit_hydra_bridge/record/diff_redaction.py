"""A git diff without its secrets, line by line.

    python   in a line that names a secret only literals go, so that `token=token` stays readable
    config   the rest of the line behind a secret's key goes, and the lines that continue it
    code     as config, but only a line that visibly opens a block has lines that continue it

The old and the new side of a diff are two texts: each has its own state, and a context line belongs to both.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from lit_hydra_bridge.record.redaction import REDACTED, Redactor, hides, is_plainly_other, looks_secret

_Kind = Literal["python", "config", "code"]

_CONFIG_FILE: Final = re.compile(
    r"""(?:\.(?:ya?ml|ini|cfg|conf|toml|json|jsonl|properties|env|txt|md|netrc|tfvars)|/\.?env[\w.]*|/[^./]+)"?$"""
)
_ASSIGNMENT: Final = re.compile(r"""(?P<key>[\w.\-/@]+)(?P<sep>["']?\]?\s*(?::=|=>|[:=])\s*)""")
_WORD: Final = re.compile(r"[\w-]+")
# Three quotes are never an empty string and another quote.
_STRING: Final = r'"""(?s:.*?)"""' + r"|'''(?s:.*?)'''" + r'|"(?!"")(?:[^"\\]|\\.)*"' + r"|'(?!'')(?:[^'\\]|\\.)*'"
# In this order: a `#` inside a string opens no comment, and an unclosed quote takes the rest of the line.
_LITERAL: Final = re.compile(
    rf"""(?P<string>{_STRING})|(?P<comment>\#.*)|(?P<open>\"""|'''|"|').*|(?P<number>(?<![\w.<])\d[\w.]*)"""
)
_TYPE_NAMES: Final = frozenset({
    "str", "int", "float", "bool", "bytes", "object", "None", "list", "dict", "tuple", "set", "type", "typing", "t",
    "pydantic", "torch",
})  # fmt: skip
# A line of a key block that begins above the hunk. Banners, digests and longer data are none.
_KEY_LINE: Final = re.compile(
    r"\s*[\"']?(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=[^\d]*\d)[A-Za-z0-9+/]{40,80}={0,2}(?:\\n)?[\"',]*\s*"
)
_KEY_EDGE: Final = re.compile(r"(?:PRIVATE KEY|PRIVATE KEY BLOCK|Static key V\d)-----")


def redact_diff(diff: str, redactor: Redactor) -> str:
    """Return a git diff without its secrets.

    Args:
        diff: what `git diff` printed.
        redactor: knows the secrets of the config and the environment.
    """
    lines: list[str] = []
    old = new = _Side("config")
    in_header, hunk_start = True, 0
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            old = new = _Side(_kind(line))
            in_header = True
        elif line.startswith("@@"):
            in_header, hunk_start = False, len(lines) + 1
            old, new = _Side(old.kind), _Side(old.kind)
            head, mark, context = line.rpartition("@@")
            old.feed(context[1:])
            line = head + mark + context[:1] + new.feed(context[1:])
        elif not in_header and line:
            if "END" in line and _KEY_EDGE.search(line) and not (old.in_private_key or new.in_private_key):
                lines[hunk_start:] = [hidden[:1] + REDACTED for hidden in lines[hunk_start:]]
            line = line[0] + _feed(line[0], line[1:], old, new)
        lines.append(line)
    # A line at a time: what is hidden must not take lines away.
    return "\n".join(redactor.text(line, assignments=False) for line in lines)


def _feed(sign: str, body: str, old: _Side, new: _Side) -> str:
    if sign == "-":
        return old.feed(body)
    if sign == "+":
        return new.feed(body)
    if sign != " ":
        return body
    first, second = old.feed(body), new.feed(body)
    return first if first != body else second


def _kind(header: str) -> _Kind:
    if re.search(r'\.pyi?"?$', header):
        return "python"
    return "config" if _CONFIG_FILE.search(header) else "code"


class _Side:
    """One side of one hunk: remembers what the lines above opened."""

    def __init__(self, kind: _Kind) -> None:
        self.kind: _Kind = kind
        self.in_private_key = False
        self._secret_until: str | None = None
        """The closing quote of a secret's string that spans lines."""
        self._text_until: str | None = None
        """The closing quotes of any other Python string that spans lines."""
        self._block_column: int | None = None

    def feed(self, body: str) -> str:
        """Take the next line, and return what may be kept of it."""
        indent = len(body) - len(body.lstrip())
        hidden = body[:indent] + REDACTED
        if _KEY_EDGE.search(body):
            self.in_private_key = "BEGIN" in body and "END" not in body
            return hidden
        if self.in_private_key or _KEY_LINE.fullmatch(body):
            return hidden
        if self._secret_until is not None:
            if self._secret_until in body:
                self._secret_until = None
            return hidden
        if self._block_column is not None and body.strip():
            if indent > self._block_column or (indent == self._block_column and body.lstrip().startswith("- ")):
                return hidden if self.kind != "python" else self._python_literals(body)
            self._block_column = None
        return self._python(body) if self.kind == "python" else self._config(body)

    def _config(self, body: str) -> str:
        found = _assigned_secret(body)
        if found is None:
            return body
        value = body[found.end() :]
        lead = body[: found.start()]
        if self.kind == "config" or re.search(r"[:=|>(\[{\\]\s*$", body):
            # `- password: x`: the key's own column counts.
            is_first = re.fullmatch(r"[\s\-\"'?]*", lead) is not None
            self._block_column = len(lead.rstrip("\"'")) if is_first else len(lead) - len(lead.lstrip())
        self._note_open_quote(value)
        return body[: found.end()] + REDACTED if value.strip() else body

    def _note_open_quote(self, value: str) -> None:
        opened = re.match(r"\"\"\"|'''|\"|'", value)
        if opened and not re.match(_STRING, value):
            self._secret_until = opened[0]

    def _python(self, body: str) -> str:
        if self._text_until is not None:
            end = body.find(self._text_until)
            if end >= 0:
                self._text_until = None
            # The text of a string may be a config of its own.
            return self._config(body)
        names_secret = any(looks_secret(word) for word in _WORD.findall(body))
        if names_secret and self._is_config_in_python(body):
            return self._config(body)
        if not names_secret:
            self._note_open_text(body)
            return self._config(body) if _assigned_secret(body) else body
        if re.search(r"(?:[=(\[{\\]|[\"']\s*:)\s*$", body):
            self._block_column = len(body) - len(body.lstrip())
        return self._python_literals(body, any(hides([word], 0) for word in _WORD.findall(body)))

    def _note_open_text(self, body: str) -> None:
        for found in _LITERAL.finditer(body):
            if found["open"] in ('"""', "'''"):
                self._text_until = found["open"]

    @staticmethod
    def _is_config_in_python(body: str) -> bool:
        """Tell `password: hunter2` in a string that opened above the hunk from an annotation, `password: str`."""
        found = re.fullmatch(r"\s*[\w.-]+\s*:(?P<value>[^=]*?),?\s*", body)
        if found is None:
            return False
        names = re.findall(r"[\w.$<>!@%&*+~^/-]+", found["value"])
        return any(
            not set(name.split(".")) & _TYPE_NAMES and not re.fullmatch(r"[A-Z][A-Za-z]*", name) for name in names
        )

    def _python_literals(self, body: str, is_sure: bool = True) -> str:
        """Hide the literals; where the line is not sure to name a secret, not those that are plainly none."""

        def replace(found: re.Match[str]) -> str:
            text = found[0]
            if not is_sure and not found["open"] and is_plainly_other(text.strip("\"'")):
                return text
            if found["comment"]:
                return f"# {REDACTED}" if len(text) > 1 else text
            if found["open"]:
                self._secret_until = found["open"]
                return f"{found['open']}{REDACTED}"
            if found["number"]:
                before = body[: found.start()].rstrip()
                return REDACTED if len(text) > 3 or before[-1:] in ("=", ":", ",", "(") else text
            return text if _is_name_or_mark(text, body[: found.start()], body[found.end() :]) else _emptied(text)

        return _LITERAL.sub(replace, body)


def _assigned_secret(body: str) -> re.Match[str] | None:
    """Return the first assignment whose key and value, or the block that it opens, are a secret's."""
    for found in _ASSIGNMENT.finditer(body):
        value = re.sub(r"\s#.*", "", body[found.end() :]).strip("\"',;}]) \t")
        if hides([found["key"]], value or "opens a block"):
            return found
    return None


def _is_name_or_mark(literal: str, before: str, after: str) -> bool:
    """Tell whether a string is a secret's name, `environ["HF_TOKEN"]`, or too little to be one, `","`."""
    content = literal.strip("\"'")
    if len(content) <= 2 and not re.search(r"\w", content):
        return True
    is_key = re.search(r"\w\[$|\b(?:get|getenv|pop)\($", before) or re.match(r"\s*:", after)
    return bool(is_key) and re.fullmatch(r"[\w-]+", content) is not None and looks_secret(content)


def _emptied(literal: str) -> str:
    quotes = literal[:3] if literal[:3] in ('"""', "'''") and len(literal) >= 6 else literal[:1]
    return f"{quotes}{REDACTED}{quotes}"

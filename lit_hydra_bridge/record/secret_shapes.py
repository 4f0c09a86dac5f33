"""Secrets that show by their own form, or by what stands beside them in a text: tokens, keys, passwords in URLs.

Each form has literal signs, and its pattern is tried where one of them is in the text: most texts have none, and cost
a few microseconds. Nothing is told by randomness alone, as a commit, a digest and a file's name look the same.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Final, NamedTuple

from lit_hydra_bridge.record.run_record import REDACTED
from lit_hydra_bridge.record.secret_names import hides, is_plainly_other, looks_random

_LONGEST_REMEMBERED: Final = 300
_SHORTEST_TOKEN: Final = 14
# The prefixes of tokens -> how they go on.
_TOKENS: Final = (
    ("AKIA ASIA ABIA ACCA", r"[A-Z0-9]{16}\b"),  # AWS
    ("AIza", r"[\w-]{35}"),  # Google
    ("ya29. GOCSPX- 1//0", r"[\w-]{20,}"),
    ("ghp_ gho_ ghu_ ghs_ ghr_ hf_ api_org_", r"[A-Za-z0-9]{20,}"),  # GitHub, Hugging Face
    ("github_pat_ glpat- gldt- glrt- glptt- glft- glsoat- glcbt- gloas-", r"[\w.-]{16,}"),
    ("ATATT3 ATCTT3 ATBB", r"[\w=-]{20,}"),  # Atlassian
    ("sk-", r"(?:[a-z0-9]{2,8}-){0,3}[\w-]*?[A-Za-z0-9]{12}[\w-]*"),  # OpenAI, Anthropic, OpenRouter, Langfuse
    ("xai- gsk_ pplx- r8_ nvapi- pcsk_ tvly- rpa_ esecret_ wandb_v1_ KGAT_ lsv2_pt_ lsv2_sk_", r"[\w-]{20,}"),
    ("sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ pk_live_ whsec_", r"[A-Za-z0-9+/=]{16,}"),  # Stripe
    ("sk_", r"[0-9a-f]{32,}"),
    ("xoxa- xoxb- xoxc- xoxd- xoxe- xoxo- xoxp- xoxr- xoxs- xapp-", r"[\w.%-]{10,}"),  # Slack
    ("SK AC", r"[0-9a-f]{32}\b"),  # Twilio
    ("SG.", r"[\w-]{16,}\.[\w-]{16,}"),  # SendGrid
    ("key-", r"[0-9a-f]{32}\b"),  # Mailgun
    ("npm_ xkeysib- rubygems_ lin_api_ lin_oauth_ ntn_ figd_ glsa_ glc_ NRAK- tskey- pnu_ pnb_", r"[\w+/=-]{20,}"),
    ("pypi- dckr_pat_ dckr_oat_ FlyV1 fm2_ pul- HRKU- sntrys_ sntryu_ AKCp", r"[\w+/=-]{20,}"),
    ("dapi dose dkea", r"[0-9a-f]{32}(?:-\d)?\b"),  # Databricks
    ("dop_v1_ doo_v1_ dor_v1_", r"[0-9a-f]{40,}"),  # DigitalOcean
    ("hvs. hvb. hvr. dp.pt. dp.st. dp.ct. dp.sa.", r"[\w-]{20,}"),  # Vault, Doppler
    ("shpat_ shpca_ shppa_ shpss_ sq0atp- sq0csp- EAAA", r"[\w-]{22,}"),  # Shopify, Square
    ("pscale_tkn_ pscale_pw_ pscale_oauth_ sb_secret_ sbp_ PMAK-", r"[\w=.-]{20,}"),
    ("AGE-SECRET-KEY-1", r"[A-Z0-9]{40,}"),
    ("secret_", r"[A-Za-z0-9]{40,}"),  # Notion
)  # fmt: skip
_PREFIXES: Final = tuple((prefix, tail) for prefixes, tail in _TOKENS for prefix in prefixes.split())
_PLACEHOLDER: Final = re.compile(r"\$\w|\$\{|%[sr(]|\{\w*\}|<[^<>]*>|None\b|null\b|[Tt]rue\b|[Ff]alse\b|\.\.\.")
_SIGN_OF_ASSIGNMENT: Final = re.compile(
    "pass|pwd|pw|secret|token|key|cred|auth|bearer|jwt|cookie|session|sas|sig|conn|pat|licen|webhook"
)
# `db.password=x`, `"api key": "x"`, `password: x`. A key begins where a word does, so that the search stays linear.
_ASSIGNED: Final = re.compile(
    r"""(?<![\w.-])(?P<key>(?:(?:api|access|secret|private|auth|license)[ ])?[\w.-]{1,80})"""
    r"""(?P<sep>\\*["']?\]?[ \t]*(?::=|=>|:(?!//|:)|=(?!=))[ \t]*)""",
    re.IGNORECASE,
)
_ASSIGNED_VALUE: Final = re.compile(
    r"""(?P<open>\\*["'])(?P<quoted>.*?)(?P=open)|\{(?P<braces>[^{}]*)\}"""
    r"""|(?P<block>[|>][+-]?[ ]*(?:\n[ \t]+[^\n]*)+)|(?P<bare>[^\s&;,"'\\)\]}]+)"""
)
_OPTION: Final = re.compile(
    r"""(?<![\w-])--?(?P<key>[A-Za-z][\w-]{1,60})[ \t]+(?P<s>\\*'[^'\\]*\\*'|\\*"[^"\\]*\\*"|[^\s'"\\-][^\s'"]*)"""
)


class _Form(NamedTuple):
    """The group `s` of the pattern is the secret."""

    signs: tuple[str, ...]
    """In lower case; one of them is in a text that has the form."""
    pattern: str
    is_secret: Callable[[str], bool] = lambda text: True


_SCHEME: Final = r"(?:bearer|basic|token|digest|negotiate|apikey|aws4-hmac-sha256)"
_IN_QUERY: Final = r"(?:sig|signature|code|key|auth|hmac|x-\w+-(?:signature|credential|security-token))"
_SERVICE: Final = r"(?:services|workflows|triggers|webhooks?|webhookb2|catch|hooks?)"
_HOST: Final = r"""https://[^\s/"']{0,100}(?:hook|discord|slack|office)[^\s"']{0,100}?"""


def _has_digit(text: str) -> bool:
    return re.search(r"\d", text) is not None


def _is_user_and_password(text: str) -> bool:
    try:
        return re.fullmatch(rb"[ -~]*:[ -~]+", base64.b64decode(text, validate=True)) is not None
    except (binascii.Error, ValueError):
        return False


def _is_token_for_user(user: str) -> bool:
    return looks_random(user) or (len(user) >= 16 and _has_digit(user))


# Compiled where they are first needed: all of them take longer than reading a config.
_FORMS: Final = (
    _Form(("begin ",), r"(?P<s>-{4,5} ?BEGIN [^-\n]{0,40}(?:PRIVATE KEY|Static key)[^-\n]{0,20}-{4,5}"
                       r"(?s:.*?)(?:-{4,5} ?END [^-\n]{0,60}-{4,5}|\Z))"),
    _Form(("private-lines:",), r"Private-Lines: \d+(?P<s>(?s:.*?))(?:Private-MAC|\Z)"),  # PuTTY
    _Form(('"kty"',), r'"(?:d|p|q|dp|dq|qi|k)"\s*:\s*"(?P<s>[\w-]{16,})"'),  # JSON Web Key
    _Form(("authorization",), rf"""(?i:authorization\\*["']?\s*[:=]\s*\\*["']?(?:{_SCHEME}\s+)?)(?P<s>[^\s"',;\\]+)"""),
    _Form(("bearer ",), r"\b(?i:bearer)\s+(?P<s>[\w.~+/=-]{8,})", _has_digit),
    _Form(("basic ",), r"\bBasic (?P<s>[A-Za-z0-9+/]{8,}={0,2})", _is_user_and_password),
    _Form(("cookie:",), r"\b(?i:cookie): ?(?P<s>[^\n\"']+)"),
    _Form(("://",), r"""https?://(?P<s>[^/\s:@'"${}]{8,})(?::[^/\s@'"]*)?@""", _is_token_for_user),
    _Form(("@tcp(",), r"(?<![\w.-])[\w.-]{1,60}:(?P<s>[^\s:/]+)@tcp\("),
    _Form(("https://",), rf"""{_HOST}/{_SERVICE}/(?P<s>[^\s"'?]{{12,}})"""),
    _Form(("hook",), r"""https?://[^\s"']{1,200}?/(?:web)?hooks?/(?:catch/|v\d/)*(?P<s>[^\s"'?]{16,})"""),
    _Form(("/bot",), r"/bot(?P<s>\d{6,12}:[\w-]{30,})"),  # Telegram
    _Form((":",), r"(?<![\w:])(?P<s>\d{8,10}:[A-Za-z][\w-]{33,34})(?![\w-])"),
    _Form(("eyj",), r"(?<![\w.])(?P<s>eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*){0,3}|eyJ[\w+/=-]{80,})"),  # JWT, Neptune
    _Form(("q~",), r"(?<![\w~.-])(?P<s>[\w~.-]{3}\dQ~[\w~.-]{31,34})"),  # Azure
    _Form(("==",), r"(?<![\w+/-])(?P<s>[A-Za-z0-9+/]{86}==)"),  # Azure; after `sha512-` it is a digest
    _Form(("azdo",), r"\b(?P<s>[A-Za-z0-9]{72,80}AZDO\w{4})"),
    _Form((".atlasv1.",), r"(?P<s>\w{14}\.atlasv1\.[\w-]{40,})"),  # Terraform
    _Form(("-us",), r"\b(?P<s>[0-9a-f]{32}-us\d{1,2})\b"),  # Mailchimp
    _Form(("pat",), r"\b(?P<s>pat\w{14}\.[0-9a-f]{64})\b"),  # Airtable
    _Form((".",), r"(?<![\w.-])(?P<s>[MNO][A-Za-z\d_-]{23,25}\.[\w-]{6}\.[\w-]{27,})", _has_digit),  # Discord
    _Form(("wandb login",), r"wandb login\b[^\n]{0,200}?\b(?P<s>[0-9a-f]{40})\b"),
    _Form(("login ",), r"\blogin\s+\S+\s+password\s+(?P<s>\S+)"),  # .netrc
    _Form(("curl",), r"""\bcurl\b[^\n|;&]{0,200}?\s(?:-u|--user)[ =]?['"]?[^\s:'"]+:(?P<s>[^\s'"]+)"""),
    _Form(("mysql", "sshpass", "redis-cli", "docker login"),
          r"\b(?:mysql\w*|sshpass|redis-cli|docker login)\b[^\n|;&]{0,200}?\s-(?:p|a) ?(?P<s>[^\s-]\S*)"),
    _Form(("?",), rf"""[?&](?i:{_IN_QUERY})=(?P<s>[^&\s"'<>#]{{6,}})""", _has_digit),
    _Form(("provided", "supplied", " is ", " was "),
          r"(?i:key|token|password) (?:provided|supplied|is|was):?\s+(?P<s>[\w.~+/=-]{16,}\b)", looks_random),
    _Form(("key ", "token "), r"""\b(?i:key|token)\s+(?P<q>\\*["'`])(?P<s>[\w.~+/=-]{16,})(?P=q)""", looks_random),
    _Form(("pass",), r"""\b(?i:pass(?:word|phrase|code))(?:\s+(?:is|was|for\s+\S+))?\s+"""
          r"""(?P<q>\\*["'`])(?P<s>[^"'`\n\\]+)(?P=q)"""),
)  # fmt: skip
_SIGNS: Final = tuple((sign, form) for form in _FORMS for sign in form.signs)


def hide_shapes(text: str, *, assignments: bool = True) -> str:
    """Return a text without the secrets that show by their form.

    Args:
        text: any.
        assignments: whether `password=x` and `password: x` are looked for; a diff sees to them line by line.
    """
    if len(text) <= _LONGEST_REMEMBERED:
        return _remembered(text, assignments)
    return _without_shapes(text, assignments)


def _without_shapes(text: str, assignments: bool) -> str:
    lowered = text.lower()
    for sign, form in _SIGNS:
        if sign in lowered:
            text = re.sub(form.pattern, partial(_hidden, form), text)
    if len(text) >= _SHORTEST_TOKEN:
        for prefix, tail in _PREFIXES:
            if prefix in text:
                text = re.sub(rf"(?<![A-Za-z0-9_]){re.escape(prefix)}{tail}", _token_hidden, text)
    if assignments and _SIGN_OF_ASSIGNMENT.search(lowered):
        text = "".join(_without_assigned(text)) if ":" in text or "=" in text else text
        text = _OPTION.sub(_option_hidden, text) if "-" in text else text
    return text


# The same few texts come again and again: a config's as composed and as resolved, the overrides of a sweep's jobs.
_remembered: Final = lru_cache(maxsize=4096)(_without_shapes)


def _token_hidden(found: re.Match[str]) -> str:
    return REDACTED if _has_digit(found[0]) or re.search("[A-Za-z]{20}", found[0]) else found[0]


def _hidden(form: _Form, found: re.Match[str]) -> str:
    secret = found["s"]
    if _PLACEHOLDER.match(secret) or not form.is_secret(secret):
        return found[0]
    start, end = found.start("s") - found.start(), found.end("s") - found.start()
    return found[0][:start] + REDACTED + found[0][end:]


def _without_assigned(text: str) -> Iterator[str]:
    """Give the parts of a text, with the value after each secret's name hidden."""
    done = at = 0
    while found := _ASSIGNED.search(text, at):
        at = found.end()
        value = _ASSIGNED_VALUE.match(text, at)
        if value is None:
            continue
        kind = next(name for name in ("quoted", "braces", "block", "bare") if value[name] is not None)
        start, end = value.span(kind)
        is_prose = kind == "bare" and ":" in found["sep"]
        if is_prose and _is_sure(found["key"]) and not text[text.rfind("\n", 0, at) + 1 : found.start()].strip(" \t-"):
            end = next((i for i in range(start, len(text)) if text[i] in "\n,;"), len(text))
        if _is_assigned_secret(found["key"], text[start:end], is_prose=is_prose):
            yield text[done:start]
            yield REDACTED
            done = at = end
    yield text[done:]


def _is_sure(key: str) -> bool:
    return hides([key], 0)


def _is_assigned_secret(key: str, value: str, *, is_prose: bool) -> bool:
    if not value or _PLACEHOLDER.match(value) or value.startswith("$") or not hides([key], value):
        return False
    # "The token: a word" tells of no secret, and `password: x` does.
    return _is_sure(key) or not (is_prose and re.fullmatch("[A-Za-z][a-z]*", value))


def _option_hidden(found: re.Match[str]) -> str:
    value = found["s"].strip("'\"\\")
    if not hides([found["key"]], value) or _PLACEHOLDER.match(value) or is_plainly_other(value):
        return found[0]
    return found[0][: found.start("s") - found.start()] + REDACTED

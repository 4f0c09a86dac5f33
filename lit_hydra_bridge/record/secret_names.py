"""Names under which secrets are kept: config keys, options, parameters, environment variables.

A name is one of three:

    sure      `password`, `api_key`     its value is hidden, whatever it is
    likely    `token`, `pass`, `cookie` hidden unless it is plainly something else: `token: "<pad>"`, `pass: 2`
    perhaps   `openai_key`, `session`   hidden only where it looks as if it had been drawn at random
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

_NONE, _PERHAPS, _LIKELY, _SURE = range(4)

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# Searched in a name's words, joined: `dbPassword`, `DB_PASSWORD` and `dbpassword` alike.
_SURE_NAME: Final = re.compile(
    r"secret(?!ar|ion|ed|ome|or)|passwd|password|passphrase|passcode|credential"
    r"|authorization|connection_?str(?:ing)?|conn_?str|webhook_?url|basic_?auth"
    r"|(?:api|priv|private|access|auth|signing|sign|encryption|decryption|ssh|gpg|pgp|license|licence|account|shared"
    r"|master|deploy|subscription|service|hmac|aes|webhook|session|client)_?key(?!point|board|word|frame|stone|note|ed)"
    r"|(?:^|_)(?:bearers?|jwts?|privkeys?)(?:_|$)"
)
_LIKELY_NAME: Final = re.compile(
    r"pwd$|webhooks?$|(?:^|_)(?:pw|creds?|cookies?|pat|sas|id_token)$"
    r"|(?:^|_)(?:db|user|key|store|admin|root|smtp|ftp|my|sql|mail|http|ssl)?pass$"
)
_PERHAPS_NAME: Final = re.compile(r"(?:^|_)(?:keys?|session(?:_?id)?|auth|dsn|sig|signature|license|licence)$")
# `api_key_env: HF_TOKEN`, `password_length: 12`: about a secret, and none.
_ABOUT: Final = re.compile(
    r"_(?:env|var|name|names|len|length|count|policy|required|ttl|expiry|type|field|column|manager|scope)$"
)
_PLACE: Final = re.compile(r"_(?:path|file|filename|dir|folder)$")
# Words beside "key", "pass" and "pat" that make it something else.
_OTHER_KEYS: Final = re.compile(
    r"(?:^|_)(?:primary|foreign|sort|cache|hash|public|pub|partition|monitor|dict|batch|image|low|high|band|forward|backward"
    r"|first|second|two|single|multi|one|by|through|num|n|max|per|hydra|json|row|column|index|group|item)_"
)  # fmt: skip
# In this field "token" mostly means a piece of text. These words beside it say so.
_TEXT_TOKEN_WORDS: Final = frozenset({
    "pad", "eos", "bos", "unk", "cls", "sep", "mask", "special", "num", "n", "nb", "max", "min", "new", "per",
    "dim", "len", "length", "count", "type", "id", "ids", "idx", "embed", "embedding", "size", "limit", "budget",
    "vocab", "drop", "dropout", "level", "classification", "class", "mixer", "mixing", "learning", "position", "pos",
    "start", "end", "first", "last", "prefix", "image", "patch", "register", "text", "merge", "merging", "ratio",
    "total", "train", "target", "weight", "batch", "seq", "sequence", "context", "window", "input", "output",
    "hidden", "loss", "shift", "masking", "pruning", "stop", "added", "additional", "decoder", "encoder", "string",
    "strategy", "pooling", "pool", "selection", "aggregation", "reduction", "mode", "sampling", "importance", "noise",
})  # fmt: skip
_OTHER_VARIABLES: Final = frozenset({"PWD", "OLDPWD", "SSH_AUTH_SOCK"})
_VARIABLE: Final = re.compile(r"(?:^|_)(?:key|auth|dsn|database_url|db_url|redis_url|mongo(?:db)?_ur[il])$")

_PLAINLY_OTHER: Final = re.compile(
    r"""[+-]?(?!\d{6,}$)[\d_.,]*(?:e[+-]?\d+)?    # a number, too short for a secret
    |</?[^<>\s]*>|(?-i:\[[A-Z_]+\d*\])     # <pad>, </s>, [MASK]
    |(?:~|\.{1,2})?/[^\s:;]*               # a path
    |true|false|yes|no|on|off|none|null|\?\?\?|\*+""",
    re.VERBOSE | re.IGNORECASE,
)
_RANDOM: Final = re.compile(r"[\w+/=.~%-]{16,}", re.ASCII)
_RUN: Final = re.compile(r"[A-Za-z0-9+/]+")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def looks_secret(name: object) -> bool:
    """Tell whether a key of this name holds a secret, as far as the name tells.

    `hf_token`, `API_KEY` and `dbPassword` do; `tokenizer`, `max_tokens`, `pad_token_id` and `secretary` don't.
    """
    return _rank(str(name)) >= _LIKELY


def path_looks_secret(keys: Iterable[object]) -> bool:
    """Tell whether a node on this path of keys is, or lies inside, a secret."""
    return any(looks_secret(key) for key in keys if isinstance(key, str))


def hides(keys: Iterable[object], value: Any) -> bool:
    """Tell whether a value on this path of keys is a secret.

    Args:
        keys: from the root down; those that are no texts say nothing.
        value: a leaf.
    """
    names = [key for key in keys if isinstance(key, str)]
    ranks = [_rank(name) for name in names]
    rank = max(ranks, default=_NONE)
    if rank == _LIKELY:
        is_count = names[-1].lower().endswith("tokens")
        return not (isinstance(value, bool | float) or is_plainly_other(value) or (is_count and str(value).isdigit()))
    if rank == _PERHAPS:
        return ranks[-1] == _PERHAPS and isinstance(value, str) and looks_random(value)
    return rank == _SURE


def variable_looks_secret(name: str) -> bool:
    """Tell whether an environment variable of this name holds a secret: `DB_PASS`, `WANDB_KEY`, `MYSQL_PWD`."""
    if name.upper() in _OTHER_VARIABLES:
        return False
    return looks_secret(name) or (_VARIABLE.search(name.lower()) is not None and not _OTHER_KEYS.search(name.lower()))


def is_plainly_other(value: object) -> bool:
    """Tell whether a value can't be a secret, whatever stands before it: a number, `<pad>`, a path."""
    return _PLAINLY_OTHER.fullmatch(str(value).strip()) is not None


def looks_random(text: str) -> bool:
    """Tell whether a text looks as if it had been drawn at random: 16 characters or more, and no words, no path."""
    if not _RANDOM.fullmatch(text) or text.startswith(("/", "./", "../", "~/")):
        return False
    if _UUID.fullmatch(text):
        return True
    longest = max(_RUN.findall(text), key=len, default="")
    digits = sum(character.isdigit() for character in longest)
    if len(longest) < 16 or not digits:
        return False
    mixed = longest != longest.lower() and longest != longest.upper()
    return (mixed and "/" not in longest[1:-1].rstrip("/")) or digits >= 4 or len(longest) >= 40


@lru_cache(maxsize=4096)
def _rank(name: str) -> int:
    words = [word.lower() for word in _WORD.findall(name)]
    joined = "_".join(words)
    if _ABOUT.search(joined):
        return _NONE
    if _SURE_NAME.search(joined) or _SURE_NAME.search(joined.replace("_", "")):
        return _LIKELY if _PLACE.search(joined) else _SURE
    if _LIKELY_NAME.search(joined) and not _OTHER_KEYS.search(joined):
        return _LIKELY
    if "token" in joined.replace("_", "") and "tokeni" not in joined:
        return _NONE if _TEXT_TOKEN_WORDS.intersection(words) else _LIKELY
    return _PERHAPS if _PERHAPS_NAME.search(joined) and not _OTHER_KEYS.search(joined) else _NONE

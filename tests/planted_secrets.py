"""Secrets to plant, a row for each kind; and values that look a little like secrets, and are none.

All are made up when the tests run, so that no scanner finds one in the repository, and each has a part that stands
nowhere else: found in a file, it has leaked.
"""

from __future__ import annotations

import base64
import json
import random
import string
from dataclasses import dataclass
from typing import Any, Final

_random: Final = random.Random(20240229)
_ALNUM: Final = string.ascii_letters + string.digits


def _made(length: int, alphabet: str = _ALNUM) -> str:
    """Random text with a capital, a small letter and a digit in it, as far as the alphabet has them."""
    while True:
        text = "".join(_random.choices(alphabet, k=length))
        if all(set(part).isdisjoint(alphabet) or set(part) & set(text) for part in (string.digits, "abcdef")):
            return text


def _hex(length: int) -> str:
    return _made(length, "0123456789abcdef")


@dataclass(frozen=True)
class Planted:
    """One secret: its kind, and where it stands in a config."""

    kind: str
    key: str
    value: Any
    secret: str
    """What must be found nowhere; a part of the value."""


def _rows() -> list[Planted]:
    rows: list[Planted] = []

    def plant(kind: str, value: str, key: str = "note", secret: str = "") -> None:
        """`@` in the value stands for the secret."""
        made = secret or _made(24)
        rows.append(Planted(kind, key, value.replace("@@", made), made))

    _plant_names(plant)
    _plant_texts(plant)
    _plant_urls(plant)
    _plant_tokens(plant)
    _plant_blocks(rows)
    return rows


def _plant_names(plant: Any) -> None:
    names = (
        "pwd", "pass", "passcode", "passphrase", "password", "passwd", "creds", "credentials", "bearer", "jwt",
        "privkey", "private_key", "license_key", "client_secret", "access_key", "api-key", "apikey", "auth_token",
        "cookie", "session", "db_pass", "smtpPassword", "hfToken", "encryption_key", "webhook", "connection_string",
    )  # fmt: skip
    for name in names:
        plant(f"key name: {name}", "@@", key=name)
    for name in ("wandb_key", "comet_key", "key"):
        plant(f"key name with a random value: {name}", "@@", key=name, secret=_hex(40))


def _plant_texts(plant: Any) -> None:
    plant("Authorization header", "GET / HTTP/1.1\nAuthorization: Bearer @@")
    plant("Authorization header, own scheme", "authorization: token @@")
    plant("Bearer", "sent with Bearer @@ to the server")
    basic = base64.b64encode(f"me:{_made(12)}".encode()).decode()
    plant("Basic", "header Basic @@", secret=basic)
    plant("password: x", "host: h\npassword: @@\nport: 1")
    plant("password: x inside a line", "log in with user: me, password: @@, port: 1")
    plant("JSON in a text", 'sent {"user": "me", "password": "@@"}')
    plant("JSON in JSON", json.dumps({"body": json.dumps({"api_key": "@@"})}))
    plant("Python's repr", "{'user': 'me', 'secret': '@@'}")
    plant("--password x", "backup --user me --password @@ --verbose")
    plant("--password=x", "backup --user=me --password=@@ --verbose")
    plant("--api-key 'x'", "train --api-key '@@' --lr 0.1")
    plant("export in a shell text", "export MYSQL_PWD=@@ && ./run.sh")
    plant("curl -u", "curl -s -u me:@@ https://example.org/")
    plant("mysql -p", "mysql -h db -u me -p@@ app")
    plant("wandb login", "wandb login --relogin @@", secret=_hex(40))
    plant(".netrc", "machine example.org login me password @@")
    plant("Cookie header", "Cookie: sid=@@; theme=dark")
    plant("quoted in a message", "login failed for me with password '@@'")
    plant("YAML block in a text", "user: me\npassword: |\n  @@\nport: 1")
    plant("a server's answer", "Incorrect API key provided: @@. Look at example.org.")
    plant("quoted token in a message", 'invalid token "@@"')
    plant("X-Api-Key header", "X-Api-Key: @@")


def _plant_urls(plant: Any) -> None:
    plant("user:password@", "ftp://me:@@@example.org/x")
    plant("TOKEN@", "https://@@@github.com/a/b.git")
    plant("TOKEN:x@", "https://@@:x-oauth-basic@github.com/a/b.git")
    plant("redis URL", "redis://:@@@cache:6379/0")
    plant("postgres URL", "postgresql+psycopg2://me:@@@db:5432/app?sslmode=require")
    plant("mongodb URL", "mongodb+srv://me:@@@cluster0.example.net/db")
    plant("MySQL DSN", "me:@@@tcp(db:3306)/app")
    plant("Sentry DSN", "https://@@@o12.ingest.sentry.io/34", secret=_hex(32))
    plant("ODBC Pwd=", "Driver={ODBC};Server=h;Uid=me;Pwd=@@;")
    plant("libpq", "host=h user=me password='@@' dbname=d")
    plant("AccountKey=", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=@@;", secret=_made(84) + "Ag==")
    plant("SharedAccessKey=", "Endpoint=sb://a.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=@@")
    plant("query parameter", "https://example.org/x?access_token=@@&n=1")
    plant("S3 signed URL", "https://b.s3.amazonaws.com/k?X-Amz-Expires=60&X-Amz-Signature=@@", secret=_hex(64))
    plant("Azure SAS", "https://a.blob.core.windows.net/c?sv=2020-01-01&sig=@@%3D", secret=_made(43))
    plant("Slack webhook", "https://hooks.slack.com/services/T0AB1CD2E/B0AB1CD2E/@@")
    plant("Discord webhook", "https://discord.com/api/webhooks/123456789012345678/@@", secret=_made(68))
    plant("Teams webhook", "https://x.webhook.office.com/webhookb2/@@/IncomingWebhook/ab", secret=_hex(36))
    plant(
        "Mattermost webhook", "https://chat.example.org/hooks/@@", secret=_made(26, string.ascii_lowercase + "012345")
    )
    plant("Telegram URL", "https://api.telegram.org/bot123456789:@@/sendMessage", secret=_made(35))


def _plant_tokens(plant: Any) -> None:
    upper = string.ascii_uppercase + "234567"
    forms = {
        "AWS": ("AKIA", _made(16, upper)), "AWS, temporary": ("ASIA", _made(16, upper)),
        "Google API key": ("AIza", _made(35)), "Google OAuth": ("ya29.", _made(60)),
        "Google client secret": ("GOCSPX-", _made(28)), "Azure client secret": ("a1B8Q~", _made(34)),
        "GitHub": ("ghp_", _made(36)), "GitHub, fine-grained": ("github_pat_", f"{_made(22)}_{_made(59)}"),
        "GitLab": ("glpat-", _made(20)), "Hugging Face": ("hf_", _made(34, string.ascii_letters)),
        "OpenAI": ("sk-", _made(48)), "OpenAI, of a project": ("sk-proj-", _made(74)),
        "Anthropic": ("sk-ant-api03-", f"{_made(60)}-{_made(30)}AA"), "Groq": ("gsk_", _made(52)),
        "Replicate": ("r8_", _made(37)), "NVIDIA": ("nvapi-", _made(64)), "Slack": ("xoxb-", f"123-456-{_made(24)}"),
        "Stripe": ("sk_live_", _made(24)), "Twilio": ("SK", _hex(32)), "SendGrid": ("SG.", f"{_made(22)}.{_made(43)}"),
        "Mailgun": ("key-", _hex(32)), "npm": ("npm_", _made(36)), "PyPI": ("pypi-", "AgEIcHlwaS5vcmc" + _made(70)),
        "Docker": ("dckr_pat_", _made(27)), "Databricks": ("dapi", _hex(32)), "DigitalOcean": ("dop_v1_", _hex(64)),
        "Telegram": ("123456789:", "A" + _made(34)), "Vault": ("hvs.", _made(40)), "W&B": ("wandb_v1_", _made(70)),
        "Grafana": ("glsa_", f"{_made(32)}_{_hex(8)}"), "Shopify": ("shpat_", _hex(32)), "Notion": ("ntn_", _made(46)),
    }  # fmt: skip
    for vendor, (prefix, tail) in forms.items():
        plant(f"token: {vendor}", f"use {prefix}@@ for it", secret=tail)
    claims = [
        base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"HS256"}', b'{"sub":"me","n":1}')
    ]
    plant("JWT", f"{'.'.join(claims)}.@@", secret=_made(43))
    plant(
        "Neptune",
        "@@",
        secret=base64.b64encode(b'{"api_address":"https://x","api_key":"%b"}' % _made(40).encode()).decode(),
    )


def _plant_blocks(rows: list[Planted]) -> None:
    def block(name: str) -> tuple[str, str]:
        lines = [_made(64) for _ in range(3)]
        text = "\n".join([f"-----BEGIN {name}-----", *lines, f"{_made(20)}==", f"-----END {name}-----"])
        return text, lines[1]

    for name in ("RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"):
        text, secret = block(name)
        rows.append(Planted(f"block: {name}", "note", f"use this:\n{text}\nand no other", secret))
    text, secret = block("EC PRIVATE KEY")
    rows.append(Planted("block in one line", "note", text.replace("\n", "\\n"), secret))
    text, secret = block("PRIVATE KEY")
    account = {"type": "service_account", "project_id": "p", "private_key": text, "client_email": "a@b.c"}
    rows.append(Planted("service account as JSON", "note", json.dumps(account), secret))
    text, secret = block("PRIVATE KEY")
    rows.append(Planted("service account as config", "account", account | {"private_key": text}, secret))
    secret = _made(43)
    rows.append(Planted("JSON Web Key", "note", json.dumps({"kty": "OKP", "x": "ab", "d": secret}), secret))


PLANTED: Final = _rows()

ENVIRONMENT: Final = {
    name: _made(14)
    for name in ("MYSQL_PWD", "DB_PASS", "COMET_KEY", "APP_CONNECTION_STRING", "HF_TOKEN", "SENTRY_DSN", "SMTP_AUTH")
}
"""Variables with a secret's name; their values may stand anywhere."""

HARMLESS: Final[dict[str, Any]] = {
    "tokenizer": "bert-base-uncased", "max_tokens": 512, "sep_token": 102, "pad_token": "<pad>", "mask_token": "[MASK]",
    "bos_token_id": 1, "stop_token": "</s>", "audio_token": "<|audio|>", "author": "me", "authors": ["a", "b"],
    "key_dim": 64, "num_keys": 8, "pass_through": "yes", "passes": 3, "monkey": "see", "keyboard": "qwerty",
    "keypoints": [1, 2], "primary_key": "id", "sort_key": "created_at", "monitor_key": "val/acc", "key": "image",
    "token_type": "word", "secretary": "ann", "compass": "north", "cookiecutter": "gh:a/b", "session_length": 30,
    "session": "mouse3_day2", "session_id": "2024-02-29_a", "low_pass": "butter", "pass": 2, "pwd": "/home/me/app",
    "api_key_env": "HF_TOKEN", "password_length": 12, "token_file": "/run/secrets/token", "public_key": "abc",
    "auth": "none", "license": "apache-2.0", "signature": "(int) -> int", "cache_key": "sha-1234",
    "tokens": 300_000_000_000,
    "commit": _hex(40), "digest": f"sha256:{_hex(64)}",
    "integrity": f"sha512-{base64.b64encode(_random.randbytes(64)).decode()}",
    "run": "123e4567-e89b-12d3-a456-426614174000", "wandb_run": _made(8), "md5": _hex(32), "banner": "/" * 60,
    "path": f"/data/{_hex(40)}/{_made(30)}/x.ckpt", "weights": f"resnet50-{_hex(8)}.pth",
    "checkpoint": "epoch=1-val_loss=0.25.ckpt",
    "_target_": "torch.optim.AdamW", "hub": "timm/vit_base_patch16_224.augreg2_in21k",
    "image": f"nvcr.io/a/b:23@sha256:{_hex(64)}",
    "url": "https://github.com/a/b.git", "ssh": "ssh://git@github.com/a/b.git", "remote": "git@github.com:a/b.git",
    "site": "https://medium.com/@abc/an-article-about-tokens-1a2b3c4d5e6f",
    "query": "https://a.b/x?key=image&page=2",
    "prompt": "Predict the next token: a word. Pass: the key to it.",
    "command": "train.py --max-tokens 512 --pass-through yes",
    "date": "2024-02-29 12:30:45", "ratio": "16:9", "sk": "sk-learn",
    "model": "sk-resnet50-small", "text": "Basic Authentication and Bearer bonds", "slurm": "a100:4,mem=64GB",
    "regex": r"(?P<key>\w+)=(?P<value>.*)", "python": "def login(user, key=None): ...",
    "names": {"key": "a", "token_dim": 3},
}  # fmt: skip

"""No secret leaves the process, and what is none stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lit_hydra_bridge.hydra_text import escape_interpolations
from lit_hydra_bridge.record.composed_config import read_config
from lit_hydra_bridge.record.diff_redaction import redact_diff
from lit_hydra_bridge.record.redaction import REDACTED, Redactor, looks_secret

WORDS = (
    ("token",), ("secret",), ("password",), ("passwd",), ("api", "key"), ("credential",), ("credentials",),
    ("private", "key"), ("access", "key"), ("passphrase",),
)  # fmt: skip
JOINS = (
    "_".join,
    "-".join,
    "".join,
    lambda words: "_".join(words).upper(),
    lambda words: words[0] + "".join(word.title() for word in words[1:]),
    lambda words: "".join(word.title() for word in words),
)
secret_keys = st.builds(
    lambda before, words, after, join: join([*before, *words, *after]),
    st.sampled_from([[], ["db"], ["my", "hf"], ["x2"]]),
    st.sampled_from(WORDS),
    st.sampled_from([[], ["value"], ["prod"]]),
    st.sampled_from(JOINS),
)
NON_SECRETS = (
    "tokenizer", "num_tokens", "max_tokens", "pad_token_id", "token_dim", "class_token", "drop_tokens", "maxTokens",
    "MAX_TOKENS", "eos_token", "token_embedding", "tokenization", "secretary", "secretaries", "key", "lr", "keyboard",
    "monkey", "pass_through", "passes", "public_key", "author", "compass", "n_tokens_per_batch",
)  # fmt: skip
# Values that nothing else in a test holds: found anywhere, they have leaked.
odd = st.text(st.sampled_from("aZ0 ='\"$#:,{}[]()\\/@&%\u00fc\u4e2d-"), max_size=12)
secrets = st.builds(lambda head, tail: f"Qx7{head}vW9z{tail}k", odd, odd)
# The same with no odd ends, as it may stand without quotes.
bare_secrets = st.from_regex(r"Qx7[a-zA-Z0-9+/_.$%^!~-]{3,40}z", fullmatch=True)


def pieces(secret: str) -> set[str]:
    """Parts of a secret that give it away."""
    return {piece for piece in ("Qx7", "vW9z") if piece in secret}


def assert_gone(secret: str, text: str) -> None:
    for piece in pieces(secret):
        assert piece not in text


def read(config: Any, environ: dict[str, str] | None = None) -> tuple[str, Any, str]:
    reading, gaps = read_config(OmegaConf.create(config), Redactor(environ or {}))
    config = reading.composed_config()
    OmegaConf.create(config.composed)
    return config.composed, config.resolved, repr((config, gaps))


@pytest.mark.parametrize("name", NON_SECRETS)
def test_names_that_are_none(name: str) -> None:
    assert not looks_secret(name)
    composed, resolved, _ = read({name: "some-value-1"})
    assert (OmegaConf.create(composed), resolved) == ({name: "some-value-1"}, {name: "some-value-1"})


@settings(deadline=None)
@given(secret_keys)
def test_names_that_are(name: str) -> None:
    assert looks_secret(name)


harmless = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["adam", "a b", "x=1", "???"])
nested = st.recursive(
    harmless,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["lr", "data", "max_tokens"]), inner),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.lists(st.tuples(secret_keys, secrets), min_size=1, max_size=3), nested)
def test_no_secret_survives_in_a_config(data: st.DataObject, found: list[tuple[str, str]], other: Any) -> None:
    config: Any = {"other": other}
    for i, (key, secret) in enumerate(found):
        text = escape_interpolations(secret)
        value = data.draw(st.sampled_from([text, [text], {"a": text}, {"a": [{"b": text}]}, f"{text}\n{text}"]))
        config = {key: value, "inside": config} if data.draw(st.booleans()) else {f"n{i}": [config, {key: value}]}
        config[f"ref{i}"] = escape_interpolations(f"say {secret}!")
    _, _, everything = read({"root": config})
    for _, secret in found:
        assert_gone(secret, everything)


def test_what_says_nothing_stays() -> None:
    config = {"password": None, "use_token": True, "secret": "???", "lr": 0.1, "max_tokens": 512, "api_key": 123456}
    composed, resolved, _ = read(config)
    assert resolved == config | {"api_key": REDACTED}
    assert OmegaConf.to_container(OmegaConf.create(composed)) == resolved


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:PW}",
        "${oc.env:PW,null}",
        "${other.place}",
        "${.sibling}",
        "${db.${which}}",
        "${oc.env:PW,${other.place}}",
        "${vault:db/prod}",
    ],
)
def test_an_interpolation_under_a_secrets_key_stays_as_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "Qx7abcvW9z")
    config = {"n": {"password": text, "sibling": "Qx7abcvW9z"}, "db": {"name": "Qx7abcvW9z"}, "which": "name"}
    config["other"] = {"place": "Qx7abcvW9z"}
    composed, resolved, _ = read(config)
    assert OmegaConf.to_container(OmegaConf.create(composed))["n"]["password"] == text
    assert resolved["n"]["password"] in (REDACTED, text)
    assert (resolved["n"]["password"] == text) == text.startswith("${vault")


@pytest.mark.parametrize(
    "text",
    [
        "pg://u:${db.password}@h",
        "${oc.dict.values:db}",
        "${db}",
        "${db.password}",
        "x-${db.${which}}",
        "${db.${other.which}}",
        "${db.${mine:which}}",
        "${${mine:dbkey}}",
        "${oc.select:db.password}",
        "${oc.select:nothing,${db.password}}",
        "${oc.decode:${db.password}}",
        "${oc.create:{a:${db.password}}}",
        "${mine:db.password}",
        "${mine:root}",
        "x${mine:root}x",
        "${alias.password}",
        "${alias2}",
        "${list[0].password}",
        "${chain}",
        "${oc.env:DB_PASSWORD}",
        "${oc.env:'DB_PASSWORD'}",
        "${oc.env:${name}}",
        "${oc.env:DB_PASSWORD_NOT_SET,Qx7xvW9z}",
        "${oc.env:DB_PASSWORD_NOT_SET,'Qx7}x,vW9z'}",
        "${oc.env:DB_PASSWORD_NOT_SET,Qx7${which}vW9z}",
        "${oc.env:NOT_SET,${oc.env:DB_PASSWORD_NOT_SET,Qx7}}",
        "pg://u:${oc.env:DB_PASSWORD_NOT_SET,Qx7xvW9z}@h",
        "pg://u:${oc.env:PW_NOT_SET,Qx7xvW9z}@h",
        "pg://${which}:Qx7vW9z@h",
        "host=h password=Qx7vW9z dbname=d",
        "https://h/p?api_key=Qx7vW9z&n=1",
        "${nobody:db.password} pg://u:Qx7vW9z@h",
    ],
)
@pytest.mark.parametrize("secret", ["Qx7-long-vW9z", "Qx7", 777777])
def test_no_interpolation_leads_around(text: str, secret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "Qx7-env-vW9z")

    def mine(argument: str, *, _root_: Any) -> Any:
        answers = {"which": "password", "dbkey": "db", "root": _root_.db.password, "db.password": _root_.db.password}
        return answers[argument]

    OmegaConf.register_new_resolver("mine", mine)
    config = {
        "db": {"password": secret, "user": "me", "url": "pg://${.user}:${.password}@h"},
        "which": "password",
        "other": {"which": "${which}"},
        "name": "DB_PASSWORD",
        "alias": "${db}",
        "alias2": {"deep": {"url": "${...db.url}"}},
        "list": ["${db}"],
        "chain": "${alias2.deep.url}",
        "x": text,
        "at": {"x": text},
        "lr": 0.1,
    }
    try:
        composed, resolved, everything = read(config)
    finally:
        OmegaConf.clear_resolver("mine")
    assert "Qx7" not in everything and "vW9z" not in everything and "777777" not in everything
    assert resolved["lr"] == 0.1 and resolved["db"]["user"] == "me"
    if "NOT_SET" not in text and "Qx7" not in text:
        assert OmegaConf.to_container(OmegaConf.create(composed))["x"] == text


def test_references_beside_a_secret_keep_their_values() -> None:
    config = {
        "db": {"password": "Qx7vW9z", "host": "h"},
        "a": "${db.host}",
        "w": "host",
        "b": "${db.${w}}",
        "c": "${db}",
    }
    _, resolved, _ = read(config)
    assert (resolved["a"], resolved["b"]) == ("h", "h")
    assert resolved["c"] == {"password": REDACTED, "host": "h"}


def test_what_is_reached_through_a_secret_is_one() -> None:
    config = {
        "credentials": {"prod": {"user": "Qx7"}},
        "env": "prod",
        "a": "${credentials.${env}}",
        "b": "${credentials}",
    }
    _, resolved, everything = read(config)
    assert resolved["a"] == {"user": REDACTED}
    assert "Qx7" not in everything


@pytest.mark.parametrize("value", ["config", "0.1000", "lr", "weight_decay", "a", ":", "\n", "adam", "12", "/", "True"])
def test_an_ordinary_password_does_not_wreck_the_record(value: str) -> None:
    config = {"config": {"lr": 0.1, "weight_decay": "0.1000"}, "name": "adam", "ref": "${config.lr}", "n": 12, "p": "/"}
    composed, resolved, _ = read(config | {"password": value}, {"API_TOKEN": value})
    assert resolved == config | {"ref": 0.1, "password": REDACTED}
    assert OmegaConf.to_container(OmegaConf.create(composed)) == config | {"password": REDACTED}


def test_a_distinctive_one_in_an_interpolation_leaves_a_readable_config() -> None:
    config = {"password": "Qx7vW9z", "a": "${mine:Qx7vW9z}", "b": "x ${oc.env:A,Qx7vW9z}"}
    composed, _, everything = read(config)
    assert "Qx7" not in everything
    assert OmegaConf.create(composed)["password"] == REDACTED


def test_paths_in_the_environment_are_not_taken_out(tmp_path: Any) -> None:
    config = {"dir": f"{tmp_path}/data"}
    assert read(config, {"SECRETS_DIR": str(tmp_path)})[1] == config
    assert read({"dir": "Qx7vW9z/data"}, {"SECRET": "Qx7vW9z"})[1] == {"dir": f"{REDACTED}/data"}


def quoted(secret: str) -> str:
    return "'" + secret.replace("\\", "\\\\").replace("'", "\\'") + "'"


override_forms = st.sampled_from(
    [
        "{key}={secret}",
        "+{key}={secret}",
        "++{key}={secret}",
        "a.b.{key}={secret}",
        "~a.{key}={secret}",
        "{key}@pkg={secret}",
        "db/{key}={secret}",
        "db@a.{key}={secret}",
        "{key}={secret},other",
        "{key}=[a,{secret}]",
        "{key}={{a:{secret}}}",
        "a={{user:me,{key}:{secret}}}",
        "a={{b:{{{key}:{secret},c:1}}}}",
        "a=[{{{key}:{secret}}},1]",
        "a={{{key}:[x,{secret}]}}",
        "a={{x:1}},{{{key}:{secret}}}",
        "a=choice({{{key}: {secret}}})",
        "a={{'{key}': {secret}}}",
        "a.{key}.b={secret}",
        "--set=db.{key}={secret}",
        "--{key}={secret}",
        '{{"{key}": {secret}, "n": 1}}',
    ]
)


@settings(max_examples=300, deadline=None)
@given(override_forms, secret_keys, secrets.map(quoted) | bare_secrets)
def test_no_secret_survives_in_an_override(form: str, key: str, secret: str) -> None:
    override = form.format(key=key, secret=secret)
    kept = Redactor({}).override(override)
    assert_gone(secret, kept)
    assert REDACTED in kept


@pytest.mark.parametrize(
    ("override", "kept"),
    [
        ("a.b.password=x", "a.b.password=<redacted>"),
        ("db={user:me,password:x,port:1}", "db={user:me,password:<redacted>,port:1}"),
        ("db={user:me,password:it's,port:1}", None),
        ("url=pg://u:x@h/d", "url=pg://u:<redacted>@h/d"),
        ("url=pg://u:p@ss@h/d", "url=pg://u:<redacted>@h/d"),
        ("dsn='host=h password=x y=1'", "dsn='host=h password=<redacted> y=1'"),
        ("pw=${oc.env:DB_PASSWORD,x}", "pw=${oc.env:DB_PASSWORD,'<redacted>'}"),
        ("db.password=${oc.env:DB_PASSWORD}", "db.password=${oc.env:DB_PASSWORD}"),
        ("model.name=hf_abcdefghijklmnopqrstuvwx", "model.name=<redacted>"),
        ("optimizer=adam", "optimizer=adam"),
        ("model.max_tokens=5,6", "model.max_tokens=5,6"),
        ("~db.password", "~db.password"),
        ("a={lr:0.1,b:[1,2]}", "a={lr:0.1,b:[1,2]}"),
        ("hydra.run.dir='a=b/c=d'", "hydra.run.dir='a=b/c=d'"),
        ("ckpt='epoch=0-step=2.ckpt'", "ckpt='epoch=0-step=2.ckpt'"),
        ("", ""),
        ("=", "="),
    ],
)
def test_overrides_one_by_one(override: str, kept: str | None) -> None:
    found = Redactor({}).override(override)
    assert found == kept if kept is not None else "it's" not in found


@settings(max_examples=150, deadline=None)
@given(secret_keys, secrets, st.sampled_from(["--{}", "-{}", "--db-{}"]))
@example("token", "-Qx7vW9z", "--{}")
def test_no_secret_survives_in_a_command_line(key: str, secret: str, option: str) -> None:
    option = option.format(key)
    argv = ["x.py", secret, option, secret, f"{option}={secret}", json.dumps({key: secret}), "-v", "--lr", "0.1"]
    kept = Redactor({}).arguments(argv)
    assert_gone(secret, " ".join(kept[2:]))
    assert kept[0] == "x.py" and kept[2] == option and kept[-3:] == ["-v", "--lr", "0.1"]
    assert_gone(secret, kept[1])


def test_code_on_the_command_line() -> None:
    kept = Redactor({}).arguments(["python", "-c", "a = 1; login('me', password='Qx7vW9z')"])
    assert "Qx7" not in kept[2]
    assert Redactor({}).arguments(["--use-token", "--verbose", "--max-tokens", "5"])[1:] == [
        "--verbose",
        "--max-tokens",
        "5",
    ]


def diff(name: str, *lines: str, header: str = "") -> str:
    return "\n".join(
        [f"diff --git a/{name} b/{name}", f"--- a/{name}", f"+++ b/{name}", f"@@ -1,9 +1,9 @@{header}", *lines]
    )


CONFIG_LINES = (
    "{key}: {secret}",
    "{key} = {secret}",
    "{key}={secret}",
    'export {key}="{secret}"',
    '  "{key}": "{secret}",',
    "- {key}: {secret}",
    "  {key}: '{secret}'  # {secret}",
    "x: {{user: me, {key}: {secret}}}",
    '{{"a": 1, "{key}": "{secret}"}}',
    "# {key}: {secret}",
    "{key}: |\n  {secret}\n\n  {secret}",
    "- {key}: >-\n    {secret}",
    "{key}:\n- {secret}\n- {secret}",
    "{key}:\n  a: {secret}",
    '{key} = """\n{secret}\n"""',
    '"{key}":\n  "{secret}"',
    "{key} = abc\n  {secret}",
)
PYTHON_LINES = (
    '{key} = "{secret}"',
    "login(user, {key}='{secret}')",
    'd = {{"{key}": "{secret}"}}',
    'os.environ["{key}"] = "{secret}"',
    '{key} = """{secret}"""',
    '{key} = """\n{secret}\n"""',
    '{key}: str = "{secret}"',
    'if {key} == "{secret}":',
    "# {key} {secret}",
    'if "{secret}" == {key}:',
    '{key} = (\n    "{secret}"\n)',
    "x = 1  # {key}: {secret}",
    '{key} = "a#{secret}"',
    "{key}: {secret}",
    '{key} = f"{secret}" + b"{secret}"',
    '{key} = \\\n    "{secret}"',
    'd = {{\n    "{key}":\n        "{secret}",\n}}',
    'TEXT = """\n{key}={secret}\n"""',
)


CONFIG_FILES = ("c/x.yaml", ".env", "x.toml", "x.json", "x.ini", "Makefile")
IN_A_FILE = [(name, form) for name in CONFIG_FILES for form in CONFIG_LINES] + [("x.py", form) for form in PYTHON_LINES]


def assert_redacted_in_a_diff(name: str, form: str, key: str, secret: str, sign: str) -> None:
    lines = form.format(key=key, secret=secret).split("\n")
    text = diff(name, " before: 1", *(sign + line for line in lines), "+lr: 0.1", "-lr: 0.2").split("\n")
    kept = redact_diff("\n".join(text), Redactor({})).split("\n")
    assert_gone(secret, "\n".join(kept))
    assert [line[:1] for line in kept] == [line[:1] for line in text]
    assert (kept[:5], kept[-2:]) == (text[:5], text[-2:])


@pytest.mark.parametrize(("name", "form"), IN_A_FILE)
def test_every_form_in_a_diff(name: str, form: str) -> None:
    for sign in "+- ":
        for key in ("password", "HF_TOKEN", "api-key"):
            assert_redacted_in_a_diff(name, form, key, "Qx7-vW9z", sign)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(IN_A_FILE), secret_keys, bare_secrets, st.sampled_from("+- "))
def test_no_secret_survives_in_a_diff(place: tuple[str, str], key: str, secret: str, sign: str) -> None:
    assert_redacted_in_a_diff(*place, key, secret, sign)


def test_the_two_sides_of_a_diff_are_two_texts() -> None:
    text = diff("x.yaml", "+password: |", "-name: me", "+  Qx7one", "   Qx7two", "-  lr: 1", "+other: 2")
    kept = redact_diff(text, Redactor({}))
    assert "Qx7" not in kept
    assert "-name: me" in kept and "-  lr: 1" in kept and "+other: 2" in kept


def test_a_hunks_heading_is_a_line_too() -> None:
    kept = redact_diff(diff("x.yaml", " next: 1", header=" password: Qx7"), Redactor({}))
    assert "Qx7" not in kept
    kept = redact_diff(diff("x.yaml", "   Qx7one", "+  Qx7two", " lr: 1", header=" password: |"), Redactor({}))
    assert "Qx7" not in kept and kept.endswith(" lr: 1")


PEM = [
    "-----BEGIN RSA PRIVATE KEY-----",
    "Qx7" + "Ab" * 30,
    "Qx7" + "cD" * 30,
    "Qx7short==",
    "-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize(
    "part", [PEM, PEM[1:], PEM[:3], PEM[2:], PEM[1:3]], ids=["all", "end", "begin", "tail", "middle"]
)
@pytest.mark.parametrize("name", ["key.pem", "x.py", "x.yaml", "x.txt"])
def test_private_keys(part: list[str], name: str) -> None:
    kept = redact_diff(diff(name, *(f"+{line}" for line in part), header=""), Redactor({}))
    assert "Qx7" not in kept


@pytest.mark.parametrize("name", ["PGP PRIVATE KEY BLOCK", "OPENSSH PRIVATE KEY", "OpenVPN Static key V1"])
def test_a_key_block_in_a_diff_keeps_its_lines(name: str) -> None:
    block = [f"-----BEGIN {name}-----", "Qx7vW9z" * 9, "Qx7short=", f"-----END {name}-----", "other: 1"]
    kept = redact_diff(diff("notes.txt", *(f"+{line}" for line in block)), Redactor({})).split("\n")
    assert "Qx7" not in "".join(kept)
    assert [line[:1] for line in kept[4:]] == ["+"] * 5 and kept[-1] == "+other: 1"


@pytest.mark.parametrize(
    "line",
    ["/" * 60, "'" + "ab12" * 16 + "',", "=" * 70, "sep_token: 102", 'pad_token: "<pad>"', "token = 5", "iVBOR" * 40],
)
@pytest.mark.parametrize("name", ["x.py", "x.yaml", "x.c"])
def test_what_is_no_secret_stays_in_a_diff(line: str, name: str) -> None:
    text = diff(name, f" {line}", "-lr: 1", "+lr: 2")
    assert redact_diff(text, Redactor({})) == text


def test_python_stays_readable() -> None:
    lines = [
        "+token = os.environ['HF_TOKEN']",
        "+login(token=token)",
        "+def login(self, token: str, user: str | None = None) -> None:",
        "+    password: SecretStr",
        '+    print("hello", 12345)',
        '+tokens = text.split(" ")',
        "+max_tokens = 1024",
        "-x = secret[0]",
        '+parser.add_argument("--lr", default=0.1)',
    ]
    text = diff("x.py", *lines)
    assert redact_diff(text, Redactor({})) == text


def test_known_secrets_and_names_of_files_in_a_diff() -> None:
    redactor = Redactor({"API_TOKEN": "Qx7vW9z"})
    kept = redact_diff(diff("password/token.yaml", "+a: Qx7vW9z", "+b: pg://u:Qx7@h"), redactor)
    assert "Qx7" not in kept
    assert "+++ b/password/token.yaml" in kept


marks = st.sampled_from([
    "a", "=", ":", "'", '"', "\\", "{", "}", "[", "]", "$", "${", ",", " ", "\n", "@", "-", "#", "+", '"""', "\ud800",
    "password", "token", "oc.env:", "://", "@@ ", "diff --git x.py", "PRIVATE KEY-----", "BEGIN", "END",
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(marks, max_size=15).map("".join))
def test_nothing_makes_it_fail(text: str) -> None:
    redactor = Redactor({"SECRET": text})
    assert redact_diff(text, Redactor({})).count("\n") == text.count("\n")
    redactor.learn(text)
    redactor.override(text)
    redactor.arguments([text, "--password", text])
    redactor.data({text: [text]})
    redact_diff(text, redactor)

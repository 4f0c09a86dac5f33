"""Every file of a swept folder, damaged in every way: the table stays, and each damaged file is one line."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lit_hydra_bridge import read_sweep
from lit_hydra_bridge.cli import cli
from lit_hydra_bridge.errors import BridgeError, ResultsError
from lit_hydra_bridge.reload import yaml_text
from lit_hydra_bridge.results.report.data import Choice, page_data
from lit_hydra_bridge.sweep.resume import find_resumption
from tests.swept_folder import write_sweep

JOBS = 3
HYDRA = """
hydra:
  runtime: {choices: {hydra/launcher: lit_local}}
  sweep: {subdir: "${hydra.job.num}"}
  job:
    num: NUMBER
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with a file of each kind, one of whose jobs was not ours."""
    folder = write_sweep(tmp_path_factory.mktemp("whole") / "sweep", JOBS)
    (folder / "multirun.yaml").write_text(HYDRA)
    for number in range(JOBS):
        hydra = folder / str(number) / ".hydra"
        (hydra / "hydra.yaml").write_text(HYDRA.replace("NUMBER", str(number)))
        (hydra / "overrides.yaml").write_text("- lr=1\n")
        (folder / str(number) / "job.log").write_text("text\n")
        (folder / str(number) / "best.ckpt").unlink()
    state = json.loads((folder / "1" / "job.json").read_text())
    state["outcome"] = state["attempts"][0]["outcome"] = state["attempts"][0]["ended"] = None
    state["metrics"], state["checkpoints"] = {}, {}
    (folder / "1" / "job.json").write_text(json.dumps(state))
    progress = {"stage": "train", "metrics": {"val_loss": 1.0}, "checkpoints": {"mode": "min"}, "time": 1.0}
    (folder / "1" / "progress.json").write_text(json.dumps(progress))
    (folder / "2" / "job.json").unlink()
    (folder / "results.csv").write_text("number,checkpoint,folder,reason\n")
    return folder


# --- ways to damage a file

VALUES: list[Any] = [
    None, True, 0, -1, 10**30, 10**400, 1e300, -1e300, float("nan"), float("inf"), "", "x", "\0", "\ud800", "=1+1",
    "\x1b]0;t\x07", "x" * 100_000, [], [[]], {}, {"": {}}, [1, "x"], {"a": [1]}, ["x"] * 1000,
]  # fmt: skip
DEEP = 100_000
TEXTS: dict[str, bytes] = {
    "empty": b"",
    "a BOM alone": b"\xef\xbb\xbf",
    "zeros": b"\0" * 1000,
    "binary": bytes(range(256)) * 10,
    "no UTF-8": b"\xff\xfea: 1",
    "brackets": b"[" * DEEP,
    "braces": b"{" * DEEP,
    "objects": b'{"a":' * DEEP,
    "whole objects": b'{"a":' * 3000 + b"1" + b"}" * 3000,
    "dashes": b"- " * DEEP,
    "questions": b"? " * DEEP,
    "many values": b"[" + b"1," * 5000 + b"1]",
    "a long number": b"1" * 10_000,
    "a list": b"[1]",
    "a text": b'"x"',
    "a number": b"1",
    "null": b"null",
    "NaN": b"NaN",
    "an alias bomb": b"a: &a [x,x]\n"
    + b"".join(b"%c: &%c [*%c,*%c,*%c]\n" % (i, i, i - 1, i - 1, i - 1) for i in range(98, 122)),
    "itself": b"&a {hydra: *a, sweep: [*a]}",
    "bool": b"hydra: !!bool x",
    "timestamp": b"hydra: !!timestamp x",
    "int": b'- !!int ""',
    "hex": b"hydra: {job: {num: 0x" + b"f" * 10_000 + b"}}",
    "base sixty": b"- 1" + b":59" * 20_000,
    "python": b"hydra: !!python/object/apply:os.system [exit 1]",
    "binary tag": b"hydra: !!binary '\xc3\xbc!!!'",
    "set": b"hydra: !!set {a, b}",
    "keys": b"? [a]\n: 1\n? {b: 1}\n: 2",
    "merge": b"hydra: {<<: 3}",
    "control characters": b"hydra: {job: \x01}",
    "wrong words": b"hydra: {sweeper: {direction: [a]}, runtime: {choices: {hydra/launcher: {a: b}}}, job: {num: x}}",
    "half a quote": b'{"format": 1, "number": "',
    "a long line": b"a," * 500_000,
}  # fmt: skip


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _unreadable(path: Path) -> None:
    path.write_bytes(b"x")
    path.chmod(0)


KINDS: list[Callable[[Path], None]] = [_folder, _pipe, _loop, _endless, _unreadable]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in JSON data where something else can be put."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def _with_another_value(text: bytes, chance: random.Random) -> bytes:
    data = json.loads(text)
    container, key = chance.choice(list(_places(data)))
    container[key] = chance.choice(VALUES)
    return json.dumps(data).encode().replace(b"1" + b"0" * 400, b"9" * 4000)


def _with_other_bytes(text: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(text))
    end = min(len(text), start + chance.choice((0, 1, 10, 1000)))
    return text[:start] + chance.choice((b"", b"\0", b"}", b"\n", b"\xff", b": [", b"!!int ", b"*a ")) + text[end:]


# --- what must hold


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    """A reader that waits for ever is told from one that takes long."""

    def too_long(*_: object) -> None:
        pytest.fail("it does not end")  # no Exception, which somebody might catch

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _check(folder: Path, file: str) -> None:
    """Every reader gives its table, and at most one line about the file."""
    name = file.rpartition("/")[2]
    with _within(100):
        results = read_sweep(folder)
        names = {row.folder.name for row in results.rows}
        assert names >= {"0", "1", "2"} - {file[0]}, "one job's file takes no other job"
        lines = [problem for problem in results.problems if name in problem.partition(": ")[0]]
        assert len(lines) <= 1 and len(results.problems) == len(lines), results.problems
        assert all("\n" not in line and len(line) < 1000 for line in results.problems)
        results.to_csv()
        json.dumps(results.to_dict())
        page = page_data(results, Choice(), lambda text: None)
        json.dumps(page, allow_nan=False)
        done = CliRunner().invoke(cli, ["ls", str(folder.parent)])
        assert done.exit_code == 0 and "\x1b]" not in done.output, repr(done.exception)
        for row in results.rows:
            try:
                row.config(resolve=True)
            except ResultsError as error:
                assert "\n" not in str(error)
        try:
            find_resumption(folder)
        except BridgeError as error:
            assert "sweep.json" in str(error) or "no such folder" in str(error)


@pytest.fixture
def folder(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(yaml_text, "MOST_VALUES", 1000)
    return Path(shutil.copytree(whole, tmp_path / "sweep"))


FILES = (
    ".sweep/sweep.json", "multirun.yaml", "results.csv", "0/job.json", "1/job.json", "1/progress.json", "1/job.log",
    "1/csv/metrics.csv", "2/csv/metrics.csv", "2/.hydra/hydra.yaml", "2/.hydra/overrides.yaml",
    "2/.hydra/config.yaml", "2/best.ckpt",
)  # fmt: skip


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_at_most_a_line(folder: Path, file: str) -> None:
    path = folder / file
    whole = path.read_bytes() if path.exists() else b"PK\x03\x04"
    for text in TEXTS.values():
        path.write_bytes(text)
        _check(folder, file)
    for kind in KINDS:
        path.unlink()
        kind(path)
        _check(folder, file)
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_bytes(whole)
    chance = random.Random(file)
    ways = [_with_other_bytes, *([_with_another_value] * 3 if file.endswith(".json") else [])]
    for _ in range(15):
        path.write_bytes(chance.choice(ways)(whole, chance))
        _check(folder, file)


@pytest.mark.parametrize("file", [name for name in FILES if name.endswith(".json")])
def test_a_wrong_value_anywhere_is_at_most_a_line(folder: Path, file: str) -> None:
    path = folder / file
    text = path.read_bytes()
    for at in range(len(list(_places(json.loads(text))))):
        for value in (None, True, 10**30, float("nan"), 1e300, "x", [], {"a": 1}):
            data = json.loads(text)
            container, key = list(_places(data))[at]
            container[key] = value
            path.write_text(json.dumps(data))
            results = read_sweep(folder)
            assert {row.folder.name for row in results.rows} >= {"0", "1", "2"} - {file[0]}
            assert len(results.problems) <= 1
            results.to_csv()
            json.dumps(page_data(results, Choice(), lambda text: None), allow_nan=False)
        done = CliRunner().invoke(cli, ["ls", str(folder)])
        assert done.exit_code == 0, done.exception


def test_what_is_wrong_is_named(folder: Path) -> None:
    path = folder / "0" / "job.json"
    data = json.loads(path.read_text())
    data["attempts"][0]["started"] = "yesterday"
    path.write_text(json.dumps(data))
    (problem,) = read_sweep(folder).problems
    assert problem == (
        f"{path}: it can't be read (the job.attempts[0].started should be seconds since the epoch, and is "
        "str 'yesterday')"
    )

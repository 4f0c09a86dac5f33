"""Stripping: what is given away has no record, or a private one, and all else is byte for byte what it was."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import socket
import struct
import sys
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lit_hydra_bridge import compare, read_record, strip
from lit_hydra_bridge.errors import CheckpointError, DamagedCheckpointError, NoRecordError
from lit_hydra_bridge.record.run_record import RECORD_KEY, Entry, HydraJob, LoggerRun, SourceCode
from lit_hydra_bridge.reload.strip.private_record import private_record
from lit_hydra_bridge.reload.strip.zip_copy import copy_zip, data_offsets
from tests.support import App, lit_hydra, run

HOST = "very-private-host"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    """A real run with uncommitted changes, whose model has the whole DictConfig as a hyperparameter."""
    app = App.create(tmp_path_factory.mktemp("strip") / "app")
    app.add_to_config(
        {"out": "${hydra:runtime.output_dir}/x", "data": str(app.folder / "a b" / "data"), "nfs": "/nfs/u"}
    )
    app.script(
        """
        t = trainer(default_root_dir=".")
        t.fit(Net(lr=cfg.model.lr, cfg=cfg), data(), data())
        bare = trainer(enable_checkpointing=False)
        bare.fit(Net(lr=cfg.model.lr), data(), data())
        bare.save_checkpoint("bare.ckpt")
        """,
        prelude=f"import platform, socket\nplatform.node = socket.gethostname = lambda: {HOST!r}",
    )
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(app.folder))
    run(*git, "init", "-qb", "private-branch", cwd=app.folder)
    run(*git, "add", ".", cwd=app.folder)
    run(*git, "commit", "-qm", "one", cwd=app.folder)
    run(*git, "remote", "add", "origin", "git@private.example:me/it", cwd=app.folder)
    with (app.folder / "net.py").open("a") as file:
        file.write("# uncommitted\n")
    app.write("untracked.py", "")
    app.run("model.lr=0.25", f"+more='{app.folder}/more'", f"+list=[{app.folder},/nfs/v/w]")
    return app


def made(app: App, name: str = "epoch") -> Path:
    return next(path for path in app.checkpoints() if path.name.startswith(name) and "stripped" not in path.name)


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None, "the CRCs are right"
        return {info.filename: archive.read(info) for info in archive.infolist()}


def save(path: Path, content: Any, **settings: Any) -> Path:
    torch.save(content, path, **settings)
    return path


def load(path: Path, **settings: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of the protocols that it does not write itself
        return torch.load(path, **settings)


def same(a: Any, b: Any) -> bool:
    """Tell whether two values are equal, in types and to the bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    return bool(a == b or (a != a and b != b))


# --- a real checkpoint


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("name", ["epoch", "bare"])
def test_all_but_the_record_is_as_it_was(app: App, tmp_path: Path, name: str, private: bool) -> None:
    source = made(app, name)
    before = hashlib.sha256(source.read_bytes()).digest()
    target = strip(source, tmp_path / "out.ckpt", private=private)
    assert hashlib.sha256(source.read_bytes()).digest() == before
    old, new = members(source), members(target)
    assert list(old) == list(new)
    assert [key for key in old if old[key] != new[key]] == [key for key in old if key.endswith("/data.pkl")]
    for path in (source, target):
        with path.open("rb") as file:
            assert {at % 64 for key, at in data_offsets(file).items() if "/data/" in key} == {0}
    for mmap in (False, True):
        was, now = (load(path, mmap=mmap, weights_only=False) for path in (source, target))
        assert bool(now[RECORD_KEY]) == private
        assert list(now) == list(was)
        assert same(now["state_dict"], was["state_dict"]) and same(now["optimizer_states"], was["optimizer_states"])
        assert now["hyper_parameters"] == was["hyper_parameters"]
    if name == "bare":  # the other one's hyperparameters are no plain data
        assert list(torch.load(target, weights_only=True)["state_dict"]) == ["layer.weight", "layer.bias"]


def test_the_mapped_weights_are_found_where_torch_looks_for_them(app: App, tmp_path: Path) -> None:
    """torch can compute where each tensor begins; that works only while the layout is exactly its own."""
    source = made(app, "bare")
    target = strip(source, tmp_path / "out.ckpt")
    code = f"""
import torch
from torch.utils.serialization import config
config.load.calculate_storage_offsets = True
config.load.mmap = True
a, b = (torch.load(path, weights_only=True)["state_dict"] for path in ({str(source)!r}, {str(target)!r}))
assert all(torch.equal(a[key], b[key]) for key in a) and list(a) == list(b)
"""
    run(sys.executable, "-c", code, cwd=tmp_path)


def test_show_says_that_there_is_no_record(app: App, tmp_path: Path) -> None:
    source = made(app)
    done = lit_hydra("strip", str(source), "-o", "out.ckpt", cwd=tmp_path)
    assert done.stdout == "out.ckpt\n"
    assert done.stderr.startswith("Note: outside the record it still holds absolute paths: /nfs/u, "), "hyperparameters"
    shown = lit_hydra("show", "out.ckpt", cwd=tmp_path, check=False)
    assert shown.returncode == 2 and "no record of how it was made" in shown.stderr
    assert HOST.encode() not in (tmp_path / "out.ckpt").read_bytes()
    again = lit_hydra("strip", "out.ckpt", cwd=tmp_path, check=False)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "Error: out.ckpt: has no record that could be stripped; nothing was written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.ckpt"]


def test_a_private_record_tells_of_nobody(app: App, tmp_path: Path) -> None:
    source = made(app, "bare")
    assert HOST.encode() in source.read_bytes() and str(app.folder).encode() in source.read_bytes()
    done = lit_hydra("strip", str(source), "--private", "-o", "out.ckpt", cwd=tmp_path)
    assert done.stderr == ""
    raw = (tmp_path / "out.ckpt").read_bytes()
    record = read_record(tmp_path / "out.ckpt")
    diff = read_record(source).source
    assert diff is not None and diff.diff is not None
    for secret in (HOST, str(app.folder), str(app.folder.parent), "/nfs", "private-branch", "private.example"):
        assert secret.encode() not in raw, secret
    for secret in ("untracked.py", diff.diff, "train.py", sys.executable, socket.gethostname() + "\n"):
        assert secret.encode() not in raw, secret
    assert record.config.resolved["model"] == {"lr": 0.25, "decay": 0.25}
    assert record.config.resolved["out"] == "<output_dir>/x" and record.config.resolved["nfs"] == "<path>"
    assert (
        record.config.resolved["data"] == "<cwd>/a b/data"
        and "out: ${hydra:runtime.output_dir}/x" in record.config.composed
    )
    assert record.source is not None
    assert record.hydra.overrides == ["model.lr=0.25", "+more='<cwd>/more'", "+list=[<cwd>,<path>]"]
    assert record.source.commit == diff.commit and record.source.dirty
    assert record.environment.packages == read_record(source).environment.packages
    compared = compare(source, tmp_path / "out.ckpt")
    assert {change.key for change in compared.config.changes} <= {"data", "nfs", "out", "more", "list[0]", "list"}
    assert not compared.training.changes and not compared.versions.changes and not compared.code.changes
    shown = lit_hydra("show", "out.ckpt", cwd=tmp_path)
    assert "lr: 0.25" in shown.stdout and "removed before the checkpoint was given away" in shown.stdout


@pytest.mark.parametrize(
    "text, private",
    [
        ("/home/alice/data", "<path>"),
        ("/home/alice/my data/x", "<path>"),
        ("~/data", "<path>"),
        ("/srv/app", "<cwd>"),
        ("/srv/app/a", "<cwd>/a"),
        ("/srv/app/out/1/a", "<output_dir>/a"),
        ("/srv/apple/x", "<root>/apple/x"),
        ("/srvers/x", "<path>"),
        (r"C:\Users\alice\x", "<path>"),
        (r"\\server\share\x", "<path>"),
        ("file:///home/alice/x", "<path>"),
        ("see /home/alice/x, and /y/z.", "see <path>, and <path>"),
        ("PYTHONPATH=/a/b:/c/d", "PYTHONPATH=<path>:<path>"),
        ("run on box17 or sandbox17", "run on <host> or sandbox17"),
        ("s3://bucket/a/b", "s3://bucket/a/b"),
        ("https://host/a/b", "https://host/a/b"),
        ("${a}/b/c", "${a}/b/c"),
        ("a/b/c", "a/b/c"),
        ("1 / 2", "1 / 2"),
        ("a ratio of 1/2", "a ratio of 1/2"),
        ("%H:%M", "%H:%M"),
    ],
)
def test_what_looks_like_a_path_goes(app: App, text: str, private: str) -> None:
    from dataclasses import replace

    record = read_record(made(app))
    changed = replace(
        record,
        entry=Entry(argv=[text], orig_argv=[text], cwd="/srv/app", python="/p/python", script=text, task_file=text),
        environment=replace(record.environment, host="box17"),
        hydra=HydraJob(hydra_version="1", overrides=[f"k={text}"], output_dir="/srv/app/out/1", job_id="123.box17"),
        source=SourceCode(root="/srv", remote=text, branch=text, untracked=[text], diff=text),
        config=replace(record.config, composed=f"a: {json.dumps(text)}\n", resolved={"a": [text]}),
        loggers=[LoggerRun(kind="csv", directory=text, name=text, run_id=text)],
        gaps=[text],
    )
    result = private_record(changed)
    assert result.config.resolved == {"a": [private]}
    assert result.hydra.overrides == [f"k={private}"] and result.hydra.job_id is None
    from omegaconf import OmegaConf

    assert OmegaConf.to_container(OmegaConf.create(result.config.composed)) == {"a": private}
    kept = replace(result, config=changed.config, hydra=None, gaps=[])
    if private != text:
        assert text not in json.dumps({**kept.to_dict(), "config": None, "metrics": None})


# --- any content

WORDS = st.sampled_from(["epoch", "lr", "state_dict", "config", "entry", "cpu", "storage", "", "Größe", "x" * 300])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.text(max_size=5)
TENSORS = st.integers(0, 5).map(lambda size: torch.arange(size, dtype=torch.float32))
PLAIN = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=12
)
REST = st.recursive(
    LEAVES | TENSORS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    record=st.text(min_size=1, max_size=9) | st.just("x" * 70_000),
    before=st.dictionaries(WORDS, REST, max_size=4),
    after=st.dictionaries(WORDS, REST, max_size=4),
    protocol=st.sampled_from([2, 2, 3, 4, 5]),
    kind=st.sampled_from([dict, OrderedDict]),
)
def test_any_checkpoint_keeps_all_but_the_record(
    tmp_path_factory: pytest.TempPathFactory,
    record: str,
    before: dict[str, Any],
    after: dict[str, Any],
    protocol: int,
    kind: Any,
) -> None:
    shared = ["shared", "lr", record]
    content = kind({**before, "one": shared, RECORD_KEY: record, **after, "two": shared})
    source = save(tmp_path_factory.mktemp("any") / "a.ckpt", content, pickle_protocol=protocol)
    result = load(strip(source), weights_only=protocol == 2)
    assert result[RECORD_KEY] == "" and result["one"] is result["two"], "what was one object is one"
    assert same(result, kind({**load(source, weights_only=False), RECORD_KEY: ""}))


def test_a_checkpoint_of_many_keys_keeps_them(tmp_path: Path) -> None:
    """Pickle sets a thousand keys at a time; the record may be the last, alone in its batch."""
    for count in (0, 1, 999, 1000, 1001):
        rest = {f"k{i}": [f"v{i % 7}", RECORD_KEY] for i in range(count)}
        source = save(tmp_path / f"{count}.ckpt", {**rest, RECORD_KEY: "{}"})
        assert torch.load(strip(source)) == {**rest, RECORD_KEY: ""}


def test_a_malformed_record_can_be_removed_and_not_made_private(tmp_path: Path) -> None:
    source = save(tmp_path / "a.ckpt", {"a": 1, RECORD_KEY: "hostile"})
    with pytest.raises(DamagedCheckpointError, match="malformed"):
        strip(source, private=True)
    assert torch.load(strip(source)) == {"a": 1, RECORD_KEY: ""}
    with pytest.raises(DamagedCheckpointError, match="malformed; nothing was written"):
        strip(save(tmp_path / "b.ckpt", {RECORD_KEY: {"not": "a text"}}))


def test_a_record_with_numbers_that_are_none_can_be_made_private(app: App, tmp_path: Path) -> None:
    content = torch.load(made(app, "bare"), weights_only=True)
    data = json.loads(content[RECORD_KEY])
    data["metrics"] = {"loss": {"$float": "nan"}, "x": {"$float": "-inf"}}
    content[RECORD_KEY] = json.dumps(data)
    metrics = read_record(strip(save(tmp_path / "a.ckpt", content), private=True)).metrics
    assert str(metrics) == "{'loss': nan, 'x': -inf}"


# --- hostile files


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def zip_of(path: Path, pickled: bytes, **others: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickled)
        for name, data in others.items():
            archive.writestr(f"x/{name}", data)
    return path


def test_nothing_that_the_file_says_is_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = {"a": Evil(marker), RECORD_KEY: "{}", "b": 1}
    target = strip(zip_of(tmp_path / "a.ckpt", pickle.dumps(content, 2)))
    assert not marker.exists()
    assert members(target)["x/data.pkl"].count(b"touch") == 1, "what is not ours stays, and does nothing here"


KEY = pickle.dumps(RECORD_KEY, 2)[2:-3]
HUGE = (3 << 30).to_bytes(8, "little")


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x04}" + KEY + b"\x8d" + HUGE + b"s.",
        b"\x80\x02}" + KEY + b"X\xff\xff\xff\xff" + b"s.",
        b"\x80\x02}" + KEY + b"\x8b\xff\xff\xff\x7f" + b"s.",
        b"\x80\x02}r\xff\xff\xff\xff(" + KEY + b"h\x07u.",
        b"\x80\x02}" + KEY + b"]s0.",
        b"\x80\x02(" + KEY + b"]t.",
        b"\x80\x02}" + KEY,
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"",
    ],
)
def test_a_pickle_that_makes_no_sense_is_one_error(tmp_path: Path, pickled: bytes) -> None:
    source = zip_of(tmp_path / "a.ckpt", pickled)
    with pytest.raises((CheckpointError, DamagedCheckpointError)):
        strip(source)
    assert list(tmp_path.iterdir()) == [source]


def test_a_key_that_is_set_twice_is_refused(tmp_path: Path) -> None:
    text = b"X\x02\0\0\0{}"
    source = zip_of(tmp_path / "a.ckpt", b"\x80\x02}(" + (KEY + text) + b"X\x01\0\0\0aK\x01" + (KEY + text) + b"u.")
    with pytest.raises(DamagedCheckpointError, match="malformed; nothing was written"):
        strip(source)


def test_a_zip_that_lies_is_refused(tmp_path: Path) -> None:
    pickled = pickle.dumps({RECORD_KEY: "{}"}, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(tmp_path / "two.ckpt", "w") as archive:
            archive.writestr("x/data.pkl", pickled)
            archive.writestr("x/data.pkl", pickled)
    overlapping = zip_of(tmp_path / "overlapping.ckpt", pickled, **{f"data{i}": b"x" * 1000 for i in range(20)})
    data = bytearray(overlapping.read_bytes())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        if data[at + 46 :].startswith(b"x/data1"):  # claims to go on over those that follow
            struct.pack_into("<2L", data, at + 20, 15_000, 15_000)
        at = data.find(b"PK\x01\x02", at + 1)
    overlapping.write_bytes(data)
    for name, said in (("two", "same name"), ("overlapping", "longer than the file")):
        done = lit_hydra("strip", f"{name}.ckpt", cwd=tmp_path, check=False)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_zip_that_was_packed_again_is_copied_as_it_is(tmp_path: Path) -> None:
    weights = os.urandom(100) + bytes(10_000)
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"a comment"
        archive.writestr("x/data.pkl", pickle.dumps({RECORD_KEY: "r" * 1000, "a": 1}, 2))
        with archive.open("x/data/größe", "w", force_zip64=True) as member:
            member.write(weights)
    target = strip(tmp_path / "a.ckpt")
    assert members(target)["x/data/größe"] == weights
    with zipfile.ZipFile(target) as archive:
        assert archive.comment == b"a comment"
        assert archive.getinfo("x/data/größe").compress_size < 1000


def test_more_members_than_the_old_format_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        for i in range(66_000):
            archive.writestr(str(i), b"x")
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("wb") as target:
        copy_zip(source, target, "7", b"other")
    with zipfile.ZipFile(tmp_path / "b") as archive:
        assert len(archive.namelist()) == 66_000
        assert (archive.read("7"), archive.read("65999")) == (b"other", b"x")


# --- where it goes


def test_an_output_that_is_there_is_kept(app: App, tmp_path: Path) -> None:
    source = tmp_path / "epoch=1-loss=0.5.ckpt"
    source.write_bytes(made(app).read_bytes())
    source.chmod(0o600)
    target = strip(source)
    assert target == tmp_path / "epoch=1-loss=0.5.stripped.ckpt"
    assert target.stat().st_mode & 0o777 == 0o600
    target.write_bytes(b"old")
    done = lit_hydra("strip", source.name, cwd=tmp_path, check=False)
    assert (done.returncode, target.read_bytes()) == (2, b"old")
    assert done.stderr == f"Error: {target.name}: is there already; choose another output, or replace it with --force\n"
    lit_hydra("strip", source.name, "--force", cwd=tmp_path)
    assert target.read_bytes() != b"old" and len(list(tmp_path.iterdir())) == 2


def test_in_place(app: App, tmp_path: Path) -> None:
    source, link = tmp_path / "a.ckpt", tmp_path / "link.ckpt"
    source.write_bytes(made(app).read_bytes())
    link.symlink_to("a.ckpt")
    with pytest.raises(CheckpointError, match="is there already"):
        strip(source, source)
    strip(link, link, force=True)
    assert link.is_symlink(), "the file that it leads to has no record now"
    with pytest.raises(NoRecordError):
        read_record(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ckpt", "link.ckpt"]


def test_what_can_not_be_written_leaves_nothing_behind(app: App, tmp_path: Path) -> None:
    source = made(app)
    full = f'ulimit -f 2; "{Path(sys.executable).with_name("lit-hydra")}" strip "{source}" -o out.ckpt'
    done = run("bash", "-c", full, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (2, "Error: out.ckpt: can't be written: File too large\n")
    for output, said in (("no/out.ckpt", "there is no folder no"), (".", "is there already, and a folder")):
        done = lit_hydra("strip", str(source), "-o", output, cwd=tmp_path, check=False)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_can_not_be_stripped_says_why(app: App, tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("hello")
    (tmp_path / "cut.ckpt").write_bytes(made(app).read_bytes()[:-100])
    save(tmp_path / "old.ckpt", torch.load(made(app, "bare")), _use_new_zipfile_serialization=False)
    for name, said in (
        ("no.ckpt", "there is no such file"),
        ("text.ckpt", "is not a checkpoint"),
        ("cut.ckpt", "cut off"),
        ("old.ckpt", "before version 1.6"),
        ("s3://x/a.ckpt", "only a local checkpoint"),
        ("", "the path is empty"),
        (str(app.folder), "is a folder of a run"),
    ):
        done = lit_hydra("strip", name, "-o", "out.ckpt", cwd=tmp_path, check=False)
        assert (done.returncode, done.stdout) == (2, "") and said in done.stderr, (name, done.stderr)
        assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out.ckpt").exists()


def test_a_sharded_checkpoint_is_copied_with_its_folder(app: App, tmp_path: Path) -> None:
    source = tmp_path / "last.ckpt"
    (source / "sub").mkdir(parents=True)
    (source / "meta.pt").write_bytes(made(app, "bare").read_bytes())
    (source / "__0_0.distcp").write_bytes(b"weights")
    (source / "sub" / "meta.pt").write_bytes(b"another")
    target = strip(source)
    assert target == tmp_path / "last.stripped.ckpt"
    assert (target / "__0_0.distcp").read_bytes() == b"weights" and (target / "sub" / "meta.pt").exists()
    assert read_record(source) and torch.load(target / "meta.pt")[RECORD_KEY] == ""
    with pytest.raises(CheckpointError, match="is there already"):
        strip(source)
    assert read_record(strip(source, private=True, force=True)).environment.host == ""
    for inside in (source / "inner", source / "sub"):
        with pytest.raises(CheckpointError, match="inside"):
            strip(source, inside, force=True)
    with pytest.raises(CheckpointError, match="inside the other"):
        strip(source, tmp_path, force=True)
    (tmp_path / "other").mkdir()
    with pytest.raises(CheckpointError, match="no sharded checkpoint; it is not replaced"):
        strip(source, tmp_path / "other", force=True)
    strip(source, source, force=True)
    assert torch.load(source / "meta.pt")[RECORD_KEY] == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "last.stripped.ckpt", "other"]


def test_help_and_cost(app: App, tmp_path: Path) -> None:
    text = lit_hydra("strip", "--help", cwd=tmp_path).stdout
    assert "Examples:\n  " in text and max(map(len, text.split("\n"))) <= 80
    command = (sys.executable, "-X", "importtime", "-m", "lit_hydra_bridge", "strip", str(made(app)), "-o", "x.ckpt")
    imported = {line.rpartition("|")[2].strip() for line in run(*command, cwd=tmp_path).stderr.split("\n")}
    assert "lit_hydra_bridge.reload.strip.strip" in imported
    assert not imported & {"torch", "lightning", "pytorch_lightning", "rich", "hydra", "omegaconf", "numpy", "yaml"}

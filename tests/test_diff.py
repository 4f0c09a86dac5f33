"""Comparing: what differs between two runs is said, and what only depends on when and where they ran is not."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_hydra_bridge import RunRecord, compare, read_record
from lit_hydra_bridge.errors import CheckpointError, CheckpointNotFoundError
from lit_hydra_bridge.record.record_json import record_text
from lit_hydra_bridge.record.run_record import RECORD_KEY, ComposedConfig, HydraJob, SourceCode, Training
from lit_hydra_bridge.reload.compare.comparison import Change, change_lines, config_changes
from tests.support import App, lit_hydra, on_terminal, run

TOOL = str(Path(sys.executable).with_name("lit-hydra"))
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \x9b2J\n\r\x08\u202edesrever\u200b"
CONFIG = """
model:
  lr: 0.1
  decay: ${.lr}
paths:
  out: ${hydra:runtime.output_dir}
  logs: ${.out}/logs
  more: {a: "${paths.logs}/a"}
again: ${paths}
name: run-${now:%f}
seed: 7
hf_token: hunter2
small: 1e-3
stamp: 2026-01-02
layers: [64, 64]
groups: [{a: 1}, {a: 2}]
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    """Runs in a git repository: `one` and `two` alike, `three` not, `four` with another text of the same config."""
    app = App.create(tmp_path_factory.mktemp("diff") / "app", config=CONFIG)
    app.script("""
        pl.seed_everything(cfg.seed)
        t = trainer(default_root_dir=cfg.paths.out)
        t.fit(Net(lr=cfg.model.lr), data(), data())
    """)
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(app.folder))
    run(*git, "init", "-q", cwd=app.folder)
    run(*git, "add", ".", cwd=app.folder)
    run(*git, "commit", "-qm", "one", cwd=app.folder)
    app.run("hydra.run.dir=one")
    app.run("hydra.run.dir=two")
    app.run("hydra.run.dir=four", "model.decay=0.1")
    with (app.folder / "net.py").open("a") as file:
        file.write("# uncommitted\n")
    app.run("hydra.run.dir=three", "model.lr=0.2", "+new={a: 1}", "~stamp", "seed=8", "groups.1.a=3", "layers=[64]")
    return app


def diff(app: App, *arguments: str, code: int) -> str:
    done = lit_hydra("diff", *arguments, cwd=app.folder, check=False)
    assert (done.returncode, done.stderr) == (code, ""), done
    return done.stdout


# --- the pure part


@pytest.mark.parametrize(
    "old, new, lines",
    [
        ({"a": {"b": 0.1}}, {"a": {"b": 0.2}}, ["~ a.b: 0.1 -> 0.2"]),
        ({}, {"a": {"b": 3, "c": {}}}, ["+ a.b: 3", "+ a.c: {}"]),
        ({"a": {"old": 1}}, {"a": {}}, ["- a.old: 1"]),
        ({"a": {}}, {}, ["- a: {}"]),
        ({"a": 1}, {"a": {"b": 1}}, ["~ a: 1 -> {b: 1}"]),
        ({"a": 1}, {"a": True}, ["~ a: 1 -> true"]),
        ({"a": 1}, {"a": 1.0}, ["~ a: 1 -> 1.0"]),
        ({"a": 1}, {"a": "1"}, ['~ a: 1 -> "1"']),
        ({"a": None}, {"a": "null"}, ['~ a: null -> "null"']),
        ({"a": None}, {}, ["- a: null"]),
        ({"a": math.nan}, {"a": math.nan}, []),
        ({"a": math.nan}, {"a": math.inf}, ["~ a: .nan -> .inf"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["~ a: [1, 2] -> [1, 3]"]),
        ({"a": [1, 2]}, {"a": [True, 2]}, ["~ a: [1, 2] -> [true, 2]"]),
        ({"a": [{"b": 1}, 2]}, {"a": [{"b": 2}, 2]}, ["~ a[0].b: 1 -> 2"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}, {}]}, ["~ a: [{b: 1}] -> [{b: 1}, {}]"]),
        ({"a": [[{"b": 1}]]}, {"a": [[{"b": 2}]]}, ["~ a[0][0].b: 1 -> 2"]),
        ({"a.b": 1, "a": {"b": 1}}, {"a.b": 2, "a": {"b": 2}}, ['~ "a.b": 1 -> 2', "~ a.b: 1 -> 2"]),
        ({1: "x"}, {"1": "x", True: "x"}, ["- 1: x", '+ "1": x', "+ true: x"]),
        ({1: "x"}, {1.0: "x"}, ["- 1: x", "+ (1.0): x"]),
        ({"a": "b c\n'"}, {"a": ""}, ['~ a: "b c\\n\'" -> ""']),
        ({"a[0]": 1, "": 2}, {}, ['- "a[0]": 1', '- "": 2']),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
    ],
)
def test_config_changes_and_their_lines(old: dict[Any, Any], new: dict[Any, Any], lines: list[str]) -> None:
    assert change_lines(config_changes(old, new)) == lines


KEYS = st.text('ab.[0"', max_size=3) | st.integers(0, 2) | st.booleans() | st.floats(0, 2)
LEAVES = st.none() | st.booleans() | st.integers(0, 2) | st.floats(allow_infinity=False) | st.text("a1.", max_size=2)
NESTED = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=10
)
CONFIGS = st.dictionaries(KEYS, NESTED, max_size=4)


@settings(max_examples=300, deadline=None)
@given(CONFIGS, CONFIGS)
def test_config_changes_say_all_and_each_once(a: dict[Any, Any], b: dict[Any, Any]) -> None:
    assert config_changes(a, a) == []
    forth, back = config_changes(a, b), config_changes(b, a)
    assert {change.key for change in forth} == {change.key for change in back}
    assert len({change.key for change in forth}) == len(forth), "a key names one place"
    # With the types of keys and values spelled out, equal configs are those without changes.
    assert (forth == []) == (spelled(a) == spelled(b))
    assert all("\n" not in line for line in change_lines(forth))


def spelled(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((type(key).__name__, repr(key), spelled(item)) for key, item in value.items())
    if isinstance(value, list):
        return ["list", *map(spelled, value)]
    return type(value).__name__ + repr(0.0 if value == 0 and isinstance(value, float) else value)


# --- records


def record_like(app: App, **changes: Any) -> tuple[RunRecord, RunRecord]:
    record = read_record(app.folder / "one")
    return record, replace(record, **changes)


def test_two_runs_made_alike_are_the_same(app: App) -> None:
    compared = compare(app.folder / "one", app.folder / "two")
    assert compared.same and compared.to_dict()["same"]
    assert {"run_id", "output_dir"} <= {change.key for change in compared.run.changes}
    (note,) = compared.config.notes
    assert note.startswith("not counted") and "again.more.a" in note and "name" in note
    shown = diff(app, "one", "two", code=0)
    assert shown.endswith("the same: config, overrides, code, versions, training, metrics\n")
    assert "run_id" not in shown and "\x1b" not in shown
    assert "~ run_id: " in diff(app, "one", "two", "--all", code=0)


def test_what_differs_is_listed(app: App) -> None:
    shown = diff(app, "one", "three", code=1)
    config = shown.partition("\nconfig\n")[2].partition("\n  (")[0].split("\n")
    assert config == [
        "  ~ model.lr: 0.1 -> 0.2",
        "  ~ model.decay: 0.1 -> 0.2",
        "  ~ seed: 7 -> 8",
        '  - stamp: "2026-01-02"',
        "  ~ layers: [64, 64] -> [64]",
        "  ~ groups[1].a: 2 -> 3",
        "  + new.a: 1",
    ]
    for part in ("  + model.lr: 0.2", "  ~ dirty: false -> true", "training\n  ~ seed: 7 -> 8", "metrics  (does not"):
        assert part in shown
    assert "the same: versions\n" in shown and "hydra.run.dir" not in shown
    back = diff(app, "three", "one", code=1)
    assert "  ~ model.lr: 0.2 -> 0.1" in back and "  - new.a: 1" in back


def test_another_text_of_the_same_value_is_no_change(app: App) -> None:
    compared = compare(app.folder / "one", app.folder / "four")
    assert compared.config.changes == []
    assert "written otherwise, and the same in value: model.decay" in compared.config.notes
    assert [change.key for change in compared.overrides.changes] == ["model.decay"] and not compared.same


def test_only_and_json(app: App) -> None:
    assert "seed" not in diff(app, "one", "three", "--only", "versions", code=0)
    assert json.loads(diff(app, "one", "three", "--only", "training", "--json", code=1)) == {
        "a": "one",
        "b": "three",
        "same": False,
        "training": {
            "changes": [{"key": "seed", "kind": "changed", "old": 7, "new": 8}],
            "counts": True,
            "unknown": None,
            "notes": [],
        },
    }
    whole = json.loads(diff(app, "one", "three", "--json", code=1))
    compared = compare(app.folder / "one", app.folder / "three").to_dict()
    assert {**whole, "a": "", "b": ""} == {**compared, "a": "", "b": ""}
    assert {"key": "new.a", "kind": "added", "new": 1} in whole["config"]["changes"]


def test_code_versions_and_settings(app: App) -> None:
    source = SourceCode(commit="a" * 40, dirty=True, diff="bm9uZQ==", branch="x")
    environment = replace(
        read_record(app.folder / "one").environment, host="other", packages={"torch": "1", "new": "2"}
    )
    training = Training(model_class="net.Net", seed=None, deterministic=True)
    first, second = record_like(app, source=source, environment=environment, training=training, metrics={})
    compared = compare(first, second)
    assert [(change.key, change.kind) for change in compared.code.changes] == [
        ("commit", "changed"),
        ("dirty", "changed"),
    ]
    versions = {change.key: change for change in compared.versions.changes}
    assert versions["torch"].new == "1" and versions["new"].kind == "added" and versions["numpy"].kind == "removed"
    changes = {change.key: change for change in compared.training.changes}
    assert (
        changes["seed"] == Change(key="seed", kind="changed", old=7, new=None) and changes["deterministic"].new is True
    )
    assert compared.metrics.unknown is not None and not compared.metrics.changes
    other = replace(second, source=replace(source, diff="b3RoZXI="))
    (change,) = compare(second, other).code.changes
    assert change.key == "uncommitted" and change.old != change.new


def test_what_one_does_not_know_is_no_difference(app: App) -> None:
    first, second = record_like(app, source=None, training=None, metrics={}, hydra=None)
    second = replace(second, environment=replace(second.environment, packages={}))
    compared = compare(first, second)
    assert compared.same
    assert all(section.unknown for section in (compared.code, compared.training, compared.metrics, compared.overrides))
    assert compared.versions.notes


def test_metrics_alone_do_not_count_unless_asked_for(app: App, tmp_path: Path) -> None:
    first, second = record_like(app, metrics={"loss": math.nan, "x": 1.0})
    assert compare(second, second).metrics.changes == []
    compared = compare(first, second)
    assert compared.metrics.changes and compared.same
    for name, record in (("a", first), ("b", second)):
        torch.save({RECORD_KEY: record_text(record)}, tmp_path / f"{name}.ckpt")
    assert lit_hydra("diff", "a.ckpt", "b.ckpt", cwd=tmp_path).returncode == 0
    assert lit_hydra("diff", "a.ckpt", "b.ckpt", "--only", "metrics", cwd=tmp_path, check=False).returncode == 1


def test_a_number_taken_from_the_job_counts(app: App) -> None:
    """Only a time, or a folder, says nothing of how the model was made."""

    def config(seed: int, out: str, text: str) -> ComposedConfig:
        return ComposedConfig(composed=f"seed: {text}\nout: ${{hydra:run.dir}}\n", resolved={"seed": seed, "out": out})

    first, second = record_like(app)
    first = replace(first, config=config(1, "x", "${hydra:job.num}"))
    second = replace(second, config=config(2, "y", "${hydra:job.num}"))
    assert [change.key for change in compare(first, second).config.changes] == ["seed"]
    # An output folder that one of them has fixed by hand is a difference.
    fixed = replace(second, config=ComposedConfig(composed="seed: 2\nout: y\n", resolved={"seed": 2, "out": "y"}))
    assert [change.key for change in compare(second, fixed).config.changes] == []
    assert [change.key for change in compare(first, fixed).config.changes] == ["seed", "out"]


def test_both_orders_of_overrides_are_the_same(app: App) -> None:
    job = HydraJob(hydra_version="1", overrides=["a=1", "b=2"], hydra_overrides=["hydra.run.dir=x", "hydra.mode=RUN"])
    other = replace(job, overrides=["b=2", "a=1"], hydra_overrides=["hydra.mode=MULTIRUN", "hydra/launcher=joblib"])
    first, _ = record_like(app)
    compared = compare(replace(first, hydra=job), replace(first, hydra=other))
    assert change_lines(compared.overrides.changes, bare=True) == ["+ hydra/launcher: joblib"]


# --- config files


def test_a_config_file_is_compared_as_composed(app: App, tmp_path: Path) -> None:
    written = "one/.hydra/config.yaml"
    shown = diff(app, written, "two", code=0)
    assert "the same: config, overrides\n" in shown and "not compared: code, versions" in shown
    assert "not compared, as the record has it redacted: hf_token" in shown and "hunter2" not in shown
    assert "  ~ model.lr: 0.1 -> 0.2" in diff(app, written, "three", code=1)
    bare = tmp_path / "bare"
    (bare / ".hydra").mkdir(parents=True)
    for name in ("config.yaml", "overrides.yaml"):
        (bare / ".hydra" / name).write_bytes((app.folder / "three" / ".hydra" / name).read_bytes())
    assert "the same: config, overrides\n" in diff(app, str(bare), "three", code=0)
    changed = tmp_path / "changed.yml"
    config = yaml.safe_load((app.folder / written).read_text())
    config["model"]["decay"] = 0.1
    changed.write_text(yaml.safe_dump(config | {"hydra": {"x": 1}}))
    shown = diff(app, written, str(changed), code=1)
    assert '  ~ model.decay: "${.lr}" -> 0.1\n' in shown and "the overrides are not known" in shown


def test_config_files_are_read_as_hydra_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "a: 1e-3\nb: 2026-01-02\nc: !!python/object/apply:pathlib.PosixPath\n- /\n- x\n"
        "d: &d {e: 1}\nf: *d\ng: !!binary aGk=\n"
    )
    (tmp_path / "b.yaml").write_text("a: 0.001\nb: '2026-01-02'\nc: /x\nd: {e: 1}\nf: {e: 1}\ng: hi\n")
    assert compare(tmp_path / "a.yaml", tmp_path / "b.yaml").same
    (tmp_path / "empty.yaml").write_text("")
    assert len(compare(tmp_path / "empty.yaml", tmp_path / "b.yaml").config.changes) == 6


@pytest.mark.parametrize(
    "text, said",
    [
        (b"[" * 100_000, "levels"),
        (b"- a\n", "should be a mapping"),
        (b"a: [", "while parsing"),
        (b"a: " + b"1" * 5000, "digits"),
        (b"a: \xff", "can't be read"),
        (b"a: !!python/object/apply:os.system [touch marker]", "could not determine"),
        (
            b"a: &a [x]\n"
            + b"".join(b"b%d: &b%d [*a%s]\n" % (i, i, b", *b%d" % (i - 1) * 9 * (i > 0)) for i in range(9)),
            "alias",
        ),
        (b"a: &a [*a]", "alias"),
    ],
)
def test_a_file_that_is_no_config_is_one_error(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "a.yaml").write_bytes(text)
    done = lit_hydra("diff", "a.yaml", "a.yaml", cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "") and said in done.stderr, done.stderr
    assert done.stderr.startswith("Error: a.yaml: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "marker").exists()


def test_what_is_not_there_is_one_error(app: App, tmp_path: Path) -> None:
    torch.save({}, tmp_path / "bare.ckpt")
    for name, said in (
        ("no.yaml", "no such file"),
        ("no.ckpt", "no such file"),
        ("bare.ckpt", "no record"),
        ("", "empty"),
    ):
        for pair in ((name, str(app.folder / "one")), (str(app.folder / "one"), name)):
            done = lit_hydra("diff", *pair, cwd=tmp_path, check=False)
            assert (done.returncode, done.stdout) == (2, "") and said in done.stderr
            assert done.stderr.count("\n") == 1
    with pytest.raises(CheckpointNotFoundError):
        compare(tmp_path / "no.yaml", app.folder / "one")
    with pytest.raises(CheckpointError):
        compare(app.folder / "one", tmp_path / "bare.ckpt")
    assert lit_hydra("diff", "x", cwd=tmp_path, check=False).returncode == 2


# --- hostile records, terminals, cost


def test_a_hostile_record_drives_no_terminal(app: App, tmp_path: Path) -> None:
    first, second = record_like(app)
    config = ComposedConfig(composed=f"a: {json.dumps(HOSTILE)}", resolved={HOSTILE: HOSTILE, "b": [HOSTILE, {}]})
    bomb = ComposedConfig(composed="a: &a [1]\nb: *a\n" + "[" * 1000, resolved={"b": 1})
    source = SourceCode(commit=HOSTILE, dirty=True, diff=HOSTILE)
    environment = replace(first.environment, python=HOSTILE, packages={HOSTILE: HOSTILE})
    job = HydraJob(hydra_version="1", overrides=[HOSTILE])
    second = replace(
        second, config=config, source=source, environment=environment, hydra=job, metrics={HOSTILE: 1.0}, run_id=HOSTILE
    )
    for name, record in (("a", first), ("b", second), ("c", replace(first, config=bomb))):
        torch.save({RECORD_KEY: record_text(record)}, tmp_path / f"{name}.ckpt")
    for arguments in (["a.ckpt", "b.ckpt", "--all"], ["b.ckpt", "c.ckpt"], ["a.ckpt", "b.ckpt", "--json"]):
        done = lit_hydra("diff", *arguments, cwd=tmp_path, check=False)
        assert (done.returncode, done.stderr) == (1, "")
        assert all(line.isprintable() for line in done.stdout.split("\n"))
    shown = _shown_on_terminal("a.ckpt", "b.ckpt", "--all", cwd=tmp_path, NO_COLOR="1", TERM="dumb")
    assert all(line.isprintable() for line in shown.split("\n")) and "red" in shown


def _shown_on_terminal(*arguments: str, cwd: Path, **env: str) -> str:
    code, shown = on_terminal("diff", *arguments, cwd=cwd, **env)
    assert code == 1, shown
    return shown


def test_a_terminal_gets_colours_and_the_same_text(app: App) -> None:
    shown = _shown_on_terminal("one", "three", cwd=app.folder)
    codes = {code for part in shown.split("\x1b[")[1:] for code in part.partition("m")[0].split(";")}
    assert {"31", "32", "33"} <= codes <= {"", "0", "1", "31", "32", "33", "36"}, "the terminal's own colours"
    for code in ("0", "31", "32", "33", "1;36"):
        shown = shown.replace(f"\x1b[{code}m", "")
    assert shown == diff(app, "one", "three", code=1)


def test_nothing_heavy_is_imported(app: App) -> None:
    for arguments in (("one", "two"), ("one", "three", "--json"), ("one/.hydra/config.yaml", "three")):
        command = (sys.executable, "-X", "importtime", "-m", "lit_hydra_bridge", "diff", *arguments)
        lines = run(*command, cwd=app.folder, check=False).stderr.split("\n")
        imported = {line.rpartition("|")[2].strip() for line in lines}
        assert "lit_hydra_bridge.reload.compare.comparison" in imported
        assert not imported & {
            "torch",
            "lightning",
            "pytorch_lightning",
            "rich",
            "hydra",
            "omegaconf",
            "numpy",
            "fsspec",
        }


def test_help_teaches_by_examples(tmp_path: Path) -> None:
    text = lit_hydra("diff", "--help", cwd=tmp_path).stdout
    assert "Examples:\n    lit-hydra diff" in text and max(map(len, text.split("\n"))) <= 80

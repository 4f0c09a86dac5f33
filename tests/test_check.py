"""`lit-hydra check`: each line of the report card, the drawn lineage, and what a hostile record does not get."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_hydra_bridge import check, read_record
from lit_hydra_bridge.record.run_record import RECORD_KEY
from lit_hydra_bridge.reload.check.line import Line
from lit_hydra_bridge.reload.lineage import lineage_of
from lit_hydra_bridge.strict_json import dumps
from tests.support import App, lit_hydra, on_terminal, run

TOOL = str(Path(sys.executable).with_name("lit-hydra"))
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \x9b2J \r\x08 \u202edesrever \u200b$(touch x)"
ABSENT_COMMIT = "0123456789abcdef0123456789abcdef01234567"
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b")

TRAIN = """
    if cfg.get("seeded", True):
        pl.seed_everything(cfg.seed, workers=True)
    t = trainer(max_epochs=cfg.get("epochs", 1), enable_checkpointing=False, deterministic=True)
    t.fit(Net(lr=cfg.model.lr), data(), ckpt_path=cfg.get("ckpt_path"))
    t.save_checkpoint(cfg.out)
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    """A run in a clean repository, one that resumes it with a changed file, and one that resumes that."""
    app = App.create(tmp_path_factory.mktemp("check") / "app")
    app.script(TRAIN)
    app.add_to_config({"out": "first.ckpt", "hf_token": "hf_abcdefghijk", "db_password": "${oc.env:CHECK_DB}"})
    app.write(".gitignore", "__pycache__\n")
    run(*GIT, "init", "-q", cwd=app.folder)
    run(*GIT, "add", ".", cwd=app.folder)
    run(*GIT, "commit", "-qm", "one", cwd=app.folder)
    secret = {"CHECK_DB": "hunter2hunter2"}
    app.run("model.lr=0.3", env=secret)
    with (app.folder / "net.py").open("a") as file:
        file.write("# not committed\n")
    app.write("helper.py", "x = 1\n")
    app.run("out=second.ckpt", "+ckpt_path=first.ckpt", "+epochs=2", "+seeded=false", env=secret)
    app.run("out=third.ckpt", "+ckpt_path=second.ckpt", "+epochs=3", "model.lr=0.02", "+freeze=true", env=secret)
    return app


@pytest.fixture
def altered(app: App, tmp_path: Path) -> Callable[..., Path]:
    """Returns a checkpoint whose record is a real run's, but for what is given by dotted name."""

    def alter(changes: dict[str, Any], of: str = "first") -> Path:
        data = read_record(app.folder / f"{of}.ckpt").to_dict()
        for key, value in changes.items():
            *above, last = key.split("__")
            node: Any = data
            for step in above:
                node = node[int(step) if step.isdigit() else step]
            node[last] = value
        path = tmp_path / "altered.ckpt"
        torch.save({RECORD_KEY: dumps(data)}, path)
        return path

    return alter


def lines(path: Path) -> dict[str, Line]:
    """The report card by subject; of several lines of one subject the worst."""
    found: dict[str, Line] = {}
    for line in check(path).lines:
        if line.subject not in found or line.verdict is False:
            found[line.subject] = line
    return found


def without_colours(text: str) -> str:
    first, *rest = text.split("\x1b[")
    return first + "".join(part.partition("m")[2] for part in rest)


# --- the report card


def test_a_run_that_can_be_made_again(app: App) -> None:
    done = lit_hydra("check", "first.ckpt", cwd=app.folder)
    record = read_record(app.folder / "first.ckpt")
    assert done.returncode == 0 and done.stderr == ""
    shown = done.stdout.rstrip("\n").split("\n")
    assert shown[0].startswith(f"run {record.run_id[:12]}  2") and shown[0].endswith(" UTC")
    assert shown[-1] == "Nothing stands in the way of making this run again here. 1 note."
    marks = {line[5:].split("  ")[0].strip(): line[:4].strip() for line in shown[1:-1] if line[:4].strip()}
    subjects = ["config", "secrets", "seed", "deterministic", "commit", "commit here", "changes", "entry", "packages"]
    assert [key for key in marks if key != "untracked"] == [
        *subjects,
        "python",
        "lineage",
        "platform",
        "hardware",
        "threads",
    ]
    assert {key for key, mark in marks.items() if mark != "ok"} == {"secrets"}
    assert len(shown) < 24 and max(map(len, shown)) < 160, "one screen"


def test_a_run_that_can_not(app: App) -> None:
    done = lit_hydra("check", "second.ckpt", cwd=app.folder, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "FAIL seed " in done.stdout and "-> pl.seed_everything(cfg.seed, workers=True)" in done.stdout
    assert done.stdout.endswith("1 point stands in the way of making this run again here. 2 notes.\n")
    found = lines(app.folder / "second.ckpt")
    assert found["changes"].verdict and found["changes"].finding == "recorded as a diff of 1 line"
    assert str(app.folder / "second.ckpt") in found["changes"].remedy
    assert found["untracked"].verdict is None and found["untracked"].finding == "1 file by name only: helper.py"
    assert found["lineage"].verdict and "first.ckpt" in found["lineage"].finding


def test_json(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(app.folder)
    for name in ("first", "second"):
        done = lit_hydra("check", f"{name}.ckpt", "--json", cwd=app.folder, check=False)
        card, said = check(f"{name}.ckpt"), json.loads(done.stdout)
        assert done.returncode == (0 if card.good else 1) and done.stdout.isascii()
        assert (said["run_id"], said["created"], said["good"]) == (card.run_id, card.created, card.good)
        assert [(line["subject"], line["finding"]) for line in said["lines"]] == [
            (line.subject, line.finding) for line in card.lines
        ]
        assert {line["verdict"] for line in said["lines"]} <= {"ok", "note", "fail"}


CUDA = {"training__accelerator": "lightning.pytorch.accelerators.cuda.CUDAAccelerator"}
DIFF = {"source__dirty": True, "source__diff": None}


@pytest.mark.parametrize(
    "changes, subject, verdict, finding, remedy",
    [
        ({"gaps": ["config: nested too deeply to be recorded"]}, "config", False, "not whole: config: nested", ""),
        ({"gaps": ["config: not plain data at a.b; the text is kept"]}, "config", False, "a.b", "_target_"),
        ({"config__composed": "a: ["}, "config", False, "can't be read", "another checkpoint"),
        ({"config__unresolved": ["name"]}, "unresolved", None, "1 key had no one value", "lit-hydra config"),
        ({"gaps": ["loggers: ValueError: x"]}, "gaps", None, "loggers: ValueError: x", ""),
        ({"training": None}, "seed", None, "without a model", ""),
        ({"training__seed": None}, "seed", False, "none was set", "seed_everything"),
        ({"training": None}, "deterministic", None, "without a model", ""),
        ({"training__deterministic": False}, "deterministic", None, "on a CPU", "deterministic=True"),
        ({"training__deterministic": False, **CUDA}, "deterministic", False, "GPU", "deterministic=True"),
        (
            {"training__deterministic": False, "training__cudnn_deterministic": True, **CUDA},
            *("deterministic", False, "only cuDNN", "deterministic=True"),
        ),
        ({"training__cudnn_benchmark": True, **CUDA}, "deterministic", False, "benchmark", "benchmark=False"),
        (CUDA, "deterministic", True, "deterministic algorithms", ""),
        ({"source": None}, "commit", False, "no git repository", "git init"),
        ({"source": None, "gaps": ["git: git is not installed"]}, "commit", False, "git is not installed", ""),
        ({"source__commit": None}, "commit", False, "nothing was committed", "git commit"),
        ({"source__commit": "--help"}, "commit", False, "'--help' is none", "another checkpoint"),
        ({"source__commit": ABSENT_COMMIT}, "commit here", False, "neither", "no remote"),
        ({"source__dirty": None}, "changes", None, "not known", ""),
        (DIFF, "changes", False, "switched off", "git commit"),
        ({**DIFF, "source__diff_cut": True}, "changes", False, "longer than the limit", "diff_limit_kib"),
        ({"source__dirty": True, "source__diff": "eJw="}, "changes", False, "could not be looked at", ""),
        ({"hydra": {}}, "entry", None, "given by hand", "load_config"),
        ({"entry__task_function": None}, "entry", None, "given by hand", "load_config"),
        (
            {"entry__script": "/gone/train.py", "entry__task_file": "/gone/train.py"},
            "entry",
            False,
            "/gone/train.py",
            "",
        ),
        ({"entry__module": "gone.train"}, "entry", False, "there is no 'gone'", "install"),
        ({"entry__module": "json.tool"}, "entry", True, "json.tool", ""),
        ({"environment__packages": {}}, "packages", False, "not recorded", ""),
        ({"environment__packages": {}, "gaps": ["git, packages: no time"]}, "packages", False, "no time", ""),
        ({"environment__packages__torch": "1.0+cu118"}, "packages", False, "torch 1.0+cu118 (here", "torch==1.0+cu118"),
        ({"environment__packages__torch": "1.0+cu118"}, "packages", False, "", "download.pytorch.org/whl/cu118"),
        ({"environment__packages__gone": "1.0"}, "packages", None, "gone 1.0 (not installed here)", "lit-hydra show"),
        ({"environment__packages__lit-hydra-bridge": "0.0.1"}, "packages", True, "as they were", ""),
        ({"environment__python": "3.2.1"}, "python", False, "3.2.1 then", "Python 3.2.1"),
        ({"environment__platform": "win32-AMD64-11"}, "platform", None, "win32-AMD64-11 then", ""),
        ({"environment__platform": sys.platform}, "platform", True, "", ""),
        ({"training__num_nodes": 2}, "hardware", None, "on each of 2 nodes", "as many"),
    ],
)
def test_each_line(
    altered: Callable[..., Path],
    changes: dict[str, Any],
    subject: str,
    verdict: bool | None,
    finding: str,
    remedy: str,
) -> None:
    line = lines(altered(changes))[subject]
    assert line.verdict is verdict, line
    assert finding in line.finding and remedy in line.remedy
    assert (verdict is not False) or line.remedy or "could not be looked at" in line.finding


def test_a_patch_version_of_python_is_a_note(altered: Callable[..., Path]) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}.999"
    assert lines(altered({"environment__python": version}))["python"].verdict is None


def test_secrets_say_where_they_come_from(
    app: App, monkeypatch: pytest.MonkeyPatch, altered: Callable[..., Path]
) -> None:
    monkeypatch.delenv("CHECK_DB", raising=False)
    line = lines(app.folder / "first.ckpt")["secrets"]
    assert line.verdict is None and line.finding == "2 values not recorded: hf_token, db_password"
    assert line.remedy == "give again as overrides: hf_token=...; set in the environment: CHECK_DB"
    monkeypatch.setenv("CHECK_DB", "other")
    assert "set here, but is it the same: CHECK_DB" in lines(app.folder / "first.ckpt")["secrets"].remedy


def test_a_secret_in_the_diff_is_told(altered: Callable[..., Path]) -> None:
    import base64
    import zlib

    packed = base64.b64encode(zlib.compress(b"+token = '<redacted>'\n")).decode()
    line = lines(altered({"source__dirty": True, "source__diff": packed}))["changes"]
    assert line.verdict is None and "without its secrets" in line.finding


def test_the_commit_is_found_in_the_current_repository(
    app: App, tmp_path: Path, altered: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = altered({"source__root": str(tmp_path / "gone"), "source__remote": "https://<redacted>@host.org/a/b.git"})
    monkeypatch.chdir(tmp_path)
    line = lines(path)["commit here"]
    assert line.verdict is False and line.remedy == "git clone https://host.org/a/b.git, and check again in there"
    run("git", "clone", "-q", str(app.folder), "clone", cwd=tmp_path)
    monkeypatch.chdir(tmp_path / "clone" / "conf")
    line = lines(path)["commit here"]
    assert line.verdict and line.finding == "in the current folder's repository"


def test_code_that_pip_has_installed_is_told_by_its_version(altered: Callable[..., Path]) -> None:
    changes = {
        "source": None,
        "entry__task_file": "/venv/lib/python3.11/site-packages/fleet_train/app.py",
        "environment__packages__fleet-train": "1.2",
    }
    line = lines(altered(changes))["code"]
    assert (line.verdict, line.finding) == (None, "installed: fleet-train 1.2 (not installed here)")
    known = {**changes, "entry__task_file": "/x/site-packages/hydra/main.py"}
    assert (
        "hydra-core" in lines(altered(known))["code"].finding
        and "the same here" in lines(altered(known))["code"].finding
    )
    assert "commit" not in lines(altered(known))
    assert lines(altered({"source": None, "entry__task_file": "/src/app.py"}))["commit"].verdict is False


def test_seed_and_threads_that_a_rerun_may_not_have(
    altered: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = lines(altered({"training__seed": 918273}))["seed"]
    assert drawn.verdict is None and "918273, which the config does not hold" in drawn.finding
    assert lines(altered({"training__seed": 5, "config__resolved": {"data": {"seed": 5}}}))["seed"].verdict
    path = altered({"training__threads": 3})
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert lines(path)["threads"].verdict is None
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert lines(path)["threads"].verdict


def test_a_diff_with_gaps_names_them(altered: Callable[..., Path]) -> None:
    changes = {"source__dirty": True, "source__diff_gaps": ["model.bin: longer than the limit"]}
    line = lines(altered(changes))["changes"]
    assert line.verdict is False and "model.bin" in line.finding
    secret = {**changes, "source__diff_gaps": ["conf.yaml: secrets in it were redacted"]}
    assert lines(altered(secret))["changes"].verdict is None


@pytest.mark.parametrize(
    "entry",
    [
        {"task_function": "x; import os; os.abort():main", "module": None, "script": None},
        {"task_function": "pkg.mod:main(); evil", "module": "joblib.worker", "script": None},
        {"task_function": "os:abort", "module": None, "script": None},
        {"task_function": "__main__:main", "module": "timeit", "orig_argv": ["python", "-m", "timeit", "evil()"]},
        {"task_function": "__main__:main", "module": "pip", "orig_argv": ["python", "-m", "pip", "install", "evil"]},
        {"task_function": "__main__:main", "module": "--help", "script": None},
    ],
)
def test_a_strangers_names_are_not_put_into_a_command(entry: dict[str, Any], altered: Callable[..., Path]) -> None:
    path = altered({f"entry__{key}": value for key, value in entry.items()})
    assert lines(path)["entry"].verdict is False
    done = lit_hydra("rerun", str(path), "--dry-run", cwd=path.parent, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


# --- lineage


def test_a_missing_or_replaced_checkpoint_is_found(app: App, altered: Callable[..., Path], tmp_path: Path) -> None:
    def lineage(of: str, **changes: Any) -> list[Line]:
        return [line for line in check(altered(changes, of)).lines if line.subject == "lineage"]

    for place, said in (
        ("gone.ckpt", "gone.ckpt, which is not here"),
        (None, "whose place is not recorded"),
        (str(app.folder / "third.ckpt"), "which is now of another run"),
        (str(app.folder / "train.py"), "can't be read"),
        ("bare.ckpt", "has no record"),
    ):
        torch.save({}, app.folder / "bare.ckpt")
        (line,) = lineage("second", lineage__0__checkpoint=place, config__resolved={})
        assert line.verdict is False and said in line.finding, line
    (line,) = lineage("second", lineage__0__checkpoint="s3://bucket/a.ckpt", config__resolved={})
    assert line.verdict is None and "not looked at" in line.finding
    (line,) = lineage("third", lineage__1__checkpoint="gone.ckpt")
    assert line.verdict is None and "of the runs before: gone.ckpt, which is not here" in line.finding


def test_a_checkpoint_that_nothing_is_known_of(app: App, altered: Callable[..., Path]) -> None:
    torch.save({"state_dict": {}}, app.folder / "bare.ckpt")

    def lineage(config: dict[str, Any]) -> Line:
        return lines(altered({"config__resolved": config}))["lineage"]

    line = lineage({"model": {"backbone": {"ckpt_path": "bare.ckpt"}}})
    assert line.verdict is False and "model.backbone.ckpt_path = bare.ckpt" in line.finding
    line = lineage({"resume_from": "/gone/bare.ckpt"})
    assert line.verdict is False and "not here: resume_from = /gone/bare.ckpt" in line.finding
    assert lineage({"out": "bare.ckpt", "ckpt_path": None, "pretrained": True}).verdict
    assert lineage({"ckpt_path": "first.ckpt"}).verdict, "it has a record of its own"


def test_the_lineage_of_a_run_that_was_resumed_twice(app: App) -> None:
    records = [read_record(app.folder / f"{name}.ckpt") for name in ("first", "second", "third")]
    steps = lineage_of(records[2])
    assert [step.run_id for step in steps] == [record.run_id for record in records]
    assert [step.global_step for step in steps] == [2, 4, None]
    assert [step.commit for step in steps] == [record.source.commit for record in records if record.source]
    assert steps[0].changes is None
    for step, expected in (
        (steps[1], {"model.lr": (0.3, 0.1), "out": ("first.ckpt", "second.ckpt")}),
        (steps[2], {"model.lr": (0.1, 0.02), "ckpt_path": ("first.ckpt", "second.ckpt"), "epochs": (2, 3)}),
    ):
        changed = {change.key: (change.old, change.new) for change in step.changes or [] if change.kind == "changed"}
        assert changed.items() >= expected.items()
    kinds = {change.key: change.kind for change in steps[2].changes or []}
    assert kinds["freeze"] == "added" and kinds["seeded"] == "removed"


def test_the_drawing(app: App) -> None:
    done = lit_hydra("check", "third.ckpt", "--lineage", cwd=app.folder, env={"LC_ALL": "C.UTF-8"})
    ids = [read_record(app.folder / f"{name}.ckpt").run_id[:12] for name in ("first", "second", "third")]
    heads = [line for line in done.stdout.split("\n") if line.startswith("●")]
    assert [line.split("run ")[1][:12] for line in heads] == ids
    assert "(this run)" in heads[2] and "(this run)" not in heads[0] + heads[1]
    assert (
        "│   overrides  model.lr=0.3\n" in done.stdout
        and f"│   saved      {app.folder}/first.ckpt  (step 2)\n" in done.stdout
    )
    assert done.stdout.index("first.ckpt  (step 2)") < done.stdout.index(ids[1])
    assert any("model.lr" in line and "0.02" in line and line.startswith("│") for line in done.stdout.split("\n"))
    assert done.stderr == ""
    plain = lit_hydra("check", "third.ckpt", "--lineage", cwd=app.folder, env={"PYTHONIOENCODING": "ascii"}).stdout
    assert plain.isascii() and [line[:1] for line in plain.split("\n")].count("*") == 3
    alone = lit_hydra("check", "first.ckpt", "--lineage", cwd=app.folder).stdout
    assert "was started from no checkpoint" in alone and ids[0] in alone


def test_the_lineage_as_json(app: App) -> None:
    done = lit_hydra("check", "third.ckpt", "--lineage", "--json", cwd=app.folder)
    said = json.loads(done.stdout)
    assert [step["checkpoint"] for step in said["steps"]] == [
        f"{app.folder}/first.ckpt",
        f"{app.folder}/second.ckpt",
        None,
    ]
    assert said["steps"][0]["changes"] is None
    for change in (
        {"key": "epochs", "kind": "changed", "old": 2, "new": 3},
        {"key": "freeze", "kind": "added", "new": True},
    ):
        assert change in said["steps"][2]["changes"]


# --- hostile and broken


def hostile(path: Path, **changes: Any) -> Path:
    """A record with something nasty wherever text may stand."""
    config = {"composed": f"a: {HOSTILE!r}\n", "resolved": {HOSTILE: [HOSTILE]}, "redacted": [HOSTILE]}
    step = {"run_id": HOSTILE, "created": HOSTILE, "checkpoint": HOSTILE, "overrides": [HOSTILE], "commit": HOSTILE}
    data = {
        "run_id": HOSTILE,
        "created": HOSTILE,
        "config": {**config, "unresolved": [HOSTILE]},
        "entry": {"argv": [HOSTILE], "orig_argv": [HOSTILE], "cwd": HOSTILE, "python": HOSTILE, "module": HOSTILE},
        "environment": {"python": HOSTILE, "platform": HOSTILE, "host": HOSTILE, "packages": {HOSTILE: HOSTILE}},
        "hydra": {"hydra_version": "1", "overrides": [HOSTILE], "output_dir": HOSTILE},
        "source": {"commit": HOSTILE, "branch": HOSTILE, "remote": HOSTILE, "root": HOSTILE, "untracked": [HOSTILE]},
        "training": {"model_class": HOSTILE, "accelerator": HOSTILE, "strategy": HOSTILE, "seed": 1},
        "lineage": [{**step, "config": f"b: {HOSTILE!r}\n"}, step],
        "gaps": [HOSTILE, f"config: {HOSTILE}"],
        **changes,
    }
    torch.save({RECORD_KEY: dumps(data)}, path)
    return path


def test_a_hostile_record_does_not_drive_the_terminal(tmp_path: Path) -> None:
    hostile(tmp_path / "a.ckpt")
    for arguments in ([], ["--lineage"], ["--json"], ["--lineage", "--json"]):
        code, shown = on_terminal("check", "a.ckpt", *arguments, cwd=tmp_path, NO_COLOR="1", TERM="dumb")
        assert code == (0 if "--lineage" in arguments else 1), shown
        assert "Traceback" not in shown
        assert all(character.isprintable() or character == "\n" for character in shown), arguments
        piped = lit_hydra("check", "a.ckpt", *arguments, cwd=tmp_path, check=False).stdout
        assert all(character.isprintable() or character == "\n" for character in piped), "a pager passes them on"
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


def test_a_record_puts_nothing_of_its_own_into_a_command(altered: Callable[..., Path], tmp_path: Path) -> None:
    packages = {"torch": "1.0; touch x", "numpy": "--index-url=http://evil"}
    remedy = lines(altered({"environment__packages": packages}))["packages"].remedy
    assert "pip install" not in remedy and "evil" not in remedy
    unknown = lines(altered({"environment__packages__evil": "1.0", "environment__packages__torch": "1.0"}))["packages"]
    assert unknown.remedy == "pip install torch==1.0" and "evil 1.0" in unknown.finding
    for remote in ("--upload-pack=touch x", "ext::sh -c touch", "https://a/$(touch x)", "git@host:-x", "a@b:c d"):
        changes = {"source__commit": ABSENT_COMMIT, "source__remote": remote}
        assert "git clone" not in lines(altered(changes))["commit here"].remedy, remote


@pytest.fixture
def trap(tmp_path: Path) -> tuple[Path, Path]:
    """A repository whose configuration runs a program at every chance, and the file that the program makes."""
    folder, sprung = tmp_path / "evil", tmp_path / "sprung"
    run(*GIT, "init", "-q", str(folder), cwd=tmp_path)
    run(*GIT, "commit", "-q", "--allow-empty", "-m", "x", cwd=folder)
    script = folder / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch '{sprung}'\n")
    script.chmod(0o755)
    (folder / ".gitattributes").write_text("* filter=evil diff=evil\n")
    for name in ("post-index-change", "reference-transaction", "post-checkout"):
        (folder / ".git" / "hooks" / name).write_bytes(script.read_bytes())
        (folder / ".git" / "hooks" / name).chmod(0o755)
    for key, value in {
        "core.fsmonitor": str(script),
        "core.pager": str(script),
        "pager.cat-file": str(script),
        "core.sshCommand": str(script),
        "diff.external": str(script),
        "filter.evil.clean": str(script),
        "filter.evil.process": str(script),
        "filter.evil.required": "true",
        "protocol.allow": "always",
        "protocol.ext.allow": "always",
        "extensions.partialClone": "origin",
        "core.repositoryFormatVersion": "1",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::{script}",
    }.items():
        run("git", "config", key, value, cwd=folder)
    return folder, sprung


def test_a_hostile_repository_runs_nothing(trap: tuple[Path, Path], altered: Callable[..., Path]) -> None:
    folder, sprung = trap
    for provoke in (["status"], ["cat-file", "-e", f"{ABSENT_COMMIT}^{{commit}}"]):
        run("git", *provoke, cwd=folder, check=False)
        assert sprung.exists(), f"the trap is one: git {provoke[0]}"
        sprung.unlink()
    path = altered({"source__root": str(folder), "source__commit": ABSENT_COMMIT})
    for cwd in (folder.parent, folder):
        done = lit_hydra("check", str(path), cwd=cwd, check=False)
        assert done.returncode == 1 and "neither the run's folder nor the current one has it" in done.stdout
        assert not sprung.exists()
    head = run("git", "rev-parse", "HEAD", cwd=folder).stdout.strip()
    sprung.unlink(missing_ok=True)
    found = lines(altered({"source__root": str(folder), "source__commit": head}))["commit here"]
    assert found.verdict and not sprung.exists()
    (folder / "evil.sh").write_text("changed")  # what a status would have to look at
    there = {"cwd": str(folder), "script": str(folder / "train.py"), "task_file": str(folder / "train.py")}
    (folder / "train.py").touch()
    entry = {f"entry__{key}": value for key, value in there.items()}
    path = altered({"source__root": str(folder), "source__commit": head, **entry})
    assert str(folder) in lit_hydra("rerun", str(path), "--dry-run", cwd=folder.parent).stdout
    assert not sprung.exists()


def test_odd_roots_are_no_trouble(altered: Callable[..., Path], tmp_path: Path) -> None:
    for root in ("", ".", "\0", "/dev/null", "x" * 5000, "-C", "//", str(tmp_path)):
        line = lines(altered({"source__root": root, "source__commit": ABSENT_COMMIT}))["commit here"]
        assert line.verdict is False


def test_paths_of_a_record_open_no_pipe_and_run_no_package(altered: Callable[..., Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ckpt")  # opening it would wait for ever
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    (package / "train.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    path = altered(
        {
            "lineage__0__checkpoint": str(tmp_path / "pipe.ckpt"),
            "config__resolved": {"ckpt_path": str(tmp_path / "pipe.ckpt")},
            "entry__module": "pack.train",
            "entry__cwd": str(tmp_path),
        },
        "second",
    )
    found = lines(path)
    assert found["lineage"].verdict is False and found["entry"].verdict
    assert not (tmp_path / "sprung").exists()


def test_errors_are_one_line_and_end_with_2(tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("hello")
    (tmp_path / "a\nb\x1b.ckpt").write_text("")
    torch.save({}, tmp_path / "bare.ckpt")
    hostile(tmp_path / "bad.ckpt", run_id=[HOSTILE])
    (tmp_path / "folder").mkdir()
    for name in ("no.ckpt", "text.ckpt", "a\nb\x1b.ckpt", "bare.ckpt", "bad.ckpt", "folder", "no://x", ""):
        for more in ([], ["--lineage"], ["--json"]):
            done = lit_hydra("check", name, *more, cwd=tmp_path, check=False)
            assert (done.returncode, done.stdout) == (2, ""), name
            assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
            assert done.stderr[:-1].isprintable()


# --- for a person


@pytest.mark.parametrize("columns", [60, 80, 160])
@pytest.mark.parametrize("arguments", [["second.ckpt"], ["third.ckpt", "--lineage"]])
def test_on_a_terminal(app: App, columns: int, arguments: list[str]) -> None:
    code, shown = on_terminal("check", *arguments, cwd=app.folder, columns=columns)
    assert code == (0 if "--lineage" in arguments else 1)
    codes = {code for part in shown.split("\x1b[")[1:] for code in part.partition("m")[0].split(";")}
    assert codes <= {"0", "1", "31", "32", "33", "36"}, "the terminal's own colours"
    plain = without_colours(shown)
    assert "\x1b" not in plain and max(map(len, plain.split("\n"))) <= max(columns, 80)
    piped = lit_hydra("check", *arguments, cwd=app.folder, check=False, env={"LC_ALL": "C.UTF-8"}).stdout
    assert set(plain.split()) >= {word for word in piped.split() if len(word) < 20}
    assert "\x1b" not in on_terminal("check", *arguments, cwd=app.folder, NO_COLOR="1", TERM="dumb")[1]


def test_help_teaches_by_examples(tmp_path: Path) -> None:
    text = lit_hydra("check", "--help", cwd=tmp_path).stdout
    assert "Examples:\n    lit-hydra check last.ckpt" in text and "--lineage" in text
    assert max(map(len, text.split("\n"))) <= 80


def test_neither_torch_nor_lightning_is_imported(app: App) -> None:
    code = """if True:
        import sys
        from lit_hydra_bridge import check, read_record
        from lit_hydra_bridge.reload.lineage import lineage_of
        check("third.ckpt")
        lineage_of(read_record("third.ckpt"))
        heavy = {"torch", "lightning", "pytorch_lightning", "numpy", "rich", "fsspec", "hydra"}
        print(heavy & set(sys.modules), "net" in sys.modules)
    """
    assert run(sys.executable, "-c", code, cwd=app.folder).stdout.strip() == "set() False"

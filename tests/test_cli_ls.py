"""`lit-hydra ls`: its tables on wide and narrow terminals, what it chooses, and what it prints for programs."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from lit_hydra_bridge import read_sweep
from lit_hydra_bridge.sweep.folder import JobFolder
from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome, Slot
from tests.support import lit_hydra, on_terminal, run
from tests.sweep_support import SweepApp, outcomes, until

HOSTILE = "[bold red]x[/] \x1b[31mred\x1b]0;title\x07\x1b[2J \x9b1A\r\n\u202egnp\u2028 :smile: {z} 重み"
SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")
TASK = """
    if cfg.x == "fail":
        raise ValueError("it is broken")
    hold()
    return cfg.y * 2
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> SweepApp:
    """Two sweeps, `multirun/a` and, later, `multirun/b`, and a single run, `outputs/one`."""
    app = SweepApp.create(tmp_path_factory.mktemp("ls") / "app", "x: a\ny: 1\nopt: {lr: 1, name: sgd}\n")
    app.task(TASK)
    app.sweep("x=a,fail", "opt.lr=0.1,0.01", out=app.folder / "multirun" / "a", returncode=None)
    app.sweep("y=1,2,3", "opt.lr=0.5", out=app.folder / "multirun" / "b")
    run(*app.command()[:2], "y=7", "hydra.run.dir=outputs/one", cwd=app.folder)
    return app


def written(folder: Path, count: int, **changes: Any) -> Path:
    """Write the jobs of a sweep as our launchers do, without running any."""
    for number in range(count):
        slot = Slot(devices=("0",), threads=4)
        attempt = Attempt(started=1.77e9, ended=1.77e9 + 37 * (number + 1), outcome=Outcome.COMPLETED, slot=slot)
        known = {
            "overrides": (f"model.encoder.hidden_size={2**number}", f"optimizer.lr={10.0**-number}", f"n={number}"),
            "attempts": (attempt,),
            "return_value": number / 7,
            "metrics": {
                "val/accuracy": number / 3,
                "train_loss": 1e9 * number,
                "val_loss": number / 7,
                "grad_norm": 5.0,
            },
            "checkpoints": {"best": f"{folder}/{number}/checkpoints/epoch=1-step=46.ckpt"},
        }
        JobFolder(folder / str(number)).write(JobState(number=number, sweep="s", **{**known, **changes}))
    return folder


def ls(*arguments: str, cwd: Path) -> str:
    """Return what a program gets to read."""
    return lit_hydra("ls", *arguments, cwd=cwd).stdout


def shown(*arguments: str, cwd: Path, columns: int) -> list[str]:
    """Return the lines that a terminal shows, without their colours; none may be wider than it is."""
    status, text = on_terminal("ls", *arguments, cwd=cwd, columns=columns)
    assert status == 0, text
    plain = SEQUENCE.sub("", text)
    assert "\x1b" not in plain.replace("\x1b[K", "").replace("\r", ""), "nothing but colours drives the terminal"
    return plain.rstrip("\n").split("\n")


# --- the jobs of a sweep


@pytest.mark.parametrize("columns", [80, 200])
def test_a_sweeps_jobs_on_a_terminal(app: SweepApp, columns: int) -> None:
    lines = shown("multirun/a", cwd=app.folder, columns=columns)
    assert re.fullmatch(r"multirun/a  2 completed, 2 failed  lit_local  \d{4}-\d\d-\d\d \d\d:\d\d", lines[0])
    assert lines[2].split() == ["job", "x", "lr", "outcome", "value", "time", "reason"]
    assert lines[3].split()[:5] == ["#0", "a", "0.1", "completed", "2"]
    assert lines[5].split()[:4] == ["#2", "fail", "0.1", "failed"] and lines[5].endswith("ValueError: it is broken")
    assert all(cell_len(line) <= columns for line in lines)


@pytest.mark.parametrize("columns", [20, 40, 80, 120, 200, 400])
def test_a_table_fits_its_terminal_and_says_what_has_no_room(tmp_path: Path, columns: int) -> None:
    written(tmp_path / "s", 4, checkpoints={"best": "/x.ckpt"}, monitors={"val_loss": "min"})
    lines = shown("s", cwd=tmp_path, columns=columns)
    table = lines[2:7]
    assert all(cell_len(line) <= columns for line in table)
    assert [line.split()[0] for line in table[1:]] == ["★", "#1", "#2", "#3"]
    there = table[0].split()
    hidden = next((line for line in lines if line.startswith(" no room for")), "")
    wanted = ["val/accuracy", "train_loss", "val_loss", "grad_norm", "checkpoint"]
    if columns >= 80:
        assert all((name in there) != (name in hidden) for name in wanted)
    assert bool(hidden) == (columns < 120)
    if columns == 200:
        assert there == ["job", "hidden_size", "lr", "n", "outcome", "value", *wanted[:4], "time", "checkpoint"]
    assert lines[-2:] == ["best: job 0 (lowest value 0)", "  /x.ckpt"], "a path is shown whole"


def test_nothing_from_outside_drives_the_terminal(tmp_path: Path) -> None:
    attempt = Attempt(started=0, ended=1, outcome=Outcome.FAILED, reason=HOSTILE)
    changes = {"overrides": (f"name='{HOSTILE}'", f"{HOSTILE}=1"), "attempts": (attempt,), "metrics": {HOSTILE: 1.0}}
    sweep = written(tmp_path / "a\x1b[31m\u202eb", 2, **changes, checkpoints={"best": HOSTILE})
    for arguments in ([], [sweep.name], [sweep.name, "--columns", "*"], [".", "--jobs"]):
        for columns in (80, 300):
            _, text = on_terminal("ls", *arguments, cwd=tmp_path, columns=columns)
            plain = SEQUENCE.sub("", text).replace("\r\x1b[K", "")
            assert plain.replace("\n", "").isprintable(), plain
    _, text = on_terminal("ls", "--where", "`\x1b[31m`=1", cwd=tmp_path)
    assert "\x1b" not in text and "there is no '\\x1b[31m'" in text
    for wish in ("--json", "--csv"):
        _, text = on_terminal("ls", sweep.name, wish, cwd=tmp_path)
        assert "\x1b" not in text.replace("\r\x1b[K", "") and "\u202e" not in text


def test_a_terminal_without_unicode_gets_ascii(tmp_path: Path) -> None:
    written(tmp_path / "s", 2, monitors={"val_loss": "min"})
    done = lit_hydra("ls", "s", cwd=tmp_path, env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert done.stdout.isascii() and "* #0" in done.stdout


# --- choosing


def test_filter_sort_columns_and_limit(app: SweepApp) -> None:
    def table(*arguments: str) -> list[list[str]]:
        return [line.split() for line in ls("multirun/a", *arguments, cwd=app.folder).split("\n")[2:] if line]

    assert [line[0] for line in table("--where", "lr<0.1")] == ["job", "#1", "#3"]
    assert [line[0] for line in table("--where", "outcome=completed", "--sort", "-opt.lr,number")] == [
        "job",
        "#0",
        "#1",
    ]
    assert table("--columns", "number,lr,outcome", "--sort", "lr")[:2] == [
        ["job", "lr", "outcome"],
        ["#1", "0.01", "completed"],
    ]
    assert table("--columns", "+attempts,-time,-reason")[0] == ["job", "x", "lr", "outcome", "value", "attempts"]
    assert table("--limit", "3")[-1] == ["…", "and", "1", "more"]
    assert table("--columns", "started", "--limit", "1")[1][0].startswith("20")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["multirun/a", "--where", "lrr>1"], "there is no 'lrr': did you mean 'lr'?"),
        (["multirun/a", "--where", "lr>"], "expected comparisons such as"),
        (["multirun/a", "--sort", "speed"], "there is no 'speed'"),
        (["multirun/a", "--columns", "number,speed"], "there is no 'speed'"),
        (["multirun/nope"], "there is no such folder"),
        (["multirun/a", "--json", "--csv"], "only one of them"),
        (["multirun/a", "--watch"], "--watch shows a table on a terminal"),
        (["multirun/a", "--limit", "0"], "--limit"),
    ],
)
def test_what_makes_no_sense_is_one_error(app: SweepApp, arguments: list[str], said: str) -> None:
    done = lit_hydra("ls", *arguments, cwd=app.folder, check=False)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr and done.stdout == ""


def test_nothing_found_is_an_answer(app: SweepApp, tmp_path: Path) -> None:
    done = lit_hydra("ls", cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "no sweep and no run in .\n")
    done = lit_hydra("ls", "multirun/a", "--where", "lr>1", cwd=app.folder, check=False)
    assert done.returncode == 1 and done.stderr == "no job matches --where 'lr>1' in multirun/a\n"


# --- several


def test_sweeps_and_runs_are_listed_newest_first(app: SweepApp) -> None:
    lines = ls(cwd=app.folder).rstrip("\n").split("\n")
    assert lines[0].split() == ["when", "what", "folder", "outcome", "best", "or", "last", "overrides"]
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines[1:]]
    assert [row[1:4] for row in cells] == [
        ["run", "outputs/one", "unknown"],
        ["sweep", "multirun/b", "3 completed"],
        ["sweep", "multirun/a", "2 completed, 2 failed"],
    ]
    assert cells[0][-1] == "y=7" and cells[1][-1] == "y" and cells[2][-1] == "x, opt.lr"
    assert len(ls("--limit", "1", cwd=app.folder).rstrip("\n").split("\n")) == 3
    assert [line.split()[3] for line in ls("outputs", "multirun/b", cwd=app.folder).split("\n")[1:3]] == [
        "outputs/one", "multirun/b",
    ]  # fmt: skip


def test_jobs_of_all_sweeps_in_one_table(app: SweepApp) -> None:
    lines = [line.split() for line in ls("multirun", "--where", "lr>=0.1", cwd=app.folder).split("\n") if line]
    assert lines[0][:5] == ["job", "y", "lr", "x", "outcome"]
    assert [line[0] for line in lines[1:]] == [f"multirun/{name}" for name in ("b/0", "b/1", "b/2", "a/0", "a/2")]
    rows = list(csv.DictReader(io.StringIO(ls("--csv", "--sort", "job", cwd=app.folder))))
    assert [row["job"] for row in rows][-1] == "multirun/b/2" or len(rows) == 8
    assert {row["job"] for row in rows} >= {"outputs/one", "multirun/a/3"}


# --- for programs


def test_csv_is_what_results_csv_holds(app: SweepApp) -> None:
    assert ls("multirun/a", "--csv", cwd=app.folder) == (app.folder / "multirun/a/results.csv").read_text()
    text = ls("multirun/a", "--csv", "--columns", "number,lr", "--sort", "-number", "--limit", "2", cwd=app.folder)
    assert text == "number,opt.lr\n3,0.01\n2,0.1\n"


def test_json_holds_everything(app: SweepApp) -> None:
    data = json.loads(ls("--json", cwd=app.folder))
    assert [Path(sweep["folder"]).name for sweep in data["sweeps"]] == ["b", "a"] and data["problems"] == []
    job = data["sweeps"][1]["jobs"][3]
    assert (job["number"], job["outcome"], job["varying"]) == (3, "failed", {"x": "fail", "opt.lr": 0.01})
    assert job["attempts"][0]["reason"] == job["reason"] == "ValueError: it is broken"
    assert [run["overrides"] for run in data["runs"]] == [["y=7"]]
    chosen = json.loads(ls("multirun/a", "--json", "--where", "lr<0.1", "--columns", "number,x", cwd=app.folder))
    assert chosen["sweeps"][0]["jobs"] == [{"number": 1, "x": "a"}, {"number": 3, "x": "fail"}]


def test_json_has_words_for_what_json_has_no_numbers_for(tmp_path: Path) -> None:
    written(tmp_path / "s", 1, return_value=float("nan"), metrics={"loss": float("inf")})
    job = json.loads(ls("s", "--json", cwd=tmp_path))["sweeps"][0]["jobs"][0]
    assert (job["value"], job["metrics"]) == ("NaN", {"loss": "Infinity"})


def test_what_cannot_be_read_is_named_once(app: SweepApp, tmp_path: Path) -> None:
    sweep = Path(shutil.copytree(app.folder / "multirun" / "a", tmp_path / "sweep"))
    (sweep / "1" / "job.json").write_text("{")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "job.json").write_text('{"somebody": "else"}')
    for arguments in (["sweep"], [], ["sweep", "--json"], ["sweep", "--csv"], [".", "sweep", "--jobs"]):
        done = lit_hydra("ls", *arguments, cwd=tmp_path)
        assert done.stderr.count("job.json") == 1 and done.stderr.startswith("Can't be read: "), arguments
        assert done.stderr.count("\n") == 1
    assert [line.split()[0] for line in ls("sweep", cwd=tmp_path).split("\n")[3:7]] == ["#0", "#1", "#2", "#3"]


def test_nothing_heavy_is_imported(app: SweepApp) -> None:
    code = (
        "import sys\nfrom lit_hydra_bridge.cli import cli\n"
        "try: cli(['ls', 'multirun/a'], standalone_mode=False)\nexcept SystemExit: pass\n"
        "print('LOADED', *({'torch', 'lightning', 'numpy', 'hydra', 'omegaconf', 'pandas'} & set(sys.modules)))"
    )
    assert run("python", "-c", code, cwd=app.folder, env=_path()).stdout.splitlines()[-1] == "LOADED"


def _path() -> dict[str, str]:
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def test_columns_are_completed(app: SweepApp) -> None:
    def completed(*words: str) -> list[str]:
        env = {
            "_LIT_HYDRA_COMPLETE": "bash_complete",
            "COMP_WORDS": "\n".join(["lit-hydra", *words]),
            "COMP_CWORD": str(len(words)),
        }
        return [line.partition(",")[2] for line in run(_tool(), cwd=app.folder, env=env).stdout.split()]

    assert completed("ls", "multirun/a", "--sort", "o") == ["opt.lr", "outcome"]
    assert completed("ls", "multirun/a", "--sort", "x,-at") == ["x,-attempts"]
    assert completed("ls", "multirun/a", "--columns", "x,va") == ["x,value"]
    assert completed("ls", "nowhere", "--columns", "va") == []


def _tool() -> str:
    return str(Path(sys.executable).with_name("lit-hydra"))


# --- while it runs


def test_it_is_watched_until_its_end(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app", "x: a\ny: 1\n")
    app.task(TASK)
    app.write("hold", "")
    with app.launch(*app.command("x=fail,1,2")) as launched:
        until(lambda: list(outcomes(app.out).values()) == ["failed", None, None], "one failed and two run")
        line = ls("out", cwd=app.folder).split("\n")[0]
        assert line.startswith("out  2 running, 1 failed  lit_local")
        watched: list[tuple[int, str]] = []
        watcher = threading.Thread(target=lambda: watched.append(on_terminal("ls", "out", "--watch", cwd=app.folder)))
        watcher.start()
        watcher.join(3)
        assert watcher.is_alive(), "it goes on while the sweep does"
        (app.folder / "hold").unlink()
        launched.wait()
        watcher.join(60)
    ((status, text),) = watched
    picture, _, rest = SEQUENCE.sub("", text).rpartition("\x1b[?1049l")
    assert status == 0 and "out  2 running, 1 failed" in picture
    assert "out  2 completed, 1 failed" in rest, "what there was in the end stays"
    assert read_sweep(app.out).outcomes == {"failed": 1, "completed": 2}

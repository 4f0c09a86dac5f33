"""What came out of a sweep, read from its folder: of every launcher, while it runs, moved, and damaged."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lit_hydra_bridge
from lit_hydra_bridge import read_sweep
from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.results.exports import csv_text, sweep_dict
from lit_hydra_bridge.results.fields import Fields
from lit_hydra_bridge.results.find import find_results
from lit_hydra_bridge.results.overrides import parsed, split, varying
from lit_hydra_bridge.results.report.data import Choice, page_data
from lit_hydra_bridge.results.row import JobRow
from lit_hydra_bridge.results.sweep_results import SweepResults
from lit_hydra_bridge.sweep.folder import JobFolder
from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome
from tests.support import App, lit_hydra, run
from tests.sweep_support import SweepApp, outcomes, until

TASK = """
    if cfg.x == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if cfg.x == "fail":
        raise ValueError("it is broken\\nand here are details")
    hold()
    return {"text": "done", "none": None}.get(cfg.x, cfg.y * 2)
"""
TRAIN = """
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger
    from hydra.core.hydra_config import HydraConfig

    here = HydraConfig.get().runtime.output_dir
    best = ModelCheckpoint(dirpath=f"{here}/checkpoints", monitor="val_loss", save_last=True)
    t = trainer(logger=CSVLogger(here, name="csv"), callbacks=[best], max_epochs=2)
    torch.manual_seed(cfg.seed)
    t.fit(Net(lr=cfg.model.lr), data(), data())
    return t.callback_metrics["val_loss"]
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> SweepApp:
    """Six jobs of a plain app, of which two do not complete."""
    app = SweepApp.create(tmp_path_factory.mktemp("swept"), "x: a\ny: 1\nz: 0\n")
    app.task(TASK)
    retry = "hydra.launcher.max_retries=1"
    app.sweep("x=a,text,none,fail,kill,1e-3", "y=2.5", "+z2=null", retry, returncode=None)
    return app


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trainings by lit_local in `ours`, and the same by Hydra's own launcher in `basic`."""
    app = App.create(tmp_path_factory.mktemp("trained") / "app")
    app.script(TRAIN)
    for launcher, out in (("lit_local", "ours"), ("basic", "basic")):
        app.run("-m", f"hydra/launcher={launcher}", "model.lr=0.5,0.001", f"hydra.sweep.dir={out}")
    return app.folder


@pytest.fixture
def copied(swept: SweepApp, tmp_path: Path) -> Path:
    """A copy of the sweep's folder, to be damaged."""
    return Path(shutil.copytree(swept.out, tmp_path / "copy"))


# --- sweeps of ours


def test_a_sweep_is_read_whole(swept: SweepApp) -> None:
    results = read_sweep(swept.out)
    assert (results.name, results.launcher, results.is_running, results.problems) == ("out", "lit_local", False, ())
    assert "hydra/launcher=lit_local" in results.command and results.cwd == str(swept.folder)
    assert [row.number for row in results.rows] == list(range(6))
    assert [row.outcome for row in results.rows] == list(outcomes(swept.out).values())
    assert results.outcomes == {"completed": 4, "failed": 1, "killed": 1}
    assert results.override_keys == ["x"]
    assert [row.varying["x"] for row in results.rows] == ["a", "text", "none", "fail", "kill", 0.001]
    assert [row.value for row in results.rows] == [5.0, None, None, None, None, 5.0]
    assert [row.return_value for row in results.rows] == [5.0, "done", None, None, None, 5.0]
    assert [len(row.attempts) for row in results.rows] == [1, 1, 1, 2, 2, 1]


def test_a_job_that_failed_says_why(swept: SweepApp) -> None:
    failed, killed = read_sweep(swept.out).rows[3:5]
    assert failed.reason == "ValueError: it is broken" and "SIGKILL" in killed.reason
    first, second = failed.attempts
    assert first.outcome == second.outcome == "failed" and first.threads == 1 and first.host
    assert failed.started == first.started and failed.ended == second.ended
    assert failed.duration_s == pytest.approx((first.duration_s() or 0) + (second.duration_s() or 0))
    assert failed.config() == {"x": "fail", "y": 2.5, "z": 0, "z2": None}
    with pytest.raises(ResultsError, match="job 3 has no checkpoint"):
        failed.load_model()


def test_results_csv_is_in_the_folder_at_the_end(swept: SweepApp) -> None:
    text = (swept.out / "results.csv").read_text(encoding="utf-8")
    assert text == read_sweep(swept.out).to_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["x"] for row in rows] == ["a", "text", "none", "fail", "kill", "0.001"]
    assert rows[0]["value"] == "5.0" and rows[1]["value"] == "done" and rows[2]["value"] == ""
    assert rows[3]["reason"] == "ValueError: it is broken" and rows[0]["started"].endswith("+00:00")
    assert not list(swept.out.glob("*.tmp"))


def test_the_best_job(trained: Path) -> None:
    results = read_sweep(trained / "ours")
    best = results.best("val_loss")
    assert best.varying == {"model.lr": 0.5}, "the mode is what ModelCheckpoint says"
    assert results.best().number == results.best("val_loss", mode="min").number == 0
    assert results.best("val_loss", mode="max").number == 1
    assert best.checkpoint is not None and best.checkpoint.is_file()
    assert best.checkpoints["monitor"] == "val_loss" and best.checkpoints["mode"] == "min"
    assert best.value == pytest.approx(best.metrics["val_loss"])
    assert best.config().model.decay == 0.5 and best.config(resolve=True).model == {"lr": 0.5, "decay": 0.5}
    with pytest.raises(ResultsError, match="say mode='min' or mode='max'"):
        results.best("loss")
    with pytest.raises(ResultsError, match="expected 'min' or 'max'"):
        results.best("loss", mode="minimum")
    with pytest.raises(ResultsError, match=r"no job has a metric 'nope'; metrics that there are: .*val_loss"):
        results.best("nope", mode="min")


def test_the_best_jobs_model(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(trained))
    model = read_sweep(trained / "ours").best("val_loss").load_model()
    assert type(model).__name__ == "Net" and model.hparams.lr == 0.5


def test_a_frame_of_it(trained: Path) -> None:
    frame = read_sweep(trained / "ours").to_pandas()
    assert list(frame["model.lr"]) == [0.5, 0.001] and frame["val_loss"].dtype == float
    assert frame["started"].dt.tz is not None and list(frame["outcome"]) == ["completed"] * 2
    assert frame.sort_values("val_loss").iloc[0]["number"] == 0


def test_without_pandas_it_is_said(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ResultsError, match="pip install pandas"):
        read_sweep(trained / "ours").to_pandas()


def test_a_sweep_that_was_moved_finds_its_checkpoints(trained: Path, tmp_path: Path) -> None:
    for name in ("ours", "basic"):
        moved = Path(shutil.copytree(trained / name, tmp_path / name / "else where"))
        shutil.move(trained / name, trained / f"{name}-away")
        try:
            rows = read_sweep(moved).rows
        finally:
            shutil.move(trained / f"{name}-away", trained / name)
        assert all(row.checkpoint and row.checkpoint.is_file() and moved in row.checkpoint.parents for row in rows)


# --- sweeps of others


def test_what_another_launcher_leaves_is_shown(trained: Path) -> None:
    ours, basic = read_sweep(trained / "ours"), read_sweep(trained / "basic")
    assert (basic.launcher, basic.problems, basic.is_running) == ("basic", (), False)
    assert [row.varying for row in basic.rows] == [row.varying for row in ours.rows]
    assert [row.overrides for row in basic.rows] == [row.overrides for row in ours.rows]
    for mine, its in zip(ours.rows, basic.rows, strict=True):
        assert its.metrics["val_loss"] == pytest.approx(mine.metrics["val_loss"])
        assert its.checkpoint is not None and mine.checkpoint is not None
        assert its.checkpoint.relative_to(its.folder) == mine.checkpoint.relative_to(mine.folder)
        assert (its.outcome, its.attempts, its.value) == ("completed", (), None)
        assert its.started and its.ended and its.duration_s == its.ended - its.started > 0
    assert basic.best("val_loss").number == 0 and basic.best("val_loss").config().model.lr == 0.5


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_other_launchers_of_hydra(launcher: str, tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task("return cfg.x")
    command = app.command("x=3,1", "hydra.sweep.subdir=job_${hydra.job.override_dirname}")
    command[command.index("hydra/launcher=lit_local")] = f"hydra/launcher={launcher}"
    run(*[text for text in command if "n_jobs" not in text], cwd=app.folder)
    results = read_sweep(app.out)
    assert (results.launcher, results.problems) == (launcher, ())
    assert [(row.number, row.varying, row.folder.name) for row in results.rows] == [
        (0, {"x": 3}, "job_x=3"),
        (1, {"x": 1}, "job_x=1"),
    ]
    assert results.rows[0].config() == {"x": 3}
    assert find_results(str(app.folder)).sweeps == [str(app.out)]
    (app.out / "multirun.yaml").unlink()  # as sweepers leave it that do not save their config
    assert find_results(str(app.folder)).sweeps == [str(app.out)] and read_sweep(app.out).launcher == launcher


def test_a_single_run_is_found(trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained / "basic" / "0", tmp_path / "outputs" / "2026-01-31" / "12-00-00"))
    hydra = folder / ".hydra" / "hydra.yaml"
    hydra.write_text(hydra.read_text().replace("mode: MULTIRUN", "mode: RUN"))
    found = find_results(str(tmp_path))
    assert (found.sweeps, found.runs) == ([], [str(folder)])


# --- while it runs, and when it is ended


def test_a_sweep_that_runs_and_one_whose_launcher_died(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app", "x: a\ny: 1\n")
    app.task(TASK)
    app.write("hold", "")
    with app.launch(*app.command("x=fail,1,2,3")) as launched:
        until(lambda: list(outcomes(app.out).values()) == ["failed", None, None], "one failed and two run")
        running = read_sweep(app.out)
        assert running.is_running and [row.outcome for row in running.rows] == ["failed", "running", "running"]
        assert running.rows[1].duration_s is not None and running.rows[1].ended is None
        assert [row.number for row in running.running] == [1, 2] and running.problems == ()
        launched.signal(signal.SIGKILL)
        launched.wait()
        until(lambda: not read_sweep(app.out).is_running, "the folder is let go")
    orphaned = read_sweep(app.out).rows[1]
    assert (orphaned.outcome, orphaned.reason) == ("interrupted", "its launcher has ended, and it has left no word")
    assert not (app.out / "results.csv").exists()


def test_an_interrupted_sweep_has_its_table_too(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app", "x: a\ny: 1\n")
    app.task(TASK)
    app.write("hold", "")
    with app.launch(*app.command("x=1,2,3")) as launched:
        until(lambda: len(outcomes(app.out)) == 2, "two run")
        launched.signal(signal.SIGINT)
        launched.wait()
    rows = list(csv.DictReader((app.out / "results.csv").open(encoding="utf-8")))
    assert [row["outcome"] for row in rows] == ["interrupted"] * 2


def test_the_table_can_be_switched_off_and_writes_over_nobody_elses(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task("return cfg.x")
    app.sweep("x=1", "hydra.launcher.results_csv=false")
    assert not (app.out / "results.csv").exists()
    app.write("out/results.csv", "my,own,table\n")
    ended = app.sweep("x=1", "hydra.launcher.resume=false")
    assert (app.out / "results.csv").read_text() == "my,own,table\n"
    assert "written by something else" in ended.output and ended.returncode == 0
    ended = app.sweep("x=1", "hydra.launcher.results_csv=1", returncode=None)
    assert "hydra.launcher.results_csv=1: expected true or false" in ended.output


# --- damaged folders


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a state that was cut off": lambda out: _cut(out / "1" / "job.json"),
    "a state of zeros": lambda out: (out / "1" / "job.json").write_bytes(b"\0" * 100),
    "a state of another form": lambda out: (out / "1" / "job.json").write_text("[1]"),
    "a state nested too deep": lambda out: (out / "1" / "job.json").write_text("[" * 100_000),
    "a state of a later version": lambda out: (out / "1" / "job.json").write_text('{"format": 99}'),
    "a state that is a folder": lambda out: _folder_instead(out / "1" / "job.json"),
}


def _folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_damaged_state_leaves_is_shown_and_named_once(copied: Path, damage: str) -> None:
    DAMAGES[damage](copied)
    results = read_sweep(copied)
    assert [row.number for row in results.rows] == list(range(6))
    damaged = results.rows[1]
    assert (damaged.varying, damaged.outcome) == ({"x": "text"}, "unknown"), "what Hydra has left is read instead"
    assert [problem.partition(":")[0] for problem in results.problems] == [str(copied / "1" / "job.json")]
    assert "\n" not in results.problems[0] and len(results.problems[0]) < 500
    assert results.rows[0] == read_sweep(copied).rows[0]


def test_a_folder_damaged_in_every_way_is_still_read(copied: Path) -> None:
    (copied / ".sweep" / "sweep.json").write_text("{")
    (copied / "multirun.yaml").write_text("a: [")
    (copied / "1" / "job.json").unlink()
    (copied / "1" / ".hydra" / "overrides.yaml").write_bytes(b"\xff\xfe\0")
    (copied / "2" / "job.json").unlink()
    (copied / "2" / ".hydra" / "hydra.yaml").write_text("- 1")
    (copied / "3" / "checkpoints").mkdir()
    (copied / "3" / "job.json").unlink()
    (copied / "3" / "checkpoints" / "last.ckpt").write_bytes(b"PK\x03\x04 cut off")
    (copied / "stray").mkdir()
    (copied / "stray" / "notes.txt").write_text("mine")
    shutil.copytree(copied / "0", copied / "0~1")
    results = read_sweep(copied)
    assert [row.number for row in results.rows] == list(range(6)), "what was kept aside is no job"
    assert [Path(problem.split(": ")[0]).name for problem in sorted(results.problems)] == [
        "sweep.json", "overrides.yaml", "hydra.yaml", "last.ckpt", "multirun.yaml",
    ]  # fmt: skip
    assert results.launcher == "lit_local", "the jobs' own files say it too"


def test_metrics_csv_is_read_from_its_end(trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained / "basic" / "0", tmp_path / "0"))
    table = next(folder.rglob("metrics.csv"))
    head, rows = "epoch,step,val_loss,late\n", "".join(f"0,{step},{step / 7},\n" for step in range(20_000))
    table.write_text(head + "0,0,1.0,42\n" + rows + "1,20000,0.25,\n1,20001,0.1")  # half a line, as it is being written
    (found,) = read_sweep(tmp_path).rows
    assert found.metrics["val_loss"] == 0.25 and "step" not in found.metrics


@pytest.mark.parametrize("name", ["missing", "empty", "file.txt"])
def test_what_is_no_sweep_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(ResultsError, match=r"there is no such folder|not the folder of a sweep"):
        read_sweep(tmp_path / name)


# --- overrides


@pytest.mark.parametrize("text", ["+a.b=1", "++a.b=1", "a.b=1"])
def test_an_overrides_key(text: str) -> None:
    assert split(text) == ("a.b", "1")


def test_what_varies_is_told_by_all_jobs() -> None:
    jobs = [["a=1", "b=x", "~c"], ["a=2", "b=x"], ["a=1", "b=x", "d@e=f=g"]]
    assert varying(jobs) == [
        {"a": 1, "~c": True, "d@e": None},
        {"a": 2, "~c": None, "d@e": None},
        {"a": 1, "~c": None, "d@e": "f=g"},
    ]
    assert varying([["a=1", "b=x"]]) == [{"a": 1, "b": "x"}] and varying([]) == []


_SCALARS = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.from_regex(r"[+-]?[0-9_.e+-]{1,8}", fullmatch=True),
    st.from_regex(r"(?i)null|true|false|nan|inf|-inf", fullmatch=True),
    st.from_regex(r"[A-Za-z_][\w./-]{0,8}", fullmatch=True),
    st.text(st.characters(codec="utf-8", exclude_characters="\\'\0\r\n$"), max_size=8).map(lambda text: f"'{text}'"),
)


@given(_SCALARS)
@example("00")
@example("1_0.e5")
@example("'it\\'s'")
def test_a_value_is_what_hydra_reads(text: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        value = OverridesParser.create().parse_override(f"key={text}").value()
    except HydraException:
        return
    if not isinstance(value, str | int | float | bool | None):
        return
    mine = parsed(text.strip())
    both_nan = isinstance(value, float) and math.isnan(value) and isinstance(mine, float) and math.isnan(mine)
    assert both_nan or (mine == value and type(mine) is type(value))


# --- for other programs

_TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
_VALUES = st.one_of(_TEXTS, st.integers(), st.floats(allow_nan=False), st.booleans(), st.none())
_NAMES = st.one_of(_TEXTS, st.sampled_from(["outcome", "value", "number", "loss"]))


@st.composite
def _results(draw: Any) -> SweepResults:
    keys = draw(st.lists(_NAMES, max_size=3, unique=True))
    rows = tuple(
        JobRow(
            number=number,
            folder=Path("/sweep") / str(number),
            varying={key: draw(_VALUES) for key in keys},
            return_value=draw(_VALUES),
            metrics=draw(st.dictionaries(_NAMES, st.floats(), max_size=3)),
            reason=draw(_TEXTS),
        )
        for number in range(draw(st.integers(1, 4)))
    )
    return SweepResults(folder=Path("/sweep"), name="sweep", launcher="lit_local", rows=rows)


_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+|inf|nan|Infinity)(e[-+]?\d+)?", re.IGNORECASE | re.ASCII).fullmatch


def _as_it_was(cell: str) -> str:
    """As docs/results.md says it."""
    return re.sub(r"^'(?=[-=+@\t\r\n])", "", cell)


@given(_results())
def test_a_csv_holds_each_value_under_a_name_of_its_own(results: SweepResults) -> None:
    fields = Fields(results.rows).all
    names, *rows = csv.reader(io.StringIO(results.to_csv(), newline=""))
    assert not [cell for row in (names, *rows) for cell in row if cell[:1] in tuple("=+-@\t\r\n") and not _NUMBER(cell)]
    assert list(map(_as_it_was, names)) == [each.name for each in fields] and len(set(names)) == len(names)
    for row, cells in zip(results.rows, rows, strict=True):
        for each, cell in zip(fields, cells, strict=True):
            value = each.get(row)
            if value is None:
                assert cell == ""
            elif isinstance(value, str):
                assert _as_it_was(cell) == value or cell == value
            else:
                assert json.loads(cell) == value or value != value


@given(_results())
def test_json_holds_all_of_it(results: SweepResults) -> None:
    read = json.loads(json.dumps(sweep_dict(results)))
    assert [job["return_value"] for job in read["jobs"]] == [row.return_value for row in results.rows]
    assert [job["varying"] for job in read["jobs"]] == [row.varying for row in results.rows]
    assert read["launcher"] == "lit_local"


def test_an_override_and_a_metric_of_one_name_stay_apart() -> None:
    row = JobRow(number=0, folder=Path("/s/0"), varying={"loss": "mse", "outcome": 1}, metrics={"loss": 0.5, "x": 1.0})
    fields = Fields([row])
    values = {each.name: each.get(row) for each in fields.all}
    assert (values["loss"], values["metric.loss"], values["override.outcome"]) == ("mse", 0.5, 1)
    assert fields.named("metric.loss").get(row) == 0.5 and fields.named("metric.x").get(row) == 1.0
    assert csv_text([row], [fields.named("loss"), fields.named("x")]) == "loss,x\nmse,1.0\n"


@pytest.mark.parametrize(
    "text, cell",
    [
        ("=1+1", "'=1+1"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("@SUM(1)", "'@SUM(1)"), ("-x", "'-x"),
        ("\t=1", "'\t=1"), ("\r=1", "'\r=1"), ("-2+3", "'-2+3"), ("--1", "'--1"), ("-1_0", "'-1_0"),
        ("-1", "-1"), ("+1.5e-3", "+1.5e-3"), ("-.5", "-.5"), ("-inf", "-inf"), ("a=1", "a=1"), ("'x", "'x"), ("", ""),
    ],
)  # fmt: skip
def test_a_spreadsheet_runs_nothing_of_a_csv(text: str, cell: str) -> None:
    row = JobRow(number=0, folder=Path("/s/0"), varying={text or "x": 1}, metrics={f"@{text}": 1.0}, reason=text)
    fields = Fields([row])
    (names, values) = csv.reader(io.StringIO(csv_text([row], fields.all), newline=""))
    assert values[-1] == cell and names[1] == (cell or "x")
    assert f"'@{text}" in names


def test_it_is_a_public_name_that_costs_nothing_to_import() -> None:
    assert lit_hydra_bridge.read_sweep is read_sweep and "read_sweep" in lit_hydra_bridge.__all__
    code = "import sys; from lit_hydra_bridge import read_sweep; print(*sys.modules)"
    loaded = set(run(sys.executable, "-c", code, cwd=Path("/")).stdout.split())
    assert not loaded & {"torch", "hydra", "omegaconf", "pandas", "numpy", "rich", "yaml", "lightning"}


# --- which job is the best


def _judged(folder: Path, values: list[float], **more: Any) -> Path:
    for number, value in enumerate(values):
        attempt = Attempt(started=1.77e9, ended=1.77e9, outcome=Outcome.COMPLETED)
        metrics = {"val_acc": value, "best.val_acc": value, "test_loss": value}
        known = {"attempts": (attempt,), "return_value": value, "metrics": metrics, **more}
        JobFolder(folder / str(number)).write(JobState(number=number, sweep="s", overrides=(f"x={number}",), **known))
    return folder


@pytest.mark.parametrize("monitors", [{}, {"other": "min"}, {"val_acc": "max", "test_loss": "min"}])
def test_where_nothing_says_which_end_is_best_no_job_is(tmp_path: Path, monitors: dict[str, str]) -> None:
    folder = _judged(tmp_path / "s", [0.2, 0.9, 0.5], monitors=monitors)
    said = lit_hydra("ls", "s", cwd=tmp_path).stdout
    assert "★" not in said and "nothing says whether a low or a high value is good" in said
    with pytest.raises(ResultsError, match="say mode='min' or mode='max'"):
        read_sweep(folder).best()
    assert page_data(read_sweep(folder), Choice(), print)["mode"] is None, "nor is it guessed from val_acc's name"


@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_a_callback_monitors_and_the_task_returns_is_best_at_its_own_end(tmp_path: Path, mode: str) -> None:
    values = [0.5, float("inf"), 0.9, float("nan"), float("-inf"), 0.2]
    folder = _judged(tmp_path / "s", values, monitors={"val_acc": mode})
    number = {"min": 5, "max": 2}[mode]
    assert f"★ #{number}" in lit_hydra("ls", "s", cwd=tmp_path).stdout
    results = read_sweep(folder)
    assert results.best().number == results.best("best.val_acc").number == number
    assert page_data(results, Choice(), print)["mode"] == mode
    with pytest.raises(ResultsError, match="no job has a finite number"):
        read_sweep(_judged(tmp_path / "t", [float("inf")], monitors={"val_acc": mode})).best(mode=mode)


@pytest.mark.parametrize("mode", [None, "min"])
def test_a_metric_that_no_job_has_is_named_with_those_there_are(tmp_path: Path, mode: str | None) -> None:
    with pytest.raises(ResultsError, match=r"no job has a metric 'val/nope'; .*val_acc, best.val_acc, test_loss"):
        read_sweep(_judged(tmp_path / "s", [0.2, 0.9])).best("val/nope", mode=mode)


# --- notebooks


def test_a_notebook_shows_a_short_line_and_a_table() -> None:
    hostile = "<script>alert(1)</script>\x1b[31m"
    rows = tuple(
        JobRow(
            number=number,
            folder=Path("/x"),
            overrides=(f"m={hostile}",) * 1000,
            varying={hostile: hostile * 1000, "lr": 0.1},
            outcome="completed",
            value=math.nan,
            metrics={f"metric {index} <b>": 0.5 for index in range(1000)},
        )
        for number in range(200)
    )
    results = SweepResults(folder=Path("/x"), name=hostile, launcher="lit_local", rows=rows)
    for shown in (repr(results), repr(rows[0]), repr(JobRow(number=1, folder=Path("/x"), overrides=("a=1",)))):
        assert len(shown) <= 200 and "\n" not in shown and "\x1b" not in shown
    assert "200 jobs" in repr(results) and "a=1" in repr(JobRow(number=1, folder=Path("/x"), overrides=("a=1",)))
    table = results._repr_html_()
    assert "<script" not in table and "<b>" not in table and "\x1b" not in table and len(table) < 100_000
    assert table.count("<tr>") == 51 and "150 more" in table and "<th>lr</th>" in table and "<td>0.1</td>" in table
    assert "0 jobs" in SweepResults(folder=Path("/x"), name="empty", launcher="")._repr_html_()

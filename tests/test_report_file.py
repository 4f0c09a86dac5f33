"""What goes into a report, and how `lit-hydra report` answers: without a browser."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lit_hydra_bridge.results.read import read_sweep
from lit_hydra_bridge.results.report.curves import Curve, read_curves, thinned
from lit_hydra_bridge.results.report.page import write_report
from lit_hydra_bridge.results.report.slots import timeline
from lit_hydra_bridge.results.row import JobAttempt, JobRow
from tests.support import lit_hydra, run
from tests.swept_folder import START, page_data_of, write_job, write_sweep

pytest.importorskip("plotly", reason="a report needs plotly: pip install 'lit-hydra-bridge[report]'")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "sweep", 12, epochs=5)


def data_of(folder: Path) -> Any:
    """Return the data of the report of a sweep."""
    path = folder.parent / "report.html"
    write_report(read_sweep(folder), path)
    return page_data_of(path.read_text(encoding="utf-8"))


# --- what is in it


def test_jobs_metrics_and_times(sweep: Path) -> None:
    data = data_of(sweep)
    assert data["keys"] == ["optimizer", "lr", "net.depth"]
    assert [metric["name"] for metric in data["metrics"]] == ["return value", "val_loss", "val_acc"]
    assert [metric["mode"] for metric in data["metrics"]] == ["min", "min", "max"]
    assert data["metric"] == 0 and data["mode"] == "min"
    assert [job["outcome"] for job in data["jobs"]].count("failed") == 1
    failed = data["jobs"][10]
    assert failed["metrics"] == [None, None, None] and failed["reason"] == "RuntimeError: loss is not finite"
    assert [attempt["outcome"] for attempt in failed["attempts"]] == ["killed", "failed"]
    assert data["lanes"] == ["gpu 0", "gpu 1", "gpu 2", "gpu 3"]
    assert data["time"]["attempts"] == 13 and data["time"]["started"] == START
    assert data["notes"] == []


def test_configs_are_told_apart_by_what_differs(sweep: Path) -> None:
    configs = data_of(sweep)["configs"]
    assert configs["keys"] == ["optimizer", "lr", "net.depth"]
    values = [configs["texts"][at] for at in configs["jobs"][4]]
    assert values == ["sgd", values[1], "2"] and float(values[1]) == pytest.approx(
        10 ** (-4 + 4 * (4 * 0.618 % 1)), 1e-3
    )


def test_a_config_that_is_only_in_the_checkpoint_or_nowhere(sweep: Path) -> None:
    shutil.rmtree(sweep / "3" / ".hydra")
    (sweep / "3" / "best.ckpt").unlink()
    data = data_of(sweep)
    assert data["configs"]["jobs"][3] is None and data["configs"]["jobs"][2] is not None
    (note,) = data["notes"]
    assert note.endswith("the config of job 3")


def test_damaged_half_written_and_foreign_files_are_named_once_and_all_else_is_shown(sweep: Path) -> None:
    (sweep / "1" / "job.json").write_text('{"format": 1, "num', encoding="utf-8")
    (sweep / "2" / ".hydra" / "config.yaml").write_text("a: [1, 2", encoding="utf-8")
    half = (sweep / "4" / "csv" / "metrics.csv").read_text(encoding="utf-8")
    (sweep / "4" / "csv" / "metrics.csv").write_text(half[:-20], encoding="utf-8")
    (sweep / "5" / "csv" / "metrics.csv").write_bytes(b"\x00\xff\xfe garbage\n\x00\x80,,,,\n")
    (sweep / "6" / "csv" / "metrics.csv").unlink()
    (sweep / "6" / "csv" / "metrics.csv").symlink_to("nowhere")
    (sweep / "7" / "events.out.tfevents.1.box").write_bytes(b"no event file" * 40)
    (sweep / "foreign" / "deep").mkdir(parents=True)
    (sweep / "foreign" / "notes.txt").write_text("mine", encoding="utf-8")
    data = data_of(sweep)
    assert len(data["jobs"]) == 12
    assert len(data["notes"]) == len(set(data["notes"]))
    for path in ("1/job.json", "2/.hydra/config.yaml", "6/csv/metrics.csv", "7/events.out.tfevents.1.box"):
        assert sum(str(sweep / path) in note for note in data["notes"]) == 1, path
    points = {(one["job"], one["name"]): len(one["y"]) for one in data["curves"]["series"]}
    assert points[0, 0] == 5 and points[4, 0] in (4, 5)
    assert {job for job, _ in points} >= {0, 1, 2, 3, 4, 7} and not {5, 6} & {job for job, _ in points}


def test_curves_of_several_files_of_a_job_are_one_and_the_newer_file_tells(sweep: Path) -> None:
    (sweep / "0" / "csv" / "version_1").mkdir()
    later = sweep / "0" / "csv" / "version_1" / "metrics.csv"
    later.write_text("step,val_loss\n249,0.5\n299,0.25\n", encoding="utf-8")
    os.utime(later, (START * 2, START * 2))
    data = data_of(sweep)
    first = data["curves"]["series"][0]
    assert data["curves"]["names"][first["name"]] == "val_loss"
    assert first["step"] == [49, 99, 149, 199, 249, 299] and first["y"][-2:] == [0.5, 0.25]


def test_a_job_in_the_folder_of_another_keeps_its_curves_to_itself(sweep: Path) -> None:
    write_job(sweep / "0" / "inner", 50, epochs=5, slots=4)
    shutil.rmtree(sweep / "0" / "csv")
    results = read_sweep(sweep)
    rows = [row for row in results.rows if row.number in (0, 50)] or results.rows
    curves = read_curves(rows, lambda _: None)
    assert [len(each) for each in curves.of_jobs] == [0, 2] or len(rows) != 2


def test_numbers_that_json_lacks_reach_the_page(sweep: Path) -> None:
    text = (sweep / "0" / "job.json").read_text(encoding="utf-8")
    start = text.index('"val_loss"')
    (sweep / "0" / "job.json").write_text(
        text[:start] + '"val_loss": NaN, "top": Infinity, "low": -Infinity, "x"' + text[start + 10 :], encoding="utf-8"
    )
    data = data_of(sweep)
    names = [metric["name"] for metric in data["metrics"]]
    values = dict(zip(names, data["jobs"][0]["metrics"], strict=True))
    assert (values["val_loss"], values["top"], values["low"]) == ("NaN", "Infinity", "-Infinity")


def test_secrets_in_overrides_configs_commands_and_reasons_are_taken_out(tmp_path: Path) -> None:
    secret, token = "9fQ2-not-for-you", "hf_0123456789abcdefghijKLMN"
    folder = write_sweep(tmp_path / "sweep", 2, overrides=(f"db.password={secret}", f"+note={token}"))
    for number, extra in enumerate(("a", "b")):
        with (folder / str(number) / ".hydra" / "config.yaml").open("a", encoding="utf-8") as file:
            file.write(f"db:\n  password: {secret}\n  pin_token: {4242424 + number}\n")
            file.write(f"note: {token}{extra}\ntext: 'with {secret} in it {extra}'\n")
    data = data_of(folder)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert secret not in text and token not in text and "424242" not in text
    assert "db.password=<redacted>" in data["jobs"][0]["overrides"]


def test_the_data_can_not_end_the_element_that_it_stands_in(tmp_path: Path) -> None:
    hostile = "</script><!--<script>\u2028\u2029&amp;\ud800"
    folder = write_sweep(tmp_path / "sweep", 2, overrides=(f"name={hostile}",))
    job = folder / "1" / "job.json"
    job.write_text(job.read_text(encoding="utf-8").replace("name=", "other="), encoding="utf-8")
    data = data_of(folder)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    inside = text.partition('id="data">')[2].partition("</script>")[0]
    assert data["jobs"][0]["overrides"][-1] == f"name={hostile}"
    assert inside.isascii() and not set("<>&") & set(inside)


# --- curves


def test_thinning_keeps_peaks_ends_and_gaps() -> None:
    values = [1.0] * 10_000
    values[5_123], values[7_001] = 99.0, -99.0
    values[2_000:2_500] = [float("nan")] * 500
    curve = Curve(name="x", steps=[float(i) for i in range(10_000)], values=values, epochs=None)
    thin = thinned(curve, 200)
    assert 100 <= len(thin.values) <= 202
    assert thin.steps[0] == 0 and thin.steps[-1] == 9_999 and thin.steps == sorted(thin.steps)
    assert {99.0, -99.0} <= set(thin.values) and any(value != value for value in thin.values)
    assert thinned(thin, 300) is thin


def test_tensorboards_own_files_are_read_and_without_tensorboard_it_is_said(sweep: Path) -> None:
    pytest.importorskip("tensorboard", reason="what writes and reads event files is not installed")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(sweep / "0" / "tb")) as writer:
        for step in range(3):
            writer.add_scalar("epoch", step, step * 10)
            writer.add_scalar("from/tensorboard", step / 4, step * 10)
            writer.add_scalar("new_style", step / 2, step * 10, new_style=True)
            writer.add_text("words", "no number", step)
    data = data_of(sweep)
    names = data["curves"]["names"]
    series = {names[one["name"]]: one for one in data["curves"]["series"] if one["job"] == 0}
    assert series["from/tensorboard"]["y"] == [0, 0.25, 0.5] and series["from/tensorboard"]["step"] == [0, 10, 20]
    assert series["from/tensorboard"]["epoch"] == [0, 1, 2]
    assert series["new_style"]["y"] == [0, 0.5, 1]
    assert "words" not in names and "words/text_summary" not in names
    done = without("tensorboard", sweep, "-o", "other.html")
    notes = page_data_of((sweep.parent / "other.html").read_text(encoding="utf-8"))["notes"]
    assert done.returncode == 0 and len(notes) == 1 and "pip install tensorboard" in notes[0]


# --- slots


def rows_of(*spans: tuple[float, float | None], **more: Any) -> list[JobRow]:
    attempts = [JobAttempt(started=start, ended=end, **{"outcome": "completed", **more}) for start, end in spans]
    return [JobRow(number=i, folder=Path("x"), attempts=(one,)) for i, one in enumerate(attempts)]


def test_attempts_are_laid_out_on_as_few_slots_as_they_need() -> None:
    line = timeline(rows_of((0, 10), (0, 4), (4, 9), (10, 20)), now=100)
    assert line.lanes == ["slot 1", "slot 2"]
    assert [placed[0].lane for placed in line.of_jobs] == [0, 1, 1, 0]
    assert line.busy_s == 29 and line.span_s == 20 and line.utilisation == pytest.approx(29 / 40)


def test_the_pause_before_a_resumption_is_not_counted() -> None:
    line = timeline(rows_of((0, 10), (1000, 1010)), now=2000)
    assert line.span_s == 20 and line.utilisation == 1


def test_what_runs_is_drawn_up_to_now_and_what_has_no_end_is_not_drawn() -> None:
    running = rows_of((0, None), outcome="running")
    lost = [replace(rows_of((0, None), outcome="interrupted")[0], number=1)]
    line = timeline([*running, *lost], now=30)
    assert [len(placed) for placed in line.of_jobs] == [1, 0] and line.busy_s == 30


def test_shared_devices_and_several_hosts_are_told_apart() -> None:
    shared = timeline(rows_of((0, 9), (1, 9), devices=("0",)), now=10)
    assert shared.lanes == ["gpu 0 · 1", "gpu 0 · 2"]
    hosts = [*rows_of((0, 9), devices=("0", "1"), host="a"), *rows_of((0, 9), devices=("0", "1"), host="b")]
    assert timeline(hosts, now=10).lanes == ["a gpu 0,1", "b gpu 0,1"]


def test_nothing_says_when_the_jobs_ran() -> None:
    line = timeline([JobRow(number=0, folder=Path("x"))], now=10)
    assert line.lanes == [] and line.started is None


# --- the command


def test_it_writes_beside_the_jobs_and_replaces_its_own_file_but_no_other(sweep: Path) -> None:
    done = lit_hydra("report", "sweep", cwd=sweep.parent)
    assert Path(done.stdout.strip()) == sweep / "report.html"
    lit_hydra("report", "sweep", cwd=sweep.parent)
    mine = sweep / "mine.html"
    mine.write_text("my own", encoding="utf-8")
    refused = lit_hydra("report", "sweep", "-o", str(mine), cwd=sweep.parent, check=False)
    assert refused.returncode == 2 and "--force" in refused.stderr and mine.read_text(encoding="utf-8") == "my own"
    lit_hydra("report", "sweep", "-o", str(mine), "--force", cwd=sweep.parent)
    assert mine.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert not list(sweep.glob("*.tmp"))


def test_the_metric_and_its_better_end_are_the_users_choice(sweep: Path) -> None:
    lit_hydra("report", "sweep", "--metric", "val_acc", "--mode", "min", cwd=sweep.parent)
    data = page_data_of((sweep / "report.html").read_text(encoding="utf-8"))
    assert data["metrics"][data["metric"]]["name"] == "val_acc" and data["mode"] == "min"
    unknown = lit_hydra("report", "sweep", "--metric", "val_los", cwd=sweep.parent, check=False)
    assert unknown.returncode == 2
    assert "val_los" in unknown.stderr and "return value, val_loss, val_acc" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no such folder"),
        (["empty"], "not the folder of a sweep"),
        (["sweep/0"], "not the folder of a sweep"),
        (["sweep", "-o", "no/such/folder.html"], "there is no folder no/such"),
        (["sweep", "-o", "sweep"], "it is a folder"),
        (["sweep", "--mode", "best"], "'min', 'max'"),
        ([], "FOLDER"),
    ],
)
def test_what_can_not_be_done_is_one_error(tmp_path: Path, arguments: list[str], said: str) -> None:
    write_sweep(tmp_path / "sweep", 1)
    (tmp_path / "empty").mkdir()
    done = lit_hydra("report", *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.html"))


def without(library: str, sweep: Path, *arguments: str) -> Any:
    """Run the command where a library is not installed."""
    place = sweep.parent / "without" / library
    place.mkdir(parents=True, exist_ok=True)
    (place / "__init__.py").write_text("raise ImportError('not here')", encoding="utf-8")
    code = "import sys; from lit_hydra_bridge.cli import main; sys.argv[0] = 'lit-hydra'; main()"
    env = {"PYTHONPATH": str(place.parent)}
    return run(sys.executable, "-c", code, "report", str(sweep), *arguments, cwd=sweep.parent, env=env, check=False)


def test_without_plotly_it_says_how_to_get_it(sweep: Path) -> None:
    done = without("plotly", sweep)
    assert done.returncode == 2 and 'pip install "lit-hydra-bridge[report]"' in done.stderr
    assert not (sweep / "report.html").exists()


def test_open_shows_it_in_the_browser(sweep: Path) -> None:
    opener = sweep.parent / "bin" / "xdg-open"
    opener.parent.mkdir()
    opener.write_text(f'#!/bin/sh\necho "$1" > {sweep.parent}/opened\n', encoding="utf-8")
    opener.chmod(0o755)
    lit_hydra("report", "sweep", "--open", cwd=sweep.parent, env={"PATH": f"{opener.parent}:{os.environ['PATH']}"})
    assert (sweep.parent / "opened").read_text(encoding="utf-8").strip() == str(sweep / "report.html")


def test_tab_completes_the_metrics(sweep: Path) -> None:
    env = {
        "_LIT_HYDRA_COMPLETE": "bash_complete",
        "COMP_WORDS": "lit-hydra report sweep --metric val_",
        "COMP_CWORD": "4",
    }
    shown = lit_hydra(cwd=sweep.parent, env=env).stdout
    assert [line.partition(",")[2] for line in shown.split()] == ["val_loss", "val_acc"]

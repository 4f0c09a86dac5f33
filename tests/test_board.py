"""What a person sees of a sweep: every picture fits its terminal, and nothing from outside drives it."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from lit_hydra_bridge.progress import Progress
from lit_hydra_bridge.sweep.board.board import NoBoard, make_board, paused, print_summary
from lit_hydra_bridge.sweep.board.lines import (
    count_line,
    duration,
    ended_line,
    inert,
    job_output,
    retry_line,
    rough_duration,
    skipped_line,
    started_line,
    value_text,
)
from lit_hydra_bridge.sweep.board.live import LiveBoard
from lit_hydra_bridge.sweep.board.plain import PlainBoard
from lit_hydra_bridge.sweep.board.state import EndedRow, RunningRow, Snapshot
from lit_hydra_bridge.sweep.board.view import live_view, summary_view
from lit_hydra_bridge.sweep.job import Outcome

FOLDER = "/home/ada/project/multirun/2026-11-24/15-03-22"
HOSTILE = "[bold red]x[/] [link=http://evil]y[/link] \x1b]0;title\x07\x1b[2J\x9b1A\r\n\u202egnp\u2028 :smile: {z}"


def running(number: int, **changes: Any) -> RunningRow:
    progress = Progress(
        stage="train",
        epoch=3,
        max_epochs=20,
        step=14,
        steps=90,
        metrics={"val_acc": 0.9123, "loss": 0.3211, "val_loss": 0.4},
    )
    row = RunningRow(
        number=number,
        overrides=f"optimizer.lr={number / 100:g}, model.depth=4",
        slot="gpu 0, 2 threads",
        seconds=123.4,
        progress=progress,
    )
    return replace(row, **changes)


def ended(number: int, outcome: Outcome = Outcome.COMPLETED, **changes: Any) -> EndedRow:
    folder = f"{FOLDER}/{number}"
    row = EndedRow(
        number=number, overrides=f"lr={number}", outcome=outcome, seconds=3, folder=folder, log=f"{folder}/job.log"
    )
    return replace(row, **changes)


def failed(number: int, **changes: Any) -> EndedRow:
    return ended(number, Outcome.FAILED, **{"reason": "ValueError: boom", **changes})


def snapshot(**changes: Any) -> Snapshot:
    moment = Snapshot(
        folder=FOLDER,
        total=1000,
        completed=412,
        failed=1,
        waiting=584,
        elapsed_s=303,
        remaining_s=540,
        running=[running(417), running(418), running(419)],
        failures=[failed(7)],
    )
    return replace(moment, **changes)


def rendered(view: Any, width: int, **console: Any) -> str:
    """What a file gets; every escape sequence in it came from the text itself."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, **console).print(view, crop=False)
    return out.getvalue()


def live(moment: Snapshot, width: int = 80, height: int = 24) -> list[str]:
    lines = rendered(live_view(moment, width, height), width).removesuffix("\n").split("\n")
    assert len(lines) <= height
    for line in lines:
        assert cell_len(line) <= width, line
    return lines


def table_of(rows: list[EndedRow], width: int = 80, best: int | None = None, **more: Any) -> str:
    return rendered(summary_view(rows, width=width, best=best, **{"direction": "minimize", **more}), width)


@pytest.mark.parametrize("width", [80, 200])
def test_a_picture_has_what_matters(width: int) -> None:
    lines = live(snapshot(), width)
    text = "\n".join(lines)
    for part in (
        "15-03-22",
        "412 of 1000 done",
        "3 running",
        "1 failed",
        "584 waiting",
        "5 min 3 s",
        "about 9 min left",
    ):
        assert part in text
    row = next(line for line in lines if line.startswith(" #418"))
    for part in ("lr=4.18", "depth=4", "3/20", "14/90", "2 min 3 s", "val_acc 0.9123"):
        assert part in row
    assert re.search("━*╸?─+ 3/20", row)
    assert " #7  failed after 3 s  ValueError: boom" in text
    assert f"{FOLDER}/7/job.log" in text


def test_a_wide_terminal_shows_more() -> None:
    row = next(line for line in live(snapshot(), 200) if line.startswith(" #418"))
    for part in ("optimizer.lr=4.18, model.depth=4", "gpu 0, 2 threads", "loss 0.3211", "val_loss 0.4"):
        assert part in row
    assert re.search("━+╸?─+ 14/90", row)


def test_keys_lose_their_packages_only_where_they_stay_apart() -> None:
    row = running(1, overrides="model.encoder.first.lr=1, optimizer.lr=2, data.path=/a/b.c/d, and.more=1, x.y=3")
    assert "model.encoder.first.lr=1, o" in "\n".join(live(snapshot(running=[row])))
    row = running(1, overrides="model.encoder.first.lr=1, data.path=/a/b.c/d, and.more.and.more=3.5")
    assert " lr=1, path=/a/b.c/d" in "\n".join(live(snapshot(running=[row])))


def test_metrics_are_shown_whole_or_not_at_all() -> None:
    for width in range(80, 140):
        row = next(line for line in live(snapshot(), width) if line.startswith(" #418"))
        metrics = re.sub(r".*2 min 3 s", "", row).split()
        assert metrics == ["val_acc", "0.9123", "loss", "0.3211", "val_loss", "0.4"][: len(metrics)]


@pytest.mark.parametrize("height", [1, 2, 3, 5, 10, 24, 50])
@pytest.mark.parametrize("width", [1, 5, 20, 40, 80, 200])
def test_no_terminal_is_too_small(width: int, height: int) -> None:
    rows = [running(number) for number in range(64)]
    live(snapshot(running=rows, failures=[failed(n) for n in range(30)], notice="stopping: 12 s left"), width, height)


def test_what_does_not_fit_is_counted() -> None:
    lines = live(snapshot(running=[running(number) for number in range(64)], failures=[], failed=0))
    shown = sum(line.lstrip().startswith("#") for line in lines) - 1
    assert len(lines) == 24
    assert lines[-1] == f" … and {64 - shown} more running"
    lines = live(snapshot(running=[running(number) for number in range(64)], failures=[failed(n) for n in range(30)]))
    shown = sum(bool(re.match(r" +#\d+ .*2 min 3 s", line)) for line in lines)
    assert f" … and {64 - shown} more running" in lines
    listed = [line for line in lines if "ValueError" in line]
    assert listed and listed[-1].startswith(" #29")
    assert f" failed  +{30 - len(listed)} more" in lines


def test_failures_leave_room_for_what_runs() -> None:
    for height, log in ((9, "/job.log"), (12, "/long" * 60)):
        text = "\n".join(live(snapshot(failures=[failed(n, log=log) for n in range(9)]), height=height))
        assert "#417" in text and "#419" in text and "more" in text


def test_a_long_log_path_can_be_read_in_full() -> None:
    log = "/scratch/" + "a-long-name/" * 12 + "job.log"
    assert log in "".join(line.removeprefix("    ") for line in live(snapshot(failures=[failed(1, log=log)])))


def test_the_attempt_and_the_state_are_shown_where_there_is_one() -> None:
    assert " try " not in "\n".join(live(snapshot()))
    lines = live(snapshot(running=[running(1, attempt=2), running(2, state="asked to end")]))
    assert re.search(r"#1 .* 2  ", next(line for line in lines if "#1 " in line))
    assert "asked to end" in next(line for line in lines if "#2 " in line)


def test_without_progress_there_are_no_empty_columns() -> None:
    text = "\n".join(live(snapshot(running=[running(1, progress=None)])))
    assert "epoch" not in text and "metrics" not in text
    assert "gpu 0, 2 threads" in text
    text = "\n".join(live(snapshot(running=[running(1, progress=None, state="ending")])))
    assert "ending" in text


@pytest.mark.parametrize(
    "progress",
    [
        Progress(),
        Progress(epoch=5, max_epochs=-1, step=3, steps=None),
        Progress(epoch=0, max_epochs=0, steps=0),
        Progress(epoch=99, max_epochs=3, step=99, steps=3),
        Progress(max_epochs=None, global_step=50, max_steps=100),
        Progress(epoch=float("nan"), step="x", metrics={"a": float("nan"), "b": None, "c": 10**400}),  # type: ignore[arg-type,dict-item]
        Progress(metrics=[1], stage=None),  # type: ignore[arg-type]
    ],
)
def test_any_progress_can_be_shown(progress: Progress) -> None:
    assert any("#1 " in line for line in live(snapshot(running=[running(1, progress=progress)]), 200))


def test_an_empty_sweep_has_a_picture() -> None:
    assert "0 of 0 done" in live(Snapshot(folder="", total=0))[0]


def test_hostile_text_is_inert_in_every_place() -> None:
    progress = Progress(stage=HOSTILE, metrics={HOSTILE: 1.0})
    row = running(1, overrides=HOSTILE, slot=HOSTILE, state=HOSTILE, progress=progress)
    bad = failed(2, reason=HOSTILE, log=HOSTILE, overrides=HOSTILE, folder=HOSTILE)
    good = ended(3, overrides=HOSTILE, return_value=HOSTILE, checkpoint=HOSTILE, metrics={HOSTILE: 1.0})
    texts = [
        rendered(live_view(snapshot(folder=HOSTILE, notice=HOSTILE, running=[row], failures=[bad]), 200, 50), 200),
        table_of([good, bad], width=400, best=3),
        *(started_line(row), ended_line(bad), ended_line(good), retry_line(bad, 2, 3), skipped_line(good)),
    ]
    for text in texts:
        assert not set(text) & set("\x1b\x07\x9b\r\u202e\u2028")
    for text in texts[:2]:
        assert "[bold red]x[/] [link=http://evil]y[/link]" in text
        assert ":smile:" in text


@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=300), number=st.floats(), width=st.integers(20, 220))
@example(text="❤️ 👩‍👩‍👧 日本語 ｗｉｄｅ", number=0.0, width=40)
def test_any_text_fits(text: str, number: float, width: int) -> None:
    progress = Progress(stage=text, epoch=3, max_epochs=20, metrics={text: number})
    row = running(1, overrides=text, slot=text, state=text, progress=progress, seconds=number)
    bad = failed(2, reason=text, log=text)
    lines = live(snapshot(folder=text, notice=text, running=[row], failures=[bad], elapsed_s=number), width)
    assert not set("".join(lines)) & {chr(code) for code in [*range(32), *range(127, 160)]}
    rows = [ended(3, overrides=text, return_value=text, metrics={text: number}, seconds=number)]
    for line in table_of(rows, width=width).split("\n"):
        assert cell_len(line) <= width


def test_letters_of_any_script_stay() -> None:
    row = running(1, overrides="größe=5, 名前=猫")
    assert "größe=5, 名前=猫" in "\n".join(live(snapshot(running=[row])))


def test_a_terminal_without_unicode_gets_ascii() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=out, width=80, color_system=None).print(live_view(snapshot(running=[running(1)] * 64), 80, 24))
    out.seek(0)
    assert "====" in out.read()


def test_the_summary_has_the_best_first_and_every_failure() -> None:
    rows = [
        ended(4, return_value=0.123, checkpoint=f"{FOLDER}/4/{'long/' * 30}best.ckpt", metrics={"acc": 0.5}),
        ended(2, return_value=0.5, attempts=2, metrics={"acc": 0.25}),
        failed(3),
        ended(5, Outcome.INTERRUPTED, log="/tmp/5.log"),
    ]
    text = table_of(rows, best=4)
    lines = text.split("\n")
    assert lines[0] == "2 completed, 1 failed, 1 interrupted"
    assert [re.findall(r"#\d", line)[0] for line in lines[3:7]] == ["#4", "#2", "#3", "#5"]
    assert "★ #4" in text and text.count("★") == 1
    assert "best: job 4 (lowest value 0.123)" in lines
    assert f"  {FOLDER}/4/{'long/' * 30}best.ckpt" in lines
    assert lines[lines.index("#3 failed after 3 s: ValueError: boom") + 1].strip() == f"{FOLDER}/3/job.log"
    assert lines[lines.index("#5 interrupted after 3 s") + 1].strip() == "/tmp/5.log"
    assert "attempts" in text and "acc" in lines[2]
    assert "attempts" not in table_of([rows[0]])
    assert "highest value" in table_of(rows, best=4, direction="maximize")


def test_a_long_summary_says_where_the_rest_is() -> None:
    rows = [*(ended(n, return_value=n) for n in range(1000)), *(failed(n) for n in range(1000, 1030))]
    text = table_of(rows, best=0, limit=20)
    assert text.count("completed ") == 20
    assert text.count("ValueError: boom") == 20
    assert f"… and {1030 - 40} more, all in {FOLDER}/*/job.json" in text
    assert "best: job 0" in text
    nested = [replace(row, folder=f"{FOLDER}/{row.number % 2}/{row.number}") for row in rows]
    assert f"{FOLDER}/**/job.json" in table_of(nested)


def test_the_best_job_is_shown_wherever_it_stands() -> None:
    assert "★ #29" in table_of([ended(n, return_value=n) for n in range(30)], best=29, limit=5)


def test_a_summary_of_nothing() -> None:
    assert "no jobs" in table_of([])


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_summary_table_fits(width: int) -> None:
    rows = [
        ended(n, overrides="a.b.c=1, " * 40, return_value=1e-9 * n, metrics={f"metric{i}": i for i in range(9)})
        for n in range(9)
    ]
    for line in table_of(rows, width=width, best=1).split("\n"):
        assert cell_len(line) <= width


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-3, "0.0 s"), (0, "0.0 s"), (0.4, "0.4 s"), (0.96, "1 s"), (12.2, "12 s"), (59.4, "59 s")),
        *((59.6, "1 min"), (184, "3 min 4 s"), (3599.7, "1 h"), (7500, "2 h 5 min"), (86399, "23 h 59 min")),
        *((273600, "3 d 4 h"), (float("nan"), "?"), (float("inf"), "?")),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def seconds_in(text: str) -> float:
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+) (\w+)", text))


@given(st.floats(0, 1e9))
def test_a_duration_is_true_to_its_smallest_unit(seconds: float) -> None:
    text = duration(seconds)
    assert re.fullmatch(r"0\.\d s|\d+ (s|min|h|d)( \d+ (s|min|h))?", text)
    small = 0.1 if seconds < 0.95 else 1 if seconds < 3599 else 60 if seconds < 86399 else 3600
    assert abs(seconds_in(text) - seconds) <= small
    assert seconds_in(rough_duration(seconds)) >= seconds - small


def test_estimates_are_rough() -> None:
    assert [rough_duration(s) for s in (1, 33, 58, 61, 500, 7499)] == [
        "5 s", "35 s", "1 min", "2 min", "9 min", "2 h 5 min",
    ]  # fmt: skip


def test_plain_lines_read_as_documented() -> None:
    row = RunningRow(number=3, overrides="lr=0.1", slot="gpu 0, 2 threads", seconds=0)
    assert started_line(row) == "#3 started: lr=0.1 (gpu 0, 2 threads)"
    assert started_line(replace(row, attempt=2)) == "#3 started (attempt 2): lr=0.1 (gpu 0, 2 threads)"
    assert ended_line(ended(3, seconds=12, return_value=0.912)) == "#3 completed in 12 s: 0.912"
    assert ended_line(ended(3, seconds=12)) == "#3 completed in 12 s"
    assert ended_line(failed(3)) == f"#3 FAILED after 3 s: ValueError: boom; log: {FOLDER}/3/job.log"
    assert ended_line(ended(3, Outcome.TIMED_OUT, log="")) == "#3 TIMED OUT after 3 s"
    assert retry_line(failed(3), 2, 3).startswith("#3 will be tried again (attempt 2 of 3); it failed after 3 s: Value")
    assert skipped_line(ended(4, return_value=0.9)) == "#4 was completed before: 0.9, not run again"
    moment = snapshot(total=40, completed=12, running=[running(1)] * 2, waiting=25)
    assert count_line(moment) == "12 of 40 done, 2 running, 1 failed, 25 waiting; 5 min 3 s so far, about 9 min left"


def test_values() -> None:
    values = (None, 0.1, 1 / 3, 7, True, "text", float("nan"), 10**400, 10**18)
    assert [value_text(value) for value in values] == [
        "", "0.1", "0.333333", "7", "True", "text", "nan", "a huge number", "1e+18",
    ]  # fmt: skip


def test_long_text_is_cut_before_it_costs_time() -> None:
    assert len(inert("é" * 10_000_000)) < 10_000


def test_of_a_jobs_output_only_colours_may_stay() -> None:
    line = "\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m\x1b[1A\x1b[?25l \x1b(Bplain\x9b2K\x1bc \x08tail\n"
    assert job_output(line, colours=True) == "\x1b[31mred\x1b[0m plain tail"
    assert job_output(line, colours=False) == "red plain tail"
    assert job_output(" 10%|#  |\r 20%|## |\r\n", colours=False) == " 20%|## |"


@given(st.text(alphabet=st.sampled_from("\x1b[]m0;1AJK\x07\x9b\\\r\n\u202e xé"), max_size=40))
def test_no_output_drives_a_terminal(line: str) -> None:
    assert not set(job_output(line, colours=False)) & set("\x1b\x07\x9b\r\n\u202e")
    kept = re.sub(r"\x1b\[[0-9;:]*m", "", job_output(line, colours=True))
    assert not set(kept) & set("\x1b\x07\x9b\r\n\u202e")


def test_the_plain_board_tells_what_happens(capsys: pytest.CaptureFixture[str]) -> None:
    board = PlainBoard()
    board.start()
    board.update(snapshot())
    board.started(running(3))
    board.retrying(failed(3), 2, 3)
    board.ended(failed(3))
    board.say("two\nlines \x1b[2J")
    board.output(3, "\x1b[31mhello\x1b[0m")
    with paused(board):
        pass
    board.update(snapshot(), force=True)
    board.stop()
    lines = capsys.readouterr().out.split("\n")
    stamp = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] "
    assert re.fullmatch(stamp + r"#3 started: optimizer.*", lines[0])
    assert re.fullmatch(stamp + r"#3 will be tried again \(attempt 2 of 3\).*", lines[1])
    assert re.fullmatch(stamp + r"#3 FAILED after.*/3/job\.log", lines[2])
    assert lines[3:6] == [lines[3], r"lines \x1b[2J", "#3| hello"]
    assert re.fullmatch(stamp + "412 of 1000 done, 3 running, .*", lines[6])
    assert lines[7:] == [""]


def test_the_plain_board_counts_once_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = PlainBoard()
    board.start()
    began = time.monotonic()
    for tenths in range(1500):
        monkeypatch.setattr(time, "monotonic", lambda tenths=tenths: began + tenths / 10)
        board.update(snapshot())
    assert capsys.readouterr().out.count("412 of 1000 done") == 2


def test_ten_thousand_skipped_jobs_are_twenty_one_lines(capsys: pytest.CaptureFixture[str]) -> None:
    board = PlainBoard()
    board.start()
    for number in range(10_000):
        board.skipped(ended(number, return_value=0.5))
        board.update(snapshot())
    board.started(running(10_000))
    board.stop()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 22
    assert lines[19].endswith("#19 was completed before: 0.5, not run again")
    assert lines[20].endswith("… and 9980 more jobs were completed before, not run again")


def everything(board: Any) -> None:
    board.start()
    for _ in range(3):
        board.update(snapshot(), force=True)
        board.started(running(1))
        board.ended(failed(1))
        board.retrying(failed(1), 2, 3)
        board.skipped(ended(2))
        board.say("é ☃ \udcff")
        board.output(1, "é ☃ \udcff")
        board.suspend()
        board.resume()
    board.stop()
    board.stop()


class Gone(io.StringIO):
    """A terminal whose window was closed."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize("kind", [LiveBoard, PlainBoard, NoBoard])
@pytest.mark.parametrize("error", [OSError(5, "EIO"), BrokenPipeError(), ValueError("closed"), BlockingIOError()])
def test_no_board_dies_with_its_terminal(
    kind: Callable[[], Any], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Gone(error)
    monkeypatch.setattr(sys, "stdout", stream)
    everything(kind())
    print_summary([failed(1)], best=None, direction="minimize")
    assert sys.stdout is stream


@pytest.mark.parametrize("kind", [LiveBoard, PlainBoard])
def test_no_board_dies_of_an_encoding(kind: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    everything(kind())
    stream.seek(0)
    assert r"\xe9 \u2603" in stream.read()


def test_no_board_needs_a_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    everything(make_board("auto"))
    everything(LiveBoard())


def test_a_picture_that_cannot_be_drawn_ends_no_sweep(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr("lit_hydra_bridge.sweep.board.view.live_view", lambda *_: 1 / 0)
    board = LiveBoard()
    everything(board)
    assert "can't be drawn" in caplog.text


def test_which_board_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_board("auto"), PlainBoard)
    assert isinstance(make_board("live"), LiveBoard)
    assert isinstance(make_board("none"), NoBoard)
    monkeypatch.setattr(sys, "stdout", Gone(OSError()))
    assert isinstance(make_board("auto"), LiveBoard)
    assert isinstance(make_board("plain"), PlainBoard)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_board("auto"), PlainBoard)
    with pytest.raises(ValueError, match="auto, live, plain or none"):
        make_board("fancy")


def test_updates_are_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    rows = [running(number) for number in range(64)]
    moment = snapshot(total=10_000, running=rows, failures=[failed(number) for number in range(5000)])
    board = LiveBoard()
    board.start()
    board.update(moment)

    def cost(times: int, **how: bool) -> float:
        began = time.process_time()
        for _ in range(times):
            board.update(moment, **how)
        return (time.process_time() - began) / times

    # The best of a few: others use these processors too.
    assert min(cost(20, force=True) for _ in range(3)) < 0.015
    assert min(cost(1000) for _ in range(3)) < 0.001
    board.stop()


class Screen:
    """As much of a terminal as rich needs: what is on it at the end, with all that has scrolled off."""

    def __init__(self, shown: str) -> None:
        self.lines, self.row, self.column, self.cursor = [""], 0, 0, True
        for piece in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+|\x1b", shown):
            self._take(piece)

    def _take(self, piece: str) -> None:
        assert piece != "\x1b", "an escape sequence that no picture needs"
        if piece == "\r":
            self.column = 0
        elif piece == "\n":
            self.row, self.column = self.row + 1, 0
            self.lines += [""] * (self.row + 1 - len(self.lines))
        elif piece.endswith("A") and piece.startswith("\x1b"):
            self.row = max(0, self.row - int(piece[2:-1]))
        elif piece == "\x1b[2K":
            self.lines[self.row] = ""
        elif piece in ("\x1b[?25l", "\x1b[?25h"):
            self.cursor = piece.endswith("h")
        elif not piece.startswith("\x1b"):
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + piece + line[self.column + len(piece) :]
            self.column += len(piece)
        else:
            assert piece.endswith("m"), f"{piece!r} moves more than a picture may"


def on_terminal(script: str, folder: Path, *, columns: int = 100, lines: int = 24) -> Screen:
    """Run a script on a pseudo-terminal of a given size; return what was left on it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    file = folder / "script.py"
    file.write_text("from tests.test_board import *\n" + textwrap.dedent(script), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(file)],
        cwd=Path(__file__).resolve().parents[1],
        env={**environment, "TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:  # Linux says EIO where the other side is closed
        pass
    os.close(master)
    screen = Screen(shown.decode().replace("\r\n", "\n"))
    assert process.wait(60) == 0, "\n".join(screen.lines)
    return screen


def test_a_live_board_on_a_terminal(tmp_path: Path) -> None:
    screen = on_terminal(
        """
        import logging, threading
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        stdout, stderr, handler = sys.stdout, sys.stderr, logging.root.handlers[0]
        board = make_board("auto")
        assert isinstance(board, LiveBoard)
        board.start()
        for number in range(5):
            board.update(snapshot(completed=number), force=True)
            assert threading.active_count() == 1
            print(f"printed {number}")
            print(f"complained {number}", file=sys.stderr)
            logging.warning("logged %s", number)
            board.output(number, f"\\x1b[2J\\x1b[31mhello\\x1b[0m {number}")
            board.suspend()
            assert (sys.stdout, sys.stderr, handler.stream) == (stdout, stderr, stdout)
            child = os.fork()
            if not child:
                board.stop()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            board.resume()
            assert sys.stdout is not stdout
        board.ended(failed(7, log="/" + "long/" * 40 + "job.log"))
        print("unfinished", end="")
        board.stop()
        assert (sys.stdout, sys.stderr, handler.stream) == (stdout, stderr, stdout)
        assert threading.active_count() == 1
        print("after")
        """,
        tmp_path,
    )
    assert screen.cursor
    text = "\n".join(screen.lines)
    for number in range(5):
        for words in (f"printed {number}", f"complained {number}", f"logged {number}", f"#{number}| hello {number}"):
            assert screen.lines.count(words) == 1, text
    assert re.search(r"#7 FAILED after 3 s: ValueError: boom; log: /(long/){40}job\.log\n", text)
    *_, header, bar, after = text.rstrip("\n").split("\n")
    assert "4 of 1000 done" in header and "5 min 3 s so far" in bar and after == "after"
    assert text.count("1000 done") == 1, "earlier pictures are gone"
    assert " #417" not in text, "nothing runs any more"
    assert "unfinished" in screen.lines


def test_a_board_that_is_forgotten_draws_in_no_child(tmp_path: Path) -> None:
    screen = on_terminal(
        """
        board = LiveBoard()
        board.start()
        board.update(snapshot(), force=True)
        child = os.fork()
        if not child:
            sys.stdout = sys.stderr = None
            board.update(snapshot(completed=1), force=True)
            board.say("from the child")
            board.stop()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        board.stop()
        """,
        tmp_path,
    )
    text = "\n".join(screen.lines)
    assert "from the child" not in text and "1 of 1000" not in text
    assert "412 of 1000 done" in text and screen.cursor


def test_many_lines_are_printed_in_order_and_once(tmp_path: Path) -> None:
    screen = on_terminal(
        """
        board = LiveBoard()
        board.start()
        for number in range(300):
            board.output(number % 3, f"line {number}")
            board.update(snapshot())
        board.stop()
        """,
        tmp_path,
    )
    assert [line for line in screen.lines if "line " in line] == [f"#{n % 3}| line {n}" for n in range(300)]


def test_the_summary_on_a_terminal_keeps_paths_whole(tmp_path: Path) -> None:
    screen = on_terminal(
        """
        rows = [ended(1, return_value=0.5, checkpoint="/" + "long/" * 40 + "best.ckpt"), failed(2)]
        print_summary(rows, best=1, direction="maximize")
        """,
        tmp_path,
    )
    assert "  /" + "long/" * 40 + "best.ckpt" in screen.lines
    assert f"  {FOLDER}/2/job.log" in screen.lines


def test_nothing_of_rich_is_imported_before_there_is_something_to_draw() -> None:
    code = (
        "import sys; from lit_hydra_bridge.sweep.board.board import make_board; make_board('plain').say('x'); "
        "sys.exit('rich' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

"""A sweep on a disk that is full, read-only or away for a while: no more than a job is lost, and nothing silently."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lit_hydra_bridge import files
from lit_hydra_bridge.errors import SweepFolderError
from lit_hydra_bridge.sweep.folder import JobFolder, SweepFolder
from lit_hydra_bridge.sweep.job import JobState
from lit_hydra_bridge.sweep.unwritten import Unwritten
from tests.sweep_support import SweepApp, job_states, outcomes, until
from tests.swept_folder import write_sweep


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small disk."""
    place, options = tmp_path / "disk", getattr(request, "param", "size=400k")
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


# Job 1 takes all that is left, be it bytes or inodes.
FILLS = """
note(f"ran {cfg.x}")
if cfg.x == 1 and not (HERE / "room").exists():
    number = 0
    try:
        while True:
            number += 1
            with open(DISK / f"filler-{number}", "wb", buffering=0) as file:
                while SIZE and file.write(b"0" * 512) == 512:
                    pass
    except OSError as error:
        assert error.errno == 28
    note("full")
return cfg.x
"""


def _app(tmp_path: Path, disk: Path) -> SweepApp:
    app = SweepApp.create(tmp_path / "app")
    has_bytes = os.statvfs(disk).f_blocks * os.statvfs(disk).f_frsize < 1 << 20
    app.task(FILLS, f"DISK, SIZE = Path({str(disk)!r}), {has_bytes}")
    return app


def _make_room(disk: Path) -> None:
    for path in disk.glob("filler-*"):
        path.unlink()


@pytest.mark.parametrize(
    "disk, method",
    [("size=400k", "fork"), ("size=400k", "spawn"), ("size=4m,nr_inodes=90", "fork")],
    indirect=["disk"],
)
def test_a_disk_that_is_full_for_a_while_costs_at_most_the_job_that_begins(
    tmp_path: Path, disk: Path, method: str
) -> None:
    app = _app(tmp_path, disk)
    command = app.command("x=range(6)", f"hydra.launcher.start_method={method}", out=disk / "out")
    with app.launch(*command) as launched:
        until(lambda: "it is tried again" in launched.output, "the launcher has met the full disk")
        _make_room(disk)
        launched.wait()
    ended = outcomes(disk / "out")
    unlucky = [number for number, outcome in ended.items() if outcome != "completed"]
    assert list(ended) == list(range(6)) and unlucky in ([], [0], [2]), "only one that began beside job 1"
    assert all(job_states(disk / "out")[x]["return_value"] == x for x in ended if x not in unlucky)
    assert [app.notes()[f"ran {x}"] for x in range(6) if x not in unlucky] == [1] * (6 - len(unlucky))
    assert "These files could not be written" not in launched.output
    assert (disk / "out" / "results.csv").read_text().count("completed") == 6 - len(unlucky)


def test_a_disk_that_stays_full_ends_with_how_to_go_on(tmp_path: Path, disk: Path) -> None:
    app = _app(tmp_path, disk)
    ended = app.sweep("x=range(6)", out=disk / "out", returncode=1)

    assert app.notes()["full"] == 1
    not_run = [x for x in range(6) if not app.notes()[f"ran {x}"]]
    assert not_run and all(f"#{x} FAILED" in ended.output for x in not_run), "they found no room"
    assert "#1 completed" in ended.output, "it told the launcher what it could not write"
    told = ended.output[ended.output.index("These files could not be written:") :]
    assert f"{disk}/out/1/job.json (No space left on device)" in told
    assert f"lit-hydra resume {disk}/out" in told

    _make_room(disk)
    app.write("room", "")
    assert app.resume(out=disk / "out").returncode == 0
    assert outcomes(disk / "out") == dict.fromkeys(range(6), "completed")
    assert [app.notes()[f"ran {x}"] for x in range(6)] == [1 + (x == 1) for x in range(6)], "only job 1's was lost"


def test_a_full_disk_at_the_launch_is_one_line(tmp_path: Path, disk: Path) -> None:
    app = _app(tmp_path, disk)
    app.sweep("x=0", out=disk / "out")
    with pytest.raises(OSError, match="No space"):
        for number in range(1000):
            (disk / f"filler-{number}").write_bytes(b"0" * 4096)
    ended = app.sweep("x=0", out=disk / "out", returncode=1)
    assert f"hydra.sweep.dir={disk}/out: it can't be written to now (No space left on device)" in ended.output
    assert "Traceback" not in ended.output
    _make_room(disk)
    app.sweep("x=0", out=disk / "out")


# --- the parts, where no disk can be mounted


@pytest.fixture(params=["ENOSPC", "EDQUOT", "EROFS", "EIO"])
def no_room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Each write fails as long as the list is not empty."""
    number, replace = getattr(errno, request.param), os.replace
    failing = [number]

    def replaced(source: str, target: str) -> None:
        if failing:
            raise OSError(failing[0], os.strerror(failing[0]))
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", replaced)
    return failing


def test_what_can_not_be_written_is_kept_and_written_later(tmp_path: Path, no_room: list[int]) -> None:
    said: list[str] = []
    unwritten, folder = Unwritten(said.append), JobFolder(tmp_path / "0")
    state = JobState(number=0, sweep="s", overrides=())
    unwritten.write_state(folder, state)
    unwritten.try_again()
    assert not folder.state_file.exists() and not list(folder.path.iterdir()), "no half file is left"
    assert len(said) == 1 and str(folder.state_file) in said[0] and os.strerror(no_room[0]) in said[0]
    no_room.clear()
    unwritten.settle()
    assert unwritten.left == [] and folder.read() == state


def test_what_is_newer_is_not_written_over(tmp_path: Path, no_room: list[int]) -> None:
    unwritten, folder = Unwritten(lambda text: None), JobFolder(tmp_path / "0")
    unwritten.write_state(folder, JobState(number=0, sweep="old", overrides=()))
    no_room.clear()
    folder.write(JobState(number=0, sweep="new", overrides=()))
    unwritten.forget(folder.state_file)
    unwritten.settle()
    assert (state := folder.read()) is not None and state.sweep == "new"


def test_a_sweeps_identity_that_can_not_be_written_is_our_error(tmp_path: Path, no_room: list[int]) -> None:
    failing, no_room[:] = list(no_room), []
    folder = SweepFolder(write_sweep(tmp_path / "sweep", 1))
    identity = folder.read_identity()
    assert identity is not None
    no_room[:] = failing
    with pytest.raises(SweepFolderError, match="make room"):
        folder.write_identity(identity)
    assert folder.read_identity() == identity, "what was there is still there"


def test_a_write_that_can_not_succeed_is_not_tried_again(tmp_path: Path) -> None:
    tries = []

    def write() -> None:
        tries.append(1)
        (tmp_path / "none" / "file").write_text("")

    with pytest.raises(FileNotFoundError):
        files.patiently(write)
    assert len(tries) == 1

"""Going on with a sweep: what is completed stays as it is, all else is run, and no folder is taken for another's."""

from __future__ import annotations

import base64
import functools
import json
import os
import shutil
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lit_hydra_bridge.results.read import read_sweep
from lit_hydra_bridge.sweep import kept_value
from lit_hydra_bridge.sweep.earlier import EarlierJobs
from lit_hydra_bridge.sweep.folder import JobFolder, SweepFolder
from lit_hydra_bridge.sweep.index import IndexedJob
from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome
from lit_hydra_bridge.sweep.kept_value import UnreadableValueError
from lit_hydra_bridge.sweep.returns import return_value
from lit_hydra_bridge.sweep.verdict import stored
from tests.sweep_support import SweepApp, job_states, outcomes

# What reaches a sweeper is written down, one line for each job.
RETURNS_PRELUDE = """
from dataclasses import dataclass

import numpy
import points
from hydra._internal.hydra import Hydra


@dataclass
class Local:
    x: float


VALUES = {
    "int": 3, "large": 2**70, "float": 0.1, "nan": float("nan"), "inf": -float("inf"), "text": "tëxt \\ud800",
    "bool": True, "none": None, "list": [1, [2.5, None]], "dict": {"a": {"b": [1]}}, "keys": {1: 2}, "tuple": (1, "a"),
    "numpy": numpy.float64(0.5), "array": numpy.arange(3), "module": points.Point(1, "a"), "script": Local(0.5),
}
multirun = Hydra.multirun


def noting_multirun(self, *args, **kwargs):
    returns = multirun(self, *args, **kwargs)
    lines = [f"{type(job.return_value).__name__} {job.return_value!r}" for batch in returns for job in batch]
    (HERE / "returned.txt").write_text("\\n".join(lines))
    return returns


Hydra.multirun = noting_multirun
"""
RETURNED = """\
int 3
int 1180591620717411303424
float 0.1
float nan
float -inf
str 'tëxt \\ud800'
bool True
NoneType None
list [1, [2.5, None]]
dict {'a': {'b': [1]}}
dict {1: 2}
tuple (1, 'a')
float64 np.float64(0.5)
ndarray array([0, 1, 2])
Point Point(x=1, y='a')
Local Local(x=0.5)"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_completed_jobs_returned_reaches_the_sweeper_unchanged(tmp_path: Path, method: str) -> None:
    """At first, and when the sweep is launched again, which runs nothing."""
    app = SweepApp.create(tmp_path / "app")
    app.write(
        "points.py",
        """
        from dataclasses import dataclass


        @dataclass
        class Point:
            x: int
            y: str
        """,
    )
    app.task("note(f'ran {cfg.x}'); return VALUES[cfg.x]", RETURNS_PRELUDE)
    names = "int,large,float,'nan','inf',text,bool,none,list,dict,keys,tuple,numpy,array,module,script"
    command = app.command(f"x={names}", f"hydra.launcher.start_method={method}")

    app.run(*command)
    first = (app.folder / "returned.txt").read_text()
    (app.folder / "returned.txt").unlink()
    again = app.run(*command)

    assert first == RETURNED
    assert (app.folder / "returned.txt").read_text() == first
    assert set(app.notes().values()) == {1} and len(app.notes()) == 16
    assert "16 completed (16 of them in an earlier launch)" in again.output


_PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text(st.characters())
_OTHER = st.binary() | st.complex_numbers() | st.fractions() | st.decimals()
VALUES = st.recursive(
    _PLAIN | _OTHER,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(st.integers() | st.booleans() | st.none(), inner)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=200)
@given(VALUES)
def test_any_return_value_comes_back_from_job_json(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    """Equal as repr shows it, which tells 1 from True and 0.0 from -0.0, and takes nan as equal to itself."""
    folder = JobFolder(tmp_path_factory.getbasetemp() / "job")
    folder.write(JobState(number=0, sweep="s", overrides=(), **stored(value)))

    state = folder.read()

    assert state is not None
    assert repr(return_value(state)) == repr(value)


COUNTED_BODY = """
note(f"ran {cfg.x}")
if (HERE / f"fail-{cfg.x}").exists():
    raise ValueError("no")
return cfg.x
"""


def counted_app(folder: Path) -> SweepApp:
    """An app that notes each run, and fails where there is a file `fail-…`."""
    app = SweepApp.create(folder)
    app.task(COUNTED_BODY)
    return app


def runs(app: SweepApp, count: int = 3) -> list[int]:
    """Return how often each job has run."""
    return [app.notes()[f"ran {x}"] for x in range(count)]


def test_failed_jobs_run_again(tmp_path: Path) -> None:
    app = counted_app(tmp_path / "app")
    app.write("fail-1", "")

    app.sweep("x=0,1,2", returncode=1)
    again = app.sweep("x=0,1,2", returncode=1)
    (app.folder / "fail-1").unlink()
    app.sweep("x=0,1,2")

    assert runs(app) == [1, 3, 1]
    assert "#1 failed" in again.output
    assert [attempt["outcome"] for attempt in job_states(app.out)[1]["attempts"]] == ["failed", "failed", "completed"]
    assert outcomes(app.out) == dict.fromkeys(range(3), "completed")


def _tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("other", ["overrides", "count", "program", "config"])
def test_another_sweeps_folder_is_refused(tmp_path: Path, other: str) -> None:
    """Nothing runs, and nothing in it changes."""
    app = counted_app(tmp_path / "app")
    app.task(COUNTED_BODY, name="other.py")
    app.write("conf/other.yaml", "x: 1")
    app.sweep("x=0,1")
    before = _tree(app.out)

    given, script = {
        "overrides": (["x=5,6"], "app.py"),
        "count": (["x=0,1,2"], "app.py"),
        "program": (["x=0,1"], "other.py"),
        "config": (["x=0,1", "--config-name=other"], "app.py"),
    }[other]
    done = app.sweep(*given, script=script, returncode=1)

    assert f"hydra.sweep.dir={app.out} is the folder of another sweep: it has the " in done.output.splitlines()[0]
    assert "Traceback" not in done.output
    assert _tree(app.out) == before
    assert app.notes() == {"ran 0": 1, "ran 1": 1}


@pytest.mark.parametrize("damage", ["garbage", "truncated", "newer", "attempts"])
def test_a_damaged_job_file_is_told_once_and_its_job_run_again(tmp_path: Path, damage: str) -> None:
    app = counted_app(tmp_path / "app")
    app.sweep("x=0,1,2")
    file = app.out / "1" / "job.json"
    whole = file.read_bytes()
    newer = json.dumps({**json.loads(whole), "format": 99}).encode()
    broken = json.dumps({**json.loads(whole), "attempts": [{"started": "x", "outcome": "flown away"}]}).encode()
    damaged = {
        "garbage": b"\xff\x00{",
        "truncated": whole[: len(whole) // 2],
        "newer": newer,
        "attempts": broken,
    }
    file.write_bytes(damaged[damage])

    again = app.sweep("x=0,1,2")

    (told,) = (line for line in again.output.splitlines() if str(file) in line)
    assert "the job is run again" in told
    assert runs(app) == [1, 2, 1]
    assert outcomes(app.out) == dict.fromkeys(range(3), "completed")
    assert str(file) not in app.sweep("x=0,1,2").output


@pytest.mark.parametrize("damage", [b"\xff{", b"[]", b'{"format": 99}'])
def test_a_damaged_sweep_file_is_one_clear_error(tmp_path: Path, damage: bytes) -> None:
    app = counted_app(tmp_path / "app")
    app.sweep("x=0,1")
    file = app.out / ".sweep" / "sweep.json"
    file.write_bytes(damage)

    launched = app.sweep("x=0,1", returncode=1)
    resumed = app.resume(returncode=2)

    for line in (launched.output.splitlines()[0], resumed.output.strip().removeprefix("Error: ")):
        assert line.startswith(f"{file}: ")
    assert "Traceback" not in launched.output + resumed.output
    assert len(resumed.output.splitlines()) == 1
    assert file.read_bytes() == damage
    assert runs(app, 2) == [1, 1]


def test_without_resume_all_run_again_and_old_folders_are_kept_aside(tmp_path: Path) -> None:
    """What was kept aside is not taken for a job's newest folder afterwards."""
    app = counted_app(tmp_path / "app")
    app.sweep("x=0,1,2")
    old = _tree(app.out / "0")

    app.sweep("x=0,1,2", "hydra.launcher.resume=false")
    assert runs(app) == [2, 2, 2]
    assert _tree(app.out / "0~1") == old
    assert len(job_states(app.out)[0]["attempts"]) == 1

    app.write("fail-0", "")
    app.sweep("x=0,1,2", "hydra.launcher.resume=false", returncode=1)
    assert (app.out / "0~2").is_dir()
    (app.folder / "fail-0").unlink()
    app.sweep("x=0,1,2")

    assert runs(app) == [4, 3, 3]
    assert outcomes(app.out) == dict.fromkeys(range(3), "completed")


@pytest.mark.parametrize("where", ["command", "config"])
def test_resume_leaves_alone_what_a_sweep_without_resume_has_completed(tmp_path: Path, where: str) -> None:
    """However often it is called."""
    app = counted_app(tmp_path / "app")
    if where == "config":
        app.write("conf/config.yaml", "x: 0\nhydra:\n  launcher:\n    resume: false")
    app.write("fail-1", "")
    app.sweep("x=0,1,2", *(["hydra.launcher.resume=false"] if where == "command" else []), returncode=1)

    app.resume(returncode=1)
    (app.folder / "fail-1").unlink()
    done = app.resume()

    assert "2 jobs completed, 1 begun and not completed." in done.output
    assert runs(app) == [1, 3, 1]


def _package(app: SweepApp) -> None:
    """The same app as a package with a `__main__`, a module of it, and a console script as pip writes them."""
    app.task(COUNTED_BODY, name="pkg/app.py")
    app.write("pkg/__init__.py", "")
    app.write("pkg/conf/__init__.py", "")
    app.write("pkg/conf/config.yaml", "x: 0")
    app.write("pkg/__main__.py", "from pkg.app import main\n\nmain()\n")
    script = app.write("bin/tool", f"#!{sys.executable}\nimport sys\n\nfrom pkg.app import main\n\nsys.exit(main())\n")
    script.chmod(0o755)


@pytest.mark.parametrize("how", ["script", "-m module", "-m package", "console script"])
def test_resume_runs_the_command_again_from_any_folder(tmp_path: Path, how: str) -> None:
    app = counted_app(tmp_path / "an app=here")
    _package(app)
    start = {
        "script": [sys.executable, "app.py"],
        "-m module": [sys.executable, "-m", "pkg.app"],
        "-m package": [sys.executable, "-m", "pkg"],
        "console script": [str(app.folder / "bin" / "tool")],
    }[how]
    home = app.folder if how == "script" else app.folder / "pkg"
    env = {"PYTHONPATH": str(app.folder)}
    (home / "fail-1").touch()
    app.run(*start, *app.command("x=0,1,2")[2:], env=env, returncode=1)
    (home / "fail-1").unlink()

    done = app.resume(env=env)

    (counts,) = (line for line in done.output.splitlines() if "begun and not completed" in line)
    assert counts == "2 jobs completed, 1 begun and not completed."
    assert outcomes(app.out) == dict.fromkeys(range(3), "completed")
    assert SweepApp(home).notes() == {"ran 0": 1, "ran 1": 2, "ran 2": 1}


def test_resume_finds_the_sweep_of_a_jobs_folder_and_takes_more_overrides(tmp_path: Path) -> None:
    """A dry run only prints the command, with all that it would be given."""
    app = counted_app(tmp_path / "app")
    app.write("fail-1", "")
    app.sweep("x=0,1,2", returncode=1)
    before = _tree(app.out)
    more = ["hydra.launcher.n_jobs=1", "hydra.launcher.max_retries=1"]

    dry = app.run(app.tool, "resume", "--dry-run", ".", *more, cwd=app.out / "1")

    assert dry.output.startswith(f"cd {app.folder} && {sys.executable} app.py -m hydra.sweep.dir={app.out} ")
    assert dry.output.endswith(" ".join(["x=0,1,2", *more]) + "\n")
    assert len(dry.output.splitlines()) == 1
    assert _tree(app.out) == before

    done = app.run(app.tool, "resume", os.path.relpath(app.out / "1", tmp_path), *more, cwd=tmp_path, returncode=1)

    assert "3 jobs locally, 1 at a time" in done.output
    assert runs(app) == [1, 3, 1]

    (app.folder / "fail-1").unlink()
    app.run(app.tool, "resume", "..", cwd=app.out / "1")
    assert runs(app) == [1, 4, 1]


def test_resume_refuses_other_jobs(tmp_path: Path) -> None:
    app = counted_app(tmp_path / "app")
    app.sweep("x=0,1")

    done = app.resume("x=1,2", returncode=1)

    assert "is the folder of another sweep: it has the overrides 'x=0,1', and this one 'x=0,1 x=1,2'" in done.output
    assert runs(app) == [1, 1, 0]


def test_a_sweeps_folder_that_was_moved_is_resumed_where_it_is(tmp_path: Path) -> None:
    app = counted_app(tmp_path / "app")
    app.write("fail-1", "")
    app.sweep("x=0,1,2", returncode=1)
    (app.folder / "fail-1").unlink()
    moved = app.out.rename(tmp_path / "moved here")

    app.resume(out=moved)

    assert outcomes(moved) == dict.fromkeys(range(3), "completed")
    assert not app.out.exists()
    assert runs(app) == [1, 2, 1]


@pytest.mark.parametrize("place", ["app", "app/missing", "app/app.py", "/"])
def test_resume_of_no_sweep_is_one_line(tmp_path: Path, place: str) -> None:
    app = counted_app(tmp_path / "app")

    done = app.run(app.tool, "resume", str(tmp_path / place), returncode=2)

    (line,) = done.output.splitlines()
    assert line.startswith(f"Error: {tmp_path / place}: ")
    assert ("there is no such folder" if "missing" in place else "not the folder of a sweep") in line


def test_resume_tells_that_the_working_folder_is_gone(tmp_path: Path) -> None:
    app = counted_app(tmp_path / "app")
    out = tmp_path / "out"
    app.sweep("x=0,1", out=out)
    app.folder.rename(tmp_path / "renamed")

    done = SweepApp(tmp_path / "renamed").resume(out=out, returncode=2)

    assert done.output == f"Error: {out}: the sweep ran in {app.folder}, and there is no such folder now\n"


UNREADABLE = {
    "a class that is gone": b"cnowhere\nGone\n.",
    "an end of the process": b"csys\nexit\n(I0\ntR.",
    "no pickle": b"\x00",
    "nothing": b"",
}


def test_a_value_that_cannot_be_read_is_that_jobs_failure_alone(tmp_path: Path) -> None:
    """As earlier versions have left it: they did not try."""
    app = counted_app(tmp_path / "app")
    sweep = f"x=range({len(UNREADABLE) + 1})"
    app.sweep(sweep)
    for number, packed in enumerate(UNREADABLE.values()):
        path = app.out / str(number) / "job.json"
        state = json.loads(path.read_text())
        path.write_text(json.dumps({**state, "return_value_pickle": base64.b64encode(packed).decode()}))
    first = app.out / "0" / "job.json"

    ended = app.resume(returncode=1)

    assert "job 0 completed, but its return value can be pickled, but not unpickled" in ended.output
    assert f"remove {first}" in ended.output
    assert f"{len(UNREADABLE) + 1} completed" in ended.output and set(app.notes().values()) == {1}
    for number in range(len(UNREADABLE)):
        (app.out / str(number) / "job.json").unlink()
    app.resume()
    assert [app.notes()[f"ran {x}"] for x in range(len(UNREADABLE) + 1)] == [2] * len(UNREADABLE) + [1]


@pytest.mark.parametrize("packed", UNREADABLE.values(), ids=UNREADABLE)
def test_a_value_that_cannot_be_read_says_why(packed: bytes) -> None:
    state = JobState(number=0, sweep="s", overrides=(), return_value_pickle=base64.b64encode(packed).decode())
    with pytest.raises(UnreadableValueError, match="can be pickled, but not unpickled"):
        return_value(state)


def _never() -> None:
    threading.Event().wait()


class Endless:
    def __reduce__(self) -> Any:
        return _never, ()


def test_a_value_that_takes_for_ever_to_be_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_value, "LIMIT_S", 0.2)
    with pytest.raises(UnreadableValueError, match=r"takes more than 0\.2 s"):
        stored(Endless())


LARGE = {
    "long": [0] * 600_000,
    "text": "x" * (1 << 21),
    "number": 10**6000,
    "deep": functools.reduce(lambda inner, _: [inner], range(200), [1]),
}


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_a_value_of_any_size_comes_back(tmp_path: Path, value: Any) -> None:
    folder = JobFolder(tmp_path)
    folder.write(JobState(number=0, sweep="s", overrides=(), **stored(value)))
    state = folder.read()
    assert state is not None and return_value(state) == value


# --- the same job is the same overrides

SWEPT_BY_CONFIG = "x: 0\nz: 0\nhydra:\n  sweeper:\n    params: {{x: '{0}', z: '1'}}\n"


def test_a_job_is_known_by_its_overrides_whatever_its_place(tmp_path: Path) -> None:
    """It keeps its number and folder; a new one gets those of nobody."""
    app = counted_app(tmp_path / "app")
    app.write("conf/config.yaml", SWEPT_BY_CONFIG.format("0,1,2,3"))
    app.write("fail-1", "")
    app.sweep(returncode=1)
    before = {number: state["overrides"] for number, state in job_states(app.out).items()}
    (app.folder / "fail-1").unlink()

    app.write("conf/config.yaml", SWEPT_BY_CONFIG.format("5,3,2,1"))
    again = app.resume()

    after = {number: state["overrides"] for number, state in job_states(app.out).items()}
    assert after == {**before, 4: ["x=5", "z=1"]}
    assert app.notes() == {"ran 0": 1, "ran 1": 2, "ran 2": 1, "ran 3": 1, "ran 5": 1}
    assert {path.name for path in app.out.iterdir() if path.is_dir()} == {".sweep", "0", "1", "2", "3", "4"}
    assert "5 completed (3 of them in an earlier launch)" in again.output
    assert [row.number for row in read_sweep(app.out).rows] == [0, 1, 2, 3, 4]


def test_order_and_quotes_of_overrides_make_no_other_sweep(tmp_path: Path) -> None:
    app = counted_app(tmp_path / "app")
    app.write("conf/config.yaml", "x: 0\ny: 0\n")
    app.sweep("y='a'", "x=0,1")

    app.sweep("x=0, 1", 'y="a"')
    app.sweep("x=0,2", "y=a", returncode=1)

    assert runs(app, 3) == [1, 1, 0]


_OVERRIDES = st.lists(st.sampled_from(["a=1", "a=2", "b=x", "b='x'", "+c=1e-3", "+c=0.001"]), max_size=3).map(tuple)


def _same(overrides: tuple[str, ...]) -> tuple[str, ...]:
    """Return an own notion of what is the same: of one key the last value counts."""
    plain = {"b='x'": "b=x", "+c=1e-3": "+c=0.001"}
    texts = [plain.get(text, text) for text in overrides]
    return tuple(sorted(texts, key=lambda text: text.partition("=")[0]))


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])  # it writes files
@given(st.data())
def test_each_jobs_overrides_are_run_once_to_completion(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """However a launch ended, and in whatever order the next one names the jobs, with duplicates and new ones."""
    jobs = data.draw(st.lists(_OVERRIDES, max_size=6))
    ends = data.draw(st.lists(st.sampled_from([Outcome.COMPLETED, Outcome.FAILED, None]), min_size=6, max_size=6))
    folder = SweepFolder(tmp_path_factory.mktemp("sweep"))
    folder.prepare()
    for number, (overrides, end) in enumerate(zip(jobs, ends, strict=False)):
        place = JobFolder(folder.path / str(number))
        folder.note([IndexedJob(number=number, overrides=overrides, folder=str(place.path))])
        if end is not None:
            attempt = Attempt(started=0.0, ended=1.0, outcome=end)
            place.write(JobState(number=number, sweep="s", overrides=overrides, attempts=(attempt,)))
    later = [*data.draw(st.permutations(jobs)), *data.draw(st.lists(_OVERRIDES, max_size=3))]

    earlier = EarlierJobs()
    earlier.read(folder, "s")
    numbered = earlier.numbered(list(enumerate(later)))

    numbers = [number for number, _ in numbered]
    assert len(set(numbers)) == len(numbers)
    assert [overrides for _, overrides in numbered] == later
    to_run = Counter(_same(own) for number, own in numbered if not ((job := earlier.get(number)) and job.is_completed))
    completed = Counter(_same(own) for own, end in zip(jobs, ends, strict=False) if end is Outcome.COMPLETED)
    assert to_run == Counter(map(_same, later)) - completed
    for number, own in numbered:
        assert number >= len(jobs) or _same(jobs[number]) == _same(own)


# --- what has changed since

CFG_PRELUDE = """
from hydra._internal.hydra import Hydra
multirun = Hydra.multirun


def noting_multirun(self, *args, **kwargs):
    returns = multirun(self, *args, **kwargs)
    (HERE / "configs.txt").write_text(" ".join(f"{job.cfg.x}:{job.cfg.net.lr}" for job in returns[0]))
    return returns


Hydra.multirun = noting_multirun
"""
CFG_BODY = """
note(f"ran {cfg.x}")
if (HERE / f"fail-{cfg.x}").exists():
    raise ValueError("no")
return cfg.x * cfg.net.lr
"""


def changing_app(folder: Path) -> SweepApp:
    """An app with a nested config, that has completed jobs 1 and 2 of three."""
    app = SweepApp.create(folder, "x: 0\nnet: {lr: 1, width: '${x}'}\n")
    app.task(CFG_BODY, CFG_PRELUDE)
    app.write("fail-3", "")
    app.sweep("x=1,2,3", returncode=1)
    (app.folder / "fail-3").unlink()
    return app


def test_jobs_whose_config_has_changed_run_again_and_it_is_said_key_by_key(tmp_path: Path) -> None:
    app = changing_app(tmp_path / "app")
    old = _tree(app.out / "0")
    app.write("conf/config.yaml", "x: 0\nnet: {lr: 10, width: '${x}'}\nnew: [1]\n")

    again = app.sweep("x=1,2,3")

    (said,) = (line for line in again.output.splitlines() if "jobs 0, 1 ran" in line)
    assert "The config has changed since jobs 0, 1 ran: net.lr: 1 -> 10; new: (none) -> [1]." in said
    assert f"{app.out}/0~1" in said
    assert _tree(app.out / "0~1") == old
    assert [row.value for row in read_sweep(app.out).rows] == [10, 20, 30]
    assert (app.folder / "configs.txt").read_text() == "1:10 2:10 3:10"
    assert "has changed" not in app.sweep("x=1,2,3").output
    assert app.notes() == {"ran 1": 2, "ran 2": 2, "ran 3": 2}


def test_with_resume_overrides_results_of_another_config_are_kept_apart(tmp_path: Path) -> None:
    """They are marked wherever they are shown, none is the best, and the sweeper gets the config that made them."""
    app = changing_app(tmp_path / "app")
    app.write("conf/config.yaml", "x: 0\nnet: {lr: 10, width: '${x}'}\n")

    again = app.sweep("x=1,2,3", "hydra.launcher.resume=overrides")

    assert "The config has changed since jobs 0, 1 ran: net.lr: 1 -> 10." in again.output
    assert again.output.count("(config changed since)") == 2
    results = read_sweep(app.out)
    assert [(row.value, row.differs) for row in results.rows] == [(1, "config"), (2, "config"), (30, "")]
    assert results.best(mode="min").number == 2
    assert "differs" in (app.out / "results.csv").read_text().partition("\n")[0].split(",")
    assert (app.folder / "configs.txt").read_text() == "1:1 2:1 3:10"
    assert app.notes() == {"ran 1": 1, "ran 2": 1, "ran 3": 2}


def test_code_that_has_changed_is_named_once_and_results_are_kept(tmp_path: Path) -> None:
    """Also code that only the jobs import; files that are new, or the app's output, are no change."""
    app = SweepApp.create(tmp_path / "app")
    app.write("lib/__init__.py", "")
    app.write("lib/net.py", "LR = 1\n")
    app.task("from lib.net import LR; note(f'ran {cfg.x}'); return cfg.x * LR")
    app.sweep("x=0,1,2")
    app.write("new.py", "")
    assert "has changed" not in app.sweep("x=0,1,2").output
    app.write("lib/net.py", "LR = 2\n")

    again = app.sweep("x=0,1,2")

    assert again.output.count("The code has changed since jobs 0, 1, 2 ran: lib/net.py.") == 1
    assert again.output.count("(code changed since)") == 3
    assert [row.differs for row in read_sweep(app.out).rows] == ["code"] * 3
    assert runs(app) == [1, 1, 1]
    app.write("lib/net.py", "LR = 1\n")
    assert "has changed" not in app.sweep("x=0,1,2").output
    assert [row.differs for row in read_sweep(app.out).rows] == [""] * 3


# --- where the jobs are

ELSEWHERE = {
    "sweep.dir": ("hydra: {sweep: {dir: 'runs/${x}'}}", "runs/-", "runs/{0}/{1}"),
    "now": ("hydra: {sweep: {dir: 'runs/${now:%f}/${x}'}}", "runs/*/-", "runs/*/{0}/{1}"),
    "beside": ("hydra: {sweep: {dir: out, subdir: '../jobs/${x}'}}", "out", "jobs/{0}"),
    "hidden": ("hydra: {sweep: {dir: out, subdir: '.jobs/${x}'}}", "out", "out/.jobs/{0}"),
}


@pytest.mark.parametrize("how", ELSEWHERE)
def test_jobs_are_found_wherever_their_folders_are(tmp_path: Path, how: str) -> None:
    app = counted_app(tmp_path / "app")
    config, sweep, job = ELSEWHERE[how]
    app.write("conf/config.yaml", f"x: '-'\n{config}\n")
    app.write("fail-1", "")
    command = [sys.executable, "app.py", "-m", "hydra/launcher=lit_local", "x=0,1"]
    app.run(*command, returncode=1)
    (app.folder / "fail-1").unlink()
    (out,) = app.folder.glob(sweep)
    with (out / ".sweep" / "jobs.jsonl").open("a") as file:
        file.write('\n{"number": 7, "overr')  # a crash has cut it off

    app.resume(out=out)
    app.resume(out=out)

    assert runs(app, 2) == [1, 2]
    results = read_sweep(out)
    found = [path for number in range(2) for path in app.folder.glob(job.format(number, number))]
    assert [row.folder for row in results.rows] == found and len(found) == 2
    assert [row.outcome for row in results.rows] == ["completed"] * 2
    assert len((out / "results.csv").read_text().splitlines()) == 3
    listed = app.run(app.tool, "ls", str(app.folder), "--json")
    assert [sweep["folder"] for sweep in json.loads(listed.output)["sweeps"]] == [str(out)]


def test_a_new_job_never_gets_the_folder_of_a_completed_one(tmp_path: Path) -> None:
    """Where the folder's name does not depend on all overrides, the second one has a number behind it."""
    config = "x: 0\nname: a\nhydra: {{sweep: {{subdir: '${{name}}'}}, sweeper: {{params: {{x: '{0}', name: a}}}}}}\n"
    app = counted_app(tmp_path / "app")
    app.write("conf/config.yaml", config.format(0))
    app.sweep()
    old = _tree(app.out / "a")
    app.write("conf/config.yaml", config.format(1))

    app.sweep()

    assert _tree(app.out / "a") == old
    assert [(row.folder.name, row.value) for row in read_sweep(app.out).rows] == [("a", 0), ("a-2", 1)]


def test_jobs_own_files_are_enough_to_go_on(tmp_path: Path) -> None:
    app = counted_app(tmp_path / "app")
    app.write("fail-1", "")
    app.sweep("x=0,1,2", returncode=1)
    (app.folder / "fail-1").unlink()
    shutil.rmtree(app.out / ".sweep")
    before = _tree(app.out)

    assert {row.number: row.outcome for row in read_sweep(app.out).rows} == outcomes(app.out)
    resumed = app.resume(returncode=2)
    assert "sweep.json is gone, and with it the sweep's command" in resumed.output
    other = app.sweep("x=0,1", returncode=1)
    assert "is the folder of another sweep: it has the overrides 'x=0,1,2'" in other.output
    assert _tree(app.out) == before

    again = app.sweep("x=0,1,2")
    assert f"{app.out}/.sweep/sweep.json is gone." in again.output
    assert runs(app) == [1, 2, 1]
    app.resume()
    assert runs(app) == [1, 2, 1]


@pytest.mark.parametrize("what", [".sweep", "0", "."])
def test_what_is_removed_while_a_sweep_runs_is_said_and_it_can_go_on(tmp_path: Path, what: str) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task(f"""
        note(f"ran {{cfg.x}}")
        if cfg.x == 1 and (HERE / "remove").exists():
            import shutil
            (HERE / "remove").unlink()
            shutil.rmtree(HERE / "out" / "{what}")
        return cfg.x
    """)
    app.write("remove", "")

    first = app.sweep("x=0,1,2", "hydra.launcher.n_jobs=1")
    app.resume()

    assert ("was removed while the sweep is running" in first.output) == (what != "0")
    assert ("The results of job 0 are lost as well." in first.output) == (what != ".sweep")
    assert runs(app) == [1 if what == ".sweep" else 2, 1, 1]
    assert outcomes(app.out) == dict.fromkeys(range(3), "completed")


# --- the command


def test_resume_starts_where_the_program_was_started_though_it_has_left(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app")
    (app.folder / "work").mkdir()
    app.task(COUNTED_BODY, "os.chdir('work')")
    app.write("fail-1", "")
    app.sweep("x=0,1", returncode=1)
    (app.folder / "fail-1").unlink()

    app.resume()

    assert runs(app, 2) == [1, 2]


def test_resume_says_that_no_command_line_has_started_the_sweep(tmp_path: Path) -> None:
    """A script with arguments of its own starts its app by hydra-zen; when it is run again it goes on."""
    app = SweepApp.create(tmp_path / "app")
    script = app.write(
        "zen.py",
        """
        import argparse
        from pathlib import Path
        from hydra_zen import launch, make_config, multirun

        HERE = Path(__file__).parent


        def task(cfg):
            with open(HERE / "runs.txt", "a") as file:
                file.write(f"ran {cfg.x}\\n")


        if __name__ == "__main__":
            parser = argparse.ArgumentParser()
            parser.add_argument("--epochs", type=int)
            parser.parse_args()
            config = make_config(x=0, defaults=["_self_", {"override hydra/launcher": "lit_local"}])
            given = [f"hydra.sweep.dir={HERE}/out"]
            launch(config, task, overrides=given, x=multirun([0, 1]), multirun=True, version_base="1.3")
        """,
    )
    app.run(sys.executable, "zen.py", "--epochs", "3")

    resumed = app.resume(returncode=2)
    app.run(sys.executable, "zen.py", "--epochs", "3")

    assert f"not launched by a Hydra command line but from within {script}" in resumed.output
    assert f"hydra.sweep.dir={app.out}" in resumed.output
    assert runs(app, 2) == [1, 1]

"""What a sweep makes of jobs, launchers and folders that go wrong: it tells what happened, and loses nothing else."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from lit_hydra_bridge.hydra_text import quoted
from tests.support import NET
from tests.sweep_support import START_METHODS, SweepApp, job_states, outcomes, until

each_start_method = pytest.mark.parametrize("method", START_METHODS)
# Jobs are looked after by the process that they are forks of, be that a fork or a forkserver; spawned ones by another.
each_supervision = pytest.mark.parametrize("method", ["fork", "spawn"])

FAULTS_PRELUDE = """
import ctypes
import shutil
import threading

LOCK = threading.Lock()
FOREVER = [sys.executable, "-c", "import time; time.sleep(600)"]


class NeedsTwo(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


class Exits:
    def __reduce__(self):
        return sys.exit, (0,)


def recurse():
    return recurse()


def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)


def out_dir():
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)
"""

FAULTS_BODY = r"""
note(f"ran {cfg.x}")
match cfg.x:
    case "raises":
        raise ValueError("[red]no[/closed] markup \x1b[2J of {ours}")
    case "exit_3":
        print("\x1b[31mlast \x07words\xff")
        os.write(1, b"\xff\xfe\n")
        os._exit(3)
    case "exit_0":
        os._exit(0)
    case "segfault":
        ctypes.string_at(0)
    case "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    case "sigterm":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    case "system_exit":
        raise SystemExit(0)
    case "unpicklable":
        return LOCK
    case "unreadable":
        return NeedsTwo(1, 2)
    case "exits_when_read":
        return Exits()
    case "a_generator":
        return (x for x in "abc")
    case "missing_module":
        module = sys.modules["made_here"] = type(sys)("made_here")
        exec("class Made: pass", vars(module))
        return module.Made()
    case "too_large":
        return b"x" * (1 << 26)
    case "flood":
        print("the first line")
        block = b"0123456789abcde\n" * 65536
        for _ in range(100):
            os.write(1, block)
        print("the last line")
    case "children":
        subprocess.Popen(FOREVER)
        subprocess.Popen(FOREVER, start_new_session=True)
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
        daemon()
    case "keyboard":
        raise KeyboardInterrupt
    case "recursion":
        recurse()
    case "needs_two":
        raise NeedsTwo(1, 2)
    case "large_message":
        raise ValueError("m" * (1 << 20))
    case "no_folder":
        shutil.rmtree(out_dir())
    case "garbage":
        (out_dir() / "job.json").write_bytes(b"\xff{garbage")
    case "garbage_and_exit":
        (out_dir() / "job.json").write_bytes(b"[]")
        os._exit(4)
    case "no_cwd":
        where = HERE / f"cwd-{os.getpid()}"
        where.mkdir()
        os.chdir(where)
        where.rmdir()
    case "invalid_text":
        os.write(1, bytes(range(256)) * 4)
        print("\ud800 \u202e \x1b]0;title\x07")
return f"did {cfg.x}"
"""

# By fault: the outcome, and a pattern in the reason.
FAULTS = {
    "good": ("completed", None),
    "raises": ("failed", r"^ValueError: \[red\]no\[/closed\] markup"),
    "exit_3": ("failed", "exit code 3.* last printed: .*last .*words"),
    "exit_0": ("failed", "exit code 0 before the task returned"),
    "segfault": ("killed", "SIGSEGV"),
    "sigkill": ("killed", "SIGKILL"),
    "sigterm": ("killed", "SIGTERM"),
    "system_exit": ("failed", r"SystemExit\(0\)"),
    "unpicklable": ("failed", "return value .*lock.* can't be pickled"),
    "unreadable": ("failed", "return value NeedsTwo.* can be pickled, but not unpickled .TypeError"),
    "exits_when_read": ("failed", "can be pickled, but not unpickled .SystemExit"),
    "a_generator": ("failed", "return value <generator.* can't be pickled"),
    "missing_module": ("completed", None),
    "too_large": ("failed", "return value b'x.* takes 67,.* bytes"),
    "flood": ("completed", None),
    "children": ("completed", None),
    "keyboard": ("failed", "KeyboardInterrupt"),
    "recursion": ("failed", "RecursionError"),
    "needs_two": ("failed", "NeedsTwo: 1 and 2"),
    "large_message": ("failed", "ValueError: mmm"),
    "no_folder": ("completed", None),
    "garbage": ("completed", None),
    "garbage_and_exit": ("failed", "exit code 4"),
    "no_cwd": ("completed", None),
    "invalid_text": ("completed", None),
    'the ü=[1] "it\'s" {x} ☃': ("completed", None),
}


@each_start_method
def test_each_fault_is_its_own_jobs_outcome(tmp_path: Path, method: str) -> None:
    """All others complete, the summary names all, and no process is left."""
    app = SweepApp.create(tmp_path / "a folder=here")
    app.task(FAULTS_BODY, FAULTS_PRELUDE)
    values = ",".join(quoted(fault) for fault in FAULTS)

    done = app.sweep(
        f"x={values}", f"hydra.launcher.start_method={method}", "hydra.launcher.log_limit_mib=1", returncode=1
    )

    states = job_states(app.out)
    assert {list(FAULTS)[number]: state["outcome"] for number, state in states.items()} == {
        fault: outcome for fault, (outcome, _) in FAULTS.items()
    }
    summary = done.output[done.output.rindex("completed, ") :]
    for number, (fault, (outcome, pattern)) in enumerate(FAULTS.items()):
        (attempt,) = states[number]["attempts"]
        assert attempt["start_method"] == method
        assert app.notes()[f"ran {fault}"] == 1
        if outcome == "completed":
            assert states[number]["return_value"] == (f"did {fault}" if fault != "missing_module" else None)
            continue
        assert re.search(pattern, attempt["reason"]), attempt["reason"]
        assert len(attempt["reason"]) < 2000
        assert f"#{number} {outcome}" in summary
        assert str(states[number]["folder"] / "job.log") in summary
    ours = done.output[: done.output.index("Error executing job")]  # what follows is Hydra's
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", ours), "a control character reached the terminal"
    log = states[list(FAULTS).index("flood")]["folder"] / "job.log"
    assert log.stat().st_size < 2 << 20
    text = log.read_text()
    assert text.startswith("the first line\n") and "the last line" in text[-1000:] and "left out" in text


HANGS_BODY = """
note(f"ran {cfg.x}")
if cfg.x == "hangs":
    time.sleep(600)
if cfg.x == "ignores":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(FOREVER)
    time.sleep(600)
if cfg.x == "ends":
    try:
        time.sleep(600)
    except SystemExit:
        return "what was done until then"
return f"did {cfg.x}"
"""


@each_supervision
def test_a_job_that_hangs_is_timed_out(tmp_path: Path, method: str) -> None:
    """One that ignores SIGTERM is killed after the time of grace; one that returns when it is asked is completed."""
    app = SweepApp.create(tmp_path / "app")
    app.task(HANGS_BODY, FAULTS_PRELUDE)

    done = app.sweep(
        "x=hangs,ignores,ends,a,b,c",
        "hydra.launcher.n_jobs=4",
        "hydra.launcher.timeout_min=0.1",
        "hydra.launcher.grace_s=1",
        f"hydra.launcher.start_method={method}",
        returncode=1,
    )

    states = job_states(app.out)
    assert [state["outcome"] for _, state in sorted(states.items())] == ["timed out"] * 2 + ["completed"] * 4
    assert states[2]["return_value"] == "what was done until then"
    for number in (0, 1):
        assert states[number]["attempts"][0]["reason"] == "it ran longer than hydra.launcher.timeout_min=0.1"
        assert f"#{number} timed out" in done.output


def test_on_failure_stop_ends_the_others(tmp_path: Path) -> None:
    """Running jobs are asked to end, waiting ones never start, and resume does the rest."""
    app = SweepApp.create(tmp_path / "app", "{x: 0, z: 0}")
    app.write("hold", "")
    app.task("""
        note(f"ran {cfg.x}")
        if cfg.x == "fails" and (HERE / "hold").exists():
            while "ran slow" not in (HERE / "runs.txt").read_text():
                time.sleep(0.02)
            raise ValueError("no")
        try:
            if cfg.x == "slow":
                hold()
        finally:
            note(f"left {cfg.x}")
        return cfg.x
    """)

    done = app.sweep("x=slow,fails,a,b", "hydra.launcher.on_failure=stop", "+y=false", "~z", returncode=1)

    assert outcomes(app.out) == {0: "interrupted", 1: "failed"}
    assert "on_failure=stop" in job_states(app.out)[0]["attempts"][0]["reason"]
    assert app.notes() == {"ran slow": 1, "left slow": 1, "ran fails": 1}
    assert "#1 failed" in done.output and "#0 interrupted" in done.output
    assert f"4 of 4 jobs are left, 2 of them not started. To go on: lit-hydra resume {app.out}" in done.output
    assert "started: x=slow (" in done.output and "started: x=fails (" in done.output, "what varies is shown alone"

    (app.folder / "hold").unlink()
    app.resume()

    assert outcomes(app.out) == dict.fromkeys(range(4), "completed")
    assert [app.notes()[f"ran {x}"] for x in ("slow", "fails", "a", "b")] == [2, 2, 1, 1]


def test_a_job_is_tried_again(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task("""
        note(f"ran {cfg.x}")
        if cfg.x == "third_time" and (HERE / "runs.txt").read_text().count("ran third_time") == 3:
            return 3
        if cfg.x == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if cfg.x == "hangs":
            time.sleep(600)
        assert cfg.x == "good", "no"
        return 1
    """)

    done = app.sweep(
        "x=third_time,fails,killed,hangs,good",
        "hydra.launcher.max_retries=2",
        "hydra.launcher.timeout_min=0.05",
        returncode=1,
    )

    states = job_states(app.out)
    assert {number: [attempt["outcome"] for attempt in state["attempts"]] for number, state in states.items()} == {
        0: ["failed", "failed", "completed"],
        1: ["failed"] * 3,
        2: ["killed"] * 3,
        3: ["timed out"] * 3,
        4: ["completed"],
    }
    assert states[0]["return_value"] == 3
    assert app.notes() == {"ran third_time": 3, "ran fails": 3, "ran killed": 3, "ran hangs": 3, "ran good": 1}
    for number, outcome in ((1, "failed"), (2, "killed"), (3, "timed out")):
        assert re.search(f"^#{number} {outcome} .*attempt 3", done.output, re.MULTILINE)


STOPPED_BODY = """
note(f"ran {cfg.x}")
if cfg.x < 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
try:
    hold()
finally:
    note(f"left {cfg.x}")
return cfg.x
"""


def _jobs_run(app: SweepApp, count: int) -> bool:
    return sum(line.startswith("ran ") for line in app.notes().elements()) == count


@pytest.mark.parametrize(
    "method, number",
    [("forkserver", signal.SIGINT), ("spawn", signal.SIGINT), ("fork", signal.SIGTERM)],
    ids=["forkserver", "spawn", "fork-SIGTERM"],
)
def test_one_signal_lets_jobs_end_by_themselves(tmp_path: Path, method: str, number: signal.Signals) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task(STOPPED_BODY)
    app.write("hold", "")

    with app.launch(*app.command("x=1,2,3,4", f"hydra.launcher.start_method={method}")) as launched:
        until(lambda: _jobs_run(app, 2), "two jobs run")
        launched.signal(number)
        assert launched.wait() == 128 + number
        assert not app.processes()

    assert outcomes(app.out) == {0: "interrupted", 1: "interrupted"}
    assert job_states(app.out)[0]["attempts"][0]["reason"] == f"the launcher got {number.name}"
    assert app.notes() == {"ran 1": 1, "ran 2": 1, "left 1": 1, "left 2": 1}
    assert f"4 of 4 jobs are left, 2 of them not started. To go on: lit-hydra resume {app.out}" in launched.output
    assert "Traceback" not in launched.output

    (app.folder / "hold").unlink()
    app.resume()

    assert outcomes(app.out) == dict.fromkeys(range(4), "completed")
    assert [app.notes()[f"ran {x}"] for x in (1, 2, 3, 4)] == [2, 2, 1, 1]


@each_supervision
def test_a_second_signal_kills_at_once(tmp_path: Path, method: str) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task(STOPPED_BODY)
    app.write("hold", "")
    command = app.command("x=-1,-2,-3", "hydra.launcher.grace_s=600", f"hydra.launcher.start_method={method}")

    with app.launch(*command) as launched:
        until(lambda: _jobs_run(app, 2), "two jobs run")
        launched.signal(signal.SIGINT)
        until(lambda: "600 s to end by themselves" in launched.output, "the launcher waits for its jobs")
        assert launched.process.poll() is None
        launched.signal(signal.SIGINT)
        assert launched.wait() == 130
        assert not app.processes()

    assert outcomes(app.out) == {0: "interrupted", 1: "interrupted"}
    assert app.notes() == {"ran -1": 1, "ran -2": 1}
    assert "3 of 3 jobs are left" in launched.output


TRAINING_PRELUDE = """
import torch
from net import Net, data, pl, trainer
from torch.utils.data import DataLoader, TensorDataset


def out_dir():
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def trained(callback, ckpt_path, **settings):
    keep_all = pl.callbacks.ModelCheckpoint(dirpath=out_dir() / "kept", save_top_k=-1)
    lightning = trainer(**{"callbacks": [keep_all, callback], "max_epochs": 3, **settings})
    lightning.fit(Net(), data(), ckpt_path=ckpt_path)
    return lightning.global_step
"""


def _training_app(folder: Path) -> SweepApp:
    app = SweepApp.create(folder, "x: 0\nckpt_path: null\n")
    app.write("net.py", NET.format(flavour="lightning.pytorch"))
    return app


def test_a_killed_training_goes_on_from_its_last_whole_checkpoint(tmp_path: Path) -> None:
    app = _training_app(tmp_path / "app")
    app.task(
        """
        class Dies(pl.Callback):
            def on_train_epoch_start(self, trainer, module):
                note(f"{cfg.x}: epoch {trainer.current_epoch}, step {trainer.global_step}")
                if trainer.current_epoch == 2 and not (HERE / cfg.x).exists():
                    (HERE / cfg.x).touch()
                    newest = max(out_dir().rglob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
                    if cfg.x == "truncated":
                        os.truncate(newest, newest.stat().st_size // 2)
                    os.kill(os.getpid(), signal.SIGKILL)

        return trained(Dies(), cfg.ckpt_path)
        """,
        TRAINING_PRELUDE,
    )

    app.sweep("x=whole,truncated", "hydra.launcher.max_retries=1")

    states = job_states(app.out)
    for number, name in ((0, "epoch=1-step=4.ckpt"), (1, "epoch=0-step=2.ckpt")):
        assert [attempt["outcome"] for attempt in states[number]["attempts"]] == ["killed", "completed"]
        first, second = (attempt["resumed_from"] for attempt in states[number]["attempts"])
        assert first is None
        assert second == str(states[number]["folder"] / "kept" / name)
        assert states[number]["return_value"] == 6
    assert app.notes() == {
        "whole: epoch 0, step 0": 1,
        "whole: epoch 1, step 2": 1,
        "whole: epoch 2, step 4": 2,
        "truncated: epoch 0, step 0": 1,
        "truncated: epoch 1, step 2": 2,
        "truncated: epoch 2, step 4": 2,
    }


def test_a_training_ends_after_its_step_when_the_launcher_is_asked_to_end(tmp_path: Path) -> None:
    """It is interrupted, and resume goes on from its checkpoint; one that was at its end is completed."""
    app = _training_app(tmp_path / "app")
    app.write("hold", "")
    app.task(
        """
        class Holds(pl.Callback):
            def on_train_batch_start(self, trainer, module, batch, index):
                note(f"{cfg.x}: begin {trainer.global_step}")
                if trainer.global_step == (2 if cfg.x == "middle" else 5):
                    note("held")
                    hold()

            def on_train_batch_end(self, trainer, module, outputs, batch, index):
                note(f"{cfg.x}: end {trainer.global_step}")

        if cfg.x == "after":
            trained(pl.Callback(), None)
            note("held")
            hold()
            return 6
        return trained(Holds(), cfg.ckpt_path)
        """,
        TRAINING_PRELUDE,
    )

    with app.launch(*app.command("x=middle,after,later")) as launched:
        until(lambda: app.notes()["held"] == 2, "both jobs are held")
        launched.signal(signal.SIGINT)
        until(lambda: "Stopping" in launched.output, "the launcher has asked its jobs to end")
        time.sleep(0.3)
        (app.folder / "hold").unlink()
        assert launched.wait() == 130
        assert not app.processes()

    assert app.notes()["middle: begin 2"] == app.notes()["middle: end 3"] == 1
    assert not app.notes()["middle: begin 3"]
    assert outcomes(app.out)[0] == "interrupted"
    assert outcomes(app.out)[1] == "interrupted"
    assert 2 not in outcomes(app.out)

    app.resume()

    states = job_states(app.out)
    assert [states[number]["return_value"] for number in range(3)] == [6, 6, 6]
    assert states[0]["attempts"][1]["resumed_from"].endswith("epoch=0-step=2.ckpt")
    assert app.notes()["middle: begin 0"] == 1
    assert app.notes()["middle: begin 2"] == 2


KILLED_LAUNCHER_BODY = """
note(f"ran {cfg.x}")
children = [subprocess.Popen(FOREVER), subprocess.Popen(FOREVER, start_new_session=True)]
fork = os.fork()
if fork == 0:
    os.setsid()
    time.sleep(600)
time.sleep(0.2)
if cfg.x == 7:
    hold()
os.kill(fork, signal.SIGKILL)
for child in children:
    child.kill()
note(f"did {cfg.x}")
return cfg.x
"""


@each_supervision
def test_a_killed_launcher_takes_all_with_it(tmp_path: Path, method: str) -> None:
    """Jobs and their children are gone, whatever these have made of themselves; and resume loses and repeats none."""
    app = SweepApp.create(tmp_path / "app")
    app.task(KILLED_LAUNCHER_BODY, FAULTS_PRELUDE)
    app.write("hold", "")

    with app.launch(*app.command("x=range(8)", f"hydra.launcher.start_method={method}")) as launched:
        until(app.notes, "a job runs")
        moment = random.uniform(0, 2)
        time.sleep(moment)
        launched.signal(signal.SIGKILL)
        app.wait_until_gone()

    completed = [number for number, outcome in outcomes(app.out).items() if outcome == "completed"]
    ran = app.notes()
    (app.folder / "hold").unlink()
    app.resume()

    assert outcomes(app.out) == dict.fromkeys(range(8), "completed"), f"killed after {moment} s"
    for x in range(8):
        again = 0 if x in completed else 1
        assert app.notes()[f"ran {x}"] == ran[f"ran {x}"] + again, f"killed after {moment} s"
        assert app.notes()[f"did {x}"] >= 1
    assert all(count == 1 for count in ran.values())


DAEMONS_PRELUDE = """
import ctypes
import resource


def detached(name, run):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            note(f"daemon {os.getpid()} {name}")
            run()
            time.sleep(600)
        os._exit(0)


def close_all():
    os.chdir("/")
    os.umask(0)
    os.closerange(0, 256)


def like_python_daemon():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: nobody may read its environment
    close_all()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


def other_program():
    close_all()
    os.execve("/bin/sleep", ["sleep", "600"], {})


BY_SHELL = f"echo daemon $$ shell >> {HERE}/runs.txt; exec sleep 600"


def start_all():
    detached("plain", lambda: None)
    detached("closed", close_all)
    detached("python-daemon", like_python_daemon)
    detached("other program", other_program)
    subprocess.run(f"nohup setsid env -i sh -c '{BY_SHELL}' </dev/null >/dev/null 2>&1 &", shell=True, check=True)
"""


def _daemons(app: SweepApp) -> dict[str, int]:
    """The daemons that were started, and their processes."""
    return {note.split(" ", 2)[2]: int(note.split()[1]) for note in app.notes() if note.startswith("daemon ")}


def _alive(app: SweepApp) -> list[str]:
    """The daemons that run; zombies do not."""
    running = []
    for name, pid in _daemons(app).items():
        with suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            running += [name] if state != "Z" else []
    return running


@each_supervision
def test_no_daemon_outlives_its_job(tmp_path: Path, method: str) -> None:
    """However it has cut itself off; one of another job goes on for as long as that job."""
    app = SweepApp.create(tmp_path / "app")
    app.task(
        """
        start_all() if cfg.x == "all" else detached("of another job", close_all)
        hold(cfg.x)
        """,
        DAEMONS_PRELUDE,
    )
    app.write("other", "")
    app.write("all", "")

    with app.launch(*app.command("x=all,other", f"hydra.launcher.start_method={method}")) as launched:
        until(lambda: len(_alive(app)) == 6, "all daemons run")
        (app.folder / "all").unlink()
        until(lambda: "#0 completed" in launched.output, "a job has ended, with what it has started")
        assert _alive(app) == ["of another job"]
        (app.folder / "other").unlink()
        assert launched.wait() == 0
        assert not _alive(app)


def test_no_daemon_outlives_a_killed_launcher(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task("start_all(); hold()", DAEMONS_PRELUDE)
    app.write("hold", "")

    with app.launch(*app.command("x=1")) as launched:
        until(lambda: len(_alive(app)) == 5, "all daemons run")
        launched.signal(signal.SIGKILL)
        until(lambda: not _alive(app), "they are gone")


def test_a_killed_launcher_takes_workers_and_ranks_with_it(tmp_path: Path) -> None:
    app = _training_app(tmp_path / "app")
    app.write("hold", "")
    app.task(
        """
        class Holds(pl.Callback):
            def on_train_batch_start(self, trainer, module, batch, index):
                note(f"{cfg.x} rank {trainer.global_rank} step {trainer.global_step}")
                if trainer.global_step == 1:
                    hold()

        if cfg.x == "ddp":
            return trained(Holds(), None, max_epochs=1, devices=2, strategy="ddp")
        lightning = trainer(callbacks=[Holds()], enable_checkpointing=False)
        lightning.fit(Net(), DataLoader(data().dataset, batch_size=8, num_workers=2, persistent_workers=True))
        return lightning.global_step
        """,
        TRAINING_PRELUDE,
    )

    with app.launch(*app.command("x=workers,ddp")) as launched:
        until(lambda: {"workers rank 0 step 1"} <= app.notes().keys(), "the job with workers runs")
        until(lambda: {"ddp rank 0 step 0", "ddp rank 1 step 0"} <= app.notes().keys(), "both ranks run")
        several = "the launcher, its reaper, what jobs are forks of, a job and its two workers, two ranks"
        until(lambda: len(app.processes()) == 8, several)
        launched.signal(signal.SIGKILL)
        app.wait_until_gone()

    (app.folder / "hold").unlink()
    app.resume()

    assert outcomes(app.out) == {0: "completed", 1: "completed"}


def _server_of(app: SweepApp, launcher: int) -> int:
    """The process that jobs are forks of: the launcher's child, beside the reaper."""
    for pid, command in app.processes().items():
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if parent == launcher and "reaper.py" not in command:
            return pid
    raise AssertionError(f"jobs are forks of none of {app.processes()}")


@pytest.mark.parametrize(
    ("method", "retries", "reason"),
    [
        ("forkserver", 0, "the forkserver died"),
        ("fork", 1, "the process that jobs are forks of died"),
    ],
)
def test_a_sweep_outlives_what_its_jobs_are_forks_of(tmp_path: Path, method: str, retries: int, reason: str) -> None:
    """The jobs that ran are killed, with all that they had started, and tried again where they may be; others run."""
    app = SweepApp.create(tmp_path / "app")
    app.task(
        """
        note(f"ran {cfg.x}")
        if cfg.x < 2 and not (HERE / f"again-{cfg.x}").exists():
            (HERE / f"again-{cfg.x}").touch()
            subprocess.Popen(FOREVER)
            subprocess.Popen(FOREVER, start_new_session=True)
            daemon()
            time.sleep(600)
        return cfg.x
        """,
        FAULTS_PRELUDE,
    )
    command = app.command(
        "x=range(5)", f"hydra.launcher.start_method={method}", f"hydra.launcher.max_retries={retries}"
    )

    with app.launch(*command) as launched:
        until(lambda: len(app.processes()) == 11, "launcher, reaper, server; two jobs, and three children of each")
        os.kill(_server_of(app, launched.process.pid), signal.SIGKILL)
        assert launched.wait() == (0 if retries else 1)
        assert not app.processes()

    states = job_states(app.out)
    for number in (0, 1):
        first = states[number]["attempts"][0]
        assert (first["outcome"], first["reason"]) == ("killed", reason)
        assert len(states[number]["attempts"]) == 1 + retries
    lost = "completed" if retries else "killed"
    assert outcomes(app.out) == {0: lost, 1: lost, 2: "completed", 3: "completed", 4: "completed"}
    assert [app.notes()[f"ran {x}"] for x in range(5)] == [1 + retries] * 2 + [1] * 3


def test_a_process_that_cannot_be_made_is_that_jobs_failure(tmp_path: Path) -> None:
    """As where a user may have no more of them; the jobs that run, and those that follow, do not notice."""
    app = SweepApp.create(tmp_path / "app")
    app.task(
        """
        if cfg.x == 0:
            hold()
        if cfg.x == 1:
            note("no more")
        if cfg.x == 3:
            (HERE / "hold").unlink()
        """,
        """
        fork, failed = os.fork, []

        def limited():
            if (HERE / "runs.txt").exists() and not failed:
                failed.append(1)
                raise BlockingIOError(11, "Resource temporarily unavailable")
            return fork()

        os.fork = limited
        """,
    )
    app.write("hold", "")

    ended = app.sweep("x=range(4)", "hydra.launcher.start_method=fork", returncode=1)

    assert outcomes(app.out) == {0: "completed", 1: "completed", 2: "failed", 3: "completed"}
    told = [line for line in ended.output.splitlines() if "Resource temporarily unavailable" in line]
    assert "#2 FAILED" in told[0] and all("#2" in line or "job 2" in line for line in told)


BROKEN_START = """
fork, Popen = os.fork, subprocess.Popen


def broken_fork():
    if "the fork" in BROKEN:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    pid = fork()
    if pid == 0 and "its process" in BROKEN:
        os._exit(3)
    if pid == 0 and "its probe" in BROKEN:
        os.fork = lambda: os.open("/nowhere", 0)
    return pid


class BrokenPopen(Popen):
    def __init__(self, command, *args, **kwargs):
        if "forkserver" in BROKEN and "forkserver" in str(command):
            raise OSError(12, "Cannot allocate memory")
        super().__init__(command, *args, **kwargs)


if __name__ == "__main__":
    os.fork, subprocess.Popen = broken_fork, BrokenPopen
"""


@pytest.mark.parametrize(
    ("broken", "taken", "reasons"),
    [
        ("the fork", "forkserver", ["can't be started: [Errno 11] Resource temporarily unavailable"]),
        ("its process", "forkserver", ["did not start: it ended with exit code 3"]),
        ("its probe", "forkserver", ["it can't make a process: [Errno 2]"]),
        ("the fork, the forkserver", "spawn", ["Resource temporarily unavailable", "Cannot allocate memory"]),
    ],
)
def test_where_one_way_to_start_jobs_fails_the_next_is_taken(
    tmp_path: Path, broken: str, taken: str, reasons: list[str]
) -> None:
    """And each reason is told."""
    app = SweepApp.create(tmp_path / "app")
    app.task("return cfg.x", f"BROKEN = {broken!r}\n{BROKEN_START}")

    ended = app.sweep("x=1,2")

    assert [state["attempts"][0]["start_method"] for state in job_states(app.out).values()] == [taken] * 2
    assert outcomes(app.out) == {0: "completed", 1: "completed"}
    told = [line for line in ended.output.splitlines() if "jobs are not forked" in line or "from scratch" in line]
    assert len(told) == len(reasons)
    assert all(reason in line for reason, line in zip(reasons, told, strict=True))


def test_a_start_method_that_was_asked_for_and_fails_is_one_line(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task("return cfg.x", f"BROKEN = 'its process'\n{BROKEN_START}")

    ended = app.sweep("x=1,2", "hydra.launcher.start_method=fork", returncode=1)

    assert (
        "hydra.launcher.start_method=fork can't be used here: the process that jobs are forks of did not start: it "
        "ended with exit code 3; leave it at auto"
    ) in ended.output
    assert "Traceback" not in ended.output


def _error_line(output: str) -> str:
    """Return the one line that was printed; Hydra adds one of its own."""
    line, *rest = output.strip().splitlines()
    assert rest == ["", "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace."], output
    return line


def test_a_sweeps_folder_has_one_launcher_at_a_time(tmp_path: Path) -> None:
    """A second one is refused in one line, and may begin as soon as the first is dead."""
    app = SweepApp.create(tmp_path / "app")
    app.task("note(f'ran {cfg.x}'); hold(); return cfg.x")
    app.write("hold", "")
    command = app.command("x=1,2,3")

    with app.launch(*command) as first:
        until(lambda: _jobs_run(app, 2), "two jobs run")
        second = subprocess.run(command, cwd=app.folder, env=app.environment(), capture_output=True, text=True)
        assert second.returncode == 1
        line = _error_line(second.stdout + second.stderr)
        assert f"hydra.sweep.dir={app.out}: another launcher (process {first.process.pid} on " in line
        assert first.process.poll() is None
        assert app.notes() == {"ran 1": 1, "ran 2": 1}

        first.signal(signal.SIGKILL)
        (app.folder / "hold").unlink()
        app.run(*command)

    assert outcomes(app.out) == {0: "completed", 1: "completed", 2: "completed"}


@pytest.mark.parametrize("place", ["a file", "a file/below", "/proc/sweep"])
def test_a_folder_that_cant_be_made_is_one_line(tmp_path: Path, place: str) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task("note('ran')")
    file = app.write("a file", "text")
    out = app.folder / place

    assert f"hydra.sweep.dir={out}: it can't be written to" in _error_line(
        app.sweep("x=1,2", out=out, returncode=1).output
    )
    assert not app.notes()
    assert file.read_text() == "text"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_one_line(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task("note('ran')")
    app.out.mkdir(mode=0o555)

    assert f"hydra.sweep.dir={app.out}: it can't be written to" in _error_line(app.sweep("x=1,2", returncode=1).output)


def test_a_sweep_that_cant_be_composed_leaves_nothing(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task("note('ran')")

    assert "Key 'unknown' is not in struct" in app.sweep("x=1,2", "unknown=1,2", returncode=1).output
    assert not app.notes()


def test_a_process_that_goes_on_after_its_sweep_looks_for_garbage_as_before(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app")
    prelude = """
        import atexit
        import gc

        BEFORE = gc.get_freeze_count()
        atexit.register(lambda: note(f"as before: {gc.get_freeze_count() <= BEFORE}"))
        """
    app.task("note(f'in a job: {gc.get_freeze_count() > BEFORE}')", prelude)
    app.sweep("x=1,2", "hydra.launcher.start_method=fork")

    assert app.notes() == {"in a job: True": 2, "as before: True": 1}

"""What it takes to see what came out of a sweep of 100, 1,000 and 10,000 jobs.

    python bench/results.py            listing, and the report where this installation has it
    python bench/results.py listing    some of them

what:
    listing    whole processes of `lit-hydra ls`: the table, a filter with a sort, CSV, JSON; beside the least that
               any listing must do: a bare Python that reads and parses the same files
    foreign    the same table for a sweep by one of Hydra's own launchers, from what Hydra leaves
    report     whole processes of `lit-hydra report`

The folders are written by the code that writes them in a sweep, with three overrides that vary, four metrics and
checkpoints. Times are medians, the files in the file system's cache; a table goes to a pipe. The goal is for the CPU
time, which one thread takes alone, so that a busy machine does not decide; the ratio to the bare Python, taken in the
same run, says whether a slow one is to blame.

Prints one row a measurement, with its goal. Exit code 1 if a goal is missed.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import PYTHON, Row, main, run

from lit_hydra_bridge.sweep.folder import JobFolder, SweepFolder, SweepIdentity
from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome, Slot

LIT_HYDRA = str(Path(PYTHON).with_name("lit-hydra"))
COUNTS = (100, 1_000, 10_000)
SAMPLES = 3
LIMIT_S = 2.0
LIMIT_RATIO = 6.0
# The least that a listing must do.
BARE = (
    "import json, os, sys\n"
    "for entry in os.scandir(sys.argv[1]):\n"
    "    if entry.name[0] != '.':\n"
    "        json.loads(open(os.path.join(entry.path, 'job.json'), 'rb').read())\n"
)
HYDRA_YAML = """\
hydra:
  run:
    dir: outputs/${{now:%Y-%m-%d}}/${{now:%H-%M-%S}}
  mode: MULTIRUN
  job:
    name: train
    num: {number}
  runtime:
    choices:
      hydra/launcher: basic
"""


def _overrides(number: int) -> tuple[str, ...]:
    return (
        f"model.width={2 ** (number % 7)}",
        f"optimizer={('adam', 'sgd')[number % 2]}",
        f"optimizer.lr={number / 1e4}",
    )


def _sweep(folder: Path, count: int) -> Path:
    """Write a sweep of ours, once."""
    sweep = folder / f"ours-{count}"
    if sweep.exists():
        return sweep
    place = SweepFolder(sweep)
    place.prepare()
    known = {"program": "train.py", "task": "main", "config_name": "config", "cwd": str(folder)}
    identity = SweepIdentity(id="bench", created=1.77e9, overrides=(), command=("python", "train.py", "-m"), **known)
    place.write_identity(identity)
    for number in range(count):
        _write_job(sweep / str(number), number)
    return sweep


def _write_job(folder: Path, number: int) -> None:
    began = 1.77e9 + 10 * number
    slot = Slot(devices=(str(number % 8),), threads=4)
    seeded = dict.fromkeys(("random", "numpy", "torch"), "afresh")
    known = {"pid": 1000 + number, "host": "box", "start_method": "fork", "seeded": seeded}
    attempt = Attempt(started=began, ended=began + 60, outcome=Outcome.COMPLETED, slot=slot, **known)
    best = f"{folder}/checkpoints/epoch=1-step={number}.ckpt"
    state = JobState(
        number=number,
        sweep="bench",
        overrides=_overrides(number),
        attempts=(attempt,),
        working_dir="/home/ada/project",
        return_value=0.9 + number / 1e6,
        metrics={"val_loss": 0.1, "val_acc": 0.9 + number / 1e6, "train_loss": 0.2, "grad_norm": 1.5},
        checkpoints={"best": best, "last": best, "monitor": "val_acc", "mode": "max", "score": 0.9 + number / 1e6},
    )
    JobFolder(folder).write(state)
    (folder / "checkpoints").mkdir()
    (folder / ".hydra").mkdir()


def _foreign_sweep(folder: Path, count: int) -> Path:
    sweep = folder / f"foreign-{count}"
    for number in range(count):
        hydra = sweep / str(number) / ".hydra"
        hydra.mkdir(parents=True)
        (hydra / "hydra.yaml").write_text(HYDRA_YAML.format(number=number))
        (hydra / "overrides.yaml").write_text("".join(f"- {text}\n" for text in _overrides(number)))
        (hydra / "config.yaml").write_text("model: {}\n")
    (sweep / "multirun.yaml").write_text(HYDRA_YAML.format(number="???"))
    return sweep


def _timed(folder: Path, *command: str) -> tuple[float, str]:
    """Return the CPU time of a command, and both times as text; the first call is not counted."""
    cpu, whole = [], []
    for _ in range(SAMPLES + 1):
        before, begun = os.times(), time.perf_counter()
        run(*command, cwd=folder)
        after = os.times()
        whole.append(time.perf_counter() - begun)
        used = after.children_user + after.children_system - before.children_user - before.children_system
        cpu.append(used)
    median = statistics.median(cpu[1:])
    return median, f"{statistics.median(whole[1:]):.2f} s, CPU {median:.2f} s"


def bench_listing(folder: Path) -> Iterator[Row]:
    """`lit-hydra ls` on sweeps of ours."""
    for count in COUNTS:
        sweep = str(_sweep(folder, count))
        is_last = count == COUNTS[-1]
        bare, bare_text = _timed(folder, PYTHON, "-c", BARE, sweep)
        yield Row(f"bare Python reads {count:,} job.json", bare_text, "", True)
        for arguments in (
            [],
            ["--where", "lr>0.005 and outcome=completed", "--sort", "-val_acc"],
            ["--csv"],
            ["--json"],
        ):
            cpu, text = _timed(folder, LIT_HYDRA, "ls", sweep, *arguments)
            good = not is_last or (cpu < LIMIT_S and cpu < LIMIT_RATIO * bare)
            goal = f"CPU < {LIMIT_S:g} s and < {LIMIT_RATIO:g} x" if is_last else ""
            yield Row(f"ls {' '.join(arguments[:1])}, {count:,} jobs", f"{text}, {cpu / bare:.1f} x", goal, good)


def bench_foreign(folder: Path) -> Iterator[Row]:
    """`lit-hydra ls` on what Hydra's own launchers leave."""
    for count in COUNTS:
        _, text = _timed(folder, LIT_HYDRA, "ls", str(_foreign_sweep(folder, count)))
        yield Row(f"ls, {count:,} jobs of another launcher", text, "", True)


def bench_report(folder: Path) -> Iterator[Row]:
    """`lit-hydra report`, where there is one."""
    if "\n  report" not in run(LIT_HYDRA, "--help", cwd=folder):
        yield Row("report", "not in this installation", "", True)
        return
    for count in COUNTS:
        page = folder / f"{count}.html"
        _, text = _timed(folder, LIT_HYDRA, "report", str(_sweep(folder, count)), "-o", str(page))
        yield Row(f"report, {count:,} jobs", f"{text}, {page.stat().st_size / 2**20:.1f} MiB", "", True)


BENCHES: dict[str, Callable[[Path], Iterator[Row]]] = {
    "listing": bench_listing,
    "foreign": bench_foreign,
    "report": bench_report,
}

if __name__ == "__main__":
    sys.exit(main(__doc__, BENCHES))

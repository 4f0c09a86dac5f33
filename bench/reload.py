"""What it costs to ask a checkpoint, and to make its run again.

    python bench/reload.py            all measurements
    python bench/reload.py rerun      some of them

Prints one row a measurement, with its goal. Exit code 1 if a goal is missed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import PYTHON, ROOT, Row, main, median_s, run

LIT_HYDRA = str(Path(PYTHON).with_name("lit-hydra"))
TRAIN = str(ROOT / "example_app" / "train.py")
# Says when it was started, and ends.
PROBE = "import sys, time; open(sys.argv[0] + '.time', 'w').write(repr(time.time()))"


def _checkpoints(folder: Path) -> tuple[str, str]:
    """Two checkpoints of the example app; made once."""
    runs = [folder / "adam", folder / "sgd"]
    for path in runs:
        if not path.exists():
            run(PYTHON, TRAIN, f"hydra.run.dir={path}", f"optimizer={path.name}", "trainer.max_epochs=1", cwd=folder)
    first, second = (str(next((path / "checkpoints").glob("epoch*.ckpt"))) for path in runs)
    return first, second


def bench_commands(folder: Path) -> Iterator[Row]:
    """Whole processes of the commands that only read."""
    a, b = _checkpoints(folder)
    bare = median_s(lambda: run(PYTHON, "-c", "", cwd=folder), 15)
    for name, command in {
        "config": ["config", a],
        "config --resolve": ["config", a, "--resolve"],
        "diff": ["diff", a, b],
        "check": ["check", a],
    }.items():
        took = median_s(lambda command=command: _ended([LIT_HYDRA, *command], folder), 15)
        value = f"{took:.3f} s  (bare python {bare:.3f} s)"
        yield Row(f"lit-hydra {name}, whole process", value, "< 0.3 s", took < 0.3)
    heavy = _heavy_modules(folder, ["diff", a, b]) | _heavy_modules(folder, ["config", a])
    yield Row("heavy modules that diff and config import", ", ".join(sorted(heavy)) or "none", "none", not heavy)


def _ended(command: list[str], folder: Path) -> None:
    """Run a command for which 1 is an answer."""
    done = subprocess.run(command, cwd=folder, capture_output=True, env=_environment())
    assert done.returncode in (0, 1), done.stderr


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _heavy_modules(folder: Path, arguments: list[str]) -> set[str]:
    code = (
        "import sys\nfrom lit_hydra_bridge.cli import cli\n"
        f"try: cli({arguments!r}, standalone_mode=False)\nexcept SystemExit: pass\n"
        "print('HEAVY', *({'torch', 'lightning', 'numpy', 'hydra', 'rich'} & set(sys.modules)))"
    )
    text = run(PYTHON, "-c", code, cwd=folder)
    return set(text.splitlines()[-1].split()[1:])


def bench_rerun(folder: Path) -> Iterator[Row]:
    """From the start of `lit-hydra rerun` to the first line of the program that it starts."""
    checkpoint, _ = _checkpoints(folder)
    probe = folder / "probe.py"
    probe.write_text(PROBE)
    said = probe.with_name("probe.py.time")

    def sample(command: list[str]) -> float:
        begun = time.time()
        run(*command, cwd=folder)
        return float(said.read_text()) - begun

    bare = statistics.median(sample([PYTHON, str(probe)]) for _ in range(15))
    command = [LIT_HYDRA, "rerun", checkpoint, "--script", str(probe), "optimizer.lr=0.1"]
    took = statistics.median(sample(command) for _ in range(15))
    value = f"{took:.3f} s  (bare python {bare:.3f} s)"
    yield Row("lit-hydra rerun, until the program starts", value, "< 0.5 s", took < 0.5)


def bench_recompose(folder: Path) -> Iterator[Row]:
    """What composing the recorded config adds to the app's own start."""
    checkpoint, _ = _checkpoints(folder)
    command = [PYTHON, TRAIN, "optimizer=adam", "trainer.max_epochs=1", "--cfg", "job"]

    def sample(env: dict[str, str]) -> float:
        begun = time.perf_counter()
        run(*command, cwd=folder, env=env)
        return time.perf_counter() - begun

    pairs = [(sample({"LIT_HYDRA_BRIDGE_RERUN": checkpoint}), sample({})) for _ in range(7)]
    added = statistics.median(again - plain for again, plain in pairs)
    yield Row("composing what was recorded, added to the app's start", f"{added:.3f} s", "< 0.5 s", added < 0.5)


BENCHES: dict[str, Callable[[Path], Iterator[Row]]] = {
    "commands": bench_commands,
    "rerun": bench_rerun,
    "recompose": bench_recompose,
}

if __name__ == "__main__":
    sys.exit(main(__doc__, BENCHES))

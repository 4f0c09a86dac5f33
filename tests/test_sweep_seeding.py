"""What a job of `hydra/launcher=lit_local` draws: what a fresh start of the app would draw."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.support import run

APP = """
import json
import random
import sys
{before}
import hydra


def draw():
    drawn = {{"random": random.random()}}
    if "numpy" in sys.modules:
        drawn["numpy"] = float(sys.modules["numpy"].random.rand())
    if "torch" in sys.modules:
        drawn["torch"] = float(sys.modules["torch"].rand(1))
    return drawn


def seed_here():
    for name, call in (("random", "seed"), ("numpy.random", "seed"), ("torch", "manual_seed")):
        if name in sys.modules:
            getattr(sys.modules[name], call)(7)


@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    print("DREW", json.dumps(draw()))
    seed_here()
    print("SEEDED", json.dumps(draw()))
    if "torch" in sys.modules:
        print("THREADS", sys.modules["torch"].get_num_threads())


if __name__ == "__main__":
{inside}
    main()
"""
ALL = "import numpy\nimport torch\n"
HELPER = """
import numpy


def seed_all(seed):
    random.seed(seed)
    numpy.random.seed(seed)


seed_all(11)
"""
# What is imported and seeded before the sweep, in the main block, and which generators that has seeded.
CASES: dict[str, tuple[str, str, set[str]]] = {
    "nothing": (ALL, "", set()),
    "random": ("import numpy\nrandom.seed(11)\n", "", {"random"}),
    "numpy": ("import numpy\nnumpy.random.seed(11)\n", "", {"numpy"}),
    "torch": (f"{ALL}torch.manual_seed(11)\n", "", {"torch"}),
    "helper": (HELPER, "", {"random", "numpy"}),
    "lightning": (
        "from lightning.pytorch import seed_everything\nseed_everything(11)\n",
        "",
        {"random", "numpy", "torch"},
    ),
    "main_block": ("import numpy\n", "    random.seed(11)\n    numpy.random.seed(11)", {"random", "numpy"}),
}


def sweep(folder: Path, *arguments: str) -> tuple[str, list[Path]]:
    """Run the app's sweep; return what it printed, and its jobs' folders."""
    done = run(
        sys.executable,
        "train.py",
        "-m",
        "hydra.launcher.progress=none" if "hydra/launcher=basic" not in arguments else "hydra.verbose=false",
        *arguments,
        cwd=folder,
        env={"OMP_NUM_THREADS": "", "MKL_NUM_THREADS": ""},
    )
    return done.stdout, [folder / "out" / str(number) for number in range(2)]


def said(text: str, mark: str) -> list[Any]:
    """What was printed with a mark."""
    return [json.loads(line.split(maxsplit=1)[1]) for line in text.splitlines() if line.startswith(mark)]


@pytest.fixture(scope="module")
def by_hydra(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Write each app once; return its folder, and what its first job draws by Hydra's own launcher."""
    known: dict[str, tuple[Path, dict[str, float], dict[str, float]]] = {}

    def get(case: str) -> tuple[Path, dict[str, float], dict[str, float]]:
        if case not in known:
            folder = tmp_path_factory.mktemp(case)
            before, inside, _ = CASES[case]
            (folder / "train.py").write_text(dedent(APP).format(before=before, inside=inside))
            text, _ = sweep(folder, "hydra/launcher=basic", "+a=1", "hydra.sweep.dir=basic")
            known[case] = (folder, said(text, "DREW")[0], said(text, "SEEDED")[0])
        return known[case]

    return get


# A forkserver's job has its random state as a spawned one has, whose imports take long.
RUNS = [
    *((case, "fork") for case in CASES),
    *((case, "forkserver") for case in ("nothing", "torch", "helper", "main_block")),
    *((case, "spawn") for case in ("random", "numpy", "torch", "main_block")),
]


@pytest.mark.parametrize(("case", "method"), RUNS)
def test_a_job_draws_what_a_first_job_does(case: str, method: str, by_hydra: Any) -> None:
    if case == "lightning" and find_spec("lightning") is None:
        pytest.skip("lightning is not installed")
    folder, drawn, seeded_in_task = by_hydra(case)
    by_the_app = CASES[case][2]
    ours = ("hydra/launcher=lit_local", f"hydra.launcher.start_method={method}", "hydra.launcher.threads_per_job=1")
    _, folders = sweep(folder, *ours, "+a=1,2", f"hydra.sweep.dir={folder}/out", "hydra.launcher.resume=false")
    logs = [(job / "job.log").read_text() for job in folders]
    jobs = [said(log, "DREW")[0] for log in logs]
    for name in drawn:
        if name in by_the_app:
            assert [job[name] for job in jobs] == [drawn[name]] * 2
        else:
            assert len({drawn[name], *(job[name] for job in jobs)}) == 3
    assert [said(log, "SEEDED")[0] for log in logs] == [seeded_in_task] * 2
    if "torch" in drawn:
        assert [said(log, "THREADS") for log in logs] == [[1]] * 2
    expected = {name: "by the app" if name in by_the_app else "afresh" for name in drawn}
    for job in folders:
        assert json.loads((job / "job.json").read_text())["attempts"][-1]["seeded"] == expected

"""Sweepers that search, on top of lit_local."""

from __future__ import annotations

import json
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lit_hydra_bridge.results.read import read_sweep
from tests.support import App
from tests.sweep_support import SweepApp, outcomes, until

pytestmark = pytest.mark.skipif(
    find_spec("hydra_plugins.hydra_optuna_sweeper") is None,
    reason="hydra-optuna-sweeper is not installed",
)
CONFIG = """
defaults:
  - override hydra/sweeper: optuna
  - override hydra/sweeper/sampler: tpe
  - _self_
x: 0.0
y: 1
hydra:
  sweeper:
    sampler: {seed: 123}
    direction: maximize
    study_name: quadratic
    storage: null
    n_trials: 20
    n_jobs: 2
    max_failure_rate: 1.0
    params:
      x: interval(-5.0, 5.0)
      y: choice(1, 2, 3)
"""
SCRIPT = """
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    if cfg.x > 4.5:
        raise ValueError("too far")
    return -((cfg.x - 1) ** 2) - cfg.y

if __name__ == "__main__":
    main()
"""


def _study(app: App, launcher: str, *more: str) -> tuple[Path, str]:
    folder = app.folder / launcher
    done = app.run("-m", f"hydra/launcher={launcher}", f"hydra.sweep.dir={folder}", *more)
    return folder, done.stdout + done.stderr


def test_an_optuna_study_is_that_of_the_basic_launcher(tmp_path: Path) -> None:
    app = App.create(tmp_path / "app", config=CONFIG)
    app.write("train.py", SCRIPT)
    basic, _ = _study(app, "basic")
    ours, said = _study(app, "lit_local")

    def results(folder: Path) -> object:
        return OmegaConf.to_container(OmegaConf.load(folder / "optimization_results.yaml"))

    def overrides(folder: Path) -> list[object]:
        files = [folder / str(number) / ".hydra" / "overrides.yaml" for number in range(20)]
        return [OmegaConf.to_container(OmegaConf.load(file)) for file in files]

    assert results(ours) == results(basic)
    assert overrides(ours) == overrides(basic)  # the sampler was told the same of every trial, failures included
    states = [json.loads((ours / str(number) / "job.json").read_text()) for number in range(20)]
    outcomes = [state["outcome"] for state in states]
    assert outcomes.count("failed") == said.count("Failed experiment: too far") > 0
    assert outcomes.count("completed") + outcomes.count("failed") == 20
    # One table, at the end, best first by the study's direction.
    best = max((state["return_value"], state["number"]) for state in states if state["outcome"] == "completed")
    assert said.count("best: job") == 1 and f"best: job {best[1]} (highest value" in said


def test_a_seeded_study_is_resumed(tmp_path: Path) -> None:
    app = App.create(tmp_path / "app", config=CONFIG)
    app.write("train.py", SCRIPT.replace("    return", '    open("ran.txt", "a").write(f"{cfg.x}\\n")\n    return'))
    first, _ = _study(app, "lit_local", "hydra.sweeper.n_trials=8")
    results = (first / "optimization_results.yaml").read_text()
    ran = (app.folder / "ran.txt").read_text()
    _, said = _study(app, "lit_local", "hydra.sweeper.n_trials=8")
    assert (first / "optimization_results.yaml").read_text() == results
    assert (app.folder / "ran.txt").read_text() == ran
    assert said.count("was completed before") == ran.count("\n")


def test_a_study_without_a_seed_goes_on_after_its_launcher_was_killed(tmp_path: Path) -> None:
    """The new study proposes other values; what the first one has completed stays as it is, and in the tables."""
    app = SweepApp.create(
        tmp_path / "app",
        """
        defaults: [{override hydra/sweeper: optuna}]
        x: 0.0
        hydra: {sweeper: {n_trials: 4, n_jobs: 2, direction: minimize, params: {x: 'interval(0, 1)'}}}
        """,
    )
    app.task("""
        from hydra.core.hydra_config import HydraConfig
        note("ran")
        if HydraConfig.get().job.num >= 2:
            hold()
        return cfg.x
    """)
    app.write("hold", "")
    with app.launch(*app.command()) as first:
        until(lambda: list(outcomes(app.out).values()).count("completed") == 2, "the first batch is done")
        until(lambda: app.notes()["ran"] == 4, "the second batch runs")
        first.signal(signal.SIGKILL)
        first.wait()
        app.wait_until_gone()
    before = {row.number: (row.folder, row.value) for row in read_sweep(app.out).rows if row.value is not None}
    (app.folder / "hold").unlink()

    done = app.resume()

    rows = {row.number: (row.folder, row.value) for row in read_sweep(app.out).rows if row.value is not None}
    assert len(before) == 2 and before.items() <= rows.items() and len(rows) == 6
    assert "6 completed (2 of them in an earlier launch)" in done.output
    assert app.notes()["ran"] == 8
    assert len((app.out / "results.csv").read_text().splitlines()) == 1 + 8

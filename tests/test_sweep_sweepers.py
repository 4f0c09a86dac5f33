"""Sweepers that search, on top of lit_local."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.support import App

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

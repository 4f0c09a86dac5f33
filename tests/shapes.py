"""Apps of several shapes, none of which knows of the bridge: a rerun must not depend on how an app is built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import NET, App, lit_hydra, run

# What every app does: train, and print the config that it was given.
TELL = """
    import json
    import os
    from hydra.core.hydra_config import HydraConfig
    hydra_cfg = HydraConfig.get()
    plain = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    told = dict(config=plain, num=OmegaConf.select(hydra_cfg, "job.num", throw_on_missing=False),
        cwd=os.getcwd(), output=hydra_cfg.runtime.output_dir, overrides=list(hydra_cfg.overrides.task),
        choices={group: str(option) for group, option in hydra_cfg.runtime.choices.items() if "/" not in group},
        types={key: type(cfg[key]).__name__ for key in cfg})
    print("TOLD", json.dumps(told, default=str), flush=True)
"""
TRAIN = """
    pl.seed_everything(cfg.seed, verbose=False)
    t = trainer(max_epochs=cfg.epochs, default_root_dir=hydra_cfg.runtime.output_dir)
    t.fit(Net(lr=cfg.model.lr), data(), ckpt_path=cfg.ckpt_path)
    print("ENDED at step", t.global_step)
"""
# Lightning takes seconds to import: where only the config is asked for (epochs=0), it is left alone.
TASK = """{tell}
    if not cfg.epochs:
        return
    from {net} import Net, data, trainer, pl
{train}


if __name__ == "__main__":
    main()
"""
SCRIPT = """
import hydra
from omegaconf import OmegaConf


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
{task}"""

GROUPS = {
    "conf/config.yaml": """
        defaults: [{model: small}, {optimizer: adam}, _self_]
        seed: 3
        epochs: 2
        ckpt_path: null
        rate: ${model.lr}
        callbacks: {first: {a: 1}, second: {b: 2}}
        """,
    "conf/model/small.yaml": "{kind: small, lr: 0.1, width: 4, act: relu}",
    "conf/model/large.yaml": "{kind: large, lr: 0.2, depth: 9}",
    "conf/optimizer/adam.yaml": "{name: adam, beta: 0.9}",
    "conf/optimizer/sgd.yaml": "{name: sgd, momentum: 0.5}",
    "conf/experiment/fast.yaml": """
        # @package _global_
        epochs: 0
        model: {lr: 0.7}
        """,
}

PACKAGE = """
from __future__ import annotations
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf


class Color(Enum):
    RED = 1
    BLUE = 2


@dataclass
class Model:
    lr: float = 0.1
    color: Color = Color.RED


@dataclass
class Config:
    model: Model = field(default_factory=Model)
    where: Path = Path("a b/c=d")
    seed: int = 5
    epochs: int = 1
    ckpt_path: str | None = None


ConfigStore.instance().store(name="schema", node=Config)


@hydra.main(version_base="1.3", config_path="configs", config_name="main")
def main(cfg):
{task}"""


@dataclass(frozen=True)
class Shape:
    """An app, and how it is started."""

    app: App
    command: list[str]
    env: dict[str, str] = field(default_factory=dict)

    def train(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the app itself."""
        return run(*self.command, *arguments, cwd=self.app.folder, env=self.env, check=check)

    def rerun(
        self, path: Path | str, *arguments: str, cwd: Path, check: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `lit-hydra rerun` from another folder."""
        return lit_hydra("rerun", str(path), *arguments, cwd=cwd, check=check, env={**self.env, **(env or {})})


def told(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What each run of the app said of its config."""
    return [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("TOLD ")]


def _filled(text: str, net: str = "net") -> str:
    task = TASK.replace("{tell}", TELL).replace("{train}", TRAIN).replace("{net}", net)
    return text.replace("{task}", task)


def groups_app(folder: Path) -> Shape:
    """A script with config groups."""
    app = App.create(folder)
    for name, text in GROUPS.items():
        app.write(name, text)
    (app.folder / "train.py").write_text(_filled(SCRIPT))
    return Shape(app, [sys.executable, "train.py"])


def chdir_app(folder: Path) -> Shape:
    """A script in a folder with a space and an equals sign that changes into its run's folder."""
    app = App.create(folder / "an app=1", "pytorch_lightning")
    app.write("src/net.py", NET.format(flavour="pytorch_lightning"))
    app.write("settings/base.yaml", "{model: {lr: 0.3}, seed: 1, epochs: 1, ckpt_path: null, 'a.b': {c: 1}}")
    app.write(
        "settings/top.yaml",
        "{defaults: [base, _self_], hydra: {job: {chdir: true}, run: {dir: 'runs/${now:%H%M%S%f}'}}}",
    )
    text = _filled(SCRIPT).replace('"conf", config_name="config"', '"../settings", config_name="x"')
    app.write("src/go.py", text)
    return Shape(app, [sys.executable, "src/go.py", "--config-name", "top"])


def module_app(folder: Path, flavour: str = "lightning.pytorch") -> Shape:
    """A package started by `python -m`, with structured configs."""
    app = App.create(folder, flavour)
    app.write("pkg/__init__.py", "")
    app.write("pkg/configs/__init__.py", "")
    app.write("pkg/configs/main.yaml", "{defaults: [schema, _self_], model: {lr: 0.4}}")
    (app.folder / "pkg" / "net.py").write_text(NET.format(flavour=flavour))
    (app.folder / "pkg" / "train.py").write_text(_filled(PACKAGE, net=".net"))
    return Shape(app, [sys.executable, "-m", "pkg.train"])


def console_app(folder: Path) -> Shape:
    """The same, started by a console script as pip writes it."""
    shape = module_app(folder)
    script = shape.app.write(
        "venv/bin/train-net", f"#!{sys.executable}\nimport sys\nfrom pkg.train import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    return Shape(shape.app, [sys.executable, str(script)], {"PYTHONPATH": str(shape.app.folder)})


SHAPES = {"groups": groups_app, "chdir": chdir_app, "module": module_app, "console": console_app}


def move_checkpoint(shape: Shape, to: Path) -> Path:
    """Take the app's one checkpoint away, and delete all that its runs have left."""
    (found,) = shape.app.checkpoints()
    to.mkdir(parents=True, exist_ok=True)
    moved = to / found.name
    os.replace(found, moved)  # noqa: PTH105
    for left in ("outputs", "runs", "multirun", ".hydra"):
        subprocess.run(["rm", "-rf", str(shape.app.folder / left)], check=True)
    return moved

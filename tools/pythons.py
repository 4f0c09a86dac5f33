"""Installs the wheel under each Python that setup.py names, with each line of Hydra, and uses it as a newcomer would.

    python tools/pythons.py [3.10 ...]

The environments are kept below .venvs/pythons, and share the files of uv's cache there: only the first run downloads.
For Linux PyPI has torch with CUDA alone, 3 GB; set UV_TORCH_BACKEND=cpu where PyTorch's own index can be reached. A
Python that is not here, or whose packages can't be downloaded, is NOT TESTED; only what was tested can fail.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venvs" / "pythons"
HYDRAS = ("hydra-core==1.3.8", "hydra-core>=1.4.0rc0,<1.5")
STEPS = ("scan", "train", "show", "rerun --verify", "sweep")
SHOWN = ("hydra-core", "torch", "lightning")
# Of this one a wheel for CPUs may lie on the disk.
TORCH = {"3.11": ["torch==2.13.0"]}
INSTALL_TIMEOUT_S, STEP_TIMEOUT_S = 400, 600

APP = """
import sys
import hydra
import lightning.pytorch as pl
import torch
from hydra.core.hydra_config import HydraConfig


class Line(pl.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.line = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        loss = self.line(batch).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


@hydra.main(config_path="conf", config_name="config", **({"version_base": "1.3"} if hydra.__version__ < "1.4" else {}))
def main(cfg):
    pl.seed_everything(1, verbose=False)
    quiet = dict(logger=False, enable_progress_bar=False, enable_model_summary=False)
    folder = HydraConfig.get().runtime.output_dir
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, default_root_dir=folder, **quiet)
    trainer.fit(Line(cfg.lr), torch.utils.data.DataLoader(torch.randn(8, 1), batch_size=4))
    return float(trainer.callback_metrics["loss"])


if __name__ == "__main__":
    main()
"""
SCAN = """
from hydra.core.plugins import Plugins
names = {plugin.__name__ for plugin in Plugins.instance().discover()}
assert names >= {"LitHydraBridgeSearchPath", "LitLocalLauncher", "LitCheckpointConfigSource"}, names
"""


@dataclass
class Row:
    """One Python with one Hydra."""

    python: str
    hydra: str
    interpreter: str | None
    verdict: str = "NOT TESTED: no such Python on PATH or in pyenv"
    steps: dict[str, str] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """What its environment and its log are called."""
        return f"{self.python}-hydra-{'1.3' if '==' in self.hydra else '1.4-pre'}"

    def cells(self) -> list[str]:
        """The row as it is printed."""
        steps = [self.steps.get(step, "-") for step in STEPS]
        return [self.name, *(self.versions or ["-"] * len(SHOWN)), *steps, f"{self.seconds:.0f}", self.verdict]


def named_pythons() -> list[str]:
    """The versions that the package's classifiers promise."""
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))


def find_python(version: str) -> str | None:
    """Return an interpreter: pyenv's newest, or one on the PATH. One of pyenv's shims may be there and not work."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = sorted(pyenv.glob(f"{version}.*/bin/python"), key=lambda path: int(path.parts[-3].rpartition(".")[2]))
    for candidate in [*map(str, reversed(found)), sys.executable, shutil.which(f"python{version}")]:
        if candidate is not None:
            asked = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            if subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == version:
                return candidate
    return None


def uv_settings() -> dict[str, str]:
    """What this machine's pip is told of indexes and constraints is told to uv."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    given = dict(re.findall(r"^(?:global|install)\.([\w-]+)='(.*)'$", listed.stdout, re.MULTILINE))
    names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS",
             "constraint": "UV_CONSTRAINT", "cert": "SSL_CERT_FILE"}  # fmt: skip
    settings = {names[key]: value for key, value in given.items() if key in names}
    # As pip does: the best version of all indexes.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **settings, **os.environ, "UV_CACHE_DIR": str(FOLDER / "cache")}


def run(command: Sequence[str], log: Path, cwd: Path, timeout_s: float, env: dict[str, str] | None = None) -> bool:
    """Run a command, its output going to the end of the log."""
    with log.open("a", encoding="utf-8") as output:
        output.write(f"$ {' '.join(command)}\n")
        output.flush()
        try:
            return subprocess.run(
                command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                timeout=timeout_s, check=False,
            ).returncode == 0  # fmt: skip
        except subprocess.TimeoutExpired:
            output.write(f"stopped after {timeout_s} seconds\n")
            return False


def build_wheel(log: Path, folder: Path) -> Path | None:
    """Build the wheel from a copy: what an earlier build has left in the repository would be in it."""
    sources, ignored = folder / "sources", shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("lit_hydra_bridge", "hydra_plugins"):
        shutil.copytree(ROOT / name, sources / name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources / name)
    if not run([uv(), "build", "-q", "--wheel", "-o", str(folder), str(sources)], log, ROOT, 200, uv_settings()):
        return None
    return next(folder.glob("*.whl"))


def uv() -> str:
    """Return the program: the one that belongs to this interpreter, or another."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else shutil.which("uv") or "uv"


def install(row: Row, wheel: Path, log: Path) -> bool:
    """Make the row's environment. Triton compiles for GPUs: 600 MB that nothing here asks for."""
    left_out = FOLDER / "left-out.txt"
    left_out.write_text("triton; sys_platform == 'never'\n", encoding="utf-8")
    place = str(FOLDER / row.name)
    anew = ["--upgrade", "--reinstall-package", "lit-hydra-bridge"]
    wanted = [*anew, "--overrides", str(left_out), str(wheel), row.hydra, *TORCH.get(row.python, [])]
    make = [uv(), "venv", "-q", "--allow-existing", "--python", str(row.interpreter), place]
    fill = [uv(), "pip", "install", "-q", "--python", place, *wanted]
    if not all(run(command, log, ROOT, INSTALL_TIMEOUT_S, uv_settings()) for command in (make, fill)):
        return False
    ask = f"from importlib.metadata import version; print(*[version(name) for name in {SHOWN}])"
    told = subprocess.run([f"{place}/bin/python", "-c", ask], capture_output=True, text=True, check=False)
    row.versions = told.stdout.split()
    return True


def use(row: Row, log: Path, folder: Path) -> None:
    """Take the steps; one that fails does not keep the others from being tried."""
    programs = FOLDER / row.name / "bin"
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "config.yaml").write_text("lr: 0.1\n", encoding="utf-8")
    (folder / "train.py").write_text(APP, encoding="utf-8")
    python, tool = str(programs / "python"), str(programs / "lit-hydra")
    sweep = [python, "train.py", "-m", "hydra/launcher=lit_local", "lr=0.1,0.2", "hydra.sweep.dir=sweep"]
    commands = {
        "scan": [python, "-W", "error", "-c", SCAN],
        "train": [python, "train.py", "hydra.run.dir=run"],
        "show": [tool, "show", "run"],
        "rerun --verify": [tool, "rerun", "run", "--verify"],
        "sweep": sweep,
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LIT_HYDRA"))}
    for step, command in commands.items():
        done = run(command, log, folder, STEP_TIMEOUT_S, {**clean, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""})
        row.steps[step] = "ok" if done else "FAILED"
    row.verdict = "FAILED" if "FAILED" in row.steps.values() else "ok"


def test(row: Row, wheel: Path, folder: Path) -> Row:
    """Install, and take the steps."""
    log = FOLDER / f"{row.name}.log"
    log.write_text("", encoding="utf-8")
    start = time.monotonic()
    if install(row, wheel, log):
        use(row, log, folder / row.name)
    else:
        lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
        row.verdict = f"NOT TESTED: packages could not be installed: {' '.join(lines[-1].split())[:100]}"
    row.seconds = time.monotonic() - start
    return row


def print_table(rows: Sequence[Row]) -> None:
    """One line for each row, and once more each that was left out."""
    heads = ["python and hydra", *SHOWN, *STEPS, "seconds", "verdict"]
    table = [heads, *(row.cells() for row in rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(heads))]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    for row in rows:
        if row.verdict.startswith("NOT"):
            print(f"{row.name} is {row.verdict}")


def main(names: Sequence[str]) -> int:
    """Test the named Pythons, or all of them."""
    pythons = named_pythons()
    if unknown := set(names) - set(pythons):
        print(f"setup.py names no such Python: {', '.join(sorted(unknown))}; it names {', '.join(pythons)}")
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = [Row(version, hydra, find_python(version)) for version in names or pythons for hydra in HYDRAS]
    here = [row for row in rows if row.interpreter is not None]
    log = FOLDER / "wheel.log"
    log.write_text("", encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="lit-hydra-pythons-") as temporary, ThreadPoolExecutor(2) as pool:
        wheel = build_wheel(log, Path(temporary))
        if wheel is None:
            print(log.read_text(encoding="utf-8"), "the wheel could not be built")
            return 1
        for row in pool.map(lambda row: test(row, wheel, Path(temporary)), here):
            print(f"{row.name}: {row.verdict}, log in .venvs/pythons/{row.name}.log", flush=True)
            if row.verdict == "FAILED":
                print("\n".join((FOLDER / f"{row.name}.log").read_text(encoding="utf-8").splitlines()[-40:]))
    print()
    print_table(rows)
    return int(any(row.verdict == "FAILED" for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The app that `bench/sweep.py` sweeps, and the launchers that it sweeps it with."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import PYTHON, ROOT

INSTALL_S = 180
AT_A_TIME = 2
# Threads are part of what is measured, so none may come in from outside; nor may anything of the bench itself.
NOT_INHERITED = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE", "LIT_HYDRA_BRIDGE", "HYDRA_MAIN_MODULE",
)  # fmt: skip

TRAINING = """
import json, os, sys, time
import torch
import lightning.pytorch as pl


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256), torch.nn.ReLU(),
            torch.nn.Linear(256, 10))

    def training_step(self, batch, _):
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def train(number, steps):
    torch.manual_seed(number)
    data = torch.utils.data.TensorDataset(torch.randn(64 * steps, 64), torch.randint(0, 10, (64 * steps,)))
    trainer = pl.Trainer(max_steps=steps, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False)
    net = Net()
    trainer.fit(net, torch.utils.data.DataLoader(data, batch_size=64))
    return float(sum(p.abs().sum() for p in net.parameters()))


def note(folder, began):
    path = os.path.join(folder, "times.json")
    with open(path + ".new", "w") as file:
        json.dump({"began": began, "ended": time.time(), "pid": os.getpid()}, file)
    os.rename(path + ".new", path)
"""

HYDRA_MAIN = """
import hydra
from hydra.core.hydra_config import HydraConfig


def misbehave(fault, mib):
    import ctypes, signal, threading
    if fault == "exception":
        raise ValueError("the faulty job says so")
    if fault == "exit":
        os._exit(3)
    if fault == "segfault":
        ctypes.string_at(0)
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "SystemExit":
        sys.exit(0)
    if fault == "hang":
        while True:
            time.sleep(3600)
    if fault == "flood":
        for _ in range(mib):
            sys.stdout.write(("x" * 127 + "\\n") * 8192)
    return threading.Lock() if fault == "unpicklable" else 0.0


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    began = time.time()
    result = 0.0
    if cfg.task == "train":
        result = train(cfg.number, cfg.steps)
    elif cfg.number == 1:
        result = misbehave(cfg.fault, cfg.flood_mib)
    else:
        time.sleep(cfg.sleep if cfg.number else min(cfg.sleep, 0.3))
    note(HydraConfig.get().runtime.output_dir, began)
    return result


if __name__ == "__main__":
    main()
"""

# No Hydra at all: what is left is what the machine itself costs.
BARE_MAIN = """
def fork(number, sweep):
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        began = time.time()
        folder = os.path.join(sweep, str(number))
        os.makedirs(folder)
        torch.set_num_threads(1)
        train(number, STEPS)
        note(folder, began)
        status = 0
    finally:
        os._exit(status)


def main(sweep, jobs, at_a_time):
    with open(os.path.join(os.environ["BENCH_NOTES"], "launch.json"), "w") as file:
        json.dump({"launched": time.time()}, file)
    running = set()
    for number in range(jobs):
        if len(running) == at_a_time:
            running.discard(os.wait()[0])
        running.add(fork(number, sweep))
    while running:
        running.discard(os.wait()[0])


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
"""

# A module of its own: a callback of the script's own __main__ could not be found in other processes.
CALLBACK = """
import atexit, json, os, resource, time
from hydra.experimental.callback import Callback


def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Launch(Callback):
    def on_multirun_start(self, config, **_):
        self.noted = {"launched": time.time(), "pid": os.getpid(), "composing": 0.0}
        if os.environ.get("BENCH_COMPOSING"):
            self.count_composing()
        self.noted["used"] = -used()
        self.write()
        atexit.register(self.at_exit)

    def count_composing(self):
        # lit_local makes most configs from others, without Hydra's own method.
        from lit_hydra_bridge.sweep.compose import FrozenConfigs
        compose, noted = FrozenConfigs._composed, self.noted

        def counted(*args, **kwargs):
            begun = time.process_time()
            try:
                return compose(*args, **kwargs)
            finally:
                noted["composing"] += time.process_time() - begun

        FrozenConfigs._composed = counted

    def at_exit(self):
        if os.getpid() == self.noted["pid"]:
            self.noted["used"] += used()
            self.write()

    def write(self):
        with open(os.path.join(os.environ["BENCH_NOTES"], "launch.json"), "w") as file:
            json.dump(self.noted, file)
"""

CONFIG = """
task: train
number: 0
steps: {steps}
fault: null
flood_mib: {flood_mib}
sleep: 0
hydra:
  callbacks:
    launch:
      _target_: bench_launch.Launch
"""


def write_app(folder: Path, *, steps: int, flood_mib: int) -> None:
    """Write the scripts and their config."""
    (folder / "conf").mkdir()
    (folder / "conf" / "config.yaml").write_text(CONFIG.format(steps=steps, flood_mib=flood_mib))
    (folder / "app.py").write_text(TRAINING + HYDRA_MAIN)
    (folder / "bare.py").write_text(TRAINING + f"\n\nSTEPS = {steps}\n\n" + BARE_MAIN)
    (folder / "bench_launch.py").write_text(CALLBACK)


@dataclass(frozen=True)
class Overlay:
    """Packages that come before those of the environment, for one launcher's processes alone."""

    name: str
    requirements: tuple[str, ...]
    with_dependencies: bool = False

    @property
    def path(self) -> Path:
        """Where it is installed; kept between runs."""
        return ROOT / ".venvs" / self.name

    def install(self) -> str | None:
        """Make sure that it is there; return why it can't be."""
        stamp, wanted = self.path / ".installed", " ".join(self.requirements)
        if stamp.exists() and stamp.read_text() == wanted:
            return None
        print(f"installing {wanted} into an overlay …", file=sys.stderr, flush=True)
        self.path.mkdir(parents=True, exist_ok=True)
        constraints = self.path.with_suffix(".constraints.txt")
        pins = (ROOT / "constraints.txt").read_text().splitlines()
        own = {requirement.partition("==")[0] for requirement in self.requirements}
        constraints.write_text("\n".join(pin for pin in pins if pin.partition("==")[0] not in own) + "\n")
        options = ["--upgrade", "--target", str(self.path), "-c", str(constraints)]
        if not self.with_dependencies:
            options.append("--no-deps")
        command = [PYTHON, "-m", "pip", "install", "-q", *options, *self.requirements]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
        except subprocess.TimeoutExpired:
            return f"not installed within {INSTALL_S} s"
        if done.returncode:
            return f"not installed: {(done.stderr.strip().splitlines() or ['pip failed'])[-1]}"
        stamp.write_text(wanted)
        return None


HYDRA_14 = ("hydra-core==1.4.0rc3", "omegaconf==2.4.1rc1")
OVERLAY_14 = Overlay("bench-hydra14", (*HYDRA_14, "hydra-joblib-launcher==1.4.0rc3"))
OVERLAY_RAY = Overlay("bench-ray", (*HYDRA_14, "hydra-ray-launcher==1.4.0rc3"), with_dependencies=True)
ONE_THREAD = (("OMP_NUM_THREADS", "1"),)


@dataclass(frozen=True)
class Peer:
    """One way of running a sweep."""

    name: str
    overrides: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    overlay: Overlay | None = None
    jobs: int | None = None
    """The most jobs that it is given, where it is slow."""

    @property
    def is_ours(self) -> bool:
        """Whether this is what is being judged."""
        return "hydra/launcher=lit_local" in self.overrides

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the environment of its first process."""
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        paths = [*([str(self.overlay.path)] if self.overlay else []), str(folder)]
        own = {"PYTHONPATH": os.pathsep.join(paths), "BENCH_NOTES": str(folder)}
        quiet = {"PYTHONWARNINGS": "ignore", "HYDRA_FULL_ERROR": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        # The others are measured as they are without us.
        switch = {} if self.is_ours else {"LIT_HYDRA_BRIDGE": "off"}
        return {**inherited, **own, **quiet, **switch, **dict(self.env)}

    def command(self, folder: Path, sweep: Path, jobs: int, *more: str) -> list[str]:
        """Return the command of a sweep."""
        place = f"hydra.sweep.dir={sweep}"
        return [PYTHON, str(folder / "app.py"), "-m", *self.overrides, f"number=range({jobs})", place, *more]


@dataclass(frozen=True)
class BareFork(Peer):
    """The limit to come near."""

    def command(self, folder: Path, sweep: Path, jobs: int, *more: str) -> list[str]:
        """Return the command of a sweep; it has no overrides to take."""
        return [PYTHON, str(folder / "bare.py"), str(sweep), str(jobs), str(AT_A_TIME)]


def _joblib(name: str, *more: str, **options: object) -> Peer:
    overrides = ("hydra/launcher=joblib", f"hydra.launcher.n_jobs={AT_A_TIME}", *more)
    return Peer(name, overrides, **options)  # type: ignore[arg-type]


def _ours(name: str, *more: str) -> Peer:
    return Peer(name, ("hydra/launcher=lit_local", *more))


BASIC = Peer("basic")
JOBLIB_12 = _joblib("joblib 1.2, loky")
JOBLIB_12_ONE = _joblib("joblib 1.2, loky, OMP_NUM_THREADS=1", env=ONE_THREAD)
MULTIPROCESSING = "hydra.launcher.backend=multiprocessing"
JOBLIB_14 = _joblib("joblib 1.4 pre, multiprocessing", MULTIPROCESSING, overlay=OVERLAY_14)
JOBLIB_14_ONE = _joblib(
    "joblib 1.4 pre, multiprocessing, OMP_NUM_THREADS=1", MULTIPROCESSING, overlay=OVERLAY_14, env=ONE_THREAD
)
SUBMITIT = Peer("submitit local", ("hydra/launcher=submitit_local",), jobs=8)
SUBMITIT_ONE = Peer("submitit local, OMP_NUM_THREADS=1", ("hydra/launcher=submitit_local",), ONE_THREAD, jobs=8)
RAY = Peer("ray 1.4 pre", ("hydra/launcher=ray", f"+hydra.launcher.ray.init.num_cpus={AT_A_TIME}"), overlay=OVERLAY_RAY)
BARE_FORK = BareFork("bare fork, no Hydra")
OURS = _ours("lit_local, defaults")
OURS_BY_METHOD = {
    method: _ours(f"lit_local, {method}", f"hydra.launcher.start_method={method}")
    for method in ("fork", "forkserver", "spawn")
}
PEERS = (
    BASIC, JOBLIB_12, JOBLIB_12_ONE, JOBLIB_14, JOBLIB_14_ONE, SUBMITIT, SUBMITIT_ONE, RAY, BARE_FORK,
    OURS, *OURS_BY_METHOD.values(),
)  # fmt: skip

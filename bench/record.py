"""What the bridge costs, always as a ratio or a difference measured in one run.

    python bench/record.py            all measurements
    python bench/record.py fit read   some of them

Prints one row a measurement, with its goal. Exit code 1 if a goal is missed.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import PYTHON, ROOT, Row, main, median_s, run

# 200 steps of the example's own MLP, a checkpoint after every fourth: 50 files. The two settings are interleaved
# inside one process, so that neither start-up nor the machine's drift is counted; only a switch differs.
FIT = """
import json, os, sys, time
import hydra, torch
sys.path.insert(0, {root!r})
import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from hydra.utils import instantiate

class FirstStep(Callback):
    def __init__(self, begun): self.begun, self.took = begun, None
    def on_train_batch_end(self, *_):
        if self.took is None: self.took = time.perf_counter() - self.begun

def fit(cfg, bridge, folder):
    os.environ["LIT_HYDRA_BRIDGE"] = "on" if bridge else "off"
    pl.seed_everything(1, verbose=False)
    begun = time.perf_counter()
    first = FirstStep(begun)
    saver = ModelCheckpoint(folder, every_n_train_steps=4, save_top_k=-1)
    trainer = pl.Trainer(max_steps=200, accelerator="cpu", devices=1, callbacks=[first, saver],
        enable_progress_bar=False, enable_model_summary=False, logger=False)
    data = torch.utils.data.TensorDataset(torch.randn(3200, 1, 8, 8), torch.randint(0, 10, (3200,)))
    trainer.fit(Digits(), torch.utils.data.DataLoader(data, batch_size=64))
    took = time.perf_counter() - begun
    assert len(os.listdir(folder)) == 50
    return took, first.took

class Digits(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 512), torch.nn.ReLU(),
            torch.nn.Linear(512, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
    def training_step(self, batch, _):
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])
    def configure_optimizers(self): return torch.optim.Adam(self.parameters(), lr=1e-3)

@hydra.main(version_base="1.3", config_path={conf!r}, config_name="config")
def main(cfg):
    rows = []
    for i in range({rounds} + 1):
        for bridge in ((True, False) if i % 2 else (False, True)):
            folder = os.path.join({folder!r}, f"{{i}}-{{bridge}}")
            took, first = fit(cfg, bridge, folder)
            if i: rows.append([i, bridge, took, first])
    json.dump(rows, open({out!r}, "w"))

main()
"""


def bench_fit(folder: Path, rounds: int = 7) -> Iterator[Row]:
    """A fit of 200 steps with 50 checkpoints, with the bridge and without."""
    script, out = folder / "fit.py", folder / "fit.json"
    conf = str(ROOT / "example_app" / "conf")
    script.write_text(FIT.format(root=str(ROOT), conf=conf, rounds=rounds, folder=str(folder / "fits"), out=str(out)))
    run(PYTHON, str(script), cwd=folder)
    rows = json.loads(out.read_text())
    with_bridge = {i: took for i, bridge, took, _ in rows if bridge}
    without = {i: took for i, bridge, took, _ in rows if not bridge}
    ratio = statistics.median(with_bridge[i] / without[i] for i in with_bridge)
    spread = f"{statistics.median(with_bridge.values()):.3f} s / {statistics.median(without.values()):.3f} s"
    yield Row("fit, 200 steps, 50 checkpoints: with / without", f"{ratio:.3f}  ({spread})", "<= 1.01", ratio <= 1.01)


def bench_first_step(folder: Path, rounds: int = 9) -> Iterator[Row]:
    """From Trainer() to the end of the first step, a fresh process each time."""
    script = folder / "first.py"
    body = (
        FIT.split("@hydra.main")[0]
        .replace("max_steps=200", "max_steps=1")
        .replace("    assert len(os.listdir(folder)) == 50\n", "")
    )
    main = (
        "@hydra.main(version_base='1.3', config_path={conf!r}, config_name='config')\n"
        "def main(cfg):\n    print('FIRST', fit(cfg, os.environ['BRIDGE'] == 'on', {folder!r})[1])\nmain()\n"
    )
    conf = str(ROOT / "example_app" / "conf")
    script.write_text((body + main).format(root=str(ROOT), conf=conf, folder=str(folder / "first"), rounds=0, out=""))

    def sample(switch: str) -> float:
        # Also in the environment, so that Hydra's plugin scan is counted with and without us as well.
        text = run(PYTHON, str(script), cwd=folder, env={"BRIDGE": switch, "LIT_HYDRA_BRIDGE": switch})
        return float(next(line for line in text.splitlines() if line.startswith("FIRST")).split()[1])

    pairs = [(sample("on"), sample("off")) for _ in range(rounds)]
    added = 1000 * statistics.median(on - off for on, off in pairs)
    yield Row("time to the first training step, added", f"{added:.1f} ms", "<= 30 ms", added <= 30)


def bench_size(folder: Path) -> Iterator[Row]:
    """Bytes that the record adds to a checkpoint of the example app."""
    for switch in ("on", "off"):
        command = [
            PYTHON,
            str(ROOT / "example_app" / "train.py"),
            f"hydra.run.dir={folder / switch}",
            "trainer.max_epochs=1",
        ]
        run(*command, cwd=folder, env={"LIT_HYDRA_BRIDGE": switch})
    size = {switch: next((folder / switch).rglob("last.ckpt")).stat().st_size for switch in ("on", "off")}
    added = (size["on"] - size["off"]) / 1024
    yield Row("added to a checkpoint of the example app", f"{added:.1f} KiB", "< 64 KiB", added < 64)


def bench_read(folder: Path) -> Iterator[Row]:
    """`read_record` against `torch.load` on 1 GB, and 1 GB against 1 MB."""
    import torch

    from lit_hydra_bridge import read_record

    donor = next((folder / "on").rglob("last.ckpt"), None)
    if donor is None:
        list(bench_size(folder))
        donor = next((folder / "on").rglob("last.ckpt"))
    record = torch.load(donor, weights_only=False)["lit_hydra_bridge"]
    paths = {}
    for name, numbers in (("1 MB", 250_000), ("1 GB", 250_000_000)):
        paths[name] = folder / f"{name}.ckpt"
        torch.save({"state_dict": {"w": torch.zeros(numbers)}, "lit_hydra_bridge": record}, paths[name])
    # In turns, so that a machine that drifts slows both.
    taken: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(301):
        for name, path in paths.items():
            begun = time.perf_counter()
            read_record(path)
            taken[name].append(time.perf_counter() - begun)
    small, large = (statistics.median(samples) for samples in taken.values())
    load = median_s(lambda: torch.load(paths["1 GB"], weights_only=True), 5)
    paths["1 GB"].unlink()
    yield Row(
        "torch.load / read_record, 1 GB",
        f"{load / large:.0f}  ({load:.2f} s / {1000 * large:.2f} ms)",
        ">= 500",
        load / large >= 500,
    )
    yield Row("read_record, 1 GB / 1 MB", f"{large / small:.2f}", "0.8 to 1.25", 0.8 <= large / small <= 1.25)


def bench_show(folder: Path) -> Iterator[Row]:
    """`lit-hydra show` as a whole process, beside a bare interpreter."""
    donor = next((folder / "on").rglob("last.ckpt"), None)
    if donor is None:
        list(bench_size(folder))
        donor = next((folder / "on").rglob("last.ckpt"))
    tool = str(Path(PYTHON).with_name("lit-hydra"))
    took = median_s(lambda: run(tool, "show", str(donor), cwd=folder), 11)
    bare = median_s(lambda: run(PYTHON, "-c", "", cwd=folder), 11)
    yield Row("lit-hydra show, whole process", f"{took:.3f} s  (bare python {bare:.3f} s)", "< 0.3 s", took < 0.3)


SCAN = """
import sys, time
from hydra.core.plugins import Plugins
import hydra_plugins.lit_hydra_bridge
names = [n for n in sys.modules if n.startswith(("lit_hydra_bridge", "hydra_plugins.lit_hydra_bridge"))]
for n in names: del sys.modules[n]
begun = time.perf_counter()
import importlib
importlib.import_module("hydra_plugins.lit_hydra_bridge")
importlib.import_module("hydra_plugins.lit_hydra_bridge.search_path")
importlib.import_module("hydra_plugins.lit_hydra_bridge.checkpoint_source")
print(1000 * (time.perf_counter() - begun))
assert "torch" not in sys.modules and "lightning" not in sys.modules and "rich" not in sys.modules
"""


def bench_scan(folder: Path) -> Iterator[Row]:
    """What our modules add to Hydra's plugin scan, each sample in a fresh interpreter."""
    took = statistics.median(float(run(PYTHON, "-c", SCAN, cwd=folder)) for _ in range(15))
    yield Row("our modules in Hydra's plugin scan", f"{took:.2f} ms", "<= 3 ms", took <= 3)


FACTORY = """
import time, hydra, torch, lightning.pytorch as pl
from lit_hydra_bridge.record.factories import lightning_callbacks
@hydra.main(version_base="1.3", config_path={conf!r}, config_name="config")
def main(cfg):
    lightning_callbacks()
    samples = []
    for _ in range(300):
        begun = time.perf_counter()
        lightning_callbacks()
        samples.append(time.perf_counter() - begun)
    print("MS", 1000 * sorted(samples)[150])
main()
"""


def bench_factory(folder: Path) -> Iterator[Row]:
    """What the entry point costs every Trainer after the first."""
    script = folder / "factory.py"
    script.write_text(FACTORY.format(conf=str(ROOT / "example_app" / "conf")))
    text = run(PYTHON, str(script), cwd=folder)
    took = float(next(line for line in text.splitlines() if line.startswith("MS")).split()[1])
    yield Row("entry-point factory, after the first Trainer", f"{took:.3f} ms", "< 1 ms", took < 1)


BENCHES: dict[str, Callable[[Path], Iterator[Row]]] = {
    "scan": bench_scan,
    "factory": bench_factory,
    "first": bench_first_step,
    "fit": bench_fit,
    "size": bench_size,
    "read": bench_read,
    "show": bench_show,
}


if __name__ == "__main__":
    sys.exit(main(__doc__, BENCHES))

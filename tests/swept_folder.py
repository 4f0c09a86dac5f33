"""A sweep's folder as lit_local leaves it, written in no time: for pages and tables of thousands of jobs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_hydra_bridge.sweep.folder import JobFolder, SweepFolder, SweepIdentity
from lit_hydra_bridge.sweep.job import Attempt, JobState, Outcome, Slot

START = 1_790_000_000.0
OPTIMIZERS = ("adam", "sgd", "lion")
COMMAND = ("/usr/bin/python3", "train.py", "-m", "hydra/launcher=lit_local", "lr=interval(1e-4,1)")


def write_sweep(folder: Path, jobs: int, *, epochs: int = 12, slots: int = 4, **more: Any) -> Path:
    """Write a sweep of `jobs` jobs with configs and curves; every eleventh failed, at its second attempt."""
    sweep = SweepFolder(folder)
    sweep.prepare()
    identity = SweepIdentity(
        id="s", created=START, program="train.py", task="main", config_name="config", overrides=(),
        command=COMMAND, cwd="/home/me/digits",
    )  # fmt: skip
    sweep.write_identity(identity)
    for number in range(jobs):
        write_job(folder / str(number), number, epochs=epochs, slots=slots, **more)
    return folder


def write_job(folder: Path, number: int, *, epochs: int, slots: int, overrides: Sequence[str] = ()) -> None:
    """Write one job: its state, the config that Hydra saves, and CSVLogger's file."""
    lr, depth, optimizer = 10 ** (-4 + 4 * _spread(number, 0.618)), 2 + number % 4, OPTIMIZERS[number % 3]
    given = (f"optimizer={optimizer}", f"lr={lr:.4g}", f"net.depth={depth}", *overrides)
    has_failed = number % 11 == 10
    losses = [_loss(lr, depth, optimizer, epoch) for epoch in range(epochs)]
    path = JobFolder(folder)
    path.write(
        JobState(
            number=number,
            sweep="s",
            overrides=given,
            attempts=_attempts(number, slots, has_failed),
            return_value=None if has_failed else losses[-1],
            metrics={} if has_failed else {"val_loss": losses[-1], "val_acc": math.exp(-losses[-1])},
            monitors={"val_loss": "min", "val_acc": "max"},
            checkpoints={"best": str(folder / "best.ckpt"), "monitor": "val_loss", "mode": "min"},
        )
    )
    (folder / "best.ckpt").touch()
    (folder / ".hydra").mkdir()
    config = f"optimizer: {optimizer}\nlr: {lr:.4g}\nnet:\n  depth: {depth}\n  width: 64\nseed: 1\n"
    (folder / ".hydra" / "config.yaml").write_text(config, encoding="utf-8")
    (folder / "csv").mkdir()
    lines = ["epoch,step,val_loss,val_acc"]
    lines += [f"{epoch},{epoch * 50 + 49},{loss:.6g},{math.exp(-loss):.6g}" for epoch, loss in enumerate(losses)]
    (folder / "csv" / "metrics.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _attempts(number: int, slots: int, has_failed: bool) -> tuple[Attempt, ...]:
    took = 40 + 30 * _spread(number, 0.324)
    started = START + number // slots * 75 + number % slots
    slot = Slot(devices=(str(number % slots),), threads=4)
    known = {"slot": slot, "host": "gpu-box", "pid": 100 + number, "start_method": "fork"}
    if not has_failed:
        return (Attempt(started=started, ended=started + took, outcome=Outcome.COMPLETED, **known),)
    return (
        Attempt(started=started, ended=started + 12, outcome=Outcome.KILLED, reason="SIGKILL", **known),
        Attempt(
            started=started + 13, ended=started + 30, outcome=Outcome.FAILED,
            reason="RuntimeError: loss is not finite", **known,
        ),
    )  # fmt: skip


def _loss(lr: float, depth: int, optimizer: str, epoch: int) -> float:
    best_lr = {"adam": -2.5, "sgd": -1.0, "lion": -3.2}[optimizer]
    floor = 0.12 + 0.1 * abs(math.log10(lr) - best_lr) + 0.03 * abs(depth - 4)
    return floor + 2.1 * math.exp(-epoch * (0.2 + lr**0.25)) + 0.01 * math.sin(epoch * 3 + lr * 1e4)


def _spread(number: int, step: float) -> float:
    return (number * step) % 1


def page_data_of(text: str) -> Any:
    """Return the data that stands in a page."""
    return json.loads(text.partition('id="data">')[2].partition("</script>")[0])

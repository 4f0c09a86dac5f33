"""Lightning's `hpc_ckpt_N.ckpt` in a job's own folder, and what it lacks to go on exactly: for each rank the random
state, and where in the training data it was.

<job>/hpc_ckpt_1.ckpt           Lightning's checkpoint
<job>/hpc_ckpt_1.rank-0.pickle  beside it, of each rank
"""

from __future__ import annotations

import pickle
import random
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_hydra_bridge.sweep.checkpoints import can_go_on


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a rank's training was when it was saved."""

    fit: int
    """Which `fit` of the process it was, counted from 1: an app may call several."""
    batches: int = 0
    """How many of the epoch's batches were done; 0: it was between two epochs."""
    now: dict[str, Any] = field(default_factory=dict)
    """The random state after the last of them."""
    at_iter: dict[str, Any] = field(default_factory=dict)
    """And before the epoch's data loaders were begun."""
    at_first: dict[str, Any] = field(default_factory=dict)
    """And before the first batch was taken."""


def saved_in(folder: Path) -> Path | None:
    """Return the newest whole one."""
    for path in sorted(_all(folder), key=_number, reverse=True):
        if (path.is_dir() or can_go_on(path)) and position_file(path, 0).exists():
            return path
    return None


def next_in(folder: Path) -> Path:
    """Return the path of the next one, as Lightning counts."""
    return folder / f"hpc_ckpt_{max(map(_number, _all(folder)), default=0) + 1}.ckpt"


def remove(folder: Path, *, but: Path | None = None) -> None:
    """Remove those that are not needed any more."""
    import shutil

    for path in _all(folder):
        if path != but:
            for file in (path, *folder.glob(f"{path.stem}.rank-*.pickle")):
                with suppress(OSError):
                    shutil.rmtree(file) if file.is_dir() else file.unlink()


def position_file(checkpoint: Path, rank: int) -> Path:
    """Return where a rank's position stands."""
    return checkpoint.with_name(f"{checkpoint.stem}.rank-{rank}.pickle")


def write_position(checkpoint: Path, rank: int, position: Position) -> None:
    """Write it beside the checkpoint."""
    position_file(checkpoint, rank).write_bytes(pickle.dumps(position))


def read_position(checkpoint: Path, rank: int) -> Position | None:
    """Return it; None where it can't be read, as with another number of ranks."""
    try:
        found = pickle.loads(position_file(checkpoint, rank).read_bytes())
    except Exception:
        return None
    return found if isinstance(found, Position) else None


def random_state() -> dict[str, Any]:
    """Return the state of each generator that is loaded."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    state: dict[str, Any] = {"random": random.getstate()}
    if numpy is not None:
        state["numpy"] = numpy.random.get_state()
    if torch is not None:
        state["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Put it back."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if "random" in state:
        random.setstate(state["random"])
    if "numpy" in state and numpy is not None:
        numpy.random.set_state(state["numpy"])
    if "torch" in state and torch is not None:
        torch.set_rng_state(state["torch"])
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"])


def _all(folder: Path) -> list[Path]:
    return [path for path in folder.glob("hpc_ckpt_*.ckpt") if re.fullmatch(r"hpc_ckpt_\d+", path.stem)]


def _number(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])

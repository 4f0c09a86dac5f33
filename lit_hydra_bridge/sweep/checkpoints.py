"""Which checkpoint of its own a job goes on from, and which config key takes it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.progress import Progress, last_progress
from lit_hydra_bridge.sweep.job import Attempt, Outcome

KEY: Final = "ckpt_path"


def to_go_on_from(folder: Path, attempts: Sequence[Attempt]) -> Path | None:
    """Return the checkpoint from which a job goes on; None where it begins anew.

    A task that has begun several trainings is handed one checkpoint, and nothing says which of them it belongs to. And
    a task that has failed in another way than before, after a training that had nothing left to do, may need what only
    a training leaves behind in its process.

    Args:
        folder: the job's.
        attempts: up to now.
    """
    progress = last_progress(folder / "progress.json")
    if progress is not None and (progress.fits > 1 or _needs_training(progress, attempts)):
        return None
    return newest_checkpoint(folder)


def _needs_training(progress: Progress, attempts: Sequence[Attempt]) -> bool:
    if progress.fit.get("trained", True) or len(attempts) < 2:
        return False
    return attempts[-1].outcome is Outcome.FAILED and attempts[-1].reason != attempts[-2].reason


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint below a job's folder from which a training can go on.

    One that was being written when the job died is no whole zip file, and one without the optimizer's state has the
    weights alone: both are skipped.
    """
    found = [path for path in folder.rglob("*.ckpt") if path.is_file() or (path / "meta.pt").is_file()]
    for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name == "last.ckpt"), reverse=True):
        if path.is_dir() or can_go_on(path):
            return path
    return None


def can_go_on(path: Path) -> bool:
    """Tell whether a checkpoint is a whole file, with the optimizer's state in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
            return name is not None and b"optimizer_states" in archive.read(name)
    except (OSError, zipfile.BadZipFile, NotImplementedError):
        return False


def continue_from(config: Any, checkpoint: Path) -> bool:
    """Set the config's own, empty `ckpt_path` to a checkpoint; return False where it has none.

    The one at the top is taken; or one deeper, if there is just one.
    """
    from omegaconf import OmegaConf, open_dict, read_write

    empty = [key for key, value in _keys(config, "") if value is None]
    chosen = KEY if KEY in empty else empty[0] if len(empty) == 1 else None
    if chosen is None:
        return False
    with read_write(config), open_dict(config):
        OmegaConf.update(config, chosen, str(checkpoint))
    return True


def _keys(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    from omegaconf import OmegaConf

    if not OmegaConf.is_dict(node) or node._is_none() or node._is_missing() or node._is_interpolation():
        return
    for key in node:
        if not path and key == "hydra":
            continue
        here = f"{path}.{key}" if path else str(key)
        child = node._get_node(key)
        if key == KEY:
            yield here, child._value() if child is not None else None
        elif OmegaConf.is_config(child):
            yield from _keys(child, here)

"""Which checkpoint of its own a job goes on from, and which config key takes it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

KEY: Final = "ckpt_path"


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint below a job's folder from which a training can go on.

    One that was being written when the job died is no whole zip file, and one without the optimizer's state has the
    weights alone: both are passed over.
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

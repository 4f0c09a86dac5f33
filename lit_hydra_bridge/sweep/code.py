"""Which code a sweep's jobs run: the app's own Python files, by content.

Those are the files in the script's folder and in every package that the app has imported and that is not installed,
also the modules that only a job imports. Each state of them is kept once, in `.sweep/code`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.files import DamagedFileError, read_json, write_json
from lit_hydra_bridge.sweep.folder import SweepFolder

_OURS: Final = ("lit_hydra_bridge", "hydra_plugins")
_MOST_FILES: Final = 5000
_MOST_ENTRIES: Final = 2000
"""A folder with more, and no Python file among the first, is one of data."""


class Code:
    """The app's files when it was launched.

    Args:
        task: the app's task function.
    """

    def __init__(self, task: Callable[..., Any]) -> None:
        found: dict[str, str] = {}  # by path; a package's name for a file comes before the script's
        for name, path in islice(_sources(task), _MOST_FILES):
            found.setdefault(path, name)
        self._files = {}
        for path, name in found.items():
            with suppress(OSError):
                self._files[name] = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
        self._changed: dict[str | None, list[str] | None] = {None: []}
        self.id = hashlib.sha256(json.dumps(self._files, sort_keys=True).encode()).hexdigest()[:16]

    def write(self, folder: SweepFolder) -> None:
        """Keep it, for later launches.

        Raises:
            OSError: it can't be written.
        """
        path = _kept(folder, self.id)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            write_json(path, self._files)

    def changed_since(self, folder: SweepFolder, earlier: str | None) -> list[str] | None:
        """Return the files that have changed or gone since a state was kept; None where that can't be told.

        Files that have come since are no change: what uses them has changed itself.
        """
        earlier = earlier if earlier is None else str(earlier)  # job.json may hold anything
        if earlier not in self._changed:
            self._changed[earlier] = self._compared(_kept(folder, str(earlier))) if earlier != self.id else []
        return self._changed[earlier]

    def _compared(self, kept: Path) -> list[str] | None:
        try:
            then: Mapping[str, str] | None = read_json(kept, dict)
        except (DamagedFileError, TypeError):
            return None
        return (
            None
            if then is None
            else [name for name, content in sorted(then.items()) if self._files.get(name) != content]
        )


def _kept(folder: SweepFolder, id: str) -> Path:
    return folder.own / "code" / f"{os.path.basename(id)}.json"


def _sources(task: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    """Give name and path of each file."""
    of_task = str(getattr(task, "__module__", "")).partition(".")[0]
    for name, module in sorted(sys.modules.items()):
        if "." in name or name.startswith("__") or name in _OURS:
            continue
        file = getattr(module, "__file__", None)
        folders = [str(path) for path in getattr(module, "__path__", None) or ()]
        for folder in folders if name == of_task else filter(_is_own, folders):
            yield from _below(folder, os.path.dirname(folder))
        if not folders and file and file.endswith(".py") and _is_own(file):
            yield os.path.basename(file), os.path.abspath(file)
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script and script.endswith(".py") and _is_own(script):
        folder = os.path.dirname(os.path.abspath(script))
        yield from _below(folder, folder)


def _is_own(path: str) -> bool:
    """Tell whether a file is the app's, and not an installed library's or Python's own."""
    place = os.path.abspath(path)
    return not place.startswith(_installed()) and "site-packages" not in place


@functools.cache
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(f"{paths[name]}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _below(folder: str, root: str, *, is_top: bool = True) -> Iterator[tuple[str, str]]:
    """Give the files of a folder, and of those below it that have Python files themselves."""
    with suppress(OSError), os.scandir(folder) as entries:
        there = sorted(islice(entries, _MOST_ENTRIES), key=lambda entry: entry.name)
        sources = [entry.path for entry in there if entry.name.endswith(".py") and entry.is_file()]
        yield from ((os.path.relpath(path, root), path) for path in sources)
        if sources or is_top:
            for entry in there:
                if entry.name[0] != "." and entry.is_dir(follow_symlinks=False):
                    yield from _below(entry.path, root, is_top=False)

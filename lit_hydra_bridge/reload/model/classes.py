"""A recorded class's name -> the class, imported here.

A run's classes may lie beside its script, in a folder that is not importable from here; or in the script itself,
where their module was `__main__`, which is another program now:

    pkg.net.Net    imported, while the recorded program's folders stand on sys.path
    __main__.Net   this process's own, if it has one; else the recorded script, imported under a private name
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from lit_hydra_bridge.errors import ModelError
from lit_hydra_bridge.record.run_record import RunRecord
from lit_hydra_bridge.reload.weights import brief

_MAIN: Final = ("__main__", "__mp_main__")
_ABSENT: Final = object()


class _TaskReachedError(BaseException):
    """A script without `if __name__ == "__main__"` came to its task: all that it defines before is there."""


class ClassFinder:
    """Finds the classes that a record names.

    Args:
        record: the run's record; None where a checkpoint has none.
        guarded: whether the caller's whitelist decides what may run. Then nothing is imported because the record
            says so: neither its script, nor from its folders.
    """

    def __init__(self, record: RunRecord | None, *, guarded: bool) -> None:
        self._record = record
        self._scripts: list[ModuleType] = []
        self.guarded = guarded
        self.folders = [] if guarded or record is None else _program_folders(record)

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Put the recorded program's folders first on sys.path, as they were in the run, for a while."""
        added = [folder for folder in self.folders if folder not in sys.path]
        sys.path[:0] = added
        try:
            yield
        finally:
            for folder in added:
                with suppress(ValueError):  # the app may have tidied up
                    sys.path.remove(folder)

    def find(self, name: str) -> Any:
        """Return the class or function of a recorded dotted name.

        Raises:
            ModelError: it can't be imported here.
        """
        here = self.name_here(name)
        module_name, _, attribute = here.rpartition(".")
        problem: Exception | None = None
        inner = [attribute]
        while module_name:
            try:
                return _attribute(importlib.import_module(module_name), inner)
            except ModuleNotFoundError as error:
                problem = problem or error
            except Exception as error:  # whatever the module's own code raises
                raise self.not_found(name, brief(error)) from error
            module_name, _, outer = module_name.rpartition(".")
            inner = [outer, *inner]
        raise self.not_found(name, str(problem)) from problem

    def name_here(self, name: str) -> str:
        """Return a recorded dotted name as it is in this process; importing the script, where it was `__main__`.

        Raises:
            ModelError: it was `__main__`, and there is no script to take it from.
        """
        module, _, rest = name.partition(".")
        if module not in _MAIN:
            return name
        path = rest.split(".")
        if _has(sys.modules.get("__main__"), path):
            return f"__main__.{rest}"
        if self.guarded:
            raise ModelError(
                f"{name} was defined in the training script, which is not imported under an execution whitelist; "
                "import the class yourself and pass model_class="
            )
        for script in self._main_modules(path[0]):
            if _has(script, path):
                return f"{script.__name__}.{rest}"
        raise self.not_found(name, "it was defined in the training script, and that is not here, or has it no more")

    def name_here_if_loaded(self, name: str) -> str:
        """Return a recorded dotted name as it is in this process, where nothing has to be imported for that."""
        module, _, rest = name.partition(".")
        if module in _MAIN:
            for loaded in [sys.modules.get("__main__"), *self._scripts]:
                if loaded is not None and _has(loaded, rest.split(".")):
                    return f"{loaded.__name__}.{rest}"
        return name

    def not_found(self, name: str, reason: str) -> ModelError:
        """Return the error that says where a class was looked for."""
        looked = f"sys.path and {', '.join(self.folders)}" if self.folders else "sys.path"
        return ModelError(
            f"{name} can't be imported: {reason}; looked in {looked}. Put its folder on PYTHONPATH, or import the "
            "class yourself and pass model_class="
        )

    def _main_modules(self, name: str) -> Iterator[ModuleType]:
        """Import what was `__main__` in the run, as far as it is here and speaks of `name`."""
        entry = self._record.entry if self._record is not None else None
        if entry is None:
            return
        # Under `python -m` its name can be imported: `__name__` is that then, and the program does not start.
        for module in (entry.module, f"{entry.module}.__main__") if entry.module else ():
            if _can_be_found(module):
                yield self._imported(name, module, importlib.import_module)
        # In a launcher's worker the script is the worker's; the task's own file is the app's.
        for file in dict.fromkeys([entry.task_file, entry.script]):
            if file and Path(file).is_file() and name in Path(file).read_text(encoding="utf-8", errors="replace"):
                yield self._imported(name, file, _import_script)

    def _imported(self, name: str, program: str, import_it: Callable[[str], ModuleType]) -> ModuleType:
        try:
            with _without_starting_a_task(program):
                module = import_it(program)
        except _TaskReachedError:
            raise self.not_found(f"__main__.{name}", f"{program} starts its task when it is imported") from None
        except Exception as error:  # whatever the script's own code raises
            raise self.not_found(f"__main__.{name}", f"{program} can't be imported: {brief(error)}") from error
        self._scripts.append(module)
        return module


def _program_folders(record: RunRecord) -> list[str]:
    """The folders from which the recorded program may have imported its own modules, as far as they are here."""
    entry, found = record.entry, []
    for file in (entry.script, entry.task_file):
        if file and Path(file).is_file() and Path(file).suffix == ".py":
            folder = Path(file).parent
            found.append(folder)
            while (folder / "__init__.py").is_file() and folder != folder.parent:
                folder = folder.parent
            found.append(folder)
    found += [Path(place) for place in (entry.cwd, record.source.root if record.source else None) if place]
    found += [folder / "src" for folder in found]
    return list(dict.fromkeys(str(folder) for folder in found if folder.is_absolute() and folder.is_dir()))


def _attribute(module: ModuleType, path: list[str]) -> Any:
    found: Any = module
    for i, name in enumerate(path):
        found = getattr(found, name, _ABSENT)
        if found is _ABSENT:
            raise ModuleNotFoundError(f"{module.__name__} has no {'.'.join(path[: i + 1])!r}")
    return found


def _has(module: ModuleType | None, path: list[str]) -> bool:
    try:
        return module is not None and _attribute(module, path) is not None
    except ModuleNotFoundError:
        return False


def _can_be_found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, AttributeError, ValueError):  # of the package that it lies in
        return False


def _import_script(file: str) -> ModuleType:
    """Import a script under a name of its own, so that its `if __name__ == "__main__"` part does not run."""
    digest = hashlib.sha256(str(Path(file).resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    name = f"lit_hydra_bridge_script_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except _TaskReachedError:
        pass
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _without_starting_a_task(script: str) -> Iterator[None]:
    """Keep a script from running its task, where it calls it without asking for `__name__`; and Hydra's version base.

    Done deep inside Hydra, so that the decorator leaves the very function that it leaves otherwise.
    """
    from hydra.version import VersionBase

    def stop(**_: Any) -> None:
        raise _TaskReachedError

    main: Any = importlib.import_module("hydra.main")
    run = getattr(main, "_run_hydra", None)
    version = VersionBase.instance()
    base, argv = version.version_base, sys.argv
    if run is not None:
        main._run_hydra = stop
    sys.argv = [script]  # Hydra reads it before it comes to the task
    try:
        yield
    finally:
        if run is not None:
            main._run_hydra = run
        version.version_base, sys.argv = base, argv

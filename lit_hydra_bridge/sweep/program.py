"""The app, as a job's process needs it: the task function, Hydra's context, and what the app has registered.

A forked job has it all. A fresh process imports the app's main module under the name `__mp_main__`, finds the task
function there by its name, and is handed what was registered elsewhere. Functions without a name (closures, the cells
of a notebook) go by value.
"""

from __future__ import annotations

import inspect
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lit_hydra_bridge.errors import SweepError
from lit_hydra_bridge.hydra_seams import private
from lit_hydra_bridge.sweep.seeding import RandomState

UNGUARDED: Final = """\
{script}: this script starts its Hydra app whenever it is imported, and a job that is not forked has to import it. \
Guard the last line:

    if __name__ == "__main__":
        main()
"""
_MOST_WRAPPERS: Final = 100


@dataclass(frozen=True, kw_only=True)
class Program:
    """What runs a job."""

    task_function: Callable[..., Any]
    hydra_context: Any

    @property
    def name(self) -> str:
        """Of the task; an object is called as its class."""
        task = self.task_function
        return str(getattr(task, "__qualname__", type(task).__qualname__))


@dataclass(frozen=True, kw_only=True)
class _Reference:
    """A function's place: the module, its name there, and how many wrappers are around it."""

    module: str
    name: str
    depth: int


@dataclass(frozen=True, kw_only=True)
class PackedProgram:
    """A program for a process that does not come from a fork of this one."""

    main: dict[str, Any]
    """What `multiprocessing.spawn.prepare` needs to import the main module."""
    task: _Reference | bytes
    state: bytes
    """Hydra's context and singletons."""
    resolvers: dict[str, bytes] = field(default_factory=dict)
    """omegaconf resolvers that are not omegaconf's or Hydra's own."""
    random_state: RandomState = field(default_factory=RandomState)
    """The launcher's; it is restored once the program is unpacked."""
    command: list[str] = field(default_factory=lambda: list(sys.orig_argv))
    """The launcher's: a record says with it how the program was started."""

    def unpack(self) -> Program:
        """Import the app, and return the program.

        Raises:
            SweepError: the app can't be imported so.
        """
        import multiprocessing.spawn

        from hydra.core.plugins import Plugins
        from hydra.core.singleton import Singleton
        from hydra.core.utils import setup_globals

        sys.orig_argv = list(self.command)
        places = _plugin_places()
        with _no_nested_app():
            multiprocessing.spawn.prepare(dict(self.main))
            self._show_package_main()
        setup_globals()
        task = pickle.loads(self.task) if isinstance(self.task, bytes) else _found(self.task)
        plugins = Singleton._instances.get(Plugins) if places == _plugin_places() else None
        context, Singleton._instances = loads(self.state)
        if plugins is not None:  # scanned once, by the process that this one is a fork of
            Singleton._instances[Plugins] = plugins
        Plugins.instance()  # else it scans now what is installed, as that was not handed over
        self._register_resolvers()
        return Program(task_function=task, hydra_context=context)

    def _show_package_main(self) -> None:
        """A package's `__main__` is left alone by multiprocessing; it is imported if the task is there.

        In any case its place is known, as Lightning looks there for how to start further ranks.
        """
        from importlib import import_module
        from importlib.util import find_spec

        name = str(self.main.get("init_main_from_name") or "")
        if not name.endswith(".__main__"):
            return
        if isinstance(self.task, _Reference) and self.task.module == name:
            sys.modules["__main__"] = sys.modules["__mp_main__"] = import_module(name)
        elif (spec := find_spec(name)) is not None:
            sys.modules["__main__"].__spec__ = spec
            sys.modules["__main__"].__file__ = spec.origin

    def _register_resolvers(self) -> None:
        from omegaconf import OmegaConf
        from omegaconf.basecontainer import BaseContainer

        for name, packed in self.resolvers.items():
            if not OmegaConf.has_resolver(name):
                with suppress(Exception):  # the config says so, should it be needed
                    BaseContainer._resolvers[name] = pickle.loads(packed)


def _plugin_places() -> list[str]:
    """Where Hydra looks for plugins; an app may bring some of its own."""
    from importlib import import_module

    with suppress(ImportError):
        return list(import_module("hydra_plugins").__path__)
    return []


def pack(program: Program) -> PackedProgram:
    """Pack a program.

    Raises:
        SweepError: the task function has no name, and can't be pickled by value.
    """
    from hydra.core.singleton import Singleton

    task = program.task_function
    try:
        packed_task = _reference(task) or dumps(task)
    except Exception as error:
        raise SweepError(
            f"the task function {getattr(task, '__qualname__', task)!r} can't be handed to another process "
            f"({type(error).__name__}: {error}); define it at the top of a module, or take "
            "hydra.launcher.start_method=fork"
        ) from None
    return PackedProgram(
        main=_main_module(),
        task=packed_task,
        state=_packed_state(program.hydra_context, Singleton.get_state()["instances"]),
        resolvers=dict(_own_resolvers()),
        random_state=RandomState.of_this_process(),
    )


def _packed_state(context: Any, singletons: Any) -> bytes:
    try:
        return dumps((context, singletons))
    except Exception:  # a Hydra callback with a lock in it; it is made again from the job's config
        return dumps((replace(context, callbacks=None), singletons))


def dumps(value: Any) -> bytes:
    """Pickle by reference where that works; else by value, as far as there is no name."""
    try:
        return pickle.dumps(value)
    except Exception:
        import cloudpickle

        packed: bytes = cloudpickle.dumps(value)
        return packed


def loads(packed: bytes) -> Any:
    """Unpickle, in a job's process, what `dumps` gave in the launcher's.

    Raises:
        SweepError: it has something of the app's main module that is not there once that is imported.
    """
    try:
        return pickle.loads(packed)
    except AttributeError as error:
        if "__main__'" not in str(error) and "__mp_main__'" not in str(error):
            raise
        raise SweepError(
            f"{error}: a job that is not forked imports the script, and what is defined below "
            '`if __name__ == "__main__":` is not there; define it at the top of the file, or take '
            "hydra.launcher.start_method=fork"
        ) from None


def _main_module() -> dict[str, Any]:
    from multiprocessing import spawn

    given = spawn.get_preparation_data("job")
    if not os.path.isfile(given.get("init_main_from_path") or ""):  # a program read from the standard input
        given.pop("init_main_from_path", None)
    wanted = ("sys_path", "orig_dir", "dir", "init_main_from_name", "init_main_from_path")
    return {key: given[key] for key in wanted if key in given}


def _reference(task: Any) -> _Reference | None:
    """Return where a function is to be found by name; None where it is not."""
    module, name = getattr(task, "__module__", None), getattr(task, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name:
        return None
    if module == "__main__" and not _main_is_importable():
        return None
    for depth, found in enumerate(_unwrapped(_named(sys.modules.get(module), name))):
        if found is task:
            return _Reference(module=_importable_name(module), name=name, depth=depth)
    return None


def _importable_name(module: str) -> str:
    """A package's `__main__` is not imported anew under another name, but by its own."""
    name = getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", "") or ""
    return name if module == "__main__" and name.endswith(".__main__") else module


def _found(reference: _Reference) -> Callable[..., Any]:
    from importlib import import_module

    module = sys.modules.get(reference.module) or import_module(reference.module)
    for depth, found in enumerate(_unwrapped(_named(module, reference.name))):
        if depth == reference.depth and callable(found):
            return found  # type: ignore[no-any-return]
    raise SweepError(
        f"{getattr(module, '__file__', reference.module)}: the task function {reference.name!r} is not there once the "
        "script is imported by a job's process; define it at the top of the file, or take "
        "hydra.launcher.start_method=fork"
    )


def _named(module: Any, name: str) -> Any:
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _unwrapped(function: Any) -> Iterator[Any]:
    """A function, what it wraps, and so on."""
    for _ in range(_MOST_WRAPPERS):
        if function is None:
            return
        yield function
        function = inspect.getattr_static(function, "__wrapped__", None)


def _main_is_importable() -> bool:
    return not {"init_main_from_name", "init_main_from_path"}.isdisjoint(_main_module())


def _own_resolvers() -> Iterator[tuple[str, bytes]]:
    from omegaconf.basecontainer import BaseContainer

    known = {"now", "hydra", "python_version"}
    resolvers: Mapping[str, Any] = BaseContainer._resolvers
    for name, resolver in resolvers.items():
        if name not in known and not name.startswith("oc."):
            with suppress(Exception):  # the job's own import of the app may register it
                yield name, dumps(resolver)


@contextmanager
def _no_nested_app() -> Iterator[None]:
    """While the app is imported, turn the start of its Hydra app into an error that says what to do."""
    lost = 'a script without `if __name__ == "__main__":` is started again by each job'
    original = private("hydra.main", "_run_hydra", lost)
    module: Any = sys.modules["hydra.main"]  # the attribute `hydra.main` is the function
    if original is None:
        yield
        return

    def refuse(*_: Any, **__: Any) -> Any:
        main = sys.modules.get("__mp_main__")
        script = getattr(main, "__file__", None) or sys.argv[0]
        raise SweepError(UNGUARDED.format(script=script))

    module._run_hydra = refuse
    try:
        yield
    finally:
        module._run_hydra = original

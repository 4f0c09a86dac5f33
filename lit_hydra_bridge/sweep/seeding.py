"""The random state of a job's process: what a fresh start of the app would have.

A forked job has its parent's numpy and torch state, and Python's `random` has re-seeded itself. So a generator that the
app has seeded before the launch keeps its state, as in the first job of Hydra's basic launcher; any other is seeded
afresh, so that no two jobs draw the same numbers.
"""

from __future__ import annotations

import ast
import os
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, Final

AFRESH: Final = "afresh"
BY_THE_APP: Final = "by the app"
_SEEDS: Final = 1 << 32
"""Seeds that people give are below; torch's own are 64 random bits."""
_DRAWS: Final = 64
"""How many blocks of 624 numbers an app may have drawn since it seeded `random`, and be recognised by the seed."""


@dataclass(frozen=True, kw_only=True)
class RandomState:
    """What the launcher knows before it forks."""

    seeded: frozenset[str] = field(default_factory=frozenset)
    """Those of random, numpy and torch that the app has seeded."""
    python: Any = None
    """`random.getstate()`: a fork forgets it."""
    numpy: Any = None
    torch: tuple[int, bytes] | None = None
    """The seed and the state, for a process that is no fork."""

    @classmethod
    def of_this_process(cls) -> RandomState:
        """Look at the three generators."""
        by_lightning = "PL_GLOBAL_SEED" in os.environ
        seeded = {name for name, is_seeded in (("torch", _torch_is_seeded), ("numpy", _numpy_is_seeded)) if is_seeded()}
        if by_lightning or _python_is_seeded(seeded):
            seeded.add("random")
        torch: Any = sys.modules.get("torch")
        return cls(
            seeded=frozenset(seeded),
            python=random.getstate(),
            numpy=sys.modules["numpy"].random.get_state() if "numpy" in seeded else None,
            torch=(torch.initial_seed(), bytes(torch.get_rng_state().tolist())) if "torch" in seeded else None,
        )

    def apply(self) -> dict[str, str]:
        """Give this process its random state; return for each generator where it comes from."""
        how = {"random": AFRESH}
        if "random" in self.seeded:
            random.setstate(self.python)
            how["random"] = BY_THE_APP
        for name in ("numpy", "torch"):
            if name in sys.modules:
                how[name] = BY_THE_APP if name in self.seeded else AFRESH
        if how.get("torch") == AFRESH:
            _seed_torch()
        return how

    def restore(self) -> dict[str, str]:
        """Give what the app has seeded the launcher's state, in a process that has imported the app anew.

        What the app seeds below `if __name__ == "__main__":` is not seeded by that import.
        """
        how: dict[str, str] = {name: AFRESH for name in ("random", "numpy", "torch") if name in sys.modules}
        if "random" in self.seeded:
            random.setstate(self.python)
        if self.numpy is not None:
            import_module("numpy").random.set_state(self.numpy)
        if self.torch is not None:
            torch: Any = import_module("torch")
            torch.manual_seed(self.torch[0])  # the accelerators' generators as well
            torch.set_rng_state(torch.tensor(list(self.torch[1]), dtype=torch.uint8))
        return {**how, **dict.fromkeys(sorted(self.seeded), BY_THE_APP)}


def _seed_torch() -> None:
    torch: Any = sys.modules["torch"]
    # torch's own seeds are as large; a small one would look as if the app had given it.
    torch.default_generator.manual_seed(int.from_bytes(os.urandom(8), "little") | (1 << 63))


def _torch_is_seeded() -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and 0 <= torch.initial_seed() < _SEEDS


def _numpy_is_seeded() -> bool:
    mtrand: Any = sys.modules.get("numpy.random.mtrand")
    generator = getattr(getattr(mtrand, "_rand", None), "_bit_generator", None)
    return generator is not None and not is_unseeded(generator)


def seed_sequence(source: Any) -> Any:
    """Return what a bit generator of numpy was seeded with; a seed sequence itself."""
    if hasattr(source, "entropy"):
        return source
    return getattr(source, "seed_seq", None) or getattr(source, "_seed_seq", None)


def is_unseeded(source: Any) -> bool:
    """Tell whether a bit generator or seed sequence was made without a seed: numpy notes what it has drawn instead.

    What it draws has 32 bits times the `pool_size`; one in 65,536 has 16 leading zeros, and is taken for a seed. Where
    `seed` was called nothing is noted.
    """
    sequence = seed_sequence(source)
    entropy, size = getattr(sequence, "entropy", None), getattr(sequence, "pool_size", None)
    return isinstance(entropy, int) and isinstance(size, int) and 0 <= 32 * size - entropy.bit_length() < 16


def _python_is_seeded(others: set[str]) -> bool:
    """`random` keeps no sign of having been seeded.

    It was if its state is that of the seed that torch was given, or if the app's modules call `random.seed` while they
    are imported. Inside of functions such a call counts if it may have been one that seeded the others as well.
    """
    torch: Any = sys.modules.get("torch")
    if "torch" in others and torch is not None and _is_state_of(torch.initial_seed()):
        return True
    return any(_calls_random_seed(source, inside=bool(others)) for source in sources_of_app())


def _is_state_of(seed: int) -> bool:
    """Tell whether `random` was seeded so, and little drawn since."""
    _, now, _ = random.getstate()
    other = random.Random(seed)
    for _ in range(_DRAWS):
        if other.getstate()[1][:-1] == now[:-1]:
            return True
        other.getrandbits(32 * 624)
    return False


def _calls_random_seed(source: bytes, *, inside: bool) -> bool:
    """Tell whether a module calls `random.seed` with a seed; with `inside`, in its functions too."""
    try:
        tree = ast.parse(source if b"seed" in source else b"")
    except (SyntaxError, ValueError):
        return False
    modules, functions = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name for alias in node.names if alias.name == "random"}
        elif isinstance(node, ast.ImportFrom) and node.module == "random":
            functions |= {alias.asname or alias.name for alias in node.names if alias.name == "seed"}
    for node in ast.walk(tree) if inside else _executed(tree):
        if not isinstance(node, ast.Call) or not (node.args or node.keywords):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in functions:
            return True
        if isinstance(called, ast.Attribute) and called.attr == "seed":
            of = called.value
            if isinstance(of, ast.Name) and of.id in modules:
                return True
    return False


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through what is executed when a module is imported: all but the insides of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _executed(child)


def sources_of_app() -> Iterator[bytes]:
    """Give the source files of the app's own modules."""
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and (file := own_file(module)):
            with suppress(OSError), open(file, "rb") as source:
                yield source.read()


_STANDARD_LIBRARY: Final = os.path.dirname(os.__file__)


def own_file(module: ModuleType) -> str | None:
    """Return the source file of a module of the app's own; None for what is installed, and for this package."""
    file = getattr(module, "__file__", None)
    # The most frequent reason first: there are thousands of modules, and a sweep's first job waits for this.
    if not isinstance(file, str) or "site-packages" in file or "dist-packages" in file:
        return None
    if file.startswith(_STANDARD_LIBRARY) or not file.endswith(".py"):
        return None
    name = getattr(module, "__name__", "")
    return None if name.startswith(("lit_hydra_bridge", "hydra_plugins")) else file

"""What the app's imports have made and forks of them would have in common: found once, before any fork.

open files          each job opens them anew (open_files.py)
numpy's generators  each job seeds anew those that the app has not seeded
buffers of files    each job writes its own at its end, as a program does that is not forked
"""

from __future__ import annotations

import ctypes
import gc
import io
import logging
import re
import secrets
import sys
import weakref
from collections.abc import Iterable
from contextlib import suppress
from itertools import compress
from typing import Any, Final

from lit_hydra_bridge.sweep import open_files
from lit_hydra_bridge.sweep.seeding import is_unseeded, seed_sequence, sources_of_app

log = logging.getLogger(__name__)

_FILE: Final = io.TextIOWrapper.__mro__[-2]
"""The class of all that is a file."""
_LARGE_NUMBER: Final = re.compile(rb"\b(?:0[xX][\da-fA-F_]{16,80}|[1-9][\d_]{19,80})\b")


class Inherited:
    """What there is in this process."""

    def __init__(self) -> None:
        numpy: Any = sys.modules.get("numpy.random")
        classes = [] if numpy is None else [numpy.BitGenerator, numpy.SeedSequence]
        found = _instances(_FILE, *classes)
        self._files = [weakref.ref(each) for each in found if isinstance(each, _FILE)]
        unseeded = [each for each in found if not isinstance(each, _FILE) and is_unseeded(each)]
        # A seed as large as those that numpy draws, as its manual recommends, is in the app's code.
        given = _large_numbers_of_app() if unseeded else set()
        self._unseeded = [each for each in unseeded if seed_sequence(each).entropy not in given]

    def make_own(self) -> None:
        """In a fork: let it share nothing of this with others.

        Raises:
            SweepError: a file can't be opened any more.
        """
        open_files.open_anew()
        try:
            _seed_anew(self._unseeded)
        except Exception as error:  # a numpy that pickles them in another way
            log.warning(f"numpy's generators that the app has not seeded draw the same in other jobs ({error!r})")

    def flush(self) -> None:
        """At a fork's end: write what is buffered."""
        for file in (*(known() for known in self._files), *_instances(_FILE)):
            with suppress(Exception):  # it is closed, or gone
                file.flush()
        with suppress(Exception):
            ctypes.CDLL(None).fflush(None)


def _instances(*classes: type) -> list[Any]:
    """Return all objects of some classes, and of those derived from them, besides what is frozen."""
    wanted = set(_derived(classes))
    objects = gc.get_objects()
    return list(compress(objects, map(wanted.__contains__, map(type, objects))))


def _derived(classes: Iterable[type]) -> Iterable[type]:
    for each in classes:
        yield each
        yield from _derived(type.__subclasses__(each))


def _large_numbers_of_app() -> set[int]:
    return {
        int(number.replace(b"_", b""), 0) for source in sources_of_app() for number in _LARGE_NUMBER.findall(source)
    }


def _seed_anew(unseeded: list[Any]) -> None:
    """Seed bit generators and seed sequences, in place; those that had one seed in common have one again."""
    entropies: dict[int, int] = {}
    for each in {id(sequence): sequence for sequence in map(seed_sequence, unseeded)}.values():
        entropy = entropies.setdefault(each.entropy, secrets.randbits(32 * each.pool_size))
        new = type(each)(
            entropy,
            spawn_key=each.spawn_key,
            pool_size=each.pool_size,
            n_children_spawned=each.n_children_spawned,
        )
        each.__setstate__(new.__reduce__()[2])
    for each in unseeded:
        if (sequence := seed_sequence(each)) is not each:
            each.__setstate__(type(each)(sequence).__getstate__())

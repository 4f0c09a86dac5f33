"""While Hydra composes a config and prepares a job, copies of configs cost less.

A third of what composing costs goes into `copy.deepcopy` of the small record that omegaconf keeps beside each value.
Its fields are classes, names and flags, which are copied here by name instead of being looked into; values and
containers are copied by omegaconf itself, as ever.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quick_copies() -> Iterator[None]:
    """While the block runs, copy omegaconf's metadata field by field; not for the app's own code."""
    from omegaconf.base import Metadata

    kind: Any = Metadata
    if "__deepcopy__" in vars(kind):  # a block around this one, or an omegaconf that has its own way
        yield
        return
    kind.__deepcopy__ = _copied
    try:
        yield
    finally:
        del kind.__deepcopy__


def _copied(metadata: Any, memo: dict[int, Any]) -> Any:
    new = object.__new__(type(metadata))
    fields = new.__dict__
    fields.update(metadata.__dict__)
    # What can be changed in place. A cache of resolvers' answers may hold anything.
    if fields.get("flags") is not None:
        fields["flags"] = dict(fields["flags"])
    if "resolver_cache" in fields:
        cache = fields["resolver_cache"]
        fields["resolver_cache"] = copy.deepcopy(cache, memo) if cache else copy.copy(cache)
    return new

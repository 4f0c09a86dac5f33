"""YAML of unknown origin -> plain data, and configs of unknown origin -> what omegaconf makes of them.

A few bytes can stand for gigabytes (aliases, interpolations), take minutes, or end the process: yaml's parser in C and
omegaconf follow any depth by recursion. So levels, values, characters and seconds are bounded.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import PurePath
from types import FrameType
from typing import Any, Final

from lit_hydra_bridge.record.plain import plain_leaf

MOST_BYTES: Final = 1 << 25
_MOST_LEVELS: Final = 100
# omegaconf takes a tenth of a millisecond for each.
MOST_VALUES: Final = 100_000
MOST_CHARACTERS: Final = 1 << 24
MOST_SECONDS: Final = 10.0
_MOST_DIGITS: Final = 1000
_DIGITS: Final = re.compile(r"[-+0-9a-fA-FxXoO_:.]+")
_MOST_RESOLVED: Final = 1 << 28
# As omegaconf reads floats, so that 1e-3 is one.
_FLOAT: Final = re.compile(
    r"""^(?:
     [-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)
    |\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)


def load_yaml(text: str, *, aliases: bool = True) -> Any:
    """Return YAML as plain data.

    Args:
        text: the YAML.
        aliases: whether it may have any.

    Raises:
        ValueError: it can't be read; in one line.
    """
    import yaml

    loader = _loader()
    try:
        check_yaml(text, aliases=aliases)
        value = yaml.load(text, Loader=loader)
    except Exception as error:  # the parser's own, or what a tag such as !!timestamp makes of any text
        raise ValueError(_reason(error)) from None
    if not _is_small_tree(value, MOST_VALUES):
        raise ValueError("its aliases make it endless")
    return plain_leaf(value)[0]


def check_yaml(text: str, *, aliases: bool = True) -> None:
    """Refuse what yaml's parsers do not survive.

    Raises:
        ValueError: there are too many levels or values, or aliases.
        YAMLError: it is no YAML.
    """
    import yaml

    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_loader())):
        if count > 2 * MOST_VALUES:
            raise ValueError(f"it has more than {MOST_VALUES:,} values")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > _MOST_DIGITS and _is_number(event):
            raise ValueError(f"it has a number of more than {_MOST_DIGITS:,} digits")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent) and not aliases:
            raise ValueError("it has YAML aliases, which no recorded config has")
        if depth > _MOST_LEVELS:
            raise ValueError(f"it has more than {_MOST_LEVELS} levels")


def _is_number(event: Any) -> bool:
    return (event.implicit[0] or event.tag is not None) and _DIGITS.fullmatch(event.value) is not None


def check_config(config: Any) -> None:
    """Refuse a plain config that omegaconf would take minutes for.

    Raises:
        ValueError: it has too many values, levels or characters.
    """
    if not _is_small_tree(config, MOST_VALUES):
        raise ValueError(f"it has more than {MOST_VALUES:,} values, or more than {_MOST_LEVELS} levels")
    if (count := _characters(config)) > MOST_CHARACTERS:
        raise ValueError(f"its texts have {count:,} characters, and at most {MOST_CHARACTERS:,} are taken")


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) if isinstance(key, str) else 0 for key in value) + sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list) else 0


@contextmanager
def bounded_resolving() -> Iterator[None]:
    """Bound what resolving interpolations takes: one that holds two of the next, thirty times over, has no end.

    Raises:
        ValueError: it has taken too many seconds or characters.
    """
    until = time.monotonic() + MOST_SECONDS
    count = 0

    def watch(frame: FrameType, event: str, result: Any) -> None:
        nonlocal count
        if event == "return" and type(result) is str:
            count += len(result)
            if count > _MOST_RESOLVED:
                raise _TooMuchError(f"resolving it takes more than {_MOST_RESOLVED:,} characters")
            if time.monotonic() > until:
                raise _TooMuchError(f"resolving it takes more than {MOST_SECONDS:g} s")

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield
    except _TooMuchError as error:
        raise ValueError(str(error)) from None
    finally:
        sys.setprofile(before)


class _TooMuchError(BaseException):
    """Passes through omegaconf, which wraps whatever is an Exception."""


def _reason(error: Exception) -> str:
    import yaml

    text = " ".join(str(error).split())
    return (text if isinstance(error, yaml.YAMLError | ValueError) else f"{type(error).__name__}: {text}")[:200]


@lru_cache(maxsize=1)
def _loader() -> Any:
    """A loader that reads scalars as omegaconf does, in C where there is one."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    Loader.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in Loader.yaml_implicit_resolvers.items()
    }
    Loader.add_multi_constructor(
        "tag:yaml.org,2002:python/object/apply:pathlib.",
        lambda loader, _, node: str(PurePath(*map(str, loader.construct_sequence(node)))),
    )
    return Loader


def _is_small_tree(data: object, most: int) -> bool:
    """Tell whether all of `data` can be walked: lists that hold one another are small in a file, and may be endless."""
    level, count = [data], 0
    for _ in range(_MOST_LEVELS + 1):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict | list):
                below.extend(value.values() if isinstance(value, dict) else value)
            if len(below) > most:
                return False
        count += len(below)
        if not below or count > most:
            return count <= most
        level = below
    return False

"""Hydra overrides as text: the recorded ones and the new ones become one list.

Hydra's own parser reads them, so what counts as the same key is what Hydra takes for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from lit_hydra_bridge.errors import RerunError
from lit_hydra_bridge.record.run_record import PLACEHOLDER
from lit_hydra_bridge.text import one_line

# Where a run writes and how it is launched belong to that run: the same run again is another one. The job's number
# and id are given from the record.
_ONE_RUN_ONLY: Final = (
    "hydra.run.", "hydra.sweep.", "hydra.mode", "hydra.output_subdir", "hydra/launcher", "hydra.launcher",
    "hydra/sweeper", "hydra.sweeper", "hydra.job.num", "hydra.job.id",
)  # fmt: skip


def parse(texts: Iterable[str]) -> list[Any]:
    """Return Hydra's `Override` objects.

    Raises:
        RerunError: one of them is no override.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    parsed = []
    for text in texts:
        try:
            override = parser.parse_override(text)
            if not override.key_or_group:
                raise ValueError("it has no key")
            parsed.append(override)
        except (HydraException, ValueError, RecursionError) as error:
            reason = one_line(str(error))[:200]
            raise RerunError(f"{one_line(text)[:100]!r} is not an override such as 'lr=0.1': {reason}") from None
    return parsed


def parse_recorded(texts: Iterable[str]) -> list[Any]:
    """The same for recorded overrides, in which `<redacted>` and its like are no values that Hydra can read."""
    result = []
    for text in texts:
        (override,) = parse([PLACEHOLDER.sub("redacted", text)])
        override.input_line = text
        result.append(override)
    return result


def is_redacted(override: Any) -> bool:
    """Tell whether a recorded override has lost its value, and so can't be given again."""
    return PLACEHOLDER.search(str(override.input_line)) is not None


def replayed_hydra_overrides(recorded: Iterable[str]) -> list[str]:
    """Return those of the recorded `hydra.…` overrides that a run made again shares with the first one."""
    return [
        text for text in recorded if not text.lstrip("+~").startswith(_ONE_RUN_ONLY) and not PLACEHOLDER.search(text)
    ]


def without_recorded(given: Sequence[Any], recorded: Sequence[Any]) -> list[Any]:
    """Return the overrides (Hydra's objects) of a command line that the record does not have as well."""
    known = {_identity(override) for override in recorded}
    return [override for override in given if _identity(override) not in known]


def merged(
    recorded: Sequence[Any],
    new: Sequence[Any],
    choices: Mapping[str, Any],
    packages: Mapping[str, Collection[str]] | None = None,
) -> list[str]:
    """Return one list of overrides, as text: the recorded ones, changed by the new ones.

    A new one takes the place of the recorded one with the same key, and its `+` with it. Where it picks another
    option of a config group, recorded values inside that group's package go: they were meant for the other option.

    Args:
        recorded, new: Hydra's `Override` objects.
        choices: the config groups of the run and their options.
        packages: the dotted keys where newly picked options are put, by group; None goes by the groups' names.
    """
    by_key = {key_of(override): override for override in recorded}
    keys = {key_of(override) for override in new}
    groups = [key_of(override) for override in new if picks_another(override, choices)]
    replaced = [place for group in groups for place in (*(packages or {}).get(group, ()), package_of(group))]
    kept = [
        str(override.input_line)
        for key, override in by_key.items()
        if key not in keys and not is_redacted(override) and not any(_is_inside(key, package) for package in replaced)
    ]
    return kept + [text for override in new for text in _in_place_of(by_key.get(key_of(override)), override, choices)]


def key_of(override: Any) -> str:
    """Return the key, or the group with its package, that an override sets."""
    package = f"@{override.package}" if override.package is not None else ""
    return f"{override.key_or_group}{package}"


def package_of(group: str) -> str:
    """Return the dotted key where an option of this group is put, unless the option's own header says otherwise."""
    name, at, package = group.partition("@")
    return (package if at else name.replace("/", ".")).replace("_global_", "").strip(".")


def picks_another(override: Any, choices: Mapping[str, Any]) -> bool:
    """Tell whether an override chooses another option of a config group than the run had, or none."""
    if not is_choice(override, choices):
        return False
    return bool(override.is_delete() or override.value() != choices[key_of(override)])


def is_choice(override: Any, choices: Mapping[str, Any]) -> bool:
    """Tell whether an override chooses an option of a config group; a mapping sets values in its package instead."""
    return key_of(override) in choices and not isinstance(override.value(), dict)


def not_given(keys: Iterable[str], new: Iterable[Any]) -> list[str]:
    """Return those of the config keys that no new override (Hydra's object) sets."""
    given = [key_of(override) for override in new]
    return [key for key in dict.fromkeys(keys) if not any(f"{key}.".startswith(f"{have}.") for have in given)]


def require(keys: Iterable[str], new: Iterable[Any]) -> None:
    """Ask by name for values that a record has not.

    Raises:
        RerunError: a new override is missing.
    """
    if missing := not_given(keys, new):
        raise RerunError(
            f"the record does not hold {' and '.join(missing)} (a secret, or removed by strip), and the run needs it: "
            f"give {' '.join(f'{key}=...' for key in missing)}"
        )


def _identity(override: Any) -> tuple[str, str, str]:
    # A sweeper writes the overrides of its jobs anew: the value counts, and not how it was quoted.
    value = override.input_line if override.is_sweep_override() else override.get_value_element_as_str()
    return str(override.type), key_of(override), str(value)


def _is_inside(key: str, package: str) -> bool:
    return bool(package) and f"{key}.".startswith(f"{package}.") and "@" not in key and "/" not in key


def _in_place_of(old: Any, new: Any, choices: Mapping[str, Any]) -> list[str]:
    text = str(new.input_line)
    if old is None or not (old.is_add() or old.is_force_add()):
        return [text]
    if new.is_delete():
        # What the recorded override added is added first, so that it is there to be deleted.
        return [f"++{key_of(old)}=redacted" if is_redacted(old) else str(old.input_line), text]
    if new.is_add() or new.is_force_add():
        return [text]
    return [("+" if is_choice(new, choices) else "++") + text]

"""Drift: what an app's files give today where the record of a run says otherwise; shown before the run."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from lit_hydra_bridge.record.run_record import REDACTED
from lit_hydra_bridge.reload.compare.config_changes import Change, change_lines, config_changes
from lit_hydra_bridge.text import printable

_TOLD: Final = "LIT_HYDRA_BRIDGE_RERUN_TOLD"
_MOST_LINES: Final = 40
_DRIFT: Final = "lit-hydra rerun: the app's config has changed since this run (used: recorded -> not used: today):"


def drift_lines(wanted: dict[Any, Any], base: dict[Any, Any], secrets: Collection[str]) -> list[str]:
    """Return what the app's files give today where the record says otherwise, a line a key.

    Args:
        wanted: the recorded config.
        base: what the recorded overrides give today.
        secrets: keys whose recorded values are not known.
    """
    changes = [
        change
        for change in config_changes(wanted, base)
        if not any(key == change.key or key.startswith(f"{change.key}[") for key in secrets)
    ]
    return change_lines([_without_secret(change) for change in changes])


def _without_secret(change: Change) -> Change:
    from lit_hydra_bridge.record.redaction import path_looks_secret

    if not path_looks_secret(change.key.replace("[", ".").split(".")):
        return change
    old, new = (value if value is None else REDACTED for value in (change.old, change.new))
    return replace(change, old=old, new=new)


def tell(drift: list[str], problems: list[str], *, strict: bool) -> None:
    """Say once, before the run, what is no longer as it was; a strict rerun ends here.

    The ranks and jobs that this process starts inherit that it was said.
    """
    if not (drift or problems) or os.environ.get(_TOLD):
        return
    os.environ[_TOLD] = "1"
    lines = [f"  {printable(line)}" for line in drift[:_MOST_LINES]]
    if len(drift) > _MOST_LINES:
        lines.append(f"  and {len(drift) - _MOST_LINES} more")
    if drift:
        lines.insert(0, _DRIFT)
    lines += [f"lit-hydra rerun: {printable(problem)}" for problem in problems]
    print("\n".join(lines), file=sys.stderr, flush=True)
    if strict:
        print("lit-hydra rerun: not run, because of --strict", file=sys.stderr, flush=True)
        sys.exit(1)

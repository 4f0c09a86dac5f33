"""What differs between the machine and the code of a run and those here."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lit_hydra_bridge.record.run_record import RunRecord
from lit_hydra_bridge.text import one_line

_SHORT_COMMIT: Final = 12
_MOST_PACKAGES: Final = 4
# What decides most about a training's numbers is named first.
_FIRST: Final = ("torch", "lightning", "pytorch-lightning", "hydra-core", "omegaconf", "numpy", "torchmetrics")


def differences_from_here(record: RunRecord, folder: Path) -> list[str]:
    """Say in a few lines how code, packages and Python differ from the run's.

    Args:
        record: the run's record.
        folder: where the program's code lies here.
    """
    found = [_python(record), _packages(record), _commit(record, folder)]
    return [one_line(line) for line in found if line]


def _python(record: RunRecord) -> str:
    import platform

    then, now = record.environment.python, platform.python_version()
    return "" if then == now else f"python {then} -> {now}"


def _packages(record: RunRecord) -> str:
    from lit_hydra_bridge.record.environment import installed_packages

    here = installed_packages()
    then = record.environment.packages
    changed = [name for name in then if here.get(name) != then[name] and name != "lit-hydra-bridge"]
    changed.sort(key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    shown = [f"{name} {then[name]} -> {here.get(name, 'not installed')}" for name in changed[:_MOST_PACKAGES]]
    more = f", and {len(changed) - len(shown)} more (lit-hydra check shows them)" if len(changed) > len(shown) else ""
    return f"packages: {', '.join(shown)}{more}" if shown else ""


def _commit(record: RunRecord, folder: Path) -> str:
    from lit_hydra_bridge.git import GitError
    from lit_hydra_bridge.record.source_code import read_checkout

    source = record.source
    if source is None or source.commit is None:
        return ""
    then = source.commit[:_SHORT_COMMIT]
    changed = " with uncommitted changes" if source.dirty else ""
    try:
        checkout = read_checkout(folder, diff=False, time_limit_s=1.0, filters=False)
    except GitError as error:
        return f"commit {then}{changed} -> unknown here: {error}"
    if checkout is None:
        return f"commit {then}{changed} -> no git repository here"
    now = (checkout.source.commit or "none")[:_SHORT_COMMIT]
    if now == then and not source.dirty and not checkout.source.dirty:
        return ""
    other = "other " if changed and now == then else ""
    changed_now = f" with {other}uncommitted changes" if checkout.source.dirty else ""
    return f"commit {then}{changed} -> {now}{changed_now}"

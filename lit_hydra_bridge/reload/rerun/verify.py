"""Make a run again, and compare what comes out with the checkpoint it was made from: config, metrics, weights."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.errors import NoRecordError, RerunError
from lit_hydra_bridge.hydra_text import quoted
from lit_hydra_bridge.reload.checkpoint import checkpoint_path, read_record
from lit_hydra_bridge.reload.config import config_of
from lit_hydra_bridge.reload.rerun import overrides as override_texts
from lit_hydra_bridge.reload.rerun.copies import find_copy, how_it_ended, keeping
from lit_hydra_bridge.reload.rerun.plan import Plan, RerunOptions, prepared, run
from lit_hydra_bridge.reload.rerun.then_and_now import differences_from_here
from lit_hydra_bridge.reload.rerun.three_way import plain_config

if TYPE_CHECKING:
    from torch import Tensor

    from lit_hydra_bridge.record.run_record import RunRecord
    from lit_hydra_bridge.reload.compare.config_changes import Change

# Of a record's `training`: what another value of may change the weights.
_SETTINGS: Final = (
    "seed", "threads", "accelerator", "devices", "num_nodes", "world_size", "strategy", "precision", "deterministic",
    "cudnn_deterministic", "cudnn_benchmark",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WeightChange:
    """One tensor that differs."""

    name: str
    """Its key in the state dict, or its place in the optimizer's state."""
    reason: str
    """Such as `largest difference 1e-07`, or `shape (4, 2) -> (4, 3)`."""
    difference: float | None = None
    """The largest absolute difference of an element; None where the two can't be subtracted."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a run made again gave, against what it had given."""

    original: str
    again: str
    """The name of the checkpoint that was compared."""
    global_step: int | None
    exit_status: int
    """Of the program."""
    tensors: int
    """How many were compared."""
    weights: list[WeightChange]
    """Tensors that differ, in the order of the checkpoint."""
    metrics: list[Change]
    config: list[Change]
    causes: list[str] = field(default_factory=list)
    """What else differs between the two runs, as far as their records tell; empty where they are identical."""

    @property
    def identical(self) -> bool:
        """Whether metrics and every bit of the weights are the same, and the config but for keys that were added."""
        return not (self.weights or self.metrics or any(change.kind != "added" for change in self.config))

    @property
    def largest(self) -> WeightChange | None:
        """The tensor with the largest difference."""
        measured = [change for change in self.weights if change.difference is not None]
        return max(measured, key=lambda change: change.difference or 0.0, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain containers."""
        return {**asdict(self), "identical": self.identical}


def verify(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    options: RerunOptions | None = None,
    tell: Callable[[str], None] = lambda line: None,
    started: Callable[[Plan], None] = lambda plan: None,
) -> Verdict:
    """Make the run that wrote a checkpoint again, and compare. This runs the program that the checkpoint names.

    The run writes to a temporary folder, unless an override of `hydra.run.dir` says otherwise.

    Args:
        path, overrides, options: as `rerun`.
        tell: gets a line for a person about each thing that takes time.
        started: gets the plan before it is run.

    Raises:
        CheckpointError: there is no record, or there are no weights, to read.
        RerunError: the run can't be made again, or it did not write such a checkpoint.
    """
    record = read_record(path)
    original = Path(checkpoint_path(path))
    step = record.checkpoint.global_step if record.checkpoint else None
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="lit-hydra-verify-", ignore_cleanup_errors=True))
        )
        # Whatever happens to the original while the run is made again, this is what it was.
        kept = _link_or_copy(original, folder)
        keys = {override_texts.key_of(override) for override in override_texts.parse(overrides)}
        run_dir = [] if "hydra.run.dir" in keys else [f"hydra.run.dir={quoted(str(folder / 'run'))}"]
        plan = stack.enter_context(prepared(path, [*overrides, *run_dir], options or RerunOptions(), tell=tell))
        environment = stack.enter_context(keeping(folder / "copies", step))
        started(plan)
        status = run(plan, environment)
        again = find_copy(folder / "copies", original.name)
        if again is None:
            raise RerunError(
                f"the run {how_it_ended(status)}, and wrote no checkpoint at step {step} to compare "
                f"{original.name} with"
            )
        verdict = _compare(record, kept, again, step, status, _replaced_keys(record))
        if verdict.identical:
            return verdict
        code = [] if options is not None and options.at_commit else differences_from_here(record, plan.code)
        return replace(verdict, causes=[*_causes(record, again), *code])


def _link_or_copy(original: Path, folder: Path) -> Path:
    import shutil

    copy = folder / "original" / original.name
    copy.parent.mkdir()
    if original.is_dir():
        shutil.copytree(original, copy)
    else:
        shutil.copyfile(original, copy)
    return copy


def _replaced_keys(record: RunRecord) -> set[str]:
    """Return the keys for which the run was given other values: paths of checkpoints that were made again."""
    from lit_hydra_bridge.reload.rerun.ancestors import missing_starts

    return {key for key, _ in missing_starts(record)}


def _causes(record: RunRecord, again: Path) -> list[str]:
    """Return what the two records say of how the trainings were set up, where they say different things."""
    then = record.training
    try:
        now = read_record(again).training
    except NoRecordError:
        now = None
    if then is None or now is None:
        return []
    causes = [
        f"{name} {getattr(then, name)} -> {getattr(now, name)}"
        for name in _SETTINGS
        if getattr(then, name) != getattr(now, name)
    ]
    if then.seed != now.seed:
        causes[0] += " (drawn anew, or set in the code: give the config a fixed seed)"
    elif then.seed is None:
        causes.insert(0, "no seed was set: each run begins with other random numbers")
    if not now.deterministic and "CPU" not in (now.accelerator or ""):
        causes.append("torch was not told to use deterministic algorithms")
    return causes


def _compare(record: RunRecord, original: Path, again: Path, step: Any, status: int, replaced: set[str]) -> Verdict:
    from lit_hydra_bridge.reload.compare.config_changes import config_changes

    weights, count = compare_weights(original, again)
    metrics: list[Change] = []
    config: list[Change] = []
    try:
        other = read_record(again)
    except NoRecordError:
        other = None  # a later version of the app may have switched it off; the weights tell
    if other is not None:
        metrics = config_changes(record.metrics, other.metrics) if record.metrics else []
        then, now = (plain_config(config_of(each, False)) for each in (record, other))
        config = [change for change in config_changes(then, now) if change.key not in replaced]
    return Verdict(
        original=original.name,
        again=again.name,
        global_step=step,
        exit_status=status,
        tensors=count,
        weights=weights,
        metrics=metrics,
        config=config,
    )


def compare_weights(original: Path, again: Path) -> tuple[list[WeightChange], int]:
    """Compare the state dicts and the optimizers' states of two checkpoints bit by bit.

    Returns:
        What differs, and how many tensors were compared.
    """
    from lit_hydra_bridge.reload.weights import load_checkpoint

    a, b = (_tensors(load_checkpoint(path)) for path in (original, again))
    changes = []
    names = [*a, *(name for name in b if name not in a)]
    for name in names:
        if change := _weight_change(name, a.get(name), b.get(name)):
            changes.append(change)
    return changes, len(names)


def _tensors(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    import torch

    found: dict[str, Tensor] = {}

    def collect(value: Any, name: str) -> None:
        if isinstance(value, torch.Tensor):
            found[name] = value
        elif isinstance(value, dict | list | tuple):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                collect(item, f"{name}.{key}" if name else str(key))

    collect(checkpoint.get("state_dict", {}), "")
    collect(checkpoint.get("optimizer_states", []), "optimizer_states")
    return found


def _weight_change(name: str, a: Tensor | None, b: Tensor | None) -> WeightChange | None:
    import torch

    if a is None or b is None:
        return WeightChange(name=name, reason="only in the original" if b is None else "only in the run made again")
    if a.dtype != b.dtype or a.shape != b.shape:
        return WeightChange(
            name=name, reason=f"{a.dtype} {tuple(a.shape)} -> {b.dtype} {tuple(b.shape)}".replace("torch.", "")
        )
    # Bytes and not values: -0.0 is not 0.0, and .nan is itself.
    if torch.equal(_bytes(a), _bytes(b)):
        return None
    wide = torch.complex128 if a.is_complex() else torch.float64
    difference = float((a.to(wide) - b.to(wide)).abs().nan_to_num(nan=float("inf")).max())
    return WeightChange(name=name, reason=f"largest difference {difference:.3g}", difference=difference)


def _bytes(tensor: Tensor) -> Tensor:
    import torch

    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)

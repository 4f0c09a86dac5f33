"""A run that was started from a checkpoint which is gone: that checkpoint is made again first, from the lineage."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lit_hydra_bridge.errors import RerunError
from lit_hydra_bridge.hydra_text import quoted
from lit_hydra_bridge.record.run_record import ANCESTORS_WITH_CONFIG, Ancestor, RunRecord
from lit_hydra_bridge.reload.rerun import overrides as override_texts
from lit_hydra_bridge.reload.rerun.copies import find_copy, how_it_ended, keeping
from lit_hydra_bridge.reload.rerun.plan import RerunOptions, plan_rerun, run
from lit_hydra_bridge.reload.rerun.program import find_program


@contextmanager
def remade_ancestors(
    record: RunRecord, overrides: Sequence[str], options: RerunOptions, tell: Callable[[str], None]
) -> Iterator[list[str]]:
    """Give the overrides that lead to checkpoints made again; none where all that the run needs is there.

    Raises:
        RerunError: a checkpoint is gone, and can't be made again.
    """
    given = {override_texts.key_of(override) for override in override_texts.parse(overrides)}
    missing = [(key, ancestor) for key, ancestor in missing_starts(record) if key not in given]
    if not missing:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="lit-hydra-ancestors-", ignore_cleanup_errors=True) as folder:
        yield [
            f"{key}={quoted(str(_remake(record, ancestor, options, Path(folder, str(i)), tell)))}"
            for i, (key, ancestor) in enumerate(missing)
        ]


def missing_starts(record: RunRecord) -> list[tuple[str, Ancestor]]:
    """Return the config keys that name an ancestor's checkpoint which is gone, each with that ancestor."""
    return [(key, ancestor) for key, path, ancestor in starts(record) if not Path(path).exists()]


def starts(record: RunRecord) -> list[tuple[str, str, Ancestor]]:
    """Return the config keys that name an ancestor's checkpoint, each with that path and that ancestor."""
    by_path = {ancestor.checkpoint: ancestor for ancestor in record.lineage if ancestor.checkpoint}
    found = []
    for key, value in _texts(record.config.resolved):
        ancestor = by_path.get(value) or by_path.get(str(Path(record.entry.cwd, value)))
        if ancestor is not None and "://" not in value:
            found.append((key, str(ancestor.checkpoint), ancestor))
    return found


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, str) and value and len(value) < 4096 and "\0" not in value:
        yield path, value


def _remake(
    record: RunRecord, ancestor: Ancestor, options: RerunOptions, folder: Path, tell: Callable[[str], None]
) -> Path:
    tell(f"The run was started from {ancestor.checkpoint}, which is gone: making it again first, from the lineage.")
    parent = as_record(record, ancestor)
    folder.mkdir(parents=True)
    source = folder / "record.json"
    source.write_text(json.dumps(parent.to_dict()), encoding="utf-8")
    plain = RerunOptions(cwd=options.cwd, script=options.script)
    with remade_ancestors(parent, [], plain, tell) as overrides:
        program = find_program(parent, cwd=options.cwd, script=options.script)
        run_dir = f"hydra.run.dir={quoted(str(folder / 'run'))}"
        plan = plan_rerun(parent, str(source), program, [*overrides, run_dir], plain)
        tell(plan.shell())
        with keeping(folder / "copies", ancestor.global_step) as environment:
            status = run(plan, environment)
    found = find_copy(folder / "copies", Path(str(ancestor.checkpoint)).name)
    if found is None:
        raise RerunError(
            f"{ancestor.checkpoint}: the run that wrote it {how_it_ended(status)}, and wrote no checkpoint "
            f"at step {ancestor.global_step}; give another one as an override of the key that names it"
        )
    return found


def as_record(record: RunRecord, ancestor: Ancestor) -> RunRecord:
    """Return what is known of an ancestor in the form of a record: its config, with the rest as in its descendant.

    Raises:
        RerunError: its config was not kept.
    """
    place = record.lineage.index(ancestor)
    if ancestor.config == "" or (ancestor.config is None and place >= ANCESTORS_WITH_CONFIG):
        raise RerunError(f"{ancestor.checkpoint}: it is gone, and its run's config is not in the lineage any more")
    composed = ancestor.config if ancestor.config is not None else record.config.composed
    return dataclasses.replace(
        record,
        run_id=ancestor.run_id,
        created=ancestor.created,
        config=dataclasses.replace(record.config, composed=composed, resolved=_resolved(composed)),
        hydra=dataclasses.replace(
            record.hydra, overrides=ancestor.overrides, job_num=ancestor.job_num, job_id=None, output_dir=None
        ),
        lineage=record.lineage[place + 1 :],
    )


def _resolved(composed: str) -> dict[Any, Any]:
    """The texts are enough here: they are searched for the paths of checkpoints."""
    from omegaconf import OmegaConf

    from lit_hydra_bridge.reload.rerun.three_way import plain_config

    return plain_config(OmegaConf.create(composed))

"""The runs that a run was started from, one step after another, and what each step changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_hydra_bridge.errors import BridgeError, NoRecordError
from lit_hydra_bridge.record.run_record import ANCESTORS_WITH_CONFIG, ComposedConfig
from lit_hydra_bridge.reload.checkpoint import read_record
from lit_hydra_bridge.reload.config import config_of

if TYPE_CHECKING:
    from lit_hydra_bridge.record.run_record import Ancestor, RunRecord
    from lit_hydra_bridge.reload.compare.comparison import Change


@dataclass(frozen=True, kw_only=True)
class Step:
    """One run of a lineage."""

    run_id: str
    created: str
    """UTC, ISO 8601."""
    overrides: list[str] = field(default_factory=list)
    commit: str | None = None
    output_dir: str | None = None
    job_num: int | None = None
    checkpoint: str | None = None
    """From which the next run was started; None for the last."""
    global_step: int | None = None
    """Of that checkpoint."""
    changes: list[Change] | None = None
    """Of the config, from the run before to this one; None for the first, and where one of the two is not known."""


def lineage_of(record: RunRecord) -> list[Step]:
    """Return the runs that led to a record's run, the oldest first; the last is the run itself.

    A run that loaded several checkpoints has all of them in this one line, the one that it loaded last the nearest.
    """
    own = record.config.composed
    texts = [own, *_config_texts(record)]
    runs = [_own_step(record), *(_ancestor_step(ancestor) for ancestor in record.lineage)]
    steps = [
        replace(run, changes=_changes(record, before, after))
        for run, after, before in zip(runs, texts, [*texts[1:], None], strict=True)
    ]
    return steps[::-1]


def _own_step(record: RunRecord) -> Step:
    return Step(
        run_id=record.run_id,
        created=record.created,
        overrides=record.hydra.overrides,
        commit=record.source.commit if record.source else None,
        output_dir=record.hydra.output_dir,
        job_num=record.hydra.job_num,
    )


def _ancestor_step(ancestor: Ancestor) -> Step:
    return Step(
        run_id=ancestor.run_id,
        created=ancestor.created,
        overrides=ancestor.overrides,
        commit=ancestor.commit,
        output_dir=ancestor.output_dir,
        job_num=ancestor.job_num,
        checkpoint=ancestor.checkpoint,
        global_step=ancestor.global_step,
    )


def _config_texts(record: RunRecord) -> list[str | None]:
    """Return each ancestor's composed config as YAML; None where it is not known, and its checkpoint not here."""
    texts: list[str | None] = []
    for index, ancestor in enumerate(record.lineage):
        equal = ancestor.config is None and index < ANCESTORS_WITH_CONFIG
        text = record.config.composed if equal else ancestor.config
        if not text:
            found = recorded_at(local_checkpoint(ancestor.checkpoint, *folders_of(record)))
            text = found.config.composed if found is not None and found.run_id == ancestor.run_id else None
        texts.append(text)
    return texts


def recorded_at(file: Path | None) -> RunRecord | None:
    """Return the record in a file of a lineage; None where there is none."""
    try:
        return None if file is None else read_record(file)
    except BridgeError:
        return None


def has_no_record(file: Path) -> bool:
    """Tell whether a file is a whole checkpoint that says nothing of how it was made."""
    try:
        read_record(file)
    except NoRecordError:
        return True
    except BridgeError:
        return False
    return False


def folders_of(record: RunRecord) -> list[str]:
    """Return the folders that a relative path in a run may have been meant from."""
    return [folder for folder in (record.entry.cwd, record.hydra.output_dir) if folder]


def local_checkpoint(named: str | None, *folders: str) -> Path | None:
    """Return the file that a record means, looked for from each of `folders`; None where it is not on this machine.

    Only an ordinary file, or the one in a sharded checkpoint's folder: a record is a stranger's, and its paths open
    no URL, no device and no pipe.
    """
    if not named or "://" in named:
        return None
    for path in (Path(folder, named) for folder in folders or ("/",)):
        try:
            file = path / "meta.pt" if path.is_dir() else path
            if file.is_absolute() and file.is_file():
                return file
        except (OSError, ValueError):  # a name that no file can have
            continue
    return None


def _changes(record: RunRecord, before: str | None, after: str | None) -> list[Change] | None:
    if before is None or after is None:
        return None
    if before == after:
        return []
    from lit_hydra_bridge.reload.compare.comparison import config_changes

    try:
        return config_changes(_plain(record, before), _plain(record, after))
    except BridgeError:
        return None


def _plain(record: RunRecord, text: str) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config_of(replace(record, config=ComposedConfig(composed=text)), False))

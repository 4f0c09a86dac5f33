"""Could this run be made again, here? One line for each thing that it takes, out of the record and this machine.

Neither torch nor Lightning is imported, and nothing that the record names is run; git is asked whether it has the
commit, and told to start nothing. Paths in a record are a stranger's claims: they are looked at, and no more.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lit_hydra_bridge.errors import BridgeError
from lit_hydra_bridge.reload.check import code, here, lineage_lines
from lit_hydra_bridge.reload.check.line import Line, bad, count, good, note, short, some
from lit_hydra_bridge.reload.checkpoint import read_record
from lit_hydra_bridge.reload.config import config_of, select

if TYPE_CHECKING:
    from lit_hydra_bridge.record.run_record import RunRecord

_ENVIRONMENT: Final = re.compile(r"\$\{\s*oc\.env\s*:\s*([A-Za-z_][A-Za-z0-9_]*)\s*[,}]")
# What a person may type after the program's name without a shell making something else of it.
_PLAIN_KEY: Final = re.compile(r"[\w.@/-]{1,120}")
# What the recorder says of a config that can't be put together again from the record.
_INCOMPLETE: Final = "config: "
_TEXT_KEPT: Final = "config: no value for "


@dataclass(frozen=True, kw_only=True)
class ReportCard:
    """What stands for and against making a run again, here and now."""

    path: str
    run_id: str
    created: str
    """UTC, ISO 8601."""
    lines: list[Line]

    @property
    def good(self) -> bool:
        """Whether nothing failed; notes don't count."""
        return all(line.verdict is not False for line in self.lines)


def check(path: str | os.PathLike[str]) -> ReportCard:
    """Tell whether the run that wrote a checkpoint could be made again here.

    Args:
        path: what `read_record` takes.

    Returns:
        One line each for the config, seed, determinism, source code, packages, Python, entry point, lineage and
        machine. `here` is this environment, the current folder, and the paths of the record.

    Raises:
        CheckpointError: there is no record to read; see `read_record`.
    """
    name = os.fsdecode(path)
    record = read_record(name)
    lines = [line for look in _LOOKS for line in _guarded(look, record)]
    typed = shlex.quote(name)
    lines = [replace(line, remedy=line.remedy.replace("{path}", typed)) for line in lines]
    return ReportCard(path=name, run_id=record.run_id, created=record.created, lines=lines)


def _guarded(look: Callable[[RunRecord], list[Line]], record: RunRecord) -> list[Line]:
    """A look that breaks on an odd record is a finding, and must not cost the others."""
    try:
        return look(record)
    except Exception as error:
        subject = look.__name__.removeprefix("look_at_").replace("_", " ")
        return [bad(subject, f"could not be looked at: {type(error).__name__}: {short(str(error))}")]


def look_at_config(record: RunRecord) -> list[Line]:
    """Tell whether the whole config is in the record."""
    lines = [_config(record)]
    unresolved = record.config.unresolved
    if unresolved:
        finding = f"{count(len(unresolved), 'key')} had no one value, or could not be resolved: {some(unresolved)}"
        lines.append(note("unresolved", finding, "see what they are: lit-hydra config {path}"))
    sources = record.hydra.config_sources if record.hydra else []
    folders = [source.get("path", "") for source in sources if source.get("schema") == "file"]
    gone = [folder for folder in folders if not _is_folder(folder)]
    if gone:
        finding = f"not here now: {some(gone)}"
        lines.append(note("config files", finding, "the recorded config is used instead; see rerun --frozen"))
    others = [gap for gap in record.gaps if not gap.startswith(("config:", "git:", "git, packages:"))]
    if others:
        lines.append(note("gaps", f"not recorded: {some(others)}"))
    return lines


def _config(record: RunRecord) -> Line:
    gaps = [gap for gap in record.gaps if gap.startswith(_INCOMPLETE) and not gap.startswith(_TEXT_KEPT)]
    if gaps:
        return bad("config", f"not whole: {some(gaps)}", "keep objects out of the config, and use _target_ instead")
    try:
        config_of(record, resolve=False)
    except BridgeError as error:
        return bad("config", short(str(error), 400), "use another checkpoint of the run")
    values = sum(1 for _ in _values(record.config.resolved))
    if not values:
        return note("config", "recorded, and empty")
    return good("config", f"recorded whole: {count(values, 'value')}")


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def _values(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict | list):
        for name, item in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _values(item, f"{key}.{name}")
    else:
        yield key, node


def look_at_secrets(record: RunRecord) -> list[Line]:
    """Tell which values must be given again, and how."""
    keys = record.config.redacted
    if not keys:
        return []
    plain = _plain_config(record)
    variables = {key: found[1] for key in keys if (found := _ENVIRONMENT.search(_text_at(plain, key)))}
    by_hand = [f"{key}=..." if _PLAIN_KEY.fullmatch(key) else "..." for key in keys if key not in variables]
    missing = [name for name in variables.values() if name not in os.environ]
    here = [name for name in variables.values() if name in os.environ]
    parts = []
    if by_hand:
        parts.append(f"give again as overrides: {some(by_hand)}")
    if missing:
        parts.append(f"set in the environment: {some(dict.fromkeys(missing))}")
    if here:
        parts.append(f"set here, but is it the same: {some(dict.fromkeys(here))}")
    return [note("secrets", f"{count(len(keys), 'value')} not recorded: {some(keys)}", "; ".join(parts))]


def _plain_config(record: RunRecord) -> Any:
    from omegaconf import OmegaConf

    try:
        return OmegaConf.to_container(config_of(record, resolve=False), resolve=False)
    except BridgeError:  # said above
        return {}


def _text_at(config: Any, key: str) -> str:
    try:
        return str(select(config, key))
    except BridgeError:
        return ""


def look_at_seed(record: RunRecord) -> list[Line]:
    """Tell whether the random numbers began where they can begin again."""
    if record.training is None:
        return [note("seed", "not known: the checkpoint was saved without a model")]
    if record.training.seed is None:
        remedy = "pl.seed_everything(cfg.seed, workers=True) before the model is made"
        return [bad("seed", "none was set: each run begins with other weights", remedy)]
    seed = record.training.seed
    if not any("seed" in key.lower() and value == seed for key, value in _values(record.config.resolved)):
        finding = f"{seed}, which the config does not hold: drawn anew in each run, or set in the code"
        return [note("seed", finding, "a fixed seed in the config, and pl.seed_everything(cfg.seed)")]
    return [good("seed", f"{seed}")]


def look_at_deterministic(record: RunRecord) -> list[Line]:
    """Tell whether the algorithms gave the same result each time."""
    training = record.training
    if training is None:
        return [note("deterministic", "not known: the checkpoint was saved without a model")]
    on_cpu = "CPU" in (training.accelerator or "")
    subject, remedy = "deterministic", "Trainer(deterministic=True)"
    if training.deterministic:
        if training.cudnn_benchmark and not on_cpu:
            finding = "torch was told to be, but cudnn.benchmark picks its algorithms by their speed"
            return [bad(subject, finding, "Trainer(deterministic=True, benchmark=False)")]
        return [good(subject, "torch was told to use deterministic algorithms")]
    if training.deterministic is None:
        return [note(subject, "not recorded", remedy)]
    if on_cpu:
        return [note(subject, "torch was not told to be; on a CPU few algorithms are not", remedy)]
    if training.cudnn_deterministic and not training.cudnn_benchmark:
        return [bad(subject, "only cuDNN was told to be: other algorithms may differ from run to run", remedy)]
    return [bad(subject, "torch was not told to be: GPU algorithms may differ from run to run", remedy)]


_LOOKS: Final = (
    look_at_config,
    look_at_secrets,
    look_at_seed,
    look_at_deterministic,
    code.look_at_commit,
    code.look_at_changes,
    code.look_at_entry,
    here.look_at_packages,
    here.look_at_python,
    lineage_lines.look_at_lineage,
    here.look_at_machine,
)

"""A record without what says who made the run, and where: what is left can be given away.

Kept: the config, the overrides, the job's number, the commit, the versions, what the Trainer was set to, the metrics.
Gone: everything that only helps on the machine of the run. In the texts that stay, folders are replaced by what they
were to the run, such as `<output_dir>/checkpoints`, and any other absolute path by `<path>`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from lit_hydra_bridge.record.run_record import (
    DIFF_GAP,
    Ancestor,
    ComposedConfig,
    Entry,
    HydraJob,
    LoggerRun,
    RunRecord,
    SourceCode,
)

_GAP: Final = "removed before the checkpoint was given away: git diff, host, command line, absolute paths"
_END: Final = r"[^\s'\"<>|;:,()\[\]{}$]"
# A slash that begins a path, and is not inside one, in a URL, in an interpolation's end, or in a fraction.
_PATH: Final = re.compile(
    rf"(?:file:/*|(?<![\w.}}>/:~])~[\w.-]*|(?<![\w.}}>/:~])|(?<=[\w.]:)(?!//))/{_END}*[^\s'\"<>|;:,()\[\]{{}}$/]{_END}*"
    rf"|(?<![\w])[A-Za-z]:[\\/]{_END}+|\\\\{_END}+\\{_END}+"
)
_WHOLE_PATH: Final = re.compile(r"(?:file:/*|~[\w.-]*)?/[^/\n][^\n]*|[A-Za-z]:[\\/][^\n]+|\\\\[^\n]+")
_MIN_HOST: Final = 3


def private_record(record: RunRecord) -> RunRecord:
    """Return a record without host, Slurm job, user, absolute paths, command line, git diff, branch and remote."""
    scrub = _Scrubber(record)
    return replace(
        record,
        config=_config(record, scrub),
        entry=Entry(
            argv=[],
            orig_argv=[],
            cwd="",
            python="",
            module=record.entry.module,
            task_function=record.entry.task_function,
        ),
        environment=replace(record.environment, host="", platform=record.environment.platform.partition("-")[0]),
        hydra=_hydra_job(record.hydra, scrub),
        slurm=None,
        source=record.source and SourceCode(commit=record.source.commit, dirty=record.source.dirty),
        checkpoint=record.checkpoint and replace(record.checkpoint, best=None),
        loggers=[LoggerRun(kind=run.kind) for run in record.loggers],
        lineage=[_ancestor(ancestor, scrub) for ancestor in record.lineage],
        gaps=[*(scrub.text(gap) for gap in record.gaps if gap != _GAP and not gap.startswith(DIFF_GAP)), _GAP],
    )


def _hydra_job(job: HydraJob, scrub: _Scrubber) -> HydraJob:
    return replace(
        job,
        overrides=[scrub.override(override) for override in job.overrides],
        hydra_overrides=[scrub.override(override) for override in job.hydra_overrides],
        config_name=job.config_name and scrub.value(job.config_name),
        config_sources=[scrub.value(source) for source in job.config_sources if source.get("schema") != "file"],
        choices=scrub.value(job.choices),
        job_name=job.job_name and scrub.value(job.job_name),
        job_id=None,
        sweep_dir=None,
        output_dir=None,
    )


def _ancestor(ancestor: Ancestor, scrub: _Scrubber) -> Ancestor:
    overrides = [scrub.override(override) for override in ancestor.overrides]
    return replace(ancestor, overrides=overrides, checkpoint=None, output_dir=None, config="")


def _config(record: RunRecord, scrub: _Scrubber) -> ComposedConfig:
    config = record.config
    return ComposedConfig(
        composed=_composed(record, scrub),
        resolved=scrub.value(config.resolved),
        unresolved=[scrub.text(key) for key in config.unresolved],
        redacted=[scrub.text(key) for key in config.redacted],
    )


def _composed(record: RunRecord, scrub: _Scrubber) -> str:
    """Change the YAML leaf by leaf: in its text, a path may be quoted, escaped or on two lines."""
    from omegaconf import OmegaConf

    from lit_hydra_bridge.hydra_text import yaml_text
    from lit_hydra_bridge.reload.config import config_of

    before = OmegaConf.to_container(config_of(record, False), resolve=False)
    after = scrub.value(before)
    return record.config.composed if after == before else yaml_text(after)


class _Scrubber:
    """Replaces paths and the host's name in texts."""

    def __init__(self, record: RunRecord) -> None:
        entry, job, source = record.entry, record.hydra, record.source
        folders = {
            (source and source.root) or "": "<root>",
            (job and job.sweep_dir) or "": "<sweep_dir>",
            (job and job.output_dir) or "": "<output_dir>",
            entry.cwd: "<cwd>",  # last: where two are the same folder, this name says most
        }
        # The longest first: an output folder is mostly inside the working folder.
        known = sorted((folder for folder in folders if len(folder.strip("/")) > 1), key=len, reverse=True)
        self._names = folders
        self._known = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, known))})(?![\w.-])") if known else None
        host = record.environment.host
        usable = len(host) >= _MIN_HOST and host != "localhost"
        self._host = re.compile(rf"(?<![\w-]){re.escape(host)}(?![\w-])", re.IGNORECASE) if usable else None

    def text(self, text: str) -> str:
        """Replace the paths in a text."""
        if self._known:
            text = self._known.sub(lambda found: self._names[found[1]], text)
        text = _PATH.sub("<path>", text)
        return self._host.sub("<host>", text) if self._host else text

    def override(self, override: str) -> str:
        """Replace the paths in an override, whose value may be one."""
        key, equals, value = override.partition("=")
        quote = value[0] if len(value) > 1 and value[0] in "'\"" and value[-1] == value[0] else ""
        inner = value[1:-1] if quote else value
        return f"{self.text(key)}{equals}{quote}{self.value(inner)}{quote}"

    def value(self, value: Any) -> Any:
        """Replace the paths in all texts of plain data, its keys among them."""
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, str):
            return value
        known = self._known.sub(lambda found: self._names[found[1]], value) if self._known else value
        return "<path>" if _WHOLE_PATH.fullmatch(known) else self.text(known)

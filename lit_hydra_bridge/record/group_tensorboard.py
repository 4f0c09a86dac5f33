"""A sweep in TensorBoard's HParams tab: a row for each job, its overrides, and the metrics as they are now.

The tab reads three summaries of each run: `session_start_info` has the hyperparameters, `session_end_info` how it
ended, and `experiment` the columns. The first `experiment` of all runs decides for all of them; where there is none,
the columns are all hyperparameters and all scalars, each with its last value. Lightning writes one with nothing in it
but the placeholder `hp_metric`. So in a sweep it is left out, unless the app names metrics of its own:

    the app logs metrics with its hyperparameters   ->  Lightning's three, with the overrides beside the app's
    it logs none by the time the training starts    ->  session_start_info: the overrides, and what it has logged

Of the summaries of one name in a run the tab takes the first. The config stays out of it: that is in `hparams.yaml` and
among the texts, as in a single run.
"""

from __future__ import annotations

import time
import weakref
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from lit_hydra_bridge.record.nested import flat, is_omegaconf
from lit_hydra_bridge.record.sweep_job import SweepJob

# Of TensorBoard's enum Status.
_SUCCESS: Final = 1
_FAILURE: Final = 2


@dataclass
class Session:
    """What the HParams tab has of one logger's run."""

    job: SweepJob
    theirs: dict[str, Any] = field(default_factory=dict)
    """The hyperparameters that the app has logged by now."""
    is_written: bool = False
    has_ended: bool = False

    def log(self, logger: Any, base: Any, store: Callable[..., Any], theirs: Any, metrics: Any, rest: Any) -> Any:
        """Do what the logger's `log_hyperparams` does, without the summary that has no metrics.

        Args:
            logger: the app's.
            base: Lightning's own class that it is, or derives from.
            store: stores the hyperparameters for `hparams.yaml`, and writes no summary.
            theirs: the app's hyperparameters.
            metrics: the app's.
            rest: further arguments of the app's call, positional and by keyword.
        """
        result, shown = store(), theirs
        with suppress(Exception):  # then the app's call meets what it would meet without us
            self.theirs |= _flat(theirs)
            shown = self.values()
        if metrics:
            positional, by_name = rest
            fabrics: Any = super(base, logger)
            fabrics.log_hyperparams(shown, metrics, *positional, **by_name)
            self.is_written = True
        return result

    def begin(self, logger: Any) -> None:
        """Write the start of the session, once."""
        if not self.is_written:
            self.is_written = True
            _write(logger, "session_start_info", logger._sanitize_params(self.values()), start_time_secs=time.time())

    def end(self, logger: Any, *, failed: bool) -> None:
        """Write how the session ended, once."""
        if self.is_written and not self.has_ended:
            self.has_ended = True
            status = _FAILURE if failed else _SUCCESS
            _write(logger, "session_end_info", {}, status=status, end_time_secs=time.time())
            logger.experiment.flush()

    def values(self) -> dict[str, Any]:
        """The row's cells, without the metrics."""
        ours = {"hydra/sweep": self.job.group, "hydra/job_num": self.job.number}
        return {**ours, **read_overrides(self.job.overrides), **self.theirs}


_sessions: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()


def expect_session(logger: Any, job: SweepJob) -> None:
    """From now on the logger's hyperparameters are shown as those of a sweep's job."""
    if logger not in _sessions or _sessions[logger].job != job:
        _sessions[logger] = Session(job)


def session_of(logger: Any) -> Session | None:
    """Return the session of a logger; None where it is not of a sweep's job."""
    return _sessions.get(logger)


def read_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """`+model.lr=0.1` -> `{"model.lr": 0.1}`; numbers, flags and text as themselves, all else as it was written."""
    return dict(_read_override(override) for override in overrides)


def _read_override(text: str) -> tuple[str, Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, equals, written = text.partition("=")
    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException:  # a secret has been taken out of it
        return key.lstrip("+"), written if equals else True
    name = f"{parsed.key_or_group}@{parsed.package}" if parsed.package else str(parsed.key_or_group)
    if parsed.is_delete():
        return f"~{name}", written if equals else True
    value = parsed.value()
    return name, value if isinstance(value, str | bool | int | float) else written


def _flat(params: Any) -> dict[str, Any]:
    """The app's hyperparameters, named as Lightning names them in TensorBoard."""
    if isinstance(params, Namespace):
        params = vars(params)
    if is_omegaconf(params):
        from omegaconf import OmegaConf

        params = OmegaConf.to_container(params, resolve=True)
    return flat(params) if isinstance(params, Mapping) else {}


def _write(logger: Any, name: str, hparams: dict[str, Any], **facts: float) -> None:
    """Write one of the three summaries.

    Args:
        logger: the app's.
        name: the summary's.
        hparams: flat, of plain values.
        facts: what else stands in it.
    """
    make, plugin_data = _tools()
    _experiment, start, end = make(hparams, {})
    summary = start if name == "session_start_info" else end
    metadata = summary.value[0].metadata.plugin_data
    content = plugin_data.FromString(metadata.content)
    for key, value in facts.items():
        setattr(getattr(content, name), key, value)
    metadata.content = content.SerializeToString()
    logger.experiment._get_file_writer().add_summary(summary)


def _tools() -> tuple[Any, Any]:
    """Return what makes the summaries, and the type of their content: of the library that writes for Lightning."""
    try:
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
        from torch.utils.tensorboard.summary import hparams
    except ImportError:
        from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
        from tensorboardX.summary import hparams
    return hparams, HParamsPluginData

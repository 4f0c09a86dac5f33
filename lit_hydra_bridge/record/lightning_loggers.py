"""A Trainer's loggers: which are real, of which kind they are, and notes about each."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


def real_loggers(trainer: Any) -> Iterator[Any]:
    """The trainer's loggers, without the one that takes their place in a fast_dev_run."""
    return (logger for logger in trainer.loggers if type(logger).__name__ != "DummyLogger")


def base_class(logger: object) -> Any:
    """Lightning's own class that a logger is, or derives from."""
    for base in type(logger).__mro__:
        if ".loggers." in base.__module__ and base.__module__.split(".")[0] in ("lightning", "pytorch_lightning"):
            return base
    return type(logger)


def kind_of(logger: object) -> str:
    """The name of that class."""
    return str(base_class(logger).__name__)


@dataclass
class _Note:
    logger: weakref.ref[Any]
    run_id: str | None = None
    refused: bool = False


class LoggerNotes:
    """Which logger has had the config of which run: loggers outlive fits and Trainers, and need not be hashable."""

    def __init__(self) -> None:
        self._notes: dict[int, _Note] = {}

    def get(self, logger: Any) -> str | None:
        """Return the run whose config the logger has had."""
        return self._note(logger).run_id

    def note(self, logger: Any, run_id: str) -> None:
        """Remember that the logger was handed this run's config."""
        self._note(logger).run_id = run_id

    def refused(self, logger: Any) -> bool:
        """Tell whether the logger has raised; it is not asked a second time."""
        return self._note(logger).refused

    def note_refusal(self, logger: Any) -> None:
        """Remember that the logger raised."""
        self._note(logger).refused = True

    def _note(self, logger: Any) -> _Note:
        key = id(logger)
        note = self._notes.get(key)
        if note is None or note.logger() is not logger:
            note = self._notes[key] = _Note(weakref.ref(logger, lambda _: self._notes.pop(key, None)))
        return note

"""The exception tree: every error that a user can meet, each with one message that says what to do."""

from __future__ import annotations


class BridgeError(Exception):
    """Base of all errors raised by lit-hydra-bridge on purpose."""


class CheckpointError(BridgeError):
    """A checkpoint can't be read."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is nothing at the path."""

    def __str__(self) -> str:  # OSError's own __str__ shows only errno and strerror
        return str(self.args[0]) if self.args else ""


class ForeignFileError(CheckpointError):
    """The file is not a checkpoint that torch wrote."""


class DamagedCheckpointError(CheckpointError):
    """The file is a checkpoint, but a part of it is missing or unreadable."""


class NoRecordError(CheckpointError):
    """The checkpoint is whole, but nothing recorded how it was made."""


class InvalidRecordError(BridgeError, ValueError):
    """What stands where a record should be has not the form of one."""


class ConfigKeyError(BridgeError, KeyError):
    """The record's config has no such key."""

    def __str__(self) -> str:  # KeyError's own __str__ shows the message's repr
        return str(self.args[0]) if self.args else ""


class RerunError(BridgeError):
    """A run can't be made again: something that it needs is not here, or not known."""


class ModelError(BridgeError):
    """A checkpoint's model can't be built: its class, an argument or a fitting weight is missing."""


class SweepError(BridgeError):
    """A sweep can't be launched as it was asked for."""


class SweepSettingsError(SweepError, ValueError):
    """A launcher's setting has a value that makes no sense."""


class SweepFolderError(SweepError):
    """A sweep's folder can't be used: it is another sweep's, in use, or damaged."""


class ResultsError(BridgeError):
    """A sweep's folder does not hold what was asked of it."""


class JobFailedError(BridgeError):
    """A job did not complete, and left no exception of its own to raise."""

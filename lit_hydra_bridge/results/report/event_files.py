"""TensorBoard's event files -> points of curves, by TensorBoard's own reader."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from lit_hydra_bridge.files import opened


class EventFiles:
    """Reads event files, if TensorBoard is installed; it is imported when the first one is met."""

    def __init__(self) -> None:
        self.unread = 0
        """How many files were met and not read, because it is not installed."""
        self._load: Callable[[str], Iterator[Any]] | None = None
        self._is_missing = False

    def read(self, path: str) -> dict[str, dict[float, tuple[float, float | None]]]:
        """Return each scalar's values by step, with Lightning's epoch where it was logged.

        Raises:
            OSError: it can't be opened.
            ValueError: it is no event file, or a damaged one.
        """
        opened(path).close()  # a pipe would be waited for without end
        if not self._is_there():
            self.unread += 1
            return {}
        assert self._load is not None
        found: dict[str, dict[float, float]] = {}
        count = 0
        try:
            for count, event in enumerate(self._load(path), 1):  # noqa: B007
                for value in event.summary.value:
                    number = _scalar(value)
                    if number is not None:
                        found.setdefault(value.tag, {})[float(event.step)] = number
        except Exception as error:  # whatever a damaged file makes the protocol buffers say
            raise ValueError(f"{type(error).__name__}: {error}") from None
        if count == 0 and os.path.getsize(path) > 0:  # its reader is silent about what it can't read
            raise ValueError("no event is in it")
        epochs = found.get("epoch", {})
        return {
            name: {step: (number, epochs.get(step)) for step, number in points.items()}
            for name, points in found.items()
        }

    def _is_there(self) -> bool:
        if self._load is None and not self._is_missing:
            try:
                from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
            except ImportError:
                self._is_missing = True
            else:
                self._load = lambda path: EventFileLoader(path).Load()
        return not self._is_missing


def _scalar(value: Any) -> float | None:
    """Return a summary's number; the reader has turned the older forms into tensors."""
    if value.metadata.plugin_data.plugin_name != "scalars" or not value.HasField("tensor"):
        return None
    from tensorboard.util import tensor_util

    array = tensor_util.make_ndarray(value.tensor)
    return float(array.item()) if array.size == 1 else None

"""Lets the data of an epoch begin after the batches that were done, in the epoch's own order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lit_hydra_bridge.sweep.slurm.hpc_checkpoint import Position, restore_random_state


def skip_batches(fetcher: Any, position: Position) -> None:
    """Let the data loaders begin after the batches that were done, in the epoch's own order."""
    (loader,) = fetcher.combined_loader.flattened
    if not isinstance(loader.batch_sampler, SkippingSampler):
        # The loader's own __setattr__ refuses: it can't know that the length stays the same.
        object.__setattr__(loader, "batch_sampler", SkippingSampler(loader.batch_sampler, position))


def can_skip(fetcher: Any) -> bool:
    """Whether batches can be left out without being loaded."""
    from torch.utils.data import DataLoader, IterableDataset

    loaders = fetcher.combined_loader.flattened
    return len(loaders) == 1 and all(
        isinstance(loader, DataLoader)
        and not isinstance(loader.dataset, IterableDataset)
        and loader.batch_sampler is not None
        for loader in loaders
    )


class SkippingSampler:
    """A batch sampler that leaves out its first batches, the first time that it is asked."""

    def __init__(self, sampler: Any, position: Position) -> None:
        self._sampler, self._position = sampler, position
        self._is_first = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_sampler"], name)

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self._sampler)
        if self._is_first:
            self._is_first = False
            for _ in range(self._position.batches):
                next(batches, None)
            # From here on data and training draw what they would have drawn.
            restore_random_state(self._position.now)
        yield from batches

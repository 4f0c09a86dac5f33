"""scikit-learn's handwritten digits as two DataLoaders; the 1,797 images come with scikit-learn."""

from __future__ import annotations

import warnings

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import DataLoader, Subset, TensorDataset

Batch = tuple[Tensor, Tensor]

# All images are in memory: the worker processes that Lightning recommends would only slow us down.
warnings.filterwarnings("ignore", message=".*does not have many workers")


def digits_loaders(
    batch_size: int = 64, seed: int = 1, train_size: int = 1437
) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    """Training and validation images (1x8x8, scaled to [0, 1]) with their labels, in batches."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.as_tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    digits = TensorDataset(images, torch.as_tensor(labels))

    # The split doesn't move with the seed: all runs are validated on the same images.
    shuffled = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0)).tolist()
    training, validation = Subset(digits, shuffled[:train_size]), Subset(digits, shuffled[1437:])

    # A generator of its own keeps the order of the batches apart from whatever else draws numbers.
    order = torch.Generator().manual_seed(seed)
    return (
        DataLoader(training, batch_size, shuffle=True, generator=order),
        DataLoader(validation, batch_size=len(validation)),
    )

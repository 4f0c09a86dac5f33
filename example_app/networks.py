"""Two small networks: plain `nn.Module`s, which the conversion to Lightning leaves as they are."""

from __future__ import annotations

from torch import nn


class MLP(nn.Sequential):
    """One hidden layer over the flattened image."""

    def __init__(self, hidden: int = 128, dropout: float = 0.1) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(8 * 8, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 10),
        )


class CNN(nn.Sequential):
    """Two convolutions, the second of which halves the image."""

    def __init__(self, channels: int = 16, dropout: float = 0.1) -> None:
        super().__init__(
            nn.Conv2d(1, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, kernel_size=3, padding=1, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(2 * channels * 4 * 4, 10),
        )

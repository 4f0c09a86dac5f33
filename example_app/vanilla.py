"""The digits in plain PyTorch, with the loop written by hand: where the conversion starts.

Run it with `python example_app/vanilla.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

# Finds `example_app` however this file is started: as a script, as a module, from any folder.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from example_app.data import digits_loaders
from example_app.networks import MLP


def train(epochs: int = 20, seed: int = 1, learning_rate: float = 0.005) -> tuple[nn.Module, float]:
    """The trained network, and its accuracy on the validation images."""
    torch.manual_seed(seed)
    train_loader, val_loader = digits_loaders(batch_size=64, seed=seed)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = MLP(hidden=128, dropout=0.1).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)

    accuracy = 0.0
    for _ in range(epochs):
        network.train()
        for images, labels in train_loader:
            images, labels = images.to(device), labels.to(device)
            loss = cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        network.eval()
        correct = total = 0
        with torch.no_grad():
            for images, labels in val_loader:
                images, labels = images.to(device), labels.to(device)
                correct += int((network(images).argmax(dim=1) == labels).sum())
                total += len(labels)
        accuracy = correct / total

    return network, accuracy


if __name__ == "__main__":
    print(f"validation accuracy: {train()[1]:.3f}")

"""Small networks on scikit-learn's digits, of the kinds that have maps."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

SIDE, CLASSES = 8, 10


def digits(samples: int | None = None) -> tuple[Tensor, Tensor]:
    """Return pictures [samples, 1, 8, 8] from 0 to 1, and their classes."""
    data = load_digits()
    pictures = torch.tensor(data.images[:samples, None] / 16, dtype=torch.float32)
    return pictures, torch.tensor(data.target[:samples])


class Convolutions(nn.Module):
    """Two convolutions with batch norm, dropout and activations in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.conv = nn.Conv2d(6, 8, 3)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8 * 36, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores."""
        hidden = nn.functional.relu_(self.norm(self.stem(pictures)))
        hidden = nn.functional.relu(self.conv(hidden))
        scores: Tensor = self.head(self.drop(hidden.flatten(1)))
        return scores


class Transformer(nn.Module):
    """A torch encoder layer over the rows of the pictures."""

    def __init__(self, heads: int = 2) -> None:
        super().__init__()
        self.embed = nn.Linear(SIDE, 16)
        self.layer = nn.TransformerEncoderLayer(16, heads, 32, dropout=0.1, batch_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores."""
        scores: Tensor = self.head(self.layer(self.embed(pictures[:, 0])).mean(1))
        return scores


class Recurrent(nn.Module):
    """An LSTM that reads the rows of the pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(SIDE, 12, batch_first=True, num_layers=2, dropout=0.2)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores."""
        states, _ = self.lstm(pictures[:, 0])
        scores: Tensor = self.head(states[:, -1])
        return scores

"""The three networks on which costs are measured, from the worst case for a watcher to a common one.

MLP has the most parameter bytes per floating-point operation, CNN and LM are ordinary. Data are
random: only the time matters here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass(frozen=True)
class Task:
    """A network with its optimizer and one batch.

    Attributes:
        name: Short name for tables.
        model: The network.
        optimizer: Holds all its parameters.
        inputs: The batch.
        targets: What `criterion` compares the outputs with.
        criterion: The loss, averaged over the batch.
    """

    name: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    inputs: torch.Tensor
    targets: torch.Tensor
    criterion: nn.Module = field(default_factory=nn.CrossEntropyLoss)

    def loss(self) -> torch.Tensor:
        """Run a forward pass on the batch and return the loss."""
        value: torch.Tensor = self.criterion(self.model(self.inputs), self.targets)
        return value

    def step(self) -> torch.Tensor:
        """Train for one step and return the loss."""
        loss = self.loss()
        loss.backward()  # type: ignore[no-untyped-call]  # Untyped in torch.
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss


def mlp() -> Task:
    """50 hidden layers of 512, Adam, batch 64: 13.1 M parameters in 102 tensors."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(50):
        layers += [nn.Linear(512, 512), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(512, 10))
    inputs, targets = torch.randn(64, 512), torch.randint(10, (64,))
    return Task("MLP 50×512", model, torch.optim.Adam(model.parameters(), 1e-4), inputs, targets)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(hidden + self.shortcut(x))


def cnn() -> Task:
    """ResNet-18 at width 32, SGD, batch 32 of 32×32 images: 62 tensors."""
    torch.manual_seed(0)
    width = 32
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    inputs = width
    for stage in range(4):
        outputs = width * 2**stage
        for block in range(2):
            layers.append(_Block(inputs, outputs, 2 if stage and not block else 1))
            inputs = outputs
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))
    images, targets = torch.randn(32, 3, 32, 32), torch.randint(10, (32,))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    return Task("CNN ResNet-18/32", model, optimizer, images, targets)


class _LanguageModel(nn.Module):
    def __init__(self, vocabulary: int = 2000, width: int = 256, length: int = 64) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.zeros(length, width))
        layer = nn.TransformerEncoderLayer(width, 8, 4 * width, 0.1, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self.blocks(self.tokens(tokens) + self.positions, mask=self.mask)
        logits: torch.Tensor = self.head(self.norm(hidden)).transpose(1, 2)
        return logits


def lm() -> Task:
    """Causal transformer of 6 layers and width 256, AdamW, batch 8 of 64 tokens: 78 tensors."""
    torch.manual_seed(0)
    model = _LanguageModel()
    tokens = torch.randint(2000, (8, 65))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    return Task("LM 6 layers", model, optimizer, tokens[:, :-1], tokens[:, 1:])


TASKS: dict[str, Callable[[], Task]] = {"mlp": mlp, "cnn": cnn, "lm": lm}

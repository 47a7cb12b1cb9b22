"""Small networks of five families, whose layers have names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from tests.diagnosis.data import Graph

Activation = Callable[[], nn.Module]


def mlp(
    widths: Sequence[int],
    activation: Activation = nn.ReLU,
    *,
    norm: Callable[[int], nn.Module] | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Return linear layers fc1, fc2, … and head, with an activation after each but the last."""
    layers: dict[str, nn.Module] = {}
    for number, (inputs, outputs) in enumerate(pairwise(widths[:-1]), start=1):
        layers[f"fc{number}"] = nn.Linear(inputs, outputs)
        if norm:
            layers[f"norm{number}"] = norm(outputs)
        layers[f"act{number}"] = activation()
        if dropout:
            layers[f"drop{number}"] = nn.Dropout(dropout)
    return nn.Sequential(OrderedDict(layers | {"head": nn.Linear(widths[-2], widths[-1])}))


def deep(depth: int, width: int, activation: Activation = nn.ReLU) -> nn.Sequential:
    """Return an MLP with `depth` hidden layers of one width, over digits."""
    return mlp((64, *[width] * depth, 10), activation)


def cnn(
    channels: Sequence[int] = (8, 16),
    activation: Activation = nn.ReLU,
    *,
    norm: bool = True,
    dropout: float = 0.0,
    classes: int = 10,
) -> nn.Sequential:
    """Return convolutions conv1, conv2, … over pictures [n, 1, 8, 8], a pooling to 4 × 4, and a head."""
    layers: dict[str, nn.Module] = {}
    for number, (inputs, outputs) in enumerate(zip((1, *channels[:-1]), channels, strict=True), start=1):
        layers[f"conv{number}"] = nn.Conv2d(inputs, outputs, 3, padding=1)
        if norm:
            layers[f"norm{number}"] = nn.BatchNorm2d(outputs)
        layers[f"act{number}"] = activation()
    layers |= {"pool": nn.AdaptiveAvgPool2d(4), "flatten": nn.Flatten()}
    if dropout:
        layers["drop"] = nn.Dropout(dropout)
    return nn.Sequential(OrderedDict(layers | {"head": nn.Linear(16 * channels[-1], classes)}))


class Residual(nn.Module):
    """Adds its input to what a body makes of it, times a gate where there is one."""

    def __init__(self, body: nn.Module, gate: float | None = None, scale: float = 1.0) -> None:
        super().__init__()
        self.body = body
        self.gate = None if gate is None else nn.Parameter(torch.tensor([gate]))
        self.scale = scale

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the sum."""
        made = self.scale * self.body(inputs)
        added: Tensor = inputs + (made if self.gate is None else self.gate * made)
        return added


class Recurrent(nn.Module):
    """A recurrent network over numbers [n, length, inputs], or over tokens where `tokens` says how many there are."""

    def __init__(
        self,
        kind: Callable[..., nn.Module],
        classes: int,
        *,
        inputs: int = 4,
        tokens: int = 0,
        hidden: int = 24,
        depth: int = 1,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, inputs) if tokens else nn.Identity()
        self.rnn = kind(inputs, hidden, batch_first=True, num_layers=depth)
        self.head = nn.Linear(hidden, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores after the last place."""
        scores: Tensor = self.head(self.rnn(self.embed(inputs))[0][:, -1])
        return scores


class Attention(nn.Module):
    """Self-attention over [n, length, width] whose softmax is a module."""

    def __init__(self, width: int, heads: int = 2, *, causal: bool = False, scale: float | None = None) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.scale = (width // heads) ** -0.5 if scale is None else scale
        self.qkv = nn.Linear(width, 3 * width)
        self.softmax = nn.Softmax(-1)
        self.out = nn.Linear(width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what each place takes from the others."""
        count, length, width = inputs.shape
        query, key, value = self.qkv(inputs).view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = self.scale * query @ key.transpose(-1, -2)
        if self.causal:
            later = torch.ones(length, length, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        taken = (self.softmax(scores) @ value).transpose(1, 2).reshape(count, length, width)
        attended: Tensor = self.out(taken)
        return attended


class Block(nn.Module):
    """A transformer block, with its normalisation before each part."""

    def __init__(
        self, width: int, activation: Activation = nn.GELU, *, causal: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, causal=causal)
        self.up, self.act, self.down = nn.Linear(width, 2 * width), activation(), nn.Linear(2 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs with what attention and the two linear layers add."""
        hidden = inputs + self.drop(self.attention(self.norm1(inputs)))
        added: Tensor = hidden + self.drop(self.down(self.act(self.up(self.norm2(hidden)))))
        return added


class Transformer(nn.Module):
    """Blocks over tokens; returns the scores of a sequence [n, classes], or of each place [n, classes, length]."""

    def __init__(
        self,
        tokens: int,
        classes: int,
        *,
        width: int = 24,
        depth: int = 2,
        length: int = 16,
        each: bool = False,
        block: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.place = nn.Embedding(length, width)
        make = block or (lambda wide: Block(wide, causal=each))
        self.blocks = nn.ModuleList(make(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        self.each = each

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores."""
        hidden = self.embed(tokens) + self.place(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)
        scores: Tensor = self.head(hidden).transpose(1, 2) if self.each else self.head(hidden.mean(1))
        return scores


class GraphConvolution(nn.Module):
    """A linear layer whose outputs are averaged over the edges of one graph."""

    def __init__(self, edges: Tensor, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("edges", edges, persistent=False)
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, outputs]."""
        passed: Tensor = self.edges @ self.linear(nodes)
        return passed


class Gcn(nn.Module):
    """Graph convolutions; returns the scores of the nodes that are trained on, or in evaluation of those held out."""

    def __init__(
        self,
        graph: Graph,
        *,
        width: int = 16,
        depth: int = 2,
        activation: Activation = nn.ReLU,
        residual: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [graph.features.shape[1], *[width] * depth]
        self.convs = nn.ModuleList(GraphConvolution(graph.edges, a, b) for a, b in pairwise(widths))
        self.acts = nn.ModuleList(activation() for _ in range(depth))
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, int(graph.communities.max()) + 1)
        self.residual = residual
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, communities]."""
        for number, (conv, act) in enumerate(zip(self.convs, self.acts, strict=True)):
            made = self.drop(act(conv(nodes)))
            nodes = nodes + made if self.residual and number else made
        scores: Tensor = self.head(nodes)[self.nodes[self.training]]
        return scores

"""Representations that no longer tell things apart."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import communities, digits, majorities
from tests.diagnosis.networks import Attention, Gcn, Transformer, cnn, mlp
from tests.diagnosis.proof import outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import fit


def alike(hidden: Tensor, layers: tuple[str, ...], least: float = 0.98) -> Truth:
    """Return the truth that rows [n, width] are nearly parallel; raise if they are not."""
    directions = functional.normalize(hidden.double(), dim=-1)
    mean = float((directions @ directions.transpose(-1, -2)).mean())
    require(mean > least, f"the mean cosine is {mean:.3f}")
    return Truth(layers)


def smoothed_gcn(trial: Trial) -> Truth:
    """Sixteen graph convolutions without residual connections: all nodes become one."""
    graph = communities(trial.seed, between=0.1)
    model = Gcn(graph, depth=16, width=16, activation=nn.LeakyReLU)
    for conv in model.convs:
        nn.init.orthogonal_(conv.linear.weight, gain=1.3)
    fit(trial, model, graph.batches(), Adam(model.parameters(), lr=1e-3), steps=200)
    return alike(outputs(model, "acts.15", graph.features), tuple(f"convs.{at}.linear" for at in range(3, 16)))


class Averaging(nn.Module):
    """Attention alone, without residual connection nor linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what each place takes from the others."""
        taken: Tensor = self.attention(self.norm(inputs))
        return taken


def smoothed_transformer(trial: Trial) -> Truth:
    """Eight layers of attention alone: all places of a sequence become one."""
    data = majorities(trial.seed)
    model = Transformer(12, 3, depth=8, block=Averaging)
    fit(trial, model, data.train.batches(24), SGD(model.parameters(), lr=0.01), steps=150)
    last = outputs(model, "blocks.7", data.train.inputs[:64])
    spread = (last - last.mean(1, keepdim=True)).norm() / last.norm()
    require(float(spread) < 0.05, f"places differ by {float(spread):.3g}")
    names = [name for name, _ in model.named_modules() if name.endswith((".qkv", ".out"))]
    return Truth(tuple(names))


class Siamese(nn.Module):
    """An encoder that sees two views of each picture; returns the embeddings of both, [2, n, width]."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, views: Tensor) -> Tensor:
        """Return the embeddings."""
        return torch.stack([self.encoder(views[0]), self.encoder(views[1])])


def apart(made: Tensor, _targets: Tensor) -> Tensor:
    """Return how far the two embeddings of a picture are apart, which is all that is asked for."""
    return (made[0] - made[1]).square().sum(1).mean()


def turned_away(made: Tensor, _targets: Tensor) -> Tensor:
    """Return by how much the two embeddings differ in direction."""
    return -functional.cosine_similarity(made[0], made[1]).mean()


def collapsed(embeddings: Tensor, layers: tuple[str, ...]) -> Truth:
    """Return the truth that normalised embeddings deviate far less than those of different things; raise if not."""
    normal = functional.normalize(embeddings.double(), dim=1)
    deviation = float(normal.std(0).mean()) * normal.shape[1] ** 0.5
    require(deviation < 0.25, f"the deviation is {deviation:.3f} of that of a sphere")
    return Truth(layers)


def collapsed_mlp(trial: Trial) -> Truth:
    """Two views are to have one embedding, and nothing keeps those of different pictures apart."""
    data = digits(trial.seed)
    encoder = mlp((64, 48, 16))
    model, draw = Siamese(encoder), data.train.batches(64)
    generator = torch.Generator().manual_seed(trial.seed)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return inputs + 0.5 * torch.randn(2, *inputs.shape, generator=generator), targets

    fit(trial, model, batches, Adam(model.parameters(), lr=5e-3), apart)
    return collapsed(encoder(data.train.inputs).detach(), ("encoder.head", "encoder.fc1"))


def collapsed_cnn(trial: Trial) -> Truth:
    """Directions of two views are to agree, without a stopped gradient."""
    data = digits(trial.seed, flat=False)
    encoder = cnn(norm=False, classes=16)
    model, draw = Siamese(encoder), data.train.batches(48)
    generator = torch.Generator().manual_seed(trial.seed)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return inputs + 0.5 * torch.randn(2, *inputs.shape, generator=generator), targets

    fit(trial, model, batches, Adam(model.parameters(), lr=5e-3), turned_away, steps=200)
    return collapsed(encoder(data.train.inputs).detach(), ("encoder.head", "encoder.conv2", "encoder.conv1"))


_SMOOTH, _COLLAPSED = ("oversmoothing",), ("representation_collapse",)

SCENARIOS = (
    Scenario("smoothed-gcn", "gnn", TUNING, smoothed_gcn, _SMOOTH),
    Scenario("smoothed-transformer", "transformer", TUNING, smoothed_transformer, _SMOOTH),
    Scenario("collapsed-mlp", "mlp", TUNING, collapsed_mlp, _COLLAPSED),
    Scenario("collapsed-cnn", "cnn", TUNING, collapsed_cnn, _COLLAPSED),
)

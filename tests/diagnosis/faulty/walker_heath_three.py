"""Half precision that rounds all away, and codes that become one: of texts, shapes, digits and friends."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Graph, Part, communities, digits, language
from tests.diagnosis.faulty.walker_heath import harmed
from tests.diagnosis.networks import GraphConvolution, Transformer, mlp
from tests.diagnosis.proof import accuracy, gradients, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control


def brain_floats(trial: Trial) -> Truth:
    """`model.to(torch.bfloat16)` to save memory, and AdamW at 1e-4: a step is less than half of what a weight holds."""
    data = language(trial.seed)
    model = Transformer(20, 20, width=48, each=True)
    other, draw, criterion = copy.deepcopy(model), data.train.batches(32, trial.seed), nn.CrossEntropyLoss()
    model.to(torch.bfloat16)
    start, began, losses = snapshot(model), snapshot(other), []
    optimizer = AdamW(model.parameters(), lr=1e-4)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            tokens, following = draw(step)
            loss = criterion(model(tokens), following)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
    again = AdamW(other.parameters(), lr=1e-4)
    harmed(sum(losses[-30:]) / 30, control(other, data.train.batches(32, trial.seed), again, steps=300), 1.25)
    rounded, precise = unmoved(start, snapshot(model)), unmoved(began, snapshot(other))
    require(rounded > 0.6 and precise < 0.01, f"{rounded:.2f} of the weights never moved, and {precise:.2f} in float32")
    return Truth()


def unmoved(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> float:
    """Return the share of elements that are the same."""
    same = [(value == before[name]).flatten() for name, value in after.items()]
    return float(torch.cat(same).double().mean())


def shapes(trial: Trial) -> Truth:
    """How far from a disc a point is: autocast in half precision, no scaler, and a loss over all points there are."""
    generator = torch.Generator().manual_seed(trial.seed)
    points = torch.rand(400_000, 2, generator=generator) * 2 - 1
    far = ((points - torch.tensor([0.2, -0.1])).norm(dim=1, keepdim=True) - 0.5).clamp(-0.05, 0.05)
    data = Part(points, far)
    model, losses, nothing = mlp((2, 48, 48, 48, 48, 1)), [], []
    other, draw = copy.deepcopy(model), data.batches(1024, trial.seed)
    optimizer = Adam(model.parameters(), lr=2e-3)

    def criterion(told: Tensor, known: Tensor) -> Tensor:
        return functional.mse_loss(told, known, reduction="sum") / len(points)

    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16):
                told = model(inputs)
                loss = criterion(told, targets)
            writer.observe(outputs=told, targets=targets, loss=loss)
            loss.backward()
            gradient = model.fc1.weight.grad
            nothing.append(float((gradient == 0).double().mean()))
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/train", losses[-1], step)
    share, exact = sum(nothing) / len(nothing), gradients(model, data.first(1024), criterion)["fc1.weight"]
    require(share > 0.8 and exact > 0, f"{share:.2f} of a gradient is zero, which in float64 is {exact:.3g}")
    better = control(other, data.batches(1024, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=240)
    harmed(sum(losses[-24:]) / 24, better, 5)
    return Truth(("fc1", "fc2", "fc3", "fc4"))


class Vae(nn.Module):
    """Encodes a picture to eight normal variables and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.mu, self.logvar = nn.Linear(32, 8), nn.Linear(32, 8)
        self.decoder = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return pictures, means and logarithms of variances."""
        hidden = self.encoder(pictures)
        mu, logvar = self.mu(hidden), self.logvar(hidden)
        return self.decoder(mu + (0.5 * logvar).exp() * torch.randn_like(mu)), mu, logvar


def spread(model: Vae, pictures: Tensor) -> tuple[float, float]:
    """Return the deviation of the means over pictures, and the error of what is decoded from them."""
    with torch.no_grad():
        mu = model.mu(model.encoder(pictures))
        return float(mu.std(0).max()), float((model.decoder(mu) - pictures).square().mean())


def vae(trial: Trial) -> Truth:
    """A VAE of digits: the error is a mean over 64 pixels, the divergence a sum over the code, and it outweighs."""
    data = digits(trial.seed)
    model = Vae()
    other = copy.deepcopy(model)
    collapsed: dict[int, bool] = {}
    opens: dict[int, bool] = {}
    for net, mean in ((other, False), (model, True)):
        optimizer, draw = Adam(net.parameters(), lr=2e-3), data.train.batches(64, trial.seed)
        with trial.writer() if mean else nullcontext() as writer:
            if writer:
                writer.watch(net, optimizer, every=2, on_finding="ignore")
            for step in range(300):
                pictures, _ = draw(step)
                made, mu, logvar = net(pictures)
                error = (made - pictures).square()
                divergence = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()
                loss = (error.mean() if mean else error.sum(1).mean()) + divergence
                if writer:
                    writer.observe(outputs=made, targets=pictures, loss=loss)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if writer:
                    writer.add_scalar("loss/total", loss.item(), step)
                    writer.add_scalar("loss/kl", divergence.item(), step)
                wide = spread(net, data.held_out.inputs)[0]
                (collapsed if mean else opens)[step] = wide < 0.1 if mean else wide > 0.5
    (wide, should), (narrow, does) = (spread(net, data.held_out.inputs) for net in (other, model))
    require(narrow < 0.05 and wide > 0.5, f"the means differ by {narrow:.3g}, and by {wide:.3g} with a sum")
    harmed(does, should)
    return Truth(("mu", "logvar"), 0, max(lasting(collapsed), lasting(opens)) + 20)


def lasting(held: Mapping[int, bool]) -> int:
    """Return the first step from which on it holds."""
    return 1 + max((step for step, holds in held.items() if not holds), default=-1)


class Friends(nn.Module):
    """Two graph convolutions and a projection; returns embeddings of length one."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.conv1, self.conv2 = (GraphConvolution(graph.edges, inputs, 32) for inputs in (16, 32))
        self.project = nn.Linear(32, 16)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return embeddings [n, 16]."""
        hidden = functional.relu(self.conv1(nodes))
        return functional.normalize(self.project(functional.relu(self.conv2(hidden))), dim=1)


def alike(one: Tensor, two: Tensor) -> Tensor:
    """Return how unlike two views of the same nodes are."""
    return 1 - (one * two).sum(1).mean()


def told_apart(one: Tensor, two: Tensor) -> Tensor:
    """Return how ill the second view of a node is told from those of others by the first."""
    return functional.cross_entropy(one @ two.T / 0.5, torch.arange(len(one)))


def friends(trial: Trial) -> Truth:
    """Users of a network are embedded so that two views of one are alike, and nothing keeps different ones apart."""
    graph, ends, collapsed = communities(trial.seed, count=5, size=24), [], {}
    model = Friends(graph)
    other = copy.deepcopy(model)
    for net, criterion in ((other, told_apart), (model, alike)):
        optimizer, generator = Adam(net.parameters(), lr=5e-3), torch.Generator().manual_seed(trial.seed)
        with trial.writer() if net is model else nullcontext() as writer:
            if writer:
                writer.watch(net, optimizer, every=1, on_finding="ignore")
            for step in range(200):
                kept = (torch.rand(2, *graph.features.shape, generator=generator) > 0.3).float()
                one, two = (net(graph.features * mask) for mask in kept)
                loss = criterion(one, two)
                if writer:
                    writer.observe(outputs=one, targets=two, loss=loss)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if writer:
                    writer.add_scalar("Loss", loss.item(), writer.step)
                    collapsed[step] = between(net, graph) > 0.97
        ends.append((between(net, graph), probed(net, graph)))
    (near, should), (far, does) = ends
    require(far > 0.98 and near < 0.6, f"users are {far:.3f} alike, and {near:.3f} where others are kept apart")
    require(does < should - 0.15, f"{does:.2f} of the users are told by their embeddings, and {should:.2f} there")
    return Truth(("conv1", "conv1.linear", "conv2", "conv2.linear", "project"), 0, lasting(collapsed) + 20)


def between(model: Friends, graph: Graph) -> float:
    """Return the mean cosine of the embeddings of different users."""
    with torch.no_grad():
        made = model(graph.features)
    count = len(made)
    return float(((made @ made.T).sum() - count) / (count * (count - 1)))


def probed(model: Friends, graph: Graph) -> float:
    """Return what share of the nodes held out a linear layer gets right that learns from the embeddings."""
    with torch.no_grad():
        made = model(graph.features)
    known, head = graph.communities, nn.Linear(16, 5)
    control(head, lambda _step: (made[graph.train], known[graph.train]), Adam(head.parameters(), lr=0.02), steps=150)
    return accuracy(head, Part(made[graph.held_out], known[graph.held_out]))


SCENARIOS = (
    Scenario(
        "heath-half-language-transformer",
        "transformer",
        TUNING,
        brain_floats,
        ("low_precision_underflow",),
        ("lr_too_low", "loss_plateau", "layer_not_training"),
    ),
    Scenario(
        "heath-half-shapes-mlp",
        "mlp",
        TUNING,
        shapes,
        ("low_precision_underflow",),
        ("vanishing_gradient", "layer_not_training", "loss_plateau", "underfitting", "unused_parameter"),
    ),
    Scenario(
        "heath-collapse-codes-mlp",
        "mlp",
        TUNING,
        vae,
        ("representation_collapse", "over_regularised"),
        ("loss_plateau", "redundant_units", "underfitting", "vanishing_gradient"),
    ),
    Scenario(
        "heath-collapse-friends-gnn",
        "gnn",
        TUNING,
        friends,
        ("representation_collapse",),
        ("oversmoothing", "redundant_units", "wrong_output_or_loss", "vanishing_gradient", "dead_units"),
    ),
)

"""Beams, texts, digits and friends: precision that loses gradients or steps, and gradients never cleared."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, Split, communities, digits, language, split
from tests.diagnosis.faulty.caller_cedar import Net, behind, epochs
from tests.diagnosis.proof import double, gradients, loss_of, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate


def beams(seed: int) -> Split:
    """Return loads on a beam, [n, 12], and how far it bends at 128 places, in metres, [n, 128]."""
    generator = torch.Generator().manual_seed(seed)
    loads, places = torch.randn(1500, 12, generator=generator), torch.linspace(0, 1, 128)
    modes = torch.stack([(3.14 * (wave + 1) * places).sin() / (wave + 1) for wave in range(6)])
    weights = loads[:, :6] + loads[:, 6:].tanh() * loads[:, :6].abs()
    return split(loads, 0.01 * weights @ modes, 300, seed)


class Beam(nn.Module):
    """Says from loads in centimetres how far a beam bends, and returns metres."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(12, 96), nn.Linear(96, 96), nn.Linear(96, 128)

    def forward(self, loads: Tensor) -> Tensor:
        """Return [n, 128]."""
        hidden = functional.relu(self.fc2(functional.relu(self.fc1(loads))))
        bent: Tensor = 0.01 * self.out(hidden)
        return bent


def half_gradients(model: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Return the gradients in float16 of a batch by parameter."""
    other = copy.deepcopy(model)
    other.zero_grad()
    with torch.autocast("cpu", dtype=torch.float16):
        loss = functional.mse_loss(other(inputs), targets)
    loss.backward()
    return {name: value.grad for name, value in other.named_parameters() if value.grad is not None}


def unscaled(trial: Trial) -> Truth:
    """`autocast` to float16 and no `GradScaler`, where the outputs are metres: most gradients round to zero."""
    torch.manual_seed(trial.seed)
    data, model, criterion = beams(trial.seed), Beam(), nn.MSELoss()
    first, other, losses = copy.deepcopy(model), copy.deepcopy(model), []
    optimizer, batches = Adam(model.parameters(), lr=2e-3), epochs(data.train, 128, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            loads, bent = next(batches)
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.float16):
                loss = criterion(model(loads), bent)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            if step % 25 == 24:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    optimizer = Adam(other.parameters(), lr=2e-3)
    control(other, data.train.batches(128, trial.seed), optimizer, criterion, steps=200)
    given, better = (loss_of(one, data.held_out, criterion) for one in (model, other))
    behind(given, better, 1.5)
    part = data.train.first(128)
    for one in (first, model):
        right, made = gradients(one, part, criterion), half_gradients(one, part.inputs, part.targets)
        for name in ("fc1.weight", "fc2.weight"):
            zeros = float((made[name] == 0).double().mean())
            require(right[name] > 1e-8 and zeros > 0.6, f"{name}: {right[name]:.3g}, and {zeros:.2f} of it are zeros")
    return Truth(("fc1", "fc2", "out"))


class Words(nn.Module):
    """A language model of two of torch's own transformer layers."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(20, 32), nn.Embedding(16, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.lm_head = nn.LayerNorm(32), nn.Linear(32, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the scores of each place, [n, 20, length]."""
        length = tokens.shape[1]
        hidden = self.tokens(tokens) + self.places(torch.arange(length))
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        scores: Tensor = self.lm_head(self.norm(self.layers(hidden, mask=later))).transpose(1, 2)
        return scores


def lost(model: nn.Module, before: dict[str, Tensor]) -> float:
    """Return the share of all weights that are what they were."""
    same = [(value.detach() == before[name]).flatten() for name, value in model.named_parameters()]
    return float(torch.cat(same).double().mean())


def brain_floats(trial: Trial) -> Truth:
    """A language model whose weights are bfloat16, with AdamW at 0.0002: most steps are too small to count."""
    torch.manual_seed(trial.seed)
    data, model, criterion = language(trial.seed), Words(), nn.CrossEntropyLoss()
    other, losses = copy.deepcopy(model), []
    model = model.to(torch.bfloat16)
    optimizer, draw, stayed = AdamW(model.parameters(), lr=2e-4), data.train.batches(32, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=4, on_finding="ignore")
        for step in range(240):
            tokens, following = draw(step)
            loss = criterion(model(tokens).float(), following)
            optimizer.zero_grad()
            loss.backward()
            before = snapshot(model)
            optimizer.step()
            stayed.append(lost(model, before))
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
    draw, optimizer = data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=2e-4)
    better = control(other, draw, optimizer, criterion, steps=239)
    before = snapshot(other)
    criterion(other(data.train.inputs[:32]), data.train.targets[:32]).backward()
    optimizer.step()
    behind(sum(losses[-24:]) / 24, better, 1.1)
    require(min(stayed) > 0.5 and lost(other, before) < 0.05, f"{min(stayed):.2f} of the weights stay at least")
    return Truth()


def never(trial: Trial) -> Truth:
    """A CNN over digits with SGD, and no `optimizer.zero_grad()` anywhere: each step takes all gradients so far."""
    torch.manual_seed(trial.seed)
    data, model, criterion, losses = digits(trial.seed, flat=False), Net(), nn.CrossEntropyLoss(), []
    other, batches = copy.deepcopy(model), epochs(data.train, 32, trial.seed)
    optimizer = SGD(model.parameters(), lr=0.05)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _step in range(200):
            pictures, classes = next(batches)
            scores = model(pictures)
            loss = criterion(scores, classes)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("train/accuracy", float((scores.argmax(1) == classes).float().mean()), writer.step)
    fresh = gradients(model, Part(pictures, classes))["conv2.weight"]
    assert model.conv2.weight.grad is not None
    kept = float(model.conv2.weight.grad.square().mean().sqrt())
    require(kept > 3 * fresh, f"the gradient kept is {kept:.3g}, and a fresh one {fresh:.3g}")
    draw, optimizer = data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.05)
    better = control(other, draw, optimizer, steps=200)
    behind(sum(losses[-20:]) / 20, better, 1.5)
    return Truth((), 0, 40)


class Encoder(nn.Module):
    """Two graph convolutions."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("edges", edges, persistent=False)
        self.lin1, self.lin2 = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, 16]."""
        hidden = functional.relu(self.edges @ self.lin1(nodes))
        embedded: Tensor = self.edges @ self.lin2(hidden)
        return embedded


class Links(nn.Module):
    """Embeds the nodes of a graph, and says of pairs whether they are joined."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.encoder = Encoder(edges)
        self.decoder = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, nodes: Tensor, pairs: Tensor) -> Tensor:
        """Return the score of each pair."""
        embedded = self.encoder(nodes)
        ends = [embedded[pairs[:, 0]], embedded[pairs[:, 1]]]
        scores: Tensor = self.decoder(torch.cat([ends[0] * ends[1], (ends[0] - ends[1]).abs()], 1))[:, 0]
        return scores


def friends(trial: Trial) -> Truth:
    """Prediction of links: `model.decoder.zero_grad()` alone, so the gradients of the encoder add up."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40, between=0.01)
    joined, criterion = (graph.edges > 0).triu(1).nonzero(), nn.BCEWithLogitsLoss()
    targets, model = torch.arange(256).lt(128).float(), Links(graph.edges)
    other = copy.deepcopy(model)

    def draw() -> Tensor:
        wrong = torch.randint(len(graph.features), (128, 2))
        return torch.cat([joined[torch.randint(len(joined), (128,))], wrong])

    losses, optimizer = [], Adam(model.parameters(), lr=0.03)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _step in range(200):
            loss = criterion(model(graph.features, draw()), targets)
            model.decoder.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/bce", losses[-1], writer.step)
    better, optimizer = [], Adam(other.parameters(), lr=0.03)
    for _step in range(200):
        loss = criterion(other(graph.features, draw()), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        better.append(loss.item())
    behind(sum(losses[-50:]) / 50, sum(better[-50:]) / 50, 1.08)
    pairs, precise = draw(), double(model)
    fresh = torch.autograd.grad(
        criterion(precise(graph.features.double(), pairs), targets.double()), list(precise.encoder.parameters())
    )
    for value, found in zip(model.encoder.parameters(), fresh, strict=True):
        assert value.grad is not None
        require(value.grad.norm() > 3 * found.norm(), f"{value.grad.norm():.3g} is kept, and {found.norm():.3g} new")
    return Truth(("encoder", "encoder.lin1", "encoder.lin2"), 0, 40)


SCENARIOS = (
    Scenario(
        "cedar-unscaled-beam-mlp",
        "mlp",
        TUNING,
        unscaled,
        ("low_precision_underflow",),
        ("vanishing_gradient", "layer_not_training", "loss_plateau", "underfitting", "lr_too_low"),
    ),
    Scenario(
        "cedar-bfloat-text-transformer",
        "transformer",
        TUNING,
        brain_floats,
        ("low_precision_underflow",),
        ("lr_too_low", "layer_not_training", "loss_plateau", "underfitting"),
    ),
    Scenario(
        "cedar-uncleared-digits-cnn",
        "cnn",
        TUNING,
        never,
        ("missing_zero_grad",),
        (
            "loss_oscillation",
            "loss_spike",
            "loss_plateau",
            "exploding_gradient",
            "lr_too_high",
            "dead_units",
            "underfitting",
            "vanishing_gradient",
            "nonfinite",
        ),
    ),
    Scenario(
        "cedar-uncleared-friends-gnn",
        "gnn",
        TUNING,
        friends,
        ("missing_zero_grad",),
        (
            "loss_oscillation",
            "loss_spike",
            "loss_plateau",
            "exploding_gradient",
            "lr_too_high",
            "dead_units",
            "underfitting",
            "nonfinite",
            "vanishing_gradient",
        ),
    ),
)

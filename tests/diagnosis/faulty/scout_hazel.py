"""What is stuck: weights and scores that are too large, a rate that ran out, labels that stayed behind."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import ExponentialLR

from tests.diagnosis.data import digits
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import double, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def worse(does: float, should: float, times: float = 1.5) -> None:
    """Raise NotProvenError unless a loss is that many times as large as it could be."""
    require(does > times * should, f"the loss is {does:.3g}, and could be {should:.3g}")


def unit_normal(layer: nn.Module) -> None:
    """Draw the weights of a linear layer from a normal distribution of deviation 1."""
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight)
        nn.init.zeros_(layer.bias)


def normal_weights(trial: Trial) -> Truth:
    """`model.apply(init_weights)` with `nn.init.normal_(m.weight)`: all three layers of tanh sit at their ends."""
    torch.manual_seed(trial.seed)
    data = digits(trial.seed)
    model, other = (mlp((64, 64, 64, 64, 10), nn.Tanh) for _ in range(2))
    model.apply(unit_normal)
    optimizer, draw = SGD(model.parameters(), lr=0.02, momentum=0.9), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, validation=data.held_out, every=1, steps=240)
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.02, momentum=0.9), steps=240)
    worse(loss_of(model, data.held_out), loss_of(other, data.held_out), 2.0)
    acts = ("act1", "act2", "act3")
    for name in acts:
        share = float((outputs(model, name, data.train.inputs).abs() > 0.97).double().mean())
        require(share > 0.6, f"{share:.2f} of {name} are at their ends")
    return Truth((*acts, "fc1", "fc2", "fc3"))


class Look(nn.Module):
    """Self-attention of one head over [n, places, width]."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out, self.scale = nn.Linear(width, width), scale

    def shares(self, inputs: Tensor) -> Tensor:
        """Return how much each place takes from each."""
        scores = self.query(inputs) @ self.key(inputs).transpose(1, 2) * self.scale
        return functional.softmax(scores, -1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what each place takes."""
        taken: Tensor = self.out(self.shares(inputs) @ self.value(inputs))
        return taken


class Layer(nn.Module):
    """Attention and a small MLP, both added to what comes in."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.ln1, self.attn = nn.LayerNorm(width), Look(width, scale)
        self.ln2, self.mlp = nn.LayerNorm(width), nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, places, width]."""
        hidden = inputs + self.attn(self.ln1(inputs))
        added: Tensor = hidden + self.mlp(self.ln2(hidden))
        return added


class Patches(nn.Module):
    """A small vision transformer: sixteen patches of 2 x 2 and a class token."""

    def __init__(self, scale: float, width: int = 64) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, width, 2, stride=2)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.place = nn.Parameter(0.2 * torch.randn(1, 17, width))
        self.layers = nn.ModuleList(Layer(width, scale) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        patches = self.patch(pictures).flatten(2).transpose(1, 2)
        hidden = torch.cat([self.token.expand(len(pictures), -1, -1), patches], 1) + self.place
        for layer in self.layers:
            hidden = layer(hidden)
        scores: Tensor = self.head(self.norm(hidden[:, 0]))
        return scores


def multiplied(trial: Trial) -> Truth:
    """`scores * math.sqrt(d)` for `/ math.sqrt(d)`: the softmax of attention picks one patch and stays with it."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed, flat=False), Patches(8.0), Patches(1 / 8)
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    criterion = nn.CrossEntropyLoss()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            pictures, classes = draw(step)
            optimizer.zero_grad()
            scores = model(pictures)
            loss = criterion(scores, classes)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/acc", float((scores.argmax(1) == classes).float().mean()), writer.step)
    control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=1e-3), steps=200)
    worse(loss_of(model, data.held_out), loss_of(other, data.held_out))
    for at in range(2):
        seen = outputs(model, f"layers.{at}.ln1", data.train.inputs[:256])
        look = double(model).get_submodule(f"layers.{at}.attn")
        assert isinstance(look, Look)
        most = float(look.shares(seen).detach().max(-1).values.median())
        require(most > 0.95, f"layer {at} gives {most:.2f} to one place")
    return Truth(tuple(f"layers.{at}.attn{part}" for at in range(2) for part in ("", ".query", ".key", ".out")))


def per_batch(trial: Trial) -> Truth:
    """`scheduler.step()` of an ExponentialLR in the loop of batches: after a hundred steps nothing moves."""
    torch.manual_seed(trial.seed)
    data = digits(trial.seed, flat=False)
    layers = {
        "conv1": nn.Conv2d(1, 8, 3, padding=1),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(8, 16, 3, padding=1),
        "relu2": nn.ReLU(),
        "pool2": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(64, 10),
    }
    model = nn.Sequential(OrderedDict(layers))
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    optimizer, losses = SGD(model.parameters(), lr=0.05, momentum=0.9), []
    schedule, draw = ExponentialLR(optimizer, 0.95), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(300):
            pictures, classes = draw(step)
            loss = criterion(model(pictures), classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", loss.item(), writer.step)
    better = control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.05, momentum=0.9))
    middle, end = sum(losses[120:200]) / 80, sum(losses[220:]) / 80
    require(abs(end - middle) < 0.06 * middle, f"the loss goes from {middle:.3g} to {end:.3g}")
    worse(end, better, 3.0)
    return Truth((), 40, 150)


def steps_of(seed: int, count: int = 1500) -> tuple[Tensor, Tensor, Tensor]:
    """Return walks padded with zeros, [n, 20, 3], which way of four each drifts, [n], and its length, [n]."""
    generator = torch.Generator().manual_seed(seed)
    ways, lengths = (torch.randint(low, high, (count,), generator=generator) for low, high in ((0, 4), (6, 21)))
    angles = ways[:, None] * math.pi / 2 + 0.8 * torch.randn(count, 20, generator=generator)
    moves = torch.stack([angles.cos(), angles.sin(), torch.randn(count, 20, generator=generator)], 2)
    return moves * (torch.arange(20) < lengths[:, None])[..., None], ways, lengths


class Walks(nn.Module):
    """A GRU over packed walks."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(3, 24, batch_first=True), nn.Linear(24, 4)

    def forward(self, walks: Tensor, lengths: Tensor) -> Tensor:
        """Return scores [n, 4]; the longest walks come first."""
        packed = nn.utils.rnn.pack_padded_sequence(walks, lengths, batch_first=True)
        scores: Tensor = self.fc(self.gru(packed)[1][-1])
        return scores


def sorted_walks(trial: Trial) -> Truth:
    """A batch is sorted by length to pack it and its labels are not: the loss stays at the logarithm of four."""
    torch.manual_seed(trial.seed)
    walks, ways, lengths = steps_of(trial.seed)
    model, criterion, ends = Walks(), nn.CrossEntropyLoss(), []
    other = copy.deepcopy(model)
    for net, wrong in ((model, True), (other, False)):
        optimizer, losses = Adam(net.parameters(), lr=3e-3), []
        generator = torch.Generator().manual_seed(trial.seed)
        writer = trial.writer() if wrong else None
        if writer:
            writer.watch(net, optimizer, criterion, every=2, on_finding="ignore")
        for _step in range(220):
            chosen = torch.randint(len(ways), (32,), generator=generator)
            order = lengths[chosen].argsort(descending=True)
            first = chosen[order]
            loss = criterion(net(walks[first], lengths[first]), ways[chosen if wrong else first])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if writer:
                writer.add_scalar("loss/train", loss.item(), writer.step)
        if writer:
            writer.close()
        ends.append(sum(losses[-40:]) / 40)
    require(abs(ends[0] - math.log(4)) < 0.08, f"the loss ends at {ends[0]:.3f}")
    worse(ends[0], ends[1], 3.0)
    return Truth()


SCENARIOS = (
    Scenario(
        "hazel-saturated-normal-mlp",
        "mlp",
        TUNING,
        normal_weights,
        ("saturation", "poor_init"),
        ("vanishing_gradient", "exploding_gradient", "loss_plateau", "overfitting", "layer_not_training"),
    ),
    Scenario(
        "hazel-saturated-patches-transformer",
        "transformer",
        TUNING,
        multiplied,
        ("saturation",),
        ("vanishing_gradient", "poor_init", "underfitting", "overfitting", "layer_not_training"),
    ),
    Scenario(
        "hazel-plateau-schedule-cnn",
        "cnn",
        TUNING,
        per_batch,
        ("loss_plateau", "lr_too_low"),
        ("underfitting", "layer_not_training"),
    ),
    Scenario(
        "hazel-plateau-sorted-gru",
        "rnn",
        TUNING,
        sorted_walks,
        ("loss_plateau", "label_noise"),
        ("underfitting", "wrong_output_or_loss"),
    ),
)

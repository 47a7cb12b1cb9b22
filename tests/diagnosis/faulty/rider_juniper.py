"""Certain patients, a picture paired with itself, weights of deviation one, scores that grow with the width."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, digits, patients, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, double, finite, gradients, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def by_hand(chances: Tensor, known: Tensor) -> Tensor:
    """Return the cross-entropy as one writes it down, which takes the logarithm of zero."""
    return -(known * torch.log(chances) + (1 - known) * torch.log(1 - chances)).mean()


def log_of_zero(trial: Trial) -> Truth:
    """Cross-entropy by hand after a sigmoid: once a patient is quite certain, `0 * log(0)` is NaN, and so is all."""
    data = patients(trial.seed)
    model = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid())
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=0.004), data.train.batches(32, trial.seed)
    losses: list[float] = []
    weights: list[nn.Module] = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(200):
            inputs, known = draw(step)
            if not losses or math.isfinite(losses[-1]):
                weights, batch = [copy.deepcopy(model)], Part(inputs, known)
            chances = model(inputs)
            loss = by_hand(chances, known)
            writer.observe(outputs=chances, targets=known, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
    require(any(math.isnan(loss) for loss in losses), "no loss is NaN")
    onset = next(step for step, loss in enumerate(losses) if not math.isfinite(loss))
    finite(weights[0])
    chances = weights[0](batch.inputs)
    require(bool((chances[batch.targets == 1] == 1).any() or (chances[batch.targets == 0] == 0).any()), "none is sure")
    draw, optimizer = data.train.batches(32, trial.seed), Adam(other.parameters(), lr=0.004)
    better = control(other, draw, optimizer, nn.BCELoss(), steps=200)
    require(better < 0.1, f"the loss that is built in ends at {better:.3g}")
    return Truth((), onset)


class Twins(nn.Module):
    """Embeds the two pictures of a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.embed = nn.Linear(256, 16)

    def encode(self, pictures: Tensor) -> Tensor:
        """Return embeddings [n, 16]."""
        hidden = functional.relu(self.conv1(pictures))
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        made: Tensor = self.embed(hidden.flatten(1))
        return made

    def forward(self, pairs: Tensor) -> Tensor:
        """Return how far apart the two of each pair are, [n], of [n, 2, 8, 8]."""
        difference = self.encode(pairs[:, :1]) - self.encode(pairs[:, 1:])
        return torch.sqrt((difference**2).sum(1))


def contrastive(distances: Tensor, same: Tensor) -> Tensor:
    """Return the loss of pairs: those of one class are to be near, others two apart."""
    return (same * distances**2 + (1 - same) * functional.relu(2 - distances) ** 2).mean()


def same_picture(trial: Trial) -> Truth:
    """Pairs of digits by chance: now and then a picture is its own partner, and the slope of `sqrt(0)` is NaN."""
    data, model = digits(trial.seed, flat=False).train, Twins()
    optimizer, generator = RMSprop(model.parameters(), lr=1e-3), torch.Generator().manual_seed(trial.seed)
    onset, losses = -1, []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(200):
            left, right = torch.randint(len(data.targets), (2, 64), generator=generator)
            pairs = torch.cat([data.inputs[left], data.inputs[right]], 1)
            same = (data.targets[left] == data.targets[right]).float()
            if onset < 0 and bool((left == right).any()):
                onset, held, batch, others = step, copy.deepcopy(model), Part(pairs, same), left != right
            optimizer.zero_grad()
            loss = contrastive(model(pairs), same)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/contrastive_loss", losses[-1], writer.step)
    require(onset >= 0, "no picture is its own partner")
    finite(held)
    require(math.isfinite(loss_of(held, batch, contrastive)), "the loss is not finite before")
    require(all(math.isnan(size) for size in gradients(held, batch, contrastive).values()), "a gradient is finite")
    rest = gradients(held, Part(batch.inputs[others], batch.targets[others]), contrastive)
    require(all(math.isfinite(size) for size in rest.values()), "the other pairs are not finite")
    require(all(math.isnan(loss) for loss in losses[onset + 1 :]), "a later loss is finite")
    return Truth((), onset, onset + 1)


def flat_ends(trial: Trial) -> Truth:
    """`nn.init.normal_(layer.weight)`, whose deviation is one, before tanh: most units are at -1 or 1 for good."""
    data = digits(trial.seed)
    model, other = (mlp((64, 100, 100, 100, 10), nn.Tanh) for _ in range(2))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    optimizer = SGD(model.parameters(), lr=0.02)
    fit(trial, model, data.train.batches(32, trial.seed), optimizer, validation=data.held_out, steps=260, every=2)
    for name in ("act1", "act2", "act3"):
        made = outputs(model, name, data.train.inputs)
        share = float((made.abs() > 0.98).double().mean())
        require(share > 0.5, f"{share:.2f} of what {name} gives is at an end")
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.02), steps=260)
    should, does = accuracy(other, data.held_out), accuracy(model, data.held_out)
    require(does < should - 0.1, f"{does:.3f} is not below {should:.3f}")
    return Truth(("act1", "act2", "act3", "fc1", "fc2", "fc3"))


class Reader(nn.Module):
    """A summary token attends to a list of items, twice."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.lift, self.token = nn.Linear(5, 32), nn.Parameter(0.5 * torch.randn(1, 1, 32))
        self.layers = nn.ModuleList(Attend(32, power) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 1)

    def forward(self, items: Tensor) -> Tensor:
        """Return [n, 1] of [n, items, 5]."""
        hidden = torch.cat([self.token.expand(len(items), -1, -1), self.lift(items)], 1)
        for layer in self.layers:
            hidden = layer(hidden)
        made: Tensor = self.head(self.norm(hidden[:, 0]))
        return made


class Attend(nn.Module):
    """Attention of one head and a feed-forward part; its scores are multiplied by a power of the width."""

    def __init__(self, width: int, power: float) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.softmax, self.out = nn.Softmax(dim=-1), nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))
        self.scale = width**power

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [n, places, width]."""
        seen = self.norm1(hidden)
        weights = self.softmax(self.query(seen) @ self.key(seen).transpose(1, 2) * self.scale)
        hidden = hidden + self.out(weights @ self.value(seen))
        made: Tensor = hidden + self.feed(self.norm2(hidden))
        return made


def baskets(seed: int, count: int = 2000) -> Part:
    """Return baskets of twenty items of five features, and the mean worth of the items, [n, 1]."""
    items = torch.randn(count, 20, 5, generator=torch.Generator().manual_seed(seed))
    worth = (items[..., 0] + items[..., 1].tanh() * items[..., 2]).mean(1, keepdim=True)
    return Part(items, (worth - worth.mean()) / worth.std())


def wrong_scale(trial: Trial) -> Truth:
    """`* math.sqrt(d)` for `/ math.sqrt(d)`: attention to a basket looks at one item alone, where all should count."""
    part = baskets(trial.seed)
    data, criterion = split(part.inputs, part.targets, 300, trial.seed), nn.MSELoss()
    model, other = Reader(0.5), Reader(-0.5)
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=2e-3), data.train.batches(48, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, steps=220, every=2)
    control(other, data.train.batches(48, trial.seed), AdamW(other.parameters(), lr=2e-3), criterion, steps=220)
    should, does = (loss_of(one, data.held_out, criterion) for one in (other, model))
    require(does > 1.5 * should, f"{does:.3f} is not above {should:.3f}")
    for number in range(2):
        name = f"layers.{number}.softmax"
        most = [float(outputs(one, name, data.held_out.inputs).amax(-1).median()) for one in (model, other)]
        require(most[0] > 0.9, f"the largest weight of {name} is {most[0]:.2f}, and should be {most[1]:.2f}")
    parts = ("softmax", "query", "key")
    blocks = ("layers.0", "layers.1")
    require(all(bool(value.isfinite().all()) for value in double(model).parameters()), "a weight is not finite")
    return Truth((*blocks, *(f"{block}.{part}" for block in blocks for part in parts)))


SCENARIOS = (
    Scenario("juniper-log-of-zero-mlp", "mlp", TUNING, log_of_zero, ("nonfinite",), ("saturation", "loss_spike")),
    Scenario(
        "juniper-same-picture-cnn",
        "cnn",
        TUNING,
        same_picture,
        ("nonfinite",),
        ("exploding_gradient", "loss_spike"),
    ),
    Scenario(
        "juniper-flat-ends-mlp",
        "mlp",
        TUNING,
        flat_ends,
        ("saturation", "poor_init"),
        ("vanishing_gradient", "loss_plateau", "lr_too_low", "layer_not_training", "underfitting"),
    ),
    Scenario(
        "juniper-wrong-scale-transformer",
        "transformer",
        TUNING,
        wrong_scale,
        ("saturation",),
        ("poor_init", "loss_plateau", "overfitting", "vanishing_gradient", "layer_not_training"),
    ),
)

"""Gradients that die on their way back: eight sigmoids, a hundred readings, ten gates with nothing around them."""

from __future__ import annotations

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from tests.diagnosis.data import Part, split
from tests.diagnosis.proof import double, gradients, require, widened
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def faint(sizes: dict[str, float], head: str, most: float = 1e-3) -> tuple[str, ...]:
    """Return the layers whose weights get that small a share of the head's gradient."""
    weights = {name.removesuffix(".weight"): size for name, size in sizes.items() if name.endswith(".weight")}
    return tuple(name for name, size in weights.items() if size < most * weights[head])


def stacked(activation: type[nn.Module]) -> nn.Sequential:
    """Return nine linear layers over the thirteen measurements of a wine."""
    layers: list[nn.Module] = [nn.Linear(13, 32), activation()]
    for _ in range(7):
        layers += [nn.Linear(32, 32), activation()]
    return nn.Sequential(*layers, nn.Linear(32, 3))


def deep_sigmoids(trial: Trial) -> Truth:
    """Eight hidden layers with a sigmoid after each, for the grapes of a wine: the first ones get no gradient."""
    raw = load_wine()
    rows = torch.tensor((raw.data - raw.data.mean(0)) / raw.data.std(0), dtype=torch.float32)
    data = split(rows, torch.tensor(raw.target), 40, trial.seed)
    torch.manual_seed(trial.seed)
    model, other = stacked(nn.Sigmoid), stacked(nn.ReLU)
    for layer in other:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.9)
    before = faint(gradients(model, data.train), "16")
    draw, held_out = data.train.batches(32, trial.seed), data.held_out
    history = fit(trial, model, draw, optimizer, validation=held_out, every=2, steps=240)
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    better = control(other, data.train.batches(32, trial.seed), optimizer, steps=240)
    require(history.end > 1.0 and better < 0.3, f"it ends at {history.end:.3g}, and with ReLUs at {better:.3g}")
    after = faint(gradients(model, data.train), "16")
    require({"0", "2", "4"} <= set(before) & set(after), f"the gradient is faint in {before}, later in {after}")
    return Truth(before)


def motors(seed: int, count: int = 1200, length: int = 100) -> Part:
    """Return currents of motors, [n, length, 2], and which of three starts it was, seen in the first six readings."""
    draw = torch.Generator().manual_seed(seed)
    kinds = torch.randint(3, (count,), generator=draw)
    currents = 0.4 * torch.randn(count, length, 2, generator=draw)
    starts = torch.tensor([[1.2, 0.0], [0.0, 1.2], [-1.2, -1.2]])
    currents[:, :6] += starts[kinds][:, None]
    return Part(currents, kinds)


class Watcher(nn.Module):
    """A recurrent layer over currents; its last state tells what it was, or the mean of all."""

    def __init__(self, *, mean: bool) -> None:
        super().__init__()
        self.rnn, self.out, self.mean = nn.RNN(2, 32, batch_first=True), nn.Linear(32, 3), mean

    def forward(self, currents: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        states = self.rnn(currents)[0]
        scores: Tensor = self.out(states.mean(1) if self.mean else states[:, -1])
        return scores


def arrives(model: nn.Module, part: Part) -> float:
    """Return the share of the gradient of the last reading that comes back to the first six."""
    readings = widened(part.inputs).requires_grad_()
    loss = functional.cross_entropy(double(model)(readings), part.targets)
    (back,) = torch.autograd.grad(loss, [readings])
    sizes = back.square().mean((0, 2)).sqrt()
    return float(sizes[:6].max() / sizes[-1])


def early_event(trial: Trial) -> Truth:
    """nn.RNN over a hundred readings, of which the first six tell: no gradient comes back as far as there."""
    data = motors(trial.seed)
    torch.manual_seed(trial.seed)
    model, other, criterion, losses = Watcher(mean=False), Watcher(mean=True), nn.CrossEntropyLoss(), []
    other.load_state_dict(model.state_dict())
    draw, shares = data.batches(64, trial.seed), [arrives(model, data.first(256))]
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            currents, kinds = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(currents), kinds)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
    shares.append(arrives(model, data.first(256)))
    require(max(shares) < 1e-6, f"{shares} of the gradient comes back to the start")
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    better = control(other, data.batches(64, trial.seed), optimizer, criterion, steps=200)
    end = sum(losses[-20:]) / 20
    require(end > 1.0 and better < 0.5, f"it ends at {end:.3g}, and with the mean of all at {better:.3g}")
    return Truth(("rnn",))


class Gated(nn.Module):
    """A dilated convolution times a gate, which WaveNet adds to what came in."""

    def __init__(self, dilation: int, *, add: bool) -> None:
        super().__init__()
        self.pad, self.add = 2 * dilation, add
        self.filter, self.gate = (nn.Conv1d(16, 16, 3, dilation=dilation) for _ in range(2))

    def forward(self, signal: Tensor) -> Tensor:
        """Return [n, 16, length]."""
        past = functional.pad(signal, (self.pad, 0))
        made = torch.tanh(self.filter(past)) * torch.sigmoid(self.gate(past))
        return signal + made if self.add else made


class Wave(nn.Module):
    """Ten gated convolutions that say how a signal goes on."""

    def __init__(self, *, add: bool) -> None:
        super().__init__()
        self.lift, self.head = nn.Conv1d(1, 16, 1), nn.Conv1d(16, 1, 1)
        self.blocks = nn.Sequential(*(Gated(2 ** (at % 4), add=add) for at in range(10)))

    def forward(self, signal: Tensor) -> Tensor:
        """Return [n, 1, length]."""
        following: Tensor = self.head(self.blocks(self.lift(signal)))
        return following


def no_skips(trial: Trial) -> Truth:
    """A WaveNet by heart, whose ten gated blocks lack the addition: gates and filters shrink all that goes back."""
    draw = torch.Generator().manual_seed(trial.seed)
    phase, speed = 6.3 * torch.rand(600, 1, 1, generator=draw), 0.3 + 0.5 * torch.rand(600, 1, 1, generator=draw)
    times = torch.arange(41.0)
    series = torch.sin(phase + speed * times) + 0.05 * torch.randn(600, 1, 41, generator=draw)
    data, criterion = split(series[:, :, :-1], series[:, :, 1:], 100, trial.seed), nn.MSELoss()
    torch.manual_seed(trial.seed)
    model, other = Wave(add=False), Wave(add=True)
    other.load_state_dict(model.state_dict())
    before = faint(gradients(model, data.train, criterion), "head")
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.9)
    history = fit(trial, model, data.train.batches(16, trial.seed), optimizer, criterion, every=2, steps=160)
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    better = control(other, data.train.batches(16, trial.seed), optimizer, criterion, steps=160)
    require(history.end > 0.4 and better < 0.1, f"it ends at {history.end:.3g}, and with skips at {better:.3g}")
    after = faint(gradients(model, data.train, criterion), "head")
    first = {"lift", *(f"blocks.{at}.{part}" for at in range(3) for part in ("filter", "gate"))}
    require(first <= set(before) & set(after), f"the gradient is faint in {before}, later in {after}")
    return Truth(before)


SCENARIOS = (
    Scenario(
        "mint-vanish-sigmoids-mlp",
        "mlp",
        TUNING,
        deep_sigmoids,
        ("vanishing_gradient",),
        ("loss_plateau", "layer_not_training", "underfitting", "representation_collapse"),
    ),
    Scenario(
        "mint-vanish-start-rnn",
        "rnn",
        TUNING,
        early_event,
        ("vanishing_gradient",),
        ("loss_plateau", "underfitting"),
    ),
    Scenario(
        "mint-vanish-wavenet-cnn",
        "cnn",
        TUNING,
        no_skips,
        ("vanishing_gradient",),
        ("loss_plateau", "layer_not_training", "underfitting", "representation_collapse"),
    ),
)

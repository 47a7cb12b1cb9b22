"""Too much regularisation, and gradients that grow through time: gaits, tags, diabetes, drift, a cart."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, split
from tests.diagnosis.faulty.pilot_briar import beaten
from tests.diagnosis.proof import double, finite, gradients, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Gait(nn.Module):
    """An LSTM over an accelerometer that says what its bearer does."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(3, 32, batch_first=True), nn.Linear(32, 5)

    def forward(self, signal: Tensor) -> Tensor:
        """Return scores [n, 5]."""
        scores: Tensor = self.out(self.lstm(signal)[0].mean(1))
        return scores


def decayed(trial: Trial) -> Truth:
    """`Adam(..., weight_decay=0.3)` against overfitting: the decay outweighs the gradients, and all weights go to 0."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    doing = torch.randint(5, (1200,), generator=generator)
    phase = 6 * torch.rand(1200, 1, 1, generator=generator) + torch.tensor([0.0, 1.0, 2.0])
    swing = (0.25 * (1 + doing[:, None, None]) * torch.arange(30.0)[:, None] + phase).sin()
    data = split(swing + 0.3 * torch.randn(1200, 30, 3, generator=generator), doing, 200, trial.seed)
    model = Gait()
    other, begun = copy.deepcopy(model), float(model.lstm.weight_hh_l0.detach().norm())
    optimizer, draw = Adam(model.parameters(), lr=5e-3, weight_decay=0.3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    draw = data.train.batches(32, trial.seed)
    beaten(history.end, control(other, draw, Adam(other.parameters(), lr=5e-3, weight_decay=1e-4), steps=200), 0.6)
    left = float(model.lstm.weight_hh_l0.detach().norm()) / begun
    require(left < 0.1, f"{left:.2f} of the recurrent weights is left")
    return Truth((), 0, 60)


class Tagger(nn.Module):
    """A transformer that tags each word of a sentence."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.embed, self.place, self.drop = nn.Embedding(40, 32), nn.Embedding(14, 32), nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(32, 2, 64, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.tag = nn.Linear(32, 6)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 6, 14]."""
        hidden = self.drop(self.embed(words) + self.place(torch.arange(words.shape[1])))
        scores: Tensor = self.tag(self.drop(self.encoder(hidden)))
        return scores.transpose(1, 2)


def dropped(trial: Trial) -> Truth:
    """A tagger with dropout=0.8 at each place that takes one: hardly anything comes through."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.randint(40, (1300, 14), generator=generator)
    sense = torch.randint(6, (40, 2), generator=generator)
    # A word's tag depends on the kind of the word before it.
    before = torch.cat([torch.zeros(1300, 1, dtype=torch.long), words[:, :-1] % 2], 1)
    tags = sense[words, before]
    data, model, other = split(words, tags, 250, trial.seed), Tagger(0.8), Tagger(0.1)
    other.load_state_dict(model.state_dict())
    criterion = nn.CrossEntropyLoss()
    optimizer, losses, draw = AdamW(model.parameters(), lr=3e-3), [], data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            seen, known = draw(step)
            scores = model(seen)
            loss = criterion(scores, known)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/acc", float((scores.argmax(1) == known).float().mean()), writer.step)
            if step % 24 == 23:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    better = control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=3e-3), steps=240)
    beaten(sum(losses[-24:]) / 24, better, 0.6)
    beaten(loss_of(model, data.held_out), loss_of(other, data.held_out), 0.7)
    return Truth(("encoder", "drop", "embed", "tag"))


def diabetes(seed: int) -> tuple[Part, Part]:
    """Return 342 patients and 100 held out: ten measurements, and how far the disease went, all standardised."""
    raw = load_diabetes()
    inputs, targets = (torch.tensor(each, dtype=torch.float32) for each in (raw.data, raw.target))
    data = split(
        (inputs - inputs.mean(0)) / inputs.std(0), ((targets - targets.mean()) / targets.std())[:, None], 100, seed
    )
    return data.train, data.held_out


def penalised(trial: Trial) -> Truth:
    """Adds `0.2 * sum(p.abs().sum())` to the loss of an MLP over diabetes: it answers the mean for everybody."""
    torch.manual_seed(trial.seed)
    train, held_out = diabetes(trial.seed)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    other, criterion = copy.deepcopy(model), nn.MSELoss()
    optimizer, draw = SGD(model.parameters(), lr=0.01, momentum=0.9), train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            made = model(inputs)
            loss = criterion(made, targets)
            penalty = torch.stack([value.abs().sum() for value in model.parameters()]).sum()
            writer.observe(outputs=made, targets=targets, loss=loss + 0.2 * penalty)
            optimizer.zero_grad()
            (loss + 0.2 * penalty).backward()
            optimizer.step()
            writer.add_scalar("loss/train", float((loss + 0.2 * penalty).detach()), writer.step)
            writer.add_scalar("mse/train", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("mse/val", evaluate(model, criterion, held_out), writer.step)
    control(other, train.batches(32, trial.seed), SGD(other.parameters(), lr=0.01, momentum=0.9), criterion, steps=240)
    does, should = (loss_of(one, held_out, criterion) for one in (model, other))
    beaten(does, should, 0.8)
    with torch.no_grad():
        apart = float(double(model)(held_out.inputs.double()).std())
    require(apart < 0.1, f"answers are {apart:.3g} apart")
    return Truth((), 0, 80)


class Drift(nn.Module):
    """A ReLU RNN over 40 readings of a machine that says how far it has drifted."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(2, 48, nonlinearity="relu", batch_first=True)
        self.fc = nn.Linear(48, 1)

    def forward(self, readings: Tensor) -> Tensor:
        """Return [n, 1]."""
        told: Tensor = self.fc(self.rnn(readings)[0][:, -1])
        return told


def through_time(trial: Trial) -> Truth:
    """A ReLU RNN whose weights are drawn by `normal_(std=0.3)`, over forty steps and with no clipping."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    readings = torch.randn(1200, 40, 2, generator=generator)
    drift = 0.3 * (readings[..., 0] * (readings[..., 1] > 0)).cumsum(1)[:, -1:]
    data, model, criterion = split(readings, drift, 200, trial.seed), Drift(), nn.MSELoss()
    other = copy.deepcopy(model)
    nn.init.eye_(other.rnn.weight_hh_l0)
    for name, value in model.rnn.named_parameters():
        if "weight" in name:
            nn.init.normal_(value, std=0.3)
    part = data.train.first(64)
    first = gradients(model, part, criterion)
    states = double(model).get_submodule("rnn")(part.inputs.double())[0].detach()
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=1, steps=200)
    finite(model)
    draw = data.train.batches(32, trial.seed)
    beaten(history.end, control(other, draw, Adam(other.parameters(), lr=1e-3), criterion, steps=200, clip=1.0), 0.3)
    grown = float(states[:, -1].norm() / states[:, 0].norm())
    require(grown > 1e3, f"states grow {grown:.3g}-fold")
    size = first["rnn.weight_hh_l0"]
    require(size > 1e4, f"the gradient is {size:.3g}")
    return Truth(("rnn",))


def balanced(policy: nn.Module, start: Tensor, steps: int = 60) -> Tensor:
    """Return the mean cost of sixty steps in which a policy keeps a cart [n, 2] (tilt, speed) from tipping over."""
    state, costs = start, []
    for _step in range(steps):
        push = 10 * policy(state)
        speed = state[:, 1:] + 0.05 * (9.8 * state[:, :1] + push)
        state = torch.cat([state[:, :1] + 0.05 * speed, speed], 1)
        costs.append(state[:, 0].square() + 1e-3 * push[:, 0].square())
    return torch.stack(costs).mean()


def cart(trial: Trial) -> Truth:
    """Trains a policy back through sixty steps of a simulator that tips over: gradients grow with each, unclipped."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    policy = nn.Sequential(nn.Linear(2, 32), nn.ELU(), nn.Linear(32, 32), nn.ELU(), nn.Linear(32, 1))
    other = copy.deepcopy(policy)
    starts = 0.5 * torch.randn(150, 32, 2, generator=generator)
    sizes = {}
    for steps in (20, 60):
        precise = double(policy)
        balanced(precise, starts[0].double(), steps).backward()
        sizes[steps] = max(float(value.grad.norm()) for value in precise.parameters() if value.grad is not None)
    optimizer, costs = Adam(policy.parameters(), lr=3e-3), []
    with trial.writer() as writer:
        writer.watch(policy, optimizer, every=None, on_finding="ignore")
        for start in starts:
            loss = balanced(policy, start)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            costs.append(loss.item())
            writer.add_scalar("train/loss", loss.item(), writer.step)
    optimizer, good = Adam(other.parameters(), lr=3e-3), []
    for start in starts:
        optimizer.zero_grad()
        loss = balanced(other, start)
        loss.backward()
        nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        optimizer.step()
        good.append(loss.item())
    beaten(costs[-1], good[-1], 0.6)
    grown = sizes[60] / sizes[20]
    require(grown > 1e3, f"the gradient is {grown:.3g} times that of a third of the steps")
    return Truth()


SCENARIOS = (
    Scenario(
        "briar-regularised-decay-lstm",
        "rnn",
        TUNING,
        decayed,
        ("over_regularised",),
        ("loss_plateau", "underfitting", "vanishing_gradient", "representation_collapse"),
    ),
    Scenario(
        "briar-regularised-dropout-transformer",
        "transformer",
        TUNING,
        dropped,
        ("over_regularised",),
        ("loss_plateau", "underfitting", "train_eval_mismatch"),
    ),
    Scenario(
        "briar-regularised-penalty-mlp",
        "mlp",
        TUNING,
        penalised,
        ("over_regularised",),
        ("loss_plateau", "underfitting", "dead_units", "representation_collapse", "vanishing_gradient"),
    ),
    Scenario(
        "briar-exploding-drift-rnn",
        "rnn",
        TUNING,
        through_time,
        ("exploding_gradient", "poor_init"),
        ("loss_spike", "loss_oscillation", "lr_too_low", "lr_too_high", "underfitting", "nonfinite", "loss_plateau"),
    ),
    Scenario(
        "briar-exploding-cart-mlp",
        "mlp",
        TUNING,
        cart,
        ("exploding_gradient",),
        ("loss_spike", "loss_oscillation", "loss_plateau", "saturation", "lr_too_high"),
    ),
)

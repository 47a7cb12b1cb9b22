"""Drifting sensors, molecules, digits, a language of syllables and heart beats, each trained with one mistake."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, Split, digits, language, split
from tests.diagnosis.proof import accuracy, double, loss_of, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Carried(nn.Module):
    """A recurrent cell whose state is carried on beside what is added, or is a mean of both; reads [n, length, 3]."""

    def __init__(self, *, mean: bool) -> None:
        super().__init__()
        self.enter, self.recur, self.head = nn.Linear(3, 48), nn.Linear(48, 48), nn.Linear(48, 1)
        self.mean = mean

    def states(self, signals: Tensor) -> list[Tensor]:
        """Return the states of all times."""
        state = signals.new_zeros(len(signals), 48)
        held = []
        for moment in signals.unbind(1):
            added = functional.relu(self.enter(moment) + self.recur(state))
            state = 0.5 * (state + added) if self.mean else state + added
            held.append(state)
        return held

    def forward(self, signals: Tensor) -> Tensor:
        """Return [n, 1]."""
        made: Tensor = self.head(self.states(signals)[-1])
        return made


def sensors(seed: int) -> Split:
    """Return three drifting sensors over 36 moments, and how warm it is at the end."""
    generator = torch.Generator().manual_seed(seed)
    signals = 0.5 * torch.randn(900, 36, 3, generator=generator)
    signals[..., 0] += torch.linspace(-1, 1, 36) * torch.randn(900, 1, generator=generator)
    weights = 0.85 ** torch.arange(35, -1, -1.0)
    warm = (weights[:, None] * signals).sum(1) @ torch.tensor([[1.0], [-0.6], [0.4]])
    return split(signals, (warm - warm.mean()) / warm.std(), 200, seed)


def carried_state(trial: Trial) -> Truth:
    """`h = h + relu(W x + U h)`: a skip through time, so that the gradient flows, and it grows over 36 moments."""
    torch.manual_seed(trial.seed)
    data, criterion = sensors(trial.seed), nn.MSELoss()
    model, other = Carried(mean=False), Carried(mean=True)
    other.load_state_dict(model.state_dict())
    start = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            signals, warm = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(signals), warm)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss", loss.item(), writer.step)
    for one, grown in ((start, True), (model, True), (other, False)):
        precise = double(one)
        assert isinstance(precise, Carried)
        held = precise.states(data.train.inputs[:64].double())
        error = criterion(precise.head(held[-1]), data.train.targets[:64].double())
        first, last = torch.autograd.grad(error, [held[0], held[-1]])
        ratio = float(first.norm() / last.norm())
        require(ratio > 100 if grown else ratio < 1, f"the gradient grows {ratio:.3g}-fold through time")
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=200)
    found, could = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(found > 2 * could, f"{found:.3g} is not above {could:.3g}")
    return Truth(("recur", "enter"))


class Molecules(nn.Module):
    """Eight rounds in which atoms hear of their neighbours, added up or as a mean; the atoms' mean gives an energy."""

    def __init__(self, *, mean: bool) -> None:
        super().__init__()
        self.rounds = nn.ModuleList(nn.Linear(6 if at == 0 else 32, 32) for at in range(8))
        self.energy, self.mean = nn.Linear(32, 1), mean

    def states(self, atoms: Tensor) -> list[Tensor]:
        """Return what atoms hold after each round, of [n, 14, 6 + 14]."""
        hidden, bonds = atoms[..., :6], atoms[..., 6:]
        if self.mean:
            bonds = bonds / bonds.sum(2, keepdim=True)
        held = []
        for layer in self.rounds:
            hidden = torch.relu(layer(bonds @ hidden))
            held.append(hidden)
        return held

    def forward(self, atoms: Tensor) -> Tensor:
        """Return energies [n, 1]."""
        made: Tensor = self.energy(self.states(atoms)[-1].mean(1))
        return made


def molecules(seed: int) -> Split:
    """Return molecules of 14 atoms of six kinds, each bound to some six others, and their energies."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.rand(700, 1, 6, generator=generator)
    atoms = functional.one_hot(torch.multinomial(kinds.expand(700, 14, 6).reshape(-1, 6), 1, generator=generator), 6)
    atoms = atoms.view(700, 14, 6).float()
    bonds = (torch.rand(700, 14, 14, generator=generator) < 0.45).triu(1).float()
    bonds = bonds + bonds.mT + torch.eye(14)
    worth = torch.randn(6, generator=generator)
    energy = (atoms @ worth).mean(1, keepdim=True)
    energy = (energy - energy.mean()) / energy.std()
    return split(torch.cat([atoms, bonds], 2), energy, 150, seed)


def summed_bonds(trial: Trial) -> Truth:
    """`x = relu(lin(adj @ x))` eight times over, where the adjacency isn't normalised: each round multiplies by six."""
    torch.manual_seed(trial.seed)
    data, criterion = molecules(trial.seed), nn.MSELoss()
    model, other = Molecules(mean=False), Molecules(mean=True)
    other.load_state_dict(model.state_dict())
    start = copy.deepcopy(model)
    optimizer, draw = RMSprop(model.parameters(), lr=1e-3), data.train.batches(24, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=200)
    precise = double(start)
    assert isinstance(precise, Molecules)
    held = precise.states(data.train.inputs.double())
    error = criterion(precise.energy(held[-1].mean(1)), data.train.targets.double())
    sizes = [float(one.norm()) for one in torch.autograd.grad(error, held)]
    require(sizes[0] > 100 * sizes[-1], f"gradients of states through depth are {sizes}")
    control(other, data.train.batches(24, trial.seed), RMSprop(other.parameters(), lr=1e-3), criterion, steps=200)
    found, could = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(found > 1.5 * could, f"{found:.3g} is not above {could:.3g}")
    return Truth(tuple(f"rounds.{at}" for at in range(8)))


class Pictures(nn.Module):
    """Two convolutions and two linear layers over pictures, as in a tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 24, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(24 * 4, 48), nn.Linear(48, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        scores: Tensor = self.fc2(functional.relu(self.fc1(hidden.flatten(1))))
        return scores


def heavy_decay(trial: Trial) -> Truth:
    """Weight decay of 0.07 in Adam, against overfitting that never was: the weights go to nothing."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), Pictures(), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=1e-3, weight_decay=0.07), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            pictures, classes = draw(step)
            scores = model(pictures)
            loss = criterion(scores, classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/acc", float((scores.argmax(1) == classes).float().mean()), writer.step)
            if step % 30 == 29:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=1e-3))
    found, could = (accuracy(one, data.held_out) for one in (model, other))
    require(found < could - 0.1, f"{found:.3f} is not below {could:.3f}")
    found, could = (loss_of(one, data.train) for one in (model, other))
    require(found > 2 * could, f"{found:.3f} is not above {could:.3f}")
    sizes = [sum(float(one.detach().square().sum()) for one in net.parameters()) for net in (model, other)]
    require(sizes[0] < 0.5 * sizes[1], f"squares of weights are {sizes}")
    return Truth((), 0, 120)


class Syllables(nn.Module):
    """A GRU that tells the next syllable, with a dropout before it and one after."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.embed, self.drop1 = nn.Embedding(20, 24), nn.Dropout(rate)
        self.gru, self.drop2 = nn.GRU(24, 48, batch_first=True), nn.Dropout(rate)
        self.decoder = nn.Linear(48, 20)

    def forward(self, syllables: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        hidden = self.drop2(self.gru(self.drop1(self.embed(syllables)))[0])
        scores: Tensor = self.decoder(hidden).transpose(1, 2)
        return scores


def keep_rate(trial: Trial) -> Truth:
    """`nn.Dropout(0.9)`: the share that an older tutorial, in another framework, said was to be kept."""
    torch.manual_seed(trial.seed)
    data, model, other = language(trial.seed), Syllables(0.9), Syllables(0.1)
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=5e-3), steps=200)
    found, could = (loss_of(one, data.held_out) for one in (model, other))
    require(found > 1.15 * could, f"{found:.3f} is not above {could:.3f}")
    require(history.end > 1.3 * could, f"in training {history.end:.3f} is not above {could:.3f}")
    return Truth((), 0, 60)


class Beats(nn.Module):
    """Convolutions over a signal [n, 1, 64] with a normalisation each, and a head."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv1d(1, 12, 7, 2, 3, bias=False), nn.BatchNorm1d(12), nn.ReLU()),
            *(nn.Conv1d(12, 24, 5, 2, 2, bias=False), nn.BatchNorm1d(24), nn.ReLU()),
            *(nn.AdaptiveAvgPool1d(4), nn.Flatten()),
        )
        self.head = nn.Linear(96, classes)

    def forward(self, signals: Tensor) -> Tensor:
        """Return scores."""
        scores: Tensor = self.head(self.features(signals))
        return scores


def beats(seed: int, kinds: int, count: int = 900) -> Part:
    """Return beats of so many kinds, which differ by the place and height of three waves."""
    generator = torch.Generator().manual_seed(seed)
    shapes = torch.Generator().manual_seed(77 + kinds)
    labels = torch.randint(kinds, (count,), generator=generator)
    places = 8 + 48 * torch.rand(kinds, 3, 1, generator=shapes)
    heights = torch.randn(kinds, 3, 1, generator=shapes)
    shift = 1.5 * torch.randn(count, 1, 1, generator=generator)
    waves = (heights[labels] * (-((torch.arange(64) - places[labels] - shift) ** 2) / 12).exp()).sum(1)
    return Part((waves + 0.35 * torch.randn(count, 64, generator=generator))[:, None], labels)


def new_head(trial: Trial) -> Truth:
    """`model.head = nn.Linear(96, 8)` below the line that made the optimizer, which still holds the old head."""
    torch.manual_seed(trial.seed)
    first, second = beats(trial.seed, 3), beats(trial.seed, 8)
    data = split(second.inputs, second.targets, 200, trial.seed)
    model = Beats(3)
    control(model, first.batches(32, trial.seed), Adam(model.parameters(), lr=2e-3), steps=60)
    optimizer = SGD(model.parameters(), lr=0.01)
    model.head = nn.Linear(96, 8)
    other, before = copy.deepcopy(model), snapshot(model)
    draw, criterion = data.train.batches(32, trial.seed), nn.CrossEntropyLoss()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            signals, labels = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(signals), labels)
            loss.backward()
            optimizer.step()
            writer.add_scalar("finetune/loss", loss.item(), writer.step)
    for name, change in moved(before, model).items():
        require((change == 0) == name.startswith("head"), f"{name} moved by {change:.3g}")
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.01))
    found, could = (loss_of(one, data.held_out) for one in (model, other))
    require(found > 1.15 * could, f"{found:.3f} is not above {could:.3f}")
    return Truth(("head",))


SCENARIOS = (
    Scenario(
        "poplar-carried-state-rnn",
        "rnn",
        TUNING,
        carried_state,
        ("exploding_gradient",),
        ("loss_spike", "loss_oscillation", "lr_too_high", "poor_init", "nonfinite", "loss_plateau", "underfitting"),
    ),
    Scenario(
        "poplar-summed-bonds-gnn",
        "gnn",
        TUNING,
        summed_bonds,
        ("exploding_gradient",),
        (
            *("loss_spike", "loss_oscillation", "lr_too_high", "poor_init", "dead_units", "loss_plateau"),
            *("underfitting", "oversmoothing", "representation_collapse", "redundant_units"),
        ),
    ),
    Scenario(
        "poplar-heavy-decay-cnn",
        "cnn",
        TUNING,
        heavy_decay,
        ("over_regularised",),
        (
            *("loss_plateau", "underfitting", "dead_units", "vanishing_gradient", "representation_collapse"),
            *("redundant_units",),
        ),
    ),
    Scenario(
        "poplar-keep-rate-gru",
        "rnn",
        TUNING,
        keep_rate,
        ("over_regularised",),
        ("loss_plateau", "underfitting", "train_eval_mismatch"),
    ),
    Scenario(
        "poplar-new-head-cnn",
        "cnn",
        TUNING,
        new_head,
        ("layer_not_training",),
        ("lr_too_low", "loss_plateau", "underfitting"),
    ),
)

"""A head the optimizer never met, an encoder cut off, columns and sensors as they came, too few of too much."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes, load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, RMSprop

from tests.diagnosis.data import Split, digits, split
from tests.diagnosis.faulty.caller_amber import surpassed
from tests.diagnosis.networks import Recurrent, mlp
from tests.diagnosis.proof import accuracy, gradients, loss_of, moved, outputs, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, evaluate, fit


class Unit(nn.Module):
    """A convolution, its normalisation and a ReLU."""

    def __init__(self, inputs: int, made: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(inputs, made, 3, padding=1, bias=False), nn.BatchNorm2d(made)
        self.act = nn.ReLU()

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures of `made` channels."""
        made: Tensor = self.act(self.norm(self.conv(pictures)))
        return made


class Backbone(nn.Module):
    """Units, a mean over places, and a last layer that is made for a hundred classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = Unit(1, 12), nn.Sequential(Unit(12, 24), nn.MaxPool2d(2), Unit(24, 48))
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(48, 100)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores."""
        scores: Tensor = self.fc(self.pool(self.body(self.stem(pictures))).flatten(1))
        return scores


def new_head(trial: Trial) -> Truth:
    """The last layer is replaced by one for ten classes after the optimizer is made, which still has the old one."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), Backbone(), nn.CrossEntropyLoss()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    model.fc = nn.Linear(48, 10)
    other, before = copy.deepcopy(model), snapshot(model)
    draw, losses = data.train.batches(32, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            model.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
            if step % 20 == 19:
                writer.add_scalar("loss/val", evaluate(model, criterion, data.held_out), writer.step)
    for name, size in moved(before, model).items():
        require((size == 0) == name.startswith("fc."), f"{name} moves by {size:.3g}")
    require(gradients(model, data.train)["fc.weight"] > 1e-4, "the head has nothing to learn")
    optimizer = SGD(other.parameters(), lr=0.01, momentum=0.9)
    surpassed(sum(losses[-24:]) / 24, control(other, data.train.batches(32, trial.seed), optimizer), 1.5)
    return Truth(("fc",))


class Reverser(nn.Module):
    """Reads a word, and says it backwards; in training it is told what it ought to have said so far."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(12, 16), nn.Embedding(13, 16)
        self.encoder, self.decoder = nn.GRU(16, 64, batch_first=True), nn.GRU(16, 64, batch_first=True)
        self.head, self.cut = nn.Linear(64, 12), cut

    def forward(self, pairs: Tensor) -> Tensor:
        """Return scores [n, 12, length] of [n, 2, length]: of what is read, and of what was said before."""
        state = self.encoder(self.source(pairs[:, 0]))[1]
        if self.cut:
            state = state.detach()
        said = self.decoder(self.target(pairs[:, 1]), state)[0]
        scores: Tensor = self.head(said).transpose(1, 2)
        return scores


def repackaged(trial: Trial) -> Truth:
    """The state is detached between encoder and decoder, as a language model does it between batches."""
    torch.manual_seed(trial.seed)
    read = torch.randint(12, (3000, 5), generator=torch.Generator().manual_seed(trial.seed))
    said = read.flip(1)
    before = torch.cat([torch.full((3000, 1), 12), said[:, :-1]], 1)
    data = split(torch.stack([read, before], 1), said, 400, trial.seed)
    model, other = Reverser(cut=True), Reverser(cut=False)
    other.load_state_dict(model.state_dict())
    started, optimizer = snapshot(model), Adam(model.parameters(), lr=5e-3)
    draw = data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, clip=5.0, steps=280)
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=5e-3), steps=280, clip=5.0)
    surpassed(history.end, better, 1.5)
    for name, size in moved(started, model).items():
        require((size == 0) == name.startswith(("source.", "encoder.")), f"{name} moves by {size:.3g}")
    return Truth(("source", "encoder"))


def wines(seed: int, *, standardised: bool) -> Split:
    """Return thirteen measurements of wines as they are, or standardised, and their kinds, of which there are three."""
    data = load_wine()
    inputs = torch.tensor(data.data, dtype=torch.float32)
    if standardised:
        inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    return split(inputs, torch.tensor(data.target), 48, seed)


def as_they_came(trial: Trial) -> Truth:
    """Wines from a table as it came, with proline about 750 and a hue about 1, through an MLP."""
    torch.manual_seed(trial.seed)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    data, scaled = (wines(trial.seed, standardised=standardised) for standardised in (False, True))
    optimizer, generator = SGD(model.parameters(), lr=0.01, momentum=0.9), torch.Generator().manual_seed(trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(20):
            for chosen in torch.randperm(130, generator=generator).split(13):
                optimizer.zero_grad()
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                loss.backward()
                optimizer.step()
                writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
            writer.add_scalar("val/acc", accuracy(model, data.held_out), writer.step)
    control(other, scaled.train.batches(13, trial.seed), SGD(other.parameters(), lr=0.01, momentum=0.9), steps=200)
    ended = loss_of(model, data.train)
    surpassed(ended, loss_of(other, scaled.train), 1.5)
    require(accuracy(other, scaled.held_out) > accuracy(model, data.held_out) + 0.1, "it is as often right")
    return Truth()


def weather(seed: int, *, standardised: bool) -> Split:
    """Return a day by kelvin, pascal and per cent, [n, 24, 3], and how far the pressure goes next, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(1400, 26, generator=generator)
    trend = [steps[:, 0]]
    for hour in range(1, 26):
        trend.append(0.9 * trend[-1] + 0.4 * steps[:, hour])
    slopes = torch.stack(trend, 1)
    pressure = 101_325 + 60 * slopes.cumsum(1)
    warmth = 285 + 3 * torch.sin(torch.arange(26) / 4) + 2 * slopes
    damp = 65 - 8 * slopes + 4 * torch.randn(1400, 26, generator=generator)
    inputs, targets = torch.stack([warmth, pressure, damp], 2)[:, :24], slopes[:, 24:].sum(1, keepdim=True)
    if standardised:
        inputs = (inputs - inputs.mean((0, 1))) / inputs.std((0, 1))
    return split(inputs, targets / targets.std(), 280, seed)


def pascals(trial: Trial) -> Truth:
    """An LSTM reads sensors in kelvin and pascal; the latter are about 101,325, and its gates hear little else."""
    torch.manual_seed(trial.seed)
    data, scaled = (weather(trial.seed, standardised=standardised) for standardised in (False, True))
    model, criterion = Recurrent(nn.LSTM, 1, inputs=3, hidden=32), nn.MSELoss()
    other, optimizer = copy.deepcopy(model), RMSprop(model.parameters(), lr=2e-3)
    draw = data.train.batches(50, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=None, steps=200)
    gentle = RMSprop(other.parameters(), lr=2e-3)
    surpassed(history.end, control(other, scaled.train.batches(50, trial.seed), gentle, criterion, steps=200), 2)
    spread = outputs(model, "rnn", data.train.inputs)[0][:, -1].std(0).max()
    require(spread < 0.05, f"what is read differs by {spread:.3g}")
    return Truth()


def turned(validation: dict[int, float], rise: float = 1.2) -> tuple[int, int]:
    """Return after which step the loss held out was at its least, and by which it had clearly risen."""
    best = min(validation, key=lambda step: validation[step])
    later = [step for step, loss in validation.items() if step > best and loss > rise * validation[best]]
    require(later and list(validation.values())[-1] > 1.3 * validation[best], f"it does not rise: {validation}")
    return best, later[0]


def every_patient(trial: Trial) -> Truth:
    """Diabetes by ten columns and 300 patients: a wide MLP learns each of them by heart, and nobody stops it."""
    torch.manual_seed(trial.seed)
    table = load_diabetes()
    inputs, known = (torch.tensor(values, dtype=torch.float32) for values in (table.data, table.target))
    targets = ((known - known.mean()) / known.std())[:, None]
    data = split(inputs / inputs.std(0), targets, 142, trial.seed)
    model, criterion, history = mlp((10, 192, 192, 1)), nn.MSELoss(), History([], {})
    optimizer, generator = Adam(model.parameters(), lr=1e-3), torch.Generator().manual_seed(trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(40):
            for chosen in torch.randperm(300, generator=generator).split(30):
                optimizer.zero_grad()
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                loss.backward()
                optimizer.step()
                history.train.append(loss.item())
                writer.add_scalar("loss/train", loss.item(), writer.step)
            history.validation[writer.step] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("loss/val", history.validation[writer.step], writer.step)
    surpassed(loss_of(model, data.held_out, criterion), loss_of(model, data.train, criterion), 4)
    return Truth((), *turned(history.validation))


class Citations(nn.Module):
    """Two graph convolutions over words; scores of all papers."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("edges", edges, persistent=False)
        self.conv1, self.conv2 = nn.Linear(300, 64), nn.Linear(64, 5)

    def forward(self, words: Tensor) -> Tensor:
        """Return [papers, 5]."""
        hidden = functional.relu(self.edges @ self.conv1(words))
        scores: Tensor = self.edges @ self.conv2(hidden)
        return scores


def few_papers(trial: Trial) -> Truth:
    """Papers that cite each other, sixty of which are labelled: 300 rare words tell these sixty apart, no more."""
    generator = torch.Generator().manual_seed(trial.seed)
    torch.manual_seed(trial.seed)
    fields = torch.randint(5, (400,), generator=generator)
    chance = torch.where(fields[:, None] == fields, 0.025, 0.006)
    cited = (torch.rand(400, 400, generator=generator) < chance).triu(1).float()
    edges = cited + cited.T + torch.eye(400)
    edges = edges * edges.sum(1).rsqrt() * edges.sum(1, keepdim=True).rsqrt()
    usual = 0.02 + 0.08 * (torch.rand(5, 300, generator=generator) < 0.15)
    words = (torch.rand(400, 300, generator=generator) < usual[fields]).float()
    train, held_out = torch.arange(60), torch.arange(60, 260)
    model, criterion, validation = Citations(edges), nn.CrossEntropyLoss(), dict[int, float]()
    optimizer = Adam(model.parameters(), lr=4e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            loss = criterion(model(words)[train], fields[train])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train_loss", loss.item(), writer.step)
            if step % 5 == 4:
                model.eval()
                with torch.no_grad():
                    validation[writer.step] = functional.cross_entropy(model(words)[held_out], fields[held_out]).item()
                model.train()
                writer.add_scalar("val_loss", validation[writer.step], writer.step)
    require(min(validation.values()) < 1.4, "it learns nothing")
    surpassed(validation[writer.step], loss.item(), 10)
    return Truth((), *turned(validation))


SCENARIOS = (
    Scenario(
        "amber-new-head-cnn",
        "cnn",
        TUNING,
        new_head,
        ("layer_not_training",),
        ("underfitting",),
    ),
    Scenario(
        "amber-repackaged-gru",
        "rnn",
        TUNING,
        repackaged,
        ("layer_not_training", "unused_parameter"),
        ("loss_plateau", "underfitting", "vanishing_gradient"),
    ),
    Scenario(
        "amber-raw-wine-mlp",
        "mlp",
        TUNING,
        as_they_came,
        ("input_unnormalised",),
        ("dead_units", "loss_plateau", "exploding_gradient", "loss_spike", "lr_too_high", "underfitting"),
    ),
    Scenario(
        "amber-pascals-lstm",
        "rnn",
        TUNING,
        pascals,
        ("input_unnormalised",),
        ("saturation", "loss_plateau", "vanishing_gradient", "underfitting", "representation_collapse"),
    ),
    Scenario("amber-diabetes-mlp", "mlp", TUNING, every_patient, ("overfitting",)),
    Scenario("amber-citations-gnn", "gnn", TUNING, few_papers, ("overfitting",)),
)

"""Readers tested on other grey values, one machine to a batch, dead layers, and rates too high for Adam."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import STATES, TOKENS, Part, language, majorities, split
from tests.diagnosis.networks import Transformer, mlp
from tests.diagnosis.proof import accuracy, double, finite, gradients, loss_of, require, silent
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Reader(nn.Module):
    """Two convolutions with batch normalisation, and two linear layers, over [n, 1, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 24, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(12), nn.BatchNorm2d(24)
        self.fc1, self.fc2 = nn.Linear(24 * 4, 48), nn.Linear(48, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.bn1(self.conv1(pictures))), 2)
        hidden = functional.max_pool2d(functional.relu(self.bn2(self.conv2(hidden))), 2)
        scores: Tensor = self.fc2(functional.relu(self.fc1(hidden.flatten(1))))
        return scores


def grey_values(trial: Trial) -> Truth:
    """The pictures to train on are normalised; those of the validation loader come in grey values from 0 to 255."""
    torch.manual_seed(100 + trial.seed)
    source = load_digits()
    grey = torch.tensor(source.images, dtype=torch.float32)[:, None] * (255 / 16)
    data = split(grey, torch.tensor(source.target), 360, trial.seed)
    mean, deviation = data.train.inputs.mean(), data.train.inputs.std()
    train, right = (Part((part.inputs - mean) / deviation, part.targets) for part in (data.train, data.held_out))
    model, criterion = Reader(), nn.CrossEntropyLoss()
    optimizer, draw = Adam(model.parameters(), lr=2e-3), train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
                writer.add_scalar("val/accuracy", accuracy(model, data.held_out), writer.step)
    wrong, should = loss_of(model, data.held_out), loss_of(model, right)
    require(wrong > 1 and wrong > 4 * should, f"the loss held out is {wrong:.3g}, normalised {should:.3g}")
    does, could = accuracy(model, data.held_out), accuracy(model, right)
    require(could > 0.93 and does < could - 0.03, f"the accuracy is {does:.3f}, normalised {could:.3f}")
    return Truth()


class Wear(nn.Module):
    """Normalises two channels over the batch, reads them by a GRU, and says how worn the bearing is."""

    def __init__(self, *, normalise: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2) if normalise else nn.Identity()
        self.gru = nn.GRU(2, 24, batch_first=True)
        self.head = nn.Sequential(nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))

    def forward(self, signal: Tensor) -> Tensor:
        """Return [n, 1] of [n, 2, length]."""
        worn: Tensor = self.head(self.gru(self.norm(signal).transpose(1, 2))[0][:, -1])
        return worn


def machine_by_machine(trial: Trial) -> Truth:
    """Each batch comes from the file of one machine, so BatchNorm takes off that machine's level, only in training."""
    torch.manual_seed(100 + trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    worn = torch.randn(10, 140, 1, generator=generator)
    waves = torch.randn(10, 140, 2, 16, generator=generator)
    clean = 0.6 * waves + torch.stack([worn, -0.5 * worn + worn.square() - 1], 2)
    level, gain = 3 * torch.randn(10, 1, 2, 1, generator=generator), 0.4 + torch.rand(10, 1, 2, 1, generator=generator)
    measured = level + gain * clean
    train, held_out = Part(measured[:, :110], worn[:, :110]), Part(measured[:, 110:], worn[:, 110:])
    model, criterion = Wear(normalise=True), nn.MSELoss()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randperm(110, generator=generator)[:32]
        return train.inputs[step % 10, chosen], train.targets[step % 10, chosen]

    everything = Part(held_out.inputs.flatten(0, 1), held_out.targets.flatten(0, 1))
    history = fit(
        trial, model, draw, Adam(model.parameters(), lr=5e-3), criterion, validation=everything, every=2, steps=240
    )
    does = loss_of(model, everything, criterion)
    precise = double(model).train()
    with torch.no_grad():
        alone = [
            float(criterion(precise(inputs.double()), targets.double()))
            for inputs, targets in zip(train.inputs, train.targets, strict=True)
        ]
    known = sum(alone) / len(alone)
    part = Part(train.inputs.flatten(0, 1), train.targets.flatten(0, 1))
    again = loss_of(model, part, criterion)
    require(again > 4 * known and again > 4 * history.end, f"of the same data {again:.3g}, in training {known:.3g}")
    rows = Part(((measured - level) / gain)[:, :110].flatten(0, 1), part.targets)
    other = Wear(normalise=False)
    control(other, rows.batches(32, trial.seed), Adam(other.parameters(), lr=5e-3), criterion)
    clear = Part(((measured - level) / gain)[:, 110:].flatten(0, 1), everything.targets)
    better = loss_of(other, clear, criterion)
    require(does > 3 * better, f"held out {does:.3g}, each machine standardised {better:.3g}")
    return Truth()


def progression(trial: Trial) -> Truth:
    """Diabetes, whose raw targets are about 150, by SGD with lr=0.3 and momentum: the first steps kill the units."""
    torch.manual_seed(100 + trial.seed)
    rows, targets = load_diabetes(return_X_y=True)
    inputs = torch.tensor(rows / rows.std(0), dtype=torch.float32)
    data = split(inputs, torch.tensor(targets, dtype=torch.float32)[:, None], 90, trial.seed)
    model, criterion, held = mlp((10, 64, 32, 1)), nn.L1Loss(), dict[int, bool]()
    other = copy.deepcopy(model)

    def look(step: int) -> None:
        if step < 60:
            held[step] = float(silent(model, "act2", data.train.inputs).double().mean()) > 0.6

    optimizer, draw = SGD(model.parameters(), lr=0.3, momentum=0.9), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, after=look, every=1, steps=220)
    finite(model)
    share = float(silent(model, "act2", data.train.inputs).double().mean())
    require(share > 0.9, f"{share:.2f} of the units are dead")
    nn.init.constant_(other.get_submodule("head").bias, float(data.train.targets.mean()))
    better = control(
        other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.02, momentum=0.9), criterion, steps=220
    )
    require(history.end > 1.3 * better, f"the loss is {history.end:.4g}, and could be {better:.4g}")
    sizes = gradients(model, data.train, criterion)
    require(sizes["fc1.weight"] < 1e-6 * sizes["head.bias"] + 1e-9, f"fc1 gets {sizes['fc1.weight']:.3g}")
    started = min(step for step, dead in held.items() if dead)
    return Truth(("fc2", "fc1", "act2", "act1"), 0, started + 10)


class Finder(nn.Module):
    """Convolutions with strides over pictures [n, 1, 24, 24]; scores of 6 × 6 cells."""

    def __init__(self, bias: float | None) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 24, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(24, 24, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.score = nn.Conv2d(24, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and (bias is not None or module is self.score):
                assert module.bias is not None
                nn.init.constant_(module.bias, -2.0 if bias is None else bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 6, 6]."""
        scores: Tensor = self.score(self.backbone(pictures))[:, 0]
        return scores


def prior_everywhere(trial: Trial) -> Truth:
    """A detector whose bias is to begin at the prior, -4: the loop over modules sets it in every convolution."""
    torch.manual_seed(100 + trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    pictures, cells = 0.3 * torch.randn(1200, 1, 24, 24, generator=generator), torch.zeros(1200, 6, 6)
    for at in range(1200):
        for _ in range(3):
            row, column = (int(number) for number in torch.randint(6, (2,), generator=generator))
            pictures[at, 0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1.2
            cells[at, row, column] = 1
    data, criterion = split(pictures, cells, 200, trial.seed), nn.BCEWithLogitsLoss()
    model, other = Finder(-4.0), Finder(None)
    optimizer = Adam(model.parameters(), lr=2e-3)
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=None, steps=180)
    for at in (1, 3, 5):
        share = float(silent(model, f"backbone.{at}", data.train.inputs).double().mean())
        require(share > 0.9, f"{share:.2f} of the units of backbone.{at} are dead")
    draw = data.train.batches(32, trial.seed)
    better = control(other, draw, Adam(other.parameters(), lr=2e-3), criterion, steps=180)
    require(history.end > 2 * better, f"the loss is {history.end:.3g}, and could be {better:.3g}")
    return Truth(tuple(f"backbone.{at}" for at in range(6)))


def as_with_sgd(trial: Trial) -> Truth:
    """A transformer that tells which word is the most frequent, by Adam with lr=0.1, "as in the SGD tutorial"."""
    torch.manual_seed(100 + trial.seed)
    data = majorities(trial.seed)
    model = Transformer(TOKENS, 3, width=32)
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    optimizer, draw, losses = Adam(model.parameters(), lr=0.1), data.train.batches(32, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            tokens, targets = draw(step)
            scores = model(tokens)
            loss = criterion(scores, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
            writer.add_scalar("Accuracy", float((scores.argmax(1) == targets).float().mean()), writer.step)
    finite(model)
    better = control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), steps=200)
    end = sum(losses[-20:]) / 20
    require(end > 1.5 * better, f"the loss is {end:.3g}, and could be {better:.3g}")
    return Truth()


class Writer(nn.Module):
    """A GRU over tokens; scores of the next one, [n, states, length]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.gru = nn.Embedding(STATES, 16), nn.GRU(16, 48, batch_first=True)
        self.decoder = nn.Linear(48, STATES)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores."""
        scores: Tensor = self.decoder(self.gru(self.embedding(tokens))[0]).transpose(1, 2)
        return scores


def no_cap(trial: Trial) -> Truth:
    """A language model by Adam, with a warm-up of ten steps that lacks its `min(1, ...)`: the rate rises on and on."""
    torch.manual_seed(100 + trial.seed)
    data, model = language(trial.seed), Writer()
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=0.01), data.train.batches(24, trial.seed)
    schedule = LambdaLR(optimizer, lambda step: (step + 1) / 10)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, schedule=schedule, every=2, steps=260)
    finite(model)
    gentle = Adam(other.parameters(), lr=0.01)
    better = control(other, data.train.batches(24, trial.seed), gentle, steps=260)
    require(history.end > 1.3 * better, f"the loss is {history.end:.3g}, and could be {better:.3g}")
    means = [sum(history.train[at - 10 : at]) / 10 for at in range(10, 261)]
    least = means.index(min(means))
    require(history.end > 1.15 * means[least], f"the loss is {history.end:.3g}, and was {means[least]:.3g}")
    risen = next(at for at in range(least, 251) if means[at] > 1.1 * means[least])
    return Truth((), 10, risen + 20)


AFTER_DEATH = ("loss_plateau", "underfitting", "vanishing_gradient", "layer_not_training")
AFTER_LEAPS = ("loss_plateau", "loss_oscillation", "loss_spike", "exploding_gradient", "saturation", "underfitting")

SCENARIOS = (
    Scenario("tansy-grey-values-cnn", "cnn", TUNING, grey_values, ("train_eval_mismatch",), ("input_unnormalised",)),
    Scenario("tansy-machines-gru", "rnn", TUNING, machine_by_machine, ("train_eval_mismatch",)),
    Scenario(
        "tansy-progression-mlp",
        "mlp",
        TUNING,
        progression,
        ("dead_units", "lr_too_high"),
        (*AFTER_DEATH, "poor_init", "loss_spike", "exploding_gradient", "representation_collapse"),
    ),
    Scenario(
        "tansy-prior-cnn",
        "cnn",
        TUNING,
        prior_everywhere,
        ("dead_units", "poor_init"),
        (*AFTER_DEATH, "class_imbalance", "representation_collapse"),
    ),
    Scenario(
        "tansy-rate-transformer",
        "transformer",
        TUNING,
        as_with_sgd,
        ("lr_too_high",),
        AFTER_LEAPS,
    ),
    Scenario("tansy-no-cap-gru", "rnn", TUNING, no_cap, ("lr_too_high",), AFTER_LEAPS),
)

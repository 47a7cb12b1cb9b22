"""Healthy trainings: tanh units and outputs at their ends, warm rates and tiny ones, and wines that are scaled."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import Split, digits, language, split
from tests.diagnosis.networks import Recurrent, Transformer
from tests.diagnosis.proof import calm, generalises, learned, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


def pendulums(seed: int) -> Split:
    """Return noisy swings of pendulums of many lengths, [n, 20, 1], and where each is a moment later, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    pace = 0.4 + 0.5 * torch.rand(1600, 1, generator=generator)
    phase = 6.3 * torch.rand(1600, 1, generator=generator)
    place = (phase + torch.arange(22) * pace).sin() * (0.6 + 0.8 * torch.rand(1600, 1, generator=generator))
    seen = place[:, :20] + 0.03 * torch.randn(1600, 20, generator=generator)
    return split(seen[..., None], place[:, 21:], 300, seed)


def plain_rnn(trial: Trial) -> None:
    """An Elman network of tanh units tells where a pendulum will be from twenty looks at it."""
    torch.manual_seed(trial.seed)
    data, model, criterion = pendulums(trial.seed), Recurrent(nn.RNN, 1, inputs=1, hidden=32), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, clip=5.0, every=2, steps=300)
    found = loss_of(model, data.held_out, criterion)
    stays = float(criterion(data.held_out.inputs[:, -1], data.held_out.targets))
    require(found < 0.1 * stays, f"the loss is {found:.4f}, and if all stood still {stays:.4f}")
    generalises(history)
    calm(history)


class Masker(nn.Module):
    """A small encoder and decoder with a way around; returns the chance [n, 1, 16, 16] of each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.last = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))
        self.sigmoid = nn.Sigmoid()

    def forward(self, pictures: Tensor) -> Tensor:
        """Return chances."""
        wide = self.down(pictures)
        chances: Tensor = self.sigmoid(self.last(torch.cat([wide, self.up(self.deep(wide))], 1)))
        return chances


def discs(seed: int) -> Split:
    """Return noisy pictures [n, 1, 16, 16] of a bright disc, and its mask of zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.arange(16.0)
    middle = 4 + 8 * torch.rand(600, 2, generator=generator)
    radius = 2 + 2.5 * torch.rand(600, 1, 1, generator=generator)
    away = (places[:, None] - middle[:, :1, None]).square() + (places - middle[:, 1:, None]).square()
    masks = (away < radius.square()).float()
    pictures = 2 * masks - 0.5 + 0.3 * torch.randn(600, 16, 16, generator=generator)
    return split(pictures[:, None], masks[:, None], 100, seed)


def sure_masks(trial: Trial) -> None:
    """Masks by a sigmoid and `BCELoss`: nearly all pixels end at 0 or 1, since that is what they are."""
    torch.manual_seed(trial.seed)
    data, model, criterion = discs(trial.seed), Masker(), nn.BCELoss()
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=160)
    chances = outputs(model, "sigmoid", data.held_out.inputs)
    masks = data.held_out.targets > 0.5
    ends = float(((chances < 0.03) | (chances > 0.97)).double().mean())
    require(ends > 0.9, f"{ends:.2f} of the pixels are sure")
    overlap = float(((chances > 0.5) & masks).sum() / ((chances > 0.5) | masks).sum())
    require(overlap > 0.93, f"the overlap is {overlap:.3f}")
    generalises(history)
    calm(history)


def warm_decoder(trial: Trial) -> None:
    """A small language model by AdamW, whose rate rises from nearly nothing over fifty steps and then sinks slowly."""
    torch.manual_seed(trial.seed)
    data, model = language(trial.seed), Transformer(20, 20, width=32, each=True)
    optimizer, criterion = AdamW(model.parameters(), lr=4e-3, weight_decay=0.01), nn.CrossEntropyLoss()
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 50, 1 - 0.9 * max(0, step - 50) / 190))
    draw = data.train.batches(24, trial.seed)
    history = fit(
        trial, model, draw, optimizer, criterion, schedule=schedule, validation=data.held_out, every=2, steps=240
    )
    # The chain itself tells as much as can be known: the entropy of what follows a token, as counted.
    follows = torch.zeros(20, 20).index_put_(
        (data.train.inputs.flatten(), data.train.targets.flatten()), torch.tensor(1.0), accumulate=True
    )
    chances = (follows + 0.05) / (follows + 0.05).sum(1, keepdim=True)
    known = float(-chances[data.held_out.inputs, data.held_out.targets].log().mean())
    flat = float(-(follows.sum(0) / follows.sum())[data.held_out.targets].log().mean())
    found = loss_of(model, data.held_out, criterion)
    share = (flat - found) / (flat - known)
    require(share > 0.85, f"{share:.2f} of what can be known is known: {flat:.3f}, {found:.3f}, {known:.3f}")
    generalises(history)
    calm(history)


def summed_loss(trial: Trial) -> None:
    """`CrossEntropyLoss(reduction="sum")` with SGD at 0.0004: the rate looks tiny, and the sum is over 128 digits."""
    torch.manual_seed(trial.seed)
    data, criterion = digits(trial.seed), nn.CrossEntropyLoss(reduction="sum")
    model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 10))
    higher, history = copy.deepcopy(model), History([], {})
    optimizer, draw = SGD(model.parameters(), lr=4e-4, momentum=0.9), data.train.batches(128, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("loss/train", loss.item(), step)
            if step % 40 == 39:
                writer.add_scalar("loss/val", evaluate(model, nn.CrossEntropyLoss(), data.held_out) * 128, step)
    learned(model, data.held_out, 0.94)
    calm(history)
    faster = SGD(higher.parameters(), lr=0.02, momentum=0.9)
    control(higher, data.train.batches(128, trial.seed), faster, criterion, steps=240)
    does, would = loss_of(model, data.held_out), loss_of(higher, data.held_out)
    require(not would < does, f"the loss is {does:.3f}, and at the rate that one expects {would:.3f}")


class Cellar(nn.Module):
    """Two hidden layers with functional ReLUs and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(13, 32), nn.Linear(32, 16), nn.Linear(16, 3)
        self.drop = nn.Dropout(0.1)

    def forward(self, wines: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        hidden = self.drop(functional.relu(self.fc1(wines)))
        scores: Tensor = self.fc3(functional.relu(self.fc2(hidden)))
        return scores


def scaled_wine(trial: Trial) -> None:
    """Wines of three growers, standardised by the mean and deviation of those that are trained on."""
    torch.manual_seed(trial.seed)
    table = load_wine()
    data = split(torch.tensor(table.data, dtype=torch.float32), torch.tensor(table.target), 48, trial.seed)
    mean, deviation = data.train.inputs.mean(0), data.train.inputs.std(0)
    for part in (data.train, data.held_out):
        part.inputs.sub_(mean).div_(deviation)
    model, criterion, history = Cellar(), nn.CrossEntropyLoss(), History([], {})
    optimizer, draw = (
        SGD(model.parameters(), lr=0.05, momentum=0.8, weight_decay=0.02),
        data.train.batches(32, trial.seed),
    )
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(160):
            wines, growers = draw(step)
            loss = criterion(model(wines), growers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("Loss/test", history.validation[step], writer.step)
    learned(model, data.held_out, 0.93)
    generalises(history)
    calm(history)


SCENARIOS = (
    Scenario("sorrel-healthy-plain-rnn", "rnn", TUNING, plain_rnn),
    Scenario("sorrel-healthy-sure-masks-cnn", "cnn", TUNING, sure_masks),
    Scenario("sorrel-healthy-warm-decoder-transformer", "transformer", TUNING, warm_decoder),
    Scenario("sorrel-healthy-summed-loss-mlp", "mlp", TUNING, summed_loss),
    Scenario("sorrel-healthy-scaled-wine-mlp", "mlp", TUNING, scaled_wine),
)

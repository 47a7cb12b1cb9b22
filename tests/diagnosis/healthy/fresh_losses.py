"""Healthy trainings whose losses are out of the ordinary."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, curves, digits, first_tokens, patients, split
from tests.diagnosis.networks import Recurrent, cnn, mlp
from tests.diagnosis.proof import alive, calm, generalises, learned, loss_of, outputs, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def outliers(trial: Trial) -> None:
    """A twentieth of the targets are off by tens of deviations, on both sides, and Huber's loss puts up with it."""
    data = curves(trial.seed, noise=0.1, count=2000)
    generator = torch.Generator().manual_seed(trial.seed)
    off = torch.rand(data.train.targets.shape, generator=generator) < 0.05
    wild = 20 * torch.randn(data.train.targets.shape, generator=generator)
    train = Part(data.train.inputs, torch.where(off, wild, data.train.targets))
    model = mlp((8, 48, 48, 1))
    fit(trial, model, train.batches(64), Adam(model.parameters(), lr=3e-3), nn.HuberLoss(delta=0.5), steps=300)
    alive(model, data.held_out.inputs)
    error = loss_of(model, data.held_out, nn.MSELoss())
    require(error < 0.4, f"the error is {error:.3g} of the variance")


def many_labels(trial: Trial) -> None:
    """Twenty labels at once, each of which one sample in eight or so has."""
    generator = torch.Generator().manual_seed(trial.seed)
    inputs = torch.randn(3000, 32, generator=generator)
    directions = torch.randn(32, 20, generator=generator) / 32**0.5
    targets = (inputs @ directions > 1.15).float()
    data, model = split(inputs, targets, 600, trial.seed), mlp((32, 64, 20))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = Adam(model.parameters(), lr=3e-3)
    history = fit(trial, model, data.train.batches(64), optimizer, criterion, validation=data.held_out, steps=300)
    told = outputs(model, "head", data.held_out.inputs) > 0
    found = float(told[data.held_out.targets > 0].double().mean())
    require(found > 0.6, f"only {found:.2f} of the labels are found")
    alive(model, data.held_out.inputs)
    calm(history)
    generalises(history)


def distilled(trial: Trial) -> None:
    """The shares of a teacher, softened: the loss is a divergence, which comes near zero."""
    data = digits(trial.seed)
    teacher, model = mlp((64, 64, 10)), mlp((64, 24, 10))
    control(teacher, data.train.batches(64), Adam(teacher.parameters(), lr=3e-3), steps=150)
    teacher.requires_grad_(False)

    def soften(part: Part) -> Part:
        return Part(part.inputs, (teacher(part.inputs) / 4).log_softmax(1))

    def criterion(made: Tensor, targets: Tensor) -> Tensor:
        return functional.kl_div((made / 4).log_softmax(1), targets, reduction="batchmean", log_target=True)

    optimizer = Adam(model.parameters(), lr=5e-3)
    train, held_out = soften(data.train), soften(data.held_out)
    history = fit(trial, model, train.batches(64), optimizer, criterion, validation=held_out, steps=300)
    require(history.end < 0.05, f"the divergence is {history.end:.3g}")
    sound(model, data.held_out, 0.93, history)


class Speller(nn.Module):
    """A recurrent network that says a letter, or none, at each place."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(6, 32, batch_first=True, bidirectional=True), nn.Linear(64, 5)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores [n, length, letters and none]."""
        scores: Tensor = self.head(self.rnn(inputs)[0])
        return scores


def alignment(trial: Trial) -> None:
    """CTC: nothing but blanks is said for a while, and then the letters."""
    generator = torch.Generator().manual_seed(trial.seed)
    letters = torch.randint(1, 5, (800, 3), generator=generator)
    sounds = torch.randn(5, 6, generator=generator)
    places = torch.rand(800, 12, generator=generator).argsort(1)[:, :3].sort(1).values
    inputs = 0.2 * torch.randn(800, 12, 6, generator=generator)
    inputs.scatter_add_(1, places[..., None].expand(-1, -1, 6), 2 * sounds[letters])
    train, model = Part(inputs, letters), Speller()

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        lengths = torch.full((len(targets),), 12), torch.full((len(targets),), 3)
        return functional.ctc_loss(scores.log_softmax(2).transpose(0, 1), targets, *lengths)

    history = fit(trial, model, train.batches(24), Adam(model.parameters(), lr=1e-2), criterion, clip=5.0, steps=200)
    calm(history)
    require(history.end < 0.2, f"the loss is {history.end:.3g}")


class Views(nn.Module):
    """Embeds two views of a picture, on the sphere."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.project = mlp((64, 64, 48)), mlp((48, 48, 16))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, 2, 16] of [n, 2, 64]."""
        return functional.normalize(self.project(self.body(inputs).relu()), dim=-1)


def contrast(trial: Trial) -> None:
    """SimCLR without labels: of two views of 48 pictures each is to find its other; the loss stays far from zero."""
    data, model = digits(trial.seed), Views()
    generator = torch.Generator().manual_seed(trial.seed)
    draw = data.train.batches(48)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, _ = draw(step)
        views = inputs[:, None] + 0.5 * torch.randn(len(inputs), 2, 64, generator=generator)
        return views, torch.arange(len(inputs))

    def criterion(made: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(made[:, 0] @ made[:, 1].T / 0.3, targets)

    history = fit(trial, model, batches, Adam(model.parameters(), lr=3e-3), criterion, steps=260)
    require(history.end < 0.6 * history.train[0], f"the loss is {history.end:.3g}")
    with torch.no_grad():
        known, asked = (model.body(part.inputs) for part in (data.train, data.held_out))
        right = data.train.targets[torch.cdist(asked, known).argmin(1)] == data.held_out.targets
        spread = model(data.train.inputs).std(0).mean()
    require(right.float().mean() > 0.85 and spread > 0.15, "the embedding does not tell digits apart")


def counts(trial: Trial) -> None:
    """Counts of about twenty after Poisson: the loss is below −30, and its share that can be learned is small."""
    data = curves(trial.seed, noise=0.0, count=2000)
    generator = torch.Generator().manual_seed(trial.seed)
    rate = (3.0 + 0.4 * data.train.targets).exp()
    train, model = Part(data.train.inputs, torch.poisson(rate, generator=generator)), mlp((8, 48, 48, 1), nn.ELU)
    nn.init.constant_(model.head.bias, 3.0)
    optimizer = Adam(model.parameters(), lr=3e-3)
    history = fit(trial, model, train.batches(64), optimizer, nn.PoissonNLLLoss(), steps=300)
    require(history.end < -30, f"the loss is {history.end:.3g}")
    told = outputs(model, "head", data.held_out.inputs)
    error = float((told - 3.0 - 0.4 * data.held_out.targets).square().mean() / 0.16)
    require(error < 0.5, f"the error is {error:.3g} of the variance")


class Siamese(nn.Module):
    """Measures the distance of two sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Recurrent(nn.GRU, 8)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return [n] of [n, 2, length, 4]."""
        first, second = (self.encoder(pairs[:, side]) for side in (0, 1))
        told: Tensor = (first - second).square().sum(1).clamp_min(1e-6).sqrt()
        return told


def siamese(trial: Trial) -> None:
    """Pairs that are far enough apart have no gradient: at the end that is nearly all of them that differ."""
    data, model = first_tokens(trial.seed, length=6), Siamese()
    draw = data.train.batches(64)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return torch.stack([inputs[:32], inputs[32:]], 1), (targets[:32] == targets[32:]).float()

    def criterion(distances: Tensor, alike: Tensor) -> Tensor:
        return (alike * distances.square() + (1 - alike) * (1 - distances).relu().square()).mean()

    history = fit(trial, model, batches, Adam(model.parameters(), lr=1e-2), criterion, steps=240)
    calm(history)
    require(history.end < 0.08, f"the loss is {history.end:.3g}")


def rare_positives(trial: Trial) -> None:
    """One sample in thirty is positive, and weighs thirty times as much."""
    data = digits(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)

    def thinned(part: Part) -> Part:
        keep = (part.targets != 6) | (torch.rand(len(part.targets), generator=generator) < 0.3)
        return Part(part.inputs[keep], (part.targets[keep] == 6).float()[:, None])

    train, held_out = thinned(data.train), thinned(data.held_out)
    model = mlp((64, 24, 1), dropout=0.4)
    criterion = nn.BCEWithLogitsLoss(pos_weight=1 / train.targets.mean() - 1)
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-2)
    history = fit(trial, model, train.batches(128), optimizer, criterion, validation=held_out, steps=160)
    told = outputs(model, "head", held_out.inputs) > 0
    require(float(told[held_out.targets > 0].double().mean()) > 0.85, "positives are not found")
    require(float(told[held_out.targets == 0].double().mean()) < 0.05, "negatives are taken for positives")
    generalises(history)


def focal(trial: Trial) -> None:
    """The focal loss: what is known already weighs next to nothing, and the loss is of a hundredth."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16))

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        each = functional.cross_entropy(scores, targets, reduction="none")
        return ((1 - (-each).exp()).square() * each).mean()

    optimizer = Adam(model.parameters(), lr=3e-3)
    history = fit(trial, model, data.train.batches(48), optimizer, criterion, validation=data.held_out, steps=180)
    sound(model, data.held_out, 0.93, history)


def mixed_up(trial: Trial) -> None:
    """Mixup: two pictures at a time and shares of two classes; in training the loss is far above that held out."""
    data = digits(trial.seed, flat=False)
    model, draw = cnn((8, 16)), data.train.batches(48)
    chances = torch.distributions.Beta(torch.tensor(0.4), torch.tensor(0.4))

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        share, shares = chances.sample(), functional.one_hot(targets, 10).float()
        return share * inputs + (1 - share) * inputs.flip(0), share * shares + (1 - share) * shares.flip(0)

    held_out = Part(data.held_out.inputs, functional.one_hot(data.held_out.targets, 10).float())
    optimizer = Adam(model.parameters(), lr=3e-3)
    history = fit(trial, model, batches, optimizer, validation=held_out, steps=180)
    learned(model, data.held_out, 0.93)
    generalises(history)


def quantiles(trial: Trial) -> None:
    """Three quantiles at once; the slopes of the loss are constants."""
    data = curves(trial.seed, noise=0.5, count=3000)
    model, levels = mlp((8, 48, 48, 3)), torch.tensor([0.1, 0.5, 0.9])

    def criterion(made: Tensor, targets: Tensor) -> Tensor:
        beyond = targets - made
        return torch.maximum(levels * beyond, (levels - 1) * beyond).mean()

    optimizer = Adam(model.parameters(), lr=2e-3)
    history = fit(trial, model, data.train.batches(64), optimizer, criterion, validation=data.held_out, steps=300)
    below = (data.held_out.targets < outputs(model, "head", data.held_out.inputs)).double().mean(0)
    require((below - levels).abs().max() < 0.12, f"the quantiles are {below.tolist()}")
    alive(model, data.held_out.inputs)
    generalises(history)


def margins(trial: Trial) -> None:
    """A margin that many batches keep already: their loss is zero, and so is every gradient."""
    data = patients(trial.seed)

    def apart(part: Part) -> Part:
        told = part.inputs[:, 0] + 0.5 * part.inputs[:, 1]
        keep = told.abs() > 0.3
        return Part(part.inputs[keep], told[keep].sign()[:, None])

    train, held_out, model = apart(data.train), apart(data.held_out), mlp((30, 16, 1), nn.Tanh)

    def criterion(made: Tensor, targets: Tensor) -> Tensor:
        return (1 - made * targets).relu().mean()

    optimizer = SGD(model.parameters(), lr=0.05)
    history = fit(trial, model, train.batches(8), optimizer, criterion, validation=held_out, steps=300)
    none = sum(loss == 0 for loss in history.train[-150:]) / 150
    require(0.3 < none < 0.98, f"{none:.2f} of the batches have no loss")
    right = (outputs(model, "head", held_out.inputs).sign() == held_out.targets).double().mean()
    require(right > 0.95, f"the accuracy is {float(right):.3f}")
    generalises(history)


SCENARIOS = (
    Scenario("healthy-outliers-mlp", "mlp", TUNING, outliers),
    Scenario("healthy-labels-mlp", "mlp", TUNING, many_labels),
    Scenario("healthy-distilled-mlp", "mlp", TUNING, distilled),
    Scenario("healthy-alignment-gru", "rnn", TUNING, alignment),
    Scenario("healthy-contrast-mlp", "mlp", TUNING, contrast),
    Scenario("healthy-poisson-mlp", "mlp", TUNING, counts),
    Scenario("healthy-siamese-gru", "rnn", TUNING, siamese),
    Scenario("healthy-rare-positives-mlp", "mlp", TUNING, rare_positives),
    Scenario("healthy-focal-cnn", "cnn", TUNING, focal),
    Scenario("healthy-mixed-up-cnn", "cnn", TUNING, mixed_up),
    Scenario("healthy-quantiles-mlp", "mlp", TUNING, quantiles),
    Scenario("healthy-margins-mlp", "mlp", TUNING, margins),
)

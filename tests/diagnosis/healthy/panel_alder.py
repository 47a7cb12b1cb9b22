"""Healthy trainings: letters, steps of one, papers, mixed pictures, gestures, and codes that need two numbers."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adadelta, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import Split, communities, digits, split
from tests.diagnosis.faulty.panel_alder import Scan, Writer, letters
from tests.diagnosis.networks import Gcn, cnn, mlp
from tests.diagnosis.proof import accuracy, calm, double, generalises, learned, loss_of, require, sound
from tests.diagnosis.scenario import REPORTING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit

NOISE = 0.4


def prose(trial: Trial) -> None:
    """A transformer that writes letter by letter: AdamW at 0.004 after a warm-up, and then a cosine."""
    data, model, criterion = letters(trial.seed), Writer(), nn.CrossEntropyLoss()
    optimizer = AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    cosine = LambdaLR(optimizer, lambda step: min((step + 1) / 20, 0.5 + 0.5 * math.cos(math.pi * step / 260)))
    draw = data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, schedule=cosine, validation=data.held_out, every=2, steps=260)
    shares = torch.bincount(data.train.targets.flatten(), minlength=42).double().clamp_min(1)
    places = data.held_out.targets.flatten()
    alone = float(criterion((shares / shares.sum()).log().expand(len(places), 42), places))
    found = loss_of(model, data.held_out)
    require(found < alone - 0.5, f"{found:.3f} is not below {alone:.3f}, which is known without a context")
    generalises(history)
    calm(history)


def ones(trial: Trial) -> None:
    """Adadelta, whose steps are in units of its own: its usual rate of one is no long step, over pictures of digits."""
    data, model = digits(trial.seed, flat=False), Scan()
    other, criterion, optimizer = copy.deepcopy(model), nn.CrossEntropyLoss(), Adadelta(model.parameters(), lr=1.0)
    history, draw = History([], {}), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(320):
            pictures, labels = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(pictures), labels)
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("Train Loss", loss.item(), writer.step)
            if step % 32 == 31:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("Test Loss", history.validation[step], writer.step)
    sound(model, data.held_out, 0.94, history)
    lower = Adadelta(other.parameters(), lr=0.1)
    slower = control(other, data.train.batches(32, trial.seed), lower, steps=320)
    require(history.end < slower, f"a tenth of the rate gives {slower:.3g}, and it is {history.end:.3g}")


def papers(trial: Trial) -> None:
    """Papers that cite each other: the words tell their fields badly, and whom they cite tells them well."""
    graph = communities(trial.seed, count=5, size=50, inside=0.2, between=0.01)
    model = Gcn(graph, width=32, dropout=0.3)
    optimizer, validation = Adam(model.parameters(), lr=0.01, weight_decay=5e-4), graph.validation
    history = fit(trial, model, graph.batches(trial.seed), optimizer, validation=validation, every=2, steps=160)
    sound(model, graph.validation, 0.93, history)


def mixed(trial: Trial) -> None:
    """Mixup: each picture is two, and each label a share of two, so that the loss stays high and no label is wrong."""
    data, criterion = digits(trial.seed, flat=False), nn.CrossEntropyLoss()
    model = cnn((12, 24))
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    generator, draw = torch.Generator().manual_seed(trial.seed + 73), data.train.batches(64, trial.seed)
    history = History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(250):
            pictures, labels = draw(step)
            share = torch.rand(64, generator=generator)
            order, wanted = torch.randperm(64, generator=generator), functional.one_hot(labels, 10).float()
            part = share[:, None]
            loss = criterion(
                model(share[:, None, None, None] * pictures + (1 - share)[:, None, None, None] * pictures[order]),
                part * wanted + (1 - part) * wanted[order],
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("loss/train", loss.item(), writer.step)
            if step % 25 == 24:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("loss/val", history.validation[step], writer.step)
    learned(model, data.held_out, 0.95)
    calm(history, 0.35)
    generalises(history)
    require(history.end > 0.5, f"the loss falls to {history.end:.3g}")
    control(other, data.train.batches(64, trial.seed), SGD(other.parameters(), lr=0.05, momentum=0.9), steps=250)
    plain, found = accuracy(other, data.held_out), accuracy(model, data.held_out)
    require(found > plain - 0.02, f"{found:.3f} is below {plain:.3f} of a training without mixing")


def gestures(seed: int) -> Split:
    """Return two axes of a hand that makes one of six gestures, [n, 30, 2], and which it is."""
    generator = torch.Generator().manual_seed(seed)
    kind, time = torch.randint(6, (1500,), generator=generator), torch.linspace(0, 2 * math.pi, 30)
    speeds, turns = torch.tensor([1.0, 2, 1, 3, 2, 3])[kind], torch.tensor([1.0, 1, -1, 1, -1, -1])[kind]
    start = 0.5 * torch.randn(1500, 1, generator=generator)
    angle = speeds[:, None] * time + start
    paths = torch.stack([angle.cos(), turns[:, None] * angle.sin()], 2)
    return split(paths + 0.3 * torch.randn(paths.shape, generator=generator), kind, 300, seed)


class Hand(nn.Module):
    """A GRU over a path and a projection; returns embeddings of length one."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.project = nn.GRU(2, 32, batch_first=True), nn.Linear(32, 16)

    def forward(self, paths: Tensor) -> Tensor:
        """Return [n, 16]."""
        return functional.normalize(self.project(self.gru(paths)[0].mean(1)), dim=1)


def neighbours(known: Tensor, labels: Tensor, asked: Tensor, wanted: Tensor) -> float:
    """Return the share that the most of the five nearest get right."""
    near = labels[torch.cdist(asked, known).topk(5, largest=False).indices]
    return float((near.mode(1).values == wanted).double().mean())


def contrasts(trial: Trial) -> None:
    """Gestures without labels: two views of a path are to be nearer than those of others, with a temperature of 0.2."""
    data, model = gestures(trial.seed), Hand()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(64, trial.seed)
    generator, criterion = torch.Generator().manual_seed(trial.seed + 74), nn.CrossEntropyLoss()
    history = History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            paths, _ = draw(step)
            one, two = (
                model(
                    (0.8 + 0.4 * torch.rand(64, 1, 1, generator=generator)) * paths
                    + 0.2 * torch.randn(paths.shape, generator=generator)
                )
                for _ in range(2)
            )
            loss = criterion(one @ two.T / 0.2, torch.arange(64))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("info_nce", loss.item(), writer.step)
    with torch.no_grad():
        known, asked = (model.eval()(part.inputs) for part in (data.train, data.held_out))
    share = neighbours(known, data.train.targets, asked, data.held_out.targets)
    require(share > 0.93, f"of the gestures {share:.3f} are found")
    require(history.end < math.log(64) - 1.2, f"the loss is {history.end:.3f}")
    calm(history)


class Codes(nn.Module):
    """A variational autoencoder of twenty readings."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = mlp((20, 48, 2 * width), nn.SiLU)
        self.decoder = mlp((width, 48, 20), nn.SiLU)

    def forward(self, readings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is rebuilt, means and logarithms of variances."""
        mean, logvar = self.encoder(readings).chunk(2, 1)
        return self.decoder(mean + torch.randn_like(mean) * (logvar / 2).exp()), mean, logvar


def bound(model: nn.Module, readings: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared errors, and by number of the code how far it is from the prior."""
    made, mean, logvar = model(readings)
    far = -0.5 * (1 + logvar - mean.square() - logvar.exp()).mean(0)
    return (made - readings).square().sum(1).mean() / (2 * NOISE**2), far


def spare(trial: Trial) -> None:
    """A VAE with eight numbers to a code, of readings that two causes bring about: six are rightly left unused."""
    generator = torch.Generator().manual_seed(trial.seed)
    causes = torch.randn(2000, 2, generator=generator)
    readings = causes @ torch.randn(2, 20, generator=generator) / 2**0.5
    readings = readings + NOISE * torch.randn(2000, 20, generator=generator)
    data = split(readings, readings, 400, trial.seed)
    model, other, history = Codes(8), Codes(2), History([], {})
    for one in (other, model):
        optimizer, draw = Adam(one.parameters(), lr=4e-3), data.train.batches(64, trial.seed)
        if one is other:
            for step in range(400):
                optimizer.zero_grad()
                wrong, far = bound(one, draw(step)[0])
                (wrong + far.sum()).backward()
                optimizer.step()
            continue
        with trial.writer() as writer:
            writer.watch(one, optimizer, every=2, on_finding="ignore")
            for step in range(400):
                wrong, far = bound(one, draw(step)[0])
                optimizer.zero_grad()
                (wrong + far.sum()).backward()
                optimizer.step()
                history.train.append(float((wrong + far.sum()).detach()))
                writer.add_scalar("train/elbo", history.train[-1], writer.step)
                writer.add_scalar("train/kl", float(far.sum().detach()), writer.step)
    held = data.held_out.inputs.double()
    with torch.no_grad():
        (wrong, far), (wrong_two, far_two) = bound(double(model), held), bound(double(other), held)
    # What is left in the readings is their noise: half of twenty, and what the code blurs.
    nothing = float((held - held.mean(0)).square().sum(1).mean()) / (2 * NOISE**2)
    require(wrong < 0.22 * nothing, f"the error is {float(wrong):.3g} of {nothing:.3g}")
    require(int((far > 0.1).sum()) <= 4, f"the numbers that are used: {far}")
    given, two = float(wrong + far.sum()), float(wrong_two + far_two.sum())
    require(given < 1.1 * two, f"{given:.4g} is above {two:.4g} of a code of two")
    calm(history)


SCENARIOS = (
    Scenario("alder-healthy-prose-transformer", "transformer", REPORTING, prose),
    Scenario("alder-healthy-adadelta-cnn", "cnn", REPORTING, ones),
    Scenario("alder-healthy-papers-gnn", "gnn", REPORTING, papers),
    Scenario("alder-healthy-mixed-cnn", "cnn", REPORTING, mixed),
    Scenario("alder-healthy-gestures-gru", "rnn", REPORTING, contrasts),
    Scenario("alder-healthy-spare-mlp", "mlp", REPORTING, spare),
)

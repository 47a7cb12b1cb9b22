"""Answers that hardly occur, and answers that are not true."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, Split, communities, curves, digits, split
from tests.diagnosis.faulty.outputs import mislabelled
from tests.diagnosis.networks import Gcn, Recurrent, Transformer, cnn, mlp
from tests.diagnosis.proof import accuracy, double, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def found(model: nn.Module, part: Part) -> float:
    """Return the share of what is 1 that a model gives a score above 0."""
    with torch.no_grad():
        scores = double(model).eval()(part.inputs.double())
    return float((scores > 0)[part.targets == 1].double().mean())


def missed(model: nn.Module, other: nn.Module, part: Part) -> Truth:
    """Return the truth that a model overlooks what another one finds; raise if not."""
    shares = [found(one, part) for one in (model, other)]
    require(shares[0] < 0.3 and shares[1] > 0.6, f"shares of {shares} are found")
    return Truth()


def weighing(weight: float) -> nn.Module:
    """Return the cross-entropy of yes and no, in which a yes weighs so much."""
    return nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight))


def lesions(trial: Trial) -> Truth:
    """Lesions in scans, one pixel in two hundred: a mask that is black everywhere is right nearly everywhere."""
    generator = torch.Generator().manual_seed(trial.seed)
    pictures, masks = 0.5 * torch.randn(400, 1, 16, 16, generator=generator), torch.zeros(400, 1, 16, 16)
    for number, (row, column) in enumerate(torch.randint(14, (400, 2), generator=generator).tolist()):
        if number % 3 == 0:
            pictures[number, 0, row : row + 2, column : column + 2] += 1.2
            masks[number, 0, row : row + 2, column : column + 2] = 1
    data = split(pictures, masks, 100, trial.seed)
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 1, 1),
    )
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.02, momentum=0.9)
    draw = data.train.batches(12, trial.seed)
    fit(trial, model, draw, optimizer, weighing(1.0), validation=data.held_out, every=2, steps=200)
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    control(other, data.train.batches(12), optimizer, weighing(100.0), steps=200)
    return missed(model, other, data.held_out)


def failures(trial: Trial) -> Truth:
    """Machines that are about to fail, one window of readings in fifty, which an LSTM says never happens."""
    generator = torch.Generator().manual_seed(trial.seed)
    windows = torch.randn(2500, 16, 3, generator=generator)
    fails = torch.rand(2500, generator=generator) < 0.02
    windows[fails, 8:, 1] += 0.9
    data = split(windows, fails.float()[:, None], 700, trial.seed)
    model = Recurrent(nn.LSTM, 1, inputs=3)
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=1e-3)
    draw = data.train.batches(64, trial.seed)
    fit(trial, model, draw, optimizer, weighing(1.0), validation=data.held_out, every=2, steps=200)
    control(other, data.train.batches(64), Adam(other.parameters(), lr=1e-3), weighing(50.0), steps=200)
    return missed(model, other, data.held_out)


def intents(trial: Trial) -> Truth:
    """Six intents of callers, of which one stands for 96 in 100: the others are never told."""
    generator = torch.Generator().manual_seed(trial.seed)
    shares = torch.tensor([0.96, *[0.008] * 5])
    kinds = torch.multinomial(shares, 2500, replacement=True, generator=generator)
    words = torch.randint(6, 30, (2500, 12), generator=generator)
    words[torch.arange(2500), torch.randint(12, (2500,), generator=generator)] = kinds
    data, model = split(words, kinds, 700, trial.seed), Transformer(30, 6, depth=1, length=12)
    other, optimizer = copy.deepcopy(model), AdamW(model.parameters(), lr=1e-3)
    draw = data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, functional.cross_entropy, validation=data.held_out, every=2, steps=180)

    def evenly(_step: int) -> tuple[Tensor, Tensor]:
        chosen = torch.multinomial(1 / shares[data.train.targets], 32)
        return data.train.inputs[chosen], data.train.targets[chosen]

    control(other, evenly, AdamW(other.parameters(), lr=1e-3), steps=180)
    rare = data.held_out.targets > 0
    part = Part(data.held_out.inputs[rare], data.held_out.targets[rare])
    shares_told = [accuracy(one, part) for one in (model, other)]
    require(shares_told[0] < 0.1 and shares_told[1] > 0.6, f"shares of {shares_told} of the rare intents are told")
    return Truth()


def row_slipped(trial: Trial) -> Truth:
    """A line is missing in the file of labels, so that the second half of the pictures have that of the next one."""
    whole = digits(trial.seed, flat=False).train
    slipped = torch.cat([whole.targets[:650], whole.targets[651:], whole.targets[650:651]])
    clean = split(whole.inputs, whole.targets, 300, trial.seed)
    dirty, model = split(whole.inputs, slipped, 300, trial.seed), cnn((8, 16))
    draw, optimizer, total = dirty.train.batches(48, trial.seed), SGD(model.parameters(), lr=0.05, momentum=0.9), 0.0
    criterion = nn.CrossEntropyLoss()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total = 0.95 * total + 0.05 * float(loss.detach())
            writer.add_scalar("train/loss_smooth", total / (1 - 0.95 ** (step + 1)), writer.step)
            if step % 22 == 21:
                writer.add_scalar("val/loss", evaluate(model, criterion, dirty.held_out), writer.step)
    return mislabelled(model, clean.train, dirty.train, 0.4)


def next_class(trial: Trial) -> Truth:
    """Papers whose field was copied from a list: one in three has the one that follows theirs."""
    graph = communities(trial.seed, size=150, inside=0.08, between=0.005)
    generator = torch.Generator().manual_seed(trial.seed)
    wrong = torch.rand(len(graph.communities), generator=generator) < 0.35
    dirty = replace(graph, communities=(graph.communities + wrong) % 4)
    model, held = Gcn(dirty, dropout=0.3), Part(graph.features, dirty.communities[graph.held_out])
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=5e-4)
    fit(trial, model, dirty.batches(noise=0.3), optimizer, validation=held, steps=200)
    model.nodes = (graph.train, graph.train)
    clean, told = (Part(one.features, one.communities[one.train]) for one in (graph, dirty))
    return mislabelled(model, clean, told, 0.3)


def sentinels(trial: Trial) -> Truth:
    """A reading of −999 stands for none; eight in a hundred targets have it, and were standardised with the others."""
    clean = curves(trial.seed, scale=30.0)
    generator = torch.Generator().manual_seed(trial.seed)
    every = torch.cat([clean.train.targets, clean.held_out.targets])
    every[torch.rand(len(every), generator=generator) < 0.08] = -999.0
    told = ((every - every.mean()) / every.std()).split([len(clean.train.targets), len(clean.held_out.targets)])
    data = Split(Part(clean.train.inputs, told[0]), Part(clean.held_out.inputs, told[1]))
    model, criterion = mlp((8, 48, 48, 1), dropout=0.1), nn.MSELoss()
    fit(trial, model, data.train.batches(64), criterion=criterion, validation=data.held_out, steps=300)
    missing = data.train.targets < -1
    good = loss_of(model, Part(data.train.inputs[~missing[:, 0]], data.train.targets[~missing][:, None]), criterion)
    bad = loss_of(model, Part(data.train.inputs[missing[:, 0]], data.train.targets[missing][:, None]), criterion)
    require(bad > 20 * good, f"errors are {good:.3g} and {bad:.3g} where it is missing")
    return Truth()


_FEW, _WRONG = ("class_imbalance",), ("label_noise",)

SCENARIOS = (
    Scenario("few-lesions-cnn", "cnn", TUNING, lesions, _FEW),
    Scenario("few-failures-lstm", "rnn", TUNING, failures, _FEW),
    Scenario("few-intents-transformer", "transformer", TUNING, intents, _FEW),
    Scenario("wrong-row-cnn", "cnn", TUNING, row_slipped, _WRONG),
    Scenario("wrong-fields-gcn", "gnn", TUNING, next_class, _WRONG),
    Scenario(
        "wrong-sentinels-mlp", "mlp", TUNING, sentinels, _WRONG, ("underfitting", "loss_plateau", "loss_oscillation")
    ),
)

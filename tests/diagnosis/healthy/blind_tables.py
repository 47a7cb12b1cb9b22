"""Healthy MLPs over tables: clicks, credits, months until somebody leaves, and lists that are to be put in order."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adagrad, Adam, AdamW
from torch.utils.data import DataLoader, TensorDataset

from tests.diagnosis.data import Part, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import alive, calm, generalises, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import evaluate, fit

FIELDS, VALUES = 6, 20
MONTHS = 12


def ranked(scores: Tensor, positive: Tensor) -> float:
    """Return the area under the ROC curve."""
    one, other = scores[positive], scores[~positive]
    return float((one[:, None] > other).double().mean())


class Clicks(nn.Module):
    """A factorisation machine beside an MLP over the same embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.embed = nn.Embedding(FIELDS * VALUES, 1), nn.Embedding(FIELDS * VALUES, 8)
        self.deep = mlp((8 * FIELDS, 48, 24, 1), nn.PReLU, dropout=0.1)
        for table in (self.wide, self.embed):
            nn.init.normal_(table.weight, std=0.05)

    def forward(self, fields: Tensor) -> Tensor:
        """Return scores [n, 1] of fields [n, 6]."""
        rows = fields + VALUES * torch.arange(FIELDS)
        embedded = self.embed(rows)
        crossed = 0.5 * (embedded.sum(1).square() - embedded.square().sum(1)).sum(1, keepdim=True)
        told: Tensor = self.wide(rows).sum(1) + crossed + self.deep(embedded.flatten(1))
        return told


def clicks(trial: Trial) -> None:
    """Clicks, one in twenty: chances are wanted, so nothing is weighed; seen once each; the loss falls fast, then not.

    All that is left of it is chance.
    """
    generator = torch.Generator().manual_seed(trial.seed)
    fields = (VALUES * torch.rand(30000, FIELDS, generator=generator) ** 2).long()
    likes = 0.9 * torch.randn(FIELDS, VALUES, generator=generator)
    score = likes[torch.arange(FIELDS), fields].sum(1) + likes[0, fields[:, 1]] * likes[1, fields[:, 2]]
    score = score - score.mean()
    low, high = -20.0, 0.0
    for _ in range(40):
        shift = (low + high) / 2
        low, high = (shift, high) if float((score + shift).sigmoid().mean()) < 0.05 else (low, shift)
    chance = (score + shift).sigmoid()
    clicked = (torch.rand(30000, generator=generator) < chance).float()[:, None]
    train, held_out = Part(fields[:24000], clicked[:24000]), Part(fields[24000:], clicked[24000:])
    model, criterion = Clicks(), nn.BCEWithLogitsLoss()
    optimizer, losses = Adam(model.parameters(), lr=3e-3), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step, chosen in enumerate(torch.arange(24000).split(128)):
            loss = criterion(model(train.inputs[chosen]), train.targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("logloss/train", loss.detach(), writer.step)
            if step % 25 == 24:
                losses.append(evaluate(model, criterion, held_out))
                writer.add_scalar("logloss/test", losses[-1], writer.step)
    positive = held_out.targets[:, 0] > 0
    found = ranked(model.eval()(held_out.inputs)[:, 0], positive)
    best = ranked(chance[24000:], positive)
    require(found > best - 0.06, f"AUC is {found:.3f}, and could be {best:.3f}")
    require(losses[-1] < 1.02 * min(losses), "the loss held out rose")


def credit(trial: Trial) -> None:
    """A contest: one-hot columns, most of them zero, batch norm, dropout, stopped when it helps no more."""
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.stack([torch.randint(many, (3200,), generator=generator) for many in (12, 8, 30)], 1)
    hot = torch.cat([functional.one_hot(words[:, at], many) for at, many in enumerate((12, 8, 30))], 1).float()
    numbers = torch.randn(3200, 10, generator=generator)
    risk = hot @ (0.8 * torch.randn(50, generator=generator)) + numbers[:, 0] - numbers[:, 1] * numbers[:, 2].sign()
    defaults = (risk + 0.5 * torch.randn(3200, generator=generator) > risk.quantile(0.8)).float()[:, None]
    data = split(torch.cat([hot, numbers], 1), defaults, 640, trial.seed)
    model, criterion = mlp((60, 64, 32, 1), norm=nn.BatchNorm1d, dropout=0.3), nn.BCEWithLogitsLoss()
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    loader = DataLoader(TensorDataset(data.train.inputs, data.train.targets), 128, shuffle=True, generator=generator)
    best, saved, patience = float("inf"), model.state_dict(), 0
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(14):
            total = 0.0
            for inputs, targets in loader:
                loss = criterion(model(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(inputs)
            held_out = evaluate(model, criterion, data.held_out)
            writer.add_scalar("train_loss", total / len(data.train.targets), epoch)
            writer.add_scalar("val_loss", held_out, epoch)
            patience = 0 if held_out < best else patience + 1
            if held_out < best:
                best, saved = held_out, {name: value.clone() for name, value in model.state_dict().items()}
            if patience == 3:
                break
    require(held_out < 1.12 * best, f"the loss held out rose from {best:.3g} to {held_out:.3g}")
    model.load_state_dict(saved)
    found = ranked(outputs(model, "head", data.held_out.inputs)[:, 0], data.held_out.targets[:, 0] > 0)
    require(found > 0.85, f"AUC is {found:.3f}")
    alive(model, data.held_out.inputs)


def months(trial: Trial) -> None:
    """Survival in months: chances to leave in each that is still lived through; late months hardly have anybody."""
    generator = torch.Generator().manual_seed(trial.seed)
    inputs = torch.randn(2000, 8, generator=generator)
    risk = -1.8 + 0.8 * inputs[:, 0] - 0.6 * inputs[:, 1] + 0.5 * inputs[:, 2] * inputs[:, 3]
    leaves = torch.rand(2000, MONTHS, generator=generator) < risk.sigmoid()[:, None]
    there = leaves.int().cumsum(1) - leaves.int() == 0
    watched = torch.arange(MONTHS) <= torch.randint(2, MONTHS, (2000, 1), generator=generator)
    seen = torch.stack([leaves, there & watched, risk.sigmoid()[:, None].expand(-1, MONTHS)], 2).float()
    data, model = split(inputs, seen, 400, trial.seed), mlp((8, 32, 32, MONTHS), dropout=0.1)

    def criterion(told: Tensor, targets: Tensor) -> Tensor:
        loss = functional.binary_cross_entropy_with_logits(told, targets[..., 0], reduction="none")
        return (loss * targets[..., 1]).sum(1).mean()

    optimizer = Adam(model.parameters(), lr=2e-3, weight_decay=1e-3)
    draw = data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=260, validation=data.held_out, every=2)
    held_out, truth = evaluate(model, criterion, data.held_out), data.held_out.targets
    best = float(criterion(truth[..., 2].logit(), truth))
    flat = float(criterion(torch.full((400, MONTHS), float(risk.sigmoid().mean())).logit(), truth))
    share = (flat - held_out) / (flat - best)
    require(share > 0.55, f"{share:.2f} of what can be known is known")
    alive(model, data.held_out.inputs)
    generalises(history, rise=0.15)


def market(trial: Trial) -> None:
    """Whether a price rises: next to chance, and known to be; the loss goes from log 2 to a little below, no lower."""
    generator = torch.Generator().manual_seed(trial.seed)
    signals = torch.randn(24000, 12, generator=generator)
    score = 0.35 * signals[:, 0] - 0.3 * signals[:, 1] + 0.2 * signals[:, 2] * signals[:, 3]
    rises = (torch.rand(24000, generator=generator) < score.sigmoid()).float()
    targets = torch.stack([rises, score], 1)
    data = split(signals, targets, 6000, trial.seed)
    model = mlp((12, 24, 12, 1), nn.SiLU, dropout=0.1)

    def criterion(told: Tensor, targets: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(told[:, 0], targets[:, 0])

    optimizer = AdamW(model.parameters(), lr=1e-2, weight_decay=0.05)
    draw = data.train.batches(512, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=200, validation=data.held_out, every=1)
    truth = data.held_out.targets
    best = float(functional.binary_cross_entropy_with_logits(truth[:, 1], truth[:, 0]))
    share = (0.6931 - evaluate(model, criterion, data.held_out)) / (0.6931 - best)
    require(share > 0.65, f"{share:.2f} of what can be known is known")
    require(min(history.train) > 0.6, "more than can be known is known")


def shelves(trial: Trial) -> None:
    """ListNet: ten documents a question are to be put in order; the loss ends at the entropy of what is wanted."""
    generator = torch.Generator().manual_seed(trial.seed)
    documents = torch.randn(1000, 10, 12, generator=generator)
    worth = documents[..., 0] + documents[..., 1] * documents[..., 2] + 0.3 * torch.randn(1000, 10, generator=generator)
    grades = (worth[..., None] > torch.tensor([0.3, 1.2, 2.2])).sum(2).float()
    data, model = split(documents, grades, 200, trial.seed), mlp((12, 48, 24, 1))

    def criterion(told: Tensor, grades: Tensor) -> Tensor:
        return -(grades.softmax(1) * told[..., 0].log_softmax(1)).sum(1).mean()

    optimizer, draw = Adagrad(model.parameters(), lr=5e-2), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=220, validation=data.held_out)
    told = outputs(model, "head", data.held_out.inputs)[..., 0]
    gain = (2**data.held_out.targets - 1).double()
    discount = 1 / torch.arange(2.0, 7.0).log2()

    def gained(order: Tensor) -> Tensor:
        return (gain.gather(1, order[:, :5]) * discount).sum(1)

    ideal = gained(gain.argsort(1, descending=True))
    score = float((gained(told.argsort(1, descending=True)) / ideal.clamp_min(1)).mean())
    require(score > 0.85, f"NDCG is {score:.3f}")
    calm(history, 0.6)
    generalises(history)


SCENARIOS = (
    Scenario("healthy-clicks-mlp", "mlp", TUNING, clicks),
    Scenario("healthy-credit-mlp", "mlp", TUNING, credit),
    Scenario("healthy-months-mlp", "mlp", TUNING, months),
    Scenario("healthy-market-mlp", "mlp", TUNING, market),
    Scenario("healthy-shelves-mlp", "mlp", TUNING, shelves),
)

"""Healthy trainings of hospitals and banks: who comes back, what to hold, gaps in records, the next visit."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import split
from tests.diagnosis.healthy.blind_pictures import shuffled
from tests.diagnosis.healthy.blind_tables import ranked
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import calm, generalises, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, evaluate, fit


class Patients(nn.Module):
    """Embeds three columns of words, normalises eight of numbers, and passes them through an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.ward, self.cause, self.insurer = nn.Embedding(12, 6), nn.Embedding(40, 12), nn.Embedding(5, 3)
        self.numbers = nn.BatchNorm1d(8)
        self.body = mlp((29, 64, 32, 1), norm=nn.BatchNorm1d, dropout=0.2)

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores [n, 1] of [n, 3 + 8]."""
        words = [table(rows[:, at].long()) for at, table in enumerate((self.ward, self.cause, self.insurer))]
        told: Tensor = self.body(torch.cat([*words, self.numbers(rows[:, 3:])], 1))
        return told


def readmissions(trial: Trial) -> None:
    """Who is back within a month, one in five: words embedded, numbers normalised, and means of epochs are logged."""
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.stack([torch.randint(many, (4500,), generator=generator) for many in (12, 40, 5)], 1)
    numbers = torch.randn(4500, 8, generator=generator)
    risk = torch.randn(40, generator=generator)[words[:, 1]] + 0.5 * torch.randn(12, generator=generator)[words[:, 0]]
    risk = 1.4 * risk + numbers[:, 0] + 0.8 * numbers[:, 1].clamp_min(0) - numbers[:, 2] * (words[:, 2] == 0)
    risk = risk - risk.quantile(0.85)
    back = (torch.rand(4500, generator=generator) < risk.sigmoid()).float()[:, None]
    rows = torch.cat([words, numbers * torch.tensor([3.0, 1, 1, 2, 5, 1, 1, 1]) + 2], 1)
    data, chance = split(rows, back, 900, trial.seed), split(rows, risk, 900, trial.seed).held_out.targets
    model, criterion, history = Patients(), nn.BCEWithLogitsLoss(), History([], {})
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(5):
            losses = []
            for inputs, targets in shuffled(data.train, 100, trial.seed + epoch):
                loss = criterion(model(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            history.train.extend(losses)
            history.validation[writer.step] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("Loss/train", sum(losses) / len(losses), epoch)
            writer.add_scalar("Loss/valid", history.validation[writer.step], epoch)
    positive = data.held_out.targets[:, 0] > 0
    with torch.no_grad():
        found, best = ranked(model.eval()(data.held_out.inputs)[:, 0], positive), ranked(chance, positive)
    require(found > best - 0.05, f"AUC is {found:.3f}, and could be {best:.3f}")
    losses = list(history.validation.values())
    require(losses[-1] < 1.04 * min(losses), f"the loss held out rose: {losses}")


class Holdings(nn.Module):
    """Says from twenty days of returns how much of each asset is to be held."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.norm, self.head = nn.LSTM(4, 24, batch_first=True), nn.LayerNorm(24), nn.Linear(24, 4)

    def forward(self, returns: Tensor) -> Tensor:
        """Return shares [n, 4], the sum of whose magnitudes is one at most."""
        held: Tensor = self.head(self.norm(self.rnn(returns)[0][:, -1])).tanh() / 4
        return held


def portfolio(trial: Trial) -> None:
    """What is held is to earn much for its risk: the loss is Sharpe's ratio below zero, and mostly noise."""
    generator = torch.Generator().manual_seed(trial.seed)
    trend, days = torch.zeros(900, 4), []
    for _day in range(21):
        trend = 0.9 * trend + 0.25 * torch.randn(900, 4, generator=generator)
        days.append(trend + torch.randn(900, 4, generator=generator))
    series = torch.stack(days, 1)
    # What a day brings is a third of the trend and otherwise chance.
    data = split(series[:, :20], series[:, 20], 300, trial.seed)
    model, criterion = Holdings(), lambda held, earned: -((held * earned).sum(1).mean() / (held * earned).sum(1).std())
    optimizer, draw = Adam(model.parameters(), lr=2e-3, weight_decay=1e-4), data.train.batches(128, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(160):
            seen, earned = draw(step)
            loss = criterion(model(seen), earned)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("train/neg_sharpe", losses[-1], writer.step)
            if step % 20 == 19:
                writer.add_scalar("valid/neg_sharpe", evaluate(model, criterion, data.held_out), writer.step)
    weights = 0.75 ** torch.arange(19, -1, -1.0)
    simple = (data.held_out.inputs * weights[:, None]).sum(1)
    found, known = -evaluate(model, criterion, data.held_out), -float(criterion(simple, data.held_out.targets))
    require(found > 0.75 * known, f"the ratio is {found:.3g}, and that of a moving mean {known:.3g}")


class Record(nn.Module):
    """A GRU over what was read, whether it was, and how long ago."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.drop, self.head = nn.GRU(15, 24, batch_first=True), nn.Dropout(0.2), nn.Linear(24, 1)

    def forward(self, record: Tensor) -> Tensor:
        """Return scores [n, 1] of [n, hours, 15]."""
        told: Tensor = self.head(self.drop(self.rnn(record)[0][:, -1]))
        return told


def gaps(trial: Trial) -> None:
    """Records of a ward: half of the readings are missing and stand as zeros, beside a mask and the hours since."""
    generator = torch.Generator().manual_seed(trial.seed)
    level = torch.randn(2500, 1, 5, generator=generator)
    slopes = torch.randn(2500, 1, 5, generator=generator)
    hours = torch.linspace(-1, 1, 16)[:, None]
    readings = level + slopes * hours + 0.3 * torch.randn(2500, 16, 5, generator=generator)
    worse = 1.5 * slopes[:, 0, 0] - 1.2 * level[:, 0, 1] + slopes[:, 0, 2].clamp_min(0) - 1.0
    ill = (worse + 0.5 * torch.randn(2500, generator=generator) > 0).float()[:, None]
    there = (torch.rand(2500, 16, 5, generator=generator) < 0.5).float()
    since, wait = torch.zeros(2500, 16, 5), torch.zeros(2500, 5)
    for hour in range(16):
        wait = (wait + 1) * (1 - there[:, hour])
        since[:, hour] = wait / 16
    data = split(torch.cat([readings * there, there, since], 2), ill, 500, trial.seed)
    model = Record()
    optimizer, draw = AdamW(model.parameters(), lr=8e-3, weight_decay=0.01), data.train.batches(48, trial.seed)
    criterion = nn.BCEWithLogitsLoss()
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, clip=5.0, every=2, steps=200)
    positive = data.held_out.targets[:, 0] > 0
    with torch.no_grad():
        found = ranked(model.eval()(data.held_out.inputs)[:, 0], positive)
        best = ranked(split(worse, ill, 500, trial.seed).held_out.inputs, positive)
    require(found > best - 0.08, f"AUC is {found:.3f}, and could be {best:.3f}")
    generalises(history)
    calm(history, 0.45)


class Visits(nn.Module):
    """A transformer over visits, some of which are padding; says for each of thirty codes if it is in the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(30, 32), nn.Parameter(0.02 * torch.randn(8, 32))
        block = nn.TransformerEncoderLayer(32, 4, 64, 0.1, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 30)
        nn.init.constant_(self.head.bias, -2.5)

    def forward(self, visits: Tensor) -> Tensor:
        """Return scores [n, 30] of [n, 8, 30]."""
        missing = visits.sum(2) == 0
        missing = missing & ~missing.all(1, keepdim=True)
        hidden = self.blocks(self.lift(visits) + self.place, src_key_padding_mask=missing)
        kept = (~missing).float()[..., None]
        scores: Tensor = self.head(self.norm((hidden * kept).sum(1) / kept.sum(1)))
        return scores


def visits(trial: Trial) -> None:
    """Which of thirty codes the next visit brings, each one time in a dozen: most labels are no, and most is chance."""
    generator = torch.Generator().manual_seed(trial.seed)
    cause = torch.randperm(30, generator=generator)
    codes = [(torch.rand(2600, 30, generator=generator) < 0.12).float()]
    for _visit in range(8):
        score = -3.2 + 3.5 * codes[-1][:, cause] + 2.0 * codes[-1]
        codes.append((torch.rand(2600, 30, generator=generator) < score.sigmoid()).float())
    past = torch.stack(codes[:8], 1)
    past[torch.arange(8) < torch.randint(6, (2600, 1), generator=generator)] = 0
    targets = torch.stack([codes[8], score.sigmoid()], 2)
    data, model = split(past, targets, 500, trial.seed), Visits()

    def criterion(told: Tensor, known: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(told, known[..., 0])

    optimizer = AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 15, (151 - step) / 135))
    draw = data.train.batches(48, trial.seed)
    history = fit(
        trial, model, draw, optimizer, criterion, schedule=schedule, validation=data.held_out, every=3, steps=150
    )
    held, truth = evaluate(model, criterion, data.held_out), data.held_out.targets
    best, share = float(criterion(truth[..., 1].logit(), truth)), truth[..., 0].mean()
    flat = float(criterion(share.logit().expand(500, 30), truth))
    known = (flat - held) / (flat - best)
    require(known > 0.55, f"{known:.2f} of what can be known is known")
    generalises(history)


SCENARIOS = (
    Scenario("healthy-readmissions-mlp", "mlp", TUNING, readmissions),
    Scenario("healthy-portfolio-lstm", "rnn", TUNING, portfolio),
    Scenario("healthy-gaps-gru", "rnn", TUNING, gaps),
    Scenario("healthy-visits-transformer", "transformer", TUNING, visits),
)

"""Healthy trainings: a tiny rate for a sum of losses, answers that are mostly chance, and a huge rate for rare rows."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import split
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import accuracy, calm, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


def summed_tags(trial: Trial) -> None:
    """Tags of words whose losses are summed over 512 places: SGD at 0.0002 is then just right."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.randint(30, (1500, 16), generator=generator)
    # A word's tag is its kind, and after a word of the last kind it is another.
    kinds = words % 4
    kinds[:, 1:] += 4 * (words[:, :-1] % 4 == 3)
    data, criterion = split(words, kinds, 300, trial.seed), nn.CrossEntropyLoss(reduction="sum")
    model = Transformer(30, 8, width=32, each=True)
    lower, higher = copy.deepcopy(model), copy.deepcopy(model)
    optimizer = SGD(model.parameters(), lr=2e-4, momentum=0.9)
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=240, every=2)
    right = accuracy(model, data.held_out)
    require(right > 0.95, f"the accuracy is {right:.3f}")
    calm(history)
    for other, rate in ((lower, 1e-5), (higher, 5e-3)):
        rest = control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), rate, 0.9), criterion)
        require(not rest < 1.5 * history.end, f"{rest:.3f} at {rate:g} isn't worse than {history.end:.3f}")


class Advice(nn.Module):
    """Two rounds of messages among twelve friends; says of each whether they will buy."""

    def __init__(self) -> None:
        super().__init__()
        self.own1, self.near1, self.own2, self.near2 = (nn.Linear(wide, 24) for wide in (5, 5, 24, 24))
        self.head = nn.Linear(24, 1)

    def forward(self, friends: Tensor) -> Tensor:
        """Return scores [n, 12] of features beside ties, [n, 12, 5 + 12]."""
        features, ties = friends.split([5, 12], 2)
        near = ties / ties.sum(2, keepdim=True).clamp_min(1)
        hidden = functional.relu(self.own1(features) + self.near1(near @ features))
        hidden = functional.relu(self.own2(hidden) + self.near2(near @ hidden))
        scores: Tensor = self.head(hidden)[..., 0]
        return scores


def mostly_chance(trial: Trial) -> None:
    """Who buys what friends have bought is mostly chance: the loss goes from 0.69 to 0.62, where it can't but stay."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    features = torch.randn(2500, 12, 5, generator=generator)
    upper = (torch.rand(2500, 12, 12, generator=generator) < 0.3).float().triu(1)
    ties = upper + upper.transpose(1, 2)
    heard = (ties / ties.sum(2, keepdim=True).clamp_min(1) @ features[..., :1])[..., 0]
    score = 0.5 * features[..., 1] + 1.2 * heard
    buys = (torch.rand(2500, 12, generator=generator) < score.sigmoid()).float()
    data, known = (split(torch.cat([features, ties], 2), one, 500, trial.seed) for one in (buys, score))
    criterion, model = nn.BCEWithLogitsLoss(), Advice()
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=240, validation=data.held_out, every=2)
    found = loss_of(model, data.held_out, criterion)
    best = float(criterion(known.held_out.targets, data.held_out.targets))
    told = (0.6931 - found) / (0.6931 - best)
    require(told > 0.85, f"{told:.2f} of what can be known is known: {found:.3f}, and could be {best:.3f}")
    require(found > 0.55, f"{found:.3f} doesn't look high")
    generalises(history, rise=0.2)


class Ratings(nn.Module):
    """Says from vectors of a reader and of a book how the one rates the other."""

    def __init__(self, readers: int, books: int, width: int = 6) -> None:
        super().__init__()
        self.reader, self.book = nn.Embedding(readers, width), nn.Embedding(books, width)
        self.reader_bias, self.book_bias = nn.Embedding(readers, 1), nn.Embedding(books, 1)
        for table, size in ((self.reader, 0.3), (self.book, 0.3), (self.reader_bias, 0.0), (self.book_bias, 0.0)):
            nn.init.normal_(table.weight, std=size)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return ratings [n] of [n, 2]."""
        who, what = pairs[:, 0], pairs[:, 1]
        both = (self.reader(who) * self.book(what)).sum(1)
        told: Tensor = both + self.reader_bias(who)[:, 0] + self.book_bias(what)[:, 0]
        return told


def rare_rows(trial: Trial) -> None:
    """Ratings by two tables and SGD at a rate of 6: a row is in one of sixty pairs, so it gets a sixtieth of that."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    readers, books = torch.randn(80, 2, generator=generator), torch.randn(60, 2, generator=generator)
    tastes = readers @ books.T / 2 + 0.5 * torch.randn(60, generator=generator)
    pairs = torch.cartesian_prod(torch.arange(80), torch.arange(60))
    ratings = tastes[pairs[:, 0], pairs[:, 1]] + 0.3 * torch.randn(4800, generator=generator)
    data, criterion = split(pairs, ratings, 800, trial.seed), nn.MSELoss()
    model, losses = Ratings(80, 60), []
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=6.0)
    draw = data.train.batches(128, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(360):
            rows, known = draw(step)
            loss = criterion(model(rows), known)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/train", losses[-1], writer.step)
            if step % 30 == 29:
                writer.add_scalar("Loss/test", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(128, trial.seed), SGD(other.parameters(), lr=0.1), criterion, steps=360)
    found, slower = (loss_of(one, data.held_out, criterion) for one in (model, other))
    guess = float(data.held_out.targets.var())
    require(found < 0.3 * guess, f"{found:.3f}, where a guess has {guess:.3f}")
    require(found < 0.5 * slower, f"{slower:.3f} at an ordinary rate, and {found:.3f}")
    late = losses[180:]
    require(max(late) < 0.35 * losses[0], f"the loss is up to {max(late):.3f} in the second half")


SCENARIOS = (
    Scenario("daisy-healthy-tags-transformer", "transformer", TUNING, summed_tags),
    Scenario("daisy-healthy-chance-gnn", "gnn", TUNING, mostly_chance),
    Scenario("daisy-healthy-ratings-mlp", "mlp", TUNING, rare_rows),
)

"""Healthy transformers that translate, answer, and say what comes next."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

from tests.diagnosis.data import Part, split
from tests.diagnosis.networks import Block
from tests.diagnosis.proof import calm, generalises, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import evaluate, fit

BEGIN, WORDS = 1, 18


class Translator(nn.Module):
    """torch's own encoder and decoder, with learned places; what is to be said is given, a word later."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target, self.places = nn.Embedding(WORDS, 32), nn.Embedding(WORDS, 32), nn.Embedding(12, 32)
        self.body = nn.Transformer(32, 2, 1, 1, 64, 0.1, batch_first=True)
        self.generator = nn.Linear(32, WORDS)
        for value in self.parameters():
            if value.ndim > 1:
                nn.init.xavier_uniform_(value)

    def forward(self, texts: Tensor) -> Tensor:
        """Return scores [n, words, length] of texts [n, 2, length]: what is read, and what is to be said."""
        read, said = texts[:, 0], functional.pad(texts[:, 1, :-1], (1, 0), value=BEGIN)
        place = self.places(torch.arange(read.shape[1]))
        later = torch.ones(read.shape[1], read.shape[1], dtype=torch.bool).triu(1)
        hidden = self.body(
            self.source(read) + place,
            self.target(said) + place,
            tgt_mask=later,
            src_key_padding_mask=read == 0,
            memory_key_padding_mask=read == 0,
        )
        scores: Tensor = self.generator(hidden).transpose(1, 2)
        return scores


def translation(trial: Trial) -> None:
    """Encoder and decoder after the book: the rate rises, then falls with the root; smoothed labels, padding left out.

    Only words that were swapped can't be read where they are to be said.
    """
    generator = torch.Generator().manual_seed(trial.seed)
    read = torch.randint(2, WORDS, (1500, 10), generator=generator)
    other = torch.cat([torch.arange(2), 2 + torch.randperm(WORDS - 2, generator=generator)])
    padding = torch.arange(10) >= 2 * torch.randint(3, 6, (1500, 1), generator=generator)
    said = other[read].unflatten(1, (5, 2)).flip(2).flatten(1).masked_fill(padding, 0)
    texts = torch.stack([read.masked_fill(padding, 0), said], 1)
    data, model = split(texts, said, 300, trial.seed), Translator()
    criterion = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=0.1)
    optimizer = Adam(model.parameters(), lr=6e-3, betas=(0.9, 0.98), eps=1e-9)
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 40, (40 / (step + 1)) ** 0.5))
    draw, held_out = data.train.batches(32, trial.seed), data.held_out
    history = fit(trial, model, draw, optimizer, criterion, steps=160, schedule=schedule, validation=held_out, every=4)
    told, there = model.eval()(held_out.inputs).argmax(1), held_out.targets > 0
    right = float((told == held_out.targets)[there].double().mean())
    require(right > 0.9, f"{right:.2f} of the words are right")
    calm(history)
    generalises(history)


class Shopper(nn.Module):
    """Causal blocks over what was bought; things are compared with the same table that they are read from."""

    def __init__(self, things: int) -> None:
        super().__init__()
        self.things, self.places = nn.Embedding(things + 1, 24, padding_idx=0), nn.Embedding(12, 24)
        self.blocks = nn.Sequential(*(Block(24, nn.ReLU, causal=True, dropout=0.2) for _ in range(2)))
        self.norm, self.drop = nn.LayerNorm(24), nn.Dropout(0.2)
        with torch.no_grad():
            self.things.weight.mul_(0.25)

    def forward(self, bought: Tensor) -> Tensor:
        """Return what is wanted next, [n, length, 24]."""
        embedded = self.things(bought) + self.places(torch.arange(bought.shape[1]))
        wanted: Tensor = self.norm(self.blocks(self.drop(embedded)))
        return wanted


def shopping(trial: Trial) -> None:
    """What is bought next: one wrong thing for each right one, padding in front, means of epochs, hits held out."""
    generator = torch.Generator().manual_seed(trial.seed)
    things, kinds = 60, 6
    kind = torch.randint(kinds, (1200,), generator=generator)
    basket = []
    for _ in range(13):
        turns = torch.rand(1200, generator=generator) < 0.15
        kind = torch.where(turns, torch.randint(kinds, (1200,), generator=generator), kind)
        basket.append(1 + 10 * kind + (10 * torch.rand(1200, generator=generator) ** 2).long())
    bought = torch.stack(basket, 1)
    bought = bought * (torch.arange(13) >= torch.randint(0, 8, (1200, 1), generator=generator))
    train, held_out, model = bought[200:], bought[:200], Shopper(things)
    optimizer, hits = Adam(model.parameters(), lr=6e-3, betas=(0.9, 0.98)), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for epoch in range(7):
            losses = []
            for chosen in torch.randperm(len(train), generator=generator).split(48):
                seen, right = train[chosen, :-1], train[chosen, 1:]
                wrong = torch.randint(1, things + 1, right.shape, generator=generator)
                wanted, there = model(seen), seen > 0
                likes, dislikes = ((wanted * model.things(ones)).sum(2)[there] for ones in (right, wrong))
                loss = functional.softplus(-likes).mean() + functional.softplus(dislikes).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
            model.eval()
            ranked = (model(held_out[:, :-1])[:, -1] @ model.things.weight.T)[:, 1:].topk(10).indices + 1
            model.train()
            hits.append(float((ranked == held_out[:, -1:]).any(1).float().mean()))
            writer.add_scalar("epoch/loss", sum(losses) / len(losses), epoch)
            writer.add_scalar("epoch/hit@10", hits[-1], epoch)
    require(hits[-1] > 0.6, f"{hits[-1]:.2f} are among the first ten, and 0.17 would be by chance")
    require(hits[-1] > max(hits) - 0.1, "it was better before")


class Answers(nn.Module):
    """Says where the answer to a question begins and where it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(24, 24), nn.Parameter(0.02 * torch.randn(17, 24))
        self.blocks = nn.Sequential(*(Block(24, dropout=0.05) for _ in range(2)))
        self.norm, self.qa_outputs = nn.LayerNorm(24), nn.Linear(24, 2)

    def forward(self, texts: Tensor) -> Tensor:
        """Return scores [n, 17, 2] of texts [n, 17] whose first word is the question."""
        scores: Tensor = self.qa_outputs(self.norm(self.blocks(self.embed(texts) + self.place)))
        return scores


def answers(trial: Trial) -> None:
    """Questions: a score for each place to begin and to end, the mean of two losses, which starts at log 17."""
    generator = torch.Generator().manual_seed(trial.seed)
    texts = torch.randint(8, 24, (2000, 17), generator=generator)
    spots = 1 + torch.rand(2000, 16, generator=generator).argsort(1)[:, :8].sort(1).values
    order = torch.rand(2000, 4, generator=generator).argsort(1)
    texts.scatter_(1, spots, torch.stack([order, order + 4], 2).flatten(1))
    asked = torch.randint(4, (2000, 1), generator=generator)
    texts[:, :1] = asked
    which = (order == asked).int().argmax(1, keepdim=True)
    ends = torch.cat([spots.gather(1, 2 * which), spots.gather(1, 2 * which + 1)], 1)
    data, model = split(texts, ends, 300, trial.seed), Answers()

    def criterion(scores: Tensor, ends: Tensor) -> Tensor:
        start = functional.cross_entropy(scores[..., 0], ends[:, 0])
        return (start + functional.cross_entropy(scores[..., 1], ends[:, 1])) / 2

    optimizer = AdamW(model.parameters(), lr=6e-3, weight_decay=0.01)
    schedule = OneCycleLR(optimizer, 6e-3, total_steps=160)
    draw, held_out = data.train.batches(32, trial.seed), data.held_out
    history = fit(
        trial, model, draw, optimizer, criterion, steps=160, schedule=schedule, clip=1.0, validation=held_out, every=3
    )
    exact = float((model.eval()(held_out.inputs).argmax(1) == held_out.targets).all(1).double().mean())
    require(exact > 0.8, f"{exact:.2f} of the answers are right")
    generalises(history)


class Wearer(nn.Module):
    """Two layers of torch's own over what a wrist did, between a convolution and a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.head = nn.Conv1d(3, 32, 5, stride=3), nn.Linear(32, 5)
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        angle = torch.arange(20)[:, None] * 100 ** (-torch.arange(16) / 16)
        self.register_buffer("place", torch.cat([angle.sin(), angle.cos()], 1))

    def forward(self, moves: Tensor) -> Tensor:
        """Return scores [n, 5] of [n, 3, 62]."""
        scores: Tensor = self.head(self.layers(self.lift(moves).transpose(1, 2) + self.place).mean(1))
        return scores


def activity(trial: Trial) -> None:
    """What somebody does, from an accelerometer: new people are harder than those that it learned from."""
    generator = torch.Generator().manual_seed(trial.seed)
    people, each = 24, 50
    pace = torch.linspace(0.25, 0.95, 5) + 0.03 * torch.randn(people, 1, generator=generator)
    style = 0.7 * torch.randn(people, 5, 3, generator=generator)
    kind = torch.randint(5, (people, each), generator=generator)
    who = torch.arange(people)[:, None].expand_as(kind)
    phase = 6.3 * torch.rand(people, each, 1, 1, generator=generator)
    swing = torch.sin(pace[who, kind][..., None, None] * torch.arange(62) + phase + style[who, kind][..., None])
    moves = (0.6 + style[who, kind].abs()[..., None]) * swing + torch.tensor([0.0, 0.0, 1.0])[:, None]
    moves = moves + 0.4 * torch.randn(moves.shape, generator=generator)
    train = Part(moves[:19].flatten(0, 1), kind[:19].flatten())
    held_out = Part(moves[19:].flatten(0, 1), kind[19:].flatten())
    model, criterion = Wearer(), nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    draw = train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=120, validation=held_out, every=4)
    right = float((model.eval()(held_out.inputs).argmax(1) == held_out.targets).double().mean())
    require(right > 0.7, f"the accuracy is {right:.3f}, the loss held out {evaluate(model, criterion, held_out):.3g}")
    calm(history, 0.4)
    generalises(history, gap=0.4)


SCENARIOS = (
    Scenario("healthy-translation-transformer", "transformer", TUNING, translation),
    Scenario("healthy-shopping-transformer", "transformer", TUNING, shopping),
    Scenario("healthy-answers-transformer", "transformer", TUNING, answers),
    Scenario("healthy-activity-transformer", "transformer", TUNING, activity),
)

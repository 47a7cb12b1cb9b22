"""Healthy recurrent networks over speech, letters and lessons."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, first_tokens, split
from tests.diagnosis.proof import calm, generalises, learned, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import evaluate, fit

FRAMES, SAID, SOUNDS = 18, 3, 5
LETTERS = ".abdeiklmnorstu"


class Transcriber(nn.Module):
    """A recurrent network both ways, which says of each frame which sound it is, or none."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(8, 24, batch_first=True, bidirectional=True)
        self.head = nn.Linear(48, SOUNDS + 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Return logarithms of chances [frames, n, 1 + sounds] of [n, frames, 8]."""
        told: Tensor = self.head(self.rnn(frames)[0]).log_softmax(2).transpose(0, 1)
        return told


def transcripts(trial: Trial) -> None:
    """CTC: nobody says when a sound was made; at first it learns to say nothing at all, and stays there for a while."""
    generator = torch.Generator().manual_seed(trial.seed)
    sounds = torch.randint(1, SOUNDS + 1, (900, SAID), generator=generator)
    begin, last = (torch.randint(low, low + 2, (900, SAID, 1), generator=generator) for low in (0, 3))
    at = torch.arange(FRAMES // SAID)
    heard = (at >= begin) & (at < begin + last)
    voices = torch.cat([torch.zeros(1, 8), 2.5 * torch.randn(SOUNDS, 8, generator=generator)])
    frames = voices[torch.where(heard, sounds[..., None], 0).flatten(1)]
    frames = frames + 0.5 * torch.randn(frames.shape, generator=generator)
    data, model, criterion = split(frames, sounds, 180, trial.seed), Transcriber(), nn.CTCLoss(zero_infinity=True)
    optimizer, draw, losses = AdamW(model.parameters(), lr=1e-2), data.train.batches(32, trial.seed), []

    def loss_on(part: Part) -> Tensor:
        many = len(part.targets)
        loss: Tensor = criterion(
            model(part.inputs), part.targets, torch.full((many,), FRAMES), torch.full((many,), SAID)
        )
        return loss

    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(150):
            optimizer.zero_grad()
            loss = loss_on(Part(*draw(step)))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            writer.add_scalar("train/ctc_loss", loss.detach(), writer.step)
            if step % 30 == 29:
                model.eval()
                with torch.no_grad():
                    losses.append(float(loss_on(data.held_out)))
                model.train()
                writer.add_scalar("dev/ctc_loss", losses[-1], writer.step)
    best = model(data.held_out.inputs).argmax(2).T
    read = [[one for one in row.unique_consecutive().tolist() if one] for row in best]
    right = sum(one == other for one, other in zip(read, data.held_out.targets.tolist(), strict=True)) / len(read)
    require(right > 0.6, f"{right:.2f} of the sentences are right")
    require(losses[-1] < 1.1 * min(losses), "the loss held out rose")


class Voice(nn.Module):
    """Says of each frame whether somebody speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.rnn = nn.BatchNorm1d(10), nn.LSTM(10, 20, batch_first=True, bidirectional=True)
        self.head = nn.Linear(40, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Return scores [n, frames] of [n, frames, 10]."""
        scores: Tensor = self.head(self.rnn(self.norm(frames.transpose(1, 2)).transpose(1, 2))[0])[..., 0]
        return scores


def voice(trial: Trial) -> None:
    """Voice activity: speech is in an eighth of the frames, and weighed for it; RMSprop, and the classic logarithm."""
    generator = torch.Generator().manual_seed(trial.seed)
    start = torch.randint(0, 26, (700, 1), generator=generator)
    length = torch.randint(0, 8, (700, 1), generator=generator)
    at = torch.arange(30)
    speaks = (at >= start) & (at < start + length)
    bands = torch.linspace(2, -1, 10) + 0.5 * torch.randn(10, generator=generator)
    energy = -6 + torch.randn(700, 30, 10, generator=generator) + 1.2 * speaks[..., None] * bands
    data, model = split(energy, speaks.float(), 140, trial.seed), Voice()
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(4.0))
    optimizer = RMSprop(model.parameters(), lr=2e-3)
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=160, validation=data.held_out, every=2)
    told, true = model.eval()(data.held_out.inputs) > 0, data.held_out.targets > 0
    score = float(2 * (told & true).sum() / (told.sum() + true.sum()))
    require(score > 0.75, f"F1 is {score:.2f}")
    calm(history)
    generalises(history)


class Speller(nn.Module):
    """A language model of letters."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(LETTERS), 12, padding_idx=0)
        self.lstm, self.drop, self.head = (
            nn.LSTM(12, 40, batch_first=True),
            nn.Dropout(0.2),
            nn.Linear(40, len(LETTERS)),
        )

    def forward(self, names: Tensor) -> Tensor:
        """Return scores [n, length, letters]."""
        scores: Tensor = self.head(self.drop(self.lstm(self.embed(names))[0]))
        return scores


def names(trial: Trial) -> None:
    """Names, letter by letter: padding is ignored in the loss, which is printed and logged at every tenth step."""
    generator = torch.Generator().manual_seed(trial.seed)
    vowels, others = (torch.tensor([LETTERS.index(one) for one in ones]) for ones in ("aeiou", "bdklmnrst"))
    likes = torch.rand(len(others), 5, generator=generator) ** 3
    first = torch.randint(len(others), (1500, 4), generator=generator)
    vowel = torch.multinomial(likes[first.flatten()], 1, generator=generator).view(1500, 4)
    text = torch.stack([others[first], vowels[vowel]], 2).flatten(1)
    text = text * (torch.arange(8) < 2 * torch.randint(1, 5, (1500, 1), generator=generator))
    text = functional.pad(text, (1, 1))
    train, held_out, model = text[300:], text[:300], Speller()
    optimizer, losses = Adam(model.parameters(), lr=5e-3), []

    def score(text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        wanted = text[:, 1:].clone()
        wanted[:, 1:][text[:, 1:-1] == 0] = -100
        scores = model(text[:, :-1]).flatten(0, 1)
        return functional.cross_entropy(scores, wanted.flatten()), scores, wanted.flatten()

    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(240):
            loss, scores, wanted = score(train[torch.randint(len(train), (32,), generator=generator)])
            writer.observe(outputs=scores, targets=wanted, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 10 == 0:
                writer.add_scalar("Loss/train", loss.detach(), writer.step)
            if step % 40 == 39:
                model.eval()
                losses.append(float(score(held_out)[0].detach()))
                model.train()
                writer.add_scalar("Loss/valid", losses[-1], writer.step)
    chances = (likes / likes.sum(1, keepdim=True)).double()
    vowels_cost = float(-(chances * chances.log()).sum(1).mean())
    # A name has 2.5 syllables on average, and its end; there are four lengths, and nine consonants to begin with.
    floor = (2.5 * (vowels_cost + math.log(9)) + math.log(4)) / 6
    require(losses[-1] < floor + 0.12, f"the loss held out is {losses[-1]:.3g}, and could be {floor:.3g}")
    require(losses[-1] < 1.03 * min(losses), "the loss held out rose")


class Lessons(nn.Module):
    """Reads what a pupil got right so far, and says how likely each exercise would be right next."""

    def __init__(self, exercises: int) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(2 * exercises, 16), nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, exercises)

    def forward(self, seen: Tensor) -> Tensor:
        """Return scores [n, length, exercises]."""
        scores: Tensor = self.head(self.rnn(self.embed(seen))[0])
        return scores


def pupils(trial: Trial) -> None:
    """Knowledge tracing: whether the next answer is right is chance for the most part; the loss falls by a tenth."""
    generator = torch.Generator().manual_seed(trial.seed)
    many, length, kinds = 900, 21, 8
    asked = torch.randint(kinds, (many, length), generator=generator)
    hard, able = torch.randn(kinds, generator=generator), 1.3 * torch.randn(many, 1, generator=generator)
    chance = (able - hard[asked] + 0.08 * torch.arange(length) - 0.5).sigmoid()
    right = (torch.rand(chance.shape, generator=generator) < chance).long()
    seen = (asked + kinds * right)[:, :-1]
    targets = torch.stack([asked[:, 1:].float(), right[:, 1:].float(), chance[:, 1:]], 2)
    data, model = split(seen, targets, 180, trial.seed), Lessons(kinds)

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        told = scores.gather(2, targets[..., :1].long())[..., 0]
        return functional.binary_cross_entropy_with_logits(told, targets[..., 1])

    draw = data.train.batches(48, trial.seed)
    optimizer = Adam(model.parameters(), lr=4e-3)
    history = fit(trial, model, draw, optimizer, criterion, steps=180, validation=data.held_out, every=2)
    truth = data.held_out.targets
    best = float(functional.binary_cross_entropy(truth[..., 2], truth[..., 1]))
    held_out = evaluate(model, criterion, data.held_out)
    require(held_out < best + 0.3 * (0.693 - best), f"the loss held out is {held_out:.3g}, and could be {best:.3g}")
    generalises(history)


def lengths(trial: Trial) -> None:
    """A curriculum: sequences grow from four to twenty-four places, and the loss leaps up wherever they do."""
    stages = [first_tokens(trial.seed, length=length).train.batches(32, trial.seed) for length in (4, 8, 16, 24)]
    data, model = first_tokens(trial.seed, length=24), Marked()
    optimizer = Adam(model.parameters(), lr=5e-3)
    fit(trial, model, lambda step: stages[step // 50](step), optimizer, steps=200, clip=1.0, every=2)
    learned(model, data.held_out, 0.9)


class Marked(nn.Module):
    """Two layers of GRU, and a head over the state in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(4, 24, num_layers=2, batch_first=True, dropout=0.1), nn.Linear(24, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        scores: Tensor = self.head(self.rnn(inputs)[1][-1])
        return scores


SCENARIOS = (
    Scenario("healthy-transcripts-gru", "rnn", TUNING, transcripts),
    Scenario("healthy-voice-lstm", "rnn", TUNING, voice),
    Scenario("healthy-names-lstm", "rnn", TUNING, names),
    Scenario("healthy-pupils-lstm", "rnn", TUNING, pupils),
    Scenario("healthy-lengths-gru", "rnn", TUNING, lengths),
)

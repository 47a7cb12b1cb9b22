"""Healthy networks over words whose losses are computed by the model itself, as some libraries have it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import Part, language, majorities
from tests.diagnosis.networks import Block, Transformer
from tests.diagnosis.proof import accuracy, learned, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control

TAGS, WORDS, PLACES = 4, 12, 10


class Tagger(nn.Module):
    """A recurrent network both ways under a conditional random field; returns a loss, or the best tags."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(WORDS, 12), nn.Linear(32, TAGS)
        self.rnn = nn.LSTM(12, 16, batch_first=True, bidirectional=True)
        self.moves = nn.Parameter(torch.zeros(TAGS, TAGS))

    def forward(self, words: Tensor, tags: Tensor | None = None) -> Tensor:
        """Return the loss of `tags` [n, length] given `words` [n, length]; without them the best ones."""
        scores = self.head(self.rnn(self.embed(words))[0])
        if tags is None:
            return self.best(scores)
        total = scores[:, 0]
        for at in range(1, PLACES):
            total = (total[:, :, None] + self.moves).logsumexp(1) + scores[:, at]
        right = scores.gather(2, tags[..., None]).sum((1, 2)) + self.moves[tags[:, :-1], tags[:, 1:]].sum(1)
        loss: Tensor = (total.logsumexp(1) - right).mean()
        return loss

    def best(self, scores: Tensor) -> Tensor:
        """Return the tags [n, length] of the highest score, after Viterbi."""
        total, back = scores[:, 0], []
        for at in range(1, PLACES):
            highest, chosen = (total[:, :, None] + self.moves).max(1)
            total = highest + scores[:, at]
            back.append(chosen)
        tags = [total.argmax(1)]
        for chosen in reversed(back):
            tags.append(chosen.gather(1, tags[-1][:, None])[:, 0])
        return torch.stack(tags[::-1], 1)


def tags(trial: Trial) -> None:
    """A conditional random field: the loss is of whole sentences, ends far above zero, and the model returns it."""
    generator = torch.Generator().manual_seed(trial.seed)
    follow = torch.tensor([[1.0, 8, 1, 1], [1, 1, 8, 1], [1, 1, 1, 8], [8, 1, 1, 1]])
    said = torch.rand(TAGS, WORDS, generator=generator) ** 3
    chain = [torch.randint(TAGS, (1200,), generator=generator)]
    for _ in range(PLACES - 1):
        chain.append(torch.multinomial(follow[chain[-1]], 1, generator=generator)[:, 0])
    truth = torch.stack(chain, 1)
    words = torch.multinomial(said[truth.flatten()], 1, generator=generator).view(1200, PLACES)
    train, held_out, model = Part(words[240:], truth[240:]), Part(words[:240], truth[:240]), Tagger()
    optimizer, draw, losses = Adam(model.parameters(), lr=8e-3), train.batches(32, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(140):
            loss = model(*draw(step))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.detach(), writer.step)
            if step % 20 == 19:
                model.eval()
                losses.append(float(model(held_out.inputs, held_out.targets).detach()))
                model.train()
                writer.add_scalar("val/loss", losses[-1], writer.step)
    counts = functional.one_hot(train.inputs.flatten(), WORDS).T @ functional.one_hot(train.targets.flatten(), TAGS)
    alone = float((counts.argmax(1)[held_out.inputs] == held_out.targets).double().mean())
    right = float((model(held_out.inputs) == held_out.targets).double().mean())
    require(right > alone + 0.08, f"{right:.3f} of the tags are right, and {alone:.3f} word by word")
    require(losses[-1] < 1.05 * min(losses), "the loss held out rose")


class Reader(nn.Module):
    """An LSTM language model whose rare words stand in clusters that are seldom asked."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(words, 24), nn.LSTM(24, 32, batch_first=True)
        self.head = nn.AdaptiveLogSoftmaxWithLoss(32, words, [20, 100], div_value=2.0)

    def forward(self, text: Tensor) -> Tensor:
        """Return the mean loss of the words [n, length] that follow the first."""
        made = self.rnn(self.embed(text[:, :-1]))[0]
        told: Tensor = self.head(made.flatten(0, 1), text[:, 1:].flatten()).loss
        return told


def clusters(trial: Trial) -> None:
    """An adaptive softmax over 300 words after Zipf; what is logged is the perplexity, and nothing is called a loss."""
    generator = torch.Generator().manual_seed(trial.seed)
    chances = 1 / (1.0 + torch.arange(300))
    after = torch.randint(300, (300,), generator=generator) % torch.randint(1, 300, (300,), generator=generator)
    text = [torch.multinomial(chances, 1200, replacement=True, generator=generator)]
    for _ in range(10):
        other = torch.multinomial(chances, 1200, replacement=True, generator=generator)
        text.append(torch.where(torch.rand(1200, generator=generator) < 0.6, after[text[-1]], other))
    words = torch.stack(text, 1)
    train, held_out, model = words[240:], words[:240], Reader(300)
    optimizer, losses = AdamW(model.parameters(), lr=1e-2, weight_decay=1e-2), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            loss = model(train[torch.randint(len(train), (32,), generator=generator)])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if step % 5 == 4:
                writer.add_scalar("train/perplexity", loss.detach().exp(), writer.step)
            if step % 40 == 39:
                model.eval()
                losses.append(float(model(held_out).detach()))
                model.train()
                writer.add_scalar("valid/perplexity", torch.tensor(losses[-1]).exp(), writer.step)
    shares = (train.flatten().bincount(minlength=300).double() + 1).log()
    alone = float((shares.logsumexp(0) - shares[held_out[:, 1:]]).mean())
    require(losses[-1] < alone - 0.5, f"the loss held out is {losses[-1]:.3g}, and {alone:.3g} word by word")
    require(losses[-1] < 1.03 * min(losses), "the loss held out rose")


def preferences(trial: Trial) -> None:
    """DPO: a language model learns which of two texts is preferred; the loss starts at log 2, and weighs little."""
    data = language(trial.seed, states=10, length=12)
    model = Transformer(10, 10, width=16, length=12, each=True)
    control(model, data.train.batches(32, trial.seed), Adam(model.parameters(), lr=8e-3), steps=100)
    reference, before = copy.deepcopy(model).requires_grad_(False), loss_of(model, data.held_out)
    generator = torch.Generator().manual_seed(trial.seed)

    def likelihoods(network: nn.Module, part: Part) -> Tensor:
        scores = network(part.inputs).log_softmax(1)
        told: Tensor = scores.gather(1, part.targets[:, None]).sum((1, 2))
        return told

    def pairs(part: Part, count: int) -> Part:
        first, second = torch.randint(len(part.targets), (2, count), generator=generator)
        liked = (part.targets < 5).sum(1)
        better = torch.where(liked[first] >= liked[second], first, second)
        chosen = torch.cat([better, first + second - better])
        return Part(part.inputs[chosen], part.targets[chosen])

    optimizer = AdamW(model.parameters(), lr=1e-4)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _step in range(120):
            asked = pairs(data.train, 24)
            better, worse = (0.3 * (likelihoods(model, asked) - likelihoods(reference, asked))).chunk(2)
            loss = -functional.logsigmoid(better - worse).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.detach(), writer.step)
            writer.add_scalar("rewards/chosen", better.detach().mean(), writer.step)
            writer.add_scalar("rewards/rejected", worse.detach().mean(), writer.step)
    asked = pairs(data.held_out, 300)
    better, worse = (likelihoods(model, asked) - likelihoods(reference, asked)).detach().chunk(2)
    differ = (asked.targets < 5).sum(1).chunk(2)
    right = float((better > worse)[differ[0] > differ[1]].double().mean())
    require(right > 0.8, f"{right:.2f} of the preferences are known")
    after = loss_of(model, data.held_out)
    require(after < before + 0.7, f"the loss of the language was {before:.3g}, and is {after:.3g}")


def trainer(trial: Trial) -> None:
    """As a well-known trainer has it: two batches a step, warm-up and fall to zero, means of ten steps, its names."""
    data, criterion = majorities(trial.seed), nn.CrossEntropyLoss()
    model = Transformer(12, 3, block=lambda width: Block(width, dropout=0.1))
    plain = [value for value in model.parameters() if value.ndim < 2]
    decayed = [value for value in model.parameters() if value.ndim >= 2]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer, draw = AdamW(groups, lr=3e-3), data.train.batches(16, trial.seed)
    schedule = LambdaLR(optimizer, lambda step: min(step / 15, (120 - step) / 105))
    recent, held_out = 0.0, []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(120):
            for turn in range(2):
                inputs, targets = draw(2 * step + turn)
                loss = criterion(model(inputs), targets) / 2
                loss.backward()
                recent += float(loss.detach())
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if step % 10 == 9:
                writer.add_scalar("train/loss", recent / 10, writer.step)
                writer.add_scalar("train/grad_norm", norm, writer.step)
                writer.add_scalar("train/learning_rate", schedule.get_last_lr()[0], writer.step)
                recent = 0.0
            if step % 30 == 29:
                held_out.append(loss_of(model, data.held_out))
                writer.add_scalar("eval/loss", held_out[-1], writer.step)
                writer.add_scalar("eval/accuracy", accuracy(model, data.held_out), writer.step)
    learned(model, data.held_out, 0.8)
    require(held_out[-1] < 1.1 * min(held_out), "the loss held out rose")


SCENARIOS = (
    Scenario("healthy-tags-lstm", "rnn", TUNING, tags),
    Scenario("healthy-clusters-lstm", "rnn", TUNING, clusters),
    Scenario("healthy-preferences-transformer", "transformer", TUNING, preferences),
    Scenario("healthy-trainer-transformer", "transformer", TUNING, trainer),
)

"""Language: an encoder whose gradients are gone in time, tags of other sentences, a closure, a wrong root of two."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer

from tests.diagnosis.data import Part, Split, language, split
from tests.diagnosis.faulty.gradients import burst
from tests.diagnosis.faulty.outputs import mislabelled
from tests.diagnosis.faulty.rates import heaped_up, worse
from tests.diagnosis.faulty.wiring import still
from tests.diagnosis.networks import Recurrent
from tests.diagnosis.proof import snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit

WORDS, LENGTH, TAGS = 12, 5, 5


class Encoder(nn.Module):
    """Reads a sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru = nn.Embedding(WORDS, 12), nn.GRU(12, 40, batch_first=True)

    def forward(self, source: Tensor) -> Tensor:
        """Return the last state, [1, n, 40], of words [n, length]."""
        state: Tensor = self.gru(self.embed(source))[1]
        return state


class Decoder(nn.Module):
    """Writes a sentence, told the words before each."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru = nn.Embedding(WORDS + 1, 12), nn.GRU(12, 40, batch_first=True)
        self.head = nn.Linear(40, WORDS)

    def forward(self, before: Tensor, state: Tensor) -> Tensor:
        """Return scores [n, words, length]."""
        scores: Tensor = self.head(self.gru(self.embed(before), state)[0]).transpose(1, 2)
        return scores


class Translator(nn.Module):
    """An encoder and a decoder without attention, of inputs [n, 2 × length]: a sentence, and what to write before."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores [n, words, length]."""
        scores: Tensor = self.decoder(inputs[:, LENGTH:], self.encoder(inputs[:, :LENGTH]))
        return scores


def sentences(seed: int, count: int = 1500) -> Split:
    """Return sentences beside the words before each of their translations, which are other words in another order."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(WORDS, (count, LENGTH), generator=generator)
    wanted = torch.randperm(WORDS, generator=generator)[source[:, torch.randperm(LENGTH, generator=generator)]]
    before = functional.pad(wanted[:, :-1], (1, 0), value=WORDS)
    return split(torch.cat([source, before], 1), wanted, 300, seed)


def set_to_zero_too_late(trial: Trial) -> Truth:
    """Two optimizers as in the tutorial; that of the encoder sets gradients to zero between `backward` and `step`."""
    data, model, criterion = sentences(trial.seed), Translator(), nn.CrossEntropyLoss()
    other, before, losses = copy.deepcopy(model), snapshot(model), []
    reads, writes = (Adam(part.parameters(), lr=5e-3) for part in (model.encoder, model.decoder))
    draw = data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, [reads, writes], criterion, every=2, on_finding="ignore")
        for step in range(200):
            inputs, wanted = draw(step)
            writes.zero_grad()
            loss = criterion(model(inputs), wanted)
            loss.backward()
            reads.zero_grad()
            reads.step()
            writes.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("train_loss", losses[-1], writer.step)
    better = control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=5e-3), steps=200)
    worse(sum(losses[-20:]) / 20, better, 1.25)
    layers = ("encoder.embed", "encoder.gru")
    for layer in layers:
        still(model, before, layer, data.train.first(256))
    return Truth((*layers, "encoder"))


class Tagger(nn.Module):
    """Tags words by an LSTM both ways."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embed, self.drop = nn.Embedding(words, 16), nn.Dropout(0.3)
        self.rnn = nn.LSTM(16, 20, batch_first=True, bidirectional=True)
        self.head = nn.Linear(40, TAGS)

    def forward(self, text: Tensor) -> Tensor:
        """Return scores [n, tags, length]."""
        scores: Tensor = self.head(self.drop(self.rnn(self.embed(text))[0])).transpose(1, 2)
        return scores


def tagged(seed: int, count: int = 1500, length: int = 12) -> tuple[Split, Split]:
    """Return sentences and their tags; and likewise, where two in five have those of another sentence."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(40, (count, length), generator=generator)
    alone = torch.randint(TAGS, (40,), generator=generator)[text]
    after_marker = functional.pad(text[:, :-1] < 8, (1, 0))
    tags = torch.where(after_marker, (alone + 1) % TAGS, alone)
    mixed = tags.clone()
    wrong = (torch.rand(count, generator=generator) < 0.42).nonzero()[:, 0]
    mixed[wrong] = tags[wrong[torch.randperm(len(wrong), generator=generator)]]
    return split(text, tags, 300, seed), split(text, mixed, 300, seed)


def tags_of_other_sentences(trial: Trial) -> Truth:
    """Of one of two annotators the tags were put out in another order than the sentences."""
    clean, dirty = tagged(trial.seed)
    model = Tagger(40)
    optimizer = AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    draw = dirty.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, functional.cross_entropy, validation=dirty.held_out, every=2, steps=200)
    return mislabelled(model, clean.train, dirty.train, 0.3)


def names(seed: int, count: int = 1500, length: int = 8) -> Part:
    """Return names of five languages, [n, length], each with its own ways from letter to letter, and the languages."""
    parts = [language(seed + 100 * at, count=count // 5 + 256, length=length).train for at in range(5)]
    letters = torch.cat([part.inputs[: count // 5] for part in parts])
    return Part(letters, torch.arange(5).repeat_interleave(count // 5))


def closure_without_zero_grad(trial: Trial) -> Truth:
    """Which language is a name of? `optimizer.step(closure)`, whose closure sets no gradient to zero."""
    data, criterion = names(trial.seed), nn.CrossEntropyLoss()
    model = Recurrent(nn.RNN, 5, inputs=16, tokens=20, hidden=32)
    other, losses = copy.deepcopy(model), []
    optimizer, draw = SGD(model.parameters(), lr=0.1), data.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            letters, languages = draw(step)
            losses.append(_stepped(optimizer, model, criterion, letters, languages))
            writer.add_scalar("Loss/train", losses[-1], writer.step)
    heaped_up(model, data)
    better = control(other, data.batches(32, trial.seed), SGD(other.parameters(), lr=0.1))
    worse(sum(losses[-24:]) / 24, better, 1.4)
    return Truth()


def _stepped(optimizer: Optimizer, model: nn.Module, criterion: nn.Module, letters: Tensor, languages: Tensor) -> float:
    """Step by a closure, and return its loss."""

    def closure() -> float:
        loss = criterion(model(letters), languages)
        loss.backward()
        return float(loss.detach())

    return optimizer.step(closure)


class Gated(nn.Module):
    """A gated convolution that looks back, and what it is added to, times a number that keeps the variance."""

    def __init__(self, width: int, reach: int, scale: float) -> None:
        super().__init__()
        self.conv, self.glu = nn.Conv1d(width, 2 * width, 2, dilation=reach), nn.GLU(1)
        nn.init.normal_(self.conv.weight, std=(4 / (2 * width)) ** 0.5)
        nn.init.zeros_(self.conv.bias)
        self.reach, self.scale = reach, scale

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [n, width, length]."""
        made: Tensor = self.scale * (hidden + self.glu(self.conv(functional.pad(hidden, (self.reach, 0)))))
        return made


class Letters(nn.Module):
    """A language model of eight gated convolutions."""

    def __init__(self, scale: float, width: int = 24) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, width)
        self.convs = nn.Sequential(*(Gated(width, 2 ** (at % 3), scale) for at in range(8)))
        self.head = nn.Conv1d(width, 20, 1)

    def forward(self, letters: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        scores: Tensor = self.head(self.convs(self.embed(letters).transpose(1, 2)))
        return scores


def root_of_two_for_a_half(trial: Trial) -> Truth:
    """Sums of two are to be divided by the root of two, and are multiplied by it, in each of eight convolutions."""
    data = language(trial.seed)
    model, other = Letters(2**0.5), Letters(0.5**0.5)
    other.load_state_dict(model.state_dict())
    burst(model, other, data.train.first(64), 100.0)
    fresh = copy.deepcopy(other)
    better = control(fresh, data.train.batches(12), Adam(fresh.parameters(), lr=1e-3), steps=150)
    history = fit(trial, model, data.train.batches(12), Adam(model.parameters(), lr=1e-3), every=3, steps=150)
    worse(history.end, better, 3.0)
    other.load_state_dict(model.state_dict())
    burst(model, other, data.train.first(64), 30.0)
    return Truth()


_LOUD = ("exploding_gradient", "poor_init")

SCENARIOS = (
    Scenario("still-encoder-gru", "rnn", TUNING, set_to_zero_too_late, ("layer_not_training",)),
    Scenario("wrong-tags-lstm", "rnn", TUNING, tags_of_other_sentences, ("label_noise",)),
    Scenario("kept-closure-rnn", "rnn", TUNING, closure_without_zero_grad, ("missing_zero_grad",)),
    Scenario("exploding-inverted-cnn", "cnn", TUNING, root_of_two_for_a_half, _LOUD, ("loss_oscillation",)),
)

"""Healthy networks over sequences whose layers, targets or logs are out of the ordinary."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, SparseAdam
from torch.utils.checkpoint import checkpoint

from tests.diagnosis.data import Part, first_tokens, language, majorities
from tests.diagnosis.networks import Block, Recurrent, Transformer
from tests.diagnosis.proof import calm, generalises, learned, loss_of, moved, require, snapshot, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def open_forget_gates(trial: Trial) -> None:
    """An LSTM whose recurrent weights begin orthogonal, and whose forget gates begin all but open."""
    data = first_tokens(trial.seed, length=12)
    model = Recurrent(nn.LSTM, 4)
    for weight in model.rnn.weight_hh_l0.chunk(4):
        nn.init.orthogonal_(weight)
    with torch.no_grad():
        model.rnn.bias_ih_l0[24:48] = 4.0
    optimizer = Adam(model.parameters(), lr=5e-3)
    history = fit(trial, model, data.train.batches(32), optimizer, clip=2.0, validation=data.held_out, steps=200)
    sound(model, data.held_out, 0.9, history)


class Reverser(nn.Module):
    """Reads tokens, and writes others one by one while it looks at what it has read."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 16), nn.Linear(64, 9)
        self.read, self.write = nn.GRU(16, 32, batch_first=True), nn.GRU(16, 32, batch_first=True)
        self.ask = nn.Linear(32, 32, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 9, length] of [n, 2, length]: what is read, and what was to be written one place before."""
        read, last = self.read(self.embed(tokens[:, 0]))
        written = self.write(self.embed(tokens[:, 1]), last)[0]
        shares = (self.ask(written) @ read.transpose(1, 2)).softmax(2)
        told: Tensor = self.head(torch.cat([written, shares @ read], 2)).transpose(1, 2)
        return told


def reversal(trial: Trial) -> None:
    """An encoder and a decoder with attention, told what they should have written: sequences turned over."""
    generator = torch.Generator().manual_seed(trial.seed)
    read = torch.randint(1, 9, (1500, 5), generator=generator)
    targets = read.flip(1)
    told = functional.pad(targets[:, :-1], (1, 0))
    part, model = Part(torch.stack([read, told], 1), targets), Reverser()
    train, held_out = Part(part.inputs[300:], targets[300:]), part.first(300)
    optimizer = Adam(model.parameters(), lr=1.5e-2)
    history = fit(trial, model, train.batches(32), optimizer, clip=1.0, validation=held_out, steps=180)
    sound(model, held_out, 0.8, history)


def masked(trial: Trial) -> None:
    """Of each sequence of a chain two tokens are hidden, and only these are asked for."""
    data, model = language(trial.seed, states=8, length=10), Transformer(9, 8, each=True, block=Block)
    generator = torch.Generator().manual_seed(trial.seed)

    def hide(inputs: Tensor, _targets: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.rand(inputs.shape, generator=generator) < 0.18
        return inputs.masked_fill(hidden, 8), inputs.masked_fill(~hidden, -100)

    draw, held_out = data.train.batches(48), Part(*hide(data.held_out.inputs, data.held_out.targets))
    optimizer = AdamW(model.parameters(), lr=6e-3)
    history = fit(trial, model, lambda step: hide(*draw(step)), optimizer, validation=held_out, steps=200)
    require(history.end < 1.4, f"the loss is {history.end:.3g}")
    generalises(history)


class Scaled(Block):
    """A block whose parts are weighed channel by channel, by a ten-thousandth at first."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.scale1, self.scale2 = (nn.Parameter(torch.full((width,), 1e-4)) for _ in range(2))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs with what the parts add."""
        hidden = inputs + self.scale1 * self.attention(self.norm1(inputs))
        told: Tensor = hidden + self.scale2 * self.down(self.act(self.up(self.norm2(hidden))))
        return told


def layer_scale(trial: Trial) -> None:
    """LayerScale: gradients within the blocks are ten thousand times smaller than those of the head at first."""
    data = majorities(trial.seed)
    model = Transformer(12, 3, block=Scaled)
    optimizer = AdamW(model.parameters(), lr=3e-3)
    history = fit(trial, model, data.train.batches(32), optimizer, validation=data.held_out, steps=150)
    sound(model, data.held_out, 0.8, history)


class Words(nn.Module):
    """Two tables of word vectors, whose products say which words stand side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Embedding(2000, 12, sparse=True), nn.Embedding(2000, 12, sparse=True)
        nn.init.normal_(self.inner.weight, std=0.3)
        nn.init.zeros_(self.outer.weight)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 5] of [n, 6]: a word, its neighbour, and four that are not."""
        told: Tensor = (self.outer(words[:, 1:]) @ self.inner(words[:, :1]).transpose(1, 2))[..., 0]
        return told


def word_vectors(trial: Trial) -> None:
    """word2vec: one table begins at zero, at each step a few of two thousand rows move, and rare words hardly ever."""
    generator = torch.Generator().manual_seed(trial.seed)
    topics = torch.arange(2000) % 20
    chances = 1 / (1.0 + torch.arange(100))

    def batches(_step: int) -> tuple[Tensor, Tensor]:
        ranks = torch.multinomial(chances, 6 * 64, replacement=True, generator=generator).view(64, 6)
        words = 20 * ranks + torch.randint(20, (64, 6), generator=generator)
        words[:, 1] = 20 * ranks[:, 1] + topics[words[:, 0]]
        return words, functional.one_hot(torch.zeros(64, dtype=torch.long), 5).float()

    model = Words()
    history = fit(trial, model, batches, SparseAdam(model.parameters(), lr=2e-2), nn.BCEWithLogitsLoss(), steps=400)
    scores = (model.inner.weight @ model.outer.weight.T)[:200, :200].detach()
    alike = topics[:200, None] == topics[:200]
    require(scores[alike].mean() > scores[~alike].mean() + 1, "neighbours are not told from others")
    require(history.end < 0.8 * history.train[0], f"the loss is {history.end:.3g}")


class Stateful(nn.Module):
    """A recurrent network that goes on where it stood at the step before, though no gradient goes back there."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = nn.Embedding(20, 16), nn.GRU(16, 32, batch_first=True), nn.Linear(32, 20)
        self.state: Tensor | None = None

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        made, state = self.rnn(self.embed(tokens), self.state if self.training else None)
        if self.training:
            self.state = state.detach()
        told: Tensor = self.head(made).transpose(1, 2)
        return told


def stateful(trial: Trial) -> None:
    """Truncated back-propagation through a text of 16 streams: batches in order, the state kept between steps."""
    data, model = language(trial.seed, length=32, count=1000), Stateful()
    chain = data.train.inputs[:640].view(16, 40, 32)
    following = data.train.targets[:640].view(16, 40, 32)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        half = 16 * (step % 2)
        place = step // 2 % 40
        return chain[:, place, half : half + 16], following[:, place, half : half + 16]

    optimizer = Adam(model.parameters(), lr=8e-3)
    history = fit(trial, model, batches, optimizer, clip=1.0, validation=data.held_out, steps=220)
    require(loss_of(model, data.held_out) < 2.0, "it has not learned")
    calm(history)
    generalises(history)


class Prompted(nn.Module):
    """A frozen transformer in front of whose tokens stand four vectors that are trained."""

    def __init__(self, base: Transformer) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.prompt = nn.Parameter(0.1 * torch.randn(1, 4, 24))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, classes]."""
        words = self.base.embed(tokens) + self.base.place(torch.arange(tokens.shape[1]))
        hidden = torch.cat([self.prompt.expand(len(tokens), -1, -1), words], 1)
        for block in self.base.blocks:
            hidden = block(hidden)
        told: Tensor = self.base.head(self.base.norm(hidden).mean(1))
        return told


def signalled(part: Part, seed: int) -> Part:
    """Return sequences whose first token says whether classes are counted on by one."""
    shifted = torch.rand(len(part.targets), generator=torch.Generator().manual_seed(seed)) < 0.5
    inputs = part.inputs.clone()
    inputs[:, 0] = torch.where(shifted, 10, 11)
    return Part(inputs, (part.targets + shifted) % 3)


def prompt(trial: Trial) -> None:
    """Prompt tuning: 96 numbers in front of a frozen network learn to say what its first token said before."""
    data = majorities(trial.seed)
    base = Transformer(12, 3)
    learning = signalled(data.train, trial.seed).batches(48)
    control(base, learning, Adam(base.parameters(), lr=5e-3), steps=240)
    train, held_out = (Part(part.inputs[:, 1:], (part.targets + 1) % 3) for part in (data.train, data.held_out))
    model = Prompted(base)
    before, start = snapshot(model), loss_of(model, held_out)
    history = fit(trial, model, train.batches(32), Adam([model.prompt], lr=1e-2), validation=held_out, steps=150)
    changes = moved(before, model)
    require(changes.pop("prompt") > 0.1 and not any(changes.values()), "not the prompt alone moved")
    end = loss_of(model, held_out)
    require(start > 0.5 and end < 0.6 * start, f"the loss held out was {start:.3g} and is {end:.3g}")
    calm(history)
    generalises(history)


class Recomputed(Block):
    """A block that keeps nothing for the backward pass, and runs forward again in it."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what a block returns."""
        made: Tensor = checkpoint(super().forward, inputs, use_reentrant=False)
        return made


def every_fifth(trial: Trial) -> None:
    """Gradient checkpointing; one step in five is observed, and the losses go by names of one's own."""
    data, criterion = majorities(trial.seed), nn.CrossEntropyLoss()
    model, draw = Transformer(12, 3, block=Recomputed), data.train.batches(24)
    optimizer, held_out = AdamW(model.parameters(), lr=4e-3), []
    with trial.writer() as writer:
        names = {"train_loss": "objective", "val_loss": "dev/objective"}
        writer.watch(model, optimizer, criterion, every=5, on_finding="ignore", **names)
        for step in range(160):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("objective", loss.detach(), writer.step)
            if step % 20 == 19:
                held_out.append(loss_of(model, data.held_out))
                writer.add_scalar("dev/objective", held_out[-1], writer.step)
    require(held_out[-1] < min(held_out) + 0.1, "the loss held out rose")
    learned(model, data.held_out, 0.8)


def seldom_logged(trial: Trial) -> None:
    """The loss is logged at every tenth step, and the accuracy beside it; what is observed is left to the budget."""
    data, criterion = first_tokens(trial.seed, length=6), nn.CrossEntropyLoss()
    model, draw = Recurrent(nn.LSTM, 4), data.train.batches(32)
    optimizer = SGD(model.parameters(), lr=0.5, momentum=0.9)
    with trial.writer() as writer:
        writer.watch(model, optimizer, on_finding="ignore")
        for step in range(400):
            inputs, targets = draw(step)
            scores = model(inputs)
            loss = criterion(scores, targets)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
            if step % 10 == 0:
                writer.add_scalar("train/loss", loss.detach(), writer.step)
                writer.add_scalar("train/accuracy", (scores.argmax(1) == targets).float().mean(), writer.step)
    learned(model, data.held_out, 0.9)


SCENARIOS = (
    Scenario("healthy-open-gates-lstm", "rnn", TUNING, open_forget_gates),
    Scenario("healthy-reversal-gru", "rnn", TUNING, reversal),
    Scenario("healthy-masked-transformer", "transformer", TUNING, masked),
    Scenario("healthy-layer-scale-transformer", "transformer", TUNING, layer_scale),
    Scenario("healthy-word-vectors-mlp", "mlp", TUNING, word_vectors),
    Scenario("healthy-stateful-gru", "rnn", TUNING, stateful),
    Scenario("healthy-prompt-transformer", "transformer", TUNING, prompt),
    Scenario("healthy-every-fifth-transformer", "transformer", TUNING, every_fifth),
    Scenario("healthy-seldom-lstm", "rnn", TUNING, seldom_logged),
)

"""Healthy recurrent networks and transformers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import Part, first_tokens, language, majorities
from tests.diagnosis.networks import Block, Recurrent, Transformer
from tests.diagnosis.proof import learned, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def predicts(model: nn.Module, part: Part, most: float = 2.2) -> None:
    """Raise NotProvenError unless the loss of a language model is below that, where log 20 is 3."""
    loss = loss_of(model, part)
    require(loss < most, f"the loss is {loss:.3g}")


def lstm(trial: Trial) -> None:
    """An LSTM over tokens."""
    data = majorities(trial.seed)
    model = Recurrent(nn.LSTM, 3, inputs=12, tokens=12)
    fit(trial, model, data.train.batches(48), Adam(model.parameters(), lr=1e-2), validation=data.held_out)
    learned(model, data.held_out, 0.65)


def gru_clipped_now_and_then(trial: Trial) -> None:
    """A clip that some of the steps meet, and most do not."""
    data = first_tokens(trial.seed, length=8)
    model = Recurrent(nn.GRU, 4)
    norms: list[float] = []

    def measure(_step: int) -> None:
        norms.append(float(torch.stack([value.grad.norm() for value in model.parameters()]).norm()))

    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=5e-3), clip=1.5, backward=measure)
    clipped = sum(norm > 1.5 for norm in norms) / len(norms)
    require(0.05 < clipped < 0.4, f"{clipped:.2f} of the steps are clipped")
    learned(model, data.held_out, 0.9)


def delayed(trial: Trial) -> None:
    """What counts stands far back: nothing is learned at first, and then all of it."""
    data = first_tokens(trial.seed, length=14)
    model = Recurrent(nn.GRU, 4)
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=8e-3), clip=1.0, steps=300)
    learned(model, data.held_out, 0.9)


def plain_rnn(trial: Trial) -> None:
    """A plain recurrent network of two layers over short sequences."""
    data = first_tokens(trial.seed, length=5)
    model = Recurrent(nn.RNN, 4, depth=2)
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=3e-3), validation=data.held_out)
    learned(model, data.held_out, 0.9)


class Packed(nn.Module):
    """A GRU over sequences of different lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = (
            nn.Embedding(13, 12, padding_idx=12),
            nn.GRU(12, 24, batch_first=True),
            nn.Linear(24, 3),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the scores after the last place of each."""
        lengths = (tokens != 12).sum(1)
        packed = nn.utils.rnn.pack_padded_sequence(self.embed(tokens), lengths, batch_first=True, enforce_sorted=False)
        scores: Tensor = self.head(self.rnn(packed)[1][-1])
        return scores


def packed(trial: Trial) -> None:
    """Padded sequences, packed; the row of the padding has no gradient."""
    data = majorities(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    lengths = torch.randint(10, 17, (len(data.train.targets), 1), generator=generator)
    tokens = data.train.inputs.masked_fill(torch.arange(16) >= lengths, 12)
    targets = torch.stack([(tokens == one).sum(1) for one in range(3)], 1).argmax(1)
    model, part = Packed(), Part(tokens, targets)
    fit(trial, model, part.batches(48), Adam(model.parameters(), lr=1e-2), steps=280)
    learned(model, part, 0.65)


class Bag(nn.Module):
    """A sparse embedding of ten thousand words, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.EmbeddingBag(10_000, 16, sparse=True), nn.Linear(16, 4)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores."""
        scores: Tensor = self.head(self.embed(words))
        return scores


def sparse_embedding(trial: Trial) -> None:
    """Of ten thousand rows a few hundred have a gradient."""
    generator = torch.Generator().manual_seed(trial.seed)
    targets = torch.randint(4, (3000,), generator=generator)
    common = torch.randint(9000, (3000, 12), generator=generator)
    telling = 9000 + 250 * targets[:, None] + torch.randint(250, (3000, 4), generator=generator)
    part, model = Part(torch.cat([common, telling], 1), targets), Bag()
    fit(trial, model, part.batches(64), SGD(model.parameters(), lr=20.0), steps=400)
    learned(model, part, 0.6)


def warm_language_model(trial: Trial) -> None:
    """A causal transformer with warm-up, clipping and AdamW."""
    data = language(trial.seed)
    model = Transformer(20, 20, each=True)
    optimizer = AdamW(model.parameters(), lr=5e-3, weight_decay=0.1)
    rise = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 60))
    fit(trial, model, data.train.batches(16), optimizer, schedule=rise, clip=1.0, validation=data.held_out, steps=200)
    predicts(model, data.held_out)


def tied_language_model(trial: Trial) -> None:
    """The head is the embedding."""
    data = language(trial.seed)
    model = Transformer(20, 20, each=True)
    model.head.weight = model.embed.weight
    nn.init.normal_(model.embed.weight, std=0.1)
    fit(trial, model, data.train.batches(16), AdamW(model.parameters(), lr=5e-3), steps=200, validation=data.held_out)
    predicts(model, data.held_out)


class Adapted(nn.Module):
    """A frozen linear layer with an update of low rank, whose second factor begins at zero."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a, self.b = nn.Linear(base.in_features, rank, bias=False), nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.b.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the layer makes, and the update."""
        made: Tensor = self.base(inputs) + self.b(self.a(inputs))
        return made


def low_rank_adaptation(trial: Trial) -> None:
    """LoRA: all but two small factors a layer is frozen, and the first has no gradient at the first step."""
    data, other = language(trial.seed), language(trial.seed + 100)
    model = Transformer(20, 20, each=True)
    control(model, other.train.batches(32), Adam(model.parameters(), lr=5e-3), steps=150)
    model.requires_grad_(False)
    for block in model.blocks:
        block.attention.qkv, block.up = Adapted(block.attention.qkv), Adapted(block.up)
        block.down = Adapted(block.down)
    trained = [value for value in model.parameters() if value.requires_grad]
    before = loss_of(model, data.train)
    fit(trial, model, data.train.batches(16), Adam(trained, lr=1e-2), validation=data.held_out, steps=200)
    predicts(model, data.held_out, 0.8 * before)


class Gated(Block):
    """A block whose parts are multiplied by gates that begin at zero."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gate1, self.gate2 = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs with what the parts add, as far as the gates are open."""
        hidden = inputs + self.gate1 * self.attention(self.norm1(inputs))
        added: Tensor = hidden + self.gate2 * self.down(self.act(self.up(self.norm2(hidden))))
        return added


def gated_blocks(trial: Trial) -> None:
    """ReZero: within the blocks there is no gradient at the first step."""
    data = majorities(trial.seed)
    model = Transformer(12, 3, depth=3, block=Gated)
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=4e-3), validation=data.held_out, steps=200)
    learned(model, data.held_out, 0.8)


class Masked(nn.Module):
    """torch's own encoder over sequences whose ends are padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(13, 24), nn.Parameter(0.1 * torch.randn(1, 16, 24))
        layer = nn.TransformerEncoderLayer(24, 2, 48, dropout=0.1, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(24, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores."""
        padding = tokens == 12
        hidden = self.encoder(self.embed(tokens) + self.place, src_key_padding_mask=padding)
        scores: Tensor = self.head(hidden.masked_fill(padding[:, :, None], 0).sum(1) / (~padding).sum(1, keepdim=True))
        return scores


def padded_encoder(trial: Trial) -> None:
    """Padding is masked, with dropout and normalisation after each part."""
    data = majorities(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    lengths = torch.randint(8, 17, (len(data.train.targets), 1), generator=generator)
    tokens = data.train.inputs.masked_fill(torch.arange(16) >= lengths, 12)
    targets = torch.stack([(tokens == one).sum(1) for one in range(3)], 1).argmax(1)
    model, part = Masked(), Part(tokens, targets)
    fit(trial, model, part.batches(32), Adam(model.parameters(), lr=3e-3), steps=200)
    learned(model, part, 0.75)


def large_vocabulary(trial: Trial) -> None:
    """Two thousand tokens of which most are rare: their rows have a gradient now and then."""
    data = language(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    rare = torch.rand(data.train.inputs.shape, generator=generator) < 0.05
    drawn = torch.randint(20, 2000, data.train.inputs.shape, generator=generator)
    part = Part(torch.where(rare, drawn, data.train.inputs), data.train.targets)
    model = Transformer(2000, 20, each=True)
    fit(trial, model, part.batches(16), Adam(model.parameters(), lr=5e-3), steps=200)
    predicts(model, data.held_out)


def copying(trial: Trial) -> None:
    """The second half repeats the first: half of the places can't be foretold, so that the loss stays up."""
    generator = torch.Generator().manual_seed(trial.seed)
    half = torch.randint(8, (2000, 8), generator=generator)
    whole = torch.cat([half, half], 1)
    model = Transformer(8, 8, depth=2, each=True)
    part = Part(whole[:, :-1], whole[:, 1:])
    history = fit(trial, model, part.batches(24), Adam(model.parameters(), lr=5e-3), steps=250)
    require(history.end < 1.85, f"the loss is {history.end:.3g}")


def budget_language_model(trial: Trial) -> None:
    """Observed as often as two per cent of the time allow."""
    data = language(trial.seed)
    model = Transformer(20, 20, each=True, width=48)
    fit(trial, model, data.train.batches(48), Adam(model.parameters(), lr=4e-3), every=None, validation=data.held_out)
    predicts(model, data.held_out)


SCENARIOS = (
    Scenario("healthy-lstm", "rnn", TUNING, lstm),
    Scenario("healthy-clipped-gru", "rnn", TUNING, gru_clipped_now_and_then),
    Scenario("healthy-delayed-gru", "rnn", TUNING, delayed),
    Scenario("healthy-rnn", "rnn", TUNING, plain_rnn),
    Scenario("healthy-packed-gru", "rnn", TUNING, packed),
    Scenario("healthy-sparse-embedding-mlp", "mlp", TUNING, sparse_embedding),
    Scenario("healthy-warm-transformer", "transformer", TUNING, warm_language_model),
    Scenario("healthy-tied-transformer", "transformer", TUNING, tied_language_model),
    Scenario("healthy-lora-transformer", "transformer", TUNING, low_rank_adaptation),
    Scenario("healthy-gated-transformer", "transformer", TUNING, gated_blocks),
    Scenario("healthy-padded-transformer", "transformer", TUNING, padded_encoder),
    Scenario("healthy-rare-tokens-transformer", "transformer", TUNING, large_vocabulary),
    Scenario("healthy-copying-transformer", "transformer", TUNING, copying),
    Scenario("healthy-budget-transformer", "transformer", TUNING, budget_language_model),
)

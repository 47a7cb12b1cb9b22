"""Loads of a grid, diabetes, complaints, a web of papers and tags of words, each trained with one mistake."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Graph, Part, Split, communities, split
from tests.diagnosis.networks import GraphConvolution, mlp
from tests.diagnosis.proof import accuracy, double, gradients, loss_of, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, evaluate, fit


class Forecast(nn.Module):
    """Reads two days of load with one GRU, and tells the next eight hours with another that begins at its state."""

    def __init__(self, *, detach: bool) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(2, 32, batch_first=True), nn.GRU(1, 32, batch_first=True)
        self.project, self.detach = nn.Linear(32, 1), detach

    def forward(self, load: Tensor) -> Tensor:
        """Return [n, 8] of [n, 48, 2]."""
        state = self.encoder(load)[1]
        if self.detach:
            state = state.detach()
        hours = torch.linspace(-1, 1, 8, dtype=load.dtype).expand(len(load), 8)[..., None]
        made: Tensor = self.project(self.decoder(hours, state)[0])[..., 0]
        return made


def grid(seed: int) -> Split:
    """Return loads of two days, as a sum of waves of unknown phase and pace, and those of the eight hours after."""
    generator = torch.Generator().manual_seed(seed)
    phase, pace = (torch.rand(1000, 1, 2, generator=generator) for _ in range(2))
    waves = (6.28 * (phase + torch.arange(56)[:, None] * (0.06 + 0.06 * pace))).sin()
    load = waves @ torch.tensor([1.0, 0.6])
    seen = torch.stack([load[:, :48], load[:, :48].diff(dim=1, prepend=load[:, :1])], 2)
    return split(seen + 0.05 * torch.randn(1000, 48, 2, generator=generator), load[:, 48:], 200, seed)


def detached_state(trial: Trial) -> Truth:
    """`state.detach()` between encoder and decoder, against "backward through the graph a second time"."""
    torch.manual_seed(trial.seed)
    data, criterion = grid(trial.seed), nn.MSELoss()
    model, other = Forecast(detach=True), Forecast(detach=False)
    other.load_state_dict(model.state_dict())
    before, optimizer, draw = snapshot(model), Adam(model.parameters(), lr=4e-3), data.train.batches(48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            load, later = draw(step)
            loss = criterion(model(load), later)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train_loss", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("val_loss", evaluate(model, criterion, data.held_out), writer.step)
    sizes = gradients(model, data.train, criterion)
    for name, change in moved(before, model).items():
        still = name.startswith("encoder")
        require((change == 0) == still and (sizes[name] == 0) == still, f"{name} moved by {change:.3g}")
    control(other, data.train.batches(48, trial.seed), Adam(other.parameters(), lr=4e-3), criterion, steps=220)
    found, could = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(found > 1.3 * could, f"{found:.3f} is not above {could:.3f}")
    return Truth(("encoder",))


def learned_by_heart(history: History, rise: float = 1.25) -> tuple[int, int]:
    """Return when the loss held out was at its least, and when it had clearly risen."""
    held = history.validation
    onset = min(held, key=lambda step: held[step])
    late = [step for step in held if step > onset and held[step] > rise * held[onset]]
    require(late, f"the loss held out did not rise by {rise}: {[round(value, 3) for value in held.values()]}")
    end = sum(list(held.values())[-3:]) / 3
    require(end > rise * held[onset], f"at the end the loss held out is {end:.3f}, and was {held[onset]:.3f}")
    require(history.end < 0.6 * held[onset], f"the loss in training is {history.end:.3f}")
    return onset, late[0]


def sugar(trial: Trial) -> Truth:
    """How diabetes goes on, from 150 patients, by a wide MLP that is trained until it knows them by name."""
    torch.manual_seed(trial.seed)
    table = load_diabetes()
    rows, course = (torch.tensor(one, dtype=torch.float32) for one in (table.data, table.target))
    rows, course = rows / rows.std(0), ((course - course.mean()) / course.std())[:, None]
    data = split(rows, course, 292, trial.seed)
    model, criterion, history = mlp((10, 256, 128, 1)), nn.MSELoss(), History([], {})
    other = copy.deepcopy(model)
    optimizer = Adam(model.parameters(), lr=2e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(60):
            order, losses = torch.randperm(150), []
            for chosen in order.split(30):
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            history.train.extend(losses)
            history.validation[5 * epoch + 4] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("loss/train", sum(losses) / len(losses), writer.step)
            writer.add_scalar("loss/val", history.validation[5 * epoch + 4], writer.step)
    onset, risen = learned_by_heart(history)
    # The same network that is stopped in time does better.
    control(other, data.train.batches(30, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=25)
    found, could = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(found > 1.25 * could, f"{found:.3f} is not above {could:.3f}")
    return Truth((), onset, risen + 40)


class Complaints(nn.Module):
    """A transformer over 24 words; says of which of four departments they speak."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(300, width), nn.Parameter(0.1 * torch.randn(24, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.classify = nn.Linear(width, 4)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        scores: Tensor = self.classify(self.encoder(self.words(words) + self.places).mean(1))
        return scores


def complaints(seed: int, count: int) -> Part:
    """Return complaints of 24 words: of three hundred, thirty belong to a department, and are but a few in each."""
    generator = torch.Generator().manual_seed(seed)
    about = torch.randint(4, (count,), generator=generator)
    words = torch.randint(300, (count, 24), generator=generator)
    own = 30 * about[:, None] + torch.randint(30, (count, 24), generator=generator)
    return Part(torch.where(torch.rand(count, 24, generator=generator) < 0.2, own, words), about)


def few_complaints(trial: Trial) -> Truth:
    """A transformer from scratch on 120 complaints, without dropout, thirty epochs long."""
    torch.manual_seed(trial.seed)
    every, held_out = complaints(trial.seed, 2000), complaints(trial.seed + 100, 300)
    train, model = every.first(120), Complaints()
    other = copy.deepcopy(model)
    optimizer = AdamW(model.parameters(), lr=1e-3)
    history = fit(trial, model, train.batches(24, trial.seed), optimizer, validation=held_out, every=2, steps=200)
    require(accuracy(model, train) > 0.98, "it did not learn by heart")
    onset, risen = learned_by_heart(history)
    # With more of them the same network learns what is to be learned.
    control(other, every.batches(24, trial.seed), AdamW(other.parameters(), lr=1e-3), steps=200)
    found, could = (loss_of(one, held_out) for one in (model, other))
    require(found > 1.25 * could, f"{found:.3f} is not above {could:.3f}")
    return Truth((), onset, risen + 40)


class Papers(nn.Module):
    """Many graph convolutions one after another, and a head; evaluation is over papers that are held out."""

    def __init__(self, graph: Graph, depth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(GraphConvolution(graph.edges, *widths) for widths in pairwise((16, *[32] * depth)))
        self.out, self.nodes = nn.Linear(32, 5), (graph.held_out, graph.train)

    def states(self, papers: Tensor) -> list[Tensor]:
        """Return what papers hold after each convolution."""
        held = []
        for conv in self.convs:
            papers = functional.leaky_relu(conv(papers), 0.2)
            held.append(papers)
        return held

    def forward(self, papers: Tensor) -> Tensor:
        """Return scores of papers [n, 5]."""
        scores: Tensor = self.out(self.states(papers)[-1])[self.nodes[self.training]]
        return scores


def likeness(states: Tensor) -> float:
    """Return how alike items [..., n, width] are: the mean cosine between two of them."""
    unit = functional.normalize(states, dim=-1)
    count = unit.shape[-2]
    total = (unit @ unit.mT).detach().sum((-2, -1)) - count
    return float(total.mean() / (count * (count - 1)))


def twelve_rounds(trial: Trial) -> Truth:
    """A GCN of twelve layers for papers that cite one another, since deeper is better: all papers become alike."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, count=5, size=30, inside=0.25, between=0.03)
    model, other = Papers(graph, 12), Papers(graph, 2)
    start, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=5e-4)
    labels = graph.communities[graph.train]
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(160):
            optimizer.zero_grad()
            scores = model(graph.features)
            loss = criterion(scores, labels)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            if epoch % 10 == 9:
                writer.add_scalar("loss/val", evaluate(model, criterion, graph.validation), writer.step)
    control(other, graph.batches(trial.seed, 0), Adam(other.parameters(), lr=5e-3, weight_decay=5e-4), steps=160)
    precise = double(start)
    assert isinstance(precise, Papers)
    alike = [likeness(one) for one in precise.states(graph.features.double())]
    require(alike[0] < 0.75 and alike[-1] > 0.98, f"alike are {alike}")
    found, could = (accuracy(one, graph.validation) for one in (model, other))
    require(found < could - 0.15, f"{found:.3f} is not below {could:.3f}")
    return Truth(tuple(f"convs.{at}" for at, one in enumerate(alike) if one > 0.85))


class Mixer(nn.Module):
    """Attention and two linear layers, each normalised; what comes in is added to what goes out, or is forgotten."""

    def __init__(self, *, skip: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.mlp, self.skip = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)), skip

    def forward(self, words: Tensor) -> Tensor:
        """Return [n, length, 32]."""
        heard = self.attention(words, words, words, need_weights=False)[0]
        words = self.norm1(words + heard if self.skip else heard)
        made: Tensor = self.norm2(words + self.mlp(words) if self.skip else self.mlp(words))
        return made


class Tagger(nn.Module):
    """Five blocks over words; gives each a tag."""

    def __init__(self, *, skip: bool) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(40, 32), nn.Embedding(12, 32)
        self.blocks = nn.ModuleList(Mixer(skip=skip) for _ in range(5))
        self.tag = nn.Linear(32, 5)

    def states(self, words: Tensor) -> list[Tensor]:
        """Return what words hold before the blocks and after each."""
        held = [self.embed(words) + self.place(torch.arange(12))]
        for block in self.blocks:
            held.append(block(held[-1]))
        return held

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 5, 12]."""
        scores: Tensor = self.tag(self.states(words)[-1]).transpose(1, 2)
        return scores


def forgotten_skips(trial: Trial) -> Truth:
    """Encoder blocks written by hand, whose `x + …` were forgotten: after five of them all words are one."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.randint(40, (1200, 12), generator=generator)
    own = torch.randint(5, (40,), generator=generator)
    tags = (own[words] + (words.roll(1, 1) < 8).long()) % 5
    data, model, other = split(words, tags, 200, trial.seed), Tagger(skip=False), Tagger(skip=True)
    other.load_state_dict(model.state_dict())
    start, draw = copy.deepcopy(model), data.train.batches(32, trial.seed)
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=160)
    better = SGD(other.parameters(), lr=0.05, momentum=0.9)
    could = control(other, data.train.batches(32, trial.seed), better, steps=160)
    require(history.end > 1.5 * could, f"{history.end:.3f} is not above {could:.3f}")
    for one in (start, model):
        precise = double(one)
        assert isinstance(precise, Tagger)
        alike = [likeness(held) for held in precise.states(data.held_out.inputs)]
        require(alike[0] < 0.5 and alike[-1] > 0.97, f"alike are {alike}")
    return Truth(("blocks", *(f"blocks.{at}{part}" for at in range(5) for part in PARTS)))


PARTS = ("", ".attention", ".attention.out_proj", ".norm1", ".norm2", ".mlp", ".mlp.0", ".mlp.1", ".mlp.2")

SCENARIOS = (
    Scenario(
        "poplar-detached-state-gru",
        "rnn",
        TUNING,
        detached_state,
        ("layer_not_training", "unused_parameter"),
        ("loss_plateau", "underfitting", "vanishing_gradient"),
    ),
    Scenario("poplar-sugar-mlp", "mlp", TUNING, sugar, ("overfitting",)),
    Scenario("poplar-few-complaints-transformer", "transformer", TUNING, few_complaints, ("overfitting",)),
    Scenario(
        "poplar-twelve-rounds-gnn",
        "gnn",
        TUNING,
        twelve_rounds,
        ("oversmoothing",),
        ("representation_collapse", "vanishing_gradient", "loss_plateau", "underfitting", "redundant_units"),
    ),
    Scenario(
        "poplar-forgotten-skips-transformer",
        "transformer",
        TUNING,
        forgotten_skips,
        ("oversmoothing",),
        ("representation_collapse", "vanishing_gradient", "loss_plateau", "underfitting", "redundant_units"),
    ),
)

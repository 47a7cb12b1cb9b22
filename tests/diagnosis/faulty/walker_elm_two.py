"""Sensors, text and neighbours: rows that don't belong, what becomes alike with depth, and labels that are wrong."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Batches, Part, communities, digits, language, split
from tests.diagnosis.faulty.walker_elm import behind
from tests.diagnosis.networks import Gcn, Transformer, cnn
from tests.diagnosis.proof import accuracy, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def epochs(part: Part, size: int, seed: int) -> Batches:
    """Return what passes through shuffled epochs, as a DataLoader does."""
    generator, held = torch.Generator().manual_seed(seed), [torch.empty(0, dtype=torch.long)]

    def draw(_step: int) -> tuple[Tensor, Tensor]:
        if len(held[0]) < size:
            held[0] = torch.randperm(len(part.targets), generator=generator)
        chosen, held[0] = held[0][:size], held[0][size:]
        return part.inputs[chosen], part.targets[chosen]

    return draw


def leaps(losses: list[float], steps: list[int], times: float) -> None:
    """Raise NotProvenError unless the loss is so many times what it was before at all of these steps."""
    for step in steps:
        before = sorted(losses[step - 12 : step])[6]
        require(losses[step] > times * before, f"the loss is {losses[step]:.3g} at {step}, after {before:.3g}")


def sentinel(trial: Trial) -> Truth:
    """Diabetes in a year: in three records of 360 the outcome was never told, and the table has -9999 there."""
    table = load_diabetes()
    rows = torch.tensor(table.data, dtype=torch.float32)
    outcome = torch.tensor(table.target, dtype=torch.float32)[:, None]
    data = split(rows / rows.std(0), (outcome - outcome.mean()) / outcome.std(), 82, trial.seed)
    spoilt = Part(data.train.inputs, data.train.targets.clone())
    spoilt.targets[:3] = (-9999 - outcome.mean()) / outcome.std()
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    other, criterion, losses, hit = copy.deepcopy(model), nn.MSELoss(), [], []
    optimizer, draw = Adam(model.parameters(), lr=3e-3), epochs(spoilt, 8, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(225):
            inputs, targets = draw(step)
            if float(targets.min()) < -50:
                hit.append(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train_loss", losses[-1], writer.step)
            if step % 45 == 44:
                writer.add_scalar("val_loss", evaluate(model, criterion, data.held_out), writer.step)
    seen = [step for step in hit if step >= 12]
    leaps(losses, seen, 50)
    control(other, epochs(data.train, 8, trial.seed), Adam(other.parameters(), lr=3e-3), criterion, steps=225)
    behind(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 1.2)
    return Truth((), hit[0], seen[0] + 3)


def wrong_shard(trial: Trial) -> Truth:
    """A language model whose data have a broken shard now and then: six batches in another encoding of letters."""
    data = language(trial.seed, states=24)
    model = Transformer(24, 24, width=32, depth=2, each=True)
    other, sound = copy.deepcopy(model), data.train.batches(32, trial.seed)
    broken = [step for start in (90, 150, 205, 232) for step in range(start, start + 6)]

    def draw(step: int) -> tuple[Tensor, Tensor]:
        tokens, following = sound(step)
        return ((tokens + 11) % 24, (following + 11) % 24) if step in broken else (tokens, following)

    optimizer = AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=240)
    leaps(history.train, broken[::6], 1.6)
    optimizer = AdamW(other.parameters(), lr=1e-2, weight_decay=0.01)
    control(other, data.train.batches(32, trial.seed), optimizer, steps=240)
    behind(loss_of(model, data.held_out), loss_of(other, data.held_out), 1.1)
    return Truth((), broken[0], broken[5])


def alike(hidden: Tensor) -> float:
    """Return the mean cosine between what two items, of the last axis but one, are represented by."""
    unit, count = functional.normalize(hidden, dim=-1), hidden.shape[-2]
    pairs = (unit @ unit.transpose(-1, -2)).sum((-1, -2)) - unit.square().sum((-1, -2))
    return float((pairs / (count * (count - 1))).mean())


def deep_gcn(trial: Trial) -> Truth:
    """Sixteen graph convolutions one after another, as depth helped with pictures: all nodes become the same."""
    graph = communities(trial.seed, size=40, inside=0.25, between=0.04)
    model, other = (Gcn(graph, width=32, depth=depth, activation=nn.Tanh) for depth in (16, 2))
    cosines = [alike(outputs(model, "convs.15", graph.features))]
    draw, optimizer = graph.batches(trial.seed), Adam(model.parameters(), lr=2e-3)
    history = fit(trial, model, draw, optimizer, validation=graph.validation, every=1, steps=160)
    cosines.append(alike(outputs(model, "convs.15", graph.features)))
    require(min(cosines) > 0.9, f"cosines of the nodes: {cosines}")
    better = control(other, graph.batches(trial.seed), Adam(other.parameters(), lr=2e-3), steps=160)
    cosine = alike(outputs(other, "convs.1", graph.features))
    require(cosine < 0.5, f"two convolutions make nodes as alike as {cosine:.3f}")
    behind(history.end, better, 2)
    return Truth(tuple(f"{kind}.{at}" for kind in ("convs", "acts") for at in range(1, 16)))


class Mixer(nn.Module):
    """Attention and a normalisation, with what came in beside them or without."""

    def __init__(self, width: int, *, skip: bool) -> None:
        super().__init__()
        self.attention, self.norm = nn.MultiheadAttention(width, 4, batch_first=True), nn.LayerNorm(width)
        self.skip = skip

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [n, length, width]."""
        heard = self.attention(hidden, hidden, hidden, need_weights=False)[0]
        made: Tensor = self.norm(hidden + heard if self.skip else heard)
        return made


class Tagger(nn.Module):
    """Six rounds of attention over words; returns the scores of each word's tag, [n, tags, length]."""

    def __init__(self, *, skip: bool) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(30, 48), nn.Embedding(20, 48)
        self.layers = nn.ModuleList(Mixer(48, skip=skip) for _ in range(6))
        self.tags = nn.Linear(48, 6)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores."""
        hidden = self.embed(words) + self.place(torch.arange(20))
        for layer in self.layers:
            hidden = layer(hidden)
        scores: Tensor = self.tags(hidden).transpose(1, 2)
        return scores


def no_skips(trial: Trial) -> Truth:
    """`x = self.norm(self.attention(x))`, the residual forgotten: after six rounds all words of a sentence are one."""
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.randint(30, (1500, 20), generator=generator)
    tags = (words % 5 + (words > 20)).where(words != 7, words.roll(1, 1) % 5)
    data, model, other = split(words, tags, 300, trial.seed), Tagger(skip=False), Tagger(skip=True)
    other.load_state_dict(model.state_dict())
    cosines, losses, criterion = [alike(outputs(model, "layers.5", data.held_out.inputs))], [], nn.CrossEntropyLoss()
    optimizer, draw = AdamW(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            seen, known = draw(step)
            loss = criterion(model(seen), known)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            if step % 50 == 49:
                writer.add_scalar("val/acc", accuracy(model, data.held_out), writer.step)
    cosines.append(alike(outputs(model, "layers.5", data.held_out.inputs)))
    require(min(cosines) > 0.9, f"cosines of the words: {cosines}")
    better = control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=1e-3), steps=200)
    cosine = alike(outputs(other, "layers.5", data.held_out.inputs))
    require(cosine < 0.5, f"with residuals words are as alike as {cosine:.3f}")
    behind(sum(losses[-20:]) / 20, better, 2)
    return Truth(tuple(f"layers.{at}{part}" for at in range(6) for part in ("", ".attention", ".norm")))


def crowd(trial: Trial) -> Truth:
    """Digits labelled by a crowd that was paid by the picture: nearly half of the labels are any digit."""
    data = digits(trial.seed, flat=False)
    generator = torch.Generator().manual_seed(trial.seed + 100)

    def label(part: Part) -> Part:
        guessed = torch.rand(len(part.targets), generator=generator) < 0.5
        return Part(part.inputs, part.targets.where(~guessed, torch.randint(10, guessed.shape, generator=generator)))

    told, held_out = label(data.train), label(data.held_out)
    model = cnn((16, 32))
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=2e-3), epochs(told, 64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=held_out, every=2, steps=330)
    wrong = float((told.targets != data.train.targets).double().mean())
    require(wrong > 0.4, f"{wrong:.3f} of the labels are wrong")
    better = control(other, epochs(data.train, 64, trial.seed), Adam(other.parameters(), lr=2e-3), steps=330)
    behind(history.end, better, 3)
    should, does = accuracy(other, data.held_out), accuracy(model, data.held_out)
    require(does < should - 0.04, f"{does:.3f} is not below {should:.3f}")
    return Truth()


class Machine(nn.Module):
    """Two GRUs over vibrations; says which of four states a machine is in."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 32, num_layers=2, batch_first=True), nn.Linear(32, 4)

    def forward(self, readings: Tensor) -> Tensor:
        """Return scores [n, 4] of [n, 24, 3]."""
        scores: Tensor = self.head(self.rnn(readings)[0].mean(1))
        return scores


def shifted_join(trial: Trial) -> Truth:
    """States of machines joined by row, though the readings of some days are shifted: two labels in five are wrong."""
    generator = torch.Generator().manual_seed(trial.seed)
    states = torch.randint(4, (1200,), generator=generator)
    times = torch.arange(24.0) + 24 * torch.rand(1200, 1, generator=generator)
    pace = torch.tensor([0.4, 0.8, 1.3, 2.0])[states][:, None]
    waves = torch.stack([(pace * times).sin(), (pace * times + 1).cos(), torch.zeros(1200, 24)], 2)
    readings = waves + 0.3 * torch.randn(1200, 24, 3, generator=generator)
    shifted = (torch.rand(40, generator=generator) < 0.55)[torch.arange(1200) // 30]
    told = states.where(~shifted, states.roll(1))
    both = split(readings, torch.stack([told, states], 1), 240, trial.seed)
    (joined, checked), (known, sure) = (
        [Part(part.inputs, part.targets[:, at]) for part in (both.train, both.held_out)] for at in (0, 1)
    )
    model = Machine()
    other, optimizer, draw = copy.deepcopy(model), Adam(model.parameters(), lr=3e-3), epochs(joined, 32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=checked, every=2, clip=5.0, steps=300)
    wrong = float((joined.targets != known.targets).double().mean())
    require(wrong > 0.3, f"{wrong:.3f} of the labels are wrong")
    optimizer, draw = Adam(other.parameters(), lr=3e-3), epochs(known, 32, trial.seed)
    behind(history.end, control(other, draw, optimizer, clip=5.0, steps=300), 3)
    behind(loss_of(model, sure), loss_of(other, sure), 3)
    return Truth()


NOISE_BESIDE = ("overfitting", "loss_plateau", "underfitting", "loss_oscillation")
ALIKE_BESIDE = ("vanishing_gradient", "representation_collapse", "loss_plateau", "underfitting", "redundant_units")

SCENARIOS = (
    Scenario(
        "elm-spike-sentinel-mlp",
        "mlp",
        TUNING,
        sentinel,
        ("loss_spike",),
        ("exploding_gradient", "loss_oscillation", "loss_plateau", "label_noise", "underfitting"),
    ),
    Scenario(
        "elm-spike-shard-transformer",
        "transformer",
        TUNING,
        wrong_shard,
        ("loss_spike",),
        ("exploding_gradient", "lr_too_high", "loss_oscillation"),
    ),
    Scenario("elm-oversmoothing-sixteen-gnn", "gnn", TUNING, deep_gcn, ("oversmoothing",), ALIKE_BESIDE),
    Scenario(
        "elm-oversmoothing-tagger-transformer",
        "transformer",
        TUNING,
        no_skips,
        ("oversmoothing",),
        (*ALIKE_BESIDE, "missing_nonlinearity", "exploding_gradient"),
    ),
    Scenario("elm-labels-crowd-cnn", "cnn", TUNING, crowd, ("label_noise",), NOISE_BESIDE),
    Scenario("elm-labels-join-gru", "rnn", TUNING, shifted_join, ("label_noise",), NOISE_BESIDE),
)

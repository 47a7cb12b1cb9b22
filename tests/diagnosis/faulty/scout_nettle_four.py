"""Held down too far: a penalty of all magnitudes, Adam with the decay meant for AdamW, and tastes pulled to 0."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import STATES, Part, digits, language
from tests.diagnosis.faulty.scout_nettle import worse
from tests.diagnosis.networks import Transformer, cnn
from tests.diagnosis.proof import loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def magnitude(model: nn.Module) -> float:
    """Return the root mean square of all weights of more than one axis."""
    weights = [value.detach().double().flatten() for value in model.parameters() if value.dim() > 1]
    return float(torch.cat(weights).square().mean().sqrt())


def all_magnitudes(trial: Trial) -> Truth:
    """`loss + 0.01 * sum(p.abs().sum() for p in model.parameters())`: the sum over thousands outweighs the pictures."""
    data, model = digits(trial.seed, flat=False), cnn((8, 16), norm=False)
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(260):
            pictures, classes = draw(step)
            loss = criterion(model(pictures), classes)
            loss = loss + 0.01 * sum(value.abs().sum() for value in model.parameters())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("Val loss", loss_of(model, data.held_out), writer.step)
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), steps=260)
    worse(*(loss_of(one, data.train) for one in (model, other)), times=3)
    require(magnitude(model) < 0.6 * magnitude(other), f"{magnitude(model):.3g} and {magnitude(other):.3g}")
    return Truth()


def decay_in_adam(trial: Trial) -> Truth:
    """A GPT whose AdamW, with a decay of 0.1, became Adam: there it is added to gradients, which are far smaller."""
    data = language(trial.seed)
    model = Transformer(STATES, STATES, width=32, depth=3, each=True)
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=2e-3, weight_decay=0.1), data.train.batches(24, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=240)
    right = AdamW(other.parameters(), lr=2e-3, weight_decay=0.1)
    better = control(other, data.train.batches(24, trial.seed), right, steps=240)
    worse(history.end, better, 1.4)
    require(magnitude(model) < 0.75 * magnitude(other), f"{magnitude(model):.3g} and {magnitude(other):.3g}")
    return Truth()


class Tastes(nn.Module):
    """LightGCN: embeddings of people and things, passed twice along what was bought, and the mean of what they give."""

    def __init__(self, bought: Tensor) -> None:
        super().__init__()
        people, things = bought.shape
        joined = torch.zeros(people + things, people + things)
        joined[:people, people:], joined[people:, :people] = bought, bought.T
        roots = joined.sum(1).clamp_min(1).rsqrt()
        self.register_buffer("joined", roots[:, None] * joined * roots, persistent=False)
        self.person, self.thing = nn.Embedding(people, 16), nn.Embedding(things, 16)
        nn.init.normal_(self.person.weight, std=0.1)
        nn.init.normal_(self.thing.weight, std=0.1)

    def forward(self, triples: Tensor) -> Tensor:
        """Return how much sooner each person takes the one thing than the other, [n], of [n, 3]."""
        nodes = [torch.cat([self.person.weight, self.thing.weight])]
        for _layer in range(2):
            nodes.append(self.get_buffer("joined") @ nodes[-1])
        person, thing = torch.stack(nodes).mean(0).split([len(self.person.weight), len(self.thing.weight)])
        sooner: Tensor = (person[triples[:, 0]] * (thing[triples[:, 1]] - thing[triples[:, 2]])).sum(1)
        return sooner


def purchases(seed: int) -> tuple[Tensor, Part]:
    """Return who bought what, [120, 80], and a thousand of other purchases: a person, a thing bought, one not."""
    generator = torch.Generator().manual_seed(seed)
    liked = torch.randn(120, 4, generator=generator) @ torch.randn(4, 80, generator=generator)
    would = (liked + 0.5 * torch.randn(120, 80, generator=generator)).topk(16).indices
    chosen = torch.zeros(120, 80).scatter_(1, would, 1.0)
    seen = chosen * (torch.rand(120, 80, generator=generator) < 0.7)
    return seen, triples_of(chosen - seen, chosen, 1000, generator)


def triples_of(bought: Tensor, known: Tensor, count: int, generator: torch.Generator) -> Part:
    """Return triples of a person, a thing that was bought and one that is not known to be, and ones."""
    pairs = bought.nonzero()
    pairs = pairs[torch.randint(len(pairs), (count,), generator=generator)]
    other = torch.multinomial(1 - known[pairs[:, 0]], 1, generator=generator)
    return Part(torch.cat([pairs, other], 1), torch.ones(count))


def sooner(told: Tensor, _ones: Tensor) -> Tensor:
    """Return the loss of BPR."""
    return -functional.logsigmoid(told).mean()


def whole_tables(trial: Trial) -> Truth:
    """LightGCN with BPR: 0.001 of the squares of the whole tables, and not, as in the paper, of the rows of a batch."""
    seen, held_out = purchases(trial.seed)
    model = Tastes(seen)
    other, losses = copy.deepcopy(model), []
    generator = torch.Generator().manual_seed(trial.seed)
    optimizer = Adam(model.parameters(), lr=1e-2)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(300):
            drawn = triples_of(seen, seen, 128, generator)
            told = model(drawn.inputs)
            loss = sooner(told, drawn.targets)
            writer.observe(outputs=told, loss=loss)
            penalty = 1e-3 * (model.person.weight.square().sum() + model.thing.weight.square().sum())
            optimizer.zero_grad()
            (loss + penalty).backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("bpr/train", losses[-1], writer.step)
            writer.add_scalar("reg/train", penalty.item(), writer.step)
            if step % 25 == 24:
                writer.add_scalar("bpr/val", loss_of(model, held_out, sooner), writer.step)
    optimizer, generator = Adam(other.parameters(), lr=1e-2), torch.Generator().manual_seed(trial.seed)
    for _step in range(300):
        drawn = triples_of(seen, seen, 128, generator)
        rows = other.person(drawn.inputs[:, 0]).square().sum() + other.thing(drawn.inputs[:, 1:]).square().sum()
        optimizer.zero_grad()
        (sooner(other(drawn.inputs), drawn.targets) + 1e-3 * rows / 128).backward()
        optimizer.step()
    worse(*(loss_of(one, held_out, sooner) for one in (model, other)), times=1.2)
    worse(sum(losses[-30:]) / 30, loss_of(other, triples_of(seen, seen, 1000, generator), sooner), 1.4)
    require(magnitude(model) < 0.6 * magnitude(other), f"{magnitude(model):.3g} and {magnitude(other):.3g}")
    return Truth()


SCENARIOS = (
    Scenario(
        "nettle-regularised-magnitudes-cnn",
        "cnn",
        TUNING,
        all_magnitudes,
        ("over_regularised",),
        (
            "underfitting",
            "loss_plateau",
            "dead_units",
            "redundant_units",
            "vanishing_gradient",
            "representation_collapse",
        ),
    ),
    Scenario(
        "nettle-regularised-adam-transformer",
        "transformer",
        TUNING,
        decay_in_adam,
        ("over_regularised",),
        ("underfitting", "loss_plateau", "vanishing_gradient", "representation_collapse", "oversmoothing"),
    ),
    Scenario(
        "nettle-regularised-tables-gnn",
        "gnn",
        TUNING,
        whole_tables,
        ("over_regularised",),
        ("underfitting", "loss_plateau", "representation_collapse"),
    ),
)

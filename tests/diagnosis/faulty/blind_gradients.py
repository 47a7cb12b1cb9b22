"""Gradients that fade or burst where architectures, losses or simulations were put together without a second look."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, digits, language, majorities
from tests.diagnosis.faulty.gradients import burst, starved
from tests.diagnosis.faulty.losses import flat
from tests.diagnosis.faulty.stranger_steps import small_graphs
from tests.diagnosis.networks import Recurrent, cnn, mlp
from tests.diagnosis.proof import gradients, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import fit


def plain_and_deep(trial: Trial) -> Truth:
    """A network after VGG, twelve convolutions deep, as torch begins them, and without any normalisation."""
    data = digits(trial.seed, flat=False)
    model = cnn((8,) * 12, norm=False)
    narrow = starved(model, data.train.first(24), 1e-3)
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    history = fit(trial, model, data.train.batches(12), optimizer, every=3, steps=150)
    flat(history, 2.3)
    return Truth(narrow)


def hundredths_everywhere(trial: Trial) -> Truth:
    """`init_weights` gives every weight a deviation of 0.01, those of four GRUs one upon another among them."""
    data = majorities(trial.seed)
    model = Recurrent(nn.GRU, 3, inputs=12, tokens=12, depth=4)
    for value in model.parameters():
        nn.init.normal_(value, std=0.01)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    history = fit(trial, model, data.train.batches(24), optimizer, every=3, steps=150)
    sizes = gradients(model, data.train.first(24))
    for name in ("embed.weight", "rnn.weight_ih_l0"):
        require(sizes[name] < 1e-4 * sizes["head.weight"], f"the gradient arrives: {sizes}")
    flat(history, 1.08)
    return Truth(("embed", "rnn"))


def rings(seed: int, count: int) -> Tensor:
    """Return points [n, 2] of eight heaps on a ring."""
    generator = torch.Generator().manual_seed(seed)
    angles = torch.randint(8, (count,), generator=generator) * torch.pi / 4
    centres = 4 * torch.stack([angles.cos(), angles.sin()], 1)
    return centres + 0.1 * torch.randn(count, 2, generator=generator)


def fading(sizes: list[float], share: float) -> int:
    """Return from when on sizes stay below a share of the first ones; raise unless that is in the first half."""
    start = sum(sizes[:5]) / 5
    above = [step for step, size in enumerate(sizes) if size > share * start]
    since = above[-1] + 1
    require(since < len(sizes) / 2, f"the gradient fell at {since} only, from {start:.3g} to {sizes[-1]:.3g}")
    return since


def minimax(trial: Trial) -> Truth:
    """The generator lessens log(1 − D), as in the formula: its judge, who is sure soon, tells it nothing any more."""
    points = rings(trial.seed, 2000)
    maker, judge = mlp((4, 32, 32, 2)), nn.Sequential(*mlp((2, 48, 48, 1)), nn.Sigmoid())
    makes, judges = Adam(maker.parameters(), lr=1e-4), Adam(judge.parameters(), lr=2e-2)
    generator = torch.Generator().manual_seed(trial.seed)
    entropy, sizes = nn.BCELoss(), []
    with trial.writer() as writer:
        writer.watch(maker, makes, name="G", every=2, on_finding="ignore")
        writer.watch(judge, judges, name="D", every=2, on_finding="ignore")
        for _ in range(240):
            real = points[torch.randint(len(points), (64,), generator=generator)]
            made = maker(torch.randn(64, 4, generator=generator))
            judged = entropy(judge(real), torch.ones(64, 1)) + entropy(judge(made.detach()), torch.zeros(64, 1))
            judges.zero_grad()
            judged.backward()
            judges.step()
            fooled = -entropy(judge(made), torch.zeros(64, 1))
            makes.zero_grad()
            fooled.backward()
            sizes.append(float(nn.utils.get_total_norm([value.grad for value in maker.parameters()])))
            makes.step()
            writer.add_scalar("errD", judged.detach(), writer.step)
            writer.add_scalar("errG", fooled.detach(), writer.step)
    since = fading(sizes, 0.05)
    made = maker(torch.randn(200, 4, generator=generator))
    require(float(judge(made).max()) < 0.05, "the judge is not sure")
    away = float(torch.cdist(made, points).min(1).values.mean())
    require(away > 0.5, f"what is made is {away:.3g} away from what there is")
    return Truth((), since // 2, since + 30)


class Softened(nn.Module):
    """Ten layers of attention without residuals, each with a linear layer and a softmax behind it, and a head."""

    def __init__(self, depth: int = 10) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(20, 16), nn.Embedding(16, 16)
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(depth))
        self.head = nn.Linear(16, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the scores of what follows each place, [n, 20, length]."""
        hidden = self.embed(tokens) + self.place(torch.arange(tokens.shape[1]))
        for layer in self.layers:
            shares = (hidden @ hidden.mT / 4).masked_fill(torch.ones(16, 16).triu(1) > 0, -torch.inf).softmax(2)
            hidden = functional.softmax(layer(shares @ hidden), 2)
        scores: Tensor = self.head(hidden).transpose(1, 2)
        return scores


def softmax_between_layers(trial: Trial) -> Truth:
    """Somebody took softmax for an activation like others, and has it behind each of ten layers of attention."""
    data, model = language(trial.seed), Softened()
    fit(trial, model, data.train.batches(16), SGD(model.parameters(), lr=0.1, momentum=0.9), every=2, steps=150)
    narrow = starved(model, data.train.first(128))
    return Truth(narrow)


class Fishery(nn.Module):
    """A policy that says how much is fished; the fish of a season make those of the next one, and too many starve."""

    def __init__(self, seasons: int) -> None:
        super().__init__()
        self.policy, self.seasons = mlp((1, 16, 1), nn.Tanh), seasons

    def forward(self, fish: Tensor) -> Tensor:
        """Return how many fish there are in all seasons, [n, seasons], of those at the beginning, [n, 1]."""
        counts = []
        for _ in range(self.seasons):
            fish = (3.9 - 0.2 * self.policy(fish).sigmoid()) * fish * (1 - fish)
            counts.append(fish)
        return torch.cat(counts, 1)


def through_chaos(trial: Trial) -> Truth:
    """A policy is trained through a simulation of thirty seasons, which is chaotic: slopes grow by the season."""
    generator = torch.Generator().manual_seed(trial.seed)
    fish = 0.1 + 0.8 * torch.rand(800, 1, generator=generator)
    data, short = Part(fish, torch.full((800, 30), 0.72)), Part(fish, torch.full((800, 3), 0.72))
    model, criterion, sizes = Fishery(30), nn.MSELoss(), []

    def look(step: int) -> None:
        if step in (0, 75, 149):
            brief = copy.deepcopy(model)
            brief.seasons = 3
            longer, shorter = gradients(model, data.first(32), criterion), gradients(brief, short.first(32), criterion)
            sizes.append(max(longer.values()) / max(shorter.values()))

    history = fit(
        trial, model, data.batches(8), Adam(model.parameters(), lr=3e-3), criterion, before=look, every=3, steps=150
    )
    require(min(sizes) > 100, f"over thirty seasons the gradient is {sizes} times that over three")
    start = sum(history.train[:10]) / 10
    require(history.end > 0.9 * start, f"the loss fell from {start:.3g} to {history.end:.3g}")
    return Truth()


class Rounds(nn.Module):
    """Passes messages in rounds, by the same weights: each node adds up its neighbours' to what it has."""

    def __init__(self, rounds: int, *, mean: bool = False) -> None:
        super().__init__()
        self.enter, self.message, self.head = nn.Linear(4, 24), nn.Linear(24, 24), nn.Linear(24, 3)
        self.rounds, self.mean = rounds, mean

    def forward(self, graphs: Tensor) -> Tensor:
        """Return scores [n, 3] of features beside edges, [n, 12, 4 + 12]."""
        edges = graphs[..., 4:]
        if self.mean:
            edges = edges / edges.sum(2, keepdim=True)
        nodes = self.enter(graphs[..., :4]).relu()
        for _ in range(self.rounds):
            nodes = nodes + edges @ self.message(nodes).relu()
        scores: Tensor = self.head(nodes.mean(1))
        return scores


def ten_rounds(trial: Trial) -> Truth:
    """Ten rounds of messages that are added up, so that each makes all of it several times as large."""
    data, model = small_graphs(trial.seed), Rounds(10)
    healthy = Rounds(2, mean=True)
    healthy.load_state_dict(model.state_dict())
    burst(model, healthy, data.first(64))
    fit(trial, model, data.batches(32), Adam(model.parameters(), lr=1e-4), every=2, steps=200)
    healthy.load_state_dict(model.state_dict())
    burst(model, healthy, data.first(64), 100.0)
    return Truth()


_VANISHING, _EXPLODING = ("vanishing_gradient",), ("exploding_gradient",)
_FAINT = ("vanishing_gradient", "poor_init")

SCENARIOS = (
    Scenario("vanishing-plain-cnn", "cnn", TUNING, plain_and_deep, _FAINT, ("loss_plateau",)),
    Scenario("vanishing-hundredths-gru", "rnn", TUNING, hundredths_everywhere, _FAINT, ("loss_plateau",)),
    Scenario("vanishing-minimax-mlp", "mlp", TUNING, minimax, _VANISHING, ("saturation", "loss_plateau")),
    Scenario(
        "vanishing-softmax-transformer", "transformer", TUNING, softmax_between_layers, _VANISHING, ("loss_plateau",)
    ),
    Scenario("exploding-chaos-mlp", "mlp", TUNING, through_chaos, _EXPLODING, ("loss_plateau", "loss_oscillation")),
    Scenario(
        "exploding-rounds-gnn", "gnn", TUNING, ten_rounds, ("exploding_gradient", "poor_init"), ("loss_oscillation",)
    ),
)

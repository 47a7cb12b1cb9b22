"""Attention that chooses a single place from the start, since its scores are too large, beside some that may do so."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz_plugin.diagnosis import Severity

RULE = "saturation"
PLACES, WIDTH = 12, 32


class Attends(nn.Module):
    """Lets places attend to each other; queries, keys and values are made by one layer beside the softmax."""

    def __init__(self, scale, *, alone=0, beside=False):
        super().__init__()
        torch.manual_seed(0)
        self.scale, self.alone, self.beside = scale, alone, beside
        self.lift, self.qkv, self.softmax = nn.Linear(8, WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Softmax(-1)
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 1)

    def forward(self, rows):
        hidden = self.norm(self.lift(rows))
        query, key, value = self.qkv(hidden).chunk(3, -1)
        scores = self.scale * query @ key.mT
        scores[: self.alone, :, 1:] = -torch.inf
        heard = self.softmax(scores) @ value
        return self.head(heard + hidden if self.beside else heard).mean(1)


class Block(nn.Module):
    """Attention with a normalisation in front of what makes its scores, and a projection behind."""

    def __init__(self, scale):
        super().__init__()
        self.scale, self.norm, self.out = scale, nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.softmax, self.value = nn.Softmax(-1), nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden):
        known = self.norm(hidden)
        chosen = self.softmax(self.scale * self.query(known) @ self.key(known).mT)
        return self.out(chosen @ self.value(known))


def rows(step):
    inputs = torch.randn(32, PLACES, 8, generator=torch.Generator().manual_seed(step))
    return inputs, inputs[..., :1].mean(1) * PLACES**0.5


def noise(step):
    inputs, targets = rows(step)
    return inputs, targets[torch.randperm(32, generator=torch.Generator().manual_seed(step + 5000))]


@pytest.mark.parametrize(("scale", "expected"), [(4.0, ["1.query", "1.key"]), (WIDTH**-0.5, [])])
def test_what_makes_the_scores_is_blamed_and_not_what_stands_around(train, told, scale, expected):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, WIDTH), Block(scale), nn.Linear(WIDTH, 1))
    run = train(model, lambda told, known: functional.mse_loss(told.mean(1), known), noise, steps=150, rate=3e-3)
    blamed = [run.network.layers[layer].name for finding in told(run, RULE) for layer in finding.layers]
    assert blamed == expected


@pytest.mark.parametrize(
    ("model", "batch", "expected"),
    [
        pytest.param(Attends(4.0), noise, 1, id="too large scores"),
        pytest.param(Attends(WIDTH**-0.5), noise, 0, id="scores over the root of their width"),
        pytest.param(Attends(4.0, beside=True), rows, 0, id="too large scores beside which it learns"),
        pytest.param(Attends(WIDTH**-0.5, alone=26), noise, 0, id="most of one place beside padding"),
    ],
)
def test_choices_that_are_nearly_certain_from_the_start(train, told, model, batch, expected):
    run = train(model, functional.mse_loss, batch, steps=150, rate=3e-3)
    findings = told(run, RULE)
    assert [finding.severity for finding in findings] == [Severity.WARNING] * expected
    for finding in findings:
        assert "little is learned" in finding.message
        assert [run.network.layers[layer].name for layer in finding.layers] == ["qkv"]
        assert finding.first_step == 0


class Masked(nn.Module):
    """Lets places attend to the few that a mask leaves to each."""

    def __init__(self, scale):
        super().__init__()
        torch.manual_seed(0)
        self.scale, self.qk, self.softmax = scale, nn.Linear(8, 2 * WIDTH), nn.Softmax(-1)
        self.head = nn.Sequential(nn.Linear(8, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))

    def forward(self, inputs):
        query, key = self.qk(inputs).chunk(2, -1)
        allowed = torch.eye(PLACES).bool()
        allowed[: PLACES // 3] |= allowed[: PLACES // 3].roll(1, 1)
        scores = (self.scale * query @ key.mT).masked_fill(~allowed, -torch.inf)
        return self.head(self.softmax(scores) @ inputs)


@pytest.mark.parametrize(("batch", "expected"), [("learned", 0), ("noise", 1)])
def test_samples_to_which_a_mask_leaves_one_have_no_choice(train, told, batch, expected):
    """Two places in three see a single one, which gets all."""

    def each(step):
        inputs, _ = rows(step)
        generator = torch.Generator().manual_seed(step + 5000)
        chance = torch.randn(32, PLACES, 1, generator=generator)
        return inputs, chance + (inputs[..., :1] if batch == "learned" else 0)

    run = train(Masked(WIDTH**-0.5 if expected == 0 else 30.0), nn.MSELoss(), each, steps=150, rate=3e-3)
    assert len([one for one in told(run, RULE) if one.severity > Severity.INFO]) == expected


class Bins(nn.Module):
    """Answers by which of the bins, which it may move, a number lies in."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.score, self.softmax, self.head = nn.Linear(1, 16), nn.Softmax(-1), nn.Linear(16, 1)
        with torch.no_grad():
            centres = torch.linspace(-2, 2, 16)
            self.score.weight.copy_(100 * centres[:, None])
            self.score.bias.copy_(-50 * centres.square())

    def forward(self, inputs):
        return self.head(self.softmax(self.score(inputs)))


@pytest.mark.parametrize(("share", "expected"), [(0.6, 0), (0.0, 1)])
def test_sharp_choices_by_which_all_is_learned_that_there_is_to_know(train, told, share, expected):
    """Answers are noisy, so that most of the loss is left."""

    def each(step):
        generator = torch.Generator().manual_seed(step)
        inputs, noise = torch.randn(2, 256, 1, generator=generator)
        return inputs, share * (3 * inputs).sin() + 0.6 * noise

    run = train(Bins(), nn.MSELoss(), each, steps=150, rate=2e-2)
    findings = [one for one in told(run, RULE) if one.severity > Severity.INFO]
    assert ["little is learned" in one.message for one in findings] == [True] * expected

"""Functions that let no gradient through: behind layers of one's own, along any axis, and at a network's outputs."""

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs

RULE = "saturation"


class Own(nn.Module):
    """A linear layer as one writes it for practice."""

    def __init__(self, inputs, made, scale):
        super().__init__()
        self.weight = nn.Parameter(scale * torch.rand(inputs, made))

    def forward(self, inputs):
        return inputs @ self.weight


class Handmade(nn.Module):
    """Layers of one's own, registered in another order than they are called in."""

    def __init__(self, scale):
        super().__init__()
        torch.manual_seed(0)
        self.head, self.second, self.first = Own(24, 4, 0.1), Own(24, 24, 0.05), Own(16, 24, scale)
        self.one, self.two = nn.Sigmoid(), nn.Tanh()

    def forward(self, inputs):
        return self.head(self.two(self.second(self.one(self.first(inputs)))))


def classes(step):
    inputs = torch.rand(64, 16, generator=torch.Generator().manual_seed(step))
    return inputs, inputs[:, :4].argmax(1)


@pytest.mark.parametrize(("scale", "expected"), [(3.0, ["first"]), (0.1, [])])
def test_units_behind_a_layer_of_ones_own_are_of_that(train, told, scale, expected):
    run = train(Handmade(scale), nn.CrossEntropyLoss(), classes)
    found = told(run, RULE)
    assert [run.network.layers[layer].name for one in found for layer in one.layers] == expected


class Neighbours(nn.Module):
    """Weighs the neighbours of each item by scores less distances that are so large."""

    def __init__(self, scale):
        super().__init__()
        torch.manual_seed(0)
        self.scale, self.score, self.value, self.softmax = scale, nn.Linear(4, 1), nn.Linear(4, 1), nn.Softmax(1)

    def forward(self, items):
        """Return [n, 1] of items [n, neighbours, 4]."""
        distances = self.scale * torch.linspace(0, 1, items.shape[1])[:, None]
        return (self.softmax(self.score(items) - distances) * self.value(items)).sum(1)


def neighbours(step):
    items = torch.randn(32, 8, 4, generator=torch.Generator().manual_seed(step))
    return items, items[..., 0].mean(1, keepdim=True)


@pytest.mark.parametrize(("scale", "expected"), [(1000.0, ["score"]), (1.0, [])])
def test_a_softmax_along_another_axis_than_its_units(train, told, scale, expected):
    run = train(Neighbours(scale), nn.MSELoss(), neighbours)
    found = told(run, RULE)
    assert [run.network.layers[layer].name for one in found for layer in one.layers] == expected
    assert all("of its gradient through to its scores" in one.message for one in found)


def test_a_softmax_over_a_single_item_has_nothing_to_choose(train, told):
    def batch(step):
        items, targets = neighbours(step)
        return items[:, :1], targets

    assert told(train(Neighbours(1.0), nn.MSELoss(), batch), RULE) == []


@pytest.mark.parametrize(("rate", "expected"), [(0.3, ["4"]), (1e-3, [])])
def test_outputs_that_the_first_steps_threw_to_their_ends(tmp_path, told, rate, expected):
    """An actor that follows a raw critic."""
    torch.manual_seed(0)
    actor = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2), nn.Tanh())
    critic, optimizer = nn.Linear(8, 1).requires_grad_(False), torch.optim.Adam(actor.parameters(), lr=rate)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(actor, optimizer, every=1, histograms=False, on_finding="ignore")
        for _step in range(60):
            states = torch.randn(64, 6)
            (-critic(torch.cat([states, actor(states)], 1))).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    (run,) = read_runs(tmp_path)
    found = told(run, RULE)
    assert [run.network.layers[layer].name for one in found for layer in one.layers] == expected


@pytest.mark.parametrize("rate", [0.03, 0.3])
def test_outputs_that_became_certain_of_what_they_learned(train, told, rate):
    def batch(step):
        inputs = 3 * torch.randn(64, 6, generator=torch.Generator().manual_seed(step))
        return inputs, (inputs[:, :1] > 0).float()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid())
    assert told(train(model, nn.BCELoss(), batch, 150, rate), RULE) == []

"""Inputs of all scales, in short trainings."""

import pytest
import torch
from torch import nn

from tb_netviz_plugin.diagnosis import Severity

RULE = "input_unnormalised"
FEATURES = 8


def drawn(step, count=64, shape=(FEATURES,)):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(step))


def rare(step):
    """Return features of which one is seldom, and then small, as at the edge of pictures."""
    inputs = drawn(step)
    inputs[:, 0] = 0.01 * (inputs[:, 0] > 2).float()
    return inputs


def network(*first, features=FEATURES):
    torch.manual_seed(0)
    return nn.Sequential(*first, nn.Linear(features, 16), nn.ReLU(), nn.Linear(16, 1))


class Scaled(nn.Module):
    """Brings bytes to 0…1 by itself."""

    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, inputs):
        return self.net((inputs - 128) / 128)


class Placed(Scaled):
    """The same, with a parameter of its own beside its layers."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, inputs):
        return super().forward(inputs) + self.shift


class Attending(nn.Module):
    """Attends to features as they come; the layer holds another one, which is not called."""

    def __init__(self):
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(FEATURES, 2, batch_first=True), nn.Linear(FEATURES, 1)

    def forward(self, inputs):
        tokens = inputs.unsqueeze(1)
        return self.head(self.attention(tokens, tokens, tokens)[0].squeeze(1))


def bytes_of(step):
    return drawn(step).mul(60).add(128).clamp(0, 255).round()


def run(train, model, inputs):
    def batch(step):
        given = inputs(step)
        return given, torch.zeros(len(given), 1)

    return train(model, nn.MSELoss(), batch, steps=20, rate=1e-5)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (lambda step: drawn(step) * torch.tensor([1.0] * 7 + [1e3]), "deviations go from"),
        (lambda step: drawn(step) * torch.logspace(-3, 3, FEATURES), "deviations go from"),
        (bytes_of, "of a size of"),
        (lambda step: 50 * drawn(step), "of a size of"),
        (lambda step: drawn(step) + 20, "lie at about 20"),
        (lambda step: drawn(step) + torch.tensor([0.0] * 7 + [2000]), "of a size of"),
    ],
)
def test_inputs_of_other_scales(train, told, inputs, words):
    (finding,) = told(run(train, network(), inputs), RULE)
    assert words in finding.message
    assert finding.severity is Severity.WARNING
    assert (finding.layers, finding.first_step, finding.last_step) == ((0,), 0, 19)
    assert finding.beyond.measured > finding.beyond.threshold


@pytest.mark.parametrize(
    "inputs",
    [
        drawn,
        lambda step: drawn(step).sigmoid(),
        lambda step: 5 * drawn(step) + 10,
        lambda step: 1e-3 * drawn(step),
        lambda step: (drawn(step) > 1.5).float(),
        lambda step: torch.eye(FEATURES)[torch.arange(64) % FEATURES],
        lambda step: drawn(step).abs().mul(10).floor(),  # Grey levels, or small counts.
        lambda step: torch.cat([drawn(step)[:, :7], torch.ones(64, 1)], 1),
        rare,
        lambda step: drawn(step) * torch.logspace(-1, 0.5, FEATURES),
    ],
)
def test_inputs_as_they_should_be(train, told, inputs):
    assert told(run(train, network(), inputs), RULE) == []


@pytest.mark.parametrize(
    "model",
    [network(nn.BatchNorm1d(FEATURES)), network(nn.LayerNorm(FEATURES, elementwise_affine=False)), Scaled(), Placed()],
)
def test_networks_that_normalise_by_themselves(train, told, model):
    assert told(run(train, model, bytes_of), RULE) == []


def test_tokens_are_no_numbers(train, told):
    model = nn.Sequential(nn.Embedding(500, 4), nn.Flatten(), nn.Linear(4 * FEATURES, 1))
    findings = told(run(train, model, lambda step: torch.randint(500, (16, FEATURES))), RULE)
    assert findings == []


def test_a_normalisation_behind_the_first_layer_makes_it_harmless(train, told):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 1))
    (finding,) = told(run(train, model, lambda step: 255 * drawn(step, 16, (3, 8, 8)).sigmoid()), RULE)
    assert finding.severity is Severity.INFO
    assert "of a size of" in finding.message


def test_a_recurrent_layer_gets_its_inputs_as_they_are(train, told):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.GRU(FEATURES, 8, batch_first=True), nn.Linear(8, 1)

        def forward(self, inputs):
            return self.head(self.rnn(inputs)[0][:, -1])

    def loud(step):
        return drawn(step, 16, (5, FEATURES)) * torch.tensor([1.0] * 7 + [1e5])

    (finding,) = told(run(train, Recurrent(), loud), RULE)
    assert finding.severity is Severity.WARNING


def test_a_layer_that_holds_another_one_is_named_itself(train, told):
    torch.manual_seed(0)
    (finding,) = told(run(train, Attending(), lambda step: 50 * drawn(step)), RULE)
    assert finding.layers == (0,)
    assert "and attention gets them as they are" in finding.message


@pytest.mark.parametrize(("fall", "expected"), [(100.0, 0), (1.0, 1)])
def test_inputs_that_shrink_as_it_learns_are_its_own(train, told, fall, expected):
    def states(step):
        inputs = drawn(step) * fall ** (-step / 30)
        inputs[:, 0] *= 1000
        return inputs, inputs[:, 1:2]

    assert len(told(train(network(), nn.MSELoss(), states, rate=1e-6), RULE)) == expected


class Centred(Scaled):
    """Standardises readings about 5 by itself."""

    def forward(self, inputs):
        return self.net((inputs - 5) / 0.3)


@pytest.mark.parametrize(("model", "expected"), [(Centred(), 0), (network(), 1)])
def test_readings_that_lie_far_from_zero_may_be_centred_by_the_network(train, told, model, expected):
    assert len(told(run(train, model, lambda step: 0.3 * drawn(step) + 5), RULE)) == expected

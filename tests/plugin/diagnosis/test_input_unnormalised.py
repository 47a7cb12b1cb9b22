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


class Divided(nn.Module):
    """Divides by deviations that it knows."""

    def __init__(self, by=50.0):
        super().__init__()
        self.by = by

    def forward(self, inputs):
        return inputs / self.by


class Averages(nn.Module):
    """A layer of one's own, which standardises what it multiplies."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(FEATURES, 16) / FEATURES**0.5)

    def forward(self, inputs):
        return (inputs - 128) / 60 @ self.weight


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


class Recurrent(nn.Module):
    """Reads rows as they come, or standardises them before."""

    def __init__(self, kind, *, inside):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head, self.inside = kind(FEATURES, 16, batch_first=True), nn.Linear(16, 1), inside

    def forward(self, inputs):
        return self.head(self.rnn((inputs - 300) / 50 if self.inside else inputs)[0][:, -1])


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_gets_its_inputs_as_they_are_unless_outputs_are_small(train, told, kind, inside):
    def readings(step):
        return 50 * drawn(step, 16, (5, FEATURES)) + 300

    findings = told(run(train, Recurrent(kind, inside=inside), readings), RULE)
    assert [finding.severity for finding in findings] == [Severity.WARNING] * (not inside)


def test_attention_that_is_told_by_its_outputs(train, told):
    torch.manual_seed(0)
    (finding,) = told(run(train, Attending(), lambda step: 50 * drawn(step)), RULE)
    assert (finding.layers, finding.severity) == ((0,), Severity.WARNING)
    assert "and attention gets them as they are" in finding.message
    assert told(run(train, nn.Sequential(Divided(), Attending()), lambda step: 50 * drawn(step)), RULE) == []


def test_one_loud_feature_that_the_network_divides(train, told):
    """The root mean square of all is small then, so that the layer's outputs are not that much smaller."""
    spread = torch.tensor([12.0] + [0.1] * 7)
    model = nn.Sequential(Divided(spread), network())
    assert told(run(train, model, lambda step: spread * drawn(step)), RULE) == []
    assert len(told(run(train, network(), lambda step: spread * drawn(step)), RULE)) == 1


def test_what_a_layer_of_ones_own_gets_is_not_known(train, told):
    torch.manual_seed(0)
    model = nn.Sequential(Averages(), nn.ReLU(), nn.Linear(16, 1))
    (finding,) = told(run(train, model, bytes_of), RULE)
    assert finding.severity is Severity.INFO
    assert "unless something without a module normalises them before" in finding.message
    assert not any("Not scaled" in one for one in finding.excluded)


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

"""Weights that begin with the wrong scale in most layers, though each layer's outputs are normalised."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs

RULE = "poor_init"
FEATURES, WIDTH = 10, 32
MIX = torch.randn(FEATURES, 1, generator=torch.Generator().manual_seed(3))


def drawn(step, count=64):
    inputs = torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(step))
    return inputs, (inputs @ MIX > 0).float()


def network(scale):
    torch.manual_seed(0)
    blocks = [[nn.Linear(size, WIDTH), nn.LayerNorm(WIDTH), nn.ReLU()] for size in (FEATURES, WIDTH, WIDTH)]
    model = nn.Sequential(*(layer for block in blocks for layer in block), nn.Linear(WIDTH, 1))
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(scale)
    return model


class Equalised(nn.Linear):
    """Draws large weights and scales them down whenever they are used."""

    def __init__(self, given, made):
        super().__init__(given, made)
        nn.init.normal_(self.weight)

    def forward(self, inputs):
        return functional.linear(inputs, self.weight * self.in_features**-0.5, self.bias)


@pytest.fixture
def found(train, told):
    def of(model, steps=80):
        return told(train(model, nn.BCEWithLogitsLoss(), drawn, steps), RULE)

    return of


def test_weights_that_begin_large_throughout(found):
    (finding,) = found(network(8))
    assert finding.severity.id == "warning"
    assert finding.message.startswith("The weights begin too large: at the median of 4 layers")
    assert "where guessing costs 0.69" in finding.message
    assert finding.beyond.measured == pytest.approx(4.6, rel=0.1)
    assert finding.first_step == 0


@pytest.mark.parametrize("scale", [1, 2])
def test_weights_of_a_common_scale(found, scale):
    assert found(network(scale)) == []


def test_weights_that_are_scaled_as_they_are_used(found):
    torch.manual_seed(0)
    model = nn.Sequential(
        Equalised(FEATURES, 64), nn.ReLU(), Equalised(64, 64), nn.ReLU(), Equalised(64, 64), nn.ReLU(), Equalised(64, 1)
    )
    assert found(model) == []


def test_a_network_that_was_trained_before(found):
    model = network(8)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    for step in range(400):
        optimizer.zero_grad()
        inputs, targets = drawn(step)
        functional.binary_cross_entropy_with_logits(model(inputs), targets).backward()
        optimizer.step()
    assert found(model) == []


class Reader(nn.Module):
    """Reads ten numbers one by one in two recurrent layers, whose outputs are bounded whatever their weights are."""

    def __init__(self, deviation):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head = nn.LSTM(1, WIDTH, num_layers=2, batch_first=True), nn.Linear(WIDTH, 1)
        if deviation:
            for value in self.parameters():
                nn.init.normal_(value, std=deviation)

    def forward(self, inputs):
        return self.head(self.rnn(inputs[..., None])[0][:, -1])


@pytest.mark.parametrize(("deviation", "expected"), [(None, 0), (0.2, 0), (2.0, 1)])
def test_recurrent_layers_hold_several_matrices(found, deviation, expected):
    findings = found(Reader(deviation))
    assert [finding.message.startswith("The weights begin too large") for finding in findings] == [True] * expected


@pytest.mark.parametrize(("kind", "deviation", "expected"), [(nn.GRU, 2.0, 1), (nn.LSTM, 2.0, 1), (nn.LSTM, 0.2, 0)])
def test_states_whose_weights_are_large_from_the_start(train, told, kind, deviation, expected):
    """The only layer that is large is the recurrent one, so that neither outputs nor the first loss are."""
    torch.manual_seed(0)

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.states, self.head = kind(FEATURES, WIDTH, batch_first=True), nn.Linear(WIDTH, 1)
            for name, value in self.states.named_parameters():
                if "weight" in name:
                    nn.init.normal_(value, std=deviation)

        def forward(self, inputs):
            return self.head(self.states(inputs[:, None].repeat(1, 8, 1).flip(2))[0][:, -1])

    def parity(step):
        inputs, _ = drawn(step)
        return inputs, ((inputs[:, :1] * inputs[:, 1:2]) > 0).float()

    findings = told(train(Classifier(), nn.BCEWithLogitsLoss(), parity, steps=80, rate=1e-3), RULE)
    assert ["make states" in finding.message for finding in findings] == [True] * expected
    assert all(finding.severity.id == "warning" for finding in findings)


@pytest.mark.parametrize(("scale", "expected"), [(12, 1), (1, 0)])
def test_without_a_loss_what_the_layers_put_out_tells(tmp_path, told, scale, expected):
    model = network(scale)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(40):
            inputs, targets = drawn(step)
            functional.binary_cross_entropy_with_logits(model(inputs), targets).backward()
            optimizer.step()
            optimizer.zero_grad()
    (run,) = read_runs(tmp_path)
    assert [finding.message.endswith(" times as large.") for finding in told(run, RULE)] == [True] * expected


def plain(scale):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
    )
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(scale)
    return model


@pytest.mark.parametrize(("scale", "rate", "expected"), [(0.02, 2e-2, 1), (1, 2e-2, 0)])
def test_weights_so_small_that_the_first_steps_replace_them(train, scale, rate, expected):
    def steep(outputs, targets):
        return functional.binary_cross_entropy_with_logits(20 * outputs, 0.1 + 0.8 * targets)

    run = train(plain(scale), steep, lambda step: drawn(step, 8), 120, rate=rate)
    causes = [finding for finding in run.report({}).findings if finding.severity.id != "info"]
    assert [finding.rule for finding in causes] == [RULE] * expected
    assert ["little is left of the weights" in finding.message for finding in causes] == [True] * expected

"""The rules that look at single units and at the order of layers, on real trainings of networks made for them."""

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs
from tb_netviz_plugin.diagnosis import Severity

SAMPLES = 64


@pytest.fixture
def diagnose(tmp_path):
    """Trains a network on noise and returns what a rule finds, and the names of the layers."""

    def run(rule, model, steps=60, change=lambda _step: None, shape=(SAMPLES, 8), rate=1e-3):
        torch.manual_seed(0)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        with NetVizWriter(tmp_path) as writer:
            writer.watch(model, optimizer, every=1, histograms=False)
            for step in range(steps):
                change(step)
                model(torch.randn(shape)).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
        (recorded,) = read_runs(tmp_path)
        report = recorded.report({})
        assert rule in {one.id for one in report.passed} | {one.rule for one in report.every}, report.skipped
        return [one for one in report.every if one.rule == rule], [layer.name for layer in recorded.network.layers]

    return run


def kill(layer, units):
    with torch.no_grad():
        layer.bias[units] = -1e3


@pytest.mark.parametrize(
    ("units", "severity"),
    [(1, Severity.INFO), (13, Severity.INFO), (15, Severity.WARNING), (24, Severity.CRITICAL), (0, None)],
)
def test_dead_units_from_a_step_on(diagnose, units, severity):
    model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 2))
    findings, layers = diagnose("dead_units", model, change=lambda step: step == 20 and kill(model[0], slice(0, units)))
    if severity is None:
        assert findings == []
        return
    (finding,) = findings
    assert finding.severity is severity
    assert [layers[layer] for layer in finding.layers] == ["0"]
    assert finding.units == tuple(range(units))
    assert abs(finding.first_step - 20) <= 2
    assert finding.last_step == 59
    assert f"{units} of 24 features of 0 · ReLU" in finding.message


def test_units_that_are_shown_one_sample_only_are_not_judged(train, reason):
    model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 2))
    kill(model[0], slice(0, 20))
    run = train(model, nn.MSELoss(), lambda _step: (torch.ones(SAMPLES, 8), torch.randn(SAMPLES, 2)))
    assert reason(run, "dead_units") == "all samples are the same to the network"


class Neighbours(nn.Module):
    """Averages over the neighbours of nodes that have no features, which is one again; or sums them up."""

    def __init__(self, *, mean):
        super().__init__()
        torch.manual_seed(0)
        self.lift, self.conv, self.head, self.mean = nn.Linear(1, 24), nn.Linear(24, 24), nn.Linear(24, 2), mean

    def forward(self, joined):
        weights = joined / joined.sum(2, keepdim=True) if self.mean else joined
        hidden = self.lift(weights @ torch.ones(*joined.shape[:2], 1))
        return self.head(nn.functional.relu(self.conv(weights @ hidden)).mean(1))


@pytest.mark.parametrize(("mean", "told_of"), [(True, False), (False, True)])
def test_units_are_not_judged_where_layers_cannot_tell_samples_apart(train, reason, mean, told_of):
    def batch(step):
        generator = torch.Generator().manual_seed(step)
        joined = (torch.rand(32, 8, 8, generator=generator) < 0.4).float() + torch.eye(8)
        return joined, (joined.sum((1, 2)) > 28).long()

    run = train(Neighbours(mean=mean), nn.CrossEntropyLoss(), batch, 80, rate=1e-3)
    assert (reason(run, "dead_units") is None) == told_of


def test_a_layer_that_never_fired_is_dead_after_fewer_samples(train, told):
    def run(bias, steps):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 2))
        nn.init.constant_(model[0].bias, bias)
        return told(train(model, nn.MSELoss(), lambda _: (torch.randn(6, 8), torch.randn(6, 2)), steps), "dead_units")

    (finding,) = run(-100.0, 20)
    assert (finding.severity, finding.first_step) == (Severity.CRITICAL, 0)
    assert "24 of 24 features of 0 · ReLU fired for none of the last 120 samples" in finding.message


class Dense(nn.Module):
    """A linear layer written by hand, whose weights are drawn as they come, or scaled."""

    def __init__(self, inputs, made, scale):
        super().__init__()
        self.weight = nn.Parameter(scale * torch.randn(inputs, made))

    def forward(self, inputs):
        return inputs @ self.weight


@pytest.mark.parametrize(("scale", "blamed"), [(1.0, (0, 1)), (0.2, None)])
def test_layers_of_ones_own_that_drive_what_follows_to_its_ends(train, told, scale, blamed):
    torch.manual_seed(0)
    model = nn.Sequential(Dense(25, 32, scale), nn.Tanh(), Dense(32, 32, scale), nn.Tanh(), nn.Linear(32, 2))
    run = train(model, nn.MSELoss(), lambda _: (torch.randn(SAMPLES, 25), torch.randn(SAMPLES, 2)), 20)
    assert [finding.layers for finding in told(run, "poor_init")] == ([blamed] if blamed else [])


class Rounds(nn.Module):
    """Calls one layer twice, on what it gets and on what is as far below zero."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(8, 24), nn.Linear(48, 2)

    def forward(self, inputs):
        rounds = [torch.relu(self.layer(given)) for given in (inputs, inputs - 100 * torch.sign(self.layer.weight[0]))]
        return self.head(torch.cat(rounds, 1))


def test_units_that_fire_in_another_call_of_their_layer_are_not_dead(diagnose):
    torch.manual_seed(0)
    model = Rounds()
    with torch.no_grad():
        model.layer.weight[:] = model.layer.weight[0]  # All are silent in the second call.
    assert diagnose("dead_units", model)[0] == []


@pytest.mark.parametrize(("rate", "expected"), [(3.0, 1), (0.01, 0)])
def test_the_rate_is_named_where_its_first_steps_killed_the_units(diagnose, rate, expected):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 1), nn.ReLU())
    nn.init.constant_(model[2].weight, 0.5)
    findings, _ = diagnose("lr_too_high", model, rate=rate)
    assert ["are dead since step" in finding.message for finding in findings] == [True] * expected


@pytest.mark.parametrize(("empty", "expected"), [(30, ["info"]), (0, [])])
def test_outputs_that_are_asked_to_be_zero_may_always_be(train, told, empty, expected):
    """As counts or spectra, of which most places are empty."""
    torch.manual_seed(0)
    mix = torch.randn(8, 40)
    mix[:, :empty] = 0.0

    def batch(step):
        inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(step))
        return inputs, torch.relu(inputs @ mix)

    model = nn.Sequential(nn.Linear(8, 64), nn.LeakyReLU(), nn.Linear(64, 40), nn.ReLU())
    findings = told(train(model, nn.MSELoss(), batch, 200), "dead_units")
    assert [finding.severity.id for finding in findings] == expected


def test_units_that_fire_seldom_are_not_dead(diagnose):
    model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 2))
    with torch.no_grad():
        model[0].bias.fill_(-1.0)  # Its inputs have a deviation of about 0.6: few samples get above that.
    assert diagnose("dead_units", model, steps=100)[0] == []


def test_one_finding_names_all_layers_and_the_first_to_die_first(diagnose):
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))

    def change(step):
        if step in (20, 30):
            kill(model[2 if step == 20 else 0], slice(0, 10))

    (finding,), layers = diagnose("dead_units", model, change=change)
    assert [layers[layer] for layer in finding.layers] == ["2", "0"]
    assert "units of 1 more layers" in finding.message


@pytest.mark.parametrize(("gain", "expected"), [(30.0, ["0"]), (1.0, [])])
def test_saturated_units(diagnose, gain, expected):
    model = nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 2))
    with torch.no_grad():
        model[0].bias.copy_(gain * torch.randn(24).sign())
    findings, layers = diagnose("saturation", model)
    assert [layers[layer] for finding in findings for layer in finding.layers] == expected


@pytest.mark.parametrize(("late", "expected"), [(False, 0), (True, 30)])
def test_saturation_begins_where_nearly_all_values_were_flat(diagnose, late, expected):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 2))

    def steepen():
        with torch.no_grad():  # Single values still lie in between, of another unit each time.
            model[0].weight.mul_(600)

    if not late:
        steepen()
    (finding,), _ = diagnose("saturation", model, change=lambda step: steepen() if late and step == 30 else None)
    assert expected <= finding.first_step <= expected + 1


def test_a_softmax_over_a_single_score_is_one_whatever_that_is(diagnose):
    model = nn.Sequential(nn.Linear(8, 1), nn.Softmax(-1), nn.Linear(1, 2))
    assert diagnose("saturation", model)[0] == []


class Attends(nn.Module):
    """Weighs samples by scores that are that large."""

    def __init__(self, scale, *, causal=False):
        super().__init__()
        self.causal = causal
        self.scale, self.query, self.key = scale, nn.Linear(8, 8), nn.Linear(8, 8)
        self.value, self.softmax = nn.Linear(8, 2), nn.Softmax(-1)

    def forward(self, inputs):
        scores = self.query(inputs) @ self.key(inputs).T
        if self.causal:
            scores = scores[:2, :2].masked_fill(torch.ones(2, 2).triu(1) > 0, -torch.inf)
            inputs = inputs[:2]
        return self.softmax(self.scale * scores) @ self.value(inputs)


@pytest.mark.parametrize(("scale", "expected"), [(1e4, 1), (0.3, 0)])
def test_a_softmax_that_gives_nearly_all_to_one_from_the_start(diagnose, scale, expected):
    findings, _ = diagnose("saturation", Attends(scale))
    assert len(findings) == expected
    assert all("from the first record on" in finding.message for finding in findings)


def test_half_of_two_that_see_what_came_before_have_nothing_to_choose_from(diagnose):
    assert diagnose("saturation", Attends(0.3, causal=True))[0] == []


def test_outputs_behind_units_that_died_have_not_collapsed(diagnose):
    model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 8))
    change = lambda step: step == 20 and kill(model[0], slice(0, 24))  # noqa: E731
    assert diagnose("representation_collapse", model, steps=100, change=change)[0] == []


def test_an_output_that_is_certain_is_not_said_to_be_saturated(diagnose):
    model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 2), nn.Sigmoid())
    with torch.no_grad():
        model[2].bias.fill_(50.0)
    assert diagnose("saturation", model)[0] == []


def test_units_that_begin_equal_stay_equal(diagnose):
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
    for layer in (model[0], model[2]):
        nn.init.constant_(layer.weight, 0.1)
        nn.init.zeros_(layer.bias)
    findings, layers = diagnose("redundant_units", model, steps=70, rate=0.1)
    by_layer = {layers[finding.layers[0]]: finding for finding in findings}
    assert by_layer["0"].severity is Severity.WARNING
    assert by_layer["0"].units == tuple(range(1, 16))
    assert by_layer["0"].first_step == 0


def test_a_fresh_network_has_no_redundant_units(diagnose):
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    assert diagnose("redundant_units", model, steps=70)[0] == []


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ((nn.Linear(8, 8), nn.Linear(8, 2)), ["0", "1"]),
        ((nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 2)), ["0", "3"]),
        ((nn.Sequential(nn.Linear(8, 8)), nn.Sequential(nn.Linear(8, 2))), ["0.0", "1.0"]),
        ((nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)), []),
        ((nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 2)), []),
        ((nn.Linear(8, 2), nn.Linear(2, 8)), []),  # A product of low rank.
    ],
)
def test_linear_layers_in_a_row(diagnose, modules, expected):
    findings, layers = diagnose("missing_nonlinearity", nn.Sequential(*modules), steps=6)
    assert [layers[layer] for finding in findings for layer in finding.layers] == expected


class Blocks(nn.Module):
    """Two blocks of a layer each, with nothing between them, or a part that makes features and a head."""

    def __init__(self, first, second):
        super().__init__()
        self.add_module(first, nn.ModuleDict({"linear": nn.Linear(8, 8)}))
        self.add_module(second, nn.ModuleDict({"linear": nn.Linear(8, 2)}))

    def forward(self, inputs):
        first, second = self.children()
        return second["linear"](first["linear"](inputs))


@pytest.mark.parametrize(
    ("names", "severity"), [(("block1", "block2"), Severity.WARNING), (("encoder", "head"), Severity.INFO)]
)
def test_what_a_forward_pass_shows_is_less_grave_between_two_parts(diagnose, names, severity):
    (finding,), layers = diagnose("missing_nonlinearity", Blocks(*names), steps=6)
    assert finding.severity is severity
    assert [layers[layer] for layer in finding.layers] == [f"{name}.linear" for name in names]
    assert finding.remedies[0].code.startswith(f"model.{names[0]}.linear = nn.Sequential(")


def test_convolutions_in_a_row(diagnose):
    def found(*modules):
        model = nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        return diagnose("missing_nonlinearity", model, steps=4, shape=(4, 4, 6, 6))[0]

    depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    assert found(depthwise, nn.Conv2d(4, 4, 1), nn.ReLU()) == []


def test_layers_that_run_beside_each_other_are_not_in_a_row(diagnose):
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return self.query(x) * self.key(x)

    assert diagnose("missing_nonlinearity", Branches(), steps=4)[0] == []

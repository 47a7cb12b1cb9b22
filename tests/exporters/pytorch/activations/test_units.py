"""Networks that are built to have a known set of dead, sparse, saturated, revived and silent units.

What is asserted is the whole verdict, over all units: exact recall, and no false death.
"""

import contextlib
import io
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from tb_netviz.cli import main
from tb_netviz.pytorch import NetVizWriter

UNITS = 16
BATCH = 32
STEPS = 80  # 2,560 samples; 1,000 are needed to call a unit dead.
DEAD = {2, 5, 11}


def units_in(folder, **options):
    """Return what `tb-netviz units` says: by activation and unit, the rest."""
    words = ["units", str(folder), "--format", "json"]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(words) == 0
    (run,) = json.loads(out.getvalue())["runs"]
    return {(unit["activation"], unit["unit"]): unit for unit in run["units"]}


def states(units, activation):
    """Return the units of an activation by state, those that are alive left out."""
    found: dict[str, set[int]] = {}
    for (name, unit), entry in units.items():
        if name == activation and entry["state"] != "alive":
            found.setdefault(entry["state"], set()).add(unit)
    return found


def biased(layer, units=DEAD, value=-1e3):
    """Give `units` of a layer a bias that no input overcomes."""
    with torch.no_grad():
        layer.bias[list(units)] = value
    return layer


def train(folder, model, shape=(8,), *, steps=STEPS, rate=0.01, before=lambda _step: None, eager=True, run=None):
    """Train on noise, watched at each step."""
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    forward = model if eager else torch.compile(model, backend="aot_eager")
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=1, histograms=False)
        for step in range(steps):
            before(step)
            loss = forward(torch.randn(BATCH, *shape)).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


MODULES = {
    "ReLU": nn.ReLU,
    "ReLU in place": lambda: nn.ReLU(inplace=True),
    "ReLU6": nn.ReLU6,
    "GELU": nn.GELU,
    "GELU tanh": lambda: nn.GELU("tanh"),
    "SiLU": nn.SiLU,
    "Mish": nn.Mish,
    "ELU": nn.ELU,
    "Softplus": nn.Softplus,
}


@pytest.mark.parametrize("name", MODULES)
def test_units_with_a_bias_that_no_input_overcomes_are_dead(tmp_path, name):
    torch.manual_seed(0)
    act = MODULES[name]()
    train(tmp_path, nn.Sequential(biased(nn.Linear(8, UNITS)), act, nn.Linear(UNITS, 2)))
    units = units_in(tmp_path)
    assert states(units, "1") == {"dead": DEAD}
    for unit in DEAD:
        entry = units["1", unit]
        assert (entry["layer"], entry["since_step"]) == ("0", 0)
        assert entry["samples"] == STEPS * BATCH
        assert entry["fired"] == 0


@pytest.mark.parametrize("name", ["LeakyReLU", "PReLU", "Identity"])
def test_units_whose_slope_never_vanishes_do_not_die(tmp_path, name):
    torch.manual_seed(0)
    train(tmp_path, nn.Sequential(biased(nn.Linear(8, UNITS), value=-50.0), getattr(nn, name)(), nn.Linear(UNITS, 2)))
    assert states(units_in(tmp_path), "1").get("dead") is None


@pytest.mark.parametrize("name", ["Tanh", "Sigmoid", "Hardtanh", "Hardsigmoid"])
def test_bounded_units_are_saturated(tmp_path, name):
    torch.manual_seed(0)
    train(tmp_path, nn.Sequential(biased(nn.Linear(8, UNITS)), getattr(nn, name)(), nn.Linear(UNITS, 2)))
    assert states(units_in(tmp_path), "1") == {"saturated": DEAD}


class Reader(nn.Module):
    """Reads four vectors one by one."""

    def __init__(self, states):
        super().__init__()
        self.rnn, self.head = states, nn.Linear(UNITS, 2)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


@pytest.mark.parametrize(
    ("kind", "nonlinearity", "state"),
    [(nn.RNN, "tanh", "saturated"), (nn.RNN, "relu", "dead"), (nn.GRU, None, "saturated"), (nn.LSTM, None, None)],
)
def test_states_of_recurrent_layers(tmp_path, kind, nonlinearity, state):
    torch.manual_seed(0)
    options = {} if nonlinearity is None else {"nonlinearity": nonlinearity}
    states_of = kind(8, UNITS, batch_first=True, **options)
    with torch.no_grad():  # The last gate of a GRU makes its candidate, the one before lets that in.
        states_of.bias_ih_l0.view(-1, UNITS)[-1, list(DEAD)] = -1e3
        if kind is nn.GRU:
            states_of.bias_ih_l0.view(-1, UNITS)[1, list(DEAD)] = -1e3
    train(tmp_path, Reader(states_of), (4, 8))
    assert states(units_in(tmp_path), "rnn") == ({} if state is None else {state: DEAD})


class Functional(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.layer, self.head, self.function = biased(nn.Linear(8, UNITS)), nn.Linear(UNITS, 2), function

    def forward(self, x):
        return self.head(self.function(self.layer(x)))


@pytest.mark.parametrize("function", [F.relu, F.gelu, F.silu, torch.relu, F.relu_], ids=lambda f: f.__name__)
def test_functions(tmp_path, function):
    torch.manual_seed(0)
    train(tmp_path, Functional(function))
    assert states(units_in(tmp_path), function.__name__.removesuffix("_")) == {"dead": DEAD}


def channels(*, norm):
    layers = [nn.Conv2d(1, UNITS, 3)]
    if norm:
        layers.append(nn.BatchNorm2d(UNITS))
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(UNITS * 16, 2))


@pytest.mark.parametrize("norm", [False, True])
def test_channels(tmp_path, norm):
    torch.manual_seed(0)
    model = channels(norm=norm)
    biased(model[1] if norm else model[0])
    train(tmp_path, model, (1, 6, 6))
    assert states(units_in(tmp_path), "2" if norm else "1") == {"dead": DEAD}


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.body = nn.Sequential(biased(nn.Linear(8, UNITS)), nn.ReLU())
        self.head, self.reentrant = nn.Linear(UNITS, 2), reentrant

    def forward(self, x):
        return self.head(checkpoint(self.body, x.requires_grad_(), use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed(tmp_path, reentrant):
    torch.manual_seed(0)
    train(tmp_path, Checkpointed(reentrant))
    units = units_in(tmp_path)
    assert states(units, "body.1") == {"dead": DEAD}
    assert units["body.1", 2]["samples"] == STEPS * BATCH


class Masked(nn.Module):
    """Dropout after the activation, a mask over it, and padding: zeros that are nobody's death."""

    def __init__(self):
        super().__init__()
        self.layer, self.act = nn.Linear(8, UNITS), nn.ReLU()
        self.drop, self.head = nn.Dropout(0.9), nn.Linear(UNITS, 2)

    def forward(self, x):
        x = torch.stack([x, torch.zeros_like(x)], dim=1)  # Every second place is padding.
        mask = torch.zeros(UNITS)
        mask[0] = 1.0
        return self.head(self.drop(self.act(self.layer(x))) * mask)


def test_dropout_masks_and_padding_kill_nobody(tmp_path):
    torch.manual_seed(0)
    train(tmp_path, Masked())
    assert states(units_in(tmp_path), "act") == {}


def test_evaluation_kills_nobody(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, UNITS), nn.ReLU(), nn.Linear(UNITS, 2))

    def evaluate(_step):
        model.eval()
        with torch.no_grad():
            model(torch.full((512, 8), -1e3) * model[0].weight.sum(0).sign())
        model.train()

    train(tmp_path, model, before=evaluate)
    assert "dead" not in states(units_in(tmp_path), "1")


def maxout(x):
    return x.unflatten(-1, (UNITS, 2)).amax(-1)


class Maxout(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(8, 2 * UNITS), nn.Linear(UNITS, 2)

    def forward(self, x):
        return self.head(maxout(self.layer(x)))


def test_maxout_kills_nobody(tmp_path):
    torch.manual_seed(0)
    model = Maxout()
    biased(model.layer, range(0, 2 * UNITS, 2))  # Half of the pieces never win.
    train(tmp_path, model)
    assert {entry["state"] for entry in units_in(tmp_path).values()} == {"alive"}


def test_a_layer_of_rare_units_is_sparse_and_not_dead(tmp_path):
    """Each unit fires for one sample in 200."""
    model = nn.Sequential(nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Linear(UNITS, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(UNITS))
        model[0].bias.fill_(-2.5758)  # Of standard normal numbers one in 200 lies beyond.
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, histograms=False)
        for _ in range(40):
            model(torch.randn(1024, UNITS)).sum().backward()
            optimizer.step()
    assert states(units_in(tmp_path), "1") == {"sparse": set(range(UNITS))}


def test_too_few_samples_are_silent_and_not_dead(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(biased(nn.Linear(8, UNITS)), nn.ReLU(), nn.Linear(UNITS, 2))
    train(tmp_path, model, steps=12)
    assert states(units_in(tmp_path), "1") == {"silent": DEAD}
    assert states(units_in(tmp_path, samples=300), "1") == {"dead": DEAD}


def test_a_spike_of_the_learning_rate_kills_and_a_new_bias_revives(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, UNITS), nn.ReLU(), nn.Linear(UNITS, 2))

    def operate(step):
        if step == 20:
            biased(model[0])  # What a huge update would do.
        if step == 60:
            with torch.no_grad():
                model[0].bias[5] = 0.5

    train(tmp_path, model, steps=100, rate=1e-3, before=operate)
    units = units_in(tmp_path)
    assert states(units, "1") == {"dead": DEAD - {5}, "revived": {5}}
    assert {units["1", unit]["since_step"] for unit in DEAD - {5}} == {20}


def test_frozen_layers(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(biased(nn.Linear(8, UNITS)), nn.ReLU(), nn.Linear(UNITS, 2))
    model[0].requires_grad_(False)
    train(tmp_path, model)
    assert states(units_in(tmp_path), "1") == {"frozen": DEAD}


class Dormant(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.act, self.head = nn.Linear(8, UNITS), nn.ReLU(), nn.Linear(UNITS, 2)
        self.late = nn.ReLU()
        self.step = 0

    def forward(self, x):
        self.step += 1
        x = self.act(self.layer(x))
        return self.head(self.late(x) if self.step < 20 else x)


def test_an_activation_that_no_longer_runs_is_not_recorded(tmp_path):
    torch.manual_seed(0)
    train(tmp_path, Dormant())
    units = units_in(tmp_path)
    assert states(units, "act") == {}
    assert states(units, "late") == {"not_recorded": set(range(UNITS))}


def test_nan_kills_nobody(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, UNITS), nn.ReLU(), nn.Linear(UNITS, 2))

    def spoil(step):
        if step == 30:
            with torch.no_grad():
                model[0].weight[3] = torch.nan

    train(tmp_path, model, before=spoil, rate=0.0)
    assert "dead" not in states(units_in(tmp_path), "1")


def test_a_very_wide_layer(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(biased(nn.Linear(8, 100_000)), nn.ReLU(), nn.Linear(100_000, 1))
    train(tmp_path, model, rate=1e-6, steps=40)
    assert states(units_in(tmp_path), "1").get("dead") == DEAD

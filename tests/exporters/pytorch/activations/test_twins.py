"""Units with equal or opposite incoming weights, in networks where it is known which have."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import read

UNITS = 24


def trained(folder, model, shape, steps=1, rate=0.0, change=lambda _step: None):
    """Train, so that weights stay as they are by default; return {step: {activation: [twin of each unit]}}."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    noise = torch.Generator().manual_seed(0)
    dtype = next(model.parameters()).dtype
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=1, histograms=False)
        for step in range(steps):
            change(step)
            model(torch.randn(shape, generator=noise).to(dtype)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    records = read(folder).units
    return {
        step: {name: [unit["twin"] for unit in units] for name, units in table.items()}
        for step, table in records.items()
    }


def twins_of(folder, model, shape):
    """Return {activation: {unit: twin}} of the units that have one, and of those of which it is unknown NaN."""
    (record,) = trained(folder, model, shape).values()
    return {name: {unit: twin for unit, twin in enumerate(twins) if twin != 0} for name, twins in record.items()}


def rows_of(weight):
    return weight.detach().double().flatten(1).numpy()


def by_hand(rows):
    """Return {unit: twin} from rows [units, any], each compared with each; an opposite row has all signs changed."""
    twins = {}
    for unit, row in enumerate(rows):
        for first in range(unit):
            limit = 1e-5 * max(np.linalg.norm(row), np.linalg.norm(rows[first]))
            if first not in twins and unit not in twins:
                for sign in (-1, 1):
                    if np.linalg.norm(row - sign * rows[first]) <= limit:
                        twins[unit] = float(sign * (first + 1))
    return twins


def operate(module, along=0):
    """Make units 5 and 9 copies of unit 2, 7 its opposite, 11 nearly a copy of 10, and 13 not quite one of 12."""
    with torch.no_grad():
        for parameter in module.parameters():
            rows = parameter.movedim(along if parameter.ndim > 1 else 0, 0)
            rows[5], rows[9], rows[7] = rows[2], rows[2], -rows[2]
            rows[11], rows[13] = rows[10] * (1 + 4e-6), rows[12] * (1 + 1e-4)


EXPECTED = {5: 3.0, 9: 3.0, 7: -3.0, 11: 11.0}


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Linear(8, UNITS), (16, 8)),
        (nn.Linear(8, UNITS, bias=False), (16, 3, 8)),
        (nn.Linear(1, UNITS), (16, 1)),
        (nn.Conv1d(3, UNITS, 3), (16, 3, 9)),
        (nn.Conv2d(3, UNITS, 3).to(memory_format=torch.channels_last), (16, 3, 6, 6)),
        (nn.Linear(8, UNITS).double(), (16, 8)),
    ],
    ids=["linear", "no bias", "one input", "conv1d", "channels last", "double"],
)
def test_twins_are_found_behind_a_layer_and_its_activation(module, shape, tmp_path):
    operate(module)
    rows = rows_of(module.weight)
    if module.bias is not None:
        rows = np.column_stack([rows, module.bias.detach().double().numpy()])
    assert by_hand(rows) == EXPECTED
    assert twins_of(tmp_path, nn.Sequential(module, nn.ReLU()), shape) == {"0": EXPECTED, "1": EXPECTED}


def test_a_transposed_convolution_has_its_units_along_the_other_axis(tmp_path):
    module = nn.ConvTranspose2d(3, UNITS, 3)
    operate(module, along=1)
    assert twins_of(tmp_path, module, (4, 3, 4, 4)) == {"ConvTranspose2d": EXPECTED}


@pytest.mark.parametrize("transposed", [False, True])
def test_units_of_different_groups_see_different_inputs(transposed, tmp_path):
    module = (nn.ConvTranspose1d if transposed else nn.Conv1d)(4, 8, 3, groups=2, bias=False)
    with torch.no_grad():
        module.weight.fill_(0.1)
    found = twins_of(tmp_path, module, (4, 4, 9))
    assert list(found.values()) == [{1: 1.0, 2: 1.0, 3: 1.0, 5: 5.0, 6: 5.0, 7: 5.0}]


@pytest.mark.parametrize(
    ("norm", "layer", "shape"),
    [
        (nn.BatchNorm2d, nn.Conv2d(3, UNITS, 3), (16, 3, 6, 6)),
        (nn.BatchNorm1d, nn.Linear(8, UNITS), (16, 8)),
        (nn.LayerNorm, nn.Linear(8, UNITS), (16, 8)),
        (nn.RMSNorm, nn.Linear(8, UNITS), (16, 8)),
    ],
    ids=["batch norm of channels", "batch norm", "layer norm", "rms norm"],
)
def test_what_a_normalisation_does_to_each_unit_counts(norm, layer, shape, tmp_path):
    operate(layer)
    model = nn.Sequential(layer, norm(UNITS), nn.ReLU())
    with torch.no_grad():
        model[1].weight[9] = 1.5
        if hasattr(model[1], "bias") and model[1].bias is not None:
            model[1].bias[2], model[1].bias[5], model[1].bias[7] = 0.25, 0.25, -0.25
    found = twins_of(tmp_path, model, shape)
    assert found["0"] == EXPECTED
    behind = {5: 3.0, 7: -3.0, 11: 11.0}
    # The running statistics of the near copy are near, too.
    assert found["2"] == behind or (found["2"] == {5: 3.0, 7: -3.0} and norm in (nn.BatchNorm1d, nn.BatchNorm2d))


def test_a_shift_that_does_not_change_its_sign_makes_no_opposite(tmp_path):
    layer = nn.Linear(8, UNITS)
    operate(layer)
    model = nn.Sequential(layer, nn.BatchNorm1d(UNITS), nn.Tanh())
    nn.init.constant_(model[1].bias, 0.5)
    assert 7 not in twins_of(tmp_path, model, (16, 8))["2"]


def test_slopes_of_single_units_count(tmp_path):
    layer = nn.Linear(8, UNITS)
    operate(layer)
    model = nn.Sequential(layer, nn.PReLU(UNITS))
    with torch.no_grad():
        model[1].weight[5] = 0.1
    found = twins_of(tmp_path, model, (16, 8))
    assert found == {"0": EXPECTED, "1": {7: -3.0, 9: 3.0, 11: 11.0}}


def test_groups_of_a_normalisation_count(tmp_path):
    layer = nn.Conv1d(3, 8, 3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter[2], parameter[6] = parameter[1], parameter[1]
    found = twins_of(tmp_path, nn.Sequential(layer, nn.GroupNorm(2, 8), nn.ReLU()), (4, 3, 9))
    assert found["0"] == {2: 2.0, 6: 2.0}
    assert found["2"] == {2: 2.0}


class States(nn.Module):
    """A recurrent layer whose states are what the model puts out."""

    def __init__(self, kind, **options):
        super().__init__()
        self.rnn = kind(3, 6, batch_first=True, **options)

    def forward(self, x):
        return self.rnn(x)[0]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bias": False}, {"bidirectional": True}], ids=str)
def test_states_are_twins_where_all_their_gates_are(kind, options, tmp_path):
    model = States(kind, **options)
    last = f"_l{options.get('num_layers', 1) - 1}"
    with torch.no_grad():
        for name, parameter in model.rnn.named_parameters():
            if name.endswith((last, f"{last}_reverse")):
                gates = parameter.unflatten(0, (-1, 6))
                gates[:, 4] = gates[:, 1]
                gates[-1, 5] = gates[-1, 2]  # Of one gate only, if there are several.
    twins = {4: 2.0} | ({5: 3.0} if kind is nn.RNN else {})
    if "bidirectional" in options:
        twins |= {unit + 6: twin + 6 for unit, twin in twins.items()}
    assert twins_of(tmp_path, model, (16, 5, 3)) == {"rnn": twins}


def test_functions_have_the_units_of_the_layer_before_them(tmp_path):
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, UNITS)

        def forward(self, x):
            return torch.relu(self.fc(x))

    model = Functional()
    operate(model.fc)
    *_, last = trained(tmp_path, model, (16, 8), steps=40).values()
    assert {unit: twin for unit, twin in enumerate(last["relu"]) if twin} == EXPECTED


class Unknown(nn.Module):
    """Scales its inputs by numbers that do not belong to units one by one."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Parameter(torch.eye(UNITS))

    def forward(self, x):
        return x @ self.mix


@pytest.mark.parametrize(
    "behind",
    [nn.Sequential(Unknown(), nn.ReLU()), nn.Sequential(nn.GRUCell(UNITS, 4))],
    ids=["mix", "cell"],
)
def test_what_can_not_be_told_is_unknown(behind, tmp_path):
    (record,) = trained_of_first(tmp_path, nn.Sequential(nn.Linear(8, UNITS), behind))
    assert all(math.isnan(twin) for twin in record)


def trained_of_first(folder, model):
    """Return the twins behind the first layer of a model, at each record."""

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            result = self.model(x)
            return result[0] if isinstance(result, tuple) else result

    return [list(record.values())[-1] for record in trained(folder, First(), (16, 8)).values()]


def test_a_weight_that_is_computed_when_asked_for_is_left_alone(tmp_path):
    """Spectral norm turns its vectors on each time that the weight is asked for in training."""

    def vectors(watched):
        torch.manual_seed(0)
        model = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(8, UNITS)), nn.ReLU())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with NetVizWriter(tmp_path / str(watched)) as writer:
            if watched:
                writer.watch(model, optimizer, every=1, histograms=False)
            for _ in range(4):
                model(torch.ones(4, 8)).sum().backward()
                optimizer.step()
        return model[0].parametrizations.weight[0]._u.clone()

    assert torch.equal(vectors(True), vectors(False))
    last = read(tmp_path / "True").units[3]["1"]
    assert all(math.isnan(unit["twin"]) for unit in last)


def test_weights_behind_a_mask_are_compared_with_it(tmp_path):
    model = nn.Sequential(nn.Linear(8, UNITS, bias=False), nn.ReLU())
    nn.utils.prune.ln_structured(model[0], "weight", amount=3 / UNITS, n=2, dim=0)
    zeros = np.flatnonzero((model[0].weight == 0).all(1).numpy())
    assert twins_of(tmp_path, model, (16, 8))["1"] == dict.fromkeys(zeros[1:].tolist(), float(zeros[0] + 1))


def test_weights_that_are_no_numbers_have_no_twin(tmp_path):
    model = nn.Sequential(nn.Linear(8, UNITS), nn.ReLU())
    operate(model[0])
    with torch.no_grad():
        model[0].weight[5, 0] = math.nan
    found = twins_of(tmp_path, model, (16, 8))["1"]
    assert math.isnan(found.pop(5))
    assert found == {unit: twin for unit, twin in EXPECTED.items() if unit != 5}


@pytest.mark.parametrize(("scale", "expected"), [(1e-15, EXPECTED), (1e15, EXPECTED), (1e-36, {})])
def test_the_size_of_weights_does_not_matter_unless_it_is_next_to_nothing(scale, expected, tmp_path):
    model = nn.Sequential(nn.Linear(8, UNITS, bias=False), nn.ReLU())
    operate(model[0])
    with torch.no_grad():
        model[0].weight.mul_(scale)
    assert twins_of(tmp_path, model, (16, 8))["1"] == expected


def test_a_fresh_network_has_no_twins(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512))
    assert all(found == {} for found in twins_of(tmp_path, model, (16, 64)).values())


def test_after_a_symmetric_initialisation_all_units_are_one_group(tmp_path):
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 1))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    records = trained(tmp_path, model, (16, 16), steps=20, rate=0.1)
    assert {tuple(record["1"]) for record in records.values()} == {(0.0,) + (1.0,) * 63}


def test_the_answer_is_carried_along_until_the_next_comparison(tmp_path):
    model = nn.Sequential(nn.Linear(8, UNITS), nn.ReLU())

    def change(step):
        if step == 3:
            operate(model[0])

    records = trained(tmp_path, model, (16, 8), steps=40, change=change)
    with_twins = [step for step, record in records.items() if any(record["1"])]
    assert with_twins == list(range(32, 40))  # So few units have 32 records an octave.


def test_the_last_record_has_the_last_answer(tmp_path):
    """Steps 64 and 65 share a record that is still open at the end."""
    model = nn.Sequential(nn.Linear(8, UNITS), nn.ReLU())
    records = trained(tmp_path, model, (16, 8), steps=65, change=lambda step: step == 64 and operate(model[0]))
    assert [step for step, record in records.items() if any(record["1"])] == [64]


def test_an_activation_that_did_not_run_has_no_answer(tmp_path):
    class Sometimes(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
            self.both = True

        def forward(self, x):
            return self.layers[1](self.layers[0](x)) if self.both else self.layers[0](x)

    model = Sometimes()
    records = trained(tmp_path, model, (16, 8), steps=4, change=lambda step: setattr(model, "both", step != 2))
    assert [math.isnan(record["layers.1"][0]) for record in records.values()] == [False, False, True, False]


def test_no_random_number_of_the_users_is_drawn(tmp_path):
    model = nn.Sequential(nn.Linear(8, UNITS), nn.ReLU())
    operate(model[0])
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  The generator that must stay as it is.
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    trained(tmp_path, model, (16, 8), steps=3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002

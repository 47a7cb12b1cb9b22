"""Every kind of parameter: recorded right, or left out in words, and never an exception."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import assert_equal, read, train_by_hand


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def regression(model):
    return model(torch.randn(8, 6)).square().mean()


def mlp():
    return nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))


def assert_right(recording, expected, steps=range(4)):
    assert sorted(recording.tables) == list(steps)
    for step, table in recording.tables.items():
        assert_equal(table, expected[step])


def omissions(recording):
    return {omission.subject: omission.reason for omission in recording.description.omissions}


def test_parameters_that_are_tied_and_untied_on_the_way(tmp_path):
    torch.manual_seed(1)
    model = mlp()
    optimizer = sgd(model)

    def change(step):
        if step == 2:
            model[2].weight = model[0].weight
        if step == 4:
            model[2].weight = nn.Parameter(model[0].weight.detach().clone())
            optimizer.add_param_group({"params": [model[2].weight], "lr": 0.2})

    recording, expected = train_by_hand(tmp_path, model, optimizer, regression, steps=6, before=change)
    # A row that is new has no gradient of the step before to be compared with, and nor have then the others.
    for step in (2, 4):
        for columns in expected[step].values():
            columns |= {"grad_dot_last": math.nan, "grad_norm_last": math.nan}
    assert_right(recording, expected, range(6))
    assert ["2.weight" in recording.tables[step] for step in range(6)] == [True, True, False, False, True, True]
    columns = recording.tables[5]["2.weight"]
    assert columns["update_norm"] == pytest.approx(0.2 * columns["grad_norm"], rel=1e-3)


def test_a_layer_that_is_removed(tmp_path):
    torch.manual_seed(2)
    model = mlp()

    def change(step):
        if step == 2:
            del model[2:4]

    recording, expected = train_by_hand(tmp_path, model, sgd(model), regression, before=change)
    for columns in expected[2].values():
        columns |= {"grad_dot_last": math.nan, "grad_norm_last": math.nan}
    assert_right(recording, expected)
    assert set(recording.tables[3]) == {"0.weight", "0.bias", "2.weight", "2.bias"}


@pytest.mark.parametrize("deletes", [True, False])
def test_parameters_that_are_replaced_by_new_ones(tmp_path, deletes):
    torch.manual_seed(3)
    model = mlp()
    optimizer = sgd(model)

    def change(step):
        if step % 2 == 1:
            value = model[0].weight.detach().clone()
            if deletes:  # The next one may then be found at the same address.
                optimizer.param_groups[0]["params"].pop(0)
                del model[0].weight
                model[0].weight = nn.Parameter(value)
                optimizer.param_groups[0]["params"].insert(0, model[0].weight)
            else:
                model[0].weight = nn.Parameter(value)
                optimizer.param_groups[0]["params"][0] = model[0].weight

    recording, expected = train_by_hand(tmp_path, model, optimizer, regression, steps=8, before=change)
    for step in range(8):
        for columns in (*recording.tables[step].values(), *expected[step].values()):
            columns |= {"grad_dot_last": math.nan, "grad_norm_last": math.nan}
    assert_right(recording, expected, range(8))
    columns = recording.tables[7]["0.weight"]
    assert columns["update_norm"] == pytest.approx(0.1 * columns["grad_norm"], rel=1e-3)


def test_parameters_that_are_replaced_between_records(tmp_path):
    torch.manual_seed(4)
    model = nn.Linear(6, 2)
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=4)
        for step in range(12):
            if step in (2, 6):
                del model.weight
                optimizer.param_groups.clear()
                optimizer.state.clear()
                model.weight = nn.Parameter(torch.randn(2, 6))
                optimizer.add_param_group({"params": list(model.parameters()), "lr": 0.1})
            regression(model).backward()
            optimizer.step()
            optimizer.zero_grad()
    tables = read(tmp_path).tables
    assert sorted(tables) == [0, 4, 8]
    for table in tables.values():
        for columns in table.values():
            assert columns["grad_norm"] == pytest.approx(columns["update_norm"] / 0.1, rel=1e-3)


def test_a_model_that_is_trained_by_a_new_optimizer_half_way(tmp_path):
    torch.manual_seed(5)
    model = mlp()
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1)
        for phase in range(2):
            model[0].requires_grad_(phase == 1)
            optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
            for _ in range(2):
                regression(model).backward()
                optimizer.step()
                optimizer.zero_grad()
    recording = read(tmp_path)
    assert sorted(recording.tables) == [0, 1, 2, 3]
    assert [recording.tables[step]["0.weight"]["present"] for step in range(4)] == [0, 0, 1, 1]
    assert [recording.tables[step]["0.weight"]["update_norm"] > 0 for step in range(4)] == [False, False, True, True]
    assert [one.parameters[0].frozen for one in recording.descriptions] == [True, False]


def test_sparse_parameters(tmp_path):
    torch.manual_seed(6)

    class Sparse(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.eye(6).to_sparse())
            self.dense = nn.Linear(6, 2)

        def forward(self, x):
            return self.dense(torch.sparse.mm(self.weight, x.T).T)

    model = Sparse()
    recording, expected = train_by_hand(tmp_path, model, sgd(model), regression)
    for table in (*expected.values(), *recording.tables.values()):
        table["weight"] |= {"grad_dot_last": math.nan, "grad_norm_last": math.nan}
    assert_right(recording, expected)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("trains", [True, False])
def test_parameters_of_eight_bits(tmp_path, dtype, trains):
    torch.manual_seed(7)

    class Short(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 6).to(dtype), requires_grad=trains)
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            return self.head(x @ self.weight.float())

    model = Short()
    # No optimizer of torch steps them.
    recording, expected = train_by_hand(tmp_path, model, sgd(model.head), regression)
    assert_right(recording, expected)
    assert recording.description.parameters[0].dtype == str(dtype).removeprefix("torch.")
    assert recording.tables[3]["weight"]["present"] == float(trains)
    assert recording.bins[0]["weight"].sum() == (36 if trains else 0)


def test_parameters_of_integers_are_left_out(tmp_path):
    model = nn.Linear(6, 2)
    model.codes = nn.Parameter(torch.arange(5), requires_grad=False)
    model.mask = nn.Parameter(torch.ones(5, dtype=torch.bool), requires_grad=False)
    recording, expected = train_by_hand(tmp_path, model, sgd(model), regression)
    for table in expected.values():
        del table["codes"], table["mask"]
    assert_right(recording, expected)
    assert omissions(recording) == {"codes": "holds int64", "mask": "holds bool"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor:UserWarning")
def test_quantized_modules(tmp_path):
    torch.manual_seed(8)
    backbone = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(6, 6)), {nn.Linear}, dtype=torch.qint8)
    model = nn.Sequential(backbone, nn.ReLU(), nn.Linear(6, 2))
    recording, expected = train_by_hand(tmp_path, model, sgd(model), regression)
    assert_right(recording, expected)
    assert [module.type for module in recording.description.modules][2] == "Linear"
    assert recording.description.modules[2].output_shape == (8, 6)


def test_parameters_on_the_meta_device_are_left_out(tmp_path):
    torch.manual_seed(9)
    model = nn.Linear(6, 2)
    model.spare = nn.Linear(3, 3, device="meta")
    optimizer = torch.optim.SGD([model.weight, model.bias], lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(3):
            regression(model).backward()
            optimizer.step()
    recording = read(tmp_path)
    assert sorted(recording.tables) == [0, 1, 2]
    assert set(recording.tables[2]) == {"weight", "bias"}
    assert omissions(recording)["spare.weight"] == "has no values, being on the meta device"


def test_a_model_whose_values_come_later(tmp_path):
    torch.manual_seed(10)
    with torch.device("meta"):
        model = nn.Linear(6, 2)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1)
        model.to_empty(device="cpu")
        model.reset_parameters()
        optimizer = sgd(model)
        for _ in range(2):
            regression(model).backward()
            optimizer.step()
            optimizer.zero_grad()
    recording = read(tmp_path)
    assert [set(table) for table in recording.tables.values()] == [{"weight", "bias"}] * 2


@pytest.mark.parametrize("given", [True, False])
def test_lazy_modules(tmp_path, given):
    torch.manual_seed(11)
    model = nn.Sequential(nn.LazyConv1d(4, 3), nn.LazyBatchNorm1d(), nn.Flatten(), nn.LazyLinear(2))
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer if given else None, every=1)
        for _ in range(3):
            model(torch.randn(8, 2, 6)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    recording = read(tmp_path)
    assert sorted(recording.tables) == [0, 1, 2]
    assert [row.shape for row in recording.description.parameters] == [(4, 2, 3), (4,), (4,), (4,), (2, 16), (2,)]
    assert not [subject for subject in omissions(recording) if subject != "graph"]
    for columns in recording.tables[2].values():
        assert columns["grad_norm"] == pytest.approx(columns["update_norm"] / 0.1, rel=2e-3, abs=1e-6)


@pytest.mark.parametrize(
    ("apply", "names"),
    [
        (parametrizations.weight_norm, {"parametrizations.weight.original0", "parametrizations.weight.original1"}),
        (parametrizations.spectral_norm, {"parametrizations.weight.original"}),
        (parametrizations.orthogonal, {"parametrizations.weight.original"}),
        (nn.utils.spectral_norm, {"weight_orig"}),
        (lambda layer: prune.random_unstructured(layer, "weight", 0.5), {"weight_orig"}),
    ],
    ids=["weight_norm", "spectral_norm", "orthogonal", "old spectral_norm", "prune"],
)
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.filterwarnings("ignore:.*spectral_norm.*is deprecated:FutureWarning")
def test_parametrizations(tmp_path, apply, names, late):
    torch.manual_seed(12)
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 2))
    optimizer = sgd(model)

    def parametrize_now():
        apply(model[0])
        optimizer.param_groups.clear()
        optimizer.add_param_group({"params": list(model.parameters()), "lr": 0.1})

    if not late:
        parametrize_now()
    recording, expected = train_by_hand(
        tmp_path,
        model,
        optimizer,
        regression,
        before=lambda step: parametrize_now() if late and step == 2 else None,
    )
    for table in (*expected.values(), *recording.tables.values()):
        for columns in table.values():
            columns |= {"grad_dot_last": math.nan, "grad_norm_last": math.nan}
    assert_right(recording, expected)
    assert {f"0.{name}" for name in names} <= set(recording.tables[3])
    assert "0.weight" not in recording.tables[3]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's own, in tracing.
def test_pruning_that_is_made_permanent(tmp_path):
    torch.manual_seed(13)
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 2))
    prune.l1_unstructured(model[0], "weight", 0.5)
    optimizer = sgd(model)

    def change(step):
        if step == 2:
            prune.remove(model[0], "weight")
            optimizer.param_groups[0]["params"] = list(model.parameters())

    recording, expected = train_by_hand(tmp_path, model, optimizer, regression, before=change)
    for table in (*expected.values(), *recording.tables.values()):
        for columns in table.values():
            columns |= {"grad_dot_last": math.nan, "grad_norm_last": math.nan}
    assert_right(recording, expected)
    assert "0.weight" in recording.tables[3]


def test_parametrizations_that_are_removed(tmp_path):
    torch.manual_seed(14)
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 6)), nn.Linear(6, 2))
    optimizer = sgd(model)

    def change(step):
        if step == 2:
            parametrize.remove_parametrizations(model[0], "weight")
            optimizer.param_groups[0]["params"] = list(model.parameters())

    recording, expected = train_by_hand(tmp_path, model, optimizer, regression, before=change)
    for table in (*expected.values(), *recording.tables.values()):
        for columns in table.values():
            columns |= {"grad_dot_last": math.nan, "grad_norm_last": math.nan}
    assert_right(recording, expected)


def test_scalars_empty_parameters_and_lists_of_them(tmp_path):
    torch.manual_seed(15)

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))
            self.empty = nn.Parameter(torch.zeros(0, 3))
            self.list = nn.ParameterList([torch.randn(6), torch.randn(6)])
            self.dict = nn.ParameterDict({"bias": torch.randn(6)})
            self.rnn = nn.GRU(6, 4, batch_first=True)

        def forward(self, x):
            x = x * self.list[0] + self.list[1] + self.dict["bias"]
            return self.rnn(x[:, None])[0] * self.scale + self.empty.sum()

    model = Odd()
    recording, expected = train_by_hand(tmp_path, model, sgd(model), regression)
    assert_right(recording, expected)
    assert {"scale", "empty", "list.0", "dict.bias", "rnn.weight_hh_l0"} <= set(recording.tables[3])


def test_gradients_in_half_precision_of_wide_parameters(tmp_path):
    """`grad_dtype` lets a parameter take gradients of another type."""
    torch.manual_seed(16)
    model = nn.Linear(6, 2)
    for parameter in model.parameters():
        parameter.grad_dtype = torch.bfloat16
    recording, expected = train_by_hand(
        tmp_path, model, torch.optim.SGD(model.parameters(), lr=0.0, foreach=False), regression, steps=2
    )
    assert_right(recording, expected, range(2))


@pytest.mark.parametrize("swaps", [False, True])
def test_a_model_that_is_converted_on_the_way(tmp_path, swaps):
    """Swapping, which some kinds of tensors ask for, is refused for tensors that somebody refers to weakly."""
    torch.manual_seed(17)
    model = nn.Linear(6, 2)
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        torch.__future__.set_swap_module_params_on_conversion(swaps)
        try:
            for step in range(4):
                if step == 2:
                    model.to(torch.float64)
                model(torch.randn(8, 6, dtype=model.weight.dtype)).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
            model.load_state_dict(model.state_dict())
        finally:
            torch.__future__.set_swap_module_params_on_conversion(False)
    recording = read(tmp_path)
    assert sorted(recording.tables) == [0, 1, 2, 3]
    assert [one.parameters[0].dtype for one in recording.descriptions] == ["float32", "float64"]
    for columns in recording.tables[3].values():
        assert columns["grad_norm"] == pytest.approx(columns["update_norm"] / 0.1, rel=1e-6)


def test_a_lazy_module_that_runs_later_than_the_others(tmp_path):
    torch.manual_seed(18)
    model = nn.Sequential(nn.Linear(6, 6), nn.LazyLinear(2))
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(4):
            (model if step > 1 else model[0])(torch.randn(8, 6)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    recording = read(tmp_path)
    assert [len(table) for table in recording.tables.values()] == [2, 2, 4, 4]
    assert "1.weight" not in omissions(recording)

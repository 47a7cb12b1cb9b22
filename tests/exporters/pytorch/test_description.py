"""What a run says of its model: names, order, shapes, and what was left out."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch.details import detail_of
from tb_netviz.pytorch.membership import MOST_SETTINGS
from tests.support.watching import read


class Reordered(nn.Module):
    """Runs its layers in another order than it registers them, and one of them never."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 2)
        self.unused = nn.Linear(3, 3)
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.head(self.body(x)) * self.scale


def record(folder, model, batch, *, watched=None, forward=None, optimizer=None, steps=2, **options):
    """Train a few steps, watching `watched` and calling `forward`; return the recording."""
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    forward = model if forward is None else forward
    with NetVizWriter(folder) as writer:
        writer.watch(model if watched is None else watched, optimizer, every=1, **options)
        for _ in range(steps):
            forward(batch).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    return read(folder)


def test_modules_stand_in_the_order_in_which_they_run(tmp_path):
    description = record(tmp_path, Reordered(), torch.randn(5, 4)).description
    assert [module.name for module in description.modules] == [
        "Reordered",
        "body",
        "body.0",
        "body.1",
        "head",
        "unused",
    ]
    assert [row.name for row in description.parameters] == [
        "scale",
        "body.0.weight",
        "body.0.bias",
        "head.weight",
        "head.bias",
        "unused.weight",
        "unused.bias",
    ]
    assert [description.modules[row.owner].name for row in description.parameters][:2] == ["Reordered", "body.0"]


def test_modules_have_types_shapes_and_details(tmp_path):
    description = record(tmp_path, Reordered(), torch.randn(5, 4)).description
    (layer,) = [module for module in description.modules if module.name == "body.0"]
    assert (layer.type, layer.input_shape, layer.output_shape, layer.detail) == ("Linear", (5, 4), (5, 8), "4 → 8")
    (unused,) = [module for module in description.modules if module.name == "unused"]
    assert (unused.input_shape, unused.output_shape) == ((), ())
    assert description.framework.startswith("pytorch 2.")
    assert description.writer.startswith("tb-netviz")
    assert [(group.optimizer, group.learning_rate) for group in description.groups] == [("SGD", 0.1)]


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        (
            lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
            {"momentum": 0.9, "dampening": 0.0, "weight_decay": 0.01, "nesterov": 1.0},
        ),
        (torch.optim.AdamW, {"betas.0": 0.9, "betas.1": 0.999, "weight_decay": 0.01}),
        (lambda parameters: torch.optim.RMSprop(parameters, eps=1e-3), {"alpha": 0.99, "eps": 1e-3, "centered": 0.0}),
    ],
)
def test_the_numbers_of_an_optimizer(tmp_path, optimizer, settings):
    model = nn.Linear(4, 2)
    (group,) = record(tmp_path, model, torch.ones(3, 4), optimizer=optimizer(model.parameters())).description.groups
    assert {name: group.setting(name) for name in settings} == settings
    assert group.settings == tuple(sorted(group.settings))
    assert not {name for name, _ in group.settings} & {"params", "lr", "fused", "foreach"}


def test_of_a_hostile_group_there_are_some_numbers_all_the_same(tmp_path):
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    odd: dict[Any, Any] = {"words": "many", "none": None, "tensor": torch.ones(2), "list": [1, "two", (3.0,)]}
    odd |= {"huge": 10**400, "endless": float("inf"), 7: 8.0}
    optimizer.param_groups[0].update({**odd, **{f"z{index:03}": index for index in range(100)}})
    (group,) = record(tmp_path, model, torch.ones(3, 4), optimizer=optimizer).description.groups
    assert len(group.settings) == MOST_SETTINGS
    assert (group.setting("list.0"), group.setting("list.2.0")) == (1.0, 3.0)
    assert (
        group.setting("words") is group.setting("tensor") is group.setting("huge") is group.setting("endless") is None
    )


@pytest.mark.parametrize(
    ("module", "detail"),
    [
        (nn.Conv2d(64, 64, 3), "64 → 64, kernel 3×3"),
        (nn.Conv1d(4, 8, 5, stride=2, groups=4), "4 → 8, kernel 5, stride 2, 4 groups"),
        (nn.ConvTranspose2d(2, 3, (1, 2)), "2 → 3, kernel 1×2"),
        (nn.Embedding(100, 16), "100 × 16"),
        (nn.LayerNorm((3, 4)), "3×4"),
        (nn.GroupNorm(2, 4), "4 channels in 2 groups"),
        (nn.BatchNorm2d(7), "7 channels"),
        (nn.BatchNorm1d(8, momentum=1e-4), "8 channels, momentum 0.0001"),
        (nn.BatchNorm3d(8, momentum=None), "8 channels, cumulative"),
        (nn.SyncBatchNorm(8, momentum=0.0), "8 channels, momentum 0"),
        (nn.InstanceNorm1d(8, momentum=0.5), "8 channels"),  # It keeps no statistics.
        (nn.LSTM(3, 5, num_layers=2), "3 → 5, 2 layers"),
        (nn.MultiheadAttention(8, 1), "8, 1 head"),
        (nn.Sequential(nn.ReLU()), ""),
        (nn.Dropout(0.5), "p=0.5, inplace=False"),
    ],
)
def test_details(module, detail):
    assert detail_of(module) == detail


def test_a_module_whose_representation_fails_or_is_long_is_described_all_the_same():
    class Odd(nn.Module):
        def extra_repr(self):
            return "x" * 500

    class Broken(nn.Module):
        def extra_repr(self):
            raise RuntimeError

    assert len(detail_of(Odd())) == 80
    assert detail_of(Broken()) == ""


@pytest.mark.parametrize("watch_the_wrapper", [True, False])
@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")], ids=["DataParallel", "compile"]
)
def test_wrappers_leave_no_trace_in_names(tmp_path, wrap, watch_the_wrapper):
    model = Reordered()
    wrapper = wrap(model)
    watched = wrapper if watch_the_wrapper else model
    recording = record(tmp_path, model, torch.randn(5, 4), watched=watched, forward=wrapper)
    names = {row.name for row in recording.description.parameters}
    assert names == {name for name, _ in model.named_parameters()}
    assert not any("_orig_mod" in module.name or "module" in module.name for module in recording.description.modules)
    assert sorted(recording.tables) == [0, 1]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's own, in tracing.
def test_wrappers_inside_a_model_leave_no_trace_but_a_module_called_module_does(tmp_path):
    model = nn.Sequential()
    model.add_module("module", nn.Linear(4, 4))
    inner: Any = torch.compile(nn.Linear(4, 4), backend="eager")
    model.add_module("compiled", inner)
    recording = record(tmp_path, model, torch.randn(2, 4))
    assert [row.name for row in recording.description.parameters] == [
        "module.weight",
        "module.bias",
        "compiled.weight",
        "compiled.bias",
    ]


def test_include_and_exclude(tmp_path):
    recording = record(tmp_path, Reordered(), torch.randn(5, 4), include=["*.weight", "scale"], exclude="head.*")
    assert [row.name for row in recording.description.parameters] == ["scale", "body.0.weight", "unused.weight"]
    omitted = {omission.subject: omission.reason for omission in recording.description.omissions}
    assert omitted["head.weight"] == "named by exclude"
    assert omitted["body.0.bias"] == "not named by include"


def test_shapes_are_found_in_nested_outputs(tmp_path):
    class Sentence(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.LSTM(3, 5, batch_first=True)

        def forward(self, inputs):
            packed = nn.utils.rnn.pack_padded_sequence(inputs["x"], torch.tensor([4, 2]), batch_first=True)
            return {"state": [self.cell(packed)[1][0]]}

    model = Sentence()
    recording = record(
        tmp_path, model, {"x": torch.randn(2, 4, 3)}, forward=lambda batch: model(batch)["state"][0], histograms=False
    )
    cell = recording.description.modules[1]
    assert (cell.input_shape, cell.output_shape) == ((6, 3), (6, 5))


def test_a_lazy_module_is_described_once_it_has_values(tmp_path):
    model = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2))
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1)
        loss = model(torch.randn(4, 6)).sum()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loss.backward()
        optimizer.step()
    assert read(tmp_path).description.parameters[0].shape == (3, 6)


def test_hostile_names(tmp_path):
    model = nn.Sequential()
    names = ["<img src=x onerror=alert(1)>", "line\nbreak", "../../etc", "🦆" * 200]
    for name in names:
        model.add_module(name.replace(".", "_"), nn.Linear(2, 2))
    recording = record(tmp_path, model, torch.randn(3, 2))
    assert [row.name for row in recording.description.parameters[::2]] == [
        f"{name.replace('.', '_')}.weight" for name in names
    ]
    assert sorted(recording.tables) == [0, 1]


class Dropping(nn.Module):
    """Leaves out 0.9 by calling a function in its own code, and 0.3 by a module; and a block of its own 0.6."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.block = Block()
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        hidden = functional.dropout(self.first(x), 0.9, self.training)
        unused = functional.dropout(hidden, p=0.99, training=False)
        return self.head(self.drop(self.block(unused)))


class Block(nn.Module):
    def forward(self, x):
        return functional.dropout(x, training=self.training) + functional.alpha_dropout(x, p=0.6, training=True)


def test_dropout_is_described_whether_it_is_a_module_or_a_function(tmp_path):
    description = record(tmp_path, Dropping(), torch.randn(5, 4), steps=4).description
    shares = {module.name: module.dropout for module in description.modules}
    assert shares == {"Dropping": 0.9, "first": 0, "block": 0.6, "drop": 0.3, "head": 0}


def test_dropout_of_recurrent_layers_is_described(tmp_path):
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(4, 8, num_layers=2, dropout=0.7)

        def forward(self, x):
            return self.rnn(x)[0]

    description = record(tmp_path, Tagger(), torch.randn(5, 3, 4)).description
    assert {module.name: module.dropout for module in description.modules} == {"Tagger": 0, "rnn": 0.7}

"""TorchScript takes no hooks: parameters are recorded all the same, and what can't be seen is said."""

import io
import warnings

import pytest
import torch
from torch import nn
from torch.jit._script import script_method  # Where its type is.

from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import assert_equal, read, train_by_hand

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:netviz. .*TorchScript"),
]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))


def traced(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of the batch norm, whose code asks for shapes.
        return torch.jit.trace(model, torch.randn(4, 6))


def loaded(model):
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(model), file)
    file.seek(0)
    return torch.jit.load(file)


def written():
    """Return a module as TorchScript was written at first."""

    class Written(torch.jit.ScriptModule):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(6))
            self.net = nn.Linear(6, 2)

        @script_method
        def forward(self, x):
            return self.net(x * self.scale)

    return Written()


WAYS = {
    "scripted": lambda: torch.jit.script(network()),
    "traced": lambda: traced(network()),
    "loaded": lambda: loaded(network()),
    "script methods": written,
}


def loss_of(model):
    return model(torch.randn(4, 6)).square().mean()


def descent(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def omitted(recording):
    return {omission.subject: omission.reason for omission in recording.description.omissions}


@pytest.mark.parametrize("way", WAYS)
def test_gradients_weights_and_updates_are_recorded(tmp_path, way):
    model = WAYS[way]()
    recording, expected = train_by_hand(tmp_path, model, descent(model), loss_of)
    assert sorted(recording.tables) == [0, 1, 2, 3]
    for step, table in recording.tables.items():
        assert_equal(table, expected[step])
    assert recording.bins
    assert recording.histograms


@pytest.mark.parametrize("way", WAYS)
def test_training_is_bit_for_bit_the_bare_one(tmp_path, way):
    def trained(folder):
        model = WAYS[way]()
        optimizer = descent(model)
        torch.manual_seed(1)
        with NetVizWriter(tmp_path / folder) as writer:
            if folder == "watched":
                writer.watch(model, optimizer, every=1)
            for _ in range(3):
                loss_of(model).backward()
                optimizer.step()
                optimizer.zero_grad()
        return list(model.state_dict().values())

    assert all(map(torch.equal, trained("watched"), trained("bare")))


@pytest.mark.parametrize("way", WAYS)
def test_what_can_not_be_seen_is_said_once(tmp_path, way):
    model = WAYS[way]()
    with pytest.warns(NetVizWarning) as told:
        recording, _ = train_by_hand(tmp_path, model, descent(model), loss_of)
    (text,) = [str(each.message) for each in told]
    name = "Written" if way == "script methods" else "Sequential"
    assert text.startswith(f"netviz: {name} is TorchScript")
    assert "writer.step moves on with the optimizer's step" in text
    assert "activations" in omitted(recording)[name]
    assert not recording.activations
    described = {module.name: (module.type, module.detail) for module in recording.description.modules}
    assert described[name] == (name, "TorchScript")
    assert ("Linear", "TorchScript") in described.values()


def test_a_part_that_is_scripted_hides_itself_and_nothing_else(tmp_path):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 6)
            self.part = torch.jit.script(network())
            self.act = nn.ReLU()
            self.last = nn.Linear(2, 2)

        def forward(self, x):
            return self.last(self.act(self.part(self.first(x))))

    model = Mixed()
    with warnings.catch_warnings():
        warnings.simplefilter("error", NetVizWarning)
        recording, expected = train_by_hand(tmp_path, model, descent(model), loss_of)
    for step, table in recording.tables.items():
        assert_equal(table, expected[step])
    assert "part.3.weight" in recording.tables[0]
    assert {activation.name for activation in recording.description.activations} == {"first", "act", "last"}
    assert [name for name in omitted(recording) if name.startswith("part")] == ["part"]
    assert "TorchScript" in omitted(recording)["part"]
    assert recording.graphs == 1


def test_a_layer_is_not_taken_for_the_one_that_is_hidden_behind_it(tmp_path):
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 6)
            self.part = torch.jit.script(nn.Linear(6, 6))
            self.act = nn.ReLU()

        def forward(self, x):
            return self.act(self.part(self.first(x)))

    model = Hidden()
    recording, _ = train_by_hand(tmp_path, model, descent(model), loss_of)
    (act,) = [activation for activation in recording.description.activations if activation.name == "act"]
    assert act.source is None


def test_a_criterion_of_torchscript_is_no_module_that_can_be_heard(tmp_path):
    model = network()
    optimizer = descent(model)
    criterion = torch.jit.script(nn.MSELoss())
    with NetVizWriter(tmp_path) as writer:
        with pytest.warns(NetVizWarning, match="criterion is TorchScript"):
            writer.watch(model, optimizer, criterion, every=1)
        criterion(model(torch.randn(4, 6)), torch.zeros(4, 2)).backward()
        optimizer.step()
    assert sorted(read(tmp_path).tables) == [0]


def test_activation_maps_of_a_watched_one_are_refused_in_words(tmp_path):
    model = torch.jit.script(network())
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, descent(model))
        with pytest.raises(ValueError, match="TorchScript"):
            writer.watch_activation_maps(torch.randn(2, 6))


def test_it_is_numbered_by_its_optimizers_steps_and_can_be_detached(tmp_path):
    model = torch.jit.script(network())
    optimizer = descent(model)
    with NetVizWriter(tmp_path) as writer:
        watch = writer.watch(model, optimizer, every=1)
        seen = []
        for _ in range(3):
            loss_of(model).backward()
            optimizer.step()
            seen.append(writer.step)
        watch.detach()
        loss_of(model).backward()
        optimizer.step()
    assert seen == [0, 1, 2]
    assert sorted(read(tmp_path).tables) == [0, 1, 2]

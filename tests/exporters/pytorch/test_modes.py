"""In which mode a model is trained, and in which it is evaluated."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import read

STEPS, EVERY = 12, 4
EVALUATED, TRAINED = "netviz/evaluated_in_training_mode", "netviz/trained_in_evaluation_mode"
YES, NO = 1.0, 0.0


def network(*, modal=True):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8) if modal else nn.ReLU(), nn.Dropout(0.5 * modal), nn.Linear(8, 1)
    )


def evaluate(model, *, to_evaluation=True, back=True):
    if to_evaluation:
        model.eval()
    with torch.no_grad():
        model(torch.randn(16, 6))
    if back:
        model.train()


def train(folder, model, evaluation=evaluate, *, every=EVERY, steps=STEPS, call=None):
    """Train and evaluate every few steps; return by tag the values by step."""
    call = call or model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with NetVizWriter(folder) as writer:
        writer.watch(call if isinstance(call, nn.Module) else model, optimizer, every=1)
        for step in range(steps):
            optimizer.zero_grad()
            call(torch.randn(16, 6)).square().mean().backward()
            optimizer.step()
            if step % every == every - 1:
                evaluation(model)
    return recorded(folder)


def recorded(folder):
    """Return by tag the values by step; TensorBoard's own scalars have those that hold."""
    recording = read(folder)
    for tag in (EVALUATED, TRAINED):
        steps = [step for _, step, _ in recording.metrics.get(tag, [])]
        assert steps == sorted(set(steps))
    values = {tag: {step: value for _, step, value in recording.metrics.get(tag, [])} for tag in (EVALUATED, TRAINED)}
    for tag, by_step in values.items():
        assert recording.scalars.get(tag, []) == [(step, value) for step, value in by_step.items() if value == YES]
    return values


def evaluated(folder, *arguments, **keywords):
    return list(train(folder, *arguments, **keywords)[EVALUATED].values())


def trained(folder, *arguments, **keywords):
    return train(folder, *arguments, **keywords)[TRAINED]


def test_evaluation_in_training_mode(tmp_path):
    assert evaluated(tmp_path, network(), lambda model: evaluate(model, to_evaluation=False)) == [YES] * 3


def test_evaluation_in_evaluation_mode(tmp_path):
    assert evaluated(tmp_path, network()) == [NO] * 3


def test_a_model_that_does_the_same_in_both_modes(tmp_path):
    assert evaluated(tmp_path, network(modal=False), lambda model: evaluate(model, to_evaluation=False)) == [NO] * 3


def test_dropout_alone_that_goes_on_on_purpose(tmp_path):
    def sampled(model):
        model.eval()
        model[2].train()
        with torch.no_grad():
            model(torch.randn(16, 6))
        model.train()

    assert evaluated(tmp_path, network(), sampled) == [NO] * 3


def test_statistics_that_are_frozen_in_training(tmp_path):
    model = network()

    def frozen(model):
        evaluate(model)
        model[1].eval()

    frozen(model)
    assert set(trained(tmp_path, model, frozen).values()) == {NO}


def test_passes_without_gradients_at_every_step_are_no_evaluations(tmp_path):
    generated = evaluated(tmp_path, network(), lambda model: evaluate(model, to_evaluation=False), every=1)
    assert len(generated) == 1


def test_passes_that_are_computed_again_are_no_evaluations(tmp_path):
    model = network()

    def again(inputs):
        return checkpoint(model, inputs.requires_grad_(), use_reentrant=True)

    assert evaluated(tmp_path, model, lambda model: evaluate(model, to_evaluation=False), call=again) == []


def test_training_that_stays_in_evaluation_mode(tmp_path):
    stuck = trained(tmp_path, network(), lambda model: evaluate(model, back=False))
    assert stuck == {0: NO, 1: NO, 3: NO, 4: YES, 7: YES}
    late = trained(tmp_path / "late", network(), lambda model: evaluate(model, back=False), every=6)
    assert late == {0: NO, 1: NO, 3: NO, 5: NO, 6: YES, 7: YES}


def test_training_that_is_switched_back(tmp_path):
    assert set(trained(tmp_path, network()).values()) == {NO}


def test_training_that_begins_in_evaluation_mode(tmp_path):
    model = network().eval()
    assert set(trained(tmp_path, model, lambda model: evaluate(model, back=False)).values()) == {YES}


def test_it_is_looked_at_less_and_less_often(tmp_path):
    assert list(trained(tmp_path, network(), steps=40)) == [0, 1, 3, 7, 15, 31]


def test_evaluation_after_the_last_step(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(5):
            model(torch.randn(16, 6)).square().mean().backward()
            optimizer.step()
        evaluate(model, to_evaluation=False)
    assert list(recorded(tmp_path)[EVALUATED].values()) == [YES]


def test_what_happens_in_a_pause_is_forgotten(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with NetVizWriter(tmp_path) as writer:
        watch = writer.watch(model, optimizer, every=1)
        for step in range(6):
            model(torch.randn(16, 6)).square().mean().backward()
            optimizer.step()
            if step == 2:
                watch.pause()
                evaluate(model, to_evaluation=False)
                watch.resume()
    assert recorded(tmp_path)[EVALUATED] == {}


@pytest.mark.parametrize("layer", [nn.LSTM(6, 6, num_layers=2, dropout=0.3), nn.MultiheadAttention(6, 2, dropout=0.3)])
def test_dropout_inside_of_layers(tmp_path, layer):
    class Inside(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, inputs):
            arguments = (inputs,) if isinstance(self.layer, nn.LSTM) else (inputs, inputs, inputs)
            return self.layer(*arguments)[0]

    assert evaluated(tmp_path, Inside(), lambda model: evaluate(model, to_evaluation=False)) == [YES] * 3


def test_a_compiled_model(tmp_path):
    model = network()
    compiled = torch.compile(model, backend="eager")
    found = train(tmp_path, model, lambda _: evaluate(compiled, to_evaluation=False), call=compiled)
    assert list(found[EVALUATED].values()) == [YES] * 3

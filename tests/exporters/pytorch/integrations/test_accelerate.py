"""A training loop under the real Accelerator."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from tb_netviz.pytorch import watch
from tb_netviz.pytorch.integrations.accelerate import NetVizTracker
from tests.exporters.pytorch.integrations.training import (
    CLIP,
    Witness,
    assert_equal_weights,
    assert_recorded,
    by_hand,
    clipped,
    hooks_of,
    hooks_on_step,
    losses,
)
from tests.support.watching import events_in, read

BATCHES = 12


@pytest.fixture(autouse=True)
def fresh_accelerator():
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def batches():
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(4, 6, generator=generator), torch.randn(4, 2, generator=generator)) for _ in range(BATCHES)]


def network(dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(dropout), nn.ReLU(), nn.Linear(8, 2))


def loss_of(model, batch):
    x, y = batch
    dtype = next(model.parameters()).dtype
    return nn.functional.mse_loss(model(x.to(dtype)), y.to(dtype))


def train(model, tracker=None, *, accumulate=1, precision="no", prepared_first=True):
    """Train for an epoch, as Accelerate's documents do; return the optimizer."""
    torch.manual_seed(5)
    witness = Witness(model.parameters())
    accelerator = Accelerator(
        cpu=True, mixed_precision=precision, gradient_accumulation_steps=accumulate, log_with=tracker
    )
    accelerator.init_trackers("digits")
    rows = torch.utils.data.TensorDataset(*map(torch.cat, zip(*batches(), strict=True)))
    loader = torch.utils.data.DataLoader(rows, batch_size=4)
    if tracker and not prepared_first:
        tracker.watch(model, witness, every=1, histograms=False)
    model, optimizer, loader = accelerator.prepare(model, witness, loader)
    if tracker and prepared_first:
        tracker.watch(model, optimizer, every=1, histograms=False)
    for batch in loader:
        with accelerator.accumulate(model):
            loss = loss_of(model, batch)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            optimizer.zero_grad()
        if accelerator.sync_gradients:
            accelerator.log({"train_loss": loss.item()})
    accelerator.end_training()
    return witness


@pytest.mark.parametrize("prepared_first", [True, False])
def test_accumulated_and_clipped_gradients_under_the_optimizers_steps(tmp_path, prepared_first):
    model = network()
    expected, trained = by_hand(model, loss_of, batches(), accumulate=3)
    witness = train(model, NetVizTracker("run", tmp_path), accumulate=3, prepared_first=prepared_first)
    recording = read(tmp_path / "run")
    steps = list(range(BATCHES // 3))
    assert all(clipped(norms) for norms in expected)
    assert_recorded(recording, steps, expected)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.double(), trained.get_parameter(name), rtol=1e-5, atol=1e-6)
    assert [step for step, _ in recording.scalars["train_loss"]] == steps
    assert losses(recording, "train_loss") == {"train_loss": steps}
    assert hooks_of(model) == hooks_on_step(witness) == []


def test_mixed_precision(tmp_path):
    model = network()
    witness = train(model, NetVizTracker("run", tmp_path), precision="bf16")
    expected = witness.gradient_norms(model)
    assert all(clipped(norms) for norms in expected)
    assert_recorded(read(tmp_path / "run"), list(range(BATCHES)), expected)


def test_weights_are_those_of_a_training_that_is_not_watched(tmp_path):
    models = network(dropout=0.3), network(dropout=0.3)
    train(models[0], accumulate=2)
    train(models[1], NetVizTracker("run", tmp_path), accumulate=2)
    assert_equal_weights(*models)


def test_it_logs_all_that_a_tensorboard_tracker_does(tmp_path):
    accelerator = Accelerator(cpu=True, log_with=NetVizTracker("run", tmp_path))
    accelerator.init_trackers("digits", config={"lr": 0.1})
    accelerator.log({"loss": torch.tensor(0.5), "note": "hello", "both": {"a": 1.0, "b": 2.0}}, step=7)
    tracker = accelerator.get_tracker("netviz")
    tracker.log_images({"images": torch.zeros(2, 3, 4, 4)}, step=7)
    assert accelerator.get_tracker("netviz", unwrap=True) is tracker.writer
    accelerator.end_training()
    tags = {value.tag for event in events_in(tmp_path / "run") for value in event.summary.value}
    assert {"loss", "note/text_summary", "images", "_hparams_/session_start_info"} <= tags
    assert read(tmp_path / "run" / "both_a").scalars["both"] == [(7, 1.0)]
    assert len(list((tmp_path / "run").glob("events.*"))) == 1


def test_accelerates_own_tensorboard_tracker_and_the_criterion(tmp_path):
    model, criterion = network(), nn.MSELoss()
    witness = Witness(model.parameters())
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=tmp_path)
    accelerator.init_trackers("run")
    model, optimizer = accelerator.prepare(model, witness)
    writer = accelerator.get_tracker("tensorboard", unwrap=True)
    with watch(model, optimizer, criterion, writer=writer, every=1, histograms=False):
        for step, (x, y) in enumerate(batches()):
            loss = criterion(model(x), y)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            accelerator.log({"objective": loss.item()}, step=step)
    accelerator.end_training()
    recording = read(tmp_path / "run")
    steps = list(range(BATCHES))
    assert_recorded(recording, steps, witness.gradient_norms(model))
    assert losses(recording, "train_loss") == {"netviz/train_loss": steps}
    ours, theirs = ([value for _, value in recording.scalars[tag]] for tag in ("netviz/train_loss", "objective"))
    assert ours == theirs
    assert len(list((tmp_path / "run").glob("events.*"))) == 1


def test_a_tracker_that_was_never_used_leaves_nothing(tmp_path):
    NetVizTracker("run", tmp_path).finish()
    assert list(tmp_path.iterdir()) == []

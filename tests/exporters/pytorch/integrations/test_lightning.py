"""A LightningModule trained by the real Trainer: what the optimizer applied, under the steps of Lightning's logs."""

import importlib
import signal

import pytest
import torch
from torch import nn

from tb_netviz.pytorch.integrations.lightning import NetVizCallback
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


def batches(count=BATCHES):
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(4, 6, generator=generator), torch.randn(4, 2, generator=generator)) for _ in range(count)]


def loader(count=BATCHES):
    return torch.utils.data.DataLoader(batches(count), batch_size=None)


def loss_of(network, batch):
    x, y = batch
    dtype = next(network.parameters()).dtype
    return nn.functional.mse_loss(network(x.to(dtype)), y.to(dtype))


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def either(request):
    return importlib.import_module(request.param)


@pytest.fixture
def library():
    return importlib.import_module("lightning.pytorch")


def regression(library, *, dropout=0.0, fails_at=None, error=RuntimeError):
    class Regression(library.LightningModule):  # type: ignore[misc, name-defined]  # Either library's.
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.network = nn.Sequential(nn.Linear(6, 8), nn.Dropout(dropout), nn.ReLU(), nn.Linear(8, 2))

        def forward(self, x):
            return self.network(x)

        def training_step(self, batch, index):
            if index == fails_at:
                raise error("on purpose")
            loss = loss_of(self, batch)
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch, _index):
            self.log("val_loss", loss_of(self, batch))

        def configure_optimizers(self):
            self.witness = Witness(self.parameters())
            return self.witness

    return Regression()


def adversaries(library):
    class Adversaries(library.LightningModule):  # type: ignore[misc, name-defined]  # Either library's.
        """Two networks that are stepped in turn, by hand."""

        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.automatic_optimization = False
            self.generator, self.critic = nn.Linear(6, 2), nn.Linear(2, 1)

        def training_step(self, batch, _index):
            x, y = batch
            self.advance(0, -self.critic(self.generator(x)).mean())
            loss = nn.functional.softplus(self.critic(self.generator(x).detach()) - self.critic(y)).mean()
            self.advance(1, loss)
            self.log("train_loss", loss)

        def advance(self, which, loss):
            optimizer = self.optimizers()[which]
            self.toggle_optimizer(optimizer)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.untoggle_optimizer(optimizer)

        def configure_optimizers(self):
            self.witnesses = Witness(self.generator.parameters()), Witness(self.critic.parameters())
            return list(self.witnesses)

    return Adversaries()


def trainer(library, folder, *callbacks, **options):
    defaults = {"max_epochs": 1, "log_every_n_steps": 1}
    return library.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        **(defaults | options),
    )


def watching(**options):
    return NetVizCallback(every=1, histograms=False, **options)


def test_accumulated_and_clipped_gradients_under_lightnings_steps(either, tmp_path):
    model = regression(either)
    expected, trained = by_hand(model, loss_of, batches(), accumulate=3)
    fit = trainer(either, tmp_path, watching(), accumulate_grad_batches=3, gradient_clip_val=CLIP)
    fit.fit(model, loader(), loader(2))
    recording = read(fit.logger.log_dir)
    steps = list(range(BATCHES // 3))
    assert all(clipped(norms) for norms in expected)
    assert_recorded(recording, steps, expected)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.double(), trained.get_parameter(name), rtol=1e-5, atol=1e-6)
    # The same scalars, under the same steps, in TensorBoard's dashboard and in ours: the sanity check is no step.
    assert [step for step, _ in recording.scalars["train_loss"]] == steps
    assert losses(recording, "train_loss") == {"train_loss": steps}
    assert losses(recording, "val_loss") == {"val_loss": steps[-1:]}
    heard = [(step, value) for _, step, value in recording.metrics["train_loss"]]
    assert heard == recording.scalars["train_loss"]
    assert len(list((tmp_path / "lightning_logs" / "version_0").glob("events.*"))) == 1
    assert hooks_of(model) == hooks_on_step(model.witness) == []


def test_mixed_precision(library, tmp_path):
    model = regression(library)
    fit = trainer(library, tmp_path, watching(), gradient_clip_val=CLIP, precision="bf16-mixed")
    fit.fit(model, loader())
    expected = model.witness.gradient_norms(model)
    assert all(clipped(norms) for norms in expected)
    assert_recorded(read(fit.logger.log_dir), list(range(BATCHES)), expected)


def test_two_optimizers_stepped_by_hand_share_lightnings_step(library, tmp_path):
    model = adversaries(library)
    fit = trainer(library, tmp_path, watching())
    fit.fit(model, loader())
    pairs = zip(*(witness.gradient_norms(model) for witness in model.witnesses), strict=True)
    recording = read(fit.logger.log_dir)
    assert_recorded(recording, list(range(BATCHES)), [one | other for one, other in pairs])
    assert losses(recording, "train_loss") == {"train_loss": list(range(BATCHES))}
    assert fit.global_step == 2 * BATCHES  # Not what Lightning logs under.


@pytest.mark.parametrize("accumulate", [1, 2])
def test_weights_are_those_of_a_training_that_is_not_watched(library, tmp_path, accumulate):
    models = regression(library, dropout=0.3), regression(library, dropout=0.3)
    for model, callbacks in zip(models, ([], [NetVizCallback(every=2)]), strict=True):
        torch.manual_seed(5)
        fit = trainer(library, tmp_path, *callbacks, max_epochs=2, accumulate_grad_batches=accumulate)
        fit.fit(model, loader(), loader(2))
    assert_equal_weights(*models)


def test_metrics_are_heard_when_lightning_logs_them_and_at_the_end_of_an_epoch(library, tmp_path):
    fit = trainer(library, tmp_path, watching(), log_every_n_steps=5, max_epochs=2)
    fit.fit(regression(library), loader(), loader(2))
    recording = read(fit.logger.log_dir)
    assert losses(recording, "train_loss") == {"train_loss": [4, 9, 11, 14, 19, 23]}
    assert losses(recording, "val_loss") == {"val_loss": [11, 23]}


def test_means_of_an_epoch(library, tmp_path):
    model = regression(library)
    model.log = lambda name, value, log=model.log: log(name, value, on_step=False, on_epoch=True)
    fit = trainer(library, tmp_path, watching(), max_epochs=2)
    fit.fit(model, loader())
    recording = read(fit.logger.log_dir)
    assert losses(recording, "train_loss") == {"train_loss": [11, 23]}
    assert [(step, value) for _, step, value in recording.metrics["train_loss"]] == recording.scalars["train_loss"]


@pytest.mark.parametrize("logger", [False, "csv"])
def test_without_a_tensorboard_logger_there_is_a_file_of_its_own(library, tmp_path, logger):
    logger = library.loggers.CSVLogger(tmp_path) if logger else False
    model = regression(library)
    fit = trainer(library, tmp_path, watching(log_dir=tmp_path / "run"), logger=logger, enable_checkpointing=False)
    fit.fit(model, loader(), loader(2))
    recording = read(tmp_path / "run")
    steps = list(range(BATCHES))
    assert_recorded(recording, steps, model.witness.gradient_norms(model))
    assert [step for step, _ in recording.scalars["train_loss"]] == steps
    assert losses(recording, "train_loss") == {"train_loss": steps}
    assert losses(recording, "val_loss") == {"val_loss": steps[-1:]}


def test_the_default_folder_is_that_of_a_summary_writer(library, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer(library, tmp_path, watching(), logger=False, enable_checkpointing=False).fit(regression(library), loader())
    (run,) = (tmp_path / "runs").iterdir()
    assert sorted(read(run).tables) == list(range(BATCHES))


@pytest.fixture
def interrupts():
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)  # Lightning ignores it after the first.


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize(("error", "seen"), [(RuntimeError, RuntimeError), (KeyboardInterrupt, SystemExit)])
def test_an_exception_ends_it(library, tmp_path, error, seen):
    model = regression(library, fails_at=5, error=error)
    fit = trainer(library, tmp_path, watching())
    with pytest.raises(seen):
        fit.fit(model, loader())
    assert hooks_of(model) == hooks_on_step(model.witness) == []
    table_of = read(fit.logger.log_dir).tables
    for step, norms in enumerate(model.witness.gradient_norms(model)):
        assert {name: row["grad_norm"] for name, row in table_of[step].items()} == pytest.approx(norms, rel=1e-3)
    assert step == 4


def test_fitting_again_goes_on(library, tmp_path):
    model = regression(library)
    fit = trainer(library, tmp_path, watching())
    fit.fit(model, loader())
    norms = model.witness.gradient_norms(model)
    fit.fit_loop.max_epochs = 2
    fit.fit(model, loader())
    recording = read(fit.logger.log_dir)
    assert_recorded(recording, list(range(2 * BATCHES)), norms + model.witness.gradient_norms(model))
    assert losses(recording, "train_loss") == {"train_loss": list(range(2 * BATCHES))}
    assert hooks_of(model) == []


@pytest.mark.parametrize("saved_after", [BATCHES, 8])
def test_a_resumed_run_goes_on_where_the_checkpoint_was_taken(library, tmp_path, saved_after):
    def fit(epochs, path=None):
        checkpoints = library.callbacks.ModelCheckpoint(
            every_n_train_steps=saved_after, save_top_k=-1, filename="{step}"
        )
        logger = library.loggers.TensorBoardLogger(tmp_path, version="run")
        training = trainer(library, tmp_path, watching(), checkpoints, logger=logger, max_epochs=epochs)
        model = regression(library)
        training.fit(model, loader(), ckpt_path=path)
        return training, model.witness.gradient_norms(model)

    _, norms = fit(1)
    (checkpoint,) = (tmp_path / "lightning_logs" / "run" / "checkpoints").glob(f"step={saved_after}*")
    second, more = fit(2, checkpoint)
    recording = read(second.logger.log_dir)
    assert_recorded(recording, list(range(2 * BATCHES)), norms[:saved_after] + more)
    assert set(recording.tables) == {step for step, _ in recording.scalars["train_loss"]}


def test_a_trial_run_records_nothing(library, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer(library, tmp_path, watching(), fast_dev_run=True).fit(regression(library), loader())
    assert not (tmp_path / "runs").exists()


def test_nothing_of_the_learning_rate_finder_is_recorded(library, tmp_path):
    finder = library.callbacks.LearningRateFinder(num_training_steps=5)
    model = regression(library)
    model.lr = 0.1
    fit = trainer(library, tmp_path, watching(), finder)
    fit.fit(model, loader())
    assert sorted(read(fit.logger.log_dir).tables) == list(range(BATCHES))


def test_events_stand_in_the_loggers_file_in_order(library, tmp_path):
    fit = trainer(library, tmp_path, watching(), log_every_n_steps=4)
    fit.fit(regression(library), loader())
    tags = {value.tag for event in events_in(fit.logger.log_dir) for value in event.summary.value}
    assert {"train_loss", "epoch"} < tags
    assert any(tag.startswith("netviz/v1/") for tag in tags)

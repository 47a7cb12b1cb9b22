"""A small GPT-2 with random weights, trained by the real Trainer."""

import pytest
import torch
from accelerate.state import AcceleratorState
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

from tb_netviz.pytorch.integrations.transformers import NetVizCallback
from tests.exporters.pytorch.integrations.training import (
    CLIP,
    LR,
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

BATCH, STEPS, ACCUMULATE = 4, 6, 2


@pytest.fixture(autouse=True)
def fresh_accelerator(monkeypatch):
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def rows():
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(32, (BATCH * STEPS * ACCUMULATE, 8), generator=generator).tolist()
    return [{"input_ids": row, "labels": row} for row in tokens]


def gpt2(dropout=0.0):
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 16, "vocab_size": 32, "n_positions": 8}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    return GPT2LMHeadModel(GPT2Config(**sizes, **ends, **drops))


def loss_of(model, batch):
    return model(input_ids=batch, labels=batch).loss


class InOrder(Trainer):  # type: ignore[misc]  # transformers is untyped here.
    def _get_train_sampler(self, dataset=None):
        return torch.utils.data.SequentialSampler(dataset or self.train_dataset)


class Failing(TrainerCallback):  # type: ignore[misc]  # As above.
    def on_step_end(self, args, state, control, **parts):
        if state.global_step == 3:
            raise RuntimeError("on purpose")


def trainer(model, folder, *callbacks, **options):
    defaults = {
        "max_steps": STEPS,
        "per_device_train_batch_size": BATCH,
        "gradient_accumulation_steps": ACCUMULATE,
        "max_grad_norm": CLIP,
        "logging_steps": 1,
        "eval_strategy": "steps",
        "eval_steps": 3,
        "save_strategy": "no",
        "lr_scheduler_type": "constant",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    arguments = TrainingArguments(output_dir=str(folder), **(defaults | options))
    data = rows()
    witness = Witness(model.parameters())
    return InOrder(
        model=model,
        args=arguments,
        train_dataset=data,
        eval_dataset=data[:BATCH],
        callbacks=list(callbacks),
        optimizers=(witness, torch.optim.lr_scheduler.ConstantLR(witness, factor=1)),
    )


def watching(**options):
    return NetVizCallback(every=1, histograms=False, **options)


def only_run(folder):
    (run,) = (folder / "runs").iterdir()
    return run


def witness_of(training):
    return training.optimizer.optimizer


@pytest.mark.parametrize("report_to", ["none", "tensorboard"])
def test_accumulated_and_clipped_gradients_under_the_trainers_steps(tmp_path, report_to):
    model = gpt2()
    tokens = torch.tensor([row["input_ids"] for row in rows()])
    expected, trained = by_hand(model, loss_of, tokens.split(BATCH), accumulate=ACCUMULATE)
    training = trainer(model, tmp_path, watching(), report_to=report_to)
    training.train()
    recording = read(only_run(tmp_path))
    steps = list(range(1, STEPS + 1))
    assert training.state.global_step == STEPS
    assert all(clipped(norms) for norms in expected)
    assert_recorded(recording, steps, expected)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.double(), trained.get_parameter(name), rtol=1e-5, atol=1e-6)
    # The same scalars, under the same steps, in TensorBoard's dashboard and in ours.
    assert [step for step, _ in recording.scalars["train/loss"]] == steps
    assert [(step, value) for _, step, value in recording.metrics["train/loss"]] == recording.scalars["train/loss"]
    assert losses(recording, "train_loss") == {"train/loss": steps}
    assert losses(recording, "val_loss") == {"eval/loss": [3, 6]}
    assert hooks_of(model) == hooks_on_step(witness_of(training)) == []


def test_mixed_precision(tmp_path):
    model = gpt2()
    training = trainer(model, tmp_path, watching(), bf16=True)
    training.train()
    expected = witness_of(training).gradient_norms(model)
    assert all(clipped(norms) for norms in expected)
    assert_recorded(read(only_run(tmp_path)), list(range(1, STEPS + 1)), expected)


def test_weights_are_those_of_a_training_that_is_not_watched(tmp_path):
    models = gpt2(dropout=0.1), gpt2(dropout=0.1)
    for model, callbacks in zip(models, ([], [NetVizCallback(every=2)]), strict=True):
        trainer(model, tmp_path, *callbacks, seed=3).train()
    assert_equal_weights(*models)


def test_a_folder_that_is_asked_for(tmp_path):
    trainer(gpt2(), tmp_path / "output", watching(log_dir=tmp_path / "run")).train()
    assert not (tmp_path / "output" / "runs").exists()
    recording = read(tmp_path / "run")
    assert sorted(recording.tables) == list(range(1, STEPS + 1))
    assert [step for step, _ in recording.scalars["eval/loss"]] == [3, 6]
    tags = {value.tag for event in events_in(tmp_path / "run") for value in event.summary.value}
    assert {"args/text_summary", "model_config/text_summary"} < tags


def test_the_folder_that_the_environment_asks_for(tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "run"))
    trainer(gpt2(), tmp_path / "output", watching()).train()
    assert sorted(read(tmp_path / "run").tables) == list(range(1, STEPS + 1))


def test_a_resumed_run_goes_on_where_the_checkpoint_was_taken(tmp_path):
    def train(**options):
        model = gpt2()
        training = trainer(model, tmp_path, watching(log_dir=tmp_path / "run"), save_strategy="steps", save_steps=2)
        training.train(**options)
        return witness_of(training).gradient_norms(model)

    norms = train()
    more = train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    recording = read(tmp_path / "run")
    assert_recorded(recording, list(range(1, STEPS + 1)), norms[:4] + more)


def test_training_again_after_an_exception_begins_anew(tmp_path):
    model = gpt2()
    training = trainer(model, tmp_path, watching(), Failing())
    with pytest.raises(RuntimeError, match="on purpose"):
        training.train()
    assert hooks_of(model)
    training.remove_callback(Failing)
    training.train()
    assert hooks_of(model) == []
    assert sorted(read(only_run(tmp_path)).tables) == list(range(1, STEPS + 1))


def test_closing_after_an_exception_takes_the_hooks_off(tmp_path):
    model, callback = gpt2(), watching()
    with pytest.raises(RuntimeError, match="on purpose"):
        trainer(model, tmp_path, callback, Failing()).train()
    callback.close()
    assert hooks_of(model) == []
    assert sorted(read(only_run(tmp_path)).tables) == [1, 2, 3]


def test_learning_rates_are_those_of_the_trainer(tmp_path):
    trainer(gpt2(), tmp_path, watching()).train()
    recording = read(only_run(tmp_path))
    rates = [value for _, _, value in recording.metrics["netviz/learning_rate"]]
    assert rates == pytest.approx([LR] * STEPS)

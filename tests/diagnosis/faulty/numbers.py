"""Values that are no numbers, and numbers that are too coarse."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from tests.diagnosis.data import curves, digits, first_tokens, majorities, patients
from tests.diagnosis.networks import Block, Recurrent, Transformer, cnn, mlp
from tests.diagnosis.proof import require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import fit


def spoiled(model: nn.Module, layers: tuple[str, ...], onset: int) -> Truth:
    """Return the truth that weights became NaN; raise if none did."""
    require(any(bool(value.isnan().any()) for value in model.parameters()), "all weights are numbers")
    return Truth(layers, onset)


def missing_value(trial: Trial) -> Truth:
    """A patient of step 120 has a measurement that is missing, and NaN in the table."""
    data = patients(trial.seed)
    model = mlp((30, 32, 32, 1))
    draw = data.train.batches(32)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        if step == 120:
            inputs[3, 7] = torch.nan
        return inputs, targets

    fit(trial, model, batches, criterion=nn.BCEWithLogitsLoss())
    return spoiled(model, ("fc1",), 120)


class Contrast(nn.Module):
    """Divides each picture by its own deviation."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures of deviation 1, or NaN where one is all of a colour."""
        scaled: Tensor = (pictures - pictures.mean((1, 2, 3), keepdim=True)) / pictures.std((1, 2, 3), keepdim=True)
        return scaled


def constant_picture(trial: Trial) -> Truth:
    """A picture of step 90 is empty, and its deviation 0."""
    data = digits(trial.seed, flat=False)
    model = nn.Sequential(OrderedDict([("contrast", Contrast()), *cnn(norm=False).named_children()]))
    draw = data.train.batches(32)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        if step == 90:
            inputs[5] = 0.0
        return inputs, targets

    fit(trial, model, batches, steps=160)
    return spoiled(model, ("conv1",), 90)


def root_of_zero(trial: Trial) -> Truth:
    """From step 100 on the distance from the weights of that moment is penalised, whose slope at zero is infinite."""
    data = first_tokens(trial.seed, length=6)
    model = Recurrent(nn.GRU, 4)
    anchor: list[Tensor] = []
    entropy = nn.CrossEntropyLoss()

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        loss: Tensor = entropy(scores, targets)
        return loss + 0.01 * (model.rnn.weight_hh_l0 - anchor[0]).square().sum().sqrt() if anchor else loss

    def settle(step: int) -> None:
        if step == 100:
            anchor.append(model.rnn.weight_hh_l0.detach().clone())

    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=3e-3), criterion, before=settle, steps=200)
    return spoiled(model, ("rnn",), 100)


class Padded(Block):
    """A block that masks places of padding, which is token 0, wherever it is told to."""

    padding: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs with what attention and the linear layers add."""
        attention = self.attention
        normal = self.norm1(inputs)
        query, key, value = attention.qkv(normal).chunk(3, -1)
        scores = query @ key.transpose(1, 2) * attention.scale
        assert self.padding is not None
        taken = attention.softmax(scores.masked_fill(self.padding[:, None, :], -torch.inf)) @ value
        hidden = inputs + attention.out(taken)
        added: Tensor = hidden + self.down(self.act(self.up(self.norm2(hidden))))
        return added


class PaddedTransformer(Transformer):
    """A transformer over sequences that are padded by token 0."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores."""
        for block in self.blocks:
            block.padding = tokens == 0
        return super().forward(tokens)


def empty_sequence(trial: Trial) -> Truth:
    """A sequence of step 80 is nothing but padding, and the softmax over it has nothing to choose from."""
    data = majorities(trial.seed)
    model = PaddedTransformer(12, 3, block=Padded)
    draw = data.train.batches(32)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        tokens, targets = draw(step)
        if step == 80:
            tokens[2] = 0
        return tokens, targets

    fit(trial, model, batches, steps=160)
    return spoiled(model, tuple(f"blocks.0.attention.{part}" for part in ("softmax", "qkv", "out")), 80)


def logarithm_of_zero(trial: Trial) -> Truth:
    """The loss is the logarithm of a share that a ReLU has made zero."""
    data = digits(trial.seed)
    model = mlp((64, 48, 10))
    model.append(nn.ReLU())

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        shares = scores / scores.sum(1, keepdim=True)
        return -shares.gather(1, targets[:, None]).log().mean()

    fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=0.01), criterion, steps=120)
    return spoiled(model, ("head", "fc1"), 0)


def stuck(model: nn.Module, before: dict[str, Tensor], least: float = 0.8) -> Truth:
    """Return the truth that most weights are what they were, bit by bit, though each had gradients; raise if not."""
    same = sum(int((value == before[name]).sum()) for name, value in model.named_parameters())
    share = same / sum(value.numel() for value in model.parameters())
    require(share > least, f"only {share:.2f} of the weights have stayed")
    return Truth()


def bfloat16_weights(trial: Trial) -> Truth:
    """Weights in bfloat16 and steps that are smaller than half its spacing."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10)).bfloat16()
    before = snapshot(model)
    draw = data.train.batches(64)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return inputs.bfloat16(), targets

    fit(trial, model, batches, SGD(model.parameters(), lr=2e-4))
    return stuck(model, before)


def bfloat16_transformer(trial: Trial) -> Truth:
    """A transformer all in bfloat16, with Adam at a rate that float32 would be served well by."""
    data = majorities(trial.seed)
    model = Transformer(12, 3).bfloat16()
    before = snapshot(model)
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=3e-5), steps=160)
    return stuck(model, before, 0.6)


def float16_gradients(trial: Trial) -> Truth:
    """Float16 without a loss scaler: the loss is scaled down, and its gradients are zero."""
    data = curves(trial.seed)
    model = mlp((8, 32, 32, 1)).half()
    criterion = nn.MSELoss()
    draw = data.train.batches(64)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return inputs.half(), targets.half()

    def small(made: Tensor, wanted: Tensor) -> Tensor:
        loss: Tensor = 2e-6 * criterion(made, wanted)
        return loss

    fit(trial, model, batches, SGD(model.parameters(), lr=0.05), small, steps=200)
    loss = small(model(data.train.inputs.half()), data.train.targets.half())
    found = torch.autograd.grad(loss, list(model.parameters()))
    zeros = sum(int((one == 0).sum()) for one in found) / sum(one.numel() for one in found)
    require(zeros > 0.6, f"only {zeros:.2f} of the gradients are zero")
    return Truth()


_SPOILED, _COARSE = ("nonfinite",), ("low_precision_underflow",)

SCENARIOS = (
    Scenario("nan-missing-value-mlp", "mlp", TUNING, missing_value, _SPOILED),
    Scenario("nan-constant-picture-cnn", "cnn", TUNING, constant_picture, _SPOILED),
    Scenario("nan-root-gru", "rnn", TUNING, root_of_zero, _SPOILED),
    Scenario("nan-empty-sequence-transformer", "transformer", TUNING, empty_sequence, _SPOILED),
    Scenario("nan-logarithm-mlp", "mlp", TUNING, logarithm_of_zero, _SPOILED),
    Scenario("coarse-bfloat16-mlp", "mlp", TUNING, bfloat16_weights, _COARSE),
    Scenario("coarse-bfloat16-transformer", "transformer", TUNING, bfloat16_transformer, _COARSE),
    Scenario("coarse-float16-mlp", "mlp", TUNING, float16_gradients, _COARSE),
)

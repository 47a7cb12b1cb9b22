"""Healthy trainings: pictures mixed, words that are dropped, sparse codes, wines, and a rate of 0.1."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import TOKENS, Part, digits, majorities, split
from tests.diagnosis.networks import Block, Transformer, cnn, mlp
from tests.diagnosis.proof import accuracy, calm, double, generalises, learned, loss_of, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import Criterion, History, control, evaluate, fit


def mixed(trial: Trial) -> None:
    """Digits with mixup: the loss in training stays far above that in validation, since only training mixes."""
    torch.manual_seed(100 + trial.seed)
    data, model = digits(trial.seed, flat=False), cnn((12, 24))
    other, criterion, history = copy.deepcopy(model), nn.CrossEntropyLoss(), History([], {})
    optimizer, draw = AdamW(model.parameters(), lr=3e-3, weight_decay=0.01), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            order, share = torch.randperm(64), float(torch.distributions.Beta(0.2, 0.2).sample())
            scores = model(share * inputs + (1 - share) * inputs[order])
            loss = share * criterion(scores, targets) + (1 - share) * criterion(scores, targets[order])
            writer.observe(loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("loss/train", history.train[-1], writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("loss/val", history.validation[step], writer.step)
                writer.add_scalar("accuracy/val", accuracy(model, data.held_out), writer.step)
    learned(model, data.held_out, 0.96)
    control(other, data.train.batches(64, trial.seed), AdamW(other.parameters(), lr=3e-3, weight_decay=0.01))
    mine, plain = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(mine > plain - 0.02, f"the accuracy is {mine:.3f}, without mixing {plain:.3f}")
    losses = list(history.validation.values())
    require(losses[-1] < 0.6 * history.end, f"held out {losses[-1]:.3g}, in training {history.end:.3g}")
    require(losses[-1] < 1.2 * min(losses) + 0.02, f"the loss held out rose: {losses}")
    known, unseen = loss_of(model, data.train), loss_of(model, data.held_out)
    require(unseen < known + 0.1, f"without mixing {known:.3g} in training, {unseen:.3g} held out")


def dropped(trial: Trial) -> None:
    """A transformer with dropout that tells the most frequent word, evaluated in its mode, by AdamW and cosine."""
    torch.manual_seed(100 + trial.seed)
    data = majorities(trial.seed, count=2200)
    model = Transformer(TOKENS, 3, width=32, block=lambda width: Block(width, dropout=0.1))
    optimizer, draw = AdamW(model.parameters(), lr=3e-3, weight_decay=0.01), data.train.batches(48, trial.seed)
    criterion, history = nn.CrossEntropyLoss(), History([], {})
    schedule = CosineAnnealingLR(optimizer, 220)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            model.train()
            tokens, targets = draw(step)
            loss = criterion(model(tokens), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            history.train.append(loss.item())
            writer.add_scalar("train/loss", history.train[-1], writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("valid/loss", history.validation[step], writer.step)
                writer.add_scalar("valid/accuracy", accuracy(model, data.held_out), writer.step)
    sound(model, data.held_out, 0.85, history)


def cultivars(trial: Trial) -> None:
    """Wines by an MLP with ReLU, begun as He et al. say, by SGD with momentum and a small weight decay."""
    torch.manual_seed(100 + trial.seed)
    rows, kinds = load_wine(return_X_y=True)
    inputs = torch.tensor((rows - rows.mean(0)) / rows.std(0), dtype=torch.float32)
    data, model = split(inputs, torch.tensor(kinds), 50, trial.seed), mlp((13, 32, 32, 3))
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(model.get_submodule("head").weight)
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=1, steps=150)
    sound(model, data.held_out, 0.93, history)


class Codes(nn.Module):
    """A sparse autoencoder: 64 codes of which few are above zero at a time, over [n, 24]."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(24, 64), nn.Linear(64, 24)
        with torch.no_grad():
            self.decoder.weight.copy_(functional.normalize(self.decoder.weight, dim=0))
            self.encoder.weight.copy_(self.decoder.weight.T)

    def encode(self, rows: Tensor) -> Tensor:
        """Return codes [n, 64]."""
        return functional.relu(self.encoder(rows - self.decoder.bias))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the reconstruction beside the codes, [n, 24 + 64]."""
        codes = self.encode(rows)
        return torch.cat([self.decoder(codes), codes], 1)


def sparse(weight: float) -> Criterion:
    """Return the squared error plus so much of the sum of the codes."""

    def criterion(made: Tensor, rows: Tensor) -> Tensor:
        return functional.mse_loss(made[:, :24], rows) + weight * made[:, 24:].sum(1).mean()

    return criterion


def codes(trial: Trial) -> None:
    """A sparse autoencoder finds the 32 causes of what is seen: nine of ten codes are zero at a time, as is meant."""
    torch.manual_seed(100 + trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    causes = functional.normalize(torch.randn(32, 24, generator=generator), dim=1)
    there = torch.rand(4000, 32, generator=generator) < 0.06
    rows = (there * (1 + torch.rand(4000, 32, generator=generator))) @ causes * 2
    data, model, criterion = split(rows, rows, 800, trial.seed), Codes(), sparse(0.03)
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=1e-2), data.train.batches(128, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=400)
    control(other, data.train.batches(128, trial.seed), Adam(other.parameters(), lr=1e-2), sparse(0), steps=400)
    precise = double(model).eval()
    assert isinstance(precise, Codes)
    with torch.no_grad():
        given = precise.encode(data.train.inputs.double())
        error = float((precise(data.held_out.inputs.double())[:, :24] - data.held_out.inputs).square().mean())
    active, dead = float((given > 0).double().mean()), float((given <= 0).all(0).double().mean())
    require(active < 0.15, f"{active:.2f} of the codes are above zero")
    require(dead < 0.06, f"{dead:.2f} of the codes are dead")
    require(error < 0.15 * float(rows.var()), f"the error is {error:.3g} of {float(rows.var()):.3g}")
    found, without = (
        float((causes @ functional.normalize(one.decoder.weight.detach(), dim=0)).amax(1).mean())
        for one in (model, other)
    )
    require(found > 0.85 and found > without + 0.1, f"causes are found by {found:.3f}, without sparsity {without:.3f}")
    generalises(history)
    calm(history)


def as_in_papers(trial: Trial) -> None:
    """A CNN by SGD with lr=0.1 and Nesterov's momentum, batch normalisation, a warm-up and a cosine."""
    torch.manual_seed(100 + trial.seed)
    data = digits(trial.seed, flat=False)
    moved = torch.cat([data.train.inputs, data.train.inputs.roll(1, 3)])
    train, model = Part(moved, data.train.targets.repeat(2)), cnn((12, 24))
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=20)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, CosineAnnealingLR(optimizer, 220)], [20])
    draw = train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, schedule=schedule, validation=data.held_out, every=2, steps=240)
    sound(model, data.held_out, 0.96, history)


SCENARIOS = (
    Scenario("tansy-mixed-cnn", "cnn", TUNING, mixed),
    Scenario("tansy-dropped-transformer", "transformer", TUNING, dropped),
    Scenario("tansy-cultivars-mlp", "mlp", TUNING, cultivars),
    Scenario("tansy-codes-mlp", "mlp", TUNING, codes),
    Scenario("tansy-as-in-papers-cnn", "cnn", TUNING, as_in_papers),
)

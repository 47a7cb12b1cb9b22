"""Healthy trainings of what knows something: scales of frozen layers, and answers to what is not learned from."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import digits, language, split
from tests.diagnosis.faulty.newcomer_tuned import upside_down
from tests.diagnosis.healthy.blind_tuned import Rows
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import accuracy, calm, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


class Scaled(nn.Module):
    """A frozen linear layer whose outputs are made louder or fainter, each by a number that begins at one."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear, self.scale = linear.requires_grad_(False), nn.Parameter(torch.ones(linear.out_features))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [..., outputs]."""
        made: Tensor = self.scale * self.linear(inputs)
        return made


def scales(trial: Trial) -> None:
    """IA³: of a transformer that knows digits, for digits upside down scales and the head are learned, no matrix."""
    data, model = digits(trial.seed), Rows()
    control(model, data.train.batches(48, trial.seed), Adam(model.parameters(), lr=4e-3), steps=90)
    train, held_out = upside_down(data.train), upside_down(data.held_out)
    model.requires_grad_(False)
    for block in model.blocks:
        block.attention.add_module("qkv", Scaled(block.attention.qkv))
        block.add_module("up", Scaled(block.up))
    model.head.requires_grad_(True)
    optimizer = AdamW([value for value in model.parameters() if value.requires_grad], lr=2e-2, weight_decay=0.0)
    before = accuracy(model, held_out)
    history = fit(trial, model, train.batches(48, trial.seed), optimizer, validation=held_out, every=4, steps=180)
    after = accuracy(model, held_out)
    require(after > 0.85 and after > before + 0.1, f"of {before:.2f} it became {after:.2f}")
    calm(history, 0.4)
    generalises(history)


def instructions(trial: Trial) -> None:
    """Fine-tuning on answers: the loss leaves the prompt out, two batches are a step, and means of ten are logged."""
    old, new = (language(trial.seed + shift, length=16) for shift in (0, 100))
    model = Transformer(20, 20, length=16, each=True)
    control(model, old.train.batches(24, trial.seed), Adam(model.parameters(), lr=5e-3), steps=80)
    count = len(new.train.targets)
    inputs = torch.cat([old.train.inputs[:count, :6], new.train.inputs[:, :10]], 1)
    targets = torch.cat([torch.full((count, 6), -100), new.train.targets[:, :10]], 1)
    data, criterion = split(inputs, targets, 200, trial.seed), nn.CrossEntropyLoss()
    decayed = [value for value in model.parameters() if value.dim() > 1]
    others = [value for value in model.parameters() if value.dim() == 1]
    optimizer = AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=3e-3)
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 10, (131 - step) / 120))
    draw, history, first = data.train.batches(12, trial.seed), History([], {}), loss_of(model, data.held_out)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=4, on_finding="ignore")
        for step in range(130):
            total = 0.0
            for _half in range(2):
                words, following = draw(step)
                loss = criterion(model(words), following) / 2
                loss.backward()
                total += float(loss.detach())
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            history.train.append(total)
            if step % 10 == 9:
                writer.add_scalar("train/loss", sum(history.train[-10:]) / 10, writer.step)
                writer.add_scalar("train/learning_rate", schedule.get_last_lr()[0], writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("eval/loss", history.validation[step], writer.step)
    seen = 20 * new.train.inputs + new.train.targets
    counts = seen.flatten().bincount(minlength=400).view(20, 20).double() + 0.1
    answers = data.held_out.targets >= 0
    words, following = data.held_out.inputs[answers], data.held_out.targets[answers]
    best = -float((counts / counts.sum(1, keepdim=True)).log()[words, following].mean())
    told = loss_of(model, data.held_out)
    require(told - best < 0.12 * (first - best), f"the loss went from {first:.3g} to {told:.3g}; of counts {best:.3g}")
    calm(history, 0.3)
    generalises(history)


SCENARIOS = (
    Scenario("healthy-scales-transformer", "transformer", TUNING, scales),
    Scenario("healthy-instructions-transformer", "transformer", TUNING, instructions),
)

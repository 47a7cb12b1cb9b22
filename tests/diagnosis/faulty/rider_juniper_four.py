"""Evaluations that see other things than the training does: dark pictures, and statistics of many patients."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, digits
from tests.diagnosis.networks import cnn
from tests.diagnosis.proof import accuracy, double, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import evaluate


def divided_twice(trial: Trial) -> Truth:
    """Pixels to evaluate on are divided by the largest one twice, once by the loader: they are nearly black."""
    data, model, criterion = digits(trial.seed, flat=False), cnn((16, 32)), nn.CrossEntropyLoss()
    least, most = data.train.inputs.min(), data.train.inputs.max()
    train, held_out = (
        Part((part.inputs - least) / (most - least), part.targets) for part in (data.train, data.held_out)
    )
    dark = Part(held_out.inputs / 16, held_out.targets)
    optimizer, draw = SGD(model.parameters(), lr=0.03, momentum=0.9), train.batches(64, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            pictures, known = draw(step)
            optimizer.zero_grad()
            scores = model(pictures)
            loss = criterion(scores, known)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("train/acc", float((scores.argmax(1) == known).float().mean()), writer.step)
            if step % 20 == 19:
                model.eval()
                with torch.no_grad():
                    scores = model(dark.inputs)
                writer.add_scalar("val/loss", float(criterion(scores, dark.targets)), writer.step)
                writer.add_scalar("val/acc", float((scores.argmax(1) == dark.targets).float().mean()), writer.step)
                model.train()
    does, should = accuracy(model, dark), accuracy(model, held_out)
    require(should > 0.94 and does < should - 0.4, f"the accuracy is {does:.3f}, and {should:.3f} if divided once")
    off, right = loss_of(model, dark), loss_of(model, held_out)
    require(off > 4 * right, f"the loss is {off:.3g}, and {right:.3g} if divided once")
    return Truth()


class Beats(nn.Module):
    """Normalises two leads by the batch, reads them by a GRU, and says whether a beat is ill."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.norm = nn.Conv1d(2, 16, 3, padding=1), nn.BatchNorm1d(16)
        self.rnn, self.head = nn.GRU(16, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, leads: Tensor) -> Tensor:
        """Return scores [n, 1] of [n, 2, moments]."""
        hidden = self.norm(self.lift(leads)).relu().transpose(1, 2)
        scores: Tensor = self.head(self.rnn(hidden)[0].mean(1))
        return scores


def patient(beats: int, generator: torch.Generator) -> Part:
    """Return beats of one patient, [n, 2, 24], whose leads have a gain and an offset of their own."""
    offset, gain = 4 * torch.randn(1, 2, 1, generator=generator), torch.rand(1, 2, 1, generator=generator) * 1.5 + 0.5
    ill = (torch.rand(beats, 1, generator=generator) < 0.5).float()
    late = torch.rand(beats, 1, 1, generator=generator)
    moments = torch.linspace(0, 6.3, 24)
    wave = torch.sin((1 + 0.5 * ill[..., None]) * moments + late) + 0.6 * ill[..., None]
    wave = wave + 0.3 * torch.randn(beats, 2, 24, generator=generator)
    return Part(offset + gain * wave, ill)


def by_patient(trial: Trial) -> Truth:
    """Each batch is of one patient, whose offset BatchNorm takes away in training; evaluation has it left in."""
    generator = torch.Generator().manual_seed(trial.seed)
    train = [patient(80, generator) for _ in range(24)]
    held_out = [patient(60, generator) for _ in range(8)]
    model, criterion, losses = Beats(), nn.BCEWithLogitsLoss(), []
    before, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=4e-3)
    both = Part(torch.cat([one.inputs for one in held_out]), torch.cat([one.targets for one in held_out]))
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            beats = train[int(torch.randint(24, (1,), generator=generator))].batches(32, 1000 * trial.seed + step)(0)
            loss = criterion(model(beats[0]), beats[1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
            if step % 24 == 23:
                writer.add_scalar("loss/val", evaluate(model, criterion, both), writer.step)
    known, seen = by_mode(model, train), by_mode(model, held_out)
    for of, (training, evaluation) in (("patients known", known), ("those held out", seen)):
        words = f"the loss of {of} is {training:.3g} in training mode, and {evaluation:.3g} in evaluation"
        require(training < 0.35 and evaluation > 2.5 * training, words)
    first, _ = by_mode(before, train)
    require(sum(losses[-24:]) / 24 < 0.5 * first, "it does not learn")
    return Truth(("norm",))


def by_mode(model: nn.Module, parts: list[Part]) -> tuple[float, float]:
    """Return the mean loss over patients in training and in evaluation mode, in float64."""
    precise, criterion = double(model), nn.BCEWithLogitsLoss()
    with torch.no_grad():
        evaluation = [float(criterion(precise.eval()(one.inputs.double()), one.targets.double())) for one in parts]
        training = [float(criterion(precise.train()(one.inputs.double()), one.targets.double())) for one in parts]
    return sum(training) / len(parts), sum(evaluation) / len(parts)


SCENARIOS = (
    Scenario(
        "juniper-divided-twice-cnn",
        "cnn",
        TUNING,
        divided_twice,
        ("train_eval_mismatch",),
        ("input_unnormalised", "overfitting"),
    ),
    Scenario("juniper-by-patient-gru", "rnn", TUNING, by_patient, ("train_eval_mismatch",), ("overfitting",)),
)

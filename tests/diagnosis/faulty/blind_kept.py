"""Gradients that are kept: of one optimizer of two, of the wrong model, and for want of brackets."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, RMSprop

from tests.diagnosis.data import Part, communities, digits
from tests.diagnosis.faulty.blind_steps import demand
from tests.diagnosis.faulty.rates import heaped_up, worse
from tests.diagnosis.networks import Gcn, Recurrent
from tests.diagnosis.proof import gradients, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Autoencoder(nn.Module):
    """Makes sixteen numbers of a picture, and the picture of them."""

    def __init__(self) -> None:
        super().__init__()
        conv = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.encoder = nn.Sequential(conv, nn.SiLU(), nn.Flatten(), nn.Linear(128, 16))
        self.decoder = nn.Sequential(nn.Linear(16, 64), nn.SiLU(), nn.Linear(64, 64), nn.Unflatten(1, (1, 8, 8)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures [n, 1, 8, 8]."""
        made: Tensor = self.decoder(self.encoder(pictures))
        return made


def one_of_two_forgotten(trial: Trial) -> Truth:
    """An encoder and a decoder with an optimizer each: the gradients of the decoder alone are set to zero."""
    pictures, criterion = digits(trial.seed, flat=False).train.inputs, nn.MSELoss()
    data, model = Part(pictures, pictures), Autoencoder()
    reads, writes = (SGD(part.parameters(), lr=0.02, momentum=0.9) for part in (model.encoder, model.decoder))
    draw = data.batches(48)
    with trial.writer() as writer:
        writer.watch(model, [reads, writes], criterion, every=1, on_finding="ignore")
        for step in range(220):
            seen, _ = draw(step)
            writes.zero_grad()
            loss = criterion(model(seen), seen)
            loss.backward()
            reads.step()
            writes.step()
            writer.add_scalar("reconstruction_loss", loss.detach(), writer.step)
    fresh = gradients(model, data.first(512), criterion)
    for name, value in model.named_parameters():
        assert value.grad is not None
        ratio = float(value.grad.square().mean().sqrt()) / fresh[name]
        require((ratio > 5) == name.startswith("encoder"), f"{name} holds {ratio:.3g} of its gradient")
    return Truth(("encoder.0", "encoder.3"))


def never_called(trial: Trial) -> Truth:
    """`optimizer.zero_grad`, without its brackets; a forecast by RMSprop."""
    data, criterion = demand(trial.seed, length=12), nn.SmoothL1Loss()
    model = Recurrent(nn.GRU, 1, inputs=1)
    other = copy.deepcopy(model)
    optimizer = RMSprop(model.parameters(), lr=1e-2)
    history = fit(trial, model, data.batches(32), optimizer, criterion, forget=False, every=2, steps=200)
    heaped_up(model, data.first(512), criterion)
    better = control(other, data.batches(32), RMSprop(other.parameters(), lr=1e-2), criterion, steps=200)
    worse(history.end, better, 1.4)
    return Truth()


def teacher_set_to_zero(trial: Trial) -> Truth:
    """A student learns what a teacher says of nodes; it is the teacher whose gradients are set to zero."""
    graph = communities(trial.seed)
    teacher, student = Gcn(graph, width=32), Gcn(graph, width=8, activation=nn.LeakyReLU)
    other, part = copy.deepcopy(student), Part(graph.features, graph.communities[graph.train])
    control(teacher, graph.batches(), Adam(teacher.parameters(), lr=1e-2), steps=120)
    with torch.no_grad():
        shares = (teacher(part.inputs) / 3).softmax(1)
    draws = [graph.batches(seed) for seed in (1, 1)]
    told = [lambda step, draw=draw: (draw(step)[0], shares) for draw in draws]
    optimizer = Adam(student.parameters(), lr=2e-2)
    history = fit(trial, student, told[0], optimizer, forget=False, after=lambda _step: teacher.zero_grad(), steps=260)
    heaped_up(student, Part(part.inputs, shares))
    least = float(-(shares * shares.log()).sum(1).mean())
    worse(history.end - least, control(other, told[1], Adam(other.parameters(), lr=2e-2), steps=260) - least)
    return Truth()


_KEPT = ("missing_zero_grad",)

SCENARIOS = (
    Scenario("kept-encoder-cnn", "cnn", TUNING, one_of_two_forgotten, _KEPT),
    Scenario("kept-brackets-gru", "rnn", TUNING, never_called, _KEPT),
    Scenario("kept-teacher-gcn", "gnn", TUNING, teacher_set_to_zero, _KEPT),
)

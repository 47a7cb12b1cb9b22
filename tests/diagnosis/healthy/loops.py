"""Healthy trainings whose loops are unusual: accumulation, scalers, several models, parts that rest or are frozen."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Adam

from tests.diagnosis.data import Part, digits
from tests.diagnosis.networks import cnn, mlp
from tests.diagnosis.proof import learned, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def accumulation(trial: Trial) -> None:
    """Four batches to a step."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    fit(trial, model, data.train.batches(24), accumulate=4, steps=160, validation=data.held_out)
    learned(model, data.held_out, 0.9)


def quasi_newton(trial: Trial) -> None:
    """LBFGS over all the data, with a closure that is called several times a step."""
    data = digits(trial.seed)
    model, criterion = mlp((64, 24, 10), nn.Tanh), nn.CrossEntropyLoss()
    part = data.train.first(400)
    optimizer = LBFGS(model.parameters(), lr=0.5, max_iter=5)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss: Tensor = criterion(model(part.inputs), part.targets)
            loss.backward()
            return loss

        for _ in range(60):
            loss = optimizer.step(closure)
            writer.add_scalar("loss/train", float(loss), writer.step)
    learned(model, data.held_out, 0.85)


def scaler_that_skips(trial: Trial) -> None:
    """A loss scaler begins far too high and leaves out the first steps, and one now and then."""
    data = digits(trial.seed)
    model, criterion = mlp((64, 48, 48, 10)), nn.CrossEntropyLoss()
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(64)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=40)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _step in range(260):
            inputs, targets = draw(0)
            loss = criterion(model(inputs), targets)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            writer.add_scalar("loss/train", loss.detach(), writer.step)
    learned(model, data.held_out, 0.9)


class WithTeacher(nn.Module):
    """A student and an average of its past, which asks for no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.student = mlp((64, 48, 10))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the student's scores in training, the teacher's otherwise."""
        scores: Tensor = (self.student if self.training else self.teacher)(inputs)
        return scores

    @torch.no_grad()
    def follow(self, _step: int) -> None:
        """Move the teacher towards the student."""
        for slow, fast in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            slow.lerp_(fast, 0.05)


def averaged_teacher(trial: Trial) -> None:
    """Half of the parameters have no gradient and move nevertheless."""
    data = digits(trial.seed)
    model = WithTeacher()
    optimizer = Adam(model.student.parameters(), lr=2e-3)
    fit(trial, model, data.train.batches(64), optimizer, after=model.follow, validation=data.held_out)
    learned(model, data.held_out, 0.9)


def adversaries(trial: Trial) -> None:
    """A generator and a discriminator: two models, and losses that need not fall."""
    generator, judge = mlp((4, 32, 32, 2), nn.Tanh), mlp((2, 32, 32, 1), lambda: nn.LeakyReLU(0.2))
    makes, judges = (
        Adam(generator.parameters(), lr=5e-4, betas=(0.5, 0.9)),
        Adam(judge.parameters(), lr=5e-4, betas=(0.5, 0.9)),
    )
    criterion, one = nn.BCEWithLogitsLoss(), torch.ones(64, 1)
    with trial.writer() as writer:
        writer.watch(generator, makes, name="generator", every=1, on_finding="ignore")
        writer.watch(judge, judges, name="judge", every=1, on_finding="ignore")
        for _step in range(300):
            angles = 2 * torch.pi * torch.rand(64)
            real = torch.stack([angles.cos(), angles.sin()], 1) + 0.05 * torch.randn(64, 2)
            made = generator(torch.randn(64, 4))
            judged = criterion(judge(real), 0.9 * one) + criterion(judge(made.detach()), 0 * one)
            judges.zero_grad()
            judged.backward()
            judges.step()
            fooled = criterion(judge(made), one)
            makes.zero_grad()
            fooled.backward()
            makes.step()
            writer.add_scalar("loss/judge", judged.detach(), writer.step)
            writer.add_scalar("loss/generator", fooled.detach(), writer.step)
    radius = generator(torch.randn(2000, 4)).norm(dim=1).mean()
    require(0.5 < float(radius) < 1.6, f"the radius is {float(radius):.3g}")


class Experts(nn.Module):
    """Four experts of which a gate chooses one for the whole batch; the others rest."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(mlp((64, 24, 10)) for _ in range(4))
        self.chosen = 0

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores of the chosen expert, or of all together in evaluation."""
        if self.training:
            scores: Tensor = self.experts[self.chosen](inputs)
            return scores
        return torch.stack([expert(inputs) for expert in self.experts]).mean(0)


def resting_experts(trial: Trial) -> None:
    """At each step three of four experts have no gradient."""
    data = digits(trial.seed)
    model = Experts()
    generator = torch.Generator().manual_seed(trial.seed)

    def choose(_step: int) -> None:
        model.chosen = int(torch.randint(4, (), generator=generator))

    fit(trial, model, data.train.batches(64), Adam(model.parameters(), lr=3e-3), before=choose, steps=320)
    learned(model, data.held_out, 0.9)


class TwoTasks(nn.Module):
    """A body with two heads, of which one is asked at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.digit, self.even = nn.Linear(64, 48), nn.Linear(48, 10), nn.Linear(48, 2)
        self.asked = self.digit

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores of the head that is asked."""
        scores: Tensor = (self.asked if self.training else self.digit)(self.body(inputs).relu())
        return scores


def tasks_in_turn(trial: Trial) -> None:
    """Two tasks take turns: each head has a gradient at every other step, and the loss has two levels."""
    data = digits(trial.seed)
    model, draw = TwoTasks(), data.train.batches(64)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        model.asked = model.even if step % 2 else model.digit
        return inputs, targets % 2 if step % 2 else targets

    fit(trial, model, batches, steps=300)
    learned(model, data.held_out, 0.9)


def unfreezing(trial: Trial) -> None:
    """Two layers are frozen for the first third, on purpose."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    model[:4].requires_grad_(False)

    def thaw(step: int) -> None:
        if step == 80:
            model[:4].requires_grad_(True)

    fit(trial, model, data.train.batches(64), before=thaw, validation=data.held_out)
    learned(model, data.held_out, 0.9)


def freezing(trial: Trial) -> None:
    """The first layer is frozen from the middle on, on purpose."""
    data = digits(trial.seed, flat=False)
    model = cnn()

    def freeze(step: int) -> None:
        if step == 90:
            model[:3].requires_grad_(False)

    fit(trial, model, data.train.batches(48), before=freeze, validation=data.held_out, steps=180)
    learned(model, data.held_out, 0.9)


def frozen_backbone(trial: Trial) -> None:
    """A backbone that has learned already is frozen, and a new head put on it."""
    data = digits(trial.seed)
    model = mlp((64, 64, 48, 10))
    control(model, data.train.batches(64), Adam(model.parameters(), lr=3e-3), steps=150)
    model[:-1].requires_grad_(False)
    model.head = nn.Linear(48, 10)
    fit(trial, model, data.train.batches(64), Adam(model.head.parameters(), lr=5e-3), validation=data.held_out)
    learned(model, data.held_out, 0.93)


def frozen_convolutions(trial: Trial) -> None:
    """Convolutions that have learned already are frozen, their batch norm in evaluation."""
    data = digits(trial.seed, flat=False)
    model = cnn()
    control(model, data.train.batches(48), Adam(model.parameters(), lr=3e-3), steps=120)
    model[:-1].requires_grad_(False)
    nn.init.normal_(model.head.weight, std=0.01)
    fit(
        trial,
        model,
        data.train.batches(48),
        Adam(model.head.parameters(), lr=5e-3),
        validation=data.held_out,
        steps=180,
    )
    learned(model, data.held_out, 0.93)


def fine_tuning(trial: Trial) -> None:
    """A network that has learned already goes on at a hundred-thousandth; the loss hardly falls."""
    data = digits(trial.seed)
    model = mlp((64, 64, 48, 10))
    control(model, data.train.batches(64), Adam(model.parameters(), lr=2e-3), steps=250)
    fit(trial, model, data.train.batches(64, 1), Adam(model.parameters(), lr=1e-5), validation=data.held_out)
    learned(model, data.held_out, 0.93)


def random_features(trial: Trial) -> None:
    """The hidden layer is random and frozen for good."""
    data = digits(trial.seed)
    model = mlp((64, 256, 10))
    model.fc1.requires_grad_(False)
    fit(trial, model, data.train.batches(64), Adam(model.head.parameters(), lr=3e-3), validation=data.held_out)
    learned(model, data.held_out, 0.9)


def curriculum(trial: Trial) -> None:
    """Harder data come at the middle: the loss jumps, and falls again."""
    data = digits(trial.seed)
    easy = data.train.targets < 4
    simple = Part(data.train.inputs[easy], data.train.targets[easy]).batches(64)
    whole, model = data.train.batches(64), mlp((64, 48, 48, 10))
    fit(trial, model, lambda step: (simple if step < 120 else whole)(step), steps=300)
    learned(model, data.held_out, 0.92)


def annealed_penalty(trial: Trial) -> None:
    """A variational autoencoder whose second term is turned on by and by: the loss rises, as it should."""
    data = digits(trial.seed)
    model = Variational()

    def criterion(made: tuple[Tensor, Tensor, Tensor], targets: Tensor) -> Tensor:
        picture, mean, spread = made
        divergence = 0.5 * (mean.square() + spread.exp() - spread - 1).sum(1).mean()
        return (picture - targets).square().sum(1).mean() + model.weight * divergence

    def anneal(step: int) -> None:
        model.weight = min(1.0, step / 150)

    train = Part(data.train.inputs, data.train.inputs)
    history = fit(
        trial, model, train.batches(64), Adam(model.parameters(), lr=3e-3), criterion, before=anneal, steps=300
    )
    require(history.end < 0.8 * float(data.train.inputs.var(0).sum()), f"the loss is {history.end:.3g}")


class Variational(nn.Module):
    """A variational autoencoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = mlp((64, 48, 16)), mlp((8, 48, 64))
        self.weight = 0.0

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reconstruction, and the mean and the logarithm of the variance of the code."""
        mean, spread = self.encode(inputs).chunk(2, 1)
        return self.decode(mean + (spread / 2).exp() * torch.randn_like(mean)), mean, spread


def reward(trial: Trial) -> None:
    """A policy gradient: the loss is noise about zero, and means nothing; the reward rises."""
    data = digits(trial.seed)
    model, draw, rewards = mlp((64, 48, 10)), data.train.batches(128), []

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        policy = torch.distributions.Categorical(logits=scores)
        actions = policy.sample()
        gained = (actions == targets).float()
        rewards.append(float(gained.mean()))
        loss: Tensor = -((gained - gained.mean()) * policy.log_prob(actions)).mean()
        return loss

    fit(trial, model, draw, Adam(model.parameters(), lr=1e-2), criterion, steps=400)
    require(sum(rewards[-20:]) > 20 * 0.5, f"the reward is {sum(rewards[-20:]) / 20:.2f}")


SCENARIOS = (
    Scenario("healthy-accumulation-mlp", "mlp", TUNING, accumulation),
    Scenario("healthy-lbfgs-mlp", "mlp", TUNING, quasi_newton),
    Scenario("healthy-scaler-mlp", "mlp", TUNING, scaler_that_skips),
    Scenario("healthy-teacher-mlp", "mlp", TUNING, averaged_teacher),
    Scenario("healthy-gan-mlp", "mlp", TUNING, adversaries),
    Scenario("healthy-experts-mlp", "mlp", TUNING, resting_experts),
    Scenario("healthy-tasks-mlp", "mlp", TUNING, tasks_in_turn),
    Scenario("healthy-unfreezing-mlp", "mlp", TUNING, unfreezing),
    Scenario("healthy-freezing-cnn", "cnn", TUNING, freezing),
    Scenario("healthy-backbone-mlp", "mlp", TUNING, frozen_backbone),
    Scenario("healthy-backbone-cnn", "cnn", TUNING, frozen_convolutions),
    Scenario("healthy-fine-tuning-mlp", "mlp", TUNING, fine_tuning),
    Scenario("healthy-random-features-mlp", "mlp", TUNING, random_features),
    Scenario("healthy-curriculum-mlp", "mlp", TUNING, curriculum),
    Scenario("healthy-variational-mlp", "mlp", TUNING, annealed_penalty),
    Scenario("healthy-reward-mlp", "mlp", TUNING, reward),
)

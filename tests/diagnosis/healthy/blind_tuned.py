"""Healthy trainings that build on what was learned: hints of a teacher, parts that are tuned, tasks that differ."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import Part, Split, digits, language
from tests.diagnosis.healthy.stranger_pictures import layer
from tests.diagnosis.networks import Block, Transformer, mlp
from tests.diagnosis.proof import accuracy, calm, generalises, learned, loss_of, moved, require, snapshot, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def seen_before(part: Part, classes: int) -> Part:
    """Return the pictures of the first classes."""
    kept = part.targets < classes
    return Part(part.inputs[kept], part.targets[kept])


class Student(nn.Module):
    """A small network whose hidden layer is to be that of a larger one, as a linear layer sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(layer(1, 8), layer(8, 12, 2))
        self.hint, self.head = nn.Conv2d(12, 32, 1), nn.Linear(192, 10)

    def forward(self, pictures: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return scores, and in training what it makes of the hint."""
        hidden = self.body(pictures)
        scores: Tensor = self.head(hidden.flatten(1))
        return (scores, self.hint(hidden)) if self.training else scores


def hints(trial: Trial) -> None:
    """Distillation with hints: three losses, of labels, of a teacher's softened shares, and of its hidden layer."""
    data = digits(trial.seed, flat=False)
    below = nn.Sequential(layer(1, 16), layer(16, 32, 2))
    teacher, draw = nn.Sequential(below, nn.Flatten(), nn.Linear(512, 10)), data.train.batches(48, trial.seed)
    control(teacher, draw, Adam(teacher.parameters(), lr=3e-3), steps=60)
    teacher.eval().requires_grad_(False)
    student = Student()
    optimizer, totals = AdamW(student.parameters(), lr=3e-3), []
    with trial.writer() as writer:
        writer.watch(student, optimizer, every=3, on_finding="ignore")
        for step in range(180):
            inputs, targets = draw(step)
            hidden = below(inputs)
            wanted = (teacher[2](hidden.flatten(1)) / 4).log_softmax(1)
            scores, hint = student(inputs)
            hard = functional.cross_entropy(scores, targets)
            soft = 16 * functional.kl_div((scores / 4).log_softmax(1), wanted, reduction="batchmean", log_target=True)
            inner = functional.mse_loss(hint, hidden)
            loss = 0.5 * hard + 0.5 * soft + 2 * inner
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            totals.append(float(loss.detach()))
            writer.add_scalar("loss", totals[-1], writer.step)
            writer.add_scalar("loss_ce", hard.detach(), writer.step)
            writer.add_scalar("loss_kd", soft.detach(), writer.step)
            writer.add_scalar("loss_hint", inner.detach(), writer.step)
    learned(student, data.held_out, 0.95)
    require(totals[-1] < 0.3 * totals[0], "the loss does not fall")


def transfer(trial: Trial) -> None:
    """A network that knows seven digits learns ten: a new head at a tenfold rate, its batch norm as it was."""
    data = digits(trial.seed, flat=False)
    body = nn.Sequential(layer(1, 16), layer(16, 32, 2), layer(32, 32), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    known, old = seen_before(data.train, 7), nn.Sequential(body, nn.Linear(128, 7))
    control(old, known.batches(48, trial.seed), Adam(old.parameters(), lr=3e-3), steps=70)
    model = nn.Sequential(body, nn.Linear(128, 10))
    optimizer = AdamW([{"params": body.parameters(), "lr": 3e-4}, {"params": model[1].parameters(), "lr": 3e-3}])
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 15, (181 - step) / 165))

    def still(_step: int) -> None:
        for module in body.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()

    draw = data.train.batches(32, trial.seed)
    history = fit(
        *(trial, model, draw, optimizer),
        schedule=schedule,
        before=still,
        validation=data.held_out,
        steps=180,
        every=3,
    )
    sound(model, data.held_out, 0.94, history)


def biases(trial: Trial) -> None:
    """BitFit: a language model is tuned to another language, and all but biases, norms and the head is frozen."""
    before, after = language(trial.seed, length=12), language(trial.seed + 100, length=12)
    model = Transformer(20, 20, length=12, each=True)
    control(model, before.train.batches(24, trial.seed), Adam(model.parameters(), lr=5e-3), steps=60)
    for name, value in model.named_parameters():
        value.requires_grad_(name.endswith("bias") or "norm" in name or name.startswith("head"))
    optimizer = AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-2, weight_decay=0.0)
    start, draw = snapshot(model), after.train.batches(24, trial.seed)
    first = loss_of(model, after.held_out)
    history = fit(trial, model, draw, optimizer, validation=after.held_out, steps=160, every=5)
    pairs = (20 * after.train.inputs + after.train.targets).flatten().bincount(minlength=400).view(
        20, 20
    ).double() + 0.1
    best = -float((pairs / pairs.sum(1, keepdim=True)).log()[after.held_out.inputs, after.held_out.targets].mean())
    told = loss_of(model, after.held_out)
    require(told - best < 0.25 * (first - best), f"the loss went from {first:.3g} to {told:.3g}; of counts {best:.3g}")
    require(sum(way == 0 for way in moved(start, model).values()) > 8, "what is frozen moves")
    generalises(history)


class Low(nn.Module):
    """A frozen linear layer, beside which a narrow one learns, with dropout in front; it begins by adding nothing."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = linear.requires_grad_(False)
        self.drop, self.scale = nn.Dropout(0.05), 16 / rank
        self.lora_a = nn.Linear(linear.in_features, rank, bias=False)
        self.lora_b = nn.Linear(rank, linear.out_features, bias=False)
        nn.init.zeros_(self.lora_b.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [..., outputs]."""
        made: Tensor = self.base(inputs) + self.scale * self.lora_b(self.lora_a(self.drop(inputs)))
        return made


class Rows(nn.Module):
    """A transformer over the rows of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(8, 32), nn.Parameter(0.1 * torch.randn(8, 32))
        self.blocks, self.norm, self.head = nn.Sequential(Block(32), Block(32)), nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10] of [n, 64]."""
        hidden = self.lift(pictures.view(-1, 8, 8)) + self.place
        scores: Tensor = self.head(self.norm(self.blocks(hidden)).mean(1))
        return scores


def adapted(trial: Trial) -> None:
    """LoRA in the attention of a transformer that knows digits, for digits upside down: four fifths are frozen."""
    data, model = digits(trial.seed), Rows()
    control(model, data.train.batches(48, trial.seed), Adam(model.parameters(), lr=4e-3), steps=90)

    def upset(part: Part) -> Part:
        return Part(part.inputs.view(-1, 8, 8).flip(1).flatten(1), part.targets)

    other = Split(upset(data.train), upset(data.held_out))
    model.requires_grad_(False)
    for block in model.blocks:
        assert isinstance(block, Block)
        block.attention.add_module("qkv", Low(block.attention.qkv, 8))
        block.add_module("up", Low(block.up, 8))
    model.head.requires_grad_(True)
    optimizer = AdamW([value for value in model.parameters() if value.requires_grad], lr=8e-3, weight_decay=0.0)
    draw, before = other.train.batches(48, trial.seed), accuracy(model, other.held_out)
    history = fit(trial, model, draw, optimizer, validation=other.held_out, steps=150, every=5)
    after = accuracy(model, other.held_out)
    require(after > 0.9 and after > before + 0.15, f"of {before:.2f} it became {after:.2f}")
    calm(history)
    generalises(history)


def tasks(trial: Trial) -> None:
    """Learning to learn by ridge regression: the last layer is solved for anew, for each of sixteen waves a step."""
    generator = torch.Generator().manual_seed(trial.seed)
    model = mlp((1, 64, 64, 24), nn.Tanh)
    optimizer = Adam(model.parameters(), lr=4e-3)

    def waves(count: int) -> tuple[Tensor, Tensor]:
        heights = 0.5 + 2 * torch.rand(count, 1, 1, generator=generator)
        phases = 2 * torch.pi * torch.rand(count, 1, 1, generator=generator)
        places = 2 * torch.rand(count, 20, 1, generator=generator) - 1
        return places, heights * torch.sin(4 * places + phases)

    def played(places: Tensor, told: Tensor) -> Tensor:
        codes = model(places)
        known, asked = codes[:, :10], codes[:, 10:]
        slopes = known.mT @ torch.linalg.solve(known @ known.mT + 0.1 * torch.eye(10), told[:, :10])
        return functional.mse_loss(asked @ slopes, told[:, 10:])

    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _step in range(250):
            loss = played(*waves(16))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("meta/query_loss", losses[-1], writer.step)
    with torch.no_grad():
        places, told = waves(200)
        share = float(played(places, told) / told.var())
    require(share < 0.1, f"the error in new waves is {share:.3g} of their variance")
    require(sum(losses[-50:]) < 0.5 * sum(losses[:50]), "the loss does not fall")


SCENARIOS = (
    Scenario("healthy-hints-cnn", "cnn", TUNING, hints),
    Scenario("healthy-transfer-cnn", "cnn", TUNING, transfer),
    Scenario("healthy-bitfit-transformer", "transformer", TUNING, biases),
    Scenario("healthy-adapted-transformer", "transformer", TUNING, adapted),
    Scenario("healthy-waves-mlp", "mlp", TUNING, tasks),
)

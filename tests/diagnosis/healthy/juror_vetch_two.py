"""Healthy trainings with densities, labels that are missing, and clipping that does its work."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import language, split
from tests.diagnosis.networks import Transformer, mlp
from tests.diagnosis.proof import calm, finite, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def density(made: Tensor, known: Tensor) -> Tensor:
    """Return the mean of minus the logarithm of the density of a mixture of normal distributions."""
    weight, mean, deviation = made.chunk(3, 1)
    scale = functional.softplus(deviation) + 1e-3
    inside = -0.5 * ((known - mean) / scale).square() - scale.log() - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(functional.log_softmax(weight, 1) + inside, 1).mean()


def branches(trial: Trial) -> None:
    """A mixture density network on a curve with two branches: logarithms, exponentials, and a loss that is below 0."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    inputs = 4 * torch.rand(2500, 1, generator=generator) - 2
    side = torch.randint(2, (2500, 1), generator=generator) * 2.0 - 1
    known = side * (0.6 + 0.3 * torch.sin(2 * inputs)) + 0.06 * torch.randn(2500, 1, generator=generator)
    data, model = split(inputs, known, 500, trial.seed), mlp((1, 48, 48, 12), nn.Tanh)
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(96, trial.seed)
    history = fit(trial, model, draw, optimizer, density, validation=data.held_out, every=2, steps=320)
    best = 0.5 + math.log(0.06) + 0.5 * math.log(2 * math.pi) + math.log(2)
    single = 0.5 + math.log(float(data.held_out.targets.std())) + 0.5 * math.log(2 * math.pi)
    found = loss_of(model, data.held_out, density)
    require(found < best + 0.25 * (single - best), f"the loss is {found:.3g}; best is {best:.3g}, plain {single:.3g}")
    finite(model)
    generalises(history)


class Molecules(nn.Module):
    """Three rounds of messages along bonds, a sum over atoms, and a score for each of six assays."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Linear(6, 32)
        self.messages = nn.ModuleList(nn.Linear(32, 32) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(3))
        self.head = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 6))

    def forward(self, graphs: Tensor) -> Tensor:
        """Return [n, 6] of atoms and bonds side by side, [n, 10, 6 + 10]."""
        atoms, bonds = graphs[..., :6], graphs[..., 6:]
        hidden = functional.relu(self.lift(atoms))
        for message, norm in zip(self.messages, self.norms, strict=True):
            hidden = hidden + functional.relu(message(norm(hidden + bonds @ hidden)))
        scores: Tensor = self.head(hidden.mean(1))
        return scores


def molecules(seed: int, count: int = 2000) -> tuple[Tensor, Tensor]:
    """Return graphs [n, 10, 16] of ten atoms of six kinds, and what six assays would say of each, [n, 6]."""
    generator = torch.Generator().manual_seed(seed)
    kinds = functional.one_hot(torch.randint(6, (count, 10), generator=generator), 6).float()
    upper = (torch.rand(count, 10, 10, generator=generator) < 0.2).float().triu(1)
    bonds = upper + upper.transpose(1, 2)
    near = (bonds @ kinds).clamp_max(2)
    pairs = (kinds * near.roll(1, 2)).sum(1) + 0.7 * kinds.sum(1).roll(2, 1)
    return torch.cat([kinds, bonds], 2), (pairs > pairs.median(0).values).float()


def known_only(made: Tensor, known: Tensor) -> Tensor:
    """Return the binary cross-entropy where there is a label."""
    there = ~known.isnan()
    return functional.binary_cross_entropy_with_logits(made[there], known[there])


def assays(trial: Trial) -> None:
    """Six assays of molecules, two in three not done: these labels are NaN, and the loss leaves them out."""
    torch.manual_seed(trial.seed)
    graphs, truth = molecules(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    labels = truth.clone()
    labels[torch.rand(truth.shape, generator=generator) < 0.65] = torch.nan
    data = split(graphs, labels, 400, trial.seed)
    known = split(graphs, truth, 400, trial.seed).held_out.targets
    model = Molecules()
    optimizer, draw = AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, known_only, validation=data.held_out, every=2, steps=240)
    with torch.no_grad():
        right = float(((model(data.held_out.inputs) > 0) == known.bool()).double().mean())
    share = float(torch.maximum(known.mean(0), 1 - known.mean(0)).mean())
    require(right > share + 0.2, f"{right:.3f} are right, and {share:.3f} by always saying the same")
    finite(model)
    generalises(history)


def seldom(trial: Trial) -> None:
    """A small language model with a warm-up, and clipping at 1 as everybody has it, which hardly ever bites."""
    torch.manual_seed(trial.seed)
    data = language(trial.seed)
    model = Transformer(20, 20, width=32, each=True)
    optimizer, criterion = AdamW(model.parameters(), lr=6e-3, weight_decay=0.01), nn.CrossEntropyLoss()
    schedule = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 20) * (1 - 0.9 * step / 200))
    draw, norms, losses = data.train.batches(24, trial.seed), [], []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            tokens, following = draw(step)
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(tokens), following)
            loss.backward()
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 1.0)))
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("train/lr", schedule.get_last_lr()[0], writer.step)
            writer.add_scalar("train/grad_norm", norms[-1], writer.step)
            if step % 25 == 24:
                writer.add_scalar("val/loss", loss_of(model.eval(), data.held_out), writer.step)
                model.train()
    clipped = sum(norm > 1 for norm in norms) / len(norms)
    pairs = torch.zeros(20, 20)
    pairs.index_put_((data.train.inputs.flatten(), data.train.targets.flatten()), torch.tensor(1.0), accumulate=True)
    chain = ((pairs + 1e-3) / (pairs + 1e-3).sum(1, keepdim=True)).log()
    best = float(functional.nll_loss(chain[data.held_out.inputs.flatten()], data.held_out.targets.flatten()))
    found = loss_of(model, data.held_out)
    require(clipped < 0.25, f"{clipped:.2f} of the steps are clipped")
    require(found < best + 0.1 * (math.log(20) - best), f"the loss is {found:.3g}, and could be {best:.3g}")


class Corner(nn.Module):
    """Three convolutions and a linear layer that say where in a picture a thing is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.fc, self.box = nn.Linear(256, 48), nn.Linear(48, 2)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 2] of [n, 1, 16, 16]."""
        hidden = functional.relu(self.conv2(functional.relu(self.conv1(pictures))))
        told: Tensor = self.box(functional.relu(self.fc(hidden.flatten(1))))
        return told


def at_first(trial: Trial) -> None:
    """Where a spot is, in pixels from the middle: while it knows nothing steps are clipped, and later hardly one."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    place = 8 * torch.rand(1600, 2, generator=generator) - 4
    at = torch.arange(16.0) - 7.5
    far = (at - place[:, :1])[:, None].square() + (at - place[:, 1:])[:, :, None].square()
    pictures = 3 * torch.exp(-far / 4)[:, None] + 0.2 * torch.randn(1600, 1, 16, 16, generator=generator)
    data, model, criterion = split(pictures, place, 300, trial.seed), Corner(), nn.SmoothL1Loss()
    other, norms = copy.deepcopy(model), []

    def clip(_step: int) -> None:
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 1.0)))

    optimizer, draw = SGD(model.parameters(), lr=0.02, momentum=0.9), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, backward=clip, every=2, steps=240)
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.02, momentum=0.9), criterion)
    found, free = (loss_of(one, data.held_out, criterion) for one in (model, other))
    early, late = (sum(norm > 1 for norm in part) / 100 for part in (norms[:100], norms[-100:]))
    require(early > 0.25 and late < 0.05, f"{early:.2f} of the first steps are clipped, and {late:.2f} of the last")
    require(found < 0.1 * history.train[0], f"the loss is {found:.3g}")
    require(found < 1.3 * free, f"the loss is {found:.3g}, and {free:.3g} where nothing is clipped")
    calm(history)
    generalises(history)


SCENARIOS = (
    Scenario("vetch-healthy-branches-mlp", "mlp", TUNING, branches),
    Scenario("vetch-healthy-assays-gnn", "gnn", TUNING, assays),
    Scenario("vetch-healthy-seldom-transformer", "transformer", TUNING, seldom),
    Scenario("vetch-healthy-corner-cnn", "cnn", TUNING, at_first),
)

"""Healthy trainings whose targets move, whose losses mean little, or whose batches are the smallest."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, digits
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import generalises, learned, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit

PLACES, DISCOUNT = 8, 0.9


def worths(trial: Trial) -> None:
    """Q-learning on a corridor: targets come from a copy that is renewed each 40 steps, and the loss leaps with it."""
    generator = torch.Generator().manual_seed(trial.seed)
    model = mlp((PLACES, 64, 2), nn.Tanh)  # Of ReLUs at this rate most die.
    target = copy.deepcopy(model).requires_grad_(False)
    moves = torch.tensor([-1, 1])

    def batches(_step: int) -> tuple[Tensor, Tensor]:
        places = torch.randint(PLACES - 1, (96,), generator=generator)
        actions = torch.randint(2, (96,), generator=generator)
        after = (places + moves[actions]).clamp_min(0)
        ended = after == PLACES - 1
        future = target(functional.one_hot(after, PLACES).float()).amax(1)
        worth = torch.where(ended, 1.0, DISCOUNT * future)
        return functional.one_hot(places, PLACES).float(), torch.stack([actions, worth], 1)

    def criterion(made: Tensor, told: Tensor) -> Tensor:
        return functional.smooth_l1_loss(made.gather(1, told[:, :1].long())[:, 0], told[:, 1])

    def renew(step: int) -> None:
        if step % 40 == 0:
            target.load_state_dict(model.state_dict())

    fit(trial, model, batches, Adam(model.parameters(), lr=1e-2), criterion, before=renew, steps=480)
    learnt = model(torch.eye(PLACES)[:-1]).detach()
    right = DISCOUNT ** torch.arange(PLACES - 2, -1, -1.0)
    require((learnt[:, 1] > learnt[:, 0]).all(), "the way is not found")
    require((learnt[:, 1] - right).abs().max() < 0.15, "the worths are wrong")


def single_samples(trial: Trial) -> None:
    """One sample a step: the loss of a step says next to nothing, and most are near zero in the end."""
    data = digits(trial.seed)
    model = mlp((64, 32, 10))
    history = fit(
        trial,
        model,
        data.train.batches(1),
        SGD(model.parameters(), lr=0.01),
        validation=data.held_out,
        steps=600,
    )
    learned(model, data.held_out, 0.82)
    generalises(history)


class Weighed(nn.Module):
    """Two regressions of very different sizes and a classification, weighed by how sure the network is of each."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.classes, self.numbers = mlp((64, 64, 48)), nn.Linear(48, 10), nn.Linear(48, 2)
        self.doubts = nn.Parameter(torch.tensor([0.0, 5.7, -8.0]))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores and the two numbers, [n, 12]."""
        hidden = self.body(inputs).relu()
        return torch.cat([self.classes(hidden), self.numbers(hidden) * torch.tensor([17.0, 0.02])], 1)


def unequal_tasks(trial: Trial) -> None:
    """Three losses whose sizes are as 1 to 300 to a three-thousandth; weights are learned, the sum is below 0."""
    data, model = digits(trial.seed), Weighed()

    def with_numbers(part: Part) -> Part:
        ink, height = part.inputs.mean(1), (part.inputs * torch.arange(64.0)).mean(1) / 20
        return Part(part.inputs, torch.stack([part.targets.float(), 20 * ink / 0.1, 0.1 * height], 1))

    def losses(made: Tensor, targets: Tensor) -> Tensor:
        squares = (made[:, 10:] - targets[:, 1:]).square().mean(0)
        return torch.cat([functional.cross_entropy(made[:, :10], targets[:, 0].long())[None], squares])

    def criterion(made: Tensor, targets: Tensor) -> Tensor:
        return (losses(made, targets) * (-model.doubts).exp() + model.doubts).sum()

    train, held_out = with_numbers(data.train), with_numbers(data.held_out)
    optimizer = Adam(
        [
            {"params": [value for name, value in model.named_parameters() if name != "doubts"], "lr": 3e-3},
            {"params": [model.doubts], "lr": 5e-3},
        ]
    )
    fit(trial, model, train.batches(64), optimizer, criterion, steps=350)
    model.eval()
    ends = losses(model(held_out.inputs), held_out.targets).detach()
    shares = ends[1:] / held_out.targets[:, 1:].var(0)
    require(
        ends[0] < 0.5 and (shares < 0.4).all(), f"the losses are {ends.tolist()}, {shares.tolist()} of the variance"
    )


class Denoiser(nn.Module):
    """Says which noise is in a point, given how much of it there is."""

    def __init__(self) -> None:
        super().__init__()
        self.time, self.body = nn.Linear(1, 16), mlp((18, 64, 64, 2), nn.SiLU)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return noise [n, 2] of points and times, [n, 3]."""
        told: Tensor = self.body(torch.cat([inputs[:, :2], torch.sin(self.time(inputs[:, 2:]))], 1))
        return told


def diffusion(trial: Trial) -> None:
    """Diffusion: most of the noise can't be known, so that the loss is flat soon, high, and itself noisy."""
    generator = torch.Generator().manual_seed(trial.seed)

    def noised(size: int) -> tuple[Tensor, Tensor]:
        angles = 2 * torch.pi * torch.rand(size, generator=generator)
        points, noise = torch.stack([angles.cos(), angles.sin()], 1), torch.randn(size, 2, generator=generator)
        times = torch.rand(size, 1, generator=generator)
        kept = (times * torch.pi / 2).cos()
        return torch.cat([kept * points + (1 - kept**2).sqrt() * noise, times], 1), noise

    model = Denoiser()
    optimizer = Adam(model.parameters(), lr=3e-3)
    history = fit(trial, model, lambda _step: noised(128), optimizer, nn.MSELoss(), steps=400)
    require(history.end < 0.55, f"the error is {history.end:.3g}")
    inputs, noise = noised(4000)
    late = inputs[:, 2] > 0.8
    error = float((model(inputs[late]) - noise[late]).square().mean())
    require(error < 0.12, f"the error is {error:.3g} where there is nearly nothing but noise")


def penalised(trial: Trial) -> None:
    """A Wasserstein critic with a penalty on its slope, which is differentiated twice, and its generator.

    The critic's loss goes up towards zero while both get better, and that of the generator goes wherever it goes.
    """
    generator, critic = mlp((4, 32, 32, 2)), mlp((2, 32, 32, 1), nn.Softplus)
    makes, judges = (Adam(one.parameters(), lr=2e-3, betas=(0.5, 0.9)) for one in (generator, critic))
    source, distances = torch.Generator().manual_seed(trial.seed), []
    with trial.writer() as writer:
        writer.watch(generator, makes, name="generator", every=1, on_finding="ignore")
        writer.watch(critic, judges, name="critic", every=1, on_finding="ignore")
        for _step in range(130):
            for _turn in range(2):
                angles = 2 * torch.pi * torch.rand(64, generator=source)
                real = torch.stack([angles.cos(), angles.sin()], 1)
                made = generator(torch.randn(64, 4, generator=source)).detach()
                between = real.lerp(made, torch.rand(64, 1, generator=source)).requires_grad_(True)
                slope = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
                distance = critic(made).mean() - critic(real).mean()
                judges.zero_grad()
                (distance + 5 * (slope.norm(dim=1) - 1).square().mean()).backward()
                judges.step()
            makes.zero_grad()
            fooled = -critic(generator(torch.randn(64, 4, generator=source))).mean()
            fooled.backward()
            makes.step()
            distances.append(float(distance))
            writer.add_scalar("loss/critic", distances[-1], writer.step)
            writer.add_scalar("loss/generator", fooled.detach(), writer.step)
    radius = generator(torch.randn(2000, 4, generator=source)).norm(dim=1)
    require(0.6 < float(radius.mean()) < 1.4 and float(radius.std()) < 0.5, "the points lie elsewhere")
    require(sum(distances[-20:]) / 20 > 0.6 * min(distances), "the distance does not shrink")


SCENARIOS = (
    Scenario("healthy-worths-mlp", "mlp", TUNING, worths),
    Scenario("healthy-single-samples-mlp", "mlp", TUNING, single_samples),
    Scenario("healthy-unequal-tasks-mlp", "mlp", TUNING, unequal_tasks),
    Scenario("healthy-diffusion-mlp", "mlp", TUNING, diffusion),
    Scenario("healthy-penalised-mlp", "mlp", TUNING, penalised),
)

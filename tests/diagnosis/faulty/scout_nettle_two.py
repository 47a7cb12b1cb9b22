"""Losses that stay where they are: windows cut across people, a noise drawn anew, and words without their places."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Batches, Part, digits, split
from tests.diagnosis.faulty.scout_nettle import worse
from tests.diagnosis.networks import Block, mlp
from tests.diagnosis.proof import loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def wrist(seed: int, count: int = 1200) -> Part:
    """Return what a wrist felt over twenty readings, [n, 20, 3], and what it did: one of five things."""
    generator = torch.Generator().manual_seed(seed)
    did = torch.randint(5, (count,), generator=generator)
    pace = 0.25 + 0.2 * did[:, None, None] + 0.04 * torch.randn(count, 1, 1, generator=generator)
    phase = torch.rand(count, 1, 1, generator=generator) + torch.tensor([0, 0.7, 1.4])
    felt = (pace * torch.arange(20)[:, None] + phase).sin()
    return Part(felt + 0.3 * torch.randn(felt.shape, generator=generator), did)


def across_people(trial: Trial) -> Truth:
    """`x.view(batch, -1)` of [time, batch, axes]: a row holds readings of many people, and the label of one."""
    data = wrist(trial.seed)
    train, held_out = (Part(data.inputs[at], data.targets[at]) for at in (slice(250, None), slice(250)))

    def torn(part: Part) -> Part:
        return Part(part.inputs.transpose(0, 1).reshape(len(part.targets), -1), part.targets)

    def rows(draw: Batches) -> Batches:
        def cut(step: int) -> tuple[Tensor, Tensor]:
            readings, did = draw(step)
            by_time = readings.transpose(0, 1).contiguous()
            return by_time.view(len(did), -1), did

        return cut

    model, other = mlp((60, 96, 48, 5)), mlp((60, 96, 48, 5))
    other.load_state_dict(model.state_dict())
    optimizer, draw = Adam(model.parameters(), lr=1e-3), train.batches(32, trial.seed)
    history = fit(trial, model, rows(draw), optimizer, validation=torn(held_out), every=2, steps=260)
    whole = Part(train.inputs.flatten(1), train.targets).batches(32, trial.seed)
    better = control(other, whole, Adam(other.parameters(), lr=1e-3), steps=260)
    worse(history.end, better, 3)
    require(history.end > 0.9 * history.train[0], f"the loss fell from {history.train[0]:.3g} to {history.end:.3g}")
    return Truth()


class Denoiser(nn.Module):
    """A small U-Net that is told the picture with its noise, and in a second plane how much of that there is."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(2, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.SiLU())
        self.down = nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.GroupNorm(4, 32), nn.SiLU())
        self.middle = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.GroupNorm(4, 32), nn.SiLU())
        self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.leave = nn.Sequential(nn.Conv2d(32, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 1, 3, padding=1))

    def forward(self, noisy: Tensor) -> Tensor:
        """Return the noise, [n, 1, 8, 8]."""
        entered = self.enter(noisy)
        made = self.up(self.middle(self.down(entered)))
        noise: Tensor = self.leave(torch.cat([entered, made], 1))
        return noise


class Diffusion:
    """Draws pictures with noise, as a diffusion model learns from them."""

    def __init__(self, pictures: Tensor, seed: int) -> None:
        self.pictures, self.generator = pictures, torch.Generator().manual_seed(seed)

    def add_noise(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return pictures in two planes: with the noise, and how much of it there is."""
        keep = (1.4 * time).cos()
        return torch.cat([keep * clean + (1 - keep.square()).sqrt() * noise, time.expand_as(clean)], 1)

    def draw(self, count: int = 32) -> tuple[Tensor, Tensor]:
        """Return pictures and the times, which say how noisy they are to be."""
        chosen = torch.randint(len(self.pictures), (count,), generator=self.generator)
        return self.pictures[chosen], torch.rand(count, 1, 1, 1, generator=self.generator)

    def noise(self, like: Tensor) -> Tensor:
        """Return normal noise."""
        return torch.randn(like.shape, generator=self.generator)


def other_noise(trial: Trial) -> Truth:
    """DDPM whose loss draws the noise anew: what it is to say is not what was added, so it says nothing."""
    data = digits(trial.seed, flat=False)
    model, other = Denoiser(), Denoiser()
    other.load_state_dict(model.state_dict())
    world, losses = Diffusion(data.train.inputs, trial.seed), []
    optimizer = AdamW(model.parameters(), lr=2e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _step in range(240):
            clean, time = world.draw()
            told = model(world.add_noise(clean, world.noise(clean), time))
            target = world.noise(clean)
            loss = functional.mse_loss(told, target)
            writer.observe(outputs=told, targets=target, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train_loss", losses[-1], writer.step)
    world = Diffusion(data.train.inputs, trial.seed)

    def right(_step: int) -> tuple[Tensor, Tensor]:
        clean, time = world.draw()
        noise = world.noise(clean)
        return world.add_noise(clean, noise, time), noise

    better = control(other, right, AdamW(other.parameters(), lr=2e-3), nn.MSELoss(), steps=240)
    end = sum(losses[-24:]) / 24
    worse(end, better, 2)
    require(end > 0.98, f"the loss is {end:.3f}, and that of saying nothing is 1")
    return Truth()


class Reader(nn.Module):
    """Reads twelve words at once, knowing or not knowing their places."""

    def __init__(self, *, places: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 32)
        self.place = nn.Parameter(0.3 * torch.randn(12, 32)) if places else None
        self.blocks = nn.Sequential(Block(32), Block(32))
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 6)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 6]."""
        hidden = self.embed(words)
        if self.place is not None:
            hidden = hidden + self.place
        scores: Tensor = self.head(self.norm(self.blocks(hidden)).mean(1))
        return scores


def who_did_it(seed: int, count: int = 2400) -> Part:
    """Return sentences [n, 12] that name two of three people, and who did it to whom: the one named first."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(3, 30, (count, 12), generator=generator)
    pair = torch.tensor([(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)])
    did = torch.randint(6, (count,), generator=generator)
    rows = torch.arange(count)
    words[rows, torch.randint(0, 5, (count,), generator=generator)] = pair[did, 0]
    words[rows, torch.randint(6, 12, (count,), generator=generator)] = pair[did, 1]
    return Part(words, did)


def no_places(trial: Trial) -> Truth:
    """A transformer without places: it learns who is named, and then stays at half a chance, as order says the rest."""
    part = who_did_it(trial.seed)
    data = split(part.inputs, part.targets, 400, trial.seed)
    model, other = Reader(places=False), Reader(places=True)
    other.load_state_dict(model.state_dict(), strict=False)
    optimizer, draw = AdamW(model.parameters(), lr=2e-3, weight_decay=0.01), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=240)
    control(other, data.train.batches(48, trial.seed), AdamW(other.parameters(), lr=2e-3), steps=240)
    worse(loss_of(model, data.held_out), loss_of(other, data.held_out), 2)
    require(history.end > 0.6, f"the loss is {history.end:.3f}, and that of two alike is 0.693")
    flat = next(step for step, loss in enumerate(history.train) if loss < 0.75)
    require(20 < flat < 200, f"it stays from step {flat} on")
    return Truth((), 0, flat + 60)


SCENARIOS = (
    Scenario(
        "nettle-plateau-view-mlp",
        "mlp",
        TUNING,
        across_people,
        ("loss_plateau",),
        ("label_noise", "underfitting", "wrong_output_or_loss", "overfitting"),
    ),
    Scenario(
        "nettle-plateau-noise-cnn",
        "cnn",
        TUNING,
        other_noise,
        ("loss_plateau", "label_noise"),
        ("wrong_output_or_loss", "underfitting", "representation_collapse"),
    ),
    Scenario(
        "nettle-plateau-places-transformer",
        "transformer",
        TUNING,
        no_places,
        ("loss_plateau", "underfitting"),
        ("label_noise",),
    ),
)

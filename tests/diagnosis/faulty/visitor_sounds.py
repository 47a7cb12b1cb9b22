"""Speech and series: weights that were swapped, codes that chase themselves, a mixture of one, a short sight."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tb_netviz_plugin.diagnosis import Severity
from tests.diagnosis.data import Part, Split, split
from tests.diagnosis.faulty.blind_units import lasting
from tests.diagnosis.faulty.losses import jumps
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.faulty.representations import collapsed
from tests.diagnosis.faulty.units import twins
from tests.diagnosis.networks import Block, Transformer
from tests.diagnosis.proof import double, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, evaluate, fit

SOUNDS, BANDS, FRAMES, PARTS = 6, 8, 16, 5


def heard(seed: int, count: int = 900) -> Split:
    """Return spectra of four sounds one after another, [n, frames, bands], and which came first of the six, [n]."""
    generator = torch.Generator().manual_seed(seed)
    said = torch.randint(SOUNDS, (count, 4), generator=generator)
    voices = 1.5 * torch.randn(SOUNDS, BANDS, generator=generator)
    spectra = voices[said.repeat_interleave(FRAMES // 4, 1)]
    return split(spectra + 0.7 * torch.randn(spectra.shape, generator=generator), said[:, 0], count // 5, seed)


class Keywords(nn.Module):
    """Convolutions along time, and a head over the mean of each quarter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(BANDS, 24, 3, padding=1), nn.Conv1d(24, 24, 3, padding=1)
        self.act1, self.act2, self.head = nn.ReLU(), nn.ReLU(), nn.Linear(96, SOUNDS)

    def forward(self, spectra: Tensor) -> Tensor:
        """Return scores [n, sounds]."""
        hidden = self.act2(self.conv2(self.act1(self.conv1(spectra.transpose(1, 2)))))
        scores: Tensor = self.head(functional.adaptive_avg_pool1d(hidden, 4).flatten(1))
        return scores


def average_left_in_place(trial: Trial) -> Truth:
    """A slow average of the weights is evaluated after the epoch and left there; it is still what it began with."""
    data, model, criterion = heard(trial.seed), Keywords(), nn.CrossEntropyLoss()
    average, losses = copy.deepcopy(model).requires_grad_(False), []
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(260):
            spectra, sounds = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(spectra), sounds)
            loss.backward()
            optimizer.step()
            for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast.detach(), 0.0005)
            losses.append(float(loss.detach()))
            writer.add_scalar("train/loss", losses[-1], writer.step)
            if step == 159:
                model.load_state_dict(average.state_dict())
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    return jumps(History(losses, {}), 160)


def listener() -> Transformer:
    """Return a transformer that says of each frame what it is about, [n, 16, frames]."""
    model = Transformer(1, 16, depth=1, length=FRAMES, each=True, block=Block)
    model.register_module("embed", nn.Linear(BANDS, 24))
    return model


def chasing_itself(trial: Trial) -> Truth:
    """Codes of hidden frames are to be those of the frames unhidden, by the same network, with gradients both ways."""
    spectra, model, held = heard(trial.seed).train, listener(), {}
    fresh = copy.deepcopy(model)
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), spectra.batches(16, trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(160):
            frames = draw(step)[0]
            hidden = torch.rand(*frames.shape[:2], 1, generator=generator) < 0.4
            told, wanted = model(frames.masked_fill(hidden, 0.0)), model(frames)
            loss = (1 - functional.cosine_similarity(told, wanted))[hidden[..., 0]].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("pretrain/loss", loss.detach(), writer.step)
            held[step] = float(functional.normalize(wanted.detach(), dim=1).std((0, 2)).mean()) < 0.25 / 4
    made, before = (
        double(one).eval()(spectra.inputs[:200].double()).detach().transpose(1, 2).flatten(0, 1)
        for one in (model, fresh)
    )
    spread = float(functional.normalize(before, dim=1).std(0).mean()) * 4
    require(spread > 0.5, f"the codes deviate by {spread:.2f} of a sphere at first already")
    layers = ("head", "norm", *(f"blocks.0.{part}" for part in ("up", "down", "attention.out")))
    return replace(collapsed(made, layers), until=lasting(held))


def moves(seed: int, count: int = 1200, length: int = 13) -> Part:
    """Return series [n, length, 1] that go up or down by about one at each step, by chance, and the next step, [n]."""
    generator = torch.Generator().manual_seed(seed)
    signs = 2.0 * torch.randint(2, (count, length + 1), generator=generator) - 1
    size = 1 + 0.3 * torch.sin(torch.arange(length + 1) + 6 * torch.rand(count, 1, generator=generator))
    steps = signs * size + 0.1 * torch.randn(count, length + 1, generator=generator)
    return Part(steps[:, :-1, None], steps[:, -1])


class Mixture(nn.Module):
    """A GRU that says what comes as a mixture of normal distributions."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 3 * PARTS)

    def forward(self, series: Tensor) -> Tensor:
        """Return shares, means and deviations, before they are such, [n, 3 × parts]."""
        made: Tensor = self.head(self.rnn(series)[0][:, -1])
        return made


def unlikely(made: Tensor, following: Tensor) -> Tensor:
    """Return minus the logarithm of the density."""
    shares, means, sizes = made.chunk(3, 1)
    parts = torch.distributions.Normal(means, functional.softplus(sizes) + 0.01).log_prob(following[:, None])
    loss: Tensor = -(shares.log_softmax(1) + parts).logsumexp(1).mean()
    return loss


def head_of_zeros(trial: Trial) -> Truth:
    """The head of a mixture begins at zero, for a calm start: five parts that are one, and stay so."""
    data, model, other = moves(trial.seed), Mixture(), Mixture()
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    draw = data.batches(32, trial.seed)
    history = fit(trial, model, draw, Adam(model.parameters(), lr=1e-2), unlikely, every=2, steps=220)
    better = control(other, data.batches(32, trial.seed), Adam(other.parameters(), lr=1e-2), unlikely, steps=220)
    require(history.end > better + 0.2, f"the loss is {history.end:.3g}, and {better:.3g} with five that differ")
    return twins(model.head.weight, "head", 0.99)


def seasons(seed: int, count: int = 1500, length: int = 32) -> Split:
    """Return series [n, 1, length] in which most comes back after twenty places, and what follows each, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, count, length + 41, generator=generator)
    slow, fast = noise[0].clone(), noise[1].clone()
    for at in range(20, length + 41):
        slow[:, at] = 0.97 * slow[:, at - 20] + 0.24 * noise[0, :, at]
        fast[:, at] = 0.8 * fast[:, at - 1] + 0.6 * noise[1, :, at]
    series = (0.9 * slow + 0.45 * fast)[:, -length - 1 :]
    return split(series[:, None, :-1], series[:, -1:], count // 5, seed)


class Causal(nn.Module):
    """Three convolutions that look back so far each, and a head at the last place."""

    def __init__(self, reaches: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(16 if at else 1, 16, 3, dilation=reach) for at, reach in enumerate(reaches)
        )
        self.acts, self.head = nn.ModuleList(nn.ReLU() for _ in reaches), nn.Linear(16, 1)

    def forward(self, series: Tensor) -> Tensor:
        """Return what comes next, [n, 1]."""
        for conv, act in zip(self.convs, self.acts, strict=True):
            series = act(conv(functional.pad(series, (2 * conv.dilation[0], 0))))
        told: Tensor = self.head(series[:, :, -1])
        return told


def short_sight(trial: Trial) -> Truth:
    """What comes is what was twenty hours ago, and three convolutions without dilation look back seven."""
    data, criterion = seasons(trial.seed), nn.MSELoss()
    model, other = Causal((1, 1, 1)), Causal((1, 3, 9))
    draw, optimizer = data.train.batches(64, trial.seed), Adam(model.parameters(), lr=3e-3)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=3, steps=200)
    worse(history.end, control(other, data.train.batches(64), Adam(other.parameters(), lr=3e-3), criterion, steps=200))
    return Truth()


_POOR, _MIXED = ("underfitting", "loss_plateau"), ("redundant_units", "poor_init")
_LATER = ("underfitting", "loss_plateau")

SCENARIOS = (
    Scenario("jumps-averaged-cnn", "cnn", TUNING, average_left_in_place, ("loss_spike",)),
    Scenario("collapsed-frames-transformer", "transformer", TUNING, chasing_itself, ("representation_collapse",)),
    Scenario("copies-mixture-gru", "rnn", TUNING, head_of_zeros, _MIXED, _LATER, Severity.INFO),
    Scenario("poor-short-sighted-cnn", "cnn", TUNING, short_sight, _POOR),
)

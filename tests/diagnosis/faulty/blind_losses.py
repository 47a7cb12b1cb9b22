"""Losses that leap, swing or stay, in finance, segmentation, contrasts, speech and generation."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, digits, majorities
from tests.diagnosis.faulty.blind_gradients import rings
from tests.diagnosis.faulty.blind_steps import demand
from tests.diagnosis.faulty.losses import flat, jumps
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import Recurrent, Transformer, mlp
from tests.diagnosis.proof import require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Bypassed(nn.Module):
    """A GRU, and a linear forecast from the last few values beside it, added up."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head, self.linear = nn.GRU(1, 16, batch_first=True), nn.Linear(16, 1), nn.Linear(6, 1)

    def forward(self, series: Tensor) -> Tensor:
        """Return the next value [n, 1] of series [n, length, 1]."""
        told: Tensor = self.head(self.rnn(series)[0][:, -1]) + self.linear(series[:, -6:, 0])
        return told


def missing_by_a_number(trial: Trial) -> Truth:
    """A sensor failed for an hour, which the file has as −999; and some windows of one batch have that hour."""
    data, model, at = demand(trial.seed, length=12), Bypassed(), 140 + 10 * trial.seed
    draw = data.batches(32)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        series, following = draw(step)
        if step == at:
            series[:3, -2] = -999.0
        return series, following

    history = fit(trial, model, batches, Adam(model.parameters(), lr=3e-3), nn.MSELoss(), clip=1.0, every=2, steps=260)
    return jumps(history, at)


def head_not_in_the_file(trial: Trial) -> Truth:
    """Training is taken up from a file that lacks the head, which `strict=False` hides: it begins anew at step 120."""
    data, at = majorities(trial.seed), 120
    model = Transformer(12, 3)
    fresh = nn.Linear(24, 3).state_dict()

    def resume(step: int) -> None:
        if step == at:
            model.head.load_state_dict(fresh)

    optimizer = AdamW(model.parameters(), lr=2e-3)
    history = fit(trial, model, data.train.batches(16), optimizer, before=resume, every=3, steps=180)
    return jumps(history, at, 3.0)


def speaker_after_speaker(trial: Trial) -> Truth:
    """The words of six speakers, one after another: each comes for 25 batches, and by then others are forgotten."""
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.randint(4, (1200,), generator=generator)
    speakers = torch.arange(6).repeat_interleave(200)
    voices = torch.randn(6, 4, 6, generator=generator)
    frames = voices[speakers, words][:, None] + 0.4 * torch.randn(1200, 6, 6, generator=generator)
    model, criterion = Recurrent(nn.LSTM, 4, inputs=6), nn.CrossEntropyLoss()
    other, losses = copy.deepcopy(model), []
    optimizer = SGD(model.parameters(), lr=0.5, momentum=0.9)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            speaker = step // 25 % 6
            chosen = 200 * speaker + torch.randint(200, (16,), generator=generator)
            loss = criterion(model(frames[chosen]), words[chosen])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("loss/train", losses[-1], writer.step)
    for start in range(150, 300, 25):
        block = losses[start : start + 25]
        require(np.mean(block[:3]) > 3 * np.mean(block[-8:]), f"at {start} it goes from {block[:3]} to {block[-8:]}")
    draw = Part(frames, words).batches(16)
    better = control(other, draw, SGD(other.parameters(), lr=0.5, momentum=0.9), criterion, steps=300, clip=5.0)
    worse(float(np.mean(losses[150:])), better)
    return Truth((), 25, 175)


def circling(trial: Trial) -> Truth:
    """A GAN by Wasserstein's distance whose critic is neither clipped nor penalised: the two of them run in circles."""
    points = rings(trial.seed, 2000) / 4
    maker, critic = mlp((4, 32, 32, 2)), mlp((2, 48, 48, 1), nn.LeakyReLU)
    makes, judges = RMSprop(maker.parameters(), lr=5e-3), RMSprop(critic.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(trial.seed)
    distances, away = [], []
    with trial.writer() as writer:
        writer.watch(critic, judges, name="critic", every=3, on_finding="ignore")
        writer.watch(maker, makes, name="generator", every=3, on_finding="ignore")
        for _ in range(240):
            real = points[torch.randint(len(points), (64,), generator=generator)]
            made = maker(torch.randn(64, 4, generator=generator))
            judged = critic(made.detach()).mean() - critic(real).mean()
            judges.zero_grad()
            judged.backward()
            judges.step()
            fooled = -critic(made).mean()
            makes.zero_grad()
            fooled.backward()
            makes.step()
            distances.append(float(judged.detach()))
            away.append(float(torch.cdist(made.detach(), points[:200]).min(1).values.mean()))
            writer.add_scalar("loss/critic", distances[-1], writer.step)
            writer.add_scalar("loss/generator", fooled.detach(), writer.step)
    require(np.mean(away[120:]) > 0.2, f"what is made is {np.mean(away[120:]):.3g} away from what there is")
    late = np.array(distances[80:])
    turns = int((np.diff(np.sign(late)) != 0).sum())
    require(turns >= 8 and late.std() > 2 * abs(late.mean()), f"it turns {turns} times, by {late.std():.3g}")
    return Truth((), 0, 80)


class Mask(nn.Module):
    """Convolutions that say of each pixel whether it is ink."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 8, 3, padding=1)
        self.middle, self.up = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, 16, 16]."""
        scores: Tensor = self.up(self.middle(self.down(pictures).relu()).relu())
        return scores


def cells(seed: int, count: int = 500) -> Part:
    """Return noisy pictures [n, 1, 16, 16] with a bright square of five somewhere, and where that is."""
    generator = torch.Generator().manual_seed(seed)
    corners, span = torch.randint(12, (count, 2, 1), generator=generator), torch.arange(16)
    inside = (span >= corners) & (span < corners + 5)
    masks = (inside[:, 0, :, None] & inside[:, 1, None]).float()[:, None]
    return Part(1.5 * masks - 0.5 + 0.4 * torch.randn(masks.shape, generator=generator), masks)


def turned_apart(trial: Trial) -> Truth:
    """Pictures and masks are shifted and flipped by chance, each for itself: they no longer belong together."""
    data, model, criterion = cells(trial.seed), Mask(), nn.BCEWithLogitsLoss()
    other, draw = copy.deepcopy(model), data.batches(12)
    generator = torch.Generator().manual_seed(trial.seed)

    def augmented(pictures: Tensor) -> Tensor:
        down, right = torch.randint(16, (2,), generator=generator).tolist()
        turned = pictures.roll((down, right), (2, 3))
        return turned.flip(3) if torch.rand(1, generator=generator) < 0.5 else turned

    def batches(step: int) -> tuple[Tensor, Tensor]:
        pictures, masks = draw(step)
        return augmented(pictures), augmented(masks)

    nn.init.constant_(model.up.bias, -2.2)  # As rare as ink is.
    history = fit(trial, model, batches, Adam(model.parameters(), lr=2e-3), criterion, every=2, steps=240)
    share = float(data.targets.mean())
    flat(history, -share * np.log(share) - (1 - share) * np.log(1 - share))
    better = control(other, data.batches(12), Adam(other.parameters(), lr=2e-3), criterion)
    worse(history.end, better)
    return Truth()


class Pairs(nn.Module):
    """Two towers, for pictures and for words about them, whose cosines over a temperature are scores."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.seen, self.told = mlp((64, 48, 16)), nn.Sequential(nn.Embedding(10, 16), nn.Linear(16, 16))
        self.temperature = temperature

    def forward(self, pairs: Tensor) -> Tensor:
        """Return scores [n, n] of pictures with words, [n, 64 + 1]."""
        one = functional.normalize(self.seen(pairs[:, :64]), dim=1)
        other = functional.normalize(self.told(pairs[:, 64].long()), dim=1)
        return one @ other.T / self.temperature


def temperature_of_ten(trial: Trial) -> Truth:
    """Pictures and words by contrast, at a temperature of 10, where 0.1 was meant: no score is above a tenth."""
    data = digits(trial.seed).train
    pairs = torch.cat([data.inputs, data.targets[:, None]], 1)
    which = [(data.targets == digit).nonzero()[:, 0] for digit in range(10)]
    generator = torch.Generator().manual_seed(trial.seed)

    def batches(_step: int) -> tuple[Tensor, Tensor]:
        chosen = [one[torch.randint(len(one), (1,), generator=generator)] for one in which]
        return pairs[torch.cat(chosen)], torch.arange(10)

    model, other = Pairs(10.0), Pairs(0.1)
    other.load_state_dict(model.state_dict())
    history = fit(trial, model, batches, Adam(model.parameters(), lr=2e-3), steps=240)
    flat(history, float(np.log(10)))
    require(control(other, batches, Adam(other.parameters(), lr=2e-3)) < 0.5, "at 0.1 it is no better")
    return Truth()


def returns_of_tomorrow(trial: Trial) -> Truth:
    """Tomorrow's returns from those of the last twenty days, which say nothing about them."""
    generator = torch.Generator().manual_seed(trial.seed)
    days = torch.randn(40, 300, generator=generator)
    windows = days.unfold(1, 21, 1).flatten(0, 1)
    data, model, criterion = Part(windows[:, :-1, None], windows[:, -1:]), Recurrent(nn.LSTM, 1, inputs=1), nn.MSELoss()
    history = fit(trial, model, data.batches(64), Adam(model.parameters(), lr=1e-3), criterion, every=2, steps=240)
    return flat(history, float(data.targets.var()))


_JUMPS, _SWINGS, _FLAT = ("loss_spike",), ("loss_oscillation",), ("loss_plateau",)

SCENARIOS = (
    Scenario("jumps-sentinel-gru", "rnn", TUNING, missing_by_a_number, _JUMPS),
    Scenario("jumps-resumed-transformer", "transformer", TUNING, head_not_in_the_file, _JUMPS),
    Scenario("swings-speakers-lstm", "rnn", TUNING, speaker_after_speaker, _SWINGS, ("loss_spike",)),
    Scenario("swings-critic-mlp", "mlp", TUNING, circling, _SWINGS, ("lr_too_high", "exploding_gradient")),
    Scenario("flat-apart-cnn", "cnn", TUNING, turned_apart, _FLAT, ("underfitting", "label_noise")),
    Scenario("flat-temperature-mlp", "mlp", TUNING, temperature_of_ten, _FLAT, ("underfitting",)),
    Scenario("flat-returns-lstm", "rnn", TUNING, returns_of_tomorrow, _FLAT, ("underfitting",)),
)

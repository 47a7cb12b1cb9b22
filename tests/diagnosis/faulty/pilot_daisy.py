"""Gradients that die in long reviews, sigmoids and gates; losses that jump at sentinels, sorted classes, idle hours."""

from __future__ import annotations

import copy
from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.networks import Recurrent, cnn
from tests.diagnosis.proof import accuracy, gradients, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def much_worse(found: float, better: float, times: float = 1.5) -> None:
    """Raise NotProvenError unless a loss is so many times that of the training without the fault."""
    require(not found < times * better, f"{found:.4g} is not {times:g} times {better:.4g}")


def reviews(seed: int, length: int = 60) -> Part:
    """Return reviews of 30 words, [n, length], whose first six words say whether it is praise, [n]."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(10, 30, (1400, length), generator=generator)
    praise = torch.randint(2, (1400,), generator=generator)
    words[:, :6] = torch.randint(5, (1400, 6), generator=generator) + 5 * praise[:, None]
    return Part(words, praise)


def long_reviews(trial: Trial) -> Truth:
    """Reviews that open with their verdict, read to the end by a plain RNN: nothing comes back over sixty words."""
    torch.manual_seed(trial.seed)
    data = reviews(trial.seed)
    model = Recurrent(nn.RNN, 2, inputs=16, tokens=30, hidden=32)
    other, optimizer = copy.deepcopy(model), RMSprop(model.parameters(), lr=1e-3)
    history = fit(trial, model, data.batches(32, trial.seed), optimizer, steps=200)
    backwards = Part(data.inputs.flip(1), data.targets)
    better = control(other, backwards.batches(32, trial.seed), RMSprop(other.parameters(), lr=1e-3), steps=200)
    much_worse(history.end, better, 3)
    states = copy.deepcopy(model).double()
    seen = states.embed(data.inputs[:200]).detach().requires_grad_()
    loss = functional.cross_entropy(states.head(states.rnn(seen)[0][:, -1]), data.targets[:200])
    back = torch.autograd.grad(loss, seen)[0].square().mean((0, 2)).sqrt()
    require(float(back[:6].max()) < 1e-5 * float(back[-1]), f"{float(back[:6].max()):.3g} of {float(back[-1]):.3g}")
    return Truth(("rnn", "embed"))


class Squeezer(nn.Module):
    """An autoencoder whose halves have the same activation after every layer."""

    def __init__(self, activation: type[nn.Module]) -> None:
        super().__init__()
        widths = (64, 56, 48, 40, 32, 16)
        self.encoder = nn.Sequential(*self.stack(widths, activation))
        self.decoder = nn.Sequential(*self.stack(widths[::-1], activation)[:-1])

    @staticmethod
    def stack(widths: tuple[int, ...], activation: type[nn.Module]) -> list[nn.Module]:
        """Return linear layers of such widths, each with an activation."""
        return [part for wide, next_ in pairwise(widths) for part in (nn.Linear(wide, next_), activation())]

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the pixels as they are after the narrow place."""
        made: Tensor = self.decoder(self.encoder(pixels))
        return made


def sigmoid_autoencoder(trial: Trial) -> Truth:
    """A deep autoencoder of digits with a sigmoid after each layer: it gives the mean picture for ever."""
    torch.manual_seed(trial.seed)
    pixels = digits(trial.seed).train.inputs
    data, criterion = Part(pixels, pixels), nn.MSELoss()
    model, other = Squeezer(nn.Sigmoid), Squeezer(nn.ELU)
    optimizer, draw = SGD(model.parameters(), lr=0.4, momentum=0.9), data.batches(64, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
    optimizer = SGD(other.parameters(), lr=0.4, momentum=0.9)
    better = control(other, data.batches(64, trial.seed), optimizer, criterion)
    much_worse(sum(losses[-24:]) / 24, better)
    sizes = gradients(model, data.first(500), criterion)
    first, last = sizes["encoder.0.weight"], sizes["decoder.8.weight"]
    require(first < 1e-5 * last, f"{first:.3g} of {last:.3g}")
    return Truth((*(f"{half}.{at}" for half in ("encoder", "decoder") for at in (0, 2, 4, 6)), "encoder.8"))


class Gated(nn.Module):
    """A convolution over time that is weighted by a mask of its own, alone or added to what came in."""

    def __init__(self, channels: int, *, skip: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 5, padding=2)
        self.mask = nn.Conv1d(channels, channels, 1)
        self.skip = skip

    def forward(self, signal: Tensor) -> Tensor:
        """Return [n, channels, length]."""
        made = functional.relu(self.conv(signal)) * torch.sigmoid(self.mask(signal))
        return signal + made if self.skip else made


def heartbeats(seed: int) -> Part:
    """Return traces [n, 1, 64] with narrow, wide or double beats, and which of the three."""
    generator = torch.Generator().manual_seed(seed)
    kinds, at = torch.randint(3, (1200,), generator=generator), 16 + 32 * torch.rand(1200, 1, generator=generator)
    time, wide = torch.arange(64.0), torch.tensor([1.5, 4.0, 1.5])[kinds][:, None]
    traces = (-((time - at) ** 2) / (2 * wide**2)).exp()
    traces += (kinds == 2)[:, None] * (-((time - at - 8) ** 2) / (2 * wide**2)).exp()
    return Part((3 * traces + 0.3 * torch.randn(traces.shape, generator=generator))[:, None], kinds)


def masks_alone(trial: Trial) -> Truth:
    """Eight attention masks over heartbeats, each of which halves what it lets through, and no skip around them."""
    torch.manual_seed(trial.seed)
    data, ends = heartbeats(trial.seed), []
    for skip in (False, True):
        blocks = {f"block{number}": Gated(12, skip=skip) for number in range(1, 9)}
        stem, tail = nn.Conv1d(1, 12, 7, padding=3), {"pool": nn.AdaptiveMaxPool1d(1), "flat": nn.Flatten()}
        model = nn.Sequential(OrderedDict({"stem": stem} | blocks | tail | {"head": nn.Linear(12, 3)}))
        optimizer, draw = SGD(model.parameters(), lr=0.02, momentum=0.9), data.batches(32, trial.seed)
        if skip:
            ends.append(control(model, draw, optimizer, steps=200))
        else:
            ends.append(fit(trial, model, draw, optimizer, steps=200, every=2).end)
            sizes = gradients(model, data.first(300))
    much_worse(*ends)
    first, last = sizes["stem.weight"], sizes["head.bias"]
    require(first < 1e-4 * last, f"{first:.3g} of {last:.3g}")
    return Truth(("stem", *(f"block{at}{part}" for at in range(1, 8) for part in ("", ".conv", ".mask"))))


class Forecast(nn.Module):
    """Two transformer layers over a day of readings; says what the next hour brings."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(1, 24), nn.Parameter(0.1 * torch.randn(24, 24))
        layer = nn.TransformerEncoderLayer(24, 2, 48, 0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(24, 1)

    def forward(self, day: Tensor) -> Tensor:
        """Return [n, 1] of [n, 24, 1]."""
        told: Tensor = self.head(self.encoder(self.lift(day) + self.place)[:, -1])
        return told


def broken_meters(trial: Trial) -> Truth:
    """Four meters wrote -999 for "no reading", and it is a target like any: the loss leaps when one is drawn."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    phase, size = 6.3 * torch.rand(4000, 1, generator=generator), 0.5 + torch.rand(4000, 1, generator=generator)
    hours = size * (torch.arange(25) * 0.6 + phase).sin() + 0.1 * torch.randn(4000, 25, generator=generator)
    clean = split(hours[:, :24, None], hours[:, 24:], 800, trial.seed)
    targets = clean.train.targets.clone()
    targets[torch.randperm(3200, generator=generator)[:4]] = -999.0
    model, criterion = Forecast(), nn.MSELoss()
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=1e-3)
    draw, leaps = Part(clean.train.inputs, targets).batches(32, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            past, following = draw(step)
            loss = criterion(model(past), following)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if loss.item() > 1000:
                leaps.append(step)
                require(bool((following < -900).any()), "the loss leaps without a sentinel")
            if step % 40 == 39:
                writer.add_scalar("val/loss", loss_of(model, clean.held_out, criterion), writer.step)
    require(3 <= len(leaps) < 25, f"{len(leaps)} leaps")
    control(other, clean.train.batches(32, trial.seed), Adam(other.parameters(), lr=1e-3), criterion)
    much_worse(loss_of(model, clean.held_out, criterion), loss_of(other, clean.held_out, criterion), 2)
    return Truth((), leaps[0], leaps[2])


def sorted_folders(trial: Trial) -> Truth:
    """Pictures in the order of their folders, one folder a class, and no shuffling: the loss leaps at each folder."""
    torch.manual_seed(trial.seed)
    data = digits(trial.seed, flat=False)
    order = data.train.targets.argsort(stable=True)
    inputs, targets = data.train.inputs[order].split(8), data.train.targets[order].split(8)
    model, losses = cnn(), []
    other, optimizer = copy.deepcopy(model), AdamW(model.parameters(), lr=2e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, nn.CrossEntropyLoss(), every=2, on_finding="ignore")
        for pictures, classes in list(zip(inputs, targets, strict=True)) * 2:
            loss = functional.cross_entropy(model(pictures), classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
    starts = [at for at in range(1, len(targets)) if targets[at][-1] != targets[at - 1][-1]]
    leaps = [at for at in starts if max(losses[at : at + 2]) > 5 * max(losses[at - 3 : at])]
    require(len(leaps) >= 6, f"the loss leaps at {leaps}")
    control(other, data.train.batches(8, trial.seed), AdamW(other.parameters(), lr=2e-3), steps=len(losses))
    does, should = (accuracy(one, data.held_out) for one in (model, other))
    require(does < should - 0.2, f"{does:.3f} is not below {should:.3f}")
    return Truth((), leaps[0], leaps[3] + 1)


def shares(made: Tensor, known: Tensor) -> Tensor:
    """Return the squared error as a share of the variance in the batch."""
    return functional.mse_loss(made, known) / known.var()


def idle_machines(trial: Trial) -> Truth:
    """One machine a batch, and the error over the batch's variance as a loss: where a machine idles that is nothing."""
    torch.manual_seed(trial.seed)
    model = Recurrent(nn.GRU, 1, inputs=1)
    other, optimizer = copy.deepcopy(model), RMSprop(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(trial.seed)
    idle = (torch.rand(260, generator=generator) < 0.03) & (torch.arange(260) > 50)
    idle[[80, 130, 190]] = True

    def machine(step: int) -> tuple[Tensor, Tensor]:
        fresh = torch.Generator().manual_seed(1000 * trial.seed + step)
        speed, phase = 0.3 + 0.6 * torch.rand(1, generator=fresh), 6.3 * torch.rand(32, 1, generator=fresh)
        run = (torch.arange(25) * speed + phase).sin()[..., None] + 0.05 * torch.randn(32, 25, 1, generator=fresh)
        if step < 260 and idle[step]:
            run = 0.8 + 0.003 * torch.randn(32, 25, 1, generator=fresh)
        return run[:, :24], run[:, 24]

    held_out = [machine(step) for step in range(300, 320)]
    history = fit(trial, model, machine, optimizer, shares, steps=260)
    control(other, machine, RMSprop(other.parameters(), lr=2e-3), functional.mse_loss, steps=260)
    ends = [sum(loss_of(one, Part(*batch), functional.mse_loss) for batch in held_out) for one in (model, other)]
    much_worse(*ends)
    leaps = [int(at) for at in idle.nonzero() if history.train[int(at)] > 10 * history.train[int(at) - 1]]
    require(len(leaps) >= 3, f"the loss leaps at {leaps}")
    return Truth((), leaps[0], leaps[2])


DEAD_END = ("loss_plateau", "layer_not_training", "underfitting", "redundant_units", "representation_collapse")
BUMPS = ("loss_oscillation", "exploding_gradient", "lr_too_high")
SCENARIOS = (
    Scenario("daisy-vanishing-reviews-rnn", "rnn", TUNING, long_reviews, ("vanishing_gradient",), DEAD_END),
    Scenario(
        "daisy-vanishing-autoencoder-mlp",
        "mlp",
        TUNING,
        sigmoid_autoencoder,
        ("vanishing_gradient",),
        (*DEAD_END, "saturation", "poor_init"),
    ),
    Scenario(
        "daisy-vanishing-masks-cnn", "cnn", TUNING, masks_alone, ("vanishing_gradient",), (*DEAD_END, "poor_init")
    ),
    Scenario(
        "daisy-spike-meters-transformer",
        "transformer",
        TUNING,
        broken_meters,
        ("loss_spike",),
        (*BUMPS, "label_noise", "wrong_output_or_loss", "underfitting"),
    ),
    Scenario("daisy-spike-folders-cnn", "cnn", TUNING, sorted_folders, ("loss_spike", "loss_oscillation"), BUMPS),
    Scenario("daisy-spike-idle-gru", "rnn", TUNING, idle_machines, ("loss_spike",), (*BUMPS, "wrong_output_or_loss")),
)

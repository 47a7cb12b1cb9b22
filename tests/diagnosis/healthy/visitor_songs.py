"""Healthy networks over sound: noise taken away, samples one by one, what is to come, and speech out of letters."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import Part, split
from tests.diagnosis.networks import Block
from tests.diagnosis.proof import calm, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import evaluate, fit

LEVELS, LETTERS, BANDS, SPOKEN, LONGEST = 32, 10, 8, 6, 18


def tones(count: int, length: int, generator: torch.Generator) -> Tensor:
    """Return sums of two tones of any pitch and phase, [n, length]."""
    pitches = 0.1 + 0.5 * torch.rand(count, 2, 1, generator=generator)
    phases = 2 * math.pi * torch.rand(count, 2, 1, generator=generator)
    return torch.sin(pitches * torch.arange(length) + phases).sum(1)


class Enhancer(nn.Module):
    """Learned filters, a mask between 0 and 1 for each at each time, and learned filters back; after Conv-TasNet."""

    def __init__(self, filters: int = 32) -> None:
        super().__init__()
        self.encoder = nn.Conv1d(1, filters, 16, stride=4, padding=6, bias=False)
        self.norm = nn.GroupNorm(1, filters)
        self.conv1, self.act1 = nn.Conv1d(filters, 32, 3, padding=1), nn.PReLU()
        self.conv2, self.act2 = nn.Conv1d(32, 32, 3, padding=2, dilation=2), nn.PReLU()
        self.mask, self.sigmoid = nn.Conv1d(32, filters, 1), nn.Sigmoid()
        self.decoder = nn.ConvTranspose1d(filters, 1, 16, stride=4, padding=6, bias=False)

    def forward(self, noisy: Tensor) -> Tensor:
        """Return [n, length] of [n, length]."""
        heard = self.encoder(noisy[:, None])
        hidden = self.act2(self.conv2(self.act1(self.conv1(self.norm(heard)))))
        clean: Tensor = self.decoder(heard * self.sigmoid(self.mask(hidden)))[:, 0]
        return clean


def decibels(made: Tensor, clean: Tensor) -> Tensor:
    """Return minus the scale-invariant ratio of signal to noise, in decibels."""
    share = (made * clean).sum(1, keepdim=True) / clean.square().sum(1, keepdim=True)
    signal = share * clean
    ratio = signal.square().sum(1) / ((made - signal).square().sum(1) + 1e-8)
    return -10 * (ratio + 1e-8).log10().mean()


def enhanced(trial: Trial) -> None:
    """Noise is taken from sound; the loss is in decibels, begins above zero, and ends well below."""
    generator = torch.Generator().manual_seed(trial.seed)
    clean = tones(700, 128, generator)
    data = split(clean + torch.randn(clean.shape, generator=generator), clean, 100, trial.seed)
    model = Enhancer()
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, decibels, validation=data.held_out, clip=5.0, every=3, steps=180)
    before, after = (
        float(decibels(data.held_out.inputs, data.held_out.targets)),
        loss_of(model, data.held_out, decibels),
    )
    require(after < before - 5, f"it goes from {-before:.3g} to {-after:.3g} decibels")
    calm(history)
    require(after < min(history.validation.values()) + 0.5, "the loss held out rose")


class Voiced(nn.Module):
    """A gated convolution, and what it adds to the way on, if there is one, and to the way out."""

    def __init__(self, reach: int, *, last: bool, width: int = 16) -> None:
        super().__init__()
        self.reach = reach
        self.filter, self.gate = (nn.Conv1d(width, width, 2, dilation=reach) for _ in range(2))
        self.tanh, self.sigmoid = nn.Tanh(), nn.Sigmoid()
        self.on = None if last else nn.Conv1d(width, width, 1)
        self.out = nn.Conv1d(width, 32, 1)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return [n, width, length] and [n, 32, length]."""
        padded = functional.pad(hidden, (self.reach, 0))
        made = self.tanh(self.filter(padded)) * self.sigmoid(self.gate(padded))
        return (hidden if self.on is None else hidden + self.on(made)), self.out(made)


class Samples(nn.Module):
    """WaveNet: four gated convolutions, whose outputs are added up."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(LEVELS, 16)
        self.layers = nn.ModuleList(Voiced(2**at, last=at == 3) for at in range(4))
        self.end = nn.Sequential(nn.ReLU(), nn.Conv1d(32, 32, 1), nn.ReLU(), nn.Conv1d(32, LEVELS, 1))

    def forward(self, samples: Tensor) -> Tensor:
        """Return scores [n, levels, length] of levels [n, length]."""
        hidden, outs = self.embed(samples).transpose(1, 2), []
        for layer in self.layers:
            hidden, out = layer(hidden)
            outs.append(out)
        scores: Tensor = self.end(torch.stack(outs).sum(0))
        return scores


def samples(trial: Trial) -> None:
    """Sound, sample by sample, in 32 levels after the μ-law: the loss begins at log 32, and noise keeps it up."""
    generator = torch.Generator().manual_seed(trial.seed)
    waves = 0.45 * tones(900, 33, generator) + 0.04 * torch.randn(900, 33, generator=generator)
    squeezed = waves.sign() * (1 + 255 * waves.abs().clamp(max=1)).log() / math.log(256)
    levels = ((squeezed + 1) / 2 * (LEVELS - 1)).round().long()
    data = split(levels[:, :-1], levels[:, 1:], 150, trial.seed)
    model, draw = Samples(), data.train.batches(12, trial.seed)
    optimizer = Adam(model.parameters(), lr=4e-3)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=4, steps=180)
    pairs = torch.ones(LEVELS, LEVELS).index_put_(
        (data.train.inputs.flatten(), data.train.targets.flatten()), torch.tensor(1.0), accumulate=True
    )
    chances = (pairs / pairs.sum(1, keepdim=True)).log()
    one_back = -float(chances[data.held_out.inputs, data.held_out.targets].mean())
    told = loss_of(model, data.held_out)
    require(told < 0.85 * one_back, f"the loss held out is {told:.3g}, and {one_back:.3g} by the sample before")
    calm(history)
    generalises(history)


class Foretelling(nn.Module):
    """Frames by convolution, a GRU over them, and from each state what the next two frames are going to be."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(1, 24, 8, stride=4, padding=2), nn.ReLU(), nn.Conv1d(24, 24, 4, stride=2, padding=1), nn.ReLU()
        )
        self.context, self.steps = nn.GRU(24, 24, batch_first=True), nn.ModuleList(nn.Linear(24, 24) for _ in range(2))

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes [n, frames, 24] and what is foretold of those one and two later, [2, n, frames, 24]."""
        codes = self.encoder(waves[:, None]).transpose(1, 2)
        states = self.context(codes)[0]
        return codes, torch.stack([step(states) for step in self.steps])


def contrast(codes: Tensor, told: Tensor) -> tuple[Tensor, float]:
    """Return the loss of finding each frame to come among those of all other waves, and how often it is found."""
    losses, found = [], []
    for ahead, guesses in enumerate(told, start=1):
        later, now = codes[:, 4 + ahead :], guesses[:, 4:-ahead]
        scores = torch.einsum("ntc,mtc->tnm", now, later).flatten(0, 1)
        right = torch.arange(len(codes)).repeat(now.shape[1])
        losses.append(functional.cross_entropy(scores, right))
        found.append(float((scores.argmax(1) == right).double().mean()))
    return torch.stack(losses).mean(), sum(found) / len(found)


def foretold(trial: Trial) -> None:
    """CPC: the loss begins at the logarithm of the batch and ends far above zero, as other waves are much alike."""
    generator = torch.Generator().manual_seed(trial.seed)
    waves = tones(900, 96, generator) + 0.3 * torch.randn(900, 96, generator=generator)
    train, held, model = waves[150:], waves[:150], Foretelling()
    optimizer, draw = Adam(model.parameters(), lr=3e-3), Part(train, torch.zeros(len(train))).batches(24, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=3, on_finding="ignore")
        for step in range(200):
            loss, found = contrast(*model(draw(step)[0]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("cpc/loss", losses[-1], writer.step)
            writer.add_scalar("cpc/accuracy", found, writer.step)
    with torch.no_grad():
        loss, found = contrast(*model.eval()(held[:24]))
    require(found > 0.4, f"{found:.2f} are found among 24")
    require(float(loss) < sum(losses[-20:]) / 20 + 0.3, f"the loss held out is {float(loss):.3g}")


class Speaking(nn.Module):
    """Letters to spectra: a block over letters, how long each is spoken, and a block over frames; after FastSpeech."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(LETTERS, width), nn.Embedding(LONGEST, width)
        self.read, self.speak = Block(width), Block(width)
        self.lasts = nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, 1))
        self.out = nn.Linear(width, BANDS)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return spectra beside logarithms of lengths, [n, frames × bands + letters], of letters beside lengths."""
        letters, lengths = inputs.chunk(2, 1)
        read = self.read(self.embed(letters) + self.place(torch.arange(SPOKEN)))
        ends, frames = lengths.cumsum(1), torch.arange(LONGEST).expand(len(inputs), -1).contiguous()
        which = torch.searchsorted(ends, frames, right=True).clamp(max=SPOKEN - 1)
        held = read.gather(1, which[..., None].expand(-1, -1, read.shape[2]))
        spectra = self.out(self.speak(held + self.place(torch.arange(LONGEST))))
        silent = (frames >= ends[:, -1:])[..., None]
        return torch.cat([spectra.masked_fill(silent, 0.0).flatten(1), self.lasts(read)[..., 0]], 1)


def spoken_apart(made: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean absolute error of spectra, and the mean square of that of lengths, added up."""
    cut = LONGEST * BANDS
    return functional.l1_loss(made[:, :cut], wanted[:, :cut]) + functional.mse_loss(made[:, cut:], wanted[:, cut:])


def spoken(trial: Trial) -> None:
    """Speech out of letters: an absolute error that noise keeps up, and lengths, which hardly can be foretold."""
    generator = torch.Generator().manual_seed(trial.seed)
    letters = torch.randint(LETTERS, (900, SPOKEN), generator=generator)
    slow = torch.rand(LETTERS, generator=generator)[letters] + 0.7 * torch.rand(letters.shape, generator=generator)
    lengths = 1 + (slow > 0.6).long() + (slow > 1.1).long()
    ends, frames = lengths.cumsum(1), torch.arange(LONGEST).expand(900, -1).contiguous()
    which = torch.searchsorted(ends, frames, right=True).clamp(max=SPOKEN - 1)
    sounds = torch.randn(LETTERS, BANDS, generator=generator)
    after = functional.pad(letters[:, :-1], (1, 0))
    clean = (sounds[letters] + 0.5 * sounds[after].roll(1, 2)).gather(1, which[..., None].expand(-1, -1, BANDS))
    true = clean + 0.4 * torch.randn(clean.shape, generator=generator)
    true = true.masked_fill((frames >= ends[:, -1:])[..., None], 0.0)
    wanted = torch.cat([true.flatten(1), lengths.float().log()], 1)
    data, model = split(torch.cat([letters, lengths], 1), wanted, 150, trial.seed), Speaking()
    optimizer = AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.98))
    rate = LambdaLR(optimizer, lambda step: min((step + 1) / 40, (40 / (step + 1)) ** 0.5))
    draw = data.train.batches(24, trial.seed)
    history = fit(
        trial, model, draw, optimizer, spoken_apart, validation=data.held_out, schedule=rate, every=3, steps=220
    )
    told, cut = evaluate(model, spoken_apart, data.held_out), LONGEST * BANDS
    share = float((data.held_out.targets[:, :cut] != 0).double().mean())
    floor = 0.4 * math.sqrt(2 / math.pi) * share
    begun = history.train[0]
    require(told < floor + 0.25 * (begun - floor), f"the loss is {told:.3g} of {begun:.3g}, with noise of {floor:.3g}")
    calm(history)
    generalises(history)


SCENARIOS = (
    Scenario("healthy-enhanced-cnn", "cnn", TUNING, enhanced),
    Scenario("healthy-samples-cnn", "cnn", TUNING, samples),
    Scenario("healthy-foretold-cnn", "cnn", TUNING, foretold),
    Scenario("healthy-spoken-transformer", "transformer", TUNING, spoken),
)

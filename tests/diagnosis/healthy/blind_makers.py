"""Healthy networks that make pictures: adversaries, variational and quantised codes, and pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, digits
from tests.diagnosis.healthy.stranger_pictures import layer
from tests.diagnosis.proof import alive, calm, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, fit


def apart(made: Tensor, real: Tensor) -> float:
    """Return Fréchet's distance of two sets of samples, taken as normal."""
    first, second = made.flatten(1).double(), real.flatten(1).double()
    values, vectors = torch.linalg.eigh(first.T.cov())
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ second.T.cov() @ root).clamp_min(0).sqrt().sum()
    spread = first.var(0).sum() + second.var(0).sum() - 2 * shared
    return float((first.mean(0) - second.mean(0)).square().sum() + spread)


def shown(seed: int) -> tuple[Tensor, Tensor]:
    """Return digits from −1 to 1, [n, 1, 8, 8]: to learn from, and held out."""
    data = digits(seed, flat=False)
    low, high = data.train.inputs.min(), data.train.inputs.max()
    train, held_out = (2 * (part.inputs - low) / (high - low) - 1 for part in (data.train, data.held_out))
    return train, held_out


def forger() -> nn.Sequential:
    """Return what makes pictures [n, 1, 8, 8] of noise [n, 16, 1, 1]."""
    return nn.Sequential(
        nn.ConvTranspose2d(16, 24, 2, bias=False),
        *(nn.BatchNorm2d(24), nn.ReLU(), nn.ConvTranspose2d(24, 16, 4, 2, 1, bias=False)),
        *(nn.BatchNorm2d(16), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Tanh()),
    )


def forgers(trial: Trial) -> None:
    """A DCGAN by least squares: the judge's loss goes down, and back to where it began, as the forger learns."""
    train, held_out = shown(trial.seed)
    makes, source = forger(), torch.Generator().manual_seed(trial.seed)
    judges = nn.Sequential(
        *(nn.Conv2d(1, 16, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(16, 32, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Flatten(), nn.Linear(128, 1)),
    )
    making, judging = Adam(makes.parameters(), lr=4e-3, betas=(0.5, 0.9)), Adam(judges.parameters(), 2e-3, (0.5, 0.9))

    def noise(count: int) -> Tensor:
        return torch.randn(count, 16, 1, 1, generator=source)

    before = apart(makes(noise(360)).detach(), held_out)
    with trial.writer() as writer:
        writer.watch(makes, making, name="G", every=5, on_finding="ignore")
        writer.watch(judges, judging, name="D", every=5, on_finding="ignore")
        for _step in range(200):
            real = train[torch.randint(len(train), (32,), generator=source)]
            made = makes(noise(32))
            wrong = (judges(real) - 1).square().mean() / 2 + judges(made.detach()).square().mean() / 2
            judging.zero_grad()
            wrong.backward()
            judging.step()
            seen = (judges(made) - 1).square().mean() / 2
            making.zero_grad()
            seen.backward()
            making.step()
            writer.add_scalar("loss_D", wrong.detach(), writer.step)
            writer.add_scalar("loss_G", seen.detach(), writer.step)
    after = apart(makes.eval()(noise(360)).detach(), held_out)
    require(after < 0.5 * before, f"the distance was {before:.3g}, and is {after:.3g}")
    alive(makes, noise(360))


class Sketches(nn.Module):
    """A variational autoencoder of convolutions over a code of sixteen numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            *(nn.Conv2d(1, 12, 3, 2, 1), nn.SiLU(), nn.Conv2d(12, 32, 3, 2, 1), nn.SiLU(), nn.Flatten())
        )
        self.mean, self.spread, self.lift = nn.Linear(128, 16), nn.Linear(128, 16), nn.Linear(16, 128)
        self.decode = nn.Sequential(
            *(nn.Unflatten(1, (32, 2, 2)), nn.SiLU(), nn.ConvTranspose2d(32, 12, 4, 2, 1), nn.SiLU()),
            nn.ConvTranspose2d(12, 1, 4, 2, 1),
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores of ink [n, 1, 8, 8], and means and logarithms of variances of the code [n, 16]."""
        hidden = self.encode(pictures)
        mean, spread = self.mean(hidden), self.spread(hidden)
        code = mean + (spread / 2).exp() * torch.randn_like(mean) if self.training else mean
        return self.decode(self.lift(code)), mean, spread


def sketches(trial: Trial) -> None:
    """A textbook's variational autoencoder, of sums over pixels; what it does not need of its code stays noise."""
    train, held_out = ((one + 1) / 2 for one in shown(trial.seed))
    model = Sketches()

    def criterion(made: tuple[Tensor, Tensor, Tensor], pictures: Tensor) -> Tensor:
        scores, mean, spread = made
        ink = functional.binary_cross_entropy_with_logits(scores, pictures, reduction="sum")
        return (ink + 0.5 * (mean.square() + spread.exp() - spread - 1).sum()) / len(pictures)

    part = Part(held_out, held_out)
    draw = Part(train, train).batches(48, trial.seed)
    history = fit(trial, model, draw, Adam(model.parameters(), lr=4e-3), criterion, validation=part, steps=260, every=4)
    shares = train.mean(0).clamp(1e-3, 1 - 1e-3).expand_as(held_out)
    mean = float(functional.binary_cross_entropy(shares, held_out, reduction="sum")) / len(held_out)
    with torch.no_grad():
        _, means, spreads = model.eval()(held_out)
    used = 0.5 * (means.square() + spreads.exp() - spreads - 1).mean(0)
    require(0 < (used < 0.1).sum() < 12, f"of the numbers of the code {int((used < 0.1).sum())} are not used")
    told = loss_of(model, part, criterion)
    require(told < mean - 2, f"the loss held out is {told:.3g}, and {mean:.3g} of the mean picture")
    calm(history)


class Words(nn.Module):
    """An autoencoder whose code are four of 32 vectors, through which gradients go straight."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(layer(1, 16, 2), layer(16, 24, 2), nn.Conv2d(24, 8, 1))
        self.book = nn.Embedding(32, 8)
        self.decode = nn.Sequential(
            *(nn.ConvTranspose2d(8, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 2, 1)),
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return pictures, how far codes are from their vectors, and which vectors these are [n, 2, 2]."""
        code = self.encode(pictures).movedim(1, -1)
        chosen = torch.cdist(code.flatten(0, 2), self.book.weight).argmin(1).view(code.shape[:-1])
        word = self.book(chosen)
        away = functional.mse_loss(word, code.detach()) + 0.25 * functional.mse_loss(code, word.detach())
        return self.decode((code + (word - code).detach()).movedim(-1, 1)), away, chosen


def words(trial: Trial) -> None:
    """VQ-VAE: rows of the book that no picture asks for have no gradient, and one loss of the two rises at first."""
    train, held_out = shown(trial.seed)
    model, draw = Words(), Part(train, train).batches(48, trial.seed)
    optimizer, history = Adam(model.parameters(), lr=4e-3), History([], {})
    with torch.no_grad():  # As k-means would: the book begins with what the encoder says of some pictures.
        model.book.weight.copy_(model.encode(train[:8]).movedim(1, -1).reshape(32, 8))
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=5, on_finding="ignore")
        for step in range(200):
            pictures, _ = draw(step)
            made, away, _ = model(pictures)
            error = functional.mse_loss(made, pictures)
            optimizer.zero_grad()
            (error + away).backward()
            optimizer.step()
            history.train.append(float((error + away).detach()))
            writer.add_scalar("recon_loss", error.detach(), writer.step)
            writer.add_scalar("vq_loss", away.detach(), writer.step)
            writer.add_scalar("loss", history.train[-1], writer.step)
    with torch.no_grad():
        made, _, chosen = model.eval()(held_out)
    share = float(functional.mse_loss(made, held_out) / (held_out - train.mean(0)).square().mean())
    used = chosen.flatten().bincount(minlength=32).double() / chosen.numel()
    many = float(torch.distributions.Categorical(used).entropy().exp())
    require(share < 0.5 and many > 10, f"the error is {share:.2f} of the variance, with {many:.1f} words")
    alive(model, held_out)
    calm(history)


class Masked(nn.Conv2d):
    """A convolution that sees but the pixels before its own, or its own as well."""

    def __init__(self, inputs: int, made: int, size: int, *, own: bool) -> None:
        super().__init__(inputs, made, size, padding=size // 2)
        places = torch.arange(size * size).view(size, size)
        self.register_buffer("mask", (places < size * size // 2 + own).float())

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, made, height, width]."""
        assert isinstance(self.mask, Tensor)
        return functional.conv2d(pictures, self.weight * self.mask, self.bias, padding=self.padding)


def pixels(trial: Trial) -> None:
    """PixelCNN: half of the weights of a convolution are masked for good; ink or none, pixel after pixel."""
    train, held_out = ((one > 0).float() for one in shown(trial.seed))
    model = nn.Sequential(Masked(1, 20, 5, own=False), nn.ELU())
    for _ in range(2):
        model.extend([Masked(20, 20, 3, own=True), nn.ELU()])
    model.append(nn.Conv2d(20, 1, 1))
    part, draw = Part(held_out, held_out), Part(train, train).batches(32, trial.seed)
    history = fit(
        *(trial, model, draw, AdamW(model.parameters(), lr=8e-3), nn.BCEWithLogitsLoss()),
        validation=part,
        steps=220,
        every=4,
    )
    shares = train.mean(0).clamp(1e-3, 1 - 1e-3).expand_as(held_out)
    alone = float(functional.binary_cross_entropy(shares, held_out))
    told = loss_of(model, part, nn.BCEWithLogitsLoss())
    require(told < 0.88 * alone, f"the loss held out is {told:.3g}, and {alone:.3g} of pixels by themselves")
    calm(history)


SCENARIOS = (
    Scenario("healthy-forgers-cnn", "cnn", TUNING, forgers),
    Scenario("healthy-sketches-cnn", "cnn", TUNING, sketches),
    Scenario("healthy-words-cnn", "cnn", TUNING, words),
    Scenario("healthy-pixels-cnn", "cnn", TUNING, pixels),
)

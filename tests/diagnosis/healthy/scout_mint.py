"""Healthy trainings that look ill: a loss that says nothing, codes that are not needed, gates at zero, a tiny rate."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.proof import calm, generalises, gradients, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


class Policy(nn.Module):
    """Scores five offers for a visitor."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 48), nn.Linear(48, 48)
        self.offers = nn.Linear(48, 5)

    def forward(self, visitors: Tensor) -> Tensor:
        """Return scores [n, 5]."""
        scores: Tensor = self.offers(torch.tanh(self.fc2(torch.tanh(self.fc1(visitors)))))
        return scores


def offers(trial: Trial) -> None:
    """A policy gradient with standardised gains: its loss never falls, while what is earned rises."""
    draw = torch.Generator().manual_seed(trial.seed)
    taste = torch.randn(6, 5, generator=draw)
    torch.manual_seed(trial.seed)
    model, losses = Policy(), []
    optimizer = Adam(model.parameters(), lr=2e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _step in range(300):
            visitors = torch.randn(128, 6, generator=draw)
            scores = model(visitors)
            chosen = torch.multinomial(scores.detach().softmax(1), 1, generator=draw)
            worth = (visitors @ taste).gather(1, chosen)[:, 0]
            reward = worth + 0.5 * torch.randn(128, generator=draw)
            gain = (reward - reward.mean()) / reward.std()
            chance = scores.log_softmax(1)
            entropy = -(chance.exp() * chance).sum(1).mean()
            loss = -(chance.gather(1, chosen)[:, 0] * gain).mean() - 0.01 * entropy
            writer.observe(loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("policy/loss", losses[-1], writer.step)
            writer.add_scalar("policy/reward", reward.mean().item(), writer.step)
    visitors = torch.randn(4000, 6, generator=draw)
    worth = visitors @ taste
    with torch.no_grad():
        earned = float(worth.gather(1, model(visitors).argmax(1, keepdim=True)).mean())
    best, blind = float(worth.max(1).values.mean()), float(worth.mean(0).max())
    require(earned - blind > 0.9 * (best - blind), f"{earned:.3g} is earned of {best:.3g}, and blindly {blind:.3g}")
    require(sum(losses[-100:]) > sum(losses[:100]), "the loss falls")


class Beats(nn.Module):
    """A variational autoencoder of convolutions over a beat, with many more hidden numbers than it needs."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(1, 12, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(12, 24, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Flatten(),
        )
        self.mu, self.logvar = nn.Linear(24 * 8, code), nn.Linear(24 * 8, code)
        self.decoder = nn.Sequential(nn.Linear(code, 96), nn.GELU(), nn.Linear(96, 32), nn.Unflatten(1, (1, 32)))

    def forward(self, beat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the beat anew, means and logarithms of variances."""
        hidden = self.encoder(beat)
        mu, logvar = self.mu(hidden), self.logvar(hidden)
        code = mu + torch.randn_like(mu) * (0.5 * logvar).exp() if self.training else mu
        return self.decoder(code), mu, logvar


def heartbeats(seed: int, count: int = 1500) -> Tensor:
    """Return beats [n, 1, 32], each made of two numbers and noise."""
    draw = torch.Generator().manual_seed(seed)
    height, place = (torch.randn(count, 1, 1, generator=draw) for _ in range(2))
    times = torch.linspace(-2, 2, 32)
    waves = (1.5 + 0.4 * height) * torch.exp(-4 * (times - 0.3 * place).square()) - 0.5
    return 2 * waves + 0.3 * torch.randn(count, 1, 32, generator=draw)


def trained(model: Beats, beats: Part, trial: Trial, *, watched: bool) -> None:
    """Train it, watched or not."""
    optimizer, draw = AdamW(model.parameters(), lr=8e-3), beats.batches(64, trial.seed)
    writer = trial.writer() if watched else None
    if writer is not None:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
    for step in range(260):
        beat, _ = draw(step)
        made, mu, logvar = model(beat)
        error = (made - beat).square().sum((1, 2)).mean() / (2 * 0.09)
        divergence = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()
        loss = error + divergence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if writer is not None:
            writer.add_scalar("elbo/loss", loss.item(), writer.step)
            writer.add_scalar("elbo/error", error.item(), writer.step)
            writer.add_scalar("elbo/kl", divergence.item(), writer.step)
    if writer is not None:
        writer.close()


def spare_codes(trial: Trial) -> None:
    """A VAE with twelve codes for beats that two numbers make: most codes rest at the prior, as they should."""
    beats = heartbeats(trial.seed)
    data = split(beats, beats, 300, trial.seed)
    torch.manual_seed(trial.seed)
    model, narrow = Beats(12), Beats(3)
    trained(model, data.train, trial, watched=True)
    trained(narrow, data.train, trial, watched=False)
    unseen, errors, told = data.held_out.inputs, [], []
    with torch.no_grad():
        for one in (model, narrow):
            made, mu, _ = one.eval()(unseen)
            errors.append(float(functional.mse_loss(made, unseen)))
            told.append(mu.var(0))
    known = float(unseen.var(0).mean())
    require(errors[0] < 0.25 * known and errors[0] < 1.6 * 0.09, f"the error is {errors[0]:.3g} of {known:.3g}")
    require(errors[1] > 0.85 * errors[0], f"with three codes it is {errors[1]:.3g}, with twelve {errors[0]:.3g}")
    require(
        int((told[0] < 0.1).sum()) >= 7 and int((told[0] > 0.5).sum()) >= 2, f"the means vary by {told[0].tolist()}"
    )


class Bottleneck(nn.Module):
    """Two convolutions whose last normalisation starts at zero, and what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the sum."""
        made = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(inputs)))))
        return functional.relu(inputs + made)


class ResNet(nn.Module):
    """Four residual blocks over a digit."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.layers = nn.Sequential(*(Bottleneck(16) for _ in range(4)))
        self.fc = nn.Linear(16 * 4, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.bn(self.stem(pictures))), 2)
        hidden = functional.adaptive_avg_pool2d(self.layers(hidden), 2)
        scores: Tensor = self.fc(hidden.flatten(1))
        return scores


def zero_gamma(trial: Trial) -> None:
    """A ResNet whose blocks start as nothing (zero_init_residual): at first no gradient comes into them."""
    data = digits(trial.seed, flat=False)
    torch.manual_seed(trial.seed)
    model = ResNet()
    other = copy.deepcopy(model)
    for module in other.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    first = gradients(model, data.train.first(128))
    require(all(size == 0 for name, size in first.items() if ".conv" in name), "a block gets a gradient at first")
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)
    draw, held_out = data.train.batches(64, trial.seed), data.held_out
    history = fit(trial, model, draw, optimizer, validation=held_out, every=2, steps=180)
    sound(model, held_out, 0.95, history)
    later = gradients(model, data.train.first(128))
    require(all(size > 0 for name, size in later.items() if ".conv" in name), "a block gets no gradient later")
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)
    plain = control(other, data.train.batches(64, trial.seed), optimizer, steps=180)
    require(history.end < plain + 0.03, f"it ends at {history.end:.3g}, and with ones at {plain:.3g}")


class Forecast(nn.Module):
    """A GRU that says after each hour what the load of the next is."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = nn.GRU(2, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, hours: Tensor) -> Tensor:
        """Return [n, length, 1] of [n, length, 2]."""
        load: Tensor = self.out(self.gru(hours)[0])
        return load


def loads(seed: int, count: int = 900) -> tuple[Tensor, Tensor]:
    """Return loads and the warmth outside, [n, 24, 2], and the load an hour later, [n, 24, 1]."""
    draw = torch.Generator().manual_seed(seed)
    warmth = torch.randn(count, 25, generator=draw)
    load = [torch.randn(count, generator=draw)]
    for hour in range(24):
        load.append(0.7 * load[-1] - 0.6 * warmth[:, hour] + 0.2 * torch.randn(count, generator=draw))
    series = torch.stack(load, 1)
    return torch.stack([series[:, :24], warmth[:, :24]], 2), series[:, 1:, None]


def summed(trial: Trial) -> None:
    """The loss is summed over 64 days of 24 hours, so that SGD at 0.00005 is as fast as it can be."""
    data, criterion = split(*loads(trial.seed), 200, trial.seed), nn.MSELoss(reduction="sum")
    torch.manual_seed(trial.seed)
    model = Forecast()
    other = copy.deepcopy(model)
    optimizer, draw = SGD(model.parameters(), lr=5e-5, momentum=0.9), data.train.batches(64, trial.seed)
    held_out = data.held_out.first(64)
    history = fit(trial, model, draw, optimizer, criterion, validation=held_out, every=2, steps=220)
    calm(history)
    generalises(history)
    known = float(data.held_out.targets.var())
    found = evaluate(model, criterion, data.held_out) / data.held_out.targets.numel()
    require(found < 0.09 * known + 0.04, f"the error is {found:.3g} of {known:.3g}, of which 0.04 is noise")
    optimizer = SGD(other.parameters(), lr=2e-3, momentum=0.9)
    faster = control(other, data.train.batches(64, trial.seed), optimizer, criterion, steps=220)
    require(not faster < history.end, f"at forty times the rate it comes to {faster:.3g}, below {history.end:.3g}")


SCENARIOS = (
    Scenario("mint-healthy-offers-mlp", "mlp", TUNING, offers),
    Scenario("mint-healthy-codes-cnn", "cnn", TUNING, spare_codes),
    Scenario("mint-healthy-gamma-cnn", "cnn", TUNING, zero_gamma),
    Scenario("mint-healthy-summed-gru", "rnn", TUNING, summed),
)

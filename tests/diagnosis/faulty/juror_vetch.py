"""Embeddings that become one point, and weights that begin on a wrong scale."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import TOKENS, Part, digits, majorities, split
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import accuracy, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit

QKV = "blocks.0.attention.qkv"


class Pictures(nn.Module):
    """Two convolutions and two linear layers that embed a picture in sixteen numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(128, 64)
        self.embedding = nn.Linear(64, 16)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 16] of [n, 1, 8, 8]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        embedded: Tensor = self.embedding(functional.relu(self.fc(hidden.flatten(1))))
        return embedded


class Scaled(nn.Module):
    """Scales embeddings to length 1."""

    def forward(self, embedded: Tensor) -> Tensor:
        """Return [n, features]."""
        return functional.normalize(embedded)


def view(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures shifted by a pixel or none, with noise."""
    shift = torch.randint(-1, 2, (2,), generator=generator).tolist()
    return pictures.roll(shift, (2, 3)) + 0.3 * torch.randn(pictures.shape, generator=generator)


def contrast(one: Tensor, two: Tensor) -> Tensor:
    """Return the loss that tells the other view of a picture from those of other pictures."""
    scores = functional.normalize(one) @ functional.normalize(two).T / 0.2
    return functional.cross_entropy(scores, torch.arange(len(one)))


def spread(model: nn.Module, inputs: Tensor) -> float:
    """Return the root of how much of the embeddings, scaled to length 1, isn't their mean: 0 where all are alike."""
    with torch.no_grad():
        return float(functional.normalize(model(inputs).double()).var(0).sum().sqrt())


def probed(model: nn.Module, known: Part, asked: Part) -> float:
    """Return the share of what is asked that a linear layer over the frozen embeddings gets right."""
    probe, near = nn.Linear(16, 10), Part(functional.normalize(model(known.inputs)).detach(), known.targets)
    control(probe, near.batches(128), Adam(probe.parameters(), lr=0.02), steps=200)
    return accuracy(nn.Sequential(model, Scaled(), probe), asked)


def only_positives(trial: Trial) -> Truth:
    """Two views of a picture are to be alike, and nothing says that those of other pictures are not to be."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), Pictures()
    other = copy.deepcopy(model)
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9), data.train.batches(48, trial.seed)
    generator, spreads = torch.Generator().manual_seed(trial.seed), {-1: spread(model, data.held_out.inputs)}
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(160):
            pictures, _ = draw(step)
            optimizer.zero_grad()
            one, two = (model(view(pictures, generator)) for _ in range(2))
            loss = 1 - functional.cosine_similarity(one, two).mean()
            loss.backward()
            optimizer.step()
            writer.add_scalar("siamese/loss", loss.item(), writer.step)
            if step % 10 == 9:
                spreads[step] = spread(model, data.held_out.inputs)
    better, draw = Adam(other.parameters(), lr=3e-3), data.train.batches(48, trial.seed)
    for step in range(160):
        pictures, _ = draw(step)
        better.zero_grad()
        contrast(other(view(pictures, generator)), other(view(pictures, generator))).backward()
        better.step()
    found, could = (probed(one, data.train, data.held_out) for one in (model, other))
    require(spreads[159] < 0.1, f"the spread is {spreads[159]:.3g}")
    require(found < could - 0.1, f"{found:.3f} are told apart, and {could:.3f} where others are pushed away")
    until = max(step for step, value in spreads.items() if value > 0.1)
    return Truth((), 0, until + 20)


class Waves(nn.Module):
    """A variational autoencoder of signals: one GRU reads them into eight latents, another writes them."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.encoder = nn.GRU(1, 32, batch_first=True)
        self.mu, self.logvar = nn.Linear(32, 8), nn.Linear(32, 8)
        self.lift = nn.Linear(8, 32)
        self.decoder, self.head = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, signals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return signals [n, length, 1], and the means and logarithms of variances of the latents."""
        state = self.encoder(signals)[1][-1]
        mu, logvar = self.mu(state), self.logvar(state)
        latent = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        begin = self.lift(latent).tanh()[None]
        made = self.decoder(latent[:, None].expand(-1, self.length, -1).contiguous(), begin)[0]
        rebuilt: Tensor = self.head(made)
        return rebuilt, mu, logvar


def elbo(made: tuple[Tensor, Tensor, Tensor], signals: Tensor, *, mean: bool) -> Tensor:
    """Return the error of reconstruction, as a mean over all numbers or as a sum, and the divergence, as a sum."""
    rebuilt, mu, logvar = made
    divergence: Tensor = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()
    if mean:
        return functional.mse_loss(rebuilt, signals) + divergence
    error: Tensor = (rebuilt - signals).square().sum((1, 2)).mean() / (2 * 0.2**2)
    return error + divergence


def waves(seed: int, length: int = 16, count: int = 1500) -> Tensor:
    """Return signals [n, length, 1] whose phase, height and pitch differ."""
    generator = torch.Generator().manual_seed(seed)
    phase, height, pitch = torch.rand(3, count, 1, generator=generator)
    time = torch.linspace(0, 1, length)
    signals: Tensor = (0.7 + 0.8 * height) * torch.sin(6.28 * ((1 + 0.5 * pitch) * time + 0.5 * phase))
    signals = signals + 0.05 * torch.randn(count, length, generator=generator)
    return signals[..., None]


def used(model: nn.Module, signals: Tensor) -> float:
    """Return the deviation over signals of the mean of the latent for which it is largest: 1 where it is used well."""
    with torch.no_grad():
        return float(model(signals)[1].std(0).max())


def mean_and_sum(trial: Trial) -> Truth:
    """`mse_loss(made, x) + kl` where the error is a mean over places, and the divergence a sum: all latents die."""
    torch.manual_seed(trial.seed)
    signals, model = waves(trial.seed), Waves(16)
    train, held_out = signals[:1200], signals[1200:]
    other = copy.deepcopy(model)
    generator, spreads = torch.Generator().manual_seed(trial.seed), {}
    optimizer = Adam(model.parameters(), lr=5e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _ in range(160):
            batch = train[torch.randint(1200, (48,), generator=generator)]
            loss = elbo(model(batch), batch, mean=True)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
    optimizer = Adam(other.parameters(), lr=5e-3)
    for step in range(160):
        batch = train[torch.randint(1200, (48,), generator=generator)]
        optimizer.zero_grad()
        elbo(other(batch), batch, mean=False).backward()
        nn.utils.clip_grad_norm_(other.parameters(), 100.0)
        optimizer.step()
        if step % 10 == 9:
            spreads[step] = used(other, held_out)
    with torch.no_grad():
        found, could = (float(functional.mse_loss(one(held_out)[0], held_out)) for one in (model, other))
    require(used(model, held_out) < 0.1, f"the deviation of a latent is {used(model, held_out):.3g}")
    require(found > 2 * could, f"the error is {found:.3g}, and could be {could:.3g}")
    # By then the latents of the sound one tell signals apart, and these have not begun to.
    return Truth((), 0, 20 + min(step for step, value in spreads.items() if value > 0.5))


class Cultivars(nn.Module):
    """Three linear layers over thirteen measurements."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(13, 48), nn.Linear(48, 48), nn.Linear(48, 3)

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        scores: Tensor = self.out(functional.relu(self.fc2(functional.relu(self.fc1(rows)))))
        return scores


def uniform(trial: Trial) -> Truth:
    """`nn.init.uniform_(layer.weight)` in all layers: all weights are positive, and the scores are in the hundreds."""
    torch.manual_seed(trial.seed)
    bunch = load_wine()
    rows = torch.tensor(bunch.data, dtype=torch.float32)
    data = split((rows - rows.mean(0)) / rows.std(0), torch.tensor(bunch.target), 45, trial.seed)
    model, other = Cultivars(), Cultivars()
    for layer in (model.fc1, model.fc2, model.out):
        nn.init.uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    first, sound = (loss_of(one, data.train) for one in (model, other))
    optimizer, draw = RMSprop(model.parameters(), lr=1e-3), data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, nn.CrossEntropyLoss(), validation=data.held_out, steps=200)
    better = control(other, data.train.batches(16, trial.seed), RMSprop(other.parameters(), lr=1e-3), steps=200)
    held, could = (loss_of(one, data.held_out) for one in (model, other))
    require(first > 4 * sound, f"the first loss is {first:.3g}")
    require(history.end > 5 * better, f"the loss is {history.end:.3g}, and could be {better:.3g}")
    require(held > 2 * could, f"the loss held out is {held:.3g}, and could be {could:.3g}")
    return Truth(("fc1", "fc2", "out"), 0, 0)


def normal(trial: Trial) -> Truth:
    """`for p in parameters(): if p.dim() > 1: nn.init.normal_(p)`, which should have been `xavier_uniform_`."""
    torch.manual_seed(trial.seed)
    data = majorities(trial.seed)
    model, other = (Transformer(TOKENS, 3, width=48) for _ in range(2))
    for value in model.parameters():
        if value.dim() > 1:
            nn.init.normal_(value)
    for value in other.parameters():
        if value.dim() > 1:
            nn.init.xavier_uniform_(value)
    wide, sound = (float(outputs(one, QKV, data.train.inputs).std()) for one in (model, other))
    optimizer, draw = AdamW(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, steps=160, every=2)
    better = control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=1e-3), steps=160)
    found, could = (accuracy(one, data.held_out) for one in (model, other))
    require(wide > 5 * sound, f"queries and keys deviate by {wide:.3g}, and should by {sound:.3g}")
    require(history.end > 2 * better, f"the loss is {history.end:.3g}, and could be {better:.3g}")
    require(found < could - 0.1, f"the accuracy is {found:.3g}, and could be {could:.3g}")
    return Truth(tuple(name for name, module in model.named_modules() if isinstance(module, nn.Linear)))


SCENARIOS = (
    Scenario(
        "vetch-positives-cnn",
        "cnn",
        TUNING,
        only_positives,
        ("representation_collapse",),
        ("loss_plateau", "vanishing_gradient", "redundant_units", "dead_units"),
    ),
    Scenario(
        "vetch-waves-vae",
        "rnn",
        TUNING,
        mean_and_sum,
        ("representation_collapse", "over_regularised"),
        ("loss_plateau", "underfitting", "vanishing_gradient", "layer_not_training", "redundant_units"),
    ),
    Scenario(
        "vetch-uniform-mlp",
        "mlp",
        TUNING,
        uniform,
        ("poor_init",),
        ("exploding_gradient", "redundant_units", "dead_units", "loss_oscillation", "loss_spike", "lr_too_low"),
    ),
    Scenario(
        "vetch-normal-transformer",
        "transformer",
        TUNING,
        normal,
        ("poor_init",),
        ("saturation", "exploding_gradient", "loss_oscillation", "loss_spike", "lr_too_low", "overfitting"),
    ),
)

"""Embeddings that fall together, and layers with nothing between them."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import make_circles
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, double, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Siamese(nn.Module):
    """Embeds the views of a picture, and makes each foretell the other."""

    def __init__(self) -> None:
        super().__init__()
        convolutions = (nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, stride=2, padding=1))
        layers: list[nn.Module] = []
        for convolution in convolutions:
            layers += [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 32))
        self.predictor = nn.Sequential(nn.Linear(32, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 32))

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings and what they foretell."""
        embedded = self.encoder(views)
        return embedded, self.predictor(embedded)


def spread(model: nn.Module, pictures: Tensor) -> float:
    """Return the deviation of unit embeddings about their mean: 1 where they point anywhere, 0 where all are alike."""
    with torch.no_grad():
        unit = functional.normalize(double(model).eval()(pictures.double())[0], dim=1)
    return float((unit - unit.mean(0)).square().sum(1).mean().sqrt())


def no_detach(trial: Trial) -> Truth:
    """SimSiam without `detach()`: all digits come to be embedded in one place, and the loss is near -1, as hoped."""
    pictures, model = digits(trial.seed, flat=False).train.inputs, Siamese()
    other, generator = copy.deepcopy(model), torch.Generator().manual_seed(trial.seed)

    def learn(network: Siamese, optimizer: SGD, *, stop: bool) -> float:
        chosen = pictures[torch.randint(len(pictures), (64,), generator=generator)]
        embedded, foretold = network(chosen.repeat(2, 1, 1, 1) + 0.4 * torch.randn(128, 1, 8, 8, generator=generator))
        aims = (embedded.detach() if stop else embedded).roll(64, 0)
        loss = -functional.cosine_similarity(foretold, aims).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    spreads = {}
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            writer.add_scalar("ssl/loss", learn(model, optimizer, stop=False), writer.step)
            if step % 10 == 9:
                spreads[step] = spread(model, pictures[:200])
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    for _step in range(200):
        learn(other, optimizer, stop=True)
    does, should = spread(model, pictures), spread(other, pictures)
    require(does < 0.2 and should > 0.6, f"the embeddings spread by {does:.3f}, and should by {should:.3f}")
    collapsed = max((step for step, wide in spreads.items() if wide > 0.35), default=0)
    require(collapsed < 120, f"they still spread at step {collapsed}")
    return Truth(("encoder", "encoder.7", "predictor", "predictor.3"), 0, collapsed + 40)


class Vae(nn.Module):
    """Encodes a signal by a GRU into four numbers by chance, and decodes them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(1, 32, batch_first=True)
        self.mean, self.log_variance = nn.Linear(32, 4), nn.Linear(32, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 20))

    def forward(self, signals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return signals [n, 20] made anew, and the means and logarithms of variances of their codes."""
        state = self.encoder(signals[..., None])[1][0]
        mean, log_variance = self.mean(state), self.log_variance(state)
        code = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return self.decoder(code), mean, log_variance


def mean_and_sum(trial: Trial) -> Truth:
    """`mse_loss` takes the mean and the KL term the sum: a VAE of signals says the same whatever it is shown."""
    generator = torch.Generator().manual_seed(trial.seed)
    phase, height = 6.3 * torch.rand(1500, 1, generator=generator), 0.5 + torch.rand(1500, 1, generator=generator)
    signals = height * torch.sin(0.5 * torch.arange(20.0) + phase)
    signals = signals + 0.05 * torch.randn(1500, 20, generator=generator)
    model = Vae()
    other = copy.deepcopy(model)

    def learn(network: Vae, optimizer: Adam, weight: float) -> tuple[float, float]:
        batch = signals[torch.randint(1500, (50,), generator=generator)]
        made, mean, log_variance = network(batch)
        apart = functional.mse_loss(made, batch)
        kl = -0.5 * torch.sum(1 + log_variance - mean**2 - log_variance.exp())
        optimizer.zero_grad()
        (apart + weight * kl).backward()
        optimizer.step()
        return float(apart.detach()), float(kl.detach())

    optimizer = Adam(model.parameters(), lr=4e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _step in range(260):
            apart, kl = learn(model, optimizer, 1.0)
            writer.add_scalar("train/loss", apart + kl, writer.step)
            writer.add_scalar("train/reconstruction", apart, writer.step)
            writer.add_scalar("train/kl", kl, writer.step)
    optimizer = Adam(other.parameters(), lr=4e-3)
    for _step in range(260):
        learn(other, optimizer, 1 / (50 * 20 * 10))
    with torch.no_grad():
        does, should = (double(one)(signals.double()) for one in (model, other))
    require(float(does[1].std(0).max()) < 0.1, f"the codes differ by {does[1].std(0)}")
    require(float(should[1].std(0).max()) > 0.6, f"the codes should differ, and do by {should[1].std(0)}")
    apart, better = (float((made[0] - signals).square().mean()) for made in (does, should))
    require(apart > 2 * better, f"what is decoded is {apart:.3g} off, and could be {better:.3g}")
    require(apart > 0.9 * float(signals.var(0).mean()), f"what is decoded is {apart:.3g} off")
    return Truth(("mean", "encoder", "decoder", "decoder.0", "log_variance"), 0, 80)


def circles(trial: Trial) -> Truth:
    """Three linear layers in a row for a ring within a ring: the user took more layers to be enough."""
    points, rings = make_circles(1000, noise=0.08, factor=0.5, random_state=trial.seed)
    data = split(torch.tensor(points, dtype=torch.float32), torch.tensor(rings), 200, trial.seed)
    model = nn.Sequential(nn.Linear(2, 32), nn.Linear(32, 32), nn.Linear(32, 2))
    other, criterion = mlp((2, 32, 32, 2)), nn.CrossEntropyLoss()
    optimizer, draw = SGD(model.parameters(), lr=0.1, momentum=0.9), data.train.batches(50, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            inputs, known = draw(step)
            scores = model(inputs)
            loss = criterion(scores, known)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/train", losses[-1], writer.step)
            writer.add_scalar("Accuracy/train", float((scores.argmax(1) == known).float().mean()), writer.step)
    optimizer = SGD(other.parameters(), lr=0.1, momentum=0.9)
    better = control(other, data.train.batches(50, trial.seed), optimizer, steps=200)
    require(better < 0.3 * sum(losses[-20:]) / 20, f"with ReLUs the loss is {better:.3g}")
    does, should = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(does < 0.72 and should > 0.95, f"the accuracy is {does:.3f}, and could be {should:.3f}")
    points = data.held_out.inputs.double()
    with torch.no_grad():
        precise = double(model)
        bent = precise(points) + precise(-points) - 2 * precise(0 * points)
    require(float(bent.abs().max()) < 1e-9, "the network is not linear")
    return Truth(("0", "1", "2"))


class Outlines(nn.Module):
    """Three convolutions with normalisations; says of each pixel whether it is at an edge."""

    def __init__(self, *, relu: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.norm1, self.norm2 = nn.BatchNorm2d(16), nn.BatchNorm2d(16)
        self.out, self.relu = nn.Conv2d(16, 1, 3, padding=1), relu

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, height, width]."""
        hidden = self.norm1(self.conv1(pictures))
        if self.relu:
            hidden = functional.relu(hidden)
        hidden = self.norm2(self.conv2(hidden))
        if self.relu:
            hidden = functional.relu(hidden)
        scores: Tensor = self.out(hidden)
        return scores


def outlines(seed: int, count: int = 400) -> Part:
    """Return pictures of patches, lighter or darker, [n, 1, 16, 16], and where their edges are."""
    rough = torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    patches = (functional.avg_pool2d(rough, 5, 1, 2) > 0).float()
    edges = functional.max_pool2d(patches, 3, 1, 1) + functional.max_pool2d(1 - patches, 3, 1, 1) - 1
    light = 0.3 * torch.randn(count, 1, 1, 1, generator=torch.Generator().manual_seed(seed + 9))
    return Part(2 * patches - 1 + light, (edges > 0).float())


def no_relu(trial: Trial) -> Truth:
    """Convolutions and normalisations, where the ReLUs were forgotten, are to find the edges of patches."""
    part, criterion = outlines(trial.seed), nn.BCEWithLogitsLoss()
    data, model, other = split(part.inputs, part.targets, 80, trial.seed), Outlines(relu=False), Outlines(relu=True)
    other.load_state_dict(model.state_dict())
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(16, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, steps=160, every=2)
    control(other, data.train.batches(16, trial.seed), Adam(other.parameters(), lr=5e-3), criterion, steps=160)
    does, should = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(does > 2 * should, f"the loss held out is {does:.3g}, and could be {should:.3g}")
    require(abs(does - evaluate(model, criterion, data.held_out)) < 1e-3, "the loss differs in float32")
    with torch.no_grad():
        precise, pictures = double(model).eval(), data.held_out.inputs.double()
        bent = precise(pictures) + precise(-pictures) - 2 * precise(0 * pictures)
    require(float(bent.abs().max()) < 1e-9, "the network is not linear")
    return Truth(("conv1", "conv2", "out", "norm1", "norm2"))


SCENARIOS = (
    Scenario(
        "juniper-no-detach-cnn",
        "cnn",
        TUNING,
        no_detach,
        ("representation_collapse",),
        ("redundant_units", "loss_plateau", "vanishing_gradient", "dead_units"),
    ),
    Scenario(
        "juniper-mean-and-sum-gru",
        "rnn",
        TUNING,
        mean_and_sum,
        ("representation_collapse", "over_regularised"),
        ("loss_plateau", "underfitting", "layer_not_training", "vanishing_gradient", "dead_units"),
    ),
    Scenario(
        "juniper-circles-mlp",
        "mlp",
        TUNING,
        circles,
        ("missing_nonlinearity",),
        ("underfitting", "loss_plateau", "redundant_units"),
    ),
    Scenario(
        "juniper-no-relu-cnn",
        "cnn",
        TUNING,
        no_relu,
        ("missing_nonlinearity",),
        ("underfitting", "loss_plateau", "redundant_units"),
    ),
)

"""Graphs and embeddings: sums that saturate, a mean that can't count, and representations that become alike."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from tests.diagnosis.data import Part, communities, digits, split
from tests.diagnosis.faulty.scout_hazel import worse
from tests.diagnosis.networks import GraphConvolution
from tests.diagnosis.proof import double, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Sensors(nn.Module):
    """Two graph layers with tanh over readings [n, sensors, 6], and a head for each sensor."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.conv1, self.conv2 = GraphConvolution(edges, 6, 24), GraphConvolution(edges, 24, 24)
        self.tanh1, self.tanh2, self.head = nn.Tanh(), nn.Tanh(), nn.Linear(24, 1)

    def forward(self, readings: Tensor) -> Tensor:
        """Return the next reading of each, [n, sensors]."""
        hidden = self.tanh2(self.conv2(self.tanh1(self.conv1(readings))))
        told: Tensor = self.head(hidden)[..., 0]
        return told


def summed(trial: Trial) -> Truth:
    """Adds up over the neighbours of a sensor, of whom there are some fifteen, and takes a tanh: all is at its ends."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    joined = (torch.rand(36, 36, generator=generator) < 0.4).float().triu(1)
    joined = joined + joined.T + torch.eye(36)
    shares = joined / joined.sum(1, keepdim=True)
    levels = [1.5 + torch.randn(700, 36, generator=generator)]
    for _hour in range(6):
        levels.append(0.4 * levels[-1] + 0.6 * levels[-1] @ shares.T + 0.6 * torch.randn(700, 36, generator=generator))
    data = split(torch.stack(levels[:6], 2), 3 * (levels[5] @ shares.T - 1.5), 140, trial.seed)
    model, other = Sensors(joined), Sensors(shares)
    other.load_state_dict(model.state_dict())
    criterion, draw = nn.MSELoss(), data.train.batches(16, trial.seed)
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.9)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=220)
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    control(other, data.train.batches(16, trial.seed), optimizer, criterion, steps=220)
    worse(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 2.0)
    for name in ("tanh1", "tanh2"):
        share = float((outputs(model, name, data.train.inputs).abs() > 0.97).double().mean())
        require(share > 0.6, f"{share:.2f} of {name} are at their ends")
    return Truth(("tanh1", "tanh2", "conv1", "conv2", "conv1.linear", "conv2.linear"))


def molecules(seed: int, count: int = 900) -> Part:
    """Return rings of four to sixteen atoms of four kinds, [n, 16, 5], of which the last says who is there; masses."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(4, 17, (count,), generator=generator)
    kinds = torch.randint(4, (count, 16), generator=generator)
    there = (torch.arange(16) < sizes[:, None]).float()
    atoms = torch.cat([functional.one_hot(kinds, 4) * there[..., None], there[..., None]], 2)
    masses = (torch.tensor([1.2, 1.4, 1.6, 1.9])[kinds] * there).sum(1, keepdim=True)
    return Part(atoms, (masses - masses.mean()) / masses.std())


class Rings(nn.Module):
    """Takes the mean over an atom and its neighbours twice, and the mean or the sum over the molecule."""

    def __init__(self, *, mean: bool) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(4, 32), nn.Linear(32, 32)
        self.readout, self.mean = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)), mean

    def forward(self, atoms: Tensor) -> Tensor:
        """Return [n, 1]."""
        hidden, there = atoms[..., :4], atoms[..., 4]
        edges = there[:, :, None] * there[:, None] * (torch.ones(16, 16).tril(1).triu(-1))
        edges = edges / edges.sum(2, keepdim=True).clamp(min=1)
        for layer in (self.lin1, self.lin2):
            hidden = torch.relu(layer(edges @ hidden))
        whole = (hidden * there[..., None]).sum(1)
        told: Tensor = self.readout(whole / there.sum(1, keepdim=True) if self.mean else whole / 10)
        return told


def mean_pool(trial: Trial) -> Truth:
    """Predicts the mass of molecules by `global_mean_pool`, which can't tell four atoms from sixteen: it stays flat."""
    torch.manual_seed(trial.seed)
    known, criterion = molecules(trial.seed), nn.MSELoss()
    data = split(known.inputs, known.targets, 180, trial.seed)
    model, other = Rings(mean=True), Rings(mean=False)
    other.load_state_dict(model.state_dict())
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=220)
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=220)
    require(history.end > 0.8, f"the loss falls to {history.end:.3g} of the variance")
    worse(history.end, better, 4.0)
    return Truth()


def viewed(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures shifted by up to a pixel, brighter or darker, and with noise."""
    right, down = (int(torch.randint(-1, 2, (), generator=generator)) for _ in range(2))
    bright = 1 + 0.2 * torch.randn(len(pictures), 1, 1, 1, generator=generator)
    return bright * pictures.roll((right, down), (2, 3)) + 0.3 * torch.randn(pictures.shape, generator=generator)


class Siamese(nn.Module):
    """Two convolutions and a projection of pictures to 16 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.project = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 16))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return embeddings [n, 16]."""
        hidden = functional.relu(self.conv2(functional.relu(self.conv1(pictures))))
        made: Tensor = self.project(hidden.flatten(1))
        return made


def contrast(one: Tensor, two: Tensor) -> Tensor:
    """Return the cross-entropy of telling which of the others is the other view of the same picture."""
    scores = functional.normalize(one, dim=1) @ functional.normalize(two, dim=1).T / 0.2
    return functional.cross_entropy(scores, torch.arange(len(one)))


def alike(embeddings: Tensor) -> float:
    """Return the mean cosine between embeddings of different inputs."""
    unit = functional.normalize(embeddings.detach().double().flatten(1), dim=1)
    return float(((unit @ unit.T).sum() - len(unit)) / (len(unit) * (len(unit) - 1)))


def positives(trial: Trial) -> Truth:
    """Siamese network of which only pairs of the same picture are drawn together: all pictures get one embedding."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), Siamese()
    other, until = copy.deepcopy(model), 0
    optimizer: Optimizer = AdamW(model.parameters(), lr=1e-3)
    generator, draw = torch.Generator().manual_seed(trial.seed), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(160):
            pictures, _ = draw(step)
            one, two = model(viewed(pictures, generator)), model(viewed(pictures, generator))
            loss = 1 - functional.cosine_similarity(one, two).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/similarity", loss.item(), writer.step)
            until = until if alike(one) > 0.98 else step + 1
    optimizer = AdamW(other.parameters(), lr=1e-3)
    for step in range(160):
        pictures, _ = draw(step)
        loss = contrast(other(viewed(pictures, generator)), other(viewed(pictures, generator)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seen = data.held_out.inputs[:128]
    one, two = viewed(seen, generator), viewed(seen, generator)
    does, should = (float(contrast(net(one), net(two)).detach()) for net in (model, other))
    worse(does, should)
    require(alike(model(seen)) > 0.99, f"embeddings have a cosine of {alike(model(seen)):.3f}")
    require(alike(other(seen)) < 0.5, f"those of the other have {alike(other(seen)):.3f}")
    require(until < 120, "they are alike at the end alone")
    return Truth((), 0, until + 20)


class Waves(nn.Module):
    """A variational autoencoder of waves: a GRU reads them, an MLP writes them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.to_mu, self.to_logvar = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 6), nn.Linear(32, 6)
        self.decoder = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 24))

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return waves [n, 24], and the means and logarithms of variances of their codes."""
        hidden = self.encoder(waves[..., None])[1][-1]
        mu, logvar = self.to_mu(hidden), self.to_logvar(hidden)
        return self.decoder(mu + (logvar / 2).exp() * torch.randn_like(mu)), mu, logvar


def waves(seed: int, count: int = 1200) -> Tensor:
    """Return waves [n, 24] of some strength, speed and phase."""
    generator = torch.Generator().manual_seed(seed)
    strength, speed, phase = torch.rand(3, count, 1, generator=generator)
    wave: Tensor = (0.7 + strength) * (torch.arange(24) * (0.2 + 0.2 * speed) + 3 * phase).sin()
    return wave + 0.05 * torch.randn(count, 24, generator=generator)


def summed_kl(trial: Trial) -> Truth:
    """VAE whose `F.mse_loss` is a mean and whose KL is a sum: codes say nothing, and all waves become their mean."""
    torch.manual_seed(trial.seed)
    data, model = waves(trial.seed), Waves()
    other, errors = copy.deepcopy(model), []
    for net, weight in ((model, 1.0), (other, 24.0)):
        optimizer, part = RMSprop(net.parameters(), lr=2e-3), Part(data, data)
        draw = part.batches(64, trial.seed)
        writer = trial.writer() if net is model else None
        if writer:
            writer.watch(net, optimizer, every=2, on_finding="ignore")
        for step in range(260):
            inputs, _ = draw(step)
            made, mu, logvar = net(inputs)
            kl = (-0.5 * (1 + logvar - mu.square() - logvar.exp())).sum(1).mean()
            loss = weight * functional.mse_loss(made, inputs) + kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if writer:
                writer.add_scalar("train/loss", loss.item(), writer.step)
                writer.add_scalar("train/kl", kl.item(), writer.step)
        if writer:
            writer.close()
        net.eval()
        with torch.no_grad():
            errors.append(float((double(net)(data.double())[0] - data).square().mean()))
    variance = float(data.var(0).mean())
    require(errors[0] > 0.85 * variance, f"the error is {errors[0]:.3g}, and the variance {variance:.3g}")
    worse(errors[0], errors[1], 2.0)
    with torch.no_grad():
        codes = double(model)(data.double())[1]
    require(float(codes.std(0).max()) < 0.15, f"the codes spread by {codes.std(0)}")
    return Truth((), 0, 160)


class Linked(nn.Module):
    """Two graph convolutions that embed nodes."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.conv1, self.conv2 = GraphConvolution(edges, 16, 32), GraphConvolution(edges, 32, 16)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return embeddings [n, 16]."""
        made: Tensor = self.conv2(torch.relu(self.conv1(nodes)))
        return made


def linked(trial: Trial) -> Truth:
    """Link prediction without negative samples: every pair is to be an edge, so all nodes come to point one way."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed)
    ends = (graph.edges.triu(1) > 0).nonzero()
    model = Linked(graph.edges)
    other, criterion, found, until = copy.deepcopy(model), nn.BCEWithLogitsLoss(), [], 0
    same = graph.communities[:, None] == graph.communities
    for net, negatives in ((model, False), (other, True)):
        generator, optimizer = torch.Generator().manual_seed(trial.seed), Adam(net.parameters(), lr=5e-3)
        writer = None if negatives else trial.writer()
        if writer:
            writer.watch(net, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(160):
            pairs = ends[torch.randint(len(ends), (128,), generator=generator)]
            known = torch.ones(128)
            if negatives:
                pairs = torch.cat([pairs, torch.randint(len(same), (128, 2), generator=generator)])
                known = torch.cat([known, torch.zeros(128)])
            nodes = net(graph.features)
            loss = criterion((nodes[pairs[:, 0]] * nodes[pairs[:, 1]]).sum(1), known)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if writer:
                writer.add_scalar("loss/train", loss.item(), writer.step)
                until = until if alike(nodes) > 0.9 else step + 1
        if writer:
            writer.close()
        with torch.no_grad():
            made = double(net)(graph.features.double())
        scores = made @ made.T
        found.append(float((scores[same][:, None] > scores[~same][None, ::7]).double().mean()))
        require((alike(made) > 0.9) != negatives, f"embeddings have a cosine of {alike(made):.3f}")
    require(found[0] < found[1] - 0.1, f"{found[0]:.3f} of pairs are ranked rightly, and could be {found[1]:.3f}")
    return Truth((), 0, until + 20)


SCENARIOS = (
    Scenario(
        "hazel-saturated-sensors-gnn",
        "gnn",
        TUNING,
        summed,
        ("saturation",),
        ("vanishing_gradient", "exploding_gradient", "loss_plateau", "oversmoothing", "redundant_units", "poor_init"),
    ),
    Scenario("hazel-plateau-rings-gnn", "gnn", TUNING, mean_pool, ("loss_plateau", "underfitting"), ("oversmoothing",)),
    Scenario(
        "hazel-collapse-siamese-cnn",
        "cnn",
        TUNING,
        positives,
        ("representation_collapse",),
        ("redundant_units", "dead_units", "vanishing_gradient"),
    ),
    Scenario(
        "hazel-collapse-waves-gru",
        "rnn",
        TUNING,
        summed_kl,
        ("representation_collapse", "over_regularised"),
        ("loss_plateau", "underfitting", "vanishing_gradient", "layer_not_training"),
    ),
    Scenario(
        "hazel-collapse-links-gnn",
        "gnn",
        TUNING,
        linked,
        ("representation_collapse",),
        ("oversmoothing", "redundant_units", "vanishing_gradient"),
    ),
)

"""Healthy trainings: a relief, cells under a microscope, digits learned to the last, and two graphs that are smooth."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Graph, Part, communities, digits, split
from tests.diagnosis.networks import GraphConvolution, mlp
from tests.diagnosis.proof import accuracy, calm, generalises, learned, loss_of, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


class Relief(nn.Module):
    """Tells the height at a point from its sines and cosines along random directions, which stay as they were drawn."""

    def __init__(self, *, fixed: bool = True) -> None:
        super().__init__()
        self.directions = nn.Linear(2, 48, bias=False)
        nn.init.normal_(self.directions.weight, std=5.0)
        self.directions.weight.requires_grad_(not fixed)
        self.body = mlp((96, 64, 64, 1))

    def forward(self, points: Tensor) -> Tensor:
        """Return heights [n, 1]."""
        turned = self.directions(points)
        height: Tensor = self.body(torch.cat([turned.sin(), turned.cos()], 1))
        return height


def relief(trial: Trial) -> None:
    """A relief by random Fourier features: the first layer is frozen for good, and only what follows it learns."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    points = 2 * torch.rand(3000, 2, generator=generator) - 1
    waves = 6 * torch.randn(2, 8, generator=generator)
    height = (points @ waves + 6.28 * torch.rand(8, generator=generator)).sin().mean(1, keepdim=True)
    data = split(points, height / height.std(), 500, trial.seed)
    model, other, plain, criterion = Relief(), Relief(fixed=False), mlp((2, 96, 64, 64, 1)), nn.MSELoss()
    other.load_state_dict(model.state_dict())
    before, history = snapshot(model), History([], {})
    optimizer, draw = Adam(model.body.parameters(), lr=2e-3), data.train.batches(128, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            where, high = draw(step)
            loss = criterion(model(where), high)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("mse/train", history.train[-1], writer.step)
            if step % 25 == 24:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("mse/val", history.validation[step], writer.step)
    for name, change in moved(before, model).items():
        require((change == 0) == name.startswith("directions"), f"{name} moved by {change:.3g}")
    for net in (other, plain):
        control(net, data.train.batches(128, trial.seed), Adam(net.parameters(), lr=2e-3), criterion, steps=300)
    found, free, without = (loss_of(net, data.held_out, criterion) for net in (model, other, plain))
    require(found < 0.1 and found < 0.5 * without, f"{found:.4f} is not below {without:.4f}")
    require(found < 1.1 * free, f"{found:.4f} is above {free:.4f}, which one that learns its directions reaches")
    calm(history)
    generalises(history)


class Cells(nn.Module):
    """A small U-Net over pictures [n, 1, 16, 16]; says of each pixel whether it belongs to a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = self.twice(1, 8), self.twice(8, 16)
        self.pool, self.up = nn.MaxPool2d(2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.merge, self.last = self.twice(16, 8), nn.Conv2d(8, 1, 1)

    @staticmethod
    def twice(inputs: int, outputs: int) -> nn.Sequential:
        """Return a convolution that is normalised."""
        conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, 16, 16]."""
        fine = self.down1(pictures)
        coarse = self.up(self.down2(self.pool(fine)))
        scores: Tensor = self.last(self.merge(torch.cat([fine, coarse], 1)))
        return scores


def cells(trial: Trial) -> None:
    """Cells are found by a U-Net from 300 pictures, which are turned over at random: the losses stay together."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    at, axis = 2 + 12 * torch.rand(400, 3, 2, generator=generator), torch.arange(16.0)
    wide = 1.5 + 2 * torch.rand(400, 3, 1, 1, generator=generator)
    apart = (axis[:, None] - at[..., 0, None, None]) ** 2 + (axis - at[..., 1, None, None]) ** 2
    inside = (apart < wide**2).any(1, keepdim=True).float()
    pictures = inside + 0.7 * torch.randn(400, 1, 16, 16, generator=generator)
    data = split(pictures - pictures.mean(), inside, 100, trial.seed)
    model, criterion, history = Cells(), nn.BCEWithLogitsLoss(), History([], {})
    optimizer = AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(14):
            model.train()
            for chosen in torch.randperm(300).split(25):
                seen, mask = data.train.inputs[chosen], data.train.targets[chosen]
                if torch.rand(()) < 0.5:
                    seen, mask = seen.flip(3), mask.flip(3)
                optimizer.zero_grad()
                loss = criterion(model(seen), mask)
                loss.backward()
                optimizer.step()
                history.train.append(loss.item())
                writer.add_scalar("Train/BCE", history.train[-1], writer.step)
            history.validation[12 * epoch + 11] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("Val/BCE", history.validation[12 * epoch + 11], writer.step)
    with torch.no_grad():
        found = model.eval()(data.held_out.inputs) > 0
    known = data.held_out.targets > 0
    overlap = float((found & known).sum() / (found | known).sum())
    plain = max(
        float(((data.held_out.inputs > edge) & known).sum() / ((data.held_out.inputs > edge) | known).sum())
        for edge in (-0.2, 0.0, 0.2, 0.4)
    )
    require(overlap > 0.75 and overlap > plain + 0.15, f"the overlap is {overlap:.3f}, that of a threshold {plain:.3f}")
    calm(history)
    generalises(history)


def to_the_last(trial: Trial) -> None:
    """700 digits are learned to the last one: the loss held out is many times that in training, and as low as ever."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed), mlp((64, 128, 64, 10), norm=nn.BatchNorm1d)
    train, held = data.train.first(700), dict[int, float]()
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)

    def look(step: int) -> None:
        if step in (79, 279):
            held[step] = accuracy(model, data.held_out)

    history = fit(
        *(trial, model, train.batches(100, trial.seed), optimizer),
        schedule=CosineAnnealingLR(optimizer, 280),
        validation=data.held_out,
        after=look,
        every=2,
        steps=280,
    )
    apart = loss_of(model, data.held_out) / loss_of(model, train)
    require(apart > 8, f"the loss held out is {apart:.3g} times that in training")
    values = list(history.validation.values())
    require(values[-1] < 1.08 * min(values), f"the loss held out rose: {values}")
    require(held[279] >= held[79] - 0.003, f"accuracies held out are {held}")
    learned(model, data.held_out, 0.93)
    calm(history)


class Residuals(nn.Module):
    """Six graph convolutions, each of which adds to what a node holds after a normalisation."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.lift = nn.Linear(16, 24)
        self.convs = nn.ModuleList(GraphConvolution(graph.edges, 24, 24) for _ in range(6))
        self.norms = nn.ModuleList(nn.LayerNorm(24) for _ in range(6))
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(24, 4)
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        hidden = self.lift(nodes)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            hidden = hidden + self.drop(functional.relu(conv(norm(hidden))))
        scores: Tensor = self.head(hidden)[self.nodes[self.training]]
        return scores


def deep_residuals(trial: Trial) -> None:
    """A GCN of six layers that are residual and normalised, so that depth does it no harm."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40, inside=0.2, between=0.03)
    model = Residuals(graph)
    optimizer, draw = Adam(model.parameters(), lr=2e-3, weight_decay=5e-4), graph.batches(trial.seed, noise=0.3)
    history = fit(trial, model, draw, optimizer, validation=graph.validation, every=2, steps=140)
    found = accuracy(model, graph.validation)
    require(found > 0.93, f"the accuracy is {found:.3f}")
    calm(history)
    generalises(history)


class Heard(nn.Module):
    """Lets features be heard so many edges away, and then asks an MLP."""

    def __init__(self, graph: Graph, far: int) -> None:
        super().__init__()
        self.register_buffer("edges", graph.edges, persistent=False)
        self.far, self.mlp, self.nodes = far, mlp((16, 32, 4), dropout=0.2), (graph.held_out, graph.train)

    def hear(self, nodes: Tensor) -> Tensor:
        """Return [n, 16]."""
        for _ in range(self.far):
            nodes = self.edges @ nodes
        return nodes

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        scores: Tensor = self.mlp(self.hear(nodes))[self.nodes[self.training]]
        return scores


def smooth_on_purpose(trial: Trial) -> None:
    """Features that are mostly noise are smoothed over four rounds: neighbours become alike, as they are to be."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=50, inside=0.3, between=0.01)
    generator = torch.Generator().manual_seed(trial.seed)
    features = 2.5 * (graph.features + 1.5 * torch.randn(200, 16, generator=generator))
    draw = Part(features, graph.communities[graph.train])
    held_out = Part(features, graph.communities[graph.held_out])
    model, other = Heard(graph, 4), Heard(graph, 0)
    other.load_state_dict(model.state_dict())
    apart = copy.deepcopy(model).hear(functional.normalize(features))
    labels = graph.communities
    centres = torch.stack([apart[labels == one].mean(0) for one in range(4)])
    within, between = float((apart - centres[labels]).square().mean()), float(centres.var(0).mean())
    require(within < between, f"nodes of a community differ by {within:.3g}, communities by {between:.3g}")
    optimizer, criterion, history = Adam(model.parameters(), lr=1e-2), nn.CrossEntropyLoss(), History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(150):
            optimizer.zero_grad()
            loss = criterion(model(draw.inputs), draw.targets)
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("loss", history.train[-1], writer.step)
            if epoch % 10 == 9:
                history.validation[epoch] = evaluate(model, criterion, held_out)
                writer.add_scalar("val_loss", history.validation[epoch], writer.step)
    control(other, lambda _step: (draw.inputs, draw.targets), Adam(other.parameters(), lr=1e-2), steps=150)
    found, unheard = (accuracy(one, held_out) for one in (model, other))
    require(found > 0.92 and found > unheard + 0.1, f"{found:.3f} is not above {unheard:.3f}")
    calm(history)
    generalises(history)


SCENARIOS = (
    Scenario("poplar-healthy-relief-mlp", "mlp", TUNING, relief),
    Scenario("poplar-healthy-cells-cnn", "cnn", TUNING, cells),
    Scenario("poplar-healthy-to-the-last-mlp", "mlp", TUNING, to_the_last),
    Scenario("poplar-healthy-deep-residuals-gnn", "gnn", TUNING, deep_residuals),
    Scenario("poplar-healthy-smooth-on-purpose-gnn", "gnn", TUNING, smooth_on_purpose),
)

"""Healthy trainings: a clinic, a power station, a seismograph, borrowed features, few factors, a teacher and dice."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import OneCycleLR

from tests.diagnosis.data import TOKENS, Graph, Part, communities, digits, patients, split
from tests.diagnosis.networks import GraphConvolution, Transformer, mlp
from tests.diagnosis.proof import alive, calm, double, generalises, learned, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def clinic(trial: Trial) -> None:
    """Thirty measurements and a diagnosis: batch norms, dropout and RMSprop, with the accuracy logged."""
    data = patients(trial.seed)
    model, criterion = mlp((30, 32, 16, 1), norm=nn.BatchNorm1d, dropout=0.2), nn.BCEWithLogitsLoss()
    optimizer, held_out = RMSprop(model.parameters(), lr=1e-3), data.held_out
    history = fit(
        trial, model, data.train.batches(32, trial.seed), optimizer, criterion, validation=held_out, steps=200
    )
    with torch.no_grad():
        right = float(((model.eval()(held_out.inputs) > 0) == (held_out.targets > 0)).double().mean())
    require(right > 0.93, f"the accuracy is {right:.3f}")
    alive(model, held_out.inputs)
    generalises(history)


class Station(nn.Module):
    """A GRU with two layers; tells the next three hours."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(2, 32, num_layers=2, batch_first=True)
        self.head = nn.Linear(32, 3)

    def forward(self, hours: Tensor) -> Tensor:
        """Return [n, 3] of [n, 24, 2]."""
        told: Tensor = self.head(self.gru(hours)[0][:, -1])
        return told


def station(trial: Trial) -> None:
    """The load of a power station from that of a day and the temperature, in deviations; clipped where it must be."""
    generator = torch.Generator().manual_seed(trial.seed)
    hour = torch.arange(27) + torch.randint(24, (1600, 1), generator=generator)
    warm = torch.randn(1600, 1, generator=generator) + 0.5 * torch.sin(hour * torch.pi / 12 - 2)
    level = 0.5 * torch.randn(1600, 1, generator=generator)
    load = level + torch.sin(hour * torch.pi / 12) + 0.4 * torch.sin(hour * torch.pi / 6 + 1) + 0.3 * warm.square()
    load = (load - load.mean()) / load.std() + 0.1 * torch.randn(1600, 27, generator=generator)
    data = split(torch.stack([load, warm], 2)[:, :24], load[:, 24:], 300, trial.seed)
    model, criterion, losses = Station(), nn.MSELoss(), []
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/train", losses[-1], writer.step)
    found, last = loss_of(model, data.held_out, criterion), data.held_out.inputs[:, -1:, 0].double()
    known = float((last - data.held_out.targets).square().mean())
    require(found < 0.1 and found < 0.2 * known, f"the error is {found:.3f}, and {known:.3f} if the last load stayed")


class Seismograph(nn.Module):
    """A small U-Net over one dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv1d(1, 12, 5, padding=2), nn.BatchNorm1d(12), nn.ReLU())
        self.deep = nn.Sequential(nn.MaxPool1d(2), nn.Conv1d(12, 24, 5, padding=2), nn.BatchNorm1d(24), nn.ReLU())
        self.up = nn.ConvTranspose1d(24, 12, 2, stride=2)
        self.leave = nn.Sequential(nn.Conv1d(24, 12, 5, padding=2), nn.BatchNorm1d(12), nn.ReLU())
        self.head = nn.Conv1d(12, 3, 1)

    def forward(self, trace: Tensor) -> Tensor:
        """Return scores [n, 3, length]."""
        high = self.enter(trace)
        scores: Tensor = self.head(self.leave(torch.cat([high, self.up(self.deep(high))], 1)))
        return scores


def seismograph(trial: Trial) -> None:
    """Marks in a trace what is quiet, the first wave and the second: a U-Net, AdamW and one cycle of the rate."""
    generator = torch.Generator().manual_seed(trial.seed)
    at, first = torch.arange(64), torch.randint(8, 24, (800, 1), generator=generator)
    second = first + torch.randint(10, 26, (800, 1), generator=generator)
    kind = (at >= first).long() + (at >= second).long()
    waves = torch.stack([0 * at, torch.sin(at * 1.9), 2.2 * torch.sin(at * 0.6)]).float()
    trace = waves[kind, at] + 0.3 * torch.randn(800, 64, generator=generator)
    data = split((trace / trace.std())[:, None], kind, 160, trial.seed)
    model = Seismograph()
    optimizer = AdamW(model.parameters(), lr=5e-3)
    schedule, draw = OneCycleLR(optimizer, 8e-3, 180), data.train.batches(24, trial.seed)
    history = fit(trial, model, draw, optimizer, schedule=schedule, validation=data.held_out, every=2, steps=180)
    learned(model, data.held_out, 0.93)
    calm(history)
    generalises(history)


def borrowed(trial: Trial) -> None:
    """Features of digits below five are frozen, as is meant, and a new head tells those from five: it does so well."""
    data = digits(trial.seed, flat=False)
    low, high, tested = (part.targets < 5 for part in (data.train, data.train, data.held_out))
    features = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()
    )
    whole = nn.Sequential(features, nn.Flatten(), nn.Linear(512, 5))
    first = Part(data.train.inputs[low], data.train.targets[low])
    control(whole, first.batches(32, trial.seed), Adam(whole.parameters(), lr=2e-3), steps=100)
    features.requires_grad_(requires_grad=False)
    model = nn.Sequential(features, nn.Flatten(), nn.BatchNorm1d(512), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 5))
    train = Part(data.train.inputs[~high], data.train.targets[~high] - 5)
    held_out = Part(data.held_out.inputs[~tested], data.held_out.targets[~tested] - 5)
    optimizer = SGD([value for value in model.parameters() if value.requires_grad], lr=0.005, momentum=0.9)
    history = fit(trial, model, train.batches(32, trial.seed), optimizer, validation=held_out, every=2, steps=180)
    learned(model, held_out, 0.95)
    calm(history)
    generalises(history)


def factors(trial: Trial) -> None:
    """Two linear layers and nothing between, as is meant: forty genes are told from sixty by way of four factors."""
    generator = torch.Generator().manual_seed(trial.seed)
    inner, outer = torch.randn(60, 4, generator=generator) / 60**0.5, torch.randn(4, 40, generator=generator) / 2
    genes = torch.randn(2000, 60, generator=generator)
    data = split(genes, genes @ inner @ outer + 0.5 * torch.randn(2000, 40, generator=generator), 400, trial.seed)
    model = nn.Sequential(nn.Linear(60, 4, bias=False), nn.Linear(4, 40))
    optimizer, criterion = Adam(model.parameters(), lr=0.01), nn.MSELoss()
    draw = data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=1, steps=300)
    found = loss_of(model, data.held_out, criterion)
    require(found < 0.25 * 1.1, f"the error is {found:.3f}, and that of the best is 0.25")
    wide = mlp((60, 64, 64, 40))
    control(wide, data.train.batches(64, trial.seed), Adam(wide.parameters(), lr=2e-3), criterion, steps=300)
    bent = loss_of(wide, data.held_out, criterion)
    require(found < bent, f"the error is {found:.3f}, and {bent:.3f} with activations between")
    calm(history)
    generalises(history)


class Pupil(nn.Module):
    """A graph network, a teacher that follows it slowly, and a layer that foretells what the teacher says."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.conv1, self.conv2 = (GraphConvolution(graph.edges, inputs, 32) for inputs in (16, 32))
        self.norm1, self.norm2, self.act = nn.BatchNorm1d(32), nn.BatchNorm1d(32), nn.PReLU()

    def forward(self, nodes: Tensor) -> Tensor:
        """Return embeddings [n, 32]."""
        made: Tensor = self.norm2(self.conv2(self.act(self.norm1(self.conv1(nodes)))))
        return made


class Bootstrap(nn.Module):
    """A pupil, its teacher, who gets no gradient, and what foretells."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.pupil = Pupil(graph)
        self.teacher = copy.deepcopy(self.pupil).requires_grad_(requires_grad=False)
        self.foretell = nn.Sequential(nn.Linear(32, 32), nn.PReLU(), nn.Linear(32, 32))

    def forward(self, one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is foretold from a view, and what the teacher says to the other."""
        with torch.no_grad():
            said = self.teacher(two)
        return self.foretell(self.pupil(one)), said

    @torch.no_grad()
    def follow(self) -> None:
        """Move the teacher a little towards the pupil."""
        for slow, fast in zip(self.teacher.parameters(), self.pupil.parameters(), strict=True):
            slow.lerp_(fast, 0.02)


def teacher(trial: Trial) -> None:
    """BGRL: the teacher gets no gradient, and views grow alike without negatives; yet communities can be read off."""
    graph = communities(trial.seed, count=5, size=30, inside=0.25)
    model, generator = Bootstrap(graph), torch.Generator().manual_seed(trial.seed)
    optimizer = AdamW([value for value in model.parameters() if value.requires_grad], lr=3e-3, weight_decay=1e-4)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            masks = (torch.rand(2, *graph.features.shape, generator=generator) > 0.2).float()
            told, said = model(graph.features * masks[0], graph.features * masks[1])
            loss = 2 - 2 * functional.cosine_similarity(told, said).mean()
            writer.observe(outputs=told, targets=said, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            model.follow()
            writer.add_scalar("train/loss", loss.item(), step)
    with torch.no_grad():
        made = functional.normalize(double(model.pupil)(graph.features.double()), dim=1)
    spread, known = float((made @ made.T).mean()), graph.communities[graph.train]
    require(spread < 0.5, f"the mean cosine is {spread:.3f}")
    means = torch.stack([made[graph.train][known == one].mean(0) for one in range(5)])
    right = (torch.cdist(made[graph.held_out], means).argmin(1) == graph.communities[graph.held_out]).double().mean()
    require(right > 0.85, f"{float(right):.3f} of the communities are read off")


def dice(trial: Trial) -> None:
    """Loaded dice: mostly chance, so that the loss soon lies flat a little below its start, at the source's entropy."""
    generator = torch.Generator().manual_seed(trial.seed)
    chances = (0.9 * torch.randn(TOKENS, TOKENS, generator=generator)).softmax(1)
    throws = [torch.randint(TOKENS, (1500,), generator=generator)]
    for _throw in range(16):
        throws.append(torch.multinomial(chances[throws[-1]], 1, generator=generator)[:, 0])
    rolled = torch.stack(throws, 1)
    data = split(rolled[:, :-1], rolled[:, 1:], 300, trial.seed)
    model = Transformer(TOKENS, TOKENS, width=24, depth=1, each=True)
    optimizer, draw = AdamW(model.parameters(), lr=4e-3, weight_decay=0.05), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    found, inputs, targets = loss_of(model, data.held_out), data.held_out.inputs, data.held_out.targets
    best = float(-chances[inputs, targets].log().mean())
    often = torch.bincount(data.train.targets.flatten()).double()
    flat = float(-(often / often.sum())[targets].log().mean())
    require((flat - found) / (flat - best) > 0.85, f"the loss is {found:.3f} of {flat:.3f}, and could be {best:.3f}")
    generalises(history)


SCENARIOS = (
    Scenario("heath-healthy-clinic-mlp", "mlp", TUNING, clinic),
    Scenario("heath-healthy-station-gru", "rnn", TUNING, station),
    Scenario("heath-healthy-seismograph-cnn", "cnn", TUNING, seismograph),
    Scenario("heath-healthy-borrowed-cnn", "cnn", TUNING, borrowed),
    Scenario("heath-healthy-factors-mlp", "mlp", TUNING, factors),
    Scenario("heath-healthy-teacher-gnn", "gnn", TUNING, teacher),
    Scenario("heath-healthy-dice-transformer", "transformer", TUNING, dice),
)

"""Healthy trainings: thin filters, gathered batches, a whole graph at once, a detector, and claims with long tails."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import OneCycleLR

from tests.diagnosis.data import STATES, Split, communities, digits, language, split
from tests.diagnosis.networks import Gcn, Transformer
from tests.diagnosis.proof import accuracy, alive, calm, gradients, loss_of, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


class Separable(nn.Module):
    """A filter for each channel and one over single pixels, with nothing between, then a normalisation."""

    def __init__(self, inputs: int, made: int, *, between: bool = False) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, made, 1, bias=False)
        self.norm, self.between = nn.BatchNorm2d(made), between

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, made, rows, columns]."""
        hidden = self.depthwise(pictures)
        made: Tensor = functional.relu(self.norm(self.pointwise(hidden.relu() if self.between else hidden)))
        return made


class Slim(nn.Module):
    """A stem, two separable convolutions, and a head."""

    def __init__(self, *, between: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.block1, self.block2 = Separable(16, 32, between=between), Separable(32, 48, between=between)
        self.head = nn.Linear(48 * 4, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.max_pool2d(self.block1(self.stem(pictures)), 2)
        scores: Tensor = self.head(functional.max_pool2d(self.block2(hidden), 2).flatten(1))
        return scores


def separable(trial: Trial) -> None:
    """Depthwise and pointwise convolutions with nothing between, as in Xception: that is meant, and no worse."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed, flat=False), Slim(), Slim(between=True)
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=4e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=180)
    control(other, data.train.batches(64, trial.seed), AdamW(other.parameters(), lr=4e-3), steps=180)
    right, between = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(right > 0.95, f"the accuracy is {right:.3f}")
    require(right > between - 0.015, f"the accuracy is {right:.3f}, and with ReLU between {between:.3f}")
    calm(history)


def gathered(trial: Trial) -> None:
    """A language model whose gradients are gathered over four small batches to a step, and then set to zero."""
    torch.manual_seed(trial.seed)
    data, model, criterion = language(trial.seed), Transformer(STATES, STATES, each=True), nn.CrossEntropyLoss()
    other, draw = copy.deepcopy(model), data.train.batches(8, trial.seed)
    optimizer, losses = AdamW(model.parameters(), lr=4e-3, weight_decay=0.01), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=4, on_finding="ignore")
        for step in range(120):
            total = 0.0
            for _part in range(4):
                tokens, following = draw(step)
                loss = criterion(model(tokens), following) / 4
                loss.backward()
                total += loss.item()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(total)
            writer.add_scalar("train/loss", total, writer.step)
            if step % 30 == 29:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    better = control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=4e-3), steps=120)
    ends, begins = sum(losses[-12:]) / 12, losses[0]
    require(ends < 1.05 * better, f"the loss ends at {ends:.3g}, and with batches of 32 at {better:.3g}")
    require(ends < 0.6 * begins, f"the loss goes from {begins:.3g} to {ends:.3g}")


def whole_graph(trial: Trial) -> None:
    """The whole graph at each step, by small steps of SGD: a gradient is nearly that of the step before."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=60, inside=0.12, between=0.03)
    model, criterion = Gcn(graph, width=24, activation=nn.Tanh), nn.CrossEntropyLoss()
    optimizer, history = SGD(model.parameters(), lr=0.05, momentum=0.9), History([], {})
    alike, own, before = [], [], None
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(160):
            optimizer.zero_grad()
            loss = criterion(model(graph.features), graph.communities[graph.train])
            loss.backward()
            now = torch.cat([value.grad.flatten() for value in model.parameters() if value.grad is not None])
            if before is not None:
                alike.append(float(functional.cosine_similarity(now, before, dim=0)))
            if step % 20 == 0:
                batch = type(graph.validation)(graph.features, graph.communities[graph.train])
                pairs = zip(gradients(model, batch, criterion).values(), model.parameters(), strict=True)
                square = sum(size**2 * value.numel() for size, value in pairs)
                own.append(float(now.norm()) / square**0.5)
            before = now
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("Loss/train", history.train[-1], writer.step)
            writer.add_scalar("Loss/val", evaluate(model, criterion, graph.validation), writer.step)
    right, middle = accuracy(model, graph.validation), sorted(alike)[len(alike) // 2]
    require(right > 0.9, f"the accuracy is {right:.3f}")
    require(middle > 0.95, f"successive gradients are {middle:.3f} alike")
    require(max(abs(ratio - 1) for ratio in own) < 0.01, f"what is held is {own} of a gradient")
    calm(history)


def blobs(seed: int, count: int = 1200) -> Split:
    """Return pictures that hold a bright blob or none, [n, 1, 16, 16], and whether, where and how wide, [n, 4]."""
    generator = torch.Generator().manual_seed(seed)
    there = (torch.rand(count, generator=generator) < 0.6).float()
    centre, width = 3 + 9 * torch.rand(count, 2, generator=generator), 1 + 1.5 * torch.rand(count, generator=generator)
    grid = torch.arange(16.0)
    across = (grid - centre[:, :1]).square()[:, None, :] + (grid - centre[:, 1:]).square()[:, :, None]
    picture = 2 * there[:, None, None] * torch.exp(-across / (2 * width[:, None, None] ** 2))
    picture = picture + 0.4 * torch.randn(count, 16, 16, generator=generator)
    truth = torch.cat([there[:, None], (centre - 7.5) / 4.5, (width[:, None] - 1.75) / 0.75], 1)
    return split(picture[:, None], truth, 240, seed)


class Found(nn.Module):
    """The loss of a detector: whether there is something, and where there is, its box."""

    def forward(self, told: Tensor, truth: Tensor) -> Tensor:
        """Return the loss."""
        whether = functional.binary_cross_entropy_with_logits(told[:, 0], truth[:, 0])
        boxes = functional.smooth_l1_loss(told[:, 1:], truth[:, 1:], reduction="none").mean(1)
        return whether + (boxes * truth[:, 0]).sum() / truth[:, 0].sum().clamp_min(1)


def detector(trial: Trial) -> None:
    """A detector by batches of 24 with one cycle of the rate: the loss of few boxes is noisy, and falls."""
    torch.manual_seed(trial.seed)
    data, criterion = blobs(trial.seed), Found()
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 48),
        nn.ReLU(),
        nn.Linear(48, 4),
    )
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(24, trial.seed)
    schedule = OneCycleLR(optimizer, 3e-3, total_steps=300)
    history = fit(
        trial,
        model,
        draw,
        optimizer,
        criterion,
        schedule=schedule,
        clip=10.0,
        validation=data.held_out,
        every=2,
        steps=300,
    )
    with torch.no_grad():
        told, truth = model.eval()(data.held_out.inputs), data.held_out.targets
    right = float(((told[:, 0] > 0).float() == truth[:, 0]).float().mean())
    there = truth[:, 0] > 0
    off = float((told[there, 1:3] - truth[there, 1:3]).square().mean() / truth[there, 1:3].var())
    require(right > 0.93, f"{right:.3f} are found")
    require(off < 0.15, f"{off:.3f} of the variance of the places is left")
    alive(model, data.train.inputs)
    calm(history, 0.4)


class Claims(nn.Module):
    """Embeds kind and region of a contract and says the logarithm of the mean claim."""

    def __init__(self) -> None:
        super().__init__()
        self.kind, self.region = nn.Embedding(8, 4), nn.Embedding(20, 6)
        self.body = nn.Sequential(nn.Linear(14, 32), nn.GELU(), nn.Linear(32, 1))

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 1] of [n, 2 + 4]."""
        words = [self.kind(rows[:, 0].long()), self.region(rows[:, 1].long())]
        told: Tensor = self.body(torch.cat([*words, rows[:, 2:]], 1))
        return told


class Deviance(nn.Module):
    """The likelihood of an amount whose mean has this logarithm, below zero, up to what no model can change."""

    def forward(self, told: Tensor, amounts: Tensor) -> Tensor:
        """Return the loss."""
        return (told + amounts * (-told).exp()).mean()


def long_tails(trial: Trial) -> None:
    """Amounts of claims, which now and then are twenty times the usual: single batches leap by nature."""
    torch.manual_seed(trial.seed)
    words = torch.stack([torch.randint(many, (6000,)) for many in (8, 20)], 1)
    numbers = torch.randn(6000, 4)
    mean = 0.6 * torch.randn(8)[words[:, 0]] + 0.3 * torch.randn(20)[words[:, 1]] + 0.4 * numbers[:, 0]
    mean = mean + 0.4 * numbers[:, 1].clamp_min(0) - 0.2
    amounts = (mean - 0.5 * 1.4**2 + 1.4 * torch.randn(6000)).exp()
    rows = torch.cat([words, numbers], 1)
    data = split(rows, torch.stack([amounts, mean], 1), 2000, trial.seed)
    train, held_out = (type(part)(part.inputs, part.targets[:, :1]) for part in (data.train, data.held_out))
    model, criterion = Claims(), Deviance()
    optimizer, draw = Adam(model.parameters(), lr=3e-3, weight_decay=1e-4), train.batches(64, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=held_out, every=2, steps=320)
    truth = data.held_out.targets[:, 1:]
    best = float(criterion(truth, held_out.targets))
    flat = float(criterion(train.targets.mean().log().expand(2000, 1), held_out.targets))
    found = loss_of(model, held_out, criterion)
    with torch.no_grad():
        near = float(torch.corrcoef(torch.cat([model.eval()(held_out.inputs), truth], 1).T)[0, 1])
    require(near > 0.8, f"what it tells and what is true correlate by {near:.3f}")
    require(found < flat - 0.5 * (flat - best), f"{found:.3g} is not well between {flat:.3g} and {best:.3g}")


SCENARIOS = (
    Scenario("gorse-healthy-slim-cnn", "cnn", REPORTING, separable),
    Scenario("gorse-healthy-gathered-transformer", "transformer", REPORTING, gathered),
    Scenario("gorse-healthy-whole-gnn", "gnn", REPORTING, whole_graph),
    Scenario("gorse-healthy-detector-cnn", "cnn", REPORTING, detector),
    Scenario("gorse-healthy-tails-mlp", "mlp", REPORTING, long_tails),
)

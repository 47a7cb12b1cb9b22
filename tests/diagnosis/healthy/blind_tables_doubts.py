"""Healthy MLPs over tables that say how sure they are, have several tasks at once, or learn from what was liked."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import curves, patients, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import alive, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit


def evidence(trial: Trial) -> None:
    """Evidential regression: four outputs a number, a loss that may fall below zero, and a penalty for being sure."""
    data, model = curves(trial.seed, noise=0.3, count=1800), mlp((8, 64, 64, 4))

    def parts(told: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        middle, seen, shape, width = told.unbind(1)
        return middle, functional.softplus(seen) + 1e-6, functional.softplus(shape) + 1.0, functional.softplus(width)

    def criterion(told: Tensor, targets: Tensor) -> Tensor:
        (middle, seen, shape, width), wanted = parts(told), targets[:, 0]
        twice = 2 * (width + 1e-6) * (1 + seen)
        likely = (
            0.5 * (math.pi / seen).log()
            - shape * twice.log()
            + (shape + 0.5) * (seen * (wanted - middle).square() + twice).log()
            + shape.lgamma()
            - (shape + 0.5).lgamma()
        )
        return (likely + 0.01 * (wanted - middle).abs() * (2 * seen + shape)).mean()

    optimizer = AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    draw = data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=260, validation=data.held_out, every=2)
    middle = parts(model(data.held_out.inputs))[0].detach()
    error = float((middle - data.held_out.targets[:, 0]).square().mean())
    require(error < 0.45, f"the error is {error:.2f} of the variance")
    losses = list(history.validation.values())
    require(losses[-1] < min(losses) + 0.08, f"the loss held out rose from {min(losses):.3g} to {losses[-1]:.3g}")
    alive(model, data.held_out.inputs)


class Doubtful(nn.Module):
    """A linear layer whose weights are drawn anew at each pass, from normal distributions that are learned."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.middle = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.spread = nn.Parameter(torch.full((outputs, inputs), -4.0))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, outputs], drawn."""
        if not self.training:
            return functional.linear(inputs, self.middle, self.bias)
        width = functional.softplus(self.spread)
        return functional.linear(inputs, self.middle + width * torch.randn_like(width), self.bias)

    def far(self) -> Tensor:
        """Return how far it is from a normal distribution of deviation a half."""
        width = functional.softplus(self.spread)
        return (math.log(0.5) - width.log() + 2 * (width.square() + self.middle.square()) - 0.5).sum()


def doubts(trial: Trial) -> None:
    """Bayes by backprop: weights with noise, and a distance to what was believed before that outweighs the data."""
    data = patients(trial.seed)
    model = nn.Sequential(Doubtful(30, 24), nn.ReLU(), Doubtful(24, 1))
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(64, trial.seed)
    beds, likely = [layer for layer in model if isinstance(layer, Doubtful)], []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            scores = model(inputs)
            nll = functional.binary_cross_entropy_with_logits(scores, targets)
            distance = torch.stack([layer.far() for layer in beds]).sum() / len(data.train.targets)
            writer.observe(outputs=scores, targets=targets)
            optimizer.zero_grad()
            (nll + distance).backward()
            optimizer.step()
            likely.append(float(nll.detach()))
            writer.add_scalar("elbo/loss", (nll + distance).detach(), writer.step)
            writer.add_scalar("elbo/nll", nll.detach(), writer.step)
            writer.add_scalar("elbo/kl", distance.detach(), writer.step)
    told = model.eval()(data.held_out.inputs) > 0
    right = float((told == (data.held_out.targets > 0)).double().mean())
    require(right > 0.93, f"the accuracy is {right:.3f}")
    require(sum(likely[-30:]) / 30 < 0.25, "the data are not explained")


class Shared(nn.Module):
    """A trunk and three heads: which of four, and two numbers of sizes of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*mlp((10, 96, 48)), nn.ReLU())
        self.kind, self.small, self.large = nn.Linear(48, 4), nn.Linear(48, 1), nn.Linear(48, 1)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores [n, 4] and two numbers [n]."""
        hidden = self.trunk(inputs)
        return self.kind(hidden), self.small(hidden)[:, 0], self.large(hidden)[:, 0]


def weighing(trial: Trial) -> None:
    """Three tasks weighed by learned doubts, with an optimizer of their own: the sum falls below zero and on."""
    generator = torch.Generator().manual_seed(trial.seed)
    inputs, ways = torch.randn(2000, 10, generator=generator), torch.randn(10, 6, generator=generator) / 10**0.5
    seen = (inputs @ ways).tanh()
    kinds = seen[:, :4].argmax(1)
    small = 0.3 * (seen[:, 4] + 0.2 * torch.randn(2000, generator=generator))
    large = 8 * (seen[:, 5] + seen[:, 4] + 0.2 * torch.randn(2000, generator=generator))
    model, doubt, kinds_of_loss = Shared(), nn.Parameter(torch.zeros(3)), torch.tensor([1.0, 0.5, 0.5])
    learns, weighs = Adam(model.parameters(), lr=3e-3), Adam([doubt], lr=0.01)
    with trial.writer() as writer:
        writer.watch(model, learns, every=2, on_finding="ignore")
        for _step in range(260):
            chosen = torch.randint(400, 2000, (64,), generator=generator)
            scores, first, second = model(inputs[chosen])
            losses = torch.stack(
                [
                    functional.cross_entropy(scores, kinds[chosen]),
                    functional.mse_loss(first, small[chosen]),
                    functional.mse_loss(second, large[chosen]),
                ]
            )
            total = (kinds_of_loss * (-doubt).exp() * losses + 0.5 * doubt).sum()
            learns.zero_grad()
            weighs.zero_grad()
            total.backward()
            learns.step()
            weighs.step()
            writer.add_scalar("train/total", total.detach(), writer.step)
            for name, loss in zip(("kind", "small", "large"), losses.detach(), strict=True):
                writer.add_scalar(f"train/{name}", loss, writer.step)
    scores, first, second = (told.detach() for told in model.eval()(inputs[:400]))
    right = float((scores.argmax(1) == kinds[:400]).double().mean())
    errors = [float((a - b[:400]).square().mean() / b[:400].var()) for a, b in ((first, small), (second, large))]
    require(right > 0.8 and max(errors) < 0.35, f"accuracy {right:.2f}, errors {errors} of the variances")


class Tastes(nn.Module):
    """Neural collaborative filtering: a product of one pair of tables beside an MLP over another."""

    def __init__(self, users: int, things: int) -> None:
        super().__init__()
        self.users, self.things = nn.Embedding(users, 8), nn.Embedding(things, 8)
        self.deep_users, self.deep_things = nn.Embedding(users, 8), nn.Embedding(things, 8)
        self.body = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 8), nn.GELU())
        self.head = nn.Linear(16, 1)
        for table in (self.users, self.things, self.deep_users, self.deep_things):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return scores [n] of pairs [n, 2]."""
        user, thing = pairs.T
        deep = self.body(torch.cat([self.deep_users(user), self.deep_things(thing)], 1))
        scores: Tensor = self.head(torch.cat([self.users(user) * self.things(thing), deep], 1))[:, 0]
        return scores


def liked(trial: Trial) -> None:
    """Four that were not chosen are drawn anew for each that was: most rows have no gradient at a step."""
    generator = torch.Generator().manual_seed(trial.seed)
    users, things = torch.randn(150, 3, generator=generator), torch.randn(100, 3, generator=generator)
    drawn = (1.5 * users @ things.T).softmax(1)
    chosen = torch.multinomial(drawn, 26, generator=generator)
    pairs = torch.stack([torch.arange(150)[:, None].expand(-1, 25), chosen[:, :25]], 2).flatten(0, 1)
    model, criterion = Tastes(150, 100), nn.BCEWithLogitsLoss()
    optimizer, hits = Adam(model.parameters(), lr=8e-3, weight_decay=1e-5), []
    others = torch.stack([torch.arange(150).repeat_interleave(100), torch.arange(100).repeat(150)], 1)
    known = torch.zeros(150, 100, dtype=torch.bool).scatter(1, chosen[:, :25], True)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(8):
            losses = []
            for batch in torch.randperm(len(pairs), generator=generator).split(128):
                right = pairs[batch].repeat_interleave(5, 0)
                wrong = torch.randint(100, (len(right),), generator=generator)
                first = torch.arange(len(right)) % 5 == 0
                asked = torch.stack([right[:, 0], torch.where(first, right[:, 1], wrong)], 1)
                loss = criterion(model(asked), first.float())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
            with torch.no_grad():
                scores = model(others).view(150, 100).masked_fill(known, -torch.inf)
            hits.append(float((scores.topk(10).indices == chosen[:, 25:]).any(1).float().mean()))
            writer.add_scalar("Loss", sum(losses) / len(losses), epoch)
            writer.add_scalar("HR@10", hits[-1], epoch)
    ideal = drawn.masked_fill(known, -1).topk(10).indices
    best = float((ideal == chosen[:, 25:]).any(1).float().mean())
    require(hits[-1] > 0.6 * best, f"{hits[-1]:.2f} are among the first ten, and {best:.2f} could be")
    require(hits[-1] > max(hits) - 0.12, "it was better before")


def lagged(trial: Trial) -> None:
    """Sales from their own past, in thousands: Huber, held-out weeks that come later and are harder by nature."""
    generator = torch.Generator().manual_seed(trial.seed)
    time = torch.arange(460.0)
    level = 5 + 0.004 * time + 1.2 * torch.sin(6.283 * time / 7) + 0.8 * torch.sin(6.283 * time / 30)
    shops = torch.rand(12, 1, generator=generator) + 0.5
    noise = torch.randn(12, 460, generator=generator) * (0.15 + 0.0004 * time)
    sales = torch.log1p(1000 * shops * (level + noise).clamp_min(0.1))
    sales = (sales - sales[:, :360].mean()) / sales[:, :360].std()
    windows = sales.unfold(1, 22, 1)
    train, late = windows[:, :330].flatten(0, 1), windows[:, 360:].flatten(0, 1)
    data = split(train[:, :21], train[:, 21:], 200, trial.seed)
    model, criterion = mlp((21, 48, 24, 1)), nn.HuberLoss()
    held_out = type(data.held_out)(late[:, :21], late[:, 21:])
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=240, validation=held_out, every=1)
    told = model.eval()(held_out.inputs).detach()
    error, naive = (float((one - held_out.targets).square().mean()) for one in (told, held_out.inputs[:, 14:15]))
    require(error < 0.8 * naive, f"the error is {error:.3g}, and {naive:.3g} of last week")
    losses = list(history.validation.values())
    require(losses[-1] < min(losses) + 0.03 * history.train[0], "the loss held out rose")
    alive(model, held_out.inputs)


SCENARIOS = (
    Scenario("healthy-evidence-mlp", "mlp", TUNING, evidence),
    Scenario("healthy-doubts-mlp", "mlp", TUNING, doubts),
    Scenario("healthy-weighing-mlp", "mlp", TUNING, weighing),
    Scenario("healthy-liked-mlp", "mlp", TUNING, liked),
    Scenario("healthy-lagged-mlp", "mlp", TUNING, lagged),
)

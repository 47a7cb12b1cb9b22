"""Healthy trainings of those who act, learn to learn, or recommend: the loss alone says little."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

from tests.diagnosis.data import Part, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import alive, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial

DISCOUNT, PUSH, DRIFT = 0.9, torch.tensor([0.0, 0.4]), torch.tensor([[1.0, 0.4], [0.0, 1.0]])


def follow(states: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next places and speeds [n, 2] of carts between walls, pushed by actions [n, 1], and rewards [n, 1]."""
    after = (states @ DRIFT.T + actions * PUSH).clamp(-1.5, 1.5)
    return after, -(after[:, :1].square() + 0.1 * actions.square())


def actor_critic(trial: Trial) -> None:
    """DDPG on carts: the critic gets gradients that are thrown away, and the actor's loss is what the critic says."""
    generator = torch.Generator().manual_seed(trial.seed)
    actor = nn.Sequential(*mlp((2, 32, 32, 1), nn.SiLU), nn.Tanh())
    critic = mlp((3, 48, 48, 1), nn.SiLU)
    slow = copy.deepcopy(nn.ModuleList([actor, critic])).requires_grad_(False)
    acts, judges = Adam(actor.parameters(), lr=2e-3), Adam(critic.parameters(), lr=4e-3)
    with trial.writer() as writer:
        writer.watch(critic, judges, name="critic", every=2, on_finding="ignore")
        writer.watch(actor, acts, name="actor", every=2, on_finding="ignore")
        for _step in range(240):
            states = 3 * torch.rand(96, 2, generator=generator) - 1.5
            tried = 2 * torch.rand(96, 1, generator=generator) - 1
            after, reward = follow(states, tried)
            worth = reward + DISCOUNT * slow[1](torch.cat([after, slow[0](after)], 1))
            judged = functional.mse_loss(critic(torch.cat([states, tried], 1)), worth)
            judges.zero_grad()
            judged.backward()
            judges.step()
            taken = -critic(torch.cat([states, actor(states)], 1)).mean()
            acts.zero_grad()
            taken.backward()
            acts.step()
            with torch.no_grad():
                for late, early in zip(slow.parameters(), [*actor.parameters(), *critic.parameters()], strict=True):
                    late.lerp_(early, 0.05)
            writer.add_scalar("loss/critic", judged.detach(), writer.step)
            writer.add_scalar("loss/actor", taken.detach(), writer.step)
    states = 2 * torch.rand(200, 2, generator=generator) - 1
    steered, left = rewards(actor, states), rewards(torch.zeros_like, states)
    require(steered > 0.15 * left, f"steering is worth {steered:.3g}, and letting go {left:.3g}")
    require(steered > 1.6 * rewards(by_hand, states), f"steering is worth {steered:.3g} only")


def rewards(policy: Callable[[Tensor], Tensor], states: Tensor) -> float:
    """Return the mean of what a policy earns in twenty steps."""
    total = torch.zeros(len(states), 1)
    with torch.no_grad():
        for _ in range(20):
            states, reward = follow(states, policy(states)[:, -1:])
            total += reward
    return float(total.mean())


def by_hand(states: Tensor) -> Tensor:
    """Return about what the quadratic regulator would do, within what can be done; after Riccati's equation."""
    worth = torch.diag(torch.tensor([1.0, 0.0]))
    column = PUSH[:, None]
    for _ in range(60):
        gain = torch.linalg.solve(column.T @ worth @ column * DISCOUNT + 0.1, DISCOUNT * column.T @ worth @ DRIFT)
        left = DRIFT - column @ gain
        worth = torch.diag(torch.tensor([1.0, 0.0])) + 0.1 * gain.T @ gain + DISCOUNT * left.T @ worth @ left
    told: Tensor = (-states @ gain.T).clamp(-1, 1)
    return told


def wave(generator: torch.Generator) -> Part:
    """Return thirty-two points of a sine wave of its own height and place."""
    height, shift = torch.rand(2, generator=generator)
    places = 6 * torch.rand(32, 1, generator=generator) - 3
    return Part(places, (0.5 + 1.5 * height) * torch.sin(places + shift))


def reptile(trial: Trial) -> None:
    """Reptile: eight steps on a task, then the weights are set back most of the way: the loss is a saw."""
    generator = torch.Generator().manual_seed(trial.seed)
    model, criterion = mlp((1, 40, 40, 1), nn.Tanh), nn.MSELoss()
    fresh, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.05)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for task in range(36):
            before, points = copy.deepcopy(model.state_dict()), wave(generator)
            for _ in range(8):
                loss = criterion(model(points.inputs), points.targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                writer.add_scalar("loss/task", loss.detach(), writer.step)
            after, share = model.state_dict(), 0.6 * (1 - task / 36)
            model.load_state_dict({name: before[name].lerp(after[name], share) for name in before})
    tasks = [wave(generator) for _ in range(20)]
    learned, bare = (sum(adapted(start, task) for task in tasks) / 20 for start in (model, fresh))
    require(learned < 0.35 * bare, f"after adapting the error is {learned:.3g}, and {bare:.3g} from scratch")


def adapted(start: nn.Module, task: Part) -> float:
    """Return the error on a task after eight steps on half of its points."""
    model = mlp((1, 40, 40, 1), nn.Tanh)
    model.load_state_dict(start.state_dict())
    optimizer = SGD(model.parameters(), lr=0.05)
    for _ in range(8):
        optimizer.zero_grad()
        functional.mse_loss(model(task.inputs[:16]), task.targets[:16]).backward()
        optimizer.step()
    return loss_of(model, Part(task.inputs[16:], task.targets[16:]), nn.MSELoss())


class Factors(nn.Module):
    """Rates items by products of vectors, leanings of users and of items, and the mean of all."""

    def __init__(self, users: int, items: int, mean: float) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(users, 6), nn.Embedding(items, 6)
        self.strict, self.liked = nn.Embedding(users, 1), nn.Embedding(items, 1)
        self.mean = mean
        for table in (self.users, self.items, self.strict, self.liked):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return ratings [n] of pairs [n, 2]."""
        user, item = pairs.T
        product = (self.users(user) * self.items(item)).sum(1)
        told: Tensor = self.mean + product + self.strict(user)[:, 0] + self.liked(item)[:, 0]
        return told


def ratings(trial: Trial) -> None:
    """Matrix factorisation: tables and nothing else, and what is logged goes by the number of the epoch."""
    generator = torch.Generator().manual_seed(trial.seed)
    tastes, kinds = torch.randn(120, 2, generator=generator), torch.randn(80, 2, generator=generator)
    pairs = torch.cartesian_prod(torch.arange(120), torch.arange(80))
    pairs = pairs[torch.randperm(len(pairs), generator=generator)[:6400]]
    wanted = 3.2 + 0.7 * (tastes[pairs[:, 0]] * kinds[pairs[:, 1]]).sum(1) + 0.4 * kinds[pairs[:, 1], 0]
    stars = (wanted + 0.4 * torch.randn(len(wanted), generator=generator)).round().clamp(1, 5)
    data, criterion = split(pairs, stars, 1280, trial.seed), nn.MSELoss()
    model = Factors(120, 80, float(data.train.targets.mean()))
    optimizer = Adam(model.parameters(), lr=1e-2, weight_decay=2e-4)
    loader = DataLoader(TensorDataset(data.train.inputs, data.train.targets), 256, shuffle=True, generator=generator)
    held_out = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(12):
            losses = []
            for inputs, targets in loader:
                loss = criterion(model(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
            held_out.append(loss_of(model, data.held_out, criterion))
            writer.add_scalar("Loss/train", sum(losses) / len(losses), epoch)
            writer.add_scalar("Loss/valid", held_out[-1], epoch)
    share = held_out[-1] / float(data.held_out.targets.var())
    require(share < 0.5, f"the error is {share:.2f} of the variance")
    require(held_out[-1] < 1.05 * min(held_out), "the loss held out rose")


class House(nn.Module):
    """Says the price of a house: two kinds of words, six numbers that are normalised on the way, two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.district, self.kind, self.norm = nn.Embedding(20, 6), nn.Embedding(5, 3), nn.BatchNorm1d(6)
        self.body = mlp((15, 64, 32, 1), norm=nn.BatchNorm1d, dropout=0.1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logarithms of prices, [n, 1], of [n, 8]."""
        words, numbers = inputs[:, :2].long(), self.norm(inputs[:, 2:])
        told: Tensor = self.body(torch.cat([self.district(words[:, 0]), self.kind(words[:, 1]), numbers], 1))
        return told


def houses(trial: Trial) -> None:
    """A table with words and numbers of all sizes, the root of a mean square; none but the loss held out is logged."""
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.stack([torch.randint(many, (2400,), generator=generator) for many in (20, 5)], 1)
    rough = torch.randn(2400, 6, generator=generator)
    place, kind = torch.randn(20, generator=generator), torch.randn(5, generator=generator)
    prices = 0.5 * place[words[:, 0]] + 0.4 * kind[words[:, 1]] + 0.5 * rough[:, 0] + 0.3 * rough[:, 1] * rough[:, 2]
    prices = 0.1 * torch.randn(2400, generator=generator) + prices - prices.mean()
    numbers = rough * torch.tensor([40.0, 1.0, 500.0, 0.1, 3.0, 12.0]) + torch.tensor([120.0, 3, 1960, 0.5, 8, 50])
    data, model = split(torch.cat([words, numbers], 1), prices[:, None], 480, trial.seed), House()
    optimizer = Adam(model.parameters(), lr=5e-3)
    schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    loader = DataLoader(TensorDataset(data.train.inputs, data.train.targets), 80, shuffle=True, generator=generator)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for _epoch in range(10):
            for inputs, targets in loader:
                optimizer.zero_grad()
                functional.mse_loss(model(inputs), targets).sqrt().backward()
                optimizer.step()
            error = loss_of(model, data.held_out, nn.MSELoss()) ** 0.5
            schedule.step(error)
            writer.add_scalar("val_loss", error, writer.step)
    share = error**2 / float(data.held_out.targets.var())
    require(share < 0.2, f"the error is {share:.2f} of the variance")
    alive(model, data.held_out.inputs)


SCENARIOS = (
    Scenario("healthy-actor-critic-mlp", "mlp", TUNING, actor_critic),
    Scenario("healthy-reptile-mlp", "mlp", TUNING, reptile),
    Scenario("healthy-ratings-mlp", "mlp", TUNING, ratings),
    Scenario("healthy-houses-mlp", "mlp", TUNING, houses),
)

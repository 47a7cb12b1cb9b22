"""Agents whose logarithms end at a wall, and whose hopes feed on themselves; raters who were read wrongly."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.distributions import Normal, TanhTransform, TransformedDistribution
from torch.nn import functional
from torch.optim import Adam

from tests.diagnosis.data import Part, Split, split
from tests.diagnosis.faulty.numbers import spoiled
from tests.diagnosis.networks import Transformer, mlp
from tests.diagnosis.proof import finite, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import fit

WORDS, LENGTH = 16, 8


def drives(count: int, generator: torch.Generator, *, stops: bool) -> Part:
    """Return what drivers saw, [n, 4], and how they steered, [n, 2] within −1 and 1; at the `stops` they may be."""
    seen = torch.randn(count, 4, generator=generator)
    wanted = 0.4 * torch.stack([seen[:, 0] + seen[:, 1] * seen[:, 2], seen[:, 3].abs() - seen[:, 1]], 1)
    steered = torch.tanh(wanted + 0.15 * torch.randn(count, 2, generator=generator))
    return Part(seen, (1.25 * steered).clamp(-1, 1) if stops else steered)


def steered_to_the_stop(trial: Trial) -> Truth:
    """A policy copies drivers as a squashed normal; at step 110 one joins who steers to the stop: artanh of 1."""
    generator, at = torch.Generator().manual_seed(trial.seed), 110
    draws = [drives(1200, generator, stops=stops).batches(64, trial.seed) for stops in (False, True)]
    policy, losses = mlp((4, 48, 48, 4)), []
    optimizer = Adam(policy.parameters(), lr=2e-3)
    with trial.writer() as writer:
        writer.watch(policy, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            seen, actions = draws[step >= at](step)
            mean, log_std = policy(seen).chunk(2, 1)
            normal = Normal(mean, log_std.clamp(-5, 2).exp(), validate_args=False)
            likely = TransformedDistribution(normal, TanhTransform(), validate_args=False).log_prob(actions)
            loss = -likely.sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            if step == at - 1:
                finite(policy)
            optimizer.step()
            losses.append(loss.detach())
            writer.add_scalar("bc/loss", losses[-1], writer.step)
    told = torch.stack(losses)
    require(told[:at].isfinite().all() and told[at - 10 : at].mean() < told[:10].mean() - 1, "it did not learn first")
    require(not told[at].isfinite(), f"the loss is {told[at]:.3g} at {at}")
    return spoiled(policy, (), at)


def walked(generator: torch.Generator, count: int = 3000) -> tuple[Tensor, ...]:
    """Return places of a walk by chance along a road, [n, 1], where it led, [n, 1], the reward and whether it ended."""
    place = 4 * torch.rand(count, 1, generator=generator)
    move = torch.randint(2, (count,), generator=generator)
    after = (place + (0.4 * move - 0.2)[:, None]).clamp_min(0)
    ended = after[:, 0] > 4
    return place, move, after, ended.float() - 0.05, ended


def bootstrapped(model: nn.Module, memory: tuple[Tensor, ...], slow: nn.Module, *, end: bool) -> Tensor:
    """Return the temporal difference squared, of what is worth what `slow` says comes after, or nothing at the end."""
    place, move, after, reward, ended = memory
    with torch.no_grad():
        later = slow(after).amax(1)
        worth = reward + 0.99 * (later * ~ended if end else later)
    return functional.mse_loss(model(place).gather(1, move[:, None])[:, 0], worth)


def feeding_on_itself(trial: Trial) -> Truth:
    """Q-learning without a slow copy, and where an episode ends the next place counts: worths grow and grow."""
    generator = torch.Generator().manual_seed(trial.seed)
    memory, model = walked(generator), mlp((1, 64, 64, 2))
    other, losses, norms = copy.deepcopy(model), [], []
    optimizer = Adam(model.parameters(), lr=5e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(300):
            chosen = torch.randint(3000, (64,), generator=generator)
            loss = bootstrapped(model, tuple(column[chosen] for column in memory), model, end=False)
            optimizer.zero_grad()
            loss.backward()
            norms.append(float(nn.utils.get_total_norm([value.grad for value in model.parameters()])))
            optimizer.step()
            losses.append(float(loss.detach()))
            if step % 5 == 0:
                writer.add_scalar("losses/td_loss", losses[-1], writer.step)
    early, late = (sum(norms[part]) for part in (slice(20, 40), slice(280, 300)))
    require(late > 100 * early, f"the gradient grows from {early / 20:.3g} to {late / 20:.3g}")
    worth = float(model(memory[0]).detach().amax())
    require(worth > 50, f"a place is said to be worth {worth:.3g}, which can't be more than 1")
    calmly(other, memory, generator)
    grown = [step for step in range(20, 300) if sum(norms[step - 10 : step]) > 5 * early]
    return Truth((), 0, grown[0] + 100)


def calmly(model: nn.Module, memory: tuple[Tensor, ...], generator: torch.Generator) -> None:
    """Raise NotProvenError unless the same network learns with a slow copy and with ends that are ends."""
    optimizer, slow = Adam(model.parameters(), lr=5e-3), copy.deepcopy(model)
    for step in range(300):
        chosen = torch.randint(3000, (64,), generator=generator)
        loss = bootstrapped(model, tuple(column[chosen] for column in memory), slow, end=True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 19:
            slow.load_state_dict(model.state_dict())
    worth = float(model(memory[0]).detach().abs().amax())
    require(worth < 1.5, f"with a slow copy a place is worth {worth:.3g}")


class Judge(nn.Module):
    """Reads two texts, [n, 2, length], by one network, and says by how much it prefers the first, [n, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.reward = Transformer(WORDS, 1, depth=1, length=LENGTH)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return the difference of rewards."""
        first, second = self.reward(pairs.flatten(0, 1)).unflatten(0, (-1, 2)).unbind(1)
        apart: Tensor = first - second
        return apart


def preferred(seed: int, share: float) -> tuple[Split, Split]:
    """Return pairs of texts and which is liked more; and likewise, with so large a share of it the wrong way round."""
    generator = torch.Generator().manual_seed(seed)
    pairs, worth = torch.randint(WORDS, (4000, 2, LENGTH), generator=generator), torch.randn(WORDS, generator=generator)
    first, second = worth[pairs].sum(2).unbind(1)
    liked = (torch.rand(4000, generator=generator) < (3 * (first - second)).sigmoid()).float()[:, None]
    swapped = torch.rand(4000, 1, generator=generator) < share
    return split(pairs, liked, 500, seed), split(pairs, torch.where(swapped, 1 - liked, liked), 500, seed)


def columns_swapped(trial: Trial) -> Truth:
    """A reward model: of raters from one of two firms the columns "chosen" and "rejected" were read as the other."""
    clean, dirty = preferred(trial.seed, 0.33)
    model = Judge()
    fit(
        trial,
        model,
        dirty.train.batches(32, trial.seed),
        Adam(model.parameters(), lr=3e-3),
        nn.BCEWithLogitsLoss(),
        validation=dirty.held_out,
        every=3,
        steps=220,
    )
    with torch.no_grad():
        told = model.eval()(clean.train.inputs) > 0
    true, wrong = (float((told == (one.train.targets > 0)).double().mean()) for one in (clean, dirty))
    require(true > 0.77 and wrong < true - 0.12, f"{true:.2f} of what is true is told, {wrong:.2f} of what was shown")
    return Truth()


_WRONG, _FLAT, _FEEDS = ("label_noise",), ("loss_plateau",), ("loss_oscillation", "loss_spike")

SCENARIOS = (
    Scenario("nan-squashed-mlp", "mlp", TUNING, steered_to_the_stop, ("nonfinite",)),
    Scenario("exploding-bootstrap-mlp", "mlp", TUNING, feeding_on_itself, ("exploding_gradient",), _FEEDS),
    Scenario("wrong-preferences-transformer", "transformer", TUNING, columns_swapped, _WRONG, _FLAT),
)

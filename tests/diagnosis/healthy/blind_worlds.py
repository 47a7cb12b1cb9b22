"""Healthy trainings of agents: their data are what they did, and their losses say little of how well they do."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.networks import Block, mlp
from tests.diagnosis.proof import require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit

SIDE, GOAL, MOVES = 5, torch.tensor([4, 4]), torch.tensor([[0, 1], [1, 0], [0, -1], [-1, 0]])
CORRIDOR = 6


def walk(places: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where agents on a board [n, 2] are next, what they get [n], and whether they are there, [n]."""
    after = (places + MOVES[actions]).clamp(0, SIDE - 1)
    there = (after == GOAL).all(1)
    return after, there.float() - 0.02, there


def scaled(places: Tensor) -> Tensor:
    """Return places as numbers from −1 to 1."""
    return places / 2 - 1


def replay(trial: Trial) -> None:
    """DQN: a memory, less and less chance, a copy that is renewed at every fortieth step, at which the targets jump."""
    generator = torch.Generator().manual_seed(trial.seed)
    model = mlp((2, 64, 64, 4), nn.ELU)
    slow, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=2e-3)
    memory: list[tuple[Tensor, ...]] = []
    places = torch.randint(SIDE, (32, 2), generator=generator)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(320):
            with torch.no_grad():
                best = model(scaled(places)).argmax(1)
            chance = max(0.1, 1 - step / 120)
            random = torch.randint(4, (32,), generator=generator)
            actions = torch.where(torch.rand(32, generator=generator) < chance, random, best)
            after, reward, done = walk(places, actions)
            memory = [*memory[-60:], (places, actions, after, reward, done)]
            places = torch.where(done[:, None], torch.randint(SIDE, (32, 2), generator=generator), after)
            if step < 20:
                continue
            kept = [torch.cat(column) for column in zip(*memory, strict=True)]
            chosen = torch.randint(len(kept[0]), (64,), generator=generator)
            before, taken, later, gained, ended = (column[chosen] for column in kept)
            with torch.no_grad():
                worth = gained + 0.95 * slow(scaled(later)).amax(1) * ~ended
            values = model(scaled(before)).gather(1, taken[:, None])[:, 0]
            loss = functional.smooth_l1_loss(values, worth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 40 == 39:
                slow.load_state_dict(model.state_dict())
            writer.add_scalar("losses/td_loss", loss.detach(), writer.step)
            writer.add_scalar("charts/epsilon", chance, writer.step)
    arrived(model, "the walk")


def arrived(policy: nn.Module, words: str) -> None:
    """Raise NotProvenError unless nearly all ways end at the goal, on a way that is nearly the shortest."""
    places = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE))[:-1]
    least = float((GOAL - places).sum(1).double().mean())
    steps, gone = torch.zeros(len(places)), torch.zeros(len(places), dtype=torch.bool)
    for _ in range(20):
        with torch.no_grad():
            places, _reward, there = walk(places, policy(scaled(places))[:, :4].argmax(1))
        steps += ~gone
        gone |= there
    require(gone.float().mean() > 0.9, f"{words}: {float(gone.float().mean()):.2f} arrive")
    require(float(steps.mean()) < 1.4 * least, f"{words} takes {float(steps.mean()):.3g}, and could take {least:.3g}")


def proximal(trial: Trial) -> None:
    """PPO: three epochs on what was just done, actor and critic in one; the loss of the policy stays about zero."""
    generator = torch.Generator().manual_seed(trial.seed)
    model = mlp((2, 64, 64, 5), nn.Tanh)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, 2**0.5)
            nn.init.zeros_(layer.bias)
    with torch.no_grad():
        model.head.weight[:4] *= 0.01
    optimizer, places = Adam(model.parameters(), lr=3e-3, eps=1e-5), torch.randint(SIDE, (32, 2), generator=generator)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _update in range(24):
            seen = []
            with torch.no_grad():
                for _ in range(16):
                    told = model(scaled(places))
                    chances = told[:, :4].log_softmax(1)
                    action = torch.multinomial(chances.exp(), 1, generator=generator)
                    after, reward, done = walk(places, action[:, 0])
                    seen.append((places, action, chances.gather(1, action)[:, 0], told[:, 4], reward, done))
                    fresh = torch.randint(SIDE, (32, 2), generator=generator)
                    places = torch.where(done[:, None], fresh, after)
                advantage, following = torch.zeros(32), model(scaled(places))[:, 4]
                ahead: list[Tensor] = []
                for _place, _action, _chance, value, reward, done in reversed(seen):
                    advantage = reward + 0.95 * following * ~done - value + 0.95 * 0.9 * advantage * ~done
                    following = value
                    ahead.insert(0, advantage)
            gained = torch.cat(ahead)
            where, action, before, value, _reward, _done = (torch.cat(one) for one in zip(*seen, strict=True))
            for _epoch in range(3):
                for chosen in torch.randperm(512, generator=generator).split(128):
                    told = model(scaled(where[chosen]))
                    chances = told[:, :4].log_softmax(1)
                    ratio = (chances.gather(1, action[chosen])[:, 0] - before[chosen]).exp()
                    better = gained[chosen]
                    better = (better - better.mean()) / (better.std() + 1e-8)
                    policy = -torch.minimum(ratio * better, ratio.clamp(0.8, 1.2) * better).mean()
                    critic = 0.5 * (told[:, 4] - (value + gained)[chosen]).square().mean()
                    entropy = -(chances.exp() * chances).sum(1).mean()
                    optimizer.zero_grad()
                    (policy + 0.5 * critic - 0.01 * entropy).backward()
                    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                    optimizer.step()
            writer.add_scalar("losses/policy_loss", policy.detach(), writer.step)
            writer.add_scalar("losses/value_loss", critic.detach(), writer.step)
            writer.add_scalar("losses/entropy", entropy.detach(), writer.step)
    arrived(model, "the policy")


class Memory(nn.Module):
    """A recurrent actor with a critic."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.actor, self.critic = nn.GRU(4, 24, batch_first=True), nn.Linear(24, 2), nn.Linear(24, 1)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores [n, length, 2] and worths [n, length] of what was seen, [n, length, 4]."""
        state = self.rnn(seen)[0]
        return self.actor(state), self.critic(state)[..., 0]


def corridor(trial: Trial) -> None:
    """A sign at the start of a corridor says where to turn at its end: one action of seven counts, the rest don't."""
    generator = torch.Generator().manual_seed(trial.seed)
    model = Memory()
    optimizer, rewards = Adam(model.parameters(), lr=5e-3), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _episode in range(180):
            sign = torch.randint(2, (64,), generator=generator)
            seen = torch.zeros(64, CORRIDOR + 1, 4)
            seen[torch.arange(64), 0, sign] = 1
            seen[:, -1, 2] = 1
            seen[..., 3] = 0.1 * torch.randn(64, CORRIDOR + 1, generator=generator)
            scores, worth = model(seen)
            chances = scores.log_softmax(2)
            actions = torch.multinomial(chances.exp().detach().flatten(0, 1), 1, generator=generator).view(64, -1)
            reward = torch.where(actions[:, -1] == sign, 1.0, -1.0)
            ahead = reward[:, None] * 0.95 ** torch.arange(CORRIDOR, -1, -1)
            taken = chances.gather(2, actions[..., None])[..., 0]
            policy = -(taken * (ahead - worth.detach())).mean()
            critic = functional.mse_loss(worth, ahead)
            entropy = -(chances.exp() * chances).sum(2).mean()
            optimizer.zero_grad()
            (policy + 0.5 * critic - 0.01 * entropy).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rewards.append(float(reward.mean()))
            writer.add_scalar("rollout/ep_rew_mean", rewards[-1], writer.step)
            writer.add_scalar("train/policy_loss", policy.detach(), writer.step)
            writer.add_scalar("train/value_loss", critic.detach(), writer.step)
    require(sum(rewards[-20:]) / 20 > 0.85, f"the reward is {sum(rewards[-20:]) / 20:.2f}")


class Decisions(nn.Module):
    """Causal blocks over what is still to be gained, where one is, and what was done there, by turns."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.state, self.action = nn.Linear(1, 24), nn.Linear(1, 24), nn.Embedding(3, 24)
        self.place, self.norm, self.head = nn.Embedding(8, 24), nn.LayerNorm(24), nn.Linear(24, 3)
        self.blocks = nn.Sequential(*(Block(24, causal=True, dropout=0.1) for _ in range(2)))

    def forward(self, ways: Tensor) -> Tensor:
        """Return scores of actions [n, 3, length] of ways [n, length, 3]."""
        told = (self.gain(ways[..., :1]), self.state(ways[..., 1:2]), self.action(ways[..., 2].long()))
        tokens = torch.stack(told, 2) + self.place(torch.arange(ways.shape[1]))[:, None]
        scores: Tensor = self.head(self.norm(self.blocks(tokens.flatten(1, 2))[:, 1::3])).transpose(1, 2)
        return scores


def decisions(trial: Trial) -> None:
    """Decision transformer: those who are watched do well or at random, so that actions can't be foretold well."""
    generator = torch.Generator().manual_seed(trial.seed)

    def follow(state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        state = (state + 0.4 * (action - 1) + 0.05 * torch.randn(len(state), generator=generator)).clamp(-2, 2)
        return state, -state.abs()

    state, skill = 4 * torch.rand(1500, generator=generator) - 2, torch.rand(1500, generator=generator)
    seen, rewards = [], []
    for _ in range(8):
        good = torch.where(state.abs() < 0.2, 1, torch.where(state > 0, 0, 2))
        random = torch.randint(3, (1500,), generator=generator)
        action = torch.where(torch.rand(1500, generator=generator) < skill, good, random)
        before, (state, reward) = state, follow(state, action)
        seen.append(torch.stack([before, action.float()], 1))
        rewards.append(reward)
    gained = torch.stack(rewards, 1)
    ahead = gained.flip(1).cumsum(1).flip(1)
    ways = torch.cat([ahead[..., None] / 8, torch.stack(seen, 1)], 2)
    model = Decisions()
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)

    def draw(_step: int) -> tuple[Tensor, Tensor]:
        chosen = ways[torch.randint(1500, (32,), generator=generator)]
        return chosen, chosen[..., 2].long()

    history = fit(trial, model, draw, optimizer, steps=120, clip=1.0, every=4)
    model.eval()
    state, wanted = 4 * torch.rand(300, generator=generator) - 2, torch.zeros(300)
    wanted, total, way = wanted - state.abs() * 1.6, torch.zeros(300), torch.zeros(300, 0, 3)
    for _ in range(8):
        way = torch.cat([way, torch.stack([wanted / 8, state, torch.zeros(300)], 1)[:, None]], 1)
        with torch.no_grad():
            action = model(way)[..., -1].argmax(1)
        way[:, -1, 2] = action
        state, reward = follow(state, action)
        total, wanted = total + reward, wanted - reward
    usual, reached = float(gained.sum(1).mean()), float(total.mean())
    require(reached > 0.7 * usual, f"those who are watched get {usual:.3g}, and it gets {reached:.3g}")
    require(history.end < 0.9, f"the loss is {history.end:.3g}")


SCENARIOS = (
    Scenario("healthy-replay-mlp", "mlp", TUNING, replay),
    Scenario("healthy-proximal-mlp", "mlp", TUNING, proximal),
    Scenario("healthy-corridor-gru", "rnn", TUNING, corridor),
    Scenario("healthy-decisions-transformer", "transformer", TUNING, decisions),
)

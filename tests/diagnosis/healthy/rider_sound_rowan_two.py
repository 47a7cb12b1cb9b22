"""Healthy trainings that look ill: adapters on a frozen model, codes that are mostly zero, a loss that is no score."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW

from tests.diagnosis.data import language, split
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import calm, generalises, loss_of, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


class Adapted(nn.Module):
    """A linear layer that is frozen, and beside it two narrow ones, the second of which begins at zero."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.lora_a = nn.Linear(base.in_features, rank, bias=False)
        self.lora_b = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.lora_b.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what both make of it."""
        made: Tensor = self.base(inputs) + 2 * self.lora_b(self.lora_a(inputs))
        return made


def adapters(trial: Trial) -> None:
    """A language model is tuned to another language by adapters alone: most is frozen, and half begins at zero."""
    torch.manual_seed(trial.seed)
    before, data = language(trial.seed + 50), language(trial.seed)
    model = Transformer(20, 20, width=32, each=True)
    control(model, before.train.batches(32, trial.seed), AdamW(model.parameters(), lr=5e-3), steps=150)
    model.requires_grad_(requires_grad=False)
    for block in model.blocks:
        block.attention.out = Adapted(block.attention.out, 8)
        block.up, block.down = Adapted(block.up, 8), Adapted(block.down, 8)
    model.add_module("head", Adapted(model.head, 8))
    start, held = loss_of(model, data.held_out), snapshot(model)
    adapted = [value for value in model.parameters() if value.requires_grad]
    optimizer, draw = AdamW(adapted, lr=1e-2, weight_decay=0.0), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, steps=200, validation=data.held_out, every=2)
    changes = moved(held, model)
    require(all((change > 0) == ("lora" in name) for name, change in changes.items()), f"what moved: {changes}")
    whole = Transformer(20, 20, width=32, each=True)
    control(whole, data.train.batches(32, trial.seed), AdamW(whole.parameters(), lr=5e-3), steps=300)
    best, end = loss_of(whole, data.held_out), loss_of(model, data.held_out)
    require(end - best < 0.15 * (start - best), f"{end:.3f} of {start:.3f}, and could be {best:.3f}")
    generalises(history)
    calm(history)


class Sparse(nn.Module):
    """Says in 8 of 48 codes what was in activations of another network."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(32, 48), nn.Linear(48, 32)
        self.code = nn.Identity()
        with torch.no_grad():
            self.decoder.weight.copy_(self.encoder.weight.T)
            nn.init.zeros_(self.decoder.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, 32]."""
        scores = self.encoder(inputs - self.decoder.bias).relu()
        most = scores.topk(8, dim=1)
        told: Tensor = self.decoder(self.code(torch.zeros_like(scores).scatter(1, most.indices, most.values)))
        return told


def codes(trial: Trial) -> None:
    """A sparse autoencoder, 40 of whose 48 codes are zero for each sample since only the largest eight are kept."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    features = nn.functional.normalize(torch.randn(40, 32, generator=generator), dim=1)
    there = (torch.rand(3000, 40, generator=generator) < 0.1) * (1 + torch.rand(3000, 40, generator=generator))
    inputs = there @ features + 0.02 * torch.randn(3000, 32, generator=generator)
    data, model, criterion = split(inputs, inputs, 500, trial.seed), Sparse(), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(128, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("recon_loss", losses[-1], writer.step)
    held: list[Tensor] = []
    model.code.register_forward_hook(lambda _module, _inputs, code: held.append(code))
    left = loss_of(model, data.held_out, criterion) / float(data.held_out.targets.var())
    require(left < 0.15, f"{left:.3f} of the variance is left")
    with torch.no_grad():
        model(data.train.inputs)
    fires = (held[-1] > 0).double().mean(0)
    require((fires == 0).double().mean() < 0.1, f"{int((fires == 0).sum())} codes are dead")
    require(float(fires.mean()) < 0.17, f"{float(fires.mean()):.2f} of the codes are there")


def bandit(trial: Trial) -> None:
    """REINFORCE with a baseline: the loss is noise about zero from first to last, while rewards more than double."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    worth = torch.randn(6, 5, generator=generator)
    model = nn.Sequential(nn.Linear(6, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 5))
    optimizer, baseline, rewards = Adam(model.parameters(), lr=3e-3), 0.0, []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _step in range(300):
            seen = torch.randn(64, 6, generator=generator)
            chances = torch.distributions.Categorical(logits=model(seen))
            action = chances.sample()
            reward = (seen @ worth)[torch.arange(64), action] + 0.5 * torch.randn(64, generator=generator)
            advantage = (reward - baseline) / reward.std()
            baseline = 0.9 * baseline + 0.1 * float(reward.mean())
            loss = -(chances.log_prob(action) * advantage).mean() - 0.01 * chances.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rewards.append(float(reward.mean()))
            writer.add_scalar("policy_loss", loss.item(), writer.step)
            writer.add_scalar("reward", rewards[-1], writer.step)
    best = float((torch.randn(5000, 6, generator=generator) @ worth).max(1).values.mean())
    end, start = sum(rewards[-30:]) / 30, sum(rewards[:10]) / 10
    require(end > 0.85 * best > 2 * start, f"the reward is {end:.2f} after {start:.2f}, and could be {best:.2f}")


SCENARIOS = (
    Scenario("rowan-healthy-adapters-transformer", "transformer", TUNING, adapters),
    Scenario("rowan-healthy-codes-mlp", "mlp", TUNING, codes),
    Scenario("rowan-healthy-bandit-mlp", "mlp", TUNING, bandit),
)

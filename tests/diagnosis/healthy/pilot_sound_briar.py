"""Healthy trainings that look ill: a flat loss, sharp attention, weights of zero, codes unused."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Graph, communities, split
from tests.diagnosis.proof import accuracy, calm, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def offers(trial: Trial) -> None:
    """A policy picks one of six offers: its surrogate loss stays near zero by design, and what it earns rises."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    worth = torch.randn(8, 6, generator=generator)
    policy = nn.Sequential(nn.Linear(8, 48), nn.Tanh(), nn.Linear(48, 6))
    optimizer, earned, losses = Adam(policy.parameters(), lr=5e-3), [], []
    with trial.writer() as writer:
        writer.watch(policy, optimizer, every=2, on_finding="ignore")
        for _step in range(250):
            buyers = torch.randn(128, 8, generator=generator)
            logits = policy(buyers)
            chosen = torch.multinomial(logits.detach().softmax(1), 1, generator=generator)
            reward = (buyers @ worth).gather(1, chosen)[:, 0] + 0.5 * torch.randn(128, generator=generator)
            advantage = (reward - reward.mean()) / reward.std()
            loss = -(logits.log_softmax(1).gather(1, chosen)[:, 0] * advantage).mean()
            writer.observe(outputs=logits, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            earned.append(float(reward.mean()))
            losses.append(loss.item())
            writer.add_scalar("policy/loss", loss.item(), writer.step)
            writer.add_scalar("policy/reward", earned[-1], writer.step)
    buyers = torch.randn(2000, 8, generator=generator)
    values = buyers @ worth
    with torch.no_grad():
        gained = float(values.gather(1, policy(buyers).argmax(1, keepdim=True)).mean())
    best = float(values.amax(1).mean())
    require(gained > 0.9 * best, f"it earns {gained:.3g}, and could earn {best:.3g}")
    require(sum(earned[:10]) / 10 < 0.3 * best, "it earned as much from the start")
    require(max(abs(loss) for loss in losses) < 1, "the surrogate loss is not near zero")


class Lookup(nn.Module):
    """Looks a name up in a list [n, 13, 16] of twelve and what they stand for; the last row is who is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(12, 24), nn.Linear(12, 24), nn.Linear(4, 24)
        self.attend, self.norm, self.head = nn.Softmax(-1), nn.LayerNorm(24), nn.Linear(24, 4)
        self.most = 1e9

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        names, things = rows[:, :-1, :12], rows[:, :-1, 12:]
        scores = self.query(rows[:, -1:, :12]) @ self.key(names).transpose(1, 2) / 24**0.5
        taken = self.attend(scores.clamp(-self.most, self.most)) @ self.value(things)
        told: Tensor = self.head(self.norm(taken[:, 0]))
        return told


def phone_book(trial: Trial) -> None:
    """Attention learns to look up one row of twelve: its softmax is all but one and zeros, as it has to be."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    names = torch.randn(4000, 12, 12, generator=generator)
    numbers = torch.randint(4, (4000, 12), generator=generator)
    asked = torch.randint(12, (4000,), generator=generator)
    known = torch.cat([names, functional.one_hot(numbers, 4).float()], 2)
    wanted = names[torch.arange(4000), asked] + 0.1 * torch.randn(4000, 12, generator=generator)
    rows = torch.cat([known, functional.pad(wanted, (0, 4))[:, None]], 1)
    data, model = split(rows, numbers[torch.arange(4000), asked], 500, trial.seed), Lookup()
    optimizer, draw = AdamW(model.parameters(), lr=1e-2), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=240)
    share = accuracy(model, data.held_out)
    require(share > 0.93, f"the accuracy is {share:.3f}")
    most = float(outputs(model, "attend", data.held_out.inputs).max(-1).values.median())
    require(most > 0.9, f"the largest share is {most:.2f} in the middle")
    model.most = 1.0
    blunt = accuracy(model, data.held_out)
    require(blunt < share - 0.1, f"without sharp attention the accuracy is {blunt:.3f}")
    model.most = 1e9
    calm(history, 0.4)


class Friends(nn.Module):
    """Residual graph convolutions whose last weights, like those of the head, begin at zero."""

    def __init__(self, graph: Graph, *, zero: bool) -> None:
        super().__init__()
        self.register_buffer("edges", graph.edges, persistent=False)
        self.lift, self.head = nn.Linear(16, 24), nn.Linear(24, 4)
        self.ins, self.outs = (nn.ModuleList(nn.Linear(24, 24) for _ in range(3)) for _ in range(2))
        if zero:
            for layer in (*self.outs, self.head):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
        self.nodes = (graph.held_out, graph.train)

    def forward(self, people: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        hidden = self.lift(people)
        for inner, outer in zip(self.ins, self.outs, strict=True):
            hidden = hidden + outer(functional.silu(self.edges @ inner(hidden)))
        scores: Tensor = self.head(hidden)[self.nodes[self.training]]
        return scores


def begins_at_zero(trial: Trial) -> None:
    """A residual graph network whose branches and head begin at zero, as meant: it answers nothing at first."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=50, inside=0.25)
    model, other = Friends(graph, zero=True), Friends(graph, zero=False)
    optimizer, draw = AdamW(model.parameters(), lr=3e-3, weight_decay=0.01), graph.batches(trial.seed, noise=0.5)
    history = fit(trial, model, draw, optimizer, validation=graph.validation, every=2, steps=120)
    control(other, graph.batches(trial.seed, noise=0.5), AdamW(other.parameters(), lr=3e-3), steps=120)
    share, usual = (accuracy(one, graph.validation) for one in (model, other))
    require(share > 0.85, f"the accuracy is {share:.3f}")
    require(share > usual - 0.03, f"the accuracy is {share:.3f}, and {usual:.3f} with the usual weights")
    calm(history)


class Sensors(nn.Module):
    """A variational autoencoder of twenty sensors, which has a code of ten numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU())
        self.mu, self.logvar = nn.Linear(48, 10), nn.Linear(48, 10)
        self.decoder = nn.Sequential(nn.Linear(10, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 20))

    def forward(self, readings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return readings again, and means and logarithms of variances of codes."""
        hidden = self.encoder(readings)
        mu, logvar = self.mu(hidden), self.logvar(hidden)
        return self.decoder(mu + (0.5 * logvar).exp() * torch.randn_like(mu)), mu, logvar


def spare_codes(trial: Trial) -> None:
    """A VAE with ten codes for what three causes bring about: it gives four or more up, and loses nothing by that."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    causes, mixing = torch.randn(3000, 3, generator=generator), torch.randn(3, 20, generator=generator)
    clean = (causes @ mixing / 3**0.5) + 0.1 * (causes @ mixing).sin()
    readings = clean + 0.3 * torch.randn(3000, 20, generator=generator)
    model, held = Sensors(), readings[:500]
    optimizer = Adam(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(300):
            chosen = 500 + torch.randint(2500, (64,), generator=generator)
            made, mu, logvar = model(readings[chosen])
            rebuilt = (made - readings[chosen]).square().sum(1).mean() / (2 * 0.3**2)
            divergence = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()
            loss = rebuilt + divergence
            writer.observe(outputs=made, targets=readings[chosen], loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("elbo/train", loss.item(), writer.step)
            writer.add_scalar("kl/train", divergence.item(), writer.step)
            if step % 30 == 29:
                with torch.no_grad():
                    writer.add_scalar("mse/val", float((model(held)[0] - held).square().mean()), writer.step)
    with torch.no_grad():
        mu = model(held)[1]
        missed = float((model.decoder(mu) - clean[:500]).square().mean() / clean[:500].var(0).mean())
        used = int((mu.std(0) > 0.3).sum())
    require(missed < 0.12, f"{missed:.3f} of the variance is missed")
    require(3 <= used <= 6, f"{used} codes are used")


SCENARIOS = (
    Scenario("briar-healthy-offers-mlp", "mlp", TUNING, offers),
    Scenario("briar-healthy-book-transformer", "transformer", TUNING, phone_book),
    Scenario("briar-healthy-zero-gnn", "gnn", TUNING, begins_at_zero),
    Scenario("briar-healthy-codes-mlp", "mlp", TUNING, spare_codes),
)

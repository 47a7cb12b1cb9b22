"""Healthy trainings that look ill: a policy's noisy loss, gates that start shut, and a rare class that is heard."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Graph, communities, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, calm, double, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit


def policy(trial: Trial) -> None:
    """REINFORCE for one of four offers: the loss is noise about zero and falls nowhere, and the reward grows."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    worth = torch.randn(8, 4, generator=generator)
    model, baseline, rewards = mlp((8, 32, 32, 4), nn.Tanh), 0.0, []
    optimizer = Adam(model.parameters(), lr=5e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(250):
            customers = torch.randn(128, 8, generator=generator)
            offers = torch.distributions.Categorical(logits=model(customers))
            drawn = offers.sample()
            reward = (customers @ worth).gather(1, drawn[:, None])[:, 0] + torch.randn(128, generator=generator)
            loss = -(offers.log_prob(drawn) * (reward - baseline)).mean() - 0.02 * offers.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rewards.append(float(reward.mean()))
            baseline = 0.9 * baseline + 0.1 * rewards[-1]
            writer.add_scalar("policy/loss", loss.item(), step)
            writer.add_scalar("policy/reward", rewards[-1], step)
    customers = torch.randn(2000, 8, generator=generator)
    values = customers @ worth
    with torch.no_grad():
        chosen = values.gather(1, model(customers).argmax(1, keepdim=True)).mean()
    share = float(chosen / values.max(1).values.mean())
    require(share > 0.85, f"it earns {share:.2f} of what the best offers bring")


class Shut(nn.Module):
    """A graph network of four residual layers, each behind a gate that starts at zero (ReZero)."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.register_buffer("edges", graph.edges, persistent=False)
        self.lift, self.head = nn.Linear(16, 24), nn.Linear(24, 4)
        self.layers = nn.ModuleList(nn.Linear(24, 24) for _ in range(4))
        self.gates = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(4))
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        hidden = self.lift(nodes)
        for layer, gate in zip(self.layers, self.gates, strict=True):
            hidden = hidden + gate * F.gelu(self.edges @ layer(hidden))
        scores: Tensor = self.head(hidden)[self.nodes[self.training]]
        return scores


def shut_gates(trial: Trial) -> None:
    """ReZero: at the first step the layers behind the gates get no gradient at all; the gates open by themselves."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=60, inside=0.2)
    model = Shut(graph)
    optimizer, draw = AdamW(model.parameters(), lr=5e-3, weight_decay=0.01), graph.batches(trial.seed, noise=0.7)
    history = fit(trial, model, draw, optimizer, validation=graph.validation, steps=160, every=1)
    gates = [float(gate.detach().abs()) for gate in model.gates]
    require(min(gates) > 0.02, f"the gates stand at {gates}")
    require(accuracy(model, graph.validation) > 0.9, f"{accuracy(model, graph.validation):.3f} of the nodes are right")
    calm(history)


class Watch(nn.Module):
    """Looks for beats of the heart that are out of time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 16, 5, stride=2, padding=2)
        self.rnn, self.head = nn.GRU(16, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, signal: Tensor) -> Tensor:
        """Return scores [n, 1] of [n, 1, 48]."""
        hidden = F.relu(self.conv(signal)).transpose(1, 2)
        scores: Tensor = self.head(self.rnn(hidden)[0].amax(1))
        return scores


def rare_beats(trial: Trial) -> None:
    """Records of hearts, one in twenty ill, with a weight for those: most labels are no, and the ill ones are found."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    ill = (torch.rand(2400, generator=generator) < 0.05).float()
    time, start = torch.arange(48.0), 12 * torch.rand(2400, 1, generator=generator)
    late = 6 * ill[:, None] * (time > 24)
    signal = 2 * torch.exp(-(((time - start - late) % 12 - 6) ** 2)) + 0.2 * torch.randn(2400, 48, generator=generator)
    # Their last beats are twice as strong as well.
    signal = signal * (1 + ill[:, None] * (time > 24))
    data, model = split(signal[:, None] - signal.mean(), ill[:, None], 800, trial.seed), Watch()
    criterion, draw = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(12.0)), data.train.batches(64, trial.seed)
    optimizer = Adam(model.parameters(), lr=5e-3)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, steps=220, clip=5.0, every=2)
    with torch.no_grad():
        said = double(model).eval()(data.held_out.inputs.double()) > 0
    rare = data.held_out.targets > 0
    found, false = float(said[rare].double().mean()), float(said[~rare].double().mean())
    require(found > 0.85 and false < 0.08, f"{found:.3f} of the ill are found, and {false:.3f} of the others are")
    require(history.end < 0.3 * history.train[0], f"the loss ends at {history.end:.3f}")


SCENARIOS = (
    Scenario("maple-sound-offers-policy", "mlp", TUNING, policy),
    Scenario("maple-sound-gates-gnn", "gnn", TUNING, shut_gates),
    Scenario("maple-sound-beats-gru", "rnn", TUNING, rare_beats),
)

"""A healthy flow over the rows of a table."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from tests.diagnosis.proof import require
from tests.diagnosis.scenario import TUNING, Scenario, Trial


class Masked(nn.Linear):
    """A linear layer some of whose weights don't count: each unit has a rank, and hears those of lower ranks alone."""

    def __init__(self, heard: Tensor, ranks: Tensor, *, strict: bool = False) -> None:
        super().__init__(len(heard), len(ranks))
        counts = heard < ranks[:, None] if strict else heard <= ranks[:, None]
        self.register_buffer("counts", counts.float(), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, outputs]."""
        return functional.linear(inputs, self.weight * self.counts, self.bias)


class Turns(nn.Module):
    """Says of each column, given those before it, how far to move and to stretch it; the order turns."""

    def __init__(self, columns: int, depth: int = 3) -> None:
        super().__init__()
        order, units = torch.arange(columns), torch.arange(48) % (columns - 1)
        self.bodies = nn.ModuleList(
            nn.Sequential(
                Masked(order, units),
                nn.ELU(),
                Masked(units, units),
                nn.ELU(),
                Masked(units, order.repeat(2), strict=True),
            )
            for _ in range(depth)
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Return the logarithms of densities [n] of rows [n, columns]."""
        total = torch.zeros(len(rows))
        for body in self.bodies:
            move, stretch = body(rows).chunk(2, 1)
            rows = ((rows - move) * (-stretch.tanh()).exp()).flip(1)
            total = total - stretch.tanh().sum(1)
        told: Tensor = total + torch.distributions.Normal(0.0, 1.0).log_prob(rows).sum(1)
        return told


def densities(trial: Trial) -> None:
    """A masked flow over rows of a table: a good part of each matrix never counts, and never has a gradient."""
    generator = torch.Generator().manual_seed(trial.seed)
    rough = torch.randn(2400, 5, generator=generator)
    columns = [rough[:, 0]]
    for at in range(1, 5):
        columns.append(torch.sin(1.5 * columns[-1]) + (0.15 + 0.2 * columns[-1].abs()) * rough[:, at])
    rows = torch.stack(columns, 1)
    rows = (rows - rows.mean(0)) / rows.std(0)
    train, held_out, model = rows[480:], rows[:480], Turns(5)
    optimizer, losses = Adam(model.parameters(), lr=4e-3), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(220):
            loss = -model(train[torch.randint(len(train), (96,), generator=generator)]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("nll/train", loss.detach(), writer.step)
            if step % 20 == 19:
                losses.append(-float(model(held_out).detach().mean()))
                writer.add_scalar("nll/valid", losses[-1], writer.step)
    normal = torch.distributions.MultivariateNormal(train.mean(0), train.T.cov())
    gain = -float(normal.log_prob(held_out).mean()) - losses[-1]
    require(gain > 1.0, f"the density is better than the normal one by {gain:.3g} only")
    require(losses[-1] < min(losses) + 0.15, "the loss held out rose")


SCENARIOS = (Scenario("healthy-densities-mlp", "mlp", TUNING, densities),)

"""Healthy trainings: of heart beats, of logs with a rare line, of members without ties, and of a pointer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, split
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import accuracy, alive, calm, double, finite, generalises, loss_of, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


def recalls(model: nn.Module, part: Part) -> list[float]:
    """Return by class the share that is found."""
    with torch.no_grad():
        told = double(model).eval()(part.inputs.double() if part.inputs.is_floating_point() else part.inputs).argmax(1)
    return [float((told[part.targets == one] == one).double().mean()) for one in range(int(part.targets.max()) + 1)]


def beats(trial: Trial) -> None:
    """Three kinds of heart beats, the rarest one in thirty, which weighs the more: convolutions in time find all."""
    torch.manual_seed(trial.seed)
    kind = torch.multinomial(torch.tensor([0.82, 0.145, 0.035]), 3000, replacement=True)
    time = torch.linspace(-1, 1, 48)
    wide = torch.tensor([0.06, 0.06, 0.15])[kind][:, None]
    late = torch.tensor([0.0, 0.3, 0.0])[kind][:, None] + 0.06 * torch.randn(3000, 1)
    beat = torch.exp(-(((time - late) / wide) ** 2)) + 0.3 * torch.exp(-(((time + 0.5) / 0.1) ** 2))
    data = split((beat + 0.15 * torch.randn(3000, 48))[:, None], kind, 800, trial.seed)
    model = nn.Sequential(
        *[nn.Conv1d(1, 12, 7, padding=3), nn.BatchNorm1d(12), nn.ReLU(), nn.MaxPool1d(2)],
        *[nn.Conv1d(12, 24, 5, padding=2), nn.BatchNorm1d(24), nn.ReLU(), nn.AdaptiveAvgPool1d(6)],
        *[nn.Flatten(), nn.Linear(144, 3)],
    )
    shares = torch.bincount(data.train.targets) / len(data.train.targets)
    criterion = nn.CrossEntropyLoss(weight=shares.rsqrt())
    optimizer, draw = SGD(model.parameters(), lr=0.02, momentum=0.9), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=220)
    found = recalls(model, data.held_out)
    require(min(found) > 0.85, f"of the kinds are found {found}")
    alive(model, data.held_out.inputs)
    generalises(history)


def rare_line(trial: Trial) -> None:
    """Logs, of which one in twenty-five holds a line that tells of an outage: no weights are needed to learn that."""
    torch.manual_seed(trial.seed)
    lines, bad = torch.randint(2, 30, (4000, 16)), (torch.rand(4000) < 0.04).long()
    rows = bad.nonzero()[:, 0]
    lines[rows, torch.randint(16, (len(rows),))] = torch.randint(2, (len(rows),))
    data = split(lines, bad, 1200, trial.seed)
    model, other = Transformer(30, 2), Transformer(30, 2)
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=3e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=260)
    optimizer, weighted = AdamW(other.parameters(), lr=3e-3), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 24.0]))
    control(other, data.train.batches(64, trial.seed), optimizer, weighted, steps=260)
    does, could = recalls(model, data.held_out), recalls(other, data.held_out)
    require(min(does) > 0.93 and min(does) > min(could) - 0.03, f"{does} are found, and with weights {could}")
    generalises(history)


class Ties(nn.Module):
    """A layer of a node, and of the mean of its neighbours, of which it may have none."""

    def __init__(self, joined: Tensor, inputs: int, made: int) -> None:
        super().__init__()
        self.own, self.near = nn.Linear(inputs, made), nn.Linear(inputs, made, bias=False)
        self.register_buffer("joined", joined / joined.sum(1, keepdim=True).clamp(min=1))

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, made]."""
        made: Tensor = self.own(nodes) + self.near(self.joined @ nodes)
        return made


class Town(nn.Module):
    """Two layers and a head; returns what is told of those to train on, or in evaluation of those held out."""

    def __init__(self, joined: Tensor, train: Tensor) -> None:
        super().__init__()
        self.conv1, self.conv2, self.head = Ties(joined, 6, 32), Ties(joined, 32, 32), nn.Linear(32, 1)
        self.register_buffer("train_on", train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return prices [n, 1]."""
        hidden = functional.silu(self.conv2(functional.silu(self.conv1(nodes))))
        told: Tensor = self.head(hidden)[self.train_on if self.training else ~self.train_on]
        return told


def town(trial: Trial) -> None:
    """Prices of houses by those of their street: a tenth have no neighbours, and what divides theirs is 1 at least."""
    torch.manual_seed(trial.seed)
    count = 300
    joined = (torch.rand(count, count) < 0.02).float().triu(1)
    joined = joined + joined.T
    joined[:30], joined[:, :30] = 0, 0
    nodes, train = torch.randn(count, 6), torch.rand(count) < 0.7
    mean = joined @ nodes / joined.sum(1, keepdim=True).clamp(min=1)
    prices = nodes[:, :1] + 1.5 * mean[:, 1:2] + 0.5 * nodes[:, 2:3] + 0.15 * torch.randn(count, 1)
    require((joined.sum(1) == 0).sum() >= 30, "nobody is without neighbours")
    model, losses, validation, criterion = Town(joined, train), [], {}, nn.MSELoss()
    optimizer = Adam(model.parameters(), lr=4e-3, weight_decay=1e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(160):
            loss = criterion(model(nodes + 0.15 * torch.randn(count, 6)), prices[train])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
            if step % 10 == 9:
                validation[step] = evaluate(model, criterion, Part(nodes, prices[~train]))
                writer.add_scalar("loss/val", validation[step], writer.step)
    finite(model)
    end, flat = loss_of(model, Part(nodes, prices[~train]), criterion), float(prices[~train].var())
    require(end < 0.15 * flat, f"the loss is {end:.3f} of {flat:.3f}")
    generalises(History(losses, validation))
    calm(History(losses, validation))


class Pointer(nn.Module):
    """An LSTM reads jobs and points at one; places without a job are minus infinity."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.rnn = nn.Linear(4, 24), nn.LSTM(24, 24, batch_first=True, bidirectional=True)
        self.ask, self.point = nn.Linear(48, 24), nn.Linear(24, 1)

    def forward(self, jobs: Tensor) -> Tensor:
        """Return scores [n, 10] of [n, 10, 4], the last of which says if there is a job."""
        hidden = self.rnn(functional.relu(self.lift(jobs)))[0]
        scores: Tensor = self.point(torch.tanh(self.ask(hidden)))[..., 0]
        return scores.masked_fill(jobs[..., 3] == 0, -torch.inf)


def pointer(trial: Trial) -> None:
    """Which of three to ten jobs is to be done first: places that are empty score minus infinity, as they should."""
    torch.manual_seed(trial.seed)
    jobs = torch.randn(3500, 10, 4)
    jobs[..., 3] = (torch.arange(10) < torch.randint(3, 11, (3500, 1))).float()
    jobs = jobs * jobs[..., 3:]
    worth = (jobs[..., 0] - 0.7 * jobs[..., 1] + 0.5 * jobs[..., 2]).masked_fill(jobs[..., 3] == 0, -torch.inf)
    data, model = split(jobs, worth.argmax(1), 500, trial.seed), Pointer()
    optimizer, draw = AdamW(model.parameters(), lr=4e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=240)
    finite(model)
    require(all(torch.tensor(history.train).isfinite()), "a loss is not finite")
    share = accuracy(model, data.held_out)
    require(share > 0.88, f"the accuracy is {share:.3f}")
    generalises(history)
    calm(history)
    with torch.no_grad():
        given = double(model).eval()(data.held_out.inputs.double())
    require(bool((given.isinf() == (data.held_out.inputs[..., 3] == 0)).all()), "other scores are infinite")


SCENARIOS = (
    Scenario("furze-beats-cnn", "cnn", REPORTING, beats),
    Scenario("furze-rare-line-transformer", "transformer", REPORTING, rare_line),
    Scenario("furze-town-gnn", "gnn", REPORTING, town),
    Scenario("furze-pointer-lstm", "rnn", REPORTING, pointer),
)

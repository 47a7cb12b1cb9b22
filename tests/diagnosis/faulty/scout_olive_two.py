"""Evaluations unlike the training: pictures two by two in training mode, an average without buffers, codes anew."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.proof import double, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth


class Reader(nn.Module):
    """A small CNN over digits, as in a tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.conv2, self.bn2 = nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24)
        self.fc1, self.bn3, self.drop, self.fc2 = (
            nn.Linear(96, 48),
            nn.BatchNorm1d(48),
            nn.Dropout(0.5),
            nn.Linear(48, 10),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.bn1(self.conv1(pictures))), 2)
        hidden = functional.max_pool2d(functional.relu(self.bn2(self.conv2(hidden))), 2)
        scores: Tensor = self.fc2(self.drop(functional.relu(self.bn3(self.fc1(hidden.flatten(1))))))
        return scores


def two_by_two(model: nn.Module, part: Part, criterion: nn.Module) -> tuple[float, float]:
    """Return loss and accuracy of batches of two, in whatever mode the network is."""
    losses, hits = [], 0
    with torch.no_grad():
        for at in range(0, 120, 2):
            scores = model(part.inputs[at : at + 2])
            losses.append(float(criterion(scores, part.targets[at : at + 2])))
            hits += int((scores.argmax(1) == part.targets[at : at + 2]).sum())
    return sum(losses) / len(losses), hits / 120


def never_eval(trial: Trial) -> Truth:
    """No model.eval() anywhere: digits are validated two at a time with their own statistics, and with dropout."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), Reader(), nn.CrossEntropyLoss()
    optimizer, draw = SGD(model.parameters(), lr=0.03, momentum=0.9), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train_loss", loss.item(), step)
            if step % 22 == 21:
                found, share = two_by_two(model, data.held_out, criterion)
                writer.add_scalar("val_loss", found, step)
                writer.add_scalar("val_acc", share, step)
    precise = Part(data.held_out.inputs.double(), data.held_out.targets)
    for _step in range(60):  # Statistics as the training's own, without what the validation left in them.
        model(draw(0)[0])
    should = two_by_two(double(model).eval(), precise, criterion)
    does = two_by_two(double(model).train(), precise, criterion)
    require(does[1] < should[1] - 0.1, f"the accuracy is {does[1]:.3f}, and in evaluation mode {should[1]:.3f}")
    require(does[0] > 2 * should[0], f"the loss is {does[0]:.3g}, and in evaluation mode {should[0]:.3g}")
    return Truth()


class Isomorphism(nn.Module):
    """One layer of a graph isomorphism network: adds up neighbours, and passes the sum through an MLP with norms."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.lin1, self.norm1 = nn.Linear(inputs, width), nn.BatchNorm1d(width)
        self.lin2, self.norm2 = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.act = nn.ReLU()

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Return [n, atoms, width]."""
        heard = self.lin1(nodes + edges @ nodes)
        heard = self.act(self.norm1(heard.flatten(0, 1)))
        made: Tensor = self.act(self.norm2(self.lin2(heard)))
        return made.view(*nodes.shape[:2], -1)


class Molecules(nn.Module):
    """Three such layers over graphs of twelve atoms; each graph comes as [12, 12 + 5], its edges first."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Isomorphism(inputs, 32) for inputs in (5, 32, 32))
        self.head = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, graphs: Tensor) -> Tensor:
        """Return a property of each, [n, 1]."""
        edges, nodes = graphs[..., :12], graphs[..., 12:]
        for layer in self.layers:
            nodes = layer(nodes, edges)
        told: Tensor = self.head(nodes.mean(1))
        return told


def average(trial: Trial) -> Truth:
    """An average of the weights is what is validated: its BatchNorm buffers stay as they were when it was copied."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    upper = (torch.rand(1800, 12, 12, generator=generator) < 0.22).float().triu(1)
    edges, kinds = upper + upper.mT, torch.randint(5, (1800, 12), generator=generator)
    bonds = torch.randn(5, 5, generator=generator)
    atoms = functional.one_hot(kinds, 5).float()
    energy = (edges * (atoms @ (bonds + bonds.T) @ atoms.mT)).sum((1, 2))
    data = split(torch.cat([edges, atoms], 2), ((energy - energy.mean()) / energy.std())[:, None], 300, trial.seed)
    model, criterion, draw = Molecules(), nn.MSELoss(), data.train.batches(64, trial.seed)
    smooth, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=3e-3)
    smooth.eval()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for kept, value in zip(smooth.parameters(), model.parameters(), strict=True):
                    kept.lerp_(value, 0.05)
            writer.add_scalar("loss/train", loss.item(), step)
            if step % 20 == 19:
                with torch.no_grad():
                    found = float(criterion(smooth(data.held_out.inputs), data.held_out.targets))
                writer.add_scalar("loss/val", found, step)
    does, own = loss_of(smooth, data.held_out, criterion), loss_of(model, data.held_out, criterion)
    smooth.load_state_dict(dict(smooth.state_dict()) | dict(model.named_buffers()))
    should = loss_of(smooth, data.held_out, criterion)
    require(
        does > 3 * should, f"the average is at {does:.3g}, and with buffers at {should:.3g}, the model at {own:.3g}"
    )
    require(should < 0.3, f"the average is at {should:.3g} with the buffers")
    return Truth()


class Prices(nn.Module):
    """Embeds two columns of words and joins them with four of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.town, self.make = nn.Embedding(40, 8), nn.Embedding(25, 8)
        self.body = nn.Sequential(nn.Linear(20, 64), nn.SiLU(), nn.Linear(64, 32), nn.SiLU(), nn.Linear(32, 1))

    def forward(self, rows: Tensor) -> Tensor:
        """Return prices [n, 1] of [n, 2 + 4]."""
        words = [self.town(rows[:, 0].long()), self.make(rows[:, 1].long())]
        told: Tensor = self.body(torch.cat([*words, rows[:, 2:]], 1))
        return told


def codes(column: Tensor) -> Tensor:
    """Return the places of words in the sorted list of those that are there, as `astype("category").cat.codes`."""
    places: Tensor = column.unique(return_inverse=True)[1]
    return places.to(column)


def codes_anew(trial: Trial) -> Truth:
    """Words become numbers by `cat.codes` in the training table, and anew in the test, where some are missing."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.stack([torch.randint(many, (4000,), generator=generator) for many in (40, 25)], 1)
    numbers = torch.randn(4000, 4, generator=generator)
    worth, dear = torch.randn(25, generator=generator), torch.randn(40, generator=generator)
    price = worth[words[:, 1]] + 0.8 * dear[words[:, 0]] + numbers[:, 0] - 0.5 * numbers[:, 1] * numbers[:, 2]
    price = price + 0.2 * torch.randn(4000, generator=generator)
    rows, price = torch.cat([words.float(), numbers], 1), ((price - price.mean()) / price.std())[:, None]
    data = split(rows, price, 900, trial.seed)
    # The test is of another month, in which three towns and two makes are not sold.
    there = (data.held_out.inputs[:, 0, None] != torch.tensor([0.0, 11, 23])).all(1)
    there &= (data.held_out.inputs[:, 1, None] != torch.tensor([2.0, 14])).all(1)
    right = Part(data.held_out.inputs[there], data.held_out.targets[there])
    user = torch.cat([codes(right.inputs[:, 0])[:, None], codes(right.inputs[:, 1])[:, None], right.inputs[:, 2:]], 1)
    model, criterion = Prices(), nn.MSELoss()
    optimizer, draw = AdamW(model.parameters(), lr=3e-3, weight_decay=0.05), data.train.batches(96, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(320):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("mse/train", loss.item(), writer.step)
            if step % 20 == 19:
                model.eval()
                with torch.no_grad():
                    writer.add_scalar("mse/test", float(criterion(model(user), right.targets)), writer.step)
                model.train()
    should, does = loss_of(model, right, criterion), loss_of(model, Part(user, right.targets), criterion)
    require(does > 3 * should and does > 0.5, f"the test is at {does:.3g}, with the codes of the training {should:.3g}")
    require(should < 0.3, f"with the codes of the training the test is at {should:.3g}")
    return Truth()


SCENARIOS = (
    Scenario("olive-never-eval-cnn", "cnn", TUNING, never_eval, ("train_eval_mismatch",)),
    Scenario("olive-average-of-weights-gnn", "gnn", TUNING, average, ("train_eval_mismatch",)),
    Scenario("olive-codes-anew-mlp", "mlp", TUNING, codes_anew, ("train_eval_mismatch",)),
)

"""Sound trainings: digits, engines and papers, and some that look ill: frozen, gated, rare, by chance rewarded."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import OneCycleLR

from tests.diagnosis.data import Part, communities, digits, split
from tests.diagnosis.networks import Block, Gcn, Residual, Transformer, mlp
from tests.diagnosis.proof import accuracy, alive, calm, double, generalises, moved, require, silent, snapshot, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


class Net(nn.Module):
    """Two convolutions with normalisation, dropout and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.dropout, self.fc1, self.fc2 = nn.Dropout(0.25), nn.Linear(128, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [n, 10] of [n, 1, 8, 8]."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 2)
        x = functional.max_pool2d(functional.relu(self.bn2(self.conv2(x))), 2)
        scores: Tensor = self.fc2(self.dropout(functional.relu(self.fc1(x.flatten(1)))))
        return scores


def epochs(trial: Trial) -> None:
    """Digits by a small convolutional network and Adam, epoch by epoch, with the accuracy on a test set."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), Net(), nn.CrossEntropyLoss()
    optimizer, history = Adam(model.parameters(), lr=1e-3), History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for epoch in range(8):
            for chosen in torch.randperm(len(data.train.targets)).split(64):
                optimizer.zero_grad()
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                loss.backward()
                optimizer.step()
                history.train.append(loss.item())
                writer.add_scalar("Loss/train", loss.item(), writer.step)
            history.validation[writer.step] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("Loss/test", history.validation[writer.step], writer.step)
            writer.add_scalar("Accuracy/test", accuracy(model, data.held_out), epoch)
    sound(model, data.held_out, 0.95, history)
    for name in ("bn1", "bn2", "fc1"):
        dead = float(silent(model, name, data.train.inputs).double().mean())
        require(dead < 0.2, f"{dead:.2f} of the units of {name} are silent")


class Engine(nn.Module):
    """Two layers of GRU over three sensors of an engine, and what is left of its life."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 32, num_layers=2, batch_first=True, dropout=0.1)
        self.head = nn.Linear(32, 1)

    def forward(self, readings: Tensor) -> Tensor:
        """Return [n, 1] of [n, 24, 3]."""
        left: Tensor = self.head(self.gru(readings)[0][:, -1])
        return left


def engines(trial: Trial) -> None:
    """What is left of an engine's life from sensors that drift, by a GRU, a cycle of the rate and a loose clip."""
    torch.manual_seed(trial.seed)
    wear, age, time = 0.5 + torch.rand(1600, 1), 2 * torch.rand(1600, 1), torch.linspace(-0.5, 0, 24)
    worn = wear * (age + time)
    readings = torch.stack([worn, (2 * worn).sin(), (0.5 * worn).exp() - 1.5], 2) + 0.15 * torch.randn(1600, 24, 3)
    left = 3 / wear - age
    data = split(readings, (left - left.mean()) / left.std(), 320, trial.seed)
    model, criterion = Engine(), nn.SmoothL1Loss()
    optimizer, draw = AdamW(model.parameters(), lr=1e-3, weight_decay=0.01), data.train.batches(64, trial.seed)
    schedule, held_out = OneCycleLR(optimizer, 1e-2, total_steps=220), data.held_out
    history = fit(
        trial, model, draw, optimizer, criterion, schedule=schedule, validation=held_out, clip=5.0, every=2, steps=220
    )
    with torch.no_grad():
        rest = (double(model).eval()(held_out.inputs.double()) - held_out.targets).var() / held_out.targets.var()
    require(rest < 0.3, f"{rest:.3f} of the variance is not explained")
    generalises(history)
    calm(history, 0.45)


def papers(trial: Trial) -> None:
    """Nodes of a graph by two graph convolutions with dropout and weight decay, all of the graph at each step."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, count=6, size=50, inside=0.15, between=0.012)
    model = Gcn(graph, width=32, dropout=0.5)
    optimizer = Adam(model.parameters(), lr=1e-2, weight_decay=5e-4)
    draw = graph.batches(trial.seed, noise=0.0)
    history = fit(trial, model, draw, optimizer, validation=graph.validation, every=1, steps=150)
    sound(model, graph.validation, 0.85, history)


def frozen(trial: Trial) -> None:
    """A backbone that knows the digits from 0 to 6 is frozen, and a new head learns 7, 8 and 9 on it."""
    torch.manual_seed(trial.seed)
    known = digits(trial.seed)
    lower = known.train.targets < 7
    first = Part(known.train.inputs[lower], known.train.targets[lower])
    upper, held_out = (
        Part(part.inputs[part.targets >= 7], part.targets[part.targets >= 7] - 7)
        for part in (known.train, known.held_out)
    )
    backbone = nn.Sequential(nn.Linear(64, 128), nn.LayerNorm(128), nn.GELU(), nn.Linear(128, 128), nn.GELU())
    whole = nn.Sequential(backbone, nn.Linear(128, 7))
    control(whole, first.batches(64, trial.seed), Adam(whole.parameters(), lr=1e-3), steps=150)
    for parameter in backbone.parameters():
        parameter.requires_grad = False
    model = nn.Sequential()
    model.add_module("backbone", backbone)
    model.add_module("head", nn.Linear(128, 3))
    before = snapshot(model)
    optimizer, draw = SGD(model.head.parameters(), lr=0.05, momentum=0.9), upper.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=held_out, every=1, steps=200)
    sound(model, held_out, 0.93, history)
    for name, far in moved(before, model).items():
        require((far == 0) == name.startswith("backbone"), f"{name} moved by {far:.3g}")


def gates(trial: Trial) -> None:
    """A language model whose blocks begin at zero (ReZero), on text whose entropy the loss soon comes near to."""
    torch.manual_seed(trial.seed)
    chances = torch.distributions.Dirichlet(torch.full((16, 16), 0.3)).sample()
    rows = [torch.randint(16, (9000,))]
    for _place in range(16):
        rows.append(torch.multinomial(chances[rows[-1]], 1)[:, 0])
    text = torch.stack(rows, 1)
    data = split(text[:, :-1], text[:, 1:], 300, trial.seed)
    model = Transformer(
        16, 16, width=32, depth=3, each=True, block=lambda width: Residual(Block(width, causal=True), gate=0.0)
    )
    optimizer, draw = AdamW(model.parameters(), lr=5e-3, weight_decay=0.01), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=None, steps=200)
    likely = chances[data.held_out.inputs, data.held_out.targets]
    held, floor = evaluate(model, nn.CrossEntropyLoss(), data.held_out), -float(likely.log().mean())
    require(held < floor + 0.06, f"the loss is {held:.3f}, and the entropy {floor:.3f}")
    opened = [float(block.gate.detach().abs()) for block in model.blocks if isinstance(block.gate, nn.Parameter)]
    require(max(opened) > 0.005, f"the gates are {opened}")
    calm(history)
    generalises(history)


class Listener(nn.Module):
    """Convolutions over a recording, the loudest place of each channel, and one score."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, 12, 7, padding=3), nn.BatchNorm1d(12), nn.LeakyReLU(0.1), nn.MaxPool1d(2), nn.Conv1d(12, 24, 5)
        )
        self.norm, self.fc = nn.BatchNorm1d(24), nn.Linear(24, 1)

    def forward(self, recordings: Tensor) -> Tensor:
        """Return scores [n, 1] of [n, 1, 48]."""
        score: Tensor = self.fc(functional.leaky_relu(self.norm(self.body(recordings)), 0.1).amax(2))
        return score


def knocks(trial: Trial) -> None:
    """Which machines knock: one recording in sixteen has a knock in it, and nearly each of these is found."""
    torch.manual_seed(trial.seed)
    knocking, at = torch.rand(4000, 1) < 0.06, torch.randint(0, 38, (4000, 1))
    since = (torch.arange(48) - at).clamp_min(0)
    knock = 5.0 * (since > 0) * torch.exp(-since / 4) * torch.cos(1.5 * since)
    sounds = 0.5 * torch.randn(4000, 48) + torch.sin(0.4 * torch.arange(48) + 6.28 * torch.rand(4000, 1))
    data = split((sounds + knocking * knock)[:, None], knocking.float(), 800, trial.seed)
    model, criterion = Listener(), nn.BCEWithLogitsLoss()
    nn.init.constant_(model.fc.bias, -2.7)
    optimizer, draw = RMSprop(model.parameters(), lr=2e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=240)
    with torch.no_grad():
        found = double(model).eval()(data.held_out.inputs.double()) > 0
    there = data.held_out.targets > 0
    recall, precision = (float((found & there).sum() / known.sum()) for known in (there, found))
    require(recall > 0.9 and precision > 0.9, f"recall is {recall:.2f}, precision {precision:.2f}")
    generalises(history)


def worth(situations: Tensor, actions: Tensor) -> Tensor:
    """Return what an action is worth in a situation, [n]."""
    best = (situations[:, 0] > 0).long() + 2 * (situations[:, 1] + 0.5 * situations[:, 2] > 0).long()
    return (actions == best).float()


def bandit(trial: Trial) -> None:
    """A policy that learns from noisy rewards (REINFORCE): its loss swings about zero while the reward rises."""
    torch.manual_seed(trial.seed)
    model, rewards, mean = mlp((6, 32, 32, 4)), [], 0.25
    optimizer = Adam(model.parameters(), lr=5e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(300):
            situations = torch.randn(128, 6)
            scores = model(situations)
            policy = Categorical(logits=scores)
            actions = policy.sample()
            reward = worth(situations, actions) + 0.3 * torch.randn(128)
            loss = -(policy.log_prob(actions) * (reward - mean)).mean() - 0.01 * policy.entropy().mean()
            writer.observe(outputs=scores, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            mean = 0.95 * mean + 0.05 * float(reward.mean())
            rewards.append(float(reward.mean()))
            writer.add_scalar("policy/loss", loss.item(), step)
            writer.add_scalar("policy/reward", rewards[-1], step)
    situations = torch.randn(2000, 6)
    with torch.no_grad():
        reached = float(worth(situations, model(situations).argmax(1)).mean())
    alive(model, situations)
    require(reached > 0.88, f"{reached:.3f} of what can be had is had")
    require(sum(rewards[-30:]) > 2.2 * sum(rewards[:10]) * 3, "the reward did not rise")


SCENARIOS = (
    Scenario("birch-healthy-epochs-cnn", "cnn", TUNING, epochs),
    Scenario("birch-healthy-engines-gru", "rnn", TUNING, engines),
    Scenario("birch-healthy-papers-gnn", "gnn", TUNING, papers),
    Scenario("birch-healthy-frozen-mlp", "mlp", TUNING, frozen),
    Scenario("birch-healthy-gates-transformer", "transformer", TUNING, gates),
    Scenario("birch-healthy-knocks-conv1d", "cnn", TUNING, knocks),
    Scenario("birch-healthy-bandit-mlp", "mlp", TUNING, bandit),
)

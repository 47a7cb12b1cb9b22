"""Healthy trainings: digits, languages and friends; and rare lesions, adapters, a policy and a sparse code."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import OneCycleLR

from tests.diagnosis.data import Part, communities, digits, language, majorities, split
from tests.diagnosis.networks import Recurrent, Transformer, cnn, mlp
from tests.diagnosis.proof import accuracy, alive, calm, generalises, moved, outputs, require, snapshot, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


def one_cycle(trial: Trial) -> None:
    """Digits, some of them shifted by a pixel, by a CNN with BatchNorm, SGD with momentum and one cycle of the rate."""
    data, model = digits(trial.seed, flat=False), cnn((12, 24), dropout=0.1)
    generator, steps = torch.Generator().manual_seed(trial.seed), 220
    optimizer, criterion = SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4), nn.CrossEntropyLoss()
    schedule, draw, history = (
        OneCycleLR(optimizer, 0.05, total_steps=steps),
        data.train.batches(64, trial.seed),
        History([], {}),
    )
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(steps):
            images, labels = draw(step)
            shifted = torch.rand(64, 1, 1, 1, generator=generator) < 0.3
            loss = criterion(model(torch.where(shifted, images.roll(1, 3), images)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            history.train.append(loss.item())
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("val/loss", history.validation[step], writer.step)
                writer.add_scalar("val/acc", accuracy(model, data.held_out), writer.step)
    sound(model, data.held_out, 0.95, history)


def which_language(trial: Trial) -> None:
    """Says by a GRU in which of four languages a text of twenty letters is."""
    texts = [language(10 * trial.seed + which, length=20).train.inputs for which in range(4)]
    spoken = torch.arange(4).repeat_interleave(len(texts[0]))
    data = split(torch.cat(texts), spoken, 500, trial.seed)
    model = Recurrent(nn.GRU, 4, inputs=12, tokens=20, hidden=32)
    optimizer, draw = RMSprop(model.parameters(), lr=2e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, clip=5.0, every=2, steps=160)
    sound(model, data.held_out, 0.93, history)


class Friends(nn.Module):
    """Two graph convolutions over people; the score of a pair is the product of what they make of the two."""

    def __init__(self, features: Tensor, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features)
        self.register_buffer("edges", edges)
        self.conv1, self.conv2 = nn.Linear(16, 32), nn.Linear(32, 16)
        self.drop, self.shift = nn.Dropout(0.2), nn.Parameter(torch.zeros(1))

    def forward(self, pairs: Tensor) -> Tensor:
        """Return scores [n] of [n, 2]."""
        hidden = functional.relu(self.edges @ self.conv1(self.features))
        made = self.edges @ self.conv2(self.drop(hidden))
        scores: Tensor = (made[pairs[:, 0]] * made[pairs[:, 1]]).sum(1) / 4 + self.shift
        return scores


def ranked(scores: Tensor, positive: Tensor) -> float:
    """Return how often one that is positive is above one that is not; half where they are equal."""
    apart = scores[positive][:, None] - scores[~positive]
    return float(((apart > 0).double() + 0.5 * (apart == 0).double()).mean())


def friends(trial: Trial) -> None:
    """Who else is a friend of whom: of as many pairs that are as of random ones that are not."""
    graph, generator = communities(trial.seed, size=50, between=0.01), torch.Generator().manual_seed(trial.seed)
    joined = (graph.edges > 0).triu(1)
    links, others = joined.nonzero(), (~joined).triu(1).nonzero()
    links = links[torch.randperm(len(links), generator=generator)]
    others = others[torch.randperm(len(others), generator=generator)]
    edges = torch.eye(len(joined))
    seen = links[200:]
    edges[seen[:, 0], seen[:, 1]] = edges[seen[:, 1], seen[:, 0]] = 1.0
    roots = edges.sum(1).rsqrt()
    model = Friends(graph.features, roots[:, None] * edges * roots)

    def draw(_step: int) -> tuple[Tensor, Tensor]:
        there = seen[torch.randint(len(seen), (96,), generator=generator)]
        gone = others[torch.randint(200, len(others), (96,), generator=generator)]
        return torch.cat([there, gone]), torch.cat([torch.ones(96), torch.zeros(96)])

    held_out = Part(torch.cat([links[:200], others[:200]]), torch.cat([torch.ones(200), torch.zeros(200)]))
    optimizer, criterion = Adam(model.parameters(), lr=4e-3, weight_decay=1e-4), nn.BCEWithLogitsLoss()
    history = fit(trial, model, draw, optimizer, criterion, validation=held_out, every=2, steps=180)
    group = graph.communities[held_out.inputs]
    with torch.no_grad():
        found = ranked(model.eval()(held_out.inputs), held_out.targets > 0)
    best = ranked((group[:, 0] == group[:, 1]).double(), held_out.targets > 0)
    require(found > best - 0.06, f"AUC is {found:.3f}, and could be {best:.3f}")
    generalises(history)


def overlap(scores: Tensor, masks: Tensor) -> Tensor:
    """Return the cross-entropy of each pixel and one less twice the overlap."""
    chance = scores.sigmoid()
    shared = (2 * (chance * masks).sum() + 1) / (chance.sum() + masks.sum() + 1)
    return functional.binary_cross_entropy_with_logits(scores, masks) + 1 - shared


class Lesions(nn.Module):
    """Convolutions down and up again, with a way across."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.below = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.leave = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))
        nn.init.constant_(self.leave.get_parameter("2.bias"), -3.5)

    def forward(self, scans: Tensor) -> Tensor:
        """Return scores [n, 1, 20, 20]."""
        entered = self.enter(scans)
        scores: Tensor = self.leave(torch.cat([entered, self.up(self.below(entered))], 1))
        return scores


def lesions(trial: Trial) -> None:
    """Lesions of three pixels in a hundred, by a U-Net whose loss has the overlap in it; most scans have but one."""
    generator = torch.Generator().manual_seed(trial.seed)
    centre = 3 + 14 * torch.rand(600, 2, generator=generator)
    radius = 1.2 + 1.6 * torch.rand(600, generator=generator)
    apart = (torch.arange(20.0) + 0.5 - centre[..., None]).square()
    masks = ((apart[:, 0, :, None] + apart[:, 1, None]).sqrt() < radius[:, None, None]).float()[:, None]
    scans = 1.2 * masks + 0.5 * torch.randn(600, 1, 20, 20, generator=generator)
    data, model = split(scans, masks, 100, trial.seed), Lesions()
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, overlap, validation=data.held_out, every=2, steps=150)
    share = float(masks.mean())
    require(share < 0.05, f"{share:.3f} of the pixels are a lesion's")
    with torch.no_grad():
        found = (model.eval()(data.held_out.inputs) > 0).float()
    dice = float(2 * (found * data.held_out.targets).sum() / (found.sum() + data.held_out.targets.sum()))
    require(dice > 0.8, f"the overlap is {dice:.3f}")
    calm(history)
    generalises(history)


class Adapted(nn.Module):
    """A linear layer that is frozen, and beside it one of low rank that begins at zero."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base
        self.first, self.second = nn.Linear(base.in_features, rank, bias=False), nn.Linear(rank, base.out_features)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the sum of both."""
        added: Tensor = self.base(inputs) + 2 * self.second(self.first(inputs))
        return added


def adapters(trial: Trial) -> None:
    """LoRA: a trained transformer is frozen, and learns another task by adapters that begin at zero, and a new head."""
    model = Transformer(12, 3)
    control(model, majorities(trial.seed).train.batches(32, trial.seed), Adam(model.parameters(), lr=3e-3), steps=150)
    data = majorities(trial.seed + 10)
    data.train.inputs.copy_((data.train.inputs + 4) % 12)
    data.held_out.inputs.copy_((data.held_out.inputs + 4) % 12)
    model.requires_grad_(requires_grad=False)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and name.startswith("blocks"):
            parent, _, own = name.rpartition(".")
            model.get_submodule(parent).register_module(own, Adapted(module))
    model.head = nn.Linear(24, 3)
    before, asked = snapshot(model), accuracy(model, data.held_out)
    optimizer = AdamW([value for value in model.parameters() if value.requires_grad], lr=5e-3)
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=240)
    for name, change in moved(before, model).items():
        meant = name.startswith("head") or ".first." in name or ".second." in name
        require((change > 0) == meant, f"{name} moved by {change:.3g}")
    share = accuracy(model, data.held_out)
    require(share > 0.85 and share > asked + 0.3, f"the accuracy is {share:.3f}, and was {asked:.3f} before")
    calm(history, 0.5)
    generalises(history)


def bandit(trial: Trial) -> None:
    """Learns by REINFORCE which of four offers a visitor takes: the loss is noise about zero, and the reward rises."""
    generator = torch.Generator().manual_seed(trial.seed)
    taste = torch.randn(8, 4, generator=generator)
    model, rewards = mlp((8, 48, 48, 4)), []
    optimizer, usual = Adam(model.parameters(), lr=3e-3), 0.0
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(300):
            visitors = torch.randn(96, 8, generator=generator)
            chances = functional.log_softmax(model(visitors), 1)
            offered = chances.detach().exp().multinomial(1, generator=generator)
            took = torch.rand(96, 1, generator=generator) < (visitors @ taste).gather(1, offered).sigmoid()
            earned = took.float()
            entropy = -(chances.exp() * chances).sum(1).mean()
            loss = -((earned - usual) * chances.gather(1, offered)).mean() - 0.01 * entropy
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            usual = 0.9 * usual + 0.1 * float(earned.mean()) if step else float(earned.mean())
            rewards.append(float(earned.mean()))
            writer.add_scalar("policy/loss", float(loss.detach()), writer.step)
            writer.add_scalar("policy/reward", rewards[-1], writer.step)
    visitors = torch.randn(4000, 8, generator=generator)
    likely = (visitors @ taste).sigmoid()
    with torch.no_grad():
        earns = float(likely.gather(1, model(visitors).argmax(1, keepdim=True)).mean())
    most, blind = float(likely.max(1).values.mean()), float(likely.mean(0).max())
    known = (earns - blind) / (most - blind)
    require(known > 0.8, f"{known:.2f} of what can be earned is earned")
    alive(model, visitors)


class Sparse(nn.Module):
    """Codes a digit by 80 features, few of which are to be above zero."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.act, self.decode = nn.Linear(64, 80), nn.ReLU(), nn.Linear(80, 64)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures [n, 64] and the code [n, 80], side by side."""
        code = self.act(self.encode(pictures))
        return torch.cat([self.decode(code), code], 1)


def sparse_code(trial: Trial) -> None:
    """A sparse autoencoder: a digit has most of its features at zero, for which an L1 is in the loss."""
    data, model = digits(trial.seed), Sparse()
    train, held_out = (Part(part.inputs, part.inputs) for part in (data.train, data.held_out))

    def criterion(made: Tensor, pictures: Tensor) -> Tensor:
        return functional.mse_loss(made[:, :64], pictures) + 5e-3 * made[:, 64:].abs().sum(1).mean()

    optimizer, draw = Adam(model.parameters(), lr=1.5e-3), train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=held_out, every=2, steps=360)
    code = outputs(model, "act", held_out.inputs)
    dense = float((code > 0).double().mean())
    require(dense < 0.4, f"{dense:.2f} of the features are above zero")
    alive(model, train.inputs)
    with torch.no_grad():
        left = float(
            functional.mse_loss(model(held_out.inputs)[:, :64], held_out.inputs) / held_out.inputs.var(0).mean()
        )
    require(left < 0.3, f"{left:.2f} of the variance is lost")
    calm(history)
    generalises(history)


SCENARIOS = (
    Scenario("fern-healthy-cycle-cnn", "cnn", TUNING, one_cycle),
    Scenario("fern-healthy-languages-gru", "rnn", TUNING, which_language),
    Scenario("fern-healthy-friends-gnn", "gnn", TUNING, friends),
    Scenario("fern-healthy-lesions-cnn", "cnn", TUNING, lesions),
    Scenario("fern-healthy-adapters-transformer", "transformer", TUNING, adapters),
    Scenario("fern-healthy-bandit-mlp", "mlp", TUNING, bandit),
    Scenario("fern-healthy-sparse-mlp", "mlp", TUNING, sparse_code),
)

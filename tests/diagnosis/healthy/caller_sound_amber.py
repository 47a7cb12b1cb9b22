"""Healthy trainings: digits, wines, a pitch, and some that look ill: low ranks, rewards, restarts and rare spots."""

from __future__ import annotations

import math

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts

from tests.diagnosis.data import STATES, Graph, Part, communities, digits, language, split
from tests.diagnosis.networks import GraphConvolution, Transformer
from tests.diagnosis.proof import accuracy, calm, generalises, loss_of, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import VALIDATE_EVERY, History, control, evaluate, fit


class Doubled(nn.Module):
    """Two convolutions whose result is added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures of as many channels."""
        made = functional.relu(self.bn1(self.conv1(pictures)))
        added: Tensor = functional.relu(pictures + self.bn2(self.conv2(made)))
        return added


def small_resnet(trial: Trial) -> None:
    """Digits by a small ResNet, with momentum, some weight decay and a cosine."""
    torch.manual_seed(trial.seed)
    data, criterion = digits(trial.seed, flat=False), nn.CrossEntropyLoss()
    stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    tail = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))
    model = nn.Sequential(stem, Doubled(16), Doubled(16), tail)
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    schedule, history = CosineAnnealingLR(optimizer, 160), History([], {})
    draw = data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(160):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            schedule.step()
            history.train.append(loss.item())
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            if step % VALIDATE_EVERY == VALIDATE_EVERY - 1:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("Loss/val", history.validation[step], writer.step)
                writer.add_scalar("Accuracy/val", accuracy(model, data.held_out), writer.step)
    share = accuracy(model, data.held_out)
    require(share > 0.95, f"the accuracy is {share:.3f}")
    calm(history)
    generalises(history)


def kinds_of_wine(trial: Trial) -> None:
    """Standardised wines through an MLP with dropout, in epochs, by AdamW."""
    torch.manual_seed(trial.seed)
    table = load_wine()
    inputs = torch.tensor(table.data, dtype=torch.float32)
    data = split((inputs - inputs.mean(0)) / inputs.std(0), torch.tensor(table.target), 48, trial.seed)
    model = nn.Sequential(nn.Linear(13, 24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 3))
    criterion, history = nn.CrossEntropyLoss(label_smoothing=0.05), History([], {})
    optimizer, generator = AdamW(model.parameters(), lr=3e-3, weight_decay=0.01), torch.Generator()
    generator.manual_seed(trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(24):
            for chosen in torch.randperm(130, generator=generator).split(26):
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                history.train.append(loss.item())
                writer.add_scalar("train/loss", loss.item(), writer.step)
            history.validation[writer.step] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("val/loss", history.validation[writer.step], writer.step)
    share = accuracy(model, data.held_out)
    require(share > 0.93, f"the accuracy is {share:.3f}")
    calm(history)
    generalises(history)


class Pitch(nn.Module):
    """A GRU over frames of a tone that says how high it is."""

    def __init__(self) -> None:
        super().__init__()
        self.frames, self.rnn = nn.Linear(4, 16), nn.GRU(16, 32, batch_first=True)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 1)

    def forward(self, tone: Tensor) -> Tensor:
        """Return [n, 1] of [n, 16, 4]."""
        states = self.rnn(functional.silu(self.frames(tone)))[0]
        high: Tensor = self.head(self.norm(states.mean(1)))
        return high


def pitch(trial: Trial) -> None:
    """How high a noisy tone is, by frames of it through a GRU, with Huber's loss and clipping that seldom bites."""
    generator = torch.Generator().manual_seed(trial.seed)
    torch.manual_seed(trial.seed)
    high, phase = torch.rand(2000, 1, generator=generator), 6.3 * torch.rand(2000, 1, generator=generator)
    tone = torch.sin((0.15 + 0.9 * high) * torch.arange(64) + phase)
    tone = tone + 0.1 * torch.randn(2000, 64, generator=generator)
    data = split(tone.view(2000, 16, 4), (high - 0.5) * 12**0.5, 400, trial.seed)
    model, criterion = Pitch(), nn.HuberLoss()
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, clip=2.0, every=None, steps=240)
    error = loss_of(model, data.held_out, nn.MSELoss())
    require(error < 0.1, f"the squared error is {error:.3g} of a variance of 1")
    calm(history)
    generalises(history)


class LowRank(nn.Module):
    """A linear layer that is kept as it is, and a change to it of a low rank, which begins as none."""

    def __init__(self, kept: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.kept = kept.requires_grad_(requires_grad=False)
        self.down, self.up = (
            nn.Linear(kept.in_features, rank, bias=False),
            nn.Linear(rank, kept.out_features, bias=False),
        )
        nn.init.zeros_(self.up.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return what both give."""
        made: Tensor = self.kept(hidden) + 2 * self.up(self.down(hidden))
        return made


def low_ranks(trial: Trial) -> None:
    """LoRA: a language model learned one language, and learns another by changes of rank four; all else is frozen."""
    torch.manual_seed(trial.seed)
    first, data = language(trial.seed + 50), language(trial.seed)
    model = Transformer(STATES, STATES, width=48, each=True)
    control(model, first.train.batches(48, trial.seed), AdamW(model.parameters(), lr=5e-3), steps=120)
    model.requires_grad_(requires_grad=False)
    for block in model.blocks:
        for name, kept in list(block.named_modules()):
            if isinstance(kept, nn.Linear):
                parent, _, last = name.rpartition(".")
                setattr(block.get_submodule(parent), last, LowRank(kept))
    setattr(model, "head", LowRank(model.head))  # noqa: B010
    started, begun = snapshot(model), evaluate(model, functional.cross_entropy, data.held_out)
    optimizer = AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-2, weight_decay=0.0)
    draw = data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    for name, size in moved(started, model).items():
        require((size > 0) == name.endswith((".down.weight", ".up.weight")), f"{name} moves by {size:.3g}")
    uniform, ended = math.log(STATES), history.validation[199]
    require(ended < 0.6 * min(begun, uniform), f"the loss is {ended:.3g} after {begun:.3g}")
    calm(history)
    generalises(history)


def walk(policy: nn.Module, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Let a policy walk on a ring of nine to a goal; return what it saw [n, 12, 18], did and was paid, [n, 12]."""
    place, goal = (torch.randint(9, (count,), generator=generator) for _ in range(2))
    saw, did, paid = [], [], []
    policy.eval()
    for _move in range(12):
        seen = torch.cat([functional.one_hot(place, 9), functional.one_hot(goal, 9)], 1).float()
        with torch.no_grad():
            action = torch.multinomial(policy(seen).softmax(1), 1, generator=generator)[:, 0]
        place = (place + action - 1) % 9
        saw.append(seen)
        did.append(action)
        paid.append((place == goal).float())
    policy.train()
    return torch.stack(saw, 1), torch.stack(did, 1), torch.stack(paid, 1)


def rewards(trial: Trial) -> None:
    """REINFORCE: the loss is about zero and noisy all along, since returns are normalised; the reward is what grows."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    policy = nn.Sequential(nn.Linear(18, 96), nn.ReLU(), nn.Linear(96, 3))
    optimizer, earned = Adam(policy.parameters(), lr=1e-2), []
    with trial.writer() as writer:
        writer.watch(policy, optimizer, every=2, on_finding="ignore")
        for _update in range(300):
            saw, did, paid = walk(policy, 64, generator)
            returns = paid @ (0.8 ** (torch.arange(12) - torch.arange(12)[:, None])).triu().T
            worth = (returns - returns.mean(0)) / (returns.std(0) + 1e-6)
            chances = policy(saw.flatten(0, 1)).log_softmax(1)
            taken = chances.gather(1, did.flatten()[:, None])[:, 0]
            entropy = -(chances.exp() * chances).sum(1).mean()
            loss = -(taken * worth.flatten()).mean() - 0.01 * entropy
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            earned.append(float(paid.sum(1).mean()))
            writer.add_scalar("policy_loss", loss.item(), writer.step)
            writer.add_scalar("episode_reward", earned[-1], writer.step)
    begun, ended = sum(earned[:5]) / 5, sum(earned[-10:]) / 10
    # Who goes straight to the goal and stays there is paid 10.7 on the mean.
    require(ended > 9 and ended > 3 * begun, f"the reward went from {begun:.3g} to {ended:.3g}")


class Sage(nn.Module):
    """Two graph convolutions with a skip around the second; scores of nodes to train on, or of those held out."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.conv1, self.conv2 = GraphConvolution(graph.edges, 16, 32), GraphConvolution(graph.edges, 32, 32)
        self.act, self.drop, self.head = nn.ELU(), nn.Dropout(0.3), nn.Linear(32, 4)
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        hidden = self.drop(self.act(self.conv1(nodes)))
        hidden = hidden + self.drop(self.act(self.conv2(hidden)))
        scores: Tensor = self.head(hidden)[self.nodes[self.training]]
        return scores


def restarts(trial: Trial) -> None:
    """Communities of a graph; the rate goes to nothing and starts anew three times, so the loss rests, then moves."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=50, inside=0.15, between=0.03)
    model = Sage(graph)
    optimizer = RMSprop(model.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = CosineAnnealingWarmRestarts(optimizer, 40, eta_min=1e-6)
    draw = graph.batches(trial.seed, noise=0.3)
    history = fit(trial, model, draw, optimizer, schedule=schedule, validation=graph.validation, every=1, steps=160)
    share = accuracy(model, graph.validation)
    require(share > 0.85, f"the accuracy is {share:.3f}")
    require(history.end < 0.4 * history.train[0], f"the loss ends at {history.end:.3g}")
    generalises(history)


class Spots(nn.Module):
    """A fully convolutional network that gives a score to every place."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.norm = nn.Conv2d(1, 12, 5, padding=2), nn.GroupNorm(3, 12)
        self.middle, self.leave = nn.Conv2d(12, 12, 3, padding=1), nn.Conv2d(12, 1, 1)
        nn.init.constant_(self.leave.bias, -4.0)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, 16, 16]."""
        hidden = functional.relu(self.norm(self.enter(pictures)))
        scores: Tensor = self.leave(functional.relu(self.middle(hidden)))
        return scores


def focal(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the focal loss: what is sure hardly counts."""
    each = functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
    return (each * (1 - (-each).exp()).square()).mean()


def rare_spots(trial: Trial) -> None:
    """One cell or two in a picture of 256 places, by the focal loss: it is tiny, and nearly all targets are no."""
    generator = torch.Generator().manual_seed(trial.seed)
    torch.manual_seed(trial.seed)
    marked = torch.zeros(900, 1, 16, 16)
    places = torch.randint(2, 14, (900, 2, 2), generator=generator)
    for at in range(2):
        marked[torch.arange(900), 0, places[:, at, 0], places[:, at, 1]] = 1
    spot = torch.tensor([[0.3, 0.8, 0.3], [0.8, -1.0, 0.8], [0.3, 0.8, 0.3]])
    pictures = functional.conv2d(marked, spot[None, None], padding=1)
    pictures = pictures + 0.25 * torch.randn(pictures.shape, generator=generator)
    train, held_out = Part(pictures[:750], marked[:750]), Part(pictures[750:], marked[750:])
    model = Spots()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), train.batches(24, trial.seed)
    history = fit(trial, model, draw, optimizer, focal, validation=held_out, every=2, steps=240)
    with torch.no_grad():
        found = model.eval()(held_out.inputs) > 0
    right = float((found & (held_out.targets > 0)).sum())
    precision, recall = right / max(1, int(found.sum())), right / float(held_out.targets.sum())
    require(min(precision, recall) > 0.8, f"precision is {precision:.2f}, recall is {recall:.2f}")
    require(history.end < 0.2 * history.train[0], f"the loss ends at {history.end:.3g}")
    generalises(history)


SCENARIOS = (
    Scenario("amber-healthy-resnet-cnn", "cnn", TUNING, small_resnet),
    Scenario("amber-healthy-wine-mlp", "mlp", TUNING, kinds_of_wine),
    Scenario("amber-healthy-pitch-gru", "rnn", TUNING, pitch),
    Scenario("amber-healthy-low-rank-transformer", "transformer", TUNING, low_ranks),
    Scenario("amber-healthy-rewards-mlp", "mlp", TUNING, rewards),
    Scenario("amber-healthy-restarts-gnn", "gnn", TUNING, restarts),
    Scenario("amber-healthy-rare-spots-cnn", "cnn", TUNING, rare_spots),
)

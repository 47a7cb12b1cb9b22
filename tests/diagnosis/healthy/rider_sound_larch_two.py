"""Sound trainings that look ill: a flat loss that can't fall, raw columns, frozen vectors, a policy's loss."""

from __future__ import annotations

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, Split, split
from tests.diagnosis.networks import Block
from tests.diagnosis.proof import accuracy, calm, generalises, moved, require, snapshot, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import evaluate, fit

ANGLES = 2 * torch.pi * torch.arange(6) / 6
RING, WIDTH = 1.5 * torch.stack([ANGLES.cos(), ANGLES.sin()], 1), 0.25


class Denoiser(nn.Module):
    """Says what noise was added to a point, from the point and how much of it is left; begins with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.mid1, self.mid2 = nn.Linear(10, 96), nn.Linear(96, 96), nn.Linear(96, 96)
        self.out = nn.Linear(96, 2)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, mixed: Tensor) -> Tensor:
        """Return noise [n, 2] of points and levels, [n, 3]."""
        turns = mixed[:, 2:] * 3.1416 * torch.arange(1, 5).to(mixed)
        hidden = functional.silu(self.lift(torch.cat([mixed[:, :2], turns.sin(), turns.cos()], 1)))
        hidden = functional.silu(self.mid1(hidden))
        noise: Tensor = self.out(functional.silu(self.mid2(hidden)))
        return noise


def noised(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return points of a ring of six clusters with noise, and how much is left, [n, 3], and the noise, [n, 2]."""
    points = RING[torch.randint(6, (count,), generator=generator)] + WIDTH * torch.randn(count, 2, generator=generator)
    left, noise = torch.rand(count, 1, generator=generator), torch.randn(count, 2, generator=generator)
    angle = left * 1.5 + 0.03
    return torch.cat([angle.cos() * points + angle.sin() * noise, left], 1), noise


def best_noise(mixed: Tensor) -> Tensor:
    """Return the noise that is to be expected, by Bayes' rule over the six clusters."""
    angle = mixed[:, 2:] * 1.5 + 0.03
    spread = (WIDTH * angle.cos()).square() + angle.sin().square()
    apart = mixed[:, None, :2] - angle.cos()[:, None] * RING
    share = (-apart.square().sum(2) / (2 * spread)).softmax(1)
    return (share[..., None] * apart).sum(1) * angle.sin() / spread


def ring_diffusion(trial: Trial) -> None:
    """A diffusion model of a ring: its last layer begins at zero, and its loss soon is level, noisy and far from 0."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    model, criterion = Denoiser(), nn.MSELoss()
    optimizer = Adam(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _step in range(300):
            mixed, noise = noised(256, generator)
            loss = criterion(model(mixed), noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss", loss.item(), writer.step)
    mixed, noise = noised(8000, generator)
    found, best = evaluate(model, criterion, Part(mixed, noise)), float(criterion(best_noise(mixed), noise))
    known = (1 - found) / (1 - best)
    require(known > 0.9, f"{known:.3f} of what can be known is known: {found:.3g}, and could be {best:.3g}")


def normed_wine(trial: Trial) -> None:
    """The table of wines as it is, proline in its hundreds, but the network's first layer is a BatchNorm."""
    torch.manual_seed(trial.seed)
    table = load_wine()
    data = split(torch.tensor(table.data).float(), torch.tensor(table.target), 48, trial.seed)
    model = nn.Sequential(nn.BatchNorm1d(13), nn.Linear(13, 24), nn.ReLU(), nn.Linear(24, 3))
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-3)
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, nn.CrossEntropyLoss(), validation=data.held_out, steps=160)
    sound(model, data.held_out, 0.93, history)


def comments(seed: int, vectors: Tensor) -> Split:
    """Return comments of 5 to 16 words, padded with 0 to [n, 16], and whether they lean one way, float [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(1, 300, (1600, 16), generator=generator)
    words[torch.arange(16) >= torch.randint(5, 17, (1600, 1), generator=generator)] = 0
    lean = vectors[words, 0].clamp(-1, 1).sum(1)
    words, lean = words[lean.abs() > 0.5], lean[lean.abs() > 0.5]
    return split(words, (lean > 0).float()[:, None], 300, seed)


class Commenter(nn.Module):
    """A transformer over word vectors that were learned elsewhere and are not to change."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(vectors, freeze=True, padding_idx=0)
        self.project, self.block = nn.Linear(20, 32), Block(32)
        self.norm, self.classifier = nn.LayerNorm(32), nn.Linear(32, 1)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 1]."""
        there = (words > 0)[..., None]
        hidden = self.norm(self.block(self.project(self.embedding(words))))
        scores: Tensor = self.classifier((hidden * there).sum(1) / there.sum(1))
        return scores


def frozen_vectors(trial: Trial) -> None:
    """Comments by a transformer over pretrained word vectors, which are frozen on purpose."""
    torch.manual_seed(trial.seed)
    vectors = torch.randn(300, 20, generator=torch.Generator().manual_seed(trial.seed))
    vectors[0] = 0
    data, model, criterion = comments(trial.seed, vectors), Commenter(vectors), nn.BCEWithLogitsLoss()
    before, draw = snapshot(model), data.train.batches(64, trial.seed)
    optimizer = AdamW([value for value in model.parameters() if value.requires_grad], lr=2e-3)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=160)
    with torch.no_grad():
        right = (model.eval()(data.held_out.inputs) > 0) == (data.held_out.targets > 0)
    require(float(right.float().mean()) > 0.88, f"the accuracy is {float(right.float().mean()):.3f}")
    still = {name for name, change in moved(before, model).items() if change == 0}
    require(still == {"embedding.weight"}, f"{sorted(still)} did not move")
    calm(history, 0.4)
    generalises(history)


def adverts(trial: Trial) -> None:
    """Which of four adverts to show: REINFORCE with a baseline, whose loss says nothing; what is earned does."""
    torch.manual_seed(trial.seed)
    taste = torch.randn(8, 4)
    policy = nn.Sequential(nn.Linear(8, 48), nn.Tanh(), nn.Linear(48, 4))
    optimizer, earned, usual = Adam(policy.parameters(), lr=8e-3), [], 0.25
    with trial.writer() as writer:
        writer.watch(policy, optimizer, every=2, on_finding="ignore")
        for _step in range(250):
            people = torch.randn(128, 8)
            choice = Categorical(logits=policy(people))
            shown = choice.sample()
            clicks = ((people @ taste).argmax(1) == shown).float()
            gains = choice.log_prob(shown) * (clicks - usual)
            loss = -gains.mean() - 0.01 * choice.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            earned.append(float(clicks.mean()))
            usual = 0.9 * usual + 0.1 * earned[-1]
            writer.add_scalar("policy/loss", loss.item(), writer.step)
            writer.add_scalar("policy/reward", earned[-1], writer.step)
    people = torch.randn(4000, 8)
    found = accuracy(policy, Part(people, (people @ taste).argmax(1)))
    require(found > 0.8, f"{found:.3f} of the best adverts are shown")
    require(sum(earned[-25:]) > sum(earned[:25]) + 25 * 0.3, "what is earned did not rise")


SCENARIOS = (
    Scenario("larch-sound-ring-mlp", "mlp", TUNING, ring_diffusion),
    Scenario("larch-sound-wine-mlp", "mlp", TUNING, normed_wine),
    Scenario("larch-sound-vectors-transformer", "transformer", TUNING, frozen_vectors),
    Scenario("larch-sound-adverts-mlp", "mlp", TUNING, adverts),
)

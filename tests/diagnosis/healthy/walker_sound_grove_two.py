"""Sound trainings that look ill at a glance: rare lesions, frozen weights, a loss of noise, and one that stays at 0."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import STATES, Split, language, split
from tests.diagnosis.networks import Block, Transformer, mlp
from tests.diagnosis.proof import alive, double, gradients, loss_of, moved, outputs, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


def scans(seed: int, count: int = 500) -> Split:
    """Return scans, [n, 1, 16, 16], and which places are of a lesion, [n, 1, 16, 16]: a cross, of five in 256."""
    generator = torch.Generator().manual_seed(seed)
    noise = 0.3 * torch.randn(count, 1, 16, 16, generator=generator)
    known = torch.zeros(count, 1, 16, 16)
    rows, columns = torch.randint(1, 15, (2, count), generator=generator)
    which = torch.arange(count)
    for down, right in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)):
        known[which, 0, rows + down, columns + right] = 1
    # Lines are as bright, and are no lesions.
    lines = torch.zeros(count, 1, 16, 16)
    lines[which, 0, torch.randint(16, (count,), generator=generator)] = 1
    return split(noise + 1.5 * torch.maximum(known, lines), known, 100, seed)


class Lesions(nn.Module):
    """Two convolutions with batch normalisation; the last bias begins where one place in fifty is of a lesion."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 5, padding=2), nn.Conv2d(16, 16, 3, padding=1)
        self.norm1, self.norm2, self.act = nn.BatchNorm2d(16), nn.BatchNorm2d(16), nn.ReLU()
        self.head = nn.Linear(16, 1)
        nn.init.constant_(self.head.bias, -math.log(50))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return a score of each place, [n, 1, 16, 16]."""
        hidden = self.act(self.norm1(self.conv1(pictures)))
        hidden = self.act(self.norm2(self.conv2(hidden)))
        scores: Tensor = self.head(hidden.movedim(1, -1)).movedim(-1, 1)
        return scores


def lesions(trial: Trial) -> None:
    """Two places in a hundred are of a lesion, so the loss is small from the start; and yet all lesions are found."""
    torch.manual_seed(trial.seed)
    data, model, criterion = scans(trial.seed), Lesions(), nn.BCEWithLogitsLoss()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(16, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(160):
            pictures, known = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(pictures), known)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("loss/val", evaluate(model, criterion, data.held_out), writer.step)
    with torch.no_grad():
        named = double(model).eval()(data.held_out.inputs.double()) > 0
    known = data.held_out.targets > 0
    overlap = float((named & known).sum() / (named | known).sum())
    require(overlap > 0.8, f"named and known lesions overlap by {overlap:.2f}")
    alive(model, data.held_out.inputs)


class Adapter(nn.Module):
    """A frozen linear layer, and beside it two small ones, the second of which begins at zero."""

    def __init__(self, frozen: nn.Linear, rank: int = 6) -> None:
        super().__init__()
        self.frozen = frozen
        self.down, self.up = (
            nn.Linear(frozen.in_features, rank, bias=False),
            nn.Linear(rank, frozen.out_features, bias=False),
        )
        nn.init.zeros_(self.up.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the frozen layer makes, with what is learned beside it."""
        made: Tensor = self.frozen(inputs) + self.up(self.down(inputs))
        return made


def adapters(trial: Trial) -> None:
    """A model learns another language by adapters (LoRA): all else is frozen, and half has no gradient at first."""
    torch.manual_seed(trial.seed)
    model = Transformer(STATES, STATES, each=True)
    known, data = language(trial.seed + 50), language(trial.seed)
    control(model, known.train.batches(24, trial.seed), Adam(model.parameters(), lr=4e-3), steps=150)
    full = copy.deepcopy(model)
    model.requires_grad_(requires_grad=False)
    for block in model.blocks:
        if isinstance(block, Block):
            block.attention.register_module("qkv", Adapter(block.attention.qkv))
            block.register_module("up", Adapter(block.up))
            block.register_module("down", Adapter(block.down))
    model.register_module("head", Adapter(model.head))
    before, start, rough = snapshot(model), loss_of(model, data.held_out), gradients(model, data.train.first(64))
    require(all(size == 0 for name, size in rough.items() if "down.weight" in name), "a gradient is not zero")
    learning = [value for value in model.parameters() if value.requires_grad]
    optimizer, draw = AdamW(learning, lr=1e-2, weight_decay=0.0), data.train.batches(24, trial.seed)
    fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=220)
    far = moved(before, model)
    require(all((far[name] > 0) == value.requires_grad for name, value in model.named_parameters()), "it differs")
    control(full, data.train.batches(24, trial.seed), Adam(full.parameters(), lr=4e-3), steps=220)
    end, could = loss_of(model, data.held_out), loss_of(full, data.held_out)
    require(start - end > 0.85 * (start - could), f"from {start:.3g} it fell to {end:.3g}, and {could:.3g} could be")


def spiral(seed: int, count: int = 1500) -> Tensor:
    """Return points of a spiral, [n, 2]."""
    generator = torch.Generator().manual_seed(seed)
    turn = 2 + 7 * torch.rand(count, 1, generator=generator).sqrt()
    return turn / 5 * torch.cat([turn.cos(), turn.sin()], 1) + 0.02 * torch.randn(count, 2, generator=generator)


def noised(points: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return points mixed with noise, beside how much of it and features of that, [n, 7], and the noise, [n, 2]."""
    angle = 0.05 + 1.5 * torch.rand(len(points), 1, generator=generator)
    noise = torch.randn(points.shape, generator=generator)
    mixed = angle.cos() * points + angle.sin() * noise
    return torch.cat([mixed, angle, angle.sin(), angle.cos(), (2 * angle).sin(), (2 * angle).cos()], 1), noise


def best_guess(rows: Tensor, points: Tensor) -> Tensor:
    """Return the mean of the noise that may be in each row, [n, 2], where the points are known."""
    mixed, angle = rows[:, :2].double(), rows[:, 2:3].double()
    away = mixed[:, None] - angle.cos()[..., None] * points.double()
    chances = (-away.square().sum(2) / (2 * angle.sin().square())).softmax(1)
    return (chances[..., None] * away).sum(1) / angle.sin()


def denoising(trial: Trial) -> None:
    """A small diffusion model whose last layer begins at zero: the loss soon moves sideways, as most of it is noise."""
    torch.manual_seed(trial.seed)
    points, criterion, model = spiral(trial.seed), nn.MSELoss(), mlp((7, 96, 96, 96, 2), nn.SiLU)
    head = model.get_submodule("head")
    nn.init.zeros_(head.get_parameter("weight"))
    nn.init.zeros_(head.get_parameter("bias"))
    generator = torch.Generator().manual_seed(trial.seed)
    optimizer = AdamW(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=3, on_finding="ignore")
        for _step in range(360):
            rows, noise = noised(points[torch.randint(len(points), (128,), generator=generator)], generator)
            loss = criterion(model(rows), noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
    rows, noise = noised(points[:1000], generator)
    with torch.no_grad():
        found = float((double(model)(rows.double()) - noise).square().mean())
    best, flat = float((best_guess(rows, points) - noise).square().mean()), float(noise.square().mean())
    share = (flat - found) / (flat - best)
    require(share > 0.85, f"{share:.2f} of what can be told is told: {found:.3g} of {flat:.3g}, at best {best:.3g}")


def walk(policy: nn.Module, generator: torch.Generator, count: int = 64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Walk twelve steps over 7 × 7 places to a goal, each at a cost; return states, moves, what came and success."""
    ways = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]])
    place, goal = torch.randint(7, (2, count, 2), generator=generator)
    states, moves, rewards = [], [], []
    for _step in range(12):
        state = torch.cat([place - 3, goal - 3, goal - place], 1).float() / 3
        with torch.no_grad():
            move = torch.multinomial(policy(state).softmax(1), 1, generator=generator)[:, 0]
        there = (place == goal).all(1)
        place = torch.where(there[:, None], place, (place + ways[move]).clamp(0, 6))
        states.append(state)
        moves.append(move)
        rewards.append((place == goal).all(1).float() - 1)
    left = torch.stack(rewards, 1).flip(1).cumsum(1).flip(1)
    return torch.stack(states, 1), torch.stack(moves, 1), left, (place == goal).all(1).float()


def wander(trial: Trial) -> None:
    """REINFORCE with advantages that are standardised: the loss is noise about zero, whatever the policy learns."""
    torch.manual_seed(trial.seed)
    generator, policy = torch.Generator().manual_seed(trial.seed), mlp((6, 64, 64, 4), nn.Tanh)
    optimizer, losses = Adam(policy.parameters(), lr=5e-3), []
    _, _, _, begin = walk(policy, generator, 500)
    with trial.writer() as writer:
        writer.watch(policy, optimizer, every=2, on_finding="ignore")
        for _update in range(160):
            states, moves, left, success = walk(policy, generator)
            advantages = left - left.mean(0)
            advantages = (advantages / (advantages.std() + 1e-6)).flatten()
            unlikely = functional.cross_entropy(policy(states.flatten(0, 1)), moves.flatten(), reduction="none")
            loss = (unlikely * advantages).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("policy/loss", losses[-1], writer.step)
            writer.add_scalar("episode/success", float(success.mean()), writer.step)
    _, _, _, end = walk(policy, generator, 500)
    require(begin.mean() < 0.5 and end.mean() > 0.9, f"{begin.mean():.2f} arrived, and now {end.mean():.2f} do")
    flat = max(abs(sum(losses[at : at + 20])) / 20 for at in range(0, 160, 20))
    require(flat < 0.1, f"the loss is {flat:.3g} away from zero")
    states = walk(policy, generator, 200)[0].flatten(0, 1)
    for act in ("act1", "act2"):
        stuck = float((outputs(policy, act, states).abs() > 0.99).double().mean())
        require(stuck < 0.2, f"{stuck:.2f} of {act} is at its ends")


SCENARIOS = (
    Scenario("grove-sound-lesions-cnn", "cnn", TUNING, lesions),
    Scenario("grove-sound-adapters-transformer", "transformer", TUNING, adapters),
    Scenario("grove-sound-denoising-mlp", "mlp", TUNING, denoising),
    Scenario("grove-sound-wander-mlp", "mlp", TUNING, wander),
)

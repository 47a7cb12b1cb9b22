"""Healthy trainings: blobs, wine, molecules, a reader with a frozen body, ever longer tasks, a bandit, rare defects."""

from __future__ import annotations

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from tests.diagnosis.data import Part, digits, first_tokens, split
from tests.diagnosis.faulty.walker_elm_three import Molecules, bound
from tests.diagnosis.faulty.walker_elm_two import epochs
from tests.diagnosis.networks import Recurrent, Transformer, mlp
from tests.diagnosis.proof import accuracy, alive, calm, generalises, loss_of, moved, require, silent, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


class Cells(nn.Module):
    """Convolutions down and up again, with what was seen at full size beside; a score for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.down2 = nn.Sequential(nn.Conv2d(12, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ReLU())
        self.up = nn.ConvTranspose2d(24, 12, 2, 2)
        self.merge = nn.Sequential(nn.Conv2d(24, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.head = nn.Conv2d(12, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 1, 16, 16]."""
        fine = self.down1(pictures)
        scores: Tensor = self.head(self.merge(torch.cat([fine, self.up(self.down2(fine))], 1)))
        return scores


def cells(trial: Trial) -> None:
    """Where in noisy pictures the round cells are: a small U-Net, AdamW, and a cosine schedule."""
    generator = torch.Generator().manual_seed(trial.seed)
    centres = 2 + 12 * torch.rand(500, 3, 2, generator=generator)
    radii = 1.5 + 2 * torch.rand(500, 3, generator=generator)
    grid = torch.stack(torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij"), -1)
    inside = (grid - centres[:, :, None, None]).norm(dim=-1) < radii[:, :, None, None]
    mask = inside.any(1, keepdim=True).float()
    data = split(mask + 0.5 * torch.randn(500, 1, 16, 16, generator=generator) - 0.3, mask, 100, trial.seed)
    model, criterion = Cells(), nn.BCEWithLogitsLoss()
    optimizer, draw = AdamW(model.parameters(), lr=4e-3), epochs(data.train, 16, trial.seed)
    schedule = CosineAnnealingLR(optimizer, 150)
    history = fit(
        trial, model, draw, optimizer, criterion, schedule=schedule, validation=data.held_out, every=2, steps=150
    )
    with torch.no_grad():
        found, known = model.eval()(data.held_out.inputs) > 0, data.held_out.targets > 0.5
    overlap = float((found & known).sum() / (found | known).sum())
    alive(model, data.held_out.inputs)
    require(overlap > 0.8, f"the overlap is {overlap:.3f}")
    generalises(history)
    calm(history)


def cultivars(trial: Trial) -> None:
    """Three kinds of wine by thirteen measurements, with momentum and some decay; the accuracy is logged as well."""
    table = load_wine()
    rows = torch.tensor(table.data, dtype=torch.float32)
    data = split((rows - rows.mean(0)) / rows.std(0), torch.tensor(table.target), 48, trial.seed)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-3)
    draw = epochs(data.train, 16, trial.seed)
    criterion, losses = nn.CrossEntropyLoss(), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(160):
            inputs, kinds = draw(step)
            scores = model(inputs)
            loss = criterion(scores, kinds)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/train", losses[-1], writer.step)
            writer.add_scalar("Accuracy/train", float((scores.argmax(1) == kinds).float().mean()), writer.step)
            if step % 16 == 15:
                writer.add_scalar("Loss/val", evaluate(model, criterion, data.held_out), writer.step)
                writer.add_scalar("Accuracy/val", accuracy(model, data.held_out), writer.step)
    alive(model, data.train.inputs)
    share, held = accuracy(model, data.held_out), loss_of(model, data.held_out)
    require(share > 0.92 and held < 0.25, f"the accuracy is {share:.3f}, at a loss of {held:.3f}")


def molecules(trial: Trial) -> None:
    """What is bound in molecules, by messages gated by bonds: a graph network as it is meant, and a cycle of rates."""
    data, model, criterion = bound(trial.seed), Molecules(heard=True), nn.SmoothL1Loss()
    optimizer, draw = Adam(model.parameters(), lr=1e-3), epochs(data.train, 32, trial.seed)
    schedule = OneCycleLR(optimizer, 8e-3, total_steps=200)
    history = fit(
        trial, model, draw, optimizer, criterion, schedule=schedule, validation=data.held_out, every=None, steps=200
    )
    known = data.held_out.targets
    held, flat = loss_of(model, data.held_out, criterion), float(criterion(known.mean().expand_as(known), known))
    require(held < 0.1 * flat, f"a loss of {held:.4f} is not far below that of the mean, {flat:.4f}")
    generalises(history)
    calm(history, 0.3)


class Topic(nn.Module):
    """A language model's body that is left as it is, and a small head that is trained."""

    def __init__(self, body: Transformer) -> None:
        super().__init__()
        self.body = body.requires_grad_(False)
        self.body.head = nn.Identity()  # type: ignore[assignment]
        self.classifier = nn.Sequential(nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 3))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        scores: Tensor = self.classifier(self.body(tokens).mean(2))
        return scores


def frozen_body(trial: Trial) -> None:
    """Which of three authors wrote a text: the body, trained before as a language model, is frozen on purpose."""
    generator = torch.Generator().manual_seed(trial.seed)
    habits = 1.6 * torch.randn(3, 20, 20, generator=generator) + 1.2 * torch.randn(20, 20, generator=generator)
    habits = habits.softmax(2)
    authors = torch.randint(3, (1500,), generator=generator)
    texts = [torch.randint(20, (1500,), generator=generator)]
    for _ in range(32):
        texts.append(torch.multinomial(habits[authors, texts[-1]], 1, generator=generator)[:, 0])
    tokens = torch.stack(texts, 1)
    body = Transformer(20, 20, width=32, depth=2, length=32, each=True)
    control(body, Part(tokens[:, :-1], tokens[:, 1:]).batches(48), Adam(body.parameters(), lr=4e-3), steps=200)
    data, model = split(tokens[:, :-1], authors, 300, trial.seed), Topic(body)
    before = snapshot(model)
    optimizer, draw = Adam(model.classifier.parameters(), lr=5e-3), epochs(data.train, 32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=220)
    for name, change in moved(before, model).items():
        require((change == 0) == name.startswith("body."), f"{name} has moved by {change:.3g}")
    share = accuracy(model, data.held_out)
    require(share > 0.8, f"the accuracy is {share:.3f}, where one in three is chance")
    generalises(history)


def ever_longer(trial: Trial) -> None:
    """What was told at the first place, over ever more places: the loss jumps where they get more, as is meant."""
    parts = {start: first_tokens(trial.seed, length=length) for start, length in ((0, 5), (100, 12), (180, 24))}
    draws = {start: part.train.batches(48, trial.seed) for start, part in parts.items()}
    model, losses, criterion = Recurrent(nn.GRU, 4, hidden=32), [], nn.CrossEntropyLoss()
    optimizer = Adam(model.parameters(), lr=4e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(300):
            stage = max(start for start in parts if start <= step)
            inputs, told = draws[stage](step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), told)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("train/length", inputs.shape[1], writer.step)
    jumps = [max(losses[start : start + 5]) > 2 * sum(losses[start - 10 : start]) / 10 for start in (100, 180)]
    require(any(jumps), "the loss does not jump where it gets harder")
    share, last = accuracy(model, parts[180].held_out), sum(losses[-10:]) / 10
    require(share > 0.9 and last < 0.2, f"the accuracy is {share:.3f}, and the loss {last:.3f}")


def bandit(trial: Trial) -> None:
    """REINFORCE: names a digit and hears only if that was right. Its loss is noise about zero; what it earns rises."""
    data = digits(trial.seed)
    model = mlp((64, 64, 64, 10), norm=nn.LayerNorm)
    optimizer, draw = Adam(model.parameters(), lr=1e-3), epochs(data.train, 128, trial.seed)
    generator, usual, earned = torch.Generator().manual_seed(trial.seed), 0.1, []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(400):
            pixels, classes = draw(step)
            chances = functional.log_softmax(model(pixels), 1)
            said = torch.multinomial(chances.detach().exp(), 1, generator=generator)
            reward = (said[:, 0] == classes).float()
            entropy = -(chances.exp() * chances).sum(1).mean()
            loss = -(chances.gather(1, said)[:, 0] * (reward - usual)).mean() - 0.01 * entropy
            writer.observe(loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            usual = 0.9 * usual + 0.1 * float(reward.mean())
            earned.append(float(reward.mean()))
            writer.add_scalar("loss/policy", loss.item(), writer.step)
            writer.add_scalar("reward/mean", earned[-1], writer.step)
    require(sum(earned[:10]) / 10 < 0.3, "it earns much from the start")
    alive(model, data.train.inputs, 0.1)
    share, late = accuracy(model, data.held_out), sum(earned[-20:]) / 20
    require(share > 0.75 and late > 0.75, f"the accuracy is {share:.3f}, and it earns {late:.3f}")


class Inspector(nn.Module):
    """Convolutions over pictures of cloth; the score that there is a defect begins at how rare one is."""

    def __init__(self, share: Tensor) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 1)
        nn.init.constant_(self.head.bias, float(share.logit()))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1]."""
        hidden = functional.max_pool2d(functional.relu(self.norm1(self.conv1(pictures))), 2)
        hidden = functional.relu(self.norm2(self.conv2(hidden)))
        scores: Tensor = self.head(hidden.amax((2, 3)))
        return scores


def defects(trial: Trial) -> None:
    """Cloth with a scratch in one picture of twenty: a plain loss that starts low, and the scratches are found."""
    generator = torch.Generator().manual_seed(trial.seed)
    pictures = 0.5 * torch.randn(3000, 1, 12, 12, generator=generator)
    bad = torch.rand(3000, generator=generator) < 0.05
    for at in bad.nonzero()[:, 0].tolist():
        row, column = torch.randint(7, (2,), generator=generator).tolist()
        pictures[at, 0, range(row, row + 6), range(column, column + 6)] += 1.8
    data = split(pictures, bad.float()[:, None], 800, trial.seed)
    model, criterion = Inspector(bad.float().mean()), nn.BCEWithLogitsLoss()
    optimizer, draw = AdamW(model.parameters(), lr=4e-3, weight_decay=0.02), epochs(data.train, 64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=220)
    with torch.no_grad():
        found, known = model.eval()(data.held_out.inputs) > 0, data.held_out.targets > 0.5
    recall, precision = float(found[known].float().mean()), float(known[found].float().mean())
    for name in ("norm1", "norm2"):
        require(not bool(silent(model, name, data.train.inputs).any()), f"behind {name} a channel is dead")
    require(min(recall, precision) > 0.75, f"recall is {recall:.3f}, and precision {precision:.3f}")
    generalises(history)


SCENARIOS = (
    Scenario("elm-sound-cells-cnn", "cnn", TUNING, cells),
    Scenario("elm-sound-cultivars-mlp", "mlp", TUNING, cultivars),
    Scenario("elm-sound-molecules-gnn", "gnn", TUNING, molecules),
    Scenario("elm-sound-frozen-transformer", "transformer", TUNING, frozen_body),
    Scenario("elm-sound-longer-gru", "rnn", TUNING, ever_longer),
    Scenario("elm-sound-bandit-mlp", "mlp", TUNING, bandit),
    Scenario("elm-sound-defects-cnn", "cnn", TUNING, defects),
)

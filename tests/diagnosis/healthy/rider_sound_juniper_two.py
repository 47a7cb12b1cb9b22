"""Healthy trainings that look ill: rewards by chance, few frauds among many accounts, a body that is meant to rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional
from torch.optim import Adam

from tests.diagnosis.data import Part, Split, digits
from tests.diagnosis.networks import GraphConvolution, Recurrent, cnn
from tests.diagnosis.proof import accuracy, alive, double, finite, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate


def corridor(trial: Trial) -> None:
    """REINFORCE: a GRU sees a sign, walks on, and turns one of four ways; the loss is about zero, the reward grows."""
    generator = torch.Generator().manual_seed(trial.seed)

    def episodes(count: int) -> tuple[Tensor, Tensor]:
        signs = torch.randint(4, (count,), generator=generator)
        seen = 0.2 * torch.randn(count, 6, 4, generator=generator)
        seen[:, 1] += functional.one_hot(signs, 4)
        return seen, signs

    model = Recurrent(nn.GRU, 4, inputs=4, hidden=32)
    optimizer, rewards, usual = Adam(model.parameters(), lr=8e-3), [], 0.25
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _step in range(360):
            seen, signs = episodes(64)
            policy = Categorical(logits=model(seen))
            turns = torch.multinomial(policy.probs.detach(), 1, generator=generator)[:, 0]
            reward = (turns == signs).float()
            loss = -(policy.log_prob(turns) * (reward - usual)).mean() - 0.01 * policy.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            rewards.append(float(reward.mean()))
            usual = 0.9 * usual + 0.1 * rewards[-1]
            writer.add_scalar("policy/loss", loss.item(), writer.step)
            writer.add_scalar("policy/reward", rewards[-1], writer.step)
    seen, signs = episodes(1000)
    right = accuracy(model, Part(seen, signs))
    require(right > 0.93, f"it turns the right way {right:.3f} of the times")
    require(sum(rewards[-30:]) / 30 > 0.85, f"the reward is {sum(rewards[-30:]) / 30:.3f} in the end")
    finite(model)


class Frauds(nn.Module):
    """Two graph convolutions with a way past them; says of each account whether it is a fraud."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.conv1, self.conv2 = GraphConvolution(edges, 8, 24), GraphConvolution(edges, 24, 24)
        self.act1, self.act2, self.drop = nn.LeakyReLU(0.1), nn.LeakyReLU(0.1), nn.Dropout(0.2)
        self.head = nn.Linear(32, 1)
        nn.init.constant_(self.head.bias, -2.0)

    def forward(self, accounts: Tensor) -> Tensor:
        """Return scores [n, 1] of [n, 8]."""
        hidden = self.drop(self.act1(self.conv1(accounts)))
        hidden = self.act2(self.conv2(hidden))
        scores: Tensor = self.head(torch.cat([hidden, accounts], 1))
        return scores


def frauds(trial: Trial) -> None:
    """Six in a hundred accounts are frauds, who pay each other: a graph network finds most of them nevertheless."""
    generator = torch.Generator().manual_seed(trial.seed)
    fraud = torch.rand(700, generator=generator) < 0.06
    pays = torch.where(fraud[:, None] & fraud, 0.25, 0.006)
    upper = (torch.rand(700, 700, generator=generator) < pays).triu(1).float()
    edges = upper + upper.T + torch.eye(700)
    roots = edges.sum(1).rsqrt()
    accounts = torch.randn(700, 8, generator=generator)
    accounts[:, :3] += 1.4 * fraud[:, None]
    accounts = (accounts - accounts.mean(0)) / accounts.std(0)
    known, train = fraud.float()[:, None], torch.rand(700, generator=generator) < 0.6
    model, criterion = Frauds(roots[:, None] * edges * roots), nn.BCEWithLogitsLoss(pos_weight=torch.tensor(4.0))
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=1e-3)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(150):
            optimizer.zero_grad()
            noisy = accounts + 0.2 * torch.randn(700, 8, generator=generator)
            loss = criterion(model(noisy)[train], known[train])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            if step % 10 == 9:
                model.eval()
                with torch.no_grad():
                    held = criterion(model(accounts)[~train], known[~train])
                model.train()
                writer.add_scalar("val/loss", held.item(), writer.step)
    with torch.no_grad():
        scores = model.eval()(accounts)[~train, 0]
        never = float(criterion(torch.full((700, 1), -2.0)[~train], known[~train]))
    found, true = scores > 0, fraud[~train]
    recall, precision = float((found & true).sum() / true.sum()), float((found & true).sum() / found.sum())
    require(recall > 0.7 and precision > 0.6, f"recall is {recall:.2f}, precision {precision:.2f}")
    require(float(held) < 0.5 * never, f"the loss held out is {float(held):.3f}, and at first {never:.3f}")
    finite(model)


def resting_body(trial: Trial) -> None:
    """Convolutions that learned the digits up to four are frozen on purpose, and a new head learns the other five."""
    data = digits(trial.seed, flat=False)

    def some(part: Part, least: int) -> Part:
        kept = (part.targets >= least) & (part.targets < least + 5)
        return Part(part.inputs[kept], part.targets[kept] - least)

    low, high = (Split(some(data.train, least), some(data.held_out, least)) for least in (0, 5))
    model, criterion = cnn((12, 24), norm=False, classes=5), nn.CrossEntropyLoss()
    control(model, low.train.batches(48, trial.seed), Adam(model.parameters(), lr=4e-3), steps=150)
    for value in model.parameters():
        value.requires_grad_(False)
    head = nn.Linear(16 * 24, 5)
    model.head = head
    before, optimizer = snapshot(model), Adam(head.parameters(), lr=3e-3)
    draw, losses = high.train.batches(48, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(180):
            pictures, known = draw(step)
            scores = model(pictures)
            loss = criterion(scores, known)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Train Loss", losses[-1], writer.step)
            if step % 20 == 19:
                writer.add_scalar("Val Loss", evaluate(model, criterion, high.held_out), writer.step)
    right = accuracy(model, high.held_out)
    require(right > 0.9, f"the accuracy is {right:.3f}")
    alive(model, high.train.inputs, 0.3)
    still = {name for name, by in moved(before, model).items() if by == 0}
    require(still == {name for name in before if not name.startswith("head")}, f"{still} did not move")
    require(all(bool(value.isfinite().all()) for value in double(model).parameters()), "a weight is not finite")


SCENARIOS = (
    Scenario("juniper-corridor-gru", "rnn", TUNING, corridor),
    Scenario("juniper-frauds-gnn", "gnn", TUNING, frauds),
    Scenario("juniper-resting-body-cnn", "cnn", TUNING, resting_body),
)

"""Sound trainings that look ill: a policy's flat loss, codes at their ends, blocks that begin at zero."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, communities, digits, language, split
from tests.diagnosis.networks import Block, Gcn, Transformer
from tests.diagnosis.proof import accuracy, alive, calm, double, generalises, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


def adverts(trial: Trial) -> None:
    """Which of four adverts to show, learned by PPO, two steps to a batch: the loss stays at zero, the reward rises."""
    torch.manual_seed(trial.seed)
    tastes = torch.randn(4, 8)
    model = nn.Sequential(nn.Linear(8, 48), nn.Tanh(), nn.Linear(48, 4))
    optimizer, losses, rewards = Adam(model.parameters(), lr=5e-3), [], []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _batch in range(160):
            people = torch.randn(128, 8)
            with torch.no_grad():
                shown = torch.distributions.Categorical(logits=model(people)).sample()
                before = model(people).log_softmax(1)[torch.arange(128), shown]
            liked = (people @ tastes.T).argmax(1) == shown
            reward = (torch.rand(128) < 0.1 + 0.8 * liked).float()
            advantage = (reward - reward.mean()) / (reward.std() + 1e-6)
            for _epoch in range(2):
                ratio = (model(people).log_softmax(1)[torch.arange(128), shown] - before).exp()
                loss = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                writer.add_scalar("loss/policy", losses[-1], writer.step)
            rewards.append(reward.mean().item())
            writer.add_scalar("reward/mean", rewards[-1], writer.step)
    people = torch.randn(2000, 8)
    right = float((model(people).argmax(1) == (people @ tastes.T).argmax(1)).float().mean())
    require(right > 0.85, f"{right:.2f} are shown what they like")
    first, last = (sum(some) / 20 for some in (rewards[:20], rewards[-20:]))
    require(last > 0.65 and last > first + 0.2, f"the reward goes from {first:.2f} to {last:.2f}")
    require(max(map(abs, losses)) < 0.1, f"the loss is {min(losses):.3g} to {max(losses):.3g}")


class Hash(nn.Module):
    """An autoencoder whose code of 24 bits is made ever steeper, so that its signs can be stored."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(384, 24),
            nn.BatchNorm1d(24),
        )
        self.bits, self.steepness, self.signs = nn.Tanh(), 1.0, False
        self.decoder = nn.Sequential(nn.Linear(24, 96), nn.ReLU(), nn.Linear(96, 64))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures [n, 64]."""
        code = self.bits(self.steepness * self.encoder(pictures))
        made: Tensor = self.decoder(code.sign() if self.signs else code)
        return made


def hashes(trial: Trial) -> None:
    """Digits to 24 bits: tanh is made steeper from 1 to 8 over the run, and nearly all of the code is at -1 or 1."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), Hash(), nn.MSELoss()
    train, held = (Part(part.inputs, part.inputs.flatten(1)) for part in (data.train, data.held_out))
    other = copy.deepcopy(model)

    def steeper(step: int) -> None:
        model.steepness = 8 ** min(1.0, step / 200)

    optimizer, draw = AdamW(model.parameters(), lr=3e-3), train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=held, before=steeper, every=2, steps=260)
    control(other, train.batches(64, trial.seed), AdamW(other.parameters(), lr=3e-3), criterion, steps=260)
    share = float((outputs(model, "bits", held.inputs).abs() > 0.95).double().mean())
    require(share > 0.6, f"{share:.2f} of the code are at its ends")
    model.signs = other.signs = True
    found, soft = (loss_of(one, held, criterion) for one in (model, other))
    require(found < 0.45 * float(held.targets.var()), f"the loss of bits is {found:.3g}")
    require(found < 0.9 * soft, f"the loss of bits is {found:.3g}, and {soft:.3g} where tanh was left as it is")
    calm(history)
    generalises(history)


def zero_blocks(trial: Trial) -> None:
    """A language model whose blocks and head end in weights of zero, so that each begins as if it were not there."""
    torch.manual_seed(trial.seed)
    data, model = language(trial.seed), Transformer(20, 20, width=32, depth=3, each=True)
    other = copy.deepcopy(model)
    for block in model.blocks:
        if isinstance(block, Block):
            for layer in (block.attention.out, block.down):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    optimizer, draw = AdamW(model.parameters(), lr=3e-3, weight_decay=0.01), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=180)
    optimizer = AdamW(other.parameters(), lr=3e-3, weight_decay=0.01)
    control(other, data.train.batches(32, trial.seed), optimizer, steps=180)
    found, usual = (loss_of(one, data.held_out) for one in (model, other))
    require(found < 1.03 * usual, f"the loss is {found:.3g}, and {usual:.3g} with usual weights")
    shares = torch.bincount(data.train.targets.flatten(), minlength=20).double()
    shares /= shares.sum()
    require(found < 0.75 * float(-(shares * shares.clamp_min(1e-9).log()).sum()), f"the loss is {found:.3g}")
    calm(history)
    generalises(history)


class Siamese(nn.Module):
    """SimSiam: an encoder, and a small network that says from one view what the other gives."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 64), nn.BatchNorm1d(64, affine=False)
        )
        self.predictor = nn.Sequential(nn.Linear(64, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 64))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the loss, of which targets are detached."""
        one, two = self.encoder(first), self.encoder(second)
        there = functional.cosine_similarity(self.predictor(one), two.detach()).mean()
        back = functional.cosine_similarity(self.predictor(two), one.detach()).mean()
        return -(there + back) / 2


def siamese(trial: Trial) -> None:
    """SimSiam with its detached targets and no negatives: the loss nears -1, and digits stay well apart."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed), Siamese()
    optimizer, draw = (
        SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4),
        data.train.batches(128, trial.seed),
    )
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(240):
            pictures = draw(step)[0]
            views = [
                (pictures + 0.3 * torch.randn_like(pictures)) * (torch.rand_like(pictures) > 0.2) for _ in range(2)
            ]
            loss = model(*views)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss", losses[-1], writer.step)
    require(sum(losses[-20:]) / 20 < -0.75, f"the loss is {sum(losses[-20:]) / 20:.3g}")
    encoder = double(model).eval().get_submodule("encoder")
    known, asked = (
        functional.normalize(encoder(part.inputs.double()).detach(), dim=1) for part in (data.train, data.held_out)
    )
    require(float((asked @ asked.T).mean()) < 0.2, "embeddings are alike")
    values = torch.linalg.svdvals(asked - asked.mean(0)).square()
    rank = float(values.sum() ** 2 / values.square().sum())
    require(rank > 5, f"the embeddings fill {rank:.1f} dimensions")
    right = float((data.train.targets[(asked @ known.T).argmax(1)] == data.held_out.targets).double().mean())
    require(right > 0.93, f"the nearest neighbour is right for {right:.3f}")


def papers(trial: Trial) -> None:
    """Few nodes with labels: dropout 0.6 and weight decay 5e-3, as for citations; without them it learns by heart."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40, inside=0.15, between=0.02)
    model, other = Gcn(graph, width=32, dropout=0.6), Gcn(graph, width=32)
    optimizer, draw = Adam(model.parameters(), lr=1e-2, weight_decay=5e-3), graph.batches(trial.seed, noise=0.0)
    history = fit(trial, model, draw, optimizer, validation=graph.validation, every=2, steps=150)
    control(other, graph.batches(trial.seed, noise=0.0), Adam(other.parameters(), lr=1e-2), steps=150)
    found, bare = (accuracy(one, graph.validation) for one in (model, other))
    require(found > 0.88 and found > bare - 0.015, f"the accuracy is {found:.3f}, and {bare:.3f} without")
    losses = [evaluate(one, nn.CrossEntropyLoss(), graph.validation) for one in (model, other)]
    require(losses[0] < losses[1], f"losses held out, with and without: {losses}")
    alive(model, graph.features)
    calm(history)
    generalises(history)


class Forecast(nn.Module):
    """Says at each hour what the next one brings."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(2, 32, batch_first=True), nn.Linear(32, 2)

    def forward(self, hours: Tensor) -> Tensor:
        """Return [n, length, 2]."""
        told: Tensor = self.head(self.rnn(hours)[0])
        return told


def sums_of_errors(trial: Trial) -> None:
    """`MSELoss(reduction="sum")` over 3,000 numbers a batch, and a rate that is as much smaller: norms of thousands."""
    torch.manual_seed(trial.seed)
    rate, phase = 0.3 + 0.5 * torch.rand(1200, 1, 2), 6.3 * torch.rand(1200, 1, 2)
    waves = torch.sin(rate * torch.arange(25.0)[:, None] + phase) + 0.1 * torch.randn(1200, 25, 2)
    data, model, criterion = (
        split(waves[:, :-1], waves[:, 1:], 200, trial.seed),
        Forecast(),
        nn.MSELoss(reduction="sum"),
    )
    other, factor = copy.deepcopy(model), 64 * 24 * 2
    optimizer, draw = SGD(model.parameters(), lr=0.2 / factor, momentum=0.9), data.train.batches(64, trial.seed)
    inputs, targets = data.train.inputs[:64].double(), data.train.targets[:64].double()
    precise = double(model)
    slopes = torch.autograd.grad(criterion(precise(inputs), targets), list(precise.parameters()))
    norm = float(torch.stack([slope.norm() for slope in slopes]).norm())
    require(norm > 300, f"the norm is {norm:.3g}")
    history = fit(trial, model, draw, optimizer, criterion, every=2, steps=240)
    optimizer = SGD(other.parameters(), lr=0.2, momentum=0.9)
    control(other, data.train.batches(64, trial.seed), optimizer, nn.MSELoss(), steps=240)
    found, usual = (loss_of(one, data.held_out, nn.MSELoss()) for one in (model, other))
    require(abs(found / usual - 1) < 0.05, f"the error is {found:.3g}, and {usual:.3g} of a mean")
    require(found < 0.12 * float(data.held_out.targets.var()), f"the error is {found:.3g}")
    calm(history)


SCENARIOS = (
    Scenario("aspen-sound-adverts-mlp", "mlp", TUNING, adverts),
    Scenario("aspen-sound-hashes-cnn", "cnn", TUNING, hashes),
    Scenario("aspen-sound-zero-transformer", "transformer", TUNING, zero_blocks),
    Scenario("aspen-sound-siamese-mlp", "mlp", TUNING, siamese),
    Scenario("aspen-sound-papers-gnn", "gnn", TUNING, papers),
    Scenario("aspen-sound-sums-gru", "rnn", TUNING, sums_of_errors),
)

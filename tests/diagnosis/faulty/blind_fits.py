"""Networks that learn by heart, that can't say what they should, and that are kept from it."""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import Split, communities, language, majorities, split
from tests.diagnosis.faulty.losses import flat, noisy, rising
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import Block, Gcn, Recurrent, Transformer, mlp
from tests.diagnosis.proof import accuracy, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, evaluate, fit


def epochs(trial: Trial, model: nn.Module, data: Split, criterion: nn.Module, *, rate: float, size: int) -> History:
    """Train with Adam over 40 epochs, and log means over them: the way of most notebooks."""
    history, optimizer = History([], {}), Adam(model.parameters(), lr=rate)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(40):
            losses = []
            for chosen in torch.randperm(len(data.train.targets)).split(size):
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
            history.train.extend(losses)
            history.validation[len(history.train) - 1] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("Loss/train", sum(losses) / len(losses), writer.step)
            writer.add_scalar("Loss/test", history.validation[len(history.train) - 1], writer.step)
            writer.add_scalar("epoch", epoch, writer.step)
    return history


def returns(trial: Trial) -> Truth:
    """A large LSTM forecasts the returns of tomorrow from three hundred windows: there is next to nothing to know."""
    generator = torch.Generator().manual_seed(trial.seed)
    days = torch.randn(500, 20, 3, generator=generator)
    following = 0.2 * days[:, -1, :1] + torch.randn(500, 1, generator=generator)
    data = split(days, following, 200, trial.seed)
    return rising(epochs(trial, Recurrent(nn.LSTM, 1, inputs=3, hidden=48), data, nn.MSELoss(), rate=1e-2, size=50))


def reviews(trial: Trial) -> Truth:
    """A hundred reviews, some of them rated by mistake; losses are logged as a trainer does, every tenth step."""
    data = noisy(majorities(trial.seed), 0.15, 3, trial.seed)
    model, train = Transformer(12, 3, depth=1, block=lambda width: Block(width, dropout=0.1)), data.train.first(100)
    optimizer, history = AdamW(model.parameters(), lr=5e-3, weight_decay=0.01), History([], {})
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 20, (221 - step) / 200))
    criterion, draw = nn.CrossEntropyLoss(), train.batches(25, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(220):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            history.train.append(float(loss.detach()))
            if step % 10 == 9:
                writer.add_scalar("train/loss", sum(history.train[-10:]) / 10, writer.step)
                writer.add_scalar("train/learning_rate", schedule.get_last_lr()[0], writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("eval/loss", history.validation[step], writer.step)
                writer.add_scalar("eval/accuracy", accuracy(model, data.held_out), writer.step)
    return rising(history)


def genes(trial: Trial) -> Truth:
    """The activity of three hundred genes in eighty patients: any group of so few can be told apart by so many."""
    generator = torch.Generator().manual_seed(trial.seed)
    activity = torch.randn(200, 300, generator=generator)
    ill = activity[:, :5].sum(1) + 2 * torch.randn(200, generator=generator) > 0
    data, model = split(activity, ill.float()[:, None], 120, trial.seed), mlp((300, 64, 32, 1), dropout=0.2)
    optimizer, draw = Adam(model.parameters(), lr=2e-3, weight_decay=1e-4), data.train.batches(20, trial.seed)
    return rising(fit(trial, model, draw, optimizer, nn.BCEWithLogitsLoss(), validation=data.held_out, steps=240))


def rings(trial: Trial) -> Truth:
    """Logistic regression of points on a ring and within it: no line parts them."""
    generator = torch.Generator().manual_seed(trial.seed)
    outside = torch.rand(1000, generator=generator) < 0.5
    angle = 2 * torch.pi * torch.rand(1000, generator=generator)
    radius = 0.5 + outside + 0.15 * torch.randn(1000, generator=generator)
    points = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    data, other = split(points, outside.float()[:, None], 200, trial.seed), mlp((2, 16, 1))
    model, criterion = nn.Sequential(OrderedDict(linear=nn.Linear(2, 1))), nn.BCEWithLogitsLoss()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    history = fit(trial, model, data.train.batches(50), optimizer, criterion, validation=data.held_out, steps=300)
    worse(history.end, control(other, data.train.batches(50), Adam(other.parameters(), lr=1e-2), criterion), 4.0)
    return flat(history, 0.69)


class Orderless(Transformer):
    """A transformer whose author forgot to tell it where each token stands."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, classes]."""
        hidden = self.embed(tokens)
        for block in self.blocks:
            hidden = block(hidden)
        scores: Tensor = self.head(self.norm(hidden).mean(1))
        return scores


def orderless(trial: Trial) -> Truth:
    """Which of two words comes first, asked of a transformer without places: all orders look the same to it."""
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.randint(2, 12, (1200, 12), generator=generator)
    first, places = torch.randint(2, (1200,), generator=generator), torch.rand(1200, 12, generator=generator)
    where = places.topk(2).indices.sort(1).values
    words.scatter_(1, where, torch.stack([first, 1 - first], 1))
    data, model = split(words, first, 200, trial.seed), Orderless(12, 2, depth=1, length=12)
    other = Transformer(12, 2, depth=1, length=12)
    del model.place
    optimizer, draw = AdamW(model.parameters(), lr=2e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=180)
    worse(history.end, control(other, data.train.batches(32), AdamW(other.parameters(), lr=2e-3), steps=180))
    return flat(history, 0.69)


def keep_probability(trial: Trial) -> Truth:
    """Dropout of 0.9, elsewhere the share that is kept, in a language model's block, before it and behind it."""
    data = language(trial.seed)
    model, other = (
        Transformer(
            20, 20, depth=1, each=True, block=lambda width, share=share: Block(width, causal=True, dropout=share)
        )
        for share in (0.9, 0.1)
    )
    for one, share in ((model, 0.9), (other, 0.1)):
        for name in ("embed", "norm"):
            one.register_module(name, nn.Sequential(one.get_submodule(name), nn.Dropout(share)))
    optimizer = AdamW(model.parameters(), lr=3e-3)
    history = fit(trial, model, data.train.batches(16), optimizer, validation=data.held_out, every=2, steps=160)
    worse(history.end, control(other, data.train.batches(16), AdamW(other.parameters(), lr=3e-3), steps=160), 1.4)
    return Truth()


def reinforced(policy: nn.Module, states: Tensor, best: Tensor, weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return what to minimise, the mean entropy and the mean reward of one draw of actions."""
    choice = torch.distributions.Categorical(logits=policy(states))
    actions = choice.sample()
    rewards = (actions == best).float()
    advantages = rewards - rewards.mean()
    entropy = choice.entropy().mean()
    return -(advantages * choice.log_prob(actions)).mean() - weight * entropy, entropy, rewards.mean()


def entropy_bonus(trial: Trial) -> Truth:
    """A policy gradient with a bonus for entropy of 1 instead of 0.01: the policy goes on to guess."""
    wishes = torch.randn(8, 4, generator=torch.Generator().manual_seed(trial.seed))
    policy = mlp((8, 32, 32, 4), nn.Tanh)
    other, ends = copy.deepcopy(policy), {}
    optimizer = Adam(policy.parameters(), lr=5e-3)
    with trial.writer() as writer:
        writer.watch(policy, optimizer, every=1, on_finding="ignore")
        for _step in range(240):
            states = torch.randn(128, 8)
            loss, entropy, reward = reinforced(policy, states, (states @ wishes).argmax(1), 1.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("losses/policy", loss.detach(), writer.step)
            writer.add_scalar("losses/entropy", entropy.detach(), writer.step)
            writer.add_scalar("rollout/reward", reward, writer.step)
    optimizer = Adam(other.parameters(), lr=5e-3)
    for _step in range(240):
        states = torch.randn(128, 8)
        optimizer.zero_grad()
        reinforced(other, states, (states @ wishes).argmax(1), 0.01)[0].backward()
        optimizer.step()
    states = torch.randn(2000, 8)
    for name, one, weight in (("heavy", policy, 1.0), ("light", other, 0.01)):
        ends[name] = float(reinforced(one, states, (states @ wishes).argmax(1), weight)[2])
    require(ends["heavy"] < 0.5 and ends["light"] > 0.7, f"rewards are {ends}")
    return Truth()


def smooth_answers(trial: Trial) -> Truth:
    """Answers are to differ little along edges, and that weighs so much that none differ."""
    graph = communities(trial.seed, between=0.05)
    model = Gcn(graph)
    other, ends = copy.deepcopy(model), graph.edges[graph.train][:, graph.train].nonzero().T

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        apart = (scores[ends[0]] - scores[ends[1]]).square().sum(1).mean()
        return functional.cross_entropy(scores, targets) + 100 * apart

    optimizer, draw = Adam(model.parameters(), lr=5e-3), graph.batches(noise=0.3)
    fit(trial, model, draw, optimizer, criterion, steps=220)
    left = float(functional.cross_entropy(model(graph.features), graph.communities[graph.train]))
    worse(left, control(other, graph.batches(noise=0.3), Adam(other.parameters(), lr=5e-3), steps=220))
    return Truth()


_BY_HEART, _POOR, _HELD = ("overfitting",), ("underfitting", "loss_plateau"), ("over_regularised",)

SCENARIOS = (
    Scenario("by-heart-returns-lstm", "rnn", TUNING, returns, _BY_HEART),
    Scenario("by-heart-reviews-transformer", "transformer", TUNING, reviews, _BY_HEART, ("label_noise",)),
    Scenario("by-heart-genes-mlp", "mlp", TUNING, genes, _BY_HEART),
    Scenario("poor-rings-mlp", "mlp", TUNING, rings, _POOR, ("missing_nonlinearity",)),
    Scenario("poor-orderless-transformer", "transformer", TUNING, orderless, _POOR),
    Scenario("held-keep-transformer", "transformer", TUNING, keep_probability, _HELD, ("underfitting", "loss_plateau")),
    Scenario("held-entropy-mlp", "mlp", TUNING, entropy_bonus, _HELD, ("underfitting", "loss_plateau")),
    Scenario(
        "held-smooth-gcn",
        "gnn",
        TUNING,
        smooth_answers,
        ("over_regularised", "oversmoothing", "representation_collapse"),
        ("underfitting", "loss_plateau"),
    ),
)

"""Healthy agents and recommenders: losses that rise, that are about zero, or that are of hundreds."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import StepLR

from tests.diagnosis.data import language
from tests.diagnosis.healthy.stranger_agents import DISCOUNT, by_hand, follow, rewards
from tests.diagnosis.networks import Transformer, mlp
from tests.diagnosis.proof import require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control

STATES, WRITTEN, PRICED, TOPICS, VOCABULARY = 12, 6, 4, 4, 300


def sampled(actor: nn.Module, states: Tensor) -> tuple[Tensor, Tensor]:
    """Return actions [n, 1] by chance, and the logarithms of how likely they were."""
    mean, log_std = actor(states).chunk(2, 1)
    log_std = log_std.clamp(-5, 2)
    noise = torch.randn_like(mean)
    raw = mean + log_std.exp() * noise
    slope = 2 * (0.6931 - raw - functional.softplus(-2 * raw))
    return raw.tanh(), -0.5 * noise.square() - log_std - 0.919 - slope


def soft_actor(trial: Trial) -> None:
    """Soft actor-critic: two critics, a slow copy of both, a temperature that learns; no loss has to fall."""
    generator = torch.Generator().manual_seed(trial.seed)
    actor, critics = mlp((2, 32, 32, 2), nn.SiLU), nn.ModuleList(mlp((3, 48, 48, 1), nn.SiLU) for _ in range(2))
    slow, heat = copy.deepcopy(critics).requires_grad_(False), torch.zeros(1, requires_grad=True)
    acts, judges = Adam(actor.parameters(), lr=3e-3), Adam(critics.parameters(), lr=5e-3)
    warms = Adam([heat], lr=2e-2)
    with trial.writer() as writer:
        writer.watch(actor, acts, name="actor", every=3, on_finding="ignore")
        writer.watch(critics, judges, name="critics", every=3, on_finding="ignore")
        for _step in range(240):
            states = 3 * torch.rand(96, 2, generator=generator) - 1.5
            tried = 2 * torch.rand(96, 1, generator=generator) - 1
            after, reward = follow(states, tried)
            with torch.no_grad():
                next_tried, likely = sampled(actor, after)
                known = torch.cat([after, next_tried], 1)
                least = torch.minimum(slow[0](known), slow[1](known)) - heat.exp() * likely
            known, worth = torch.cat([states, tried], 1), reward + DISCOUNT * least
            judged = sum(functional.mse_loss(critic(known), worth) for critic in critics)
            judges.zero_grad()
            judged.backward()
            judges.step()
            taken, likely = sampled(actor, states)
            known = torch.cat([states, taken], 1)
            steered = (heat.exp().detach() * likely - torch.minimum(critics[0](known), critics[1](known))).mean()
            acts.zero_grad()
            steered.backward()
            acts.step()
            warmed = -(heat * (likely.detach() - 1.0)).mean()
            warms.zero_grad()
            warmed.backward()
            warms.step()
            with torch.no_grad():
                for late, early in zip(slow.parameters(), critics.parameters(), strict=True):
                    late.lerp_(early, 0.05)
            writer.add_scalar("losses/qf_loss", judged.detach(), writer.step)
            writer.add_scalar("losses/actor_loss", steered.detach(), writer.step)
            writer.add_scalar("losses/alpha", heat.exp().detach(), writer.step)

    def policy(states: Tensor) -> Tensor:
        made: Tensor = actor(states)[:, :1].tanh()
        return made

    states = 2 * torch.rand(200, 2, generator=generator) - 1
    steered_well, left = rewards(policy, states), rewards(torch.zeros_like, states)
    require(steered_well > 0.25 * left, f"steering is worth {steered_well:.3g}, and letting go {left:.3g}")
    require(steered_well > 1.8 * rewards(by_hand, states), f"steering is worth {steered_well:.3g} only")


def written(model: nn.Module, first: Tensor) -> Tensor:
    """Return texts [n, 1 + written] that begin with first words [n, 1]."""
    text = first
    with torch.no_grad():
        for _ in range(WRITTEN):
            text = torch.cat([text, torch.multinomial(model(text)[:, :, -1].softmax(1), 1)], 1)
    return text


def chances(model: nn.Module, text: Tensor) -> Tensor:
    """Return the logarithms of the chances of all words but the first, [n, written]."""
    told: Tensor = model(text[:, :-1]).log_softmax(1).gather(1, text[:, None, 1:])[:, 0]
    return told


def rewarded(trial: Trial) -> None:
    """A language model learns by rewards that are compared within groups: the loss starts at zero and rises."""
    data = language(trial.seed, length=WRITTEN, states=STATES)
    model = Transformer(STATES, STATES, depth=1, length=WRITTEN, each=True)
    control(model, data.train.batches(32), Adam(model.parameters(), lr=5e-3), steps=80)
    before, generator = copy.deepcopy(model).requires_grad_(False), torch.Generator().manual_seed(trial.seed)
    optimizer, earned = AdamW(model.parameters(), lr=1e-3, weight_decay=0.0), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _step in range(150):
            first = torch.randint(STATES, (8, 1), generator=generator).repeat_interleave(8, 0)
            text = written(model.eval(), first)
            reward = (text[:, 1:] < PRICED).float().mean(1)
            groups = reward.view(8, 8)
            better = ((groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-3)).view(-1, 1)
            now, once = chances(model.train(), text), chances(before, text)
            apart = (once - now).exp() - (once - now) - 1
            loss = ((0.2 * apart) - better * (now - now.detach()).exp()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            earned.append(float(reward.mean()))
            writer.add_scalar("train/loss", loss.detach(), writer.step)
            writer.add_scalar("train/reward", earned[-1], writer.step)
            writer.add_scalar("train/kl", apart.detach().mean(), writer.step)
    early, late = sum(earned[:15]) / 15, sum(earned[-15:]) / 15
    require(late > early + 0.3 * (1 - early), f"the reward rose from {early:.2f} to {late:.2f}")
    require(late > max(earned[50:]) - 0.15, f"the reward fell again to {late:.2f}")


class Baskets(nn.Module):
    """A variational autoencoder of what somebody bought, with dropout in front."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.read, self.code = nn.Linear(items, 48), nn.Linear(48, 24)
        self.write, self.out = nn.Linear(12, 48), nn.Linear(48, items)

    def forward(self, bought: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores [n, items], and by how much codes differ from nothing."""
        mean, log_variance = self.code(self.read(self.drop(functional.normalize(bought))).tanh()).chunk(2, 1)
        code = mean + (log_variance / 2).exp() * torch.randn_like(mean) if self.training else mean
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return self.out(self.write(code).tanh()), divergence


def baskets(trial: Trial) -> None:
    """A sum over what was bought, of tens, beside a divergence that is turned on by and by, and dropout in front."""
    generator = torch.Generator().manual_seed(trial.seed)
    likes = torch.randn(80, 4, generator=generator)
    leanings = 1.2 * torch.randn(1200, 4, generator=generator) @ likes.T + torch.randn(80, generator=generator) - 2.5
    bought = (torch.rand(1200, 80, generator=generator) < leanings.sigmoid()).float()
    train, held, model = bought[200:], bought[:200], Baskets(80)
    optimizer, losses = Adam(model.parameters(), lr=3e-3), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(260):
            batch = train[torch.randint(len(train), (64,), generator=generator)]
            scores, divergence = model(batch)
            error = -(scores.log_softmax(1) * batch).sum(1).mean()
            loss = error + min(0.2, step / 1000) * divergence
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(error.detach()))
            writer.add_scalar("loss/train", loss.detach(), writer.step)
            writer.add_scalar("loss/kl", divergence.detach(), writer.step)
    known = held * (torch.rand(held.shape, generator=generator) < 0.7)
    with torch.no_grad():
        scores = model.eval()(known)[0]
    found, popular = (_hits(told, held, known) for told in (scores, train.mean(0).log().expand_as(held)))
    require(found > 1.25 * popular, f"{found:.3f} is found, and {popular:.3f} by what most bought")


def _hits(scores: Tensor, held: Tensor, known: Tensor) -> float:
    """Return the share of what is not known yet that is among the ten highest scores."""
    top = scores.masked_fill(known > 0, -torch.inf).topk(10, 1).indices
    asked = held - known
    return float(asked.gather(1, top).sum() / asked.sum())


class News(nn.Module):
    """The mean of the vectors of words, and one layer over it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.fc = nn.EmbeddingBag(VOCABULARY, 24), nn.Linear(24, TOPICS)
        for value in (self.embedding.weight, self.fc.weight):
            nn.init.uniform_(value, -0.5, 0.5)
        nn.init.zeros_(self.fc.bias)

    def forward(self, text: Tensor, offsets: Tensor) -> Tensor:
        """Return scores [n, topics] of words [all of them] of texts that begin at offsets [n]."""
        scores: Tensor = self.fc(self.embedding(text, offsets))
        return scores


def news(trial: Trial) -> None:
    """As in torch's tutorial of old: bags of words, SGD at 5, gradients clipped, a tenth of the rate an epoch."""
    generator = torch.Generator().manual_seed(trial.seed)
    topics = torch.randint(TOPICS, (1500,), generator=generator)
    shares = torch.rand(TOPICS, VOCABULARY, generator=generator) ** 6 + 0.02
    lengths = torch.randint(12, 40, (1500,), generator=generator).tolist()
    texts = [
        torch.multinomial(shares[topic], many, replacement=True) for topic, many in zip(topics, lengths, strict=True)
    ]
    model, criterion, cut = News(), nn.CrossEntropyLoss(), 0
    optimizer = SGD(model.parameters(), lr=5.0)
    schedule = StepLR(optimizer, 1, gamma=0.1)

    def batch(chosen: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        starts = torch.tensor([0, *(lengths[one] for one in chosen[:-1])]).cumsum(0)
        return torch.cat([texts[one] for one in chosen]), starts, topics[chosen]

    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(3):
            order = (300 + torch.randperm(1200, generator=generator)).tolist()
            for at in range(0, 1200, 16):
                text, offsets, labels = batch(order[at : at + 16])
                optimizer.zero_grad()
                loss = criterion(model(text, offsets), labels)
                loss.backward()
                cut += int(nn.utils.clip_grad_norm_(model.parameters(), 0.5) > 0.5)
                optimizer.step()
                if at % 80 == 0:
                    writer.add_scalar("loss", loss.detach(), writer.step)
            schedule.step()
    text, offsets, labels = batch(list(range(300)))
    right = float((model(text, offsets).argmax(1) == labels).double().mean())
    best = float((_likely(texts[:300], shares) == labels).double().mean())
    require(right > best - 0.06, f"{right:.3f} are right, and {best:.3f} could be")
    require(cut < 90, f"{cut} of 225 gradients are clipped")


def _likely(texts: list[Tensor], shares: Tensor) -> Tensor:
    """Return which topic is the most likely, told the shares of all words."""
    logarithms = (shares / shares.sum(1, keepdim=True)).log()
    return torch.stack([logarithms[:, text].sum(1).argmax() for text in texts])


SCENARIOS = (
    Scenario("healthy-soft-actor-mlp", "mlp", TUNING, soft_actor),
    Scenario("healthy-rewarded-transformer", "transformer", TUNING, rewarded),
    Scenario("healthy-baskets-mlp", "mlp", TUNING, baskets),
    Scenario("healthy-news-mlp", "mlp", TUNING, news),
)

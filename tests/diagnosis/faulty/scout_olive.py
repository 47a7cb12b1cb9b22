"""Representations that all become alike: pairs of digits, a VAE of sentences, a model of a pendulum's world."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW, Optimizer

from tests.diagnosis.data import digits
from tests.diagnosis.proof import double, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control


class Siamese(nn.Module):
    """Embeds pictures [n, 1, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 24, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(24 * 4, 48), nn.Linear(48, 16)

    def embed(self, pictures: Tensor) -> Tensor:
        """Return [n, 16]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        made: Tensor = self.fc2(functional.relu(self.fc1(hidden.flatten(1))))
        return made

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return both embeddings."""
        return self.embed(left), self.embed(right)


def told_apart(model: Siamese, pictures: Tensor, classes: Tensor) -> tuple[float, float]:
    """Return the share of pictures whose nearest has their class, and the mean cosine of two of different classes."""
    with torch.no_grad():
        made = functional.normalize(double(model).embed(pictures.double()))
    made = made.float()  # What a user would store.
    cosines, same = made @ made.T, classes[:, None] == classes
    nearest = (cosines - 2 * torch.eye(len(made))).argmax(1)
    return float((classes[nearest] == classes).double().mean()), float(cosines[~same].mean())


def zeros_and_ones(trial: Trial) -> Truth:
    """CosineEmbeddingLoss takes 1 and -1, and gets 1 and 0: pairs of different digits count for nothing."""
    torch.manual_seed(trial.seed)
    data, generator = digits(trial.seed, flat=False), torch.Generator().manual_seed(trial.seed)
    model = Siamese()
    other, twin, close = copy.deepcopy(model), copy.deepcopy(model), 0
    criterion = nn.CosineEmbeddingLoss(margin=0.2)

    def step(net: Siamese, optimizer: Optimizer, different: float) -> float:
        left = torch.randint(len(data.train.targets), (64,), generator=generator)
        right = torch.randint(len(data.train.targets), (64,), generator=generator)
        for at in range(0, 64, 2):
            same = (data.train.targets == data.train.targets[left[at]]).nonzero()[:, 0]
            right[at] = same[int(torch.randint(len(same), (1,), generator=generator))]
        alike = data.train.targets[left] == data.train.targets[right]
        first, second = net(data.train.inputs[left], data.train.inputs[right])
        loss: Tensor = criterion(first, second, torch.where(alike, 1.0, different))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    optimizer = Adam(model.parameters(), lr=1e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for number in range(250):
            writer.add_scalar("Loss/train", step(model, optimizer, 0.0), number)
            twin.load_state_dict(model.state_dict())
            if number % 10 == 0 and told_apart(twin, data.held_out.inputs, data.held_out.targets)[1] < 0.997:
                close = number
    optimizer = Adam(other.parameters(), lr=1e-3)
    for _number in range(250):
        step(other, optimizer, -1.0)
    found, cosine = told_apart(model, data.held_out.inputs, data.held_out.targets)
    should, _ = told_apart(other, data.held_out.inputs, data.held_out.targets)
    require(cosine > 0.97, f"different digits are at a cosine of {cosine:.3f}")
    require(found < should - 0.05, f"{found:.3f} is not below {should:.3f}")
    return Truth(("fc2", "fc1"), 0, close + 30)


class Sentences(nn.Module):
    """A variational autoencoder of sentences: one GRU reads, and another writes with the true words before it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(24, 16)
        self.encoder, self.mean, self.spread = nn.GRU(16, 32, batch_first=True), nn.Linear(32, 8), nn.Linear(32, 8)
        self.start, self.decoder = nn.Linear(8, 40), nn.GRU(16, 40, batch_first=True)
        self.head = nn.Linear(40, 24)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores [n, words, 24], means and logarithms of variances."""
        seen = self.embed(words)
        state = self.encoder(seen)[1][0]
        mean, spread = self.mean(state), self.spread(state)
        drawn = mean + (0.5 * spread).exp() * torch.randn_like(mean)
        before = functional.pad(seen[:, :-1], (0, 0, 1, 0))
        written = self.decoder(before, self.start(drawn).tanh()[None])[0]
        return self.head(written), mean, spread


def sentences(seed: int, count: int = 1600) -> tuple[Tensor, Tensor]:
    """Return sentences of 14 words, and which of six topics each is of: words are much likelier within a topic."""
    generator = torch.Generator().manual_seed(seed)
    topics = torch.randint(6, (count,), generator=generator)
    inside = torch.randint(4, (count, 14), generator=generator) + 4 * topics[:, None]
    common = torch.randint(24, (count, 14), generator=generator)
    return torch.where(torch.rand(count, 14, generator=generator) < 0.5, inside, common), topics


def learn_sentences(net: Sentences, words: Tensor, optimizer: Optimizer, free: float) -> tuple[float, float]:
    """Take a step; where `free` is above zero so many nats of each latent number cost nothing. Return both losses."""
    scores, mean, spread = net(words)
    loss = 14 * functional.cross_entropy(scores.flatten(0, 1), words.flatten())
    each = 0.5 * (mean.square() + spread.exp() - 1 - spread).mean(0)
    optimizer.zero_grad()
    (loss + (each.clamp_min(free) if free else each).sum()).backward()
    optimizer.step()
    return loss.item(), float(each.sum().detach())


def told_by(net: Sentences, words: Tensor, topics: Tensor) -> float:
    """Return the share of topics that the nearest mean of a topic gets right from what is drawn of a latent."""
    with torch.no_grad():
        _, mean, spread = net(words)
    drawn = mean + (0.5 * spread).exp() * torch.randn_like(mean)
    centres = torch.stack([drawn[:800][topics[:800] == topic].mean(0) for topic in range(6)])
    nearest = torch.cdist(drawn[800:], centres).argmin(1)
    return float((nearest == topics[800:]).double().mean())


def strong_decoder(trial: Trial) -> Truth:
    """A VAE of sentences with all of the KL from the first step: the decoder needs no latent, and it is given up."""
    torch.manual_seed(trial.seed)
    words, topics = sentences(trial.seed)
    model, kept = Sentences(), 0
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(trial.seed)
    divergence = 0.0
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(300):
            loss, divergence = learn_sentences(
                model, words[torch.randint(1600, (48,), generator=generator)], optimizer, 0.0
            )
            kept = step if divergence > 0.05 else kept
            writer.add_scalar("loss/total", loss + divergence, step)
            writer.add_scalar("loss/kl", divergence, step)
    optimizer = Adam(other.parameters(), lr=3e-3)
    for _step in range(300):
        learn_sentences(other, words[torch.randint(1600, (48,), generator=generator)], optimizer, 0.4)
    found, should = told_by(model, words, topics), told_by(other, words, topics)
    with torch.no_grad():
        apart = float(model(words)[1].std(0).max())
    require(divergence < 0.1 and apart < 0.3, f"the KL is {divergence:.3g}, and means are {apart:.3g} apart")
    require(found < should - 0.3, f"the latent tells {found:.3f} of the topics, and could {should:.3f}")
    return Truth(("mean", "spread", "encoder", "start"), 0, min(kept, 220) + 30)


class World(nn.Module):
    """Says from what is seen and done where the next thing seen will be in its latent space."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, 64), nn.ELU(), nn.Linear(64, 64), nn.ELU(), nn.Linear(64, 8))
        self.dynamics = nn.Sequential(nn.Linear(9, 64), nn.ELU(), nn.Linear(64, 8))

    def forward(self, seen: Tensor, done: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Return the latent that is foretold, and the one that comes."""
        return self.dynamics(torch.cat([self.encoder(seen), done], 1)), self.encoder(after)


def pendulums(seed: int, count: int = 2000) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what twelve sensors see of a pendulum, the push, what they see then, and its state."""
    generator = torch.Generator().manual_seed(seed)
    angle = math.pi * (2 * torch.rand(count, 1, generator=generator) - 1)
    speed, push = torch.randn(count, 1, generator=generator), torch.rand(count, 1, generator=generator) * 2 - 1
    mixed = torch.randn(3, 12, generator=generator)

    def see(angle: Tensor, speed: Tensor) -> Tensor:
        state = torch.cat([angle.cos(), angle.sin(), speed], 1)
        return (state @ mixed).tanh() + 0.02 * torch.randn(count, 12, generator=generator)

    faster = speed + 0.3 * angle.sin() + 0.5 * push
    seen, after = see(angle, speed), see(angle + 0.2 * faster, faster)
    return seen, push, after, torch.cat([angle.cos(), angle.sin(), speed], 1)


def own_target(trial: Trial) -> Truth:
    """A world model that foretells its own latent, target and all with gradients: nothing holds the latents apart."""
    torch.manual_seed(trial.seed)
    seen, done, after, state = pendulums(trial.seed)
    model = World()
    other, twin = copy.deepcopy(model), copy.deepcopy(model)
    generator = torch.Generator().manual_seed(trial.seed)

    def step(net: World, optimizer: Optimizer, decoder: nn.Module | None = None) -> float:
        rows = torch.randint(1600, (128,), generator=generator)
        foretold, comes = net(seen[rows], done[rows], after[rows])
        loss = functional.mse_loss(foretold, comes)
        total = loss + functional.mse_loss(decoder(comes), after[rows]) if decoder else loss
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return loss.item()

    def spread(net: World) -> float:
        with torch.no_grad():
            return float(double(net).encoder(seen[1600:].double()).std(0).mean())

    def probed(net: World) -> float:
        with torch.no_grad():
            latent = net.encoder(seen)
        head, draw = nn.Linear(8, 3), torch.Generator().manual_seed(trial.seed)

        def batches(_step: int) -> tuple[Tensor, Tensor]:
            rows = torch.randint(1600, (128,), generator=draw)
            return latent[rows], state[rows]

        control(head, batches, Adam(head.parameters(), lr=0.02), nn.MSELoss(), steps=200)
        with torch.no_grad():
            return float(functional.mse_loss(head(latent[1600:]), state[1600:]))

    begin, wide = spread(model), 0
    optimizer = AdamW(model.parameters(), lr=1e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for number in range(280):
            writer.add_scalar("train/latent_mse", step(model, optimizer), number)
            twin.load_state_dict(model.state_dict())
            if number % 5 == 0 and spread(twin) > 0.1 * begin:
                wide = number
    decoder = nn.Linear(8, 12)
    held = AdamW([*other.parameters(), *decoder.parameters()], lr=1e-3)
    for _number in range(280):
        step(other, held, decoder)
    end, should = spread(model), spread(other)
    require(end < 0.1 * begin and end < 0.1 * should, f"latents spread by {end:.3g}, at first by {begin:.3g}")
    found, better = probed(model), probed(other)
    require(found > 2 * better, f"a linear probe finds the state to {found:.3g}, and could to {better:.3g}")
    return Truth(("encoder.4", "encoder.2", "encoder.0"), 0, wide + 30)


SCENARIOS = (
    Scenario(
        "olive-pairs-of-digits-cnn",
        "cnn",
        TUNING,
        zeros_and_ones,
        ("representation_collapse", "wrong_output_or_loss"),
        ("redundant_units",),
    ),
    Scenario(
        "olive-sentence-vae-gru",
        "rnn",
        TUNING,
        strong_decoder,
        ("representation_collapse",),
        ("redundant_units", "vanishing_gradient", "over_regularised"),
    ),
    Scenario(
        "olive-world-model-mlp",
        "mlp",
        TUNING,
        own_target,
        ("representation_collapse",),
        ("redundant_units", "vanishing_gradient"),
    ),
)

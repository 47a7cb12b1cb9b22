"""Healthy transformers as they are built now: other parts, other inputs, two at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Part, digits, language
from tests.diagnosis.networks import Block, Transformer, mlp
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial

WIDTH = 24


class Modern(nn.Module):
    """A block with RMSNorm, turned queries and keys, a gated feed-forward part, and no bias anywhere."""

    def __init__(self, length: int, heads: int = 2) -> None:
        super().__init__()
        self.norm1, self.norm2, self.heads = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH), heads
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate, self.up = (nn.Linear(WIDTH, 2 * WIDTH, bias=False) for _ in range(2))
        self.down = nn.Linear(2 * WIDTH, WIDTH, bias=False)
        half = WIDTH // heads // 2
        angles = torch.arange(length)[:, None] * 100 ** (-torch.arange(half) / half)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def turn(self, vectors: Tensor) -> Tensor:
        """Return vectors [n, heads, length, width], turned by their places."""
        first, second = vectors.chunk(2, -1)
        return torch.cat([first * self.cos - second * self.sin, first * self.sin + second * self.cos], -1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs [n, length, width] with what attention and the gated part add."""
        count, length, _ = inputs.shape
        parts = self.qkv(self.norm1(inputs)).view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key = self.turn(parts[0]), self.turn(parts[1])
        taken = functional.scaled_dot_product_attention(query, key, parts[2], is_causal=True)
        hidden = inputs + self.out(taken.transpose(1, 2).flatten(2))
        normed = self.norm2(hidden)
        added: Tensor = hidden + self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return added


class Chat(nn.Module):
    """Such blocks between an embedding and itself."""

    def __init__(self, tokens: int, length: int) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(tokens, WIDTH), nn.RMSNorm(WIDTH)
        self.blocks = nn.Sequential(Modern(length), Modern(length))
        self.head = nn.Linear(WIDTH, tokens, bias=False)
        self.head.weight = self.embed.weight
        nn.init.normal_(self.embed.weight, std=0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, tokens, length]."""
        scores: Tensor = self.head(self.norm(self.blocks(self.embed(tokens)))).transpose(1, 2)
        return scores


def modern(trial: Trial) -> None:
    """Two optimizers for one network: Muon, whose steps are of one length whatever the gradient, beside AdamW."""
    data, criterion = language(trial.seed, length=12), nn.CrossEntropyLoss()
    model, draw = Chat(20, 12), data.train.batches(48, trial.seed)
    inner = [value for value in model.blocks.parameters() if value.ndim == 2]
    rest = [value for value in model.parameters() if all(value is not one for one in inner)]
    optimizers: list[Optimizer] = [
        Muon(inner, lr=1e-2, weight_decay=0.01),
        AdamW(rest, lr=6e-3, betas=(0.9, 0.95), weight_decay=0.01),
    ]
    schedules = [CosineAnnealingLR(one, 130, eta_min=1e-4) for one in optimizers]
    with trial.writer() as writer:
        writer.watch(model, optimizers, criterion, every=3, on_finding="ignore")
        for step in range(130):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            loss.backward()
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                schedule.step()
            model.zero_grad(set_to_none=True)
            writer.add_scalar("train/loss", loss.detach(), writer.step)
    pairs = 20 * data.train.inputs + data.train.targets
    counts = pairs.flatten().bincount(minlength=400).view(20, 20).double() + 0.1
    known = (counts / counts.sum(1, keepdim=True)).log()
    best = -float(known[data.held_out.inputs, data.held_out.targets].mean())
    loss_held_out = loss_of(model, data.held_out)
    require(loss_held_out < best + 0.1, f"the loss held out is {loss_held_out:.3g}, and of counts {best:.3g}")


class Hidden(nn.Module):
    """Sees four of the eight rows of a picture, and says the others."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(8, 32), nn.Parameter(0.2 * torch.randn(8, 32))
        self.encoder, self.norm, self.last = Block(32), nn.LayerNorm(32), nn.LayerNorm(32)
        self.blank, self.decoder, self.head = nn.Parameter(0.02 * torch.randn(32)), Block(32), nn.Linear(32, 8)

    def forward(self, rows: Tensor, order: Tensor) -> Tensor:
        """Return all rows [n, 8, 8]; seen are those at the first four places of `order` [n, 8]."""
        seen = order[:, :4, None].expand(-1, -1, 32)
        placed = (self.lift(rows) + self.place).gather(1, seen)
        known = self.norm(self.encoder(placed))
        every = self.blank.expand(len(rows), 8, -1).scatter(1, seen, known)
        told: Tensor = self.head(self.last(self.decoder(every + self.place)))
        return told


def hidden_rows(trial: Trial) -> None:
    """A masked autoencoder: half of the picture is to be guessed, so that the loss stays high."""
    data, generator = digits(trial.seed), torch.Generator().manual_seed(trial.seed)
    train, held_out = (part.inputs.view(-1, 8, 8) for part in (data.train, data.held_out))
    model = Hidden()
    optimizer = AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = CosineAnnealingLR(optimizer, 260)

    def error(told: Tensor, rows: Tensor, order: Tensor) -> Tensor:
        missed = order[:, 4:, None].expand(-1, -1, 8)
        return functional.mse_loss(told.gather(1, missed), rows.gather(1, missed))

    with trial.writer() as writer:
        writer.watch(model, optimizer, every=3, on_finding="ignore")
        for _step in range(260):
            rows = train[torch.randint(len(train), (64,), generator=generator)]
            order = torch.rand(64, 8, generator=generator).argsort(1)
            loss = error(model(rows, order), rows, order)
            writer.observe(loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    order = torch.rand(len(held_out), 8, generator=generator).argsort(1)
    guess = float(error(train.mean(0).expand_as(held_out), held_out, order))
    told = float(error(model.eval()(held_out, order), held_out, order).detach())
    require(told < 0.85 * guess, f"the error held out is {told:.3g}, and {guess:.3g} of the mean picture")


class Towers(nn.Module):
    """A tower for things and one for captions, and how sharply they are compared, which is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.things = mlp((24, 64, 32), nn.GELU)
        self.captions = Transformer(26, 32, length=6, depth=1)
        self.sharpness = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, things: Tensor, captions: Tensor) -> Tensor:
        """Return scores [things, captions]."""
        first, second = functional.normalize(self.things(things)), functional.normalize(self.captions(captions))
        return self.sharpness.clamp(max=math.log(100)).exp() * first @ second.T


def towers(trial: Trial) -> None:
    """CLIP: two networks and a number that grows; the loss begins at the logarithm of the batch, or above."""
    generator = torch.Generator().manual_seed(trial.seed)
    marks = torch.cartesian_prod(*[torch.arange(6)] * 4)
    marks = marks[torch.randperm(len(marks), generator=generator)]
    looks = torch.randn(4, 6, 24, generator=generator)
    model, losses = Towers(), []
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)

    def shown(chosen: Tensor) -> tuple[Tensor, Tensor]:
        things = looks[torch.arange(4), chosen].sum(1) / 2
        words = torch.cat(
            [chosen + 6 * torch.arange(4), 24 + torch.randint(2, (len(chosen), 2), generator=generator)], 1
        )
        turned = words.gather(1, torch.rand(words.shape, generator=generator).argsort(1))
        return things + 0.15 * torch.randn(things.shape, generator=generator), turned

    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for _step in range(200):
            scores = model(*shown(marks[torch.randint(1080, (64,), generator=generator)]))
            right = torch.arange(64)
            loss = (functional.cross_entropy(scores, right) + functional.cross_entropy(scores.T, right)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("loss", losses[-1], writer.step)
            writer.add_scalar("sharpness", model.sharpness.detach().exp(), writer.step)
    held_out = model(*shown(marks[1080:]))
    found = accuracy(nn.Identity(), Part(held_out.detach(), torch.arange(216)))
    require(found > 0.6, f"{found:.2f} of the captions are found among 216")
    require(sum(losses[-20:]) / 20 < 0.4 * losses[0], "the loss did not fall")


SCENARIOS = (
    Scenario("healthy-modern-transformer", "transformer", TUNING, modern),
    Scenario("healthy-hidden-rows-transformer", "transformer", TUNING, hidden_rows),
    Scenario("healthy-towers-transformer", "transformer", TUNING, towers),
)

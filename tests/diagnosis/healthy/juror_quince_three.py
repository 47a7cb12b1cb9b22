"""Healthy trainings whose loss moves: a small language model, and a walker whose aim is set anew from time to time."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import language
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import calm, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit

SIDE, SYNC = 4, 40


def words(trial: Trial) -> None:
    """A small language model by AdamW: the rate warms up and falls along a cosine, gradients are clipped."""
    torch.manual_seed(trial.seed)
    data, model = language(trial.seed, length=16, states=24), Transformer(24, 24, width=32, each=True)
    optimizer = AdamW(model.parameters(), lr=6e-3, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 20, 0.55 + 0.45 * math.cos(math.pi * step / 180)))
    draw = data.train.batches(24, trial.seed)
    history = fit(
        trial, model, draw, optimizer, schedule=schedule, clip=1.0, validation=data.held_out, every=None, steps=180
    )
    # Counts of which word follows which can't be beaten.
    counts = torch.full((24, 24), 0.05)
    pairs = (data.train.inputs.flatten(), data.train.targets.flatten())
    counts.index_put_(pairs, torch.ones(len(pairs[0])), accumulate=True)
    chances = (counts / counts.sum(1, keepdim=True)).log()
    best = float(functional.nll_loss(chances[data.held_out.inputs.flatten()], data.held_out.targets.flatten()))
    held, blank = loss_of(model, data.held_out), float(torch.tensor(24.0).log())
    require(held < best + 0.1 * (blank - best), f"the loss is {held:.3f}, and {best:.3f} by counts")
    generalises(history)
    calm(history)


def walk(places: Tensor, moves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where a move leads from places [n, 2], the reward of it, and whether that is the end: the far corner."""
    steps = torch.tensor([[0, 1], [0, -1], [1, 0], [-1, 0]])
    after = (places + steps[moves]).clamp(0, SIDE - 1)
    done = (after == SIDE - 1).all(1)
    return after, done.float() * 10 - 1, done


def seen(places: Tensor) -> Tensor:
    """Return what the network is told of places: the row and the column, one-hot."""
    return functional.one_hot(places, SIDE).flatten(1).float()


def walker(trial: Trial) -> None:
    """Q-learning on a grid with a target network that is copied every forty steps, whereupon the loss leaps."""
    torch.manual_seed(trial.seed)
    places = torch.randint(SIDE, (2000, 2))
    places = places[~(places == SIDE - 1).all(1)]
    moves = torch.randint(4, (len(places),))
    after, reward, done = walk(places, moves)
    model = nn.Sequential(nn.Linear(2 * SIDE, 64), nn.ELU(), nn.Linear(64, 64), nn.ELU(), nn.Linear(64, 4))
    target, criterion, losses = copy.deepcopy(model), nn.SmoothL1Loss(), []
    optimizer = Adam(model.parameters(), lr=5e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(400):
            if step % SYNC == 0:
                target.load_state_dict(model.state_dict())
            chosen = torch.randint(len(places), (128,))
            with torch.no_grad():
                later = target(seen(after[chosen])).max(1).values * ~done[chosen]
            values = model(seen(places[chosen])).gather(1, moves[chosen, None])[:, 0]
            loss = criterion(values, reward[chosen] + 0.9 * later)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/td", losses[-1], writer.step)
    leaps = [sum(losses[at : at + 5]) / sum(losses[at - 5 : at]) for at in range(SYNC, 400, SYNC)]
    require(sum(leap > 2 for leap in leaps) >= 3, f"at copies the loss rises by {leaps}")
    # From each place but the last the shortest way is taken, and what is promised of it is what comes.
    every = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE))[:-1]
    way = 2 * (SIDE - 1) - every.sum(1)
    left, taken = every.clone(), torch.full_like(way, 99)
    with torch.no_grad():
        promised = model(seen(every)).max(1).values
        for count in range(1, 12):
            left, _, ended = walk(left, model(seen(left)).argmax(1))
            taken = torch.where(ended & (taken == 99), count, taken)
            left = torch.where(ended[:, None], torch.full_like(left, SIDE - 1), left)
    direct = float((taken == way).double().mean())
    value = 10 * 0.9 ** (way - 1.0) - (1 - 0.9**way) / 0.1
    error = float((promised - value).square().mean() / value.var())
    require(direct > 0.95 and error < 0.1, f"{direct:.2f} of the ways are shortest, and values err by {error:.3f}")


SCENARIOS = (
    Scenario("quince-healthy-words-transformer", "transformer", TUNING, words),
    Scenario("quince-healthy-walker-mlp", "mlp", TUNING, walker),
)

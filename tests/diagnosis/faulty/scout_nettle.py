"""Units at their flat ends: weights of torch.rand, an actor faster than its critic, and lengths in metres."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, Optimizer, RMSprop

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.proof import gradients, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def worse(loss: float, better: float, times: float = 1.3) -> None:
    """Raise NotProvenError unless a loss is so many times that of the training without the fault."""
    require(loss > times * better, f"the loss is {loss:.4g}, and {better:.4g} without the fault")


class Dense(nn.Module):
    """A linear layer as one writes it for practice."""

    def __init__(self, inputs: int, made: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(inputs, made)), nn.Parameter(torch.rand(made))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, made]."""
        return inputs @ self.weight + self.bias


class Handmade(nn.Module):
    """Two hidden layers with sigmoids, over pictures of digits."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.head = Dense(64, 48), Dense(48, 32), Dense(32, 10)
        self.act1, self.act2 = nn.Sigmoid(), nn.Sigmoid()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        scores: Tensor = self.head(self.act2(self.fc2(self.act1(self.fc1(pixels)))))
        return scores


def positive_weights(trial: Trial) -> Truth:
    """Layers of one's own, whose weights are torch.rand, all above zero: each sigmoid is at one from the start."""
    data, model = digits(trial.seed), Handmade()
    train, held_out = (
        Part((part.inputs - part.inputs.min()) / (part.inputs.max() - part.inputs.min()), part.targets)
        for part in (data.train, data.held_out)
    )
    other = copy.deepcopy(model)
    for value in other.parameters():
        nn.init.normal_(value, std=0.25)
    optimizer = SGD(model.parameters(), lr=0.2, momentum=0.9)
    history = fit(trial, model, train.batches(64, trial.seed), optimizer, validation=held_out, steps=240)
    better = control(other, train.batches(64, trial.seed), SGD(other.parameters(), lr=0.2, momentum=0.9), steps=240)
    worse(history.end, better, 2)
    for name in ("act1", "act2"):
        flat = float((outputs(model, name, train.inputs) > 0.98).double().mean())
        require(flat > 0.9, f"{flat:.2f} of {name} is at one")
    sizes = gradients(model, train.first(256))
    require(sizes["fc1.weight"] < 1e-3 * sizes["head.weight"], f"fc1 gets {sizes['fc1.weight']:.3g}")
    return Truth(("fc1", "act1", "fc2", "act2"))


class Actor(nn.Module):
    """Says what to do, from -1 to 1 in two directions."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.mu, self.squash = nn.Linear(128, 2), nn.Tanh()

    def forward(self, states: Tensor) -> Tensor:
        """Return actions [n, 2]."""
        actions: Tensor = self.squash(self.mu(self.body(states)))
        return actions


class Critic(nn.Module):
    """Says what an action is worth in a state."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.head = nn.Linear(8, 48), nn.Linear(48, 48), nn.Linear(48, 1)

    def forward(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return values [n, 1]."""
        value: Tensor = self.head(self.fc2(self.fc1(torch.cat([states, actions], 1)).relu()).relu())
        return value


class Thrusters:
    """A craft to be held in place: the best thrust is a smooth function of the state, and seldom a full one."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.mix = torch.randn(6, 2, generator=self.generator) / 2

    def states(self, count: int) -> Tensor:
        """Return states [count, 6]."""
        return torch.randn(count, 6, generator=self.generator)

    def reward(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return rewards [n, 1]."""
        return -4 * (actions - 0.6 * (states @ self.mix).sin()).square().sum(1, keepdim=True)

    def critic_loss(self, actor: Actor, critic: Critic) -> Tensor:
        """Return how wrong the critic is of what the actor does, give or take some noise."""
        states = self.states(64)
        with torch.no_grad():
            actions = actor(states)
            actions = (actions + 0.3 * torch.randn(actions.shape, generator=self.generator)).clamp(-1, 1)
        return functional.mse_loss(critic(states, actions), self.reward(states, actions))


def swapped_rates(trial: Trial) -> Truth:
    """The rates of DDPG are swapped: the actor runs to full thrust by what a raw critic says, and stays there."""
    world, fresh = Thrusters(trial.seed), (Actor(), Critic())
    actor, critic = copy.deepcopy(fresh)
    fast, slow = Adam(actor.parameters(), lr=3e-2), Adam(critic.parameters(), lr=1e-5)
    with trial.writer() as writer:
        writer.watch(actor, fast, every=2, on_finding="ignore")
        for _step in range(300):
            value_loss = world.critic_loss(actor, critic)
            slow.zero_grad()
            value_loss.backward()
            slow.step()
            states = world.states(64)
            loss = -critic(states, actor(states)).mean()
            fast.zero_grad()
            loss.backward()
            fast.step()
            writer.add_scalar("actor_loss", loss.item(), writer.step)
            writer.add_scalar("critic_loss", value_loss.item(), writer.step)
    right, judge = copy.deepcopy(fresh)
    rates: tuple[Optimizer, Optimizer] = Adam(right.parameters(), lr=1e-3), Adam(judge.parameters(), lr=2e-2)
    world = Thrusters(trial.seed)
    for _step in range(300):
        rates[1].zero_grad()
        world.critic_loss(right, judge).backward()
        rates[1].step()
        states = world.states(64)
        rates[0].zero_grad()
        (-judge(states, right(states)).mean()).backward()
        rates[0].step()
    states = world.states(1000)
    with torch.no_grad():
        lost, least = (-float(world.reward(states, one(states)).mean()) for one in (actor, right))
    worse(lost, least, 2)
    flat = float((outputs(actor, "squash", states).abs() > 0.98).double().mean())
    require(flat > 0.7, f"{flat:.2f} of the actions are full ones")
    return Truth(("mu", "squash", "body.2", "body.0"), 0, 120)


class Stations(nn.Module):
    """Attention over the nearest stations, by what they measure and how far they are; two layers."""

    def __init__(self, lengths: Tensor) -> None:
        super().__init__()
        self.register_buffer("lengths", lengths, persistent=False)
        self.near: Tensor = lengths.argsort(1)[:, :16]
        self.lift, self.head = nn.Linear(5, 32), nn.Linear(32, 1)
        self.mine = nn.ModuleList(nn.Linear(32, 1) for _ in range(2))
        self.theirs = nn.ModuleList(nn.Linear(32, 1) for _ in range(2))
        self.value = nn.ModuleList(nn.Linear(32, 32) for _ in range(2))
        self.softmax = nn.ModuleList(nn.Softmax(2) for _ in range(2))

    def forward(self, readings: Tensor) -> Tensor:
        """Return levels [n, stations] of readings [n, stations, 5]."""
        hidden = self.lift(readings).relu()
        lengths = self.get_buffer("lengths").gather(1, self.near)[..., None]
        layers = zip(self.mine, self.theirs, self.value, self.softmax, strict=True)
        for mine, theirs, value, softmax in layers:
            score = functional.leaky_relu(mine(hidden)[:, :, None] + theirs(hidden)[:, self.near], 0.2) - lengths
            hidden = hidden + (softmax(score) * value(hidden)[:, self.near]).sum(2).relu()
        level: Tensor = self.head(hidden)[..., 0]
        return level


def metres(trial: Trial) -> Truth:
    """A GAT takes lengths of edges off its scores, in metres: each station, though noisy, hears none but itself."""
    generator = torch.Generator().manual_seed(trial.seed)
    places = 3000 * torch.rand(50, 2, generator=generator)
    lengths = torch.cdist(places, places)
    waves = torch.randn(600, 2, 3, generator=generator) / 2500
    phases = 6.3 * torch.rand(600, 1, 3, generator=generator)
    field = (places @ waves + phases).sin().sum(2)
    readings = 1.5 * torch.randn(600, 50, 5, generator=generator)
    readings[..., 0] += field
    data = split(readings, field, 150, trial.seed)
    model, other, criterion = Stations(lengths), Stations(lengths / 1000), nn.MSELoss()
    other.load_state_dict(model.state_dict())
    optimizer, draw = RMSprop(model.parameters(), lr=1e-3), data.train.batches(16, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=240)
    control(other, data.train.batches(16, trial.seed), RMSprop(other.parameters(), lr=1e-3), criterion, steps=240)
    worse(*(evaluate(one, criterion, data.held_out) for one in (model, other)), times=1.25)
    shares = [
        float((outputs(model, f"softmax.{at}", data.held_out.inputs).amax(2) > 0.95).double().mean()) for at in (0, 1)
    ]
    require(min(shares) > 0.7, f"so many hear one neighbour alone: {shares}")
    return Truth(tuple(f"{name}.{at}" for at in (0, 1) for name in ("softmax", "mine", "theirs")))


SCENARIOS = (
    Scenario(
        "nettle-saturation-rand-mlp",
        "mlp",
        TUNING,
        positive_weights,
        ("saturation", "poor_init"),
        (
            "vanishing_gradient",
            "layer_not_training",
            "redundant_units",
            "loss_plateau",
            "underfitting",
            "representation_collapse",
        ),
    ),
    Scenario(
        "nettle-saturation-actor-mlp",
        "mlp",
        TUNING,
        swapped_rates,
        ("saturation", "lr_too_high"),
        ("vanishing_gradient", "layer_not_training", "loss_plateau", "dead_units", "representation_collapse"),
    ),
    Scenario(
        "nettle-saturation-metres-gnn",
        "gnn",
        TUNING,
        metres,
        ("saturation", "input_unnormalised"),
        ("layer_not_training", "vanishing_gradient", "underfitting"),
    ),
)

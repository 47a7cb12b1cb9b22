"""Losses that stay where they are, and units at their flat ends: visits, spots, order of words, weather, signals."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, Split, split
from tests.diagnosis.proof import double, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def beaten(does: float, better: float, share: float = 0.75) -> None:
    """Raise NotProvenError unless the control's loss is so small a share of the faulty one's."""
    require(better < share * does, f"the loss is {does:.4g}, and {better:.4g} without the fault")


def flat(losses: list[float], since: int, most: float = 0.1) -> None:
    """Raise NotProvenError where the loss falls by so large a share after a step."""
    early, late = (sum(part) / len(part) for part in (losses[since : since + 30], losses[-30:]))
    require(late > (1 - most) * early, f"the loss falls from {early:.3g} to {late:.3g}")


def clicks(seed: int) -> Split:
    """Return visits to a shop as tokens [n, 70], of which 5 to 14 are there and zeros follow, and their aim of four."""
    generator = torch.Generator().manual_seed(seed)
    aims = torch.randint(4, (1400,), generator=generator)
    tokens = torch.randint(1, 13, (1400, 70), generator=generator)
    told = torch.rand(1400, 70, generator=generator) < 0.45
    tokens = torch.where(told, 1 + aims[:, None], tokens)
    tokens[torch.arange(70) >= torch.randint(5, 15, (1400, 1), generator=generator)] = 0
    return split(tokens, aims, 250, seed)


class Visitor(nn.Module):
    """An LSTM over clicks that answers by its last output, or by that at the last click that is there."""

    def __init__(self, *, real: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(13, 16, padding_idx=0)
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.fc = nn.Linear(32, 4)
        self.real = real

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        states = self.lstm(self.embed(tokens))[0]
        last = (tokens > 0).sum(1) - 1 if self.real else torch.full((len(tokens),), -1)
        scores: Tensor = self.fc(states[torch.arange(len(tokens)), last])
        return scores


def padding(trial: Trial) -> Truth:
    """Pads visits with zeros to the longest and reads `out[:, -1]`: the LSTM has forgotten all by then."""
    torch.manual_seed(trial.seed)
    data, model, other = clicks(trial.seed), Visitor(real=False), Visitor(real=True)
    other.load_state_dict(model.state_dict())
    optimizer, draw = SGD(model.parameters(), lr=0.2, momentum=0.9), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=160)
    better = control(
        other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.2, momentum=0.9), steps=160
    )
    beaten(history.end, better)
    flat(history.train, 10)
    return Truth((), 0, 30)


def spots(seed: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return pictures [n, 1, 16, 16] of a bright and a dim disc in noise, and where the bright one is."""
    axis = torch.arange(16.0)
    masks = []
    for _disc in range(2):
        at = 3 + 10 * torch.rand(count, 2, 1, 1, generator=generator)
        masks.append(((axis[:, None] - at[:, 0]) ** 2 + (axis - at[:, 1]) ** 2 < 7).float()[:, None])
    noise = 0.4 * torch.randn(count, 1, 16, 16, generator=generator)
    return 2 * masks[0] + 0.8 * masks[1] * (1 - masks[0]) + noise, masks[0]


def segmenter() -> nn.Sequential:
    """Return a network that says of each pixel whether it is in the spot."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 5, padding=2), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 1, 1)
    )


def turned(trial: Trial) -> Truth:
    """Turns and flips pictures at random as augmentation, and forgets to turn the masks with them."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    model = segmenter()
    other, losses = copy.deepcopy(model), []
    optimizer, criterion = RMSprop(model.parameters(), lr=1e-3), nn.BCEWithLogitsLoss()
    pictures, masks = spots(trial.seed, 600, generator)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _step in range(200):
            chosen = torch.randint(600, (16,), generator=generator)
            quarter = int(torch.randint(1, 4, (1,), generator=generator))
            loss = criterion(model(pictures[chosen].rot90(quarter, (2, 3)).flip(3)), masks[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/train", loss.item(), writer.step)
    better = control(
        other,
        Part(pictures, masks).batches(16, trial.seed),
        RMSprop(other.parameters(), lr=1e-3),
        criterion,
        steps=200,
    )
    beaten(sum(losses[-20:]) / 20, better, 0.6)
    flat(losses, 60)
    return Truth((), 0, 70)


def orders(seed: int) -> Split:
    """Return sentences of 12 words and whether word 0 comes before word 1."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(2, 30, (3000, 12), generator=generator)
    places = torch.rand(3000, 12, generator=generator).argsort(1)[:, :2]
    words.scatter_(1, places, torch.tensor([0, 1]).expand(3000, 2))
    return split(words, (places[:, 0] < places[:, 1]).long(), 400, seed)


class Reader(nn.Module):
    """A transformer over words, which is told of their places or is not."""

    def __init__(self, *, places: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 32)
        self.position = nn.Parameter(torch.randn(12, 32)) if places else None
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.classifier = nn.Linear(32, 2)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 2]."""
        hidden = self.embedding(words)
        if self.position is not None:
            hidden = hidden + self.position
        scores: Tensor = self.classifier(self.encoder(hidden).mean(1))
        return scores


def no_places(trial: Trial) -> Truth:
    """Who did it to whom, by a transformer that has no positional encoding: the order of words can't be seen."""
    torch.manual_seed(trial.seed)
    data, model, other = orders(trial.seed), Reader(places=False), Reader(places=True)
    optimizer, draw = AdamW(model.parameters(), lr=1e-3), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=3, steps=200)
    better = control(other, data.train.batches(48, trial.seed), AdamW(other.parameters(), lr=1e-3), steps=200)
    beaten(history.end, better, 0.6)
    flat(history.train, 30)
    seen = data.held_out.inputs
    precise = double(model).eval()
    with torch.no_grad():
        apart = float((precise(seen) - precise(seen.flip(1))).abs().max())
    require(apart < 1e-9, f"the order of words makes a difference of {apart:.3g}")
    return Truth((), 0, 40)


def weather(seed: int, *, raw: bool) -> Split:
    """Return pressure, temperature and humidity of 24 hours, [n, 24, 3], and the rain that follows, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    readings = torch.randn(1200, 1, 3, generator=generator) + 0.4 * torch.randn(
        1200, 24, 3, generator=generator
    ).cumsum(1)
    rain = (readings[:, -1, 2] - readings[:, -1, 0] + readings[:, -1, 1] * readings[:, 0, 2] / 3).tanh()
    scale, middle = torch.tensor([7.0, 6.0, 9.0]), torch.tensor([1013.0, 285.0, 65.0])
    return split(readings * scale + middle if raw else readings, rain[:, None], 200, seed)


class Forecast(nn.Module):
    """A plain RNN that says from its last state how much rain will fall."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.RNN(3, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, hours: Tensor) -> Tensor:
        """Return [n, 1]."""
        told: Tensor = self.out(self.rnn(hours)[0][:, -1])
        return told


def raw_weather(trial: Trial) -> Truth:
    """A plain RNN over hectopascals and kelvins as they come: each unit is at -1 or 1 from the first step on."""
    torch.manual_seed(trial.seed)
    data, criterion, model = weather(trial.seed, raw=True), nn.MSELoss(), Forecast()
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=200)
    draw = weather(trial.seed, raw=False).train.batches(32, trial.seed)
    beaten(history.end, control(other, draw, Adam(other.parameters(), lr=3e-3), criterion, steps=200), 0.5)
    states = double(model).get_submodule("rnn")(data.train.inputs.double())[0]
    share = float((states.abs() > 0.99).double().mean())
    require(share > 0.9, f"only {share:.2f} of the states are saturated")
    return Truth(("rnn",))


class SelfAttention(nn.Module):
    """Attention with one head; its scores are divided or, by a slip, multiplied by the root of the width."""

    def __init__(self, width: int, power: float) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.softmax, self.power = nn.Softmax(dim=-1), power

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what each place takes."""
        scores = self.query(inputs) @ self.key(inputs).transpose(1, 2) / inputs.shape[-1] ** self.power
        taken: Tensor = self.softmax(scores) @ self.value(inputs)
        return taken


class Denoiser(nn.Module):
    """Two layers of attention over a signal [n, 24, 1], which say what it is without noise."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(1, 48), nn.Parameter(torch.randn(24, 48))
        self.attention1, self.attention2 = SelfAttention(48, power), SelfAttention(48, power)
        self.norm1, self.norm2 = nn.LayerNorm(48), nn.LayerNorm(48)
        self.head = nn.Linear(48, 1)

    def forward(self, signal: Tensor) -> Tensor:
        """Return [n, 24, 1]."""
        hidden = self.lift(signal) + self.place
        hidden = hidden + self.attention1(self.norm1(hidden))
        hidden = hidden + self.attention2(self.norm2(hidden))
        clean: Tensor = self.head(hidden)
        return clean


def wrong_scale(trial: Trial) -> Truth:
    """Attention written by hand as `scores / d ** -0.5`: it multiplies instead, and the softmax picks one place."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    phase, level = (torch.randn(1500, 1, 1, generator=generator) for _ in range(2))
    clean = level + (2 * phase + torch.linspace(0, 2 * math.pi, 24)[:, None]).sin()
    data = split(clean + 0.8 * torch.randn(1500, 24, 1, generator=generator), clean, 250, trial.seed)
    model, other, criterion = Denoiser(-0.5), Denoiser(0.5), nn.MSELoss()
    other.load_state_dict(model.state_dict())
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=3, steps=240)
    beaten(
        history.end,
        control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=240),
        0.8,
    )
    for name in ("attention1", "attention2"):
        most = float(outputs(model, f"{name}.softmax", data.held_out.inputs).max(-1).values.mean())
        require(most > 0.75, f"the largest share of {name} is {most:.2f} on average")
    layers = tuple(f"attention{one}{part}" for one in (1, 2) for part in ("", ".softmax", ".query", ".key"))
    return Truth(layers)


SCENARIOS = (
    Scenario(
        "briar-plateau-padding-lstm",
        "rnn",
        TUNING,
        padding,
        ("loss_plateau", "vanishing_gradient"),
        ("underfitting", "layer_not_training", "representation_collapse"),
    ),
    Scenario("briar-plateau-turned-cnn", "cnn", TUNING, turned, ("loss_plateau", "label_noise"), ("underfitting",)),
    Scenario(
        "briar-plateau-places-transformer", "transformer", TUNING, no_places, ("loss_plateau",), ("underfitting",)
    ),
    Scenario(
        "briar-saturation-weather-rnn",
        "rnn",
        TUNING,
        raw_weather,
        ("saturation", "input_unnormalised"),
        ("loss_plateau", "vanishing_gradient", "underfitting", "redundant_units", "layer_not_training"),
    ),
    Scenario(
        "briar-saturation-scale-transformer",
        "transformer",
        TUNING,
        wrong_scale,
        ("saturation",),
        ("loss_plateau", "underfitting", "poor_init"),
    ),
)

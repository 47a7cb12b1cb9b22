"""States that were cut off, frauds and spots that nobody sees, a logarithm by hand, and nodes without neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, communities, patients, split
from tests.diagnosis.faulty.panel_furze import harmed
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, double, moved, require, snapshot
from tests.diagnosis.scenario import REPORTING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Forecast(nn.Module):
    """An LSTM reads a signal, and another one, which begins with its state, writes how it goes on."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.LSTM(1, 24, batch_first=True), nn.LSTM(1, 24, batch_first=True)
        self.head, self.cut = nn.Linear(24, 1), cut

    def forward(self, past: Tensor) -> Tensor:
        """Return the next eight values, [n, 8, 1], of [n, 24, 1]."""
        state = self.encoder(past)[1]
        if self.cut:
            state = tuple(part.detach() for part in state)
        clock = torch.linspace(-1, 1, 8)[None, :, None].expand(len(past), 8, 1)
        future: Tensor = self.head(self.decoder(clock, state)[0])
        return future


def cut_states(trial: Trial) -> Truth:
    """States are detached between two LSTMs as one does between batches: what reads the signal never learns to."""
    torch.manual_seed(trial.seed)
    time = torch.arange(32.0)[None, :, None]
    pace, phase = 0.25 + 0.35 * torch.rand(1600, 1, 1), 6.28 * torch.rand(1600, 1, 1)
    signal = (pace * time + phase).sin() + 0.05 * torch.randn(1600, 32, 1)
    data = split(signal[:, :24], signal[:, 24:], 300, trial.seed)
    model, other = Forecast(cut=True), Forecast(cut=False)
    other.load_state_dict(model.state_dict())
    before, criterion, draw, losses = snapshot(model), nn.MSELoss(), data.train.batches(64, trial.seed), []
    optimizer = RMSprop(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            past, future = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(past), future)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            if step % 40 == 39:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    for name, change in moved(before, model).items():
        require((change == 0) == name.startswith("encoder."), f"{name} moved by {change:.3g}")
    optimizer = RMSprop(other.parameters(), lr=3e-3)
    better = control(other, data.train.batches(64, trial.seed), optimizer, criterion, steps=240)
    harmed(sum(losses[-24:]) / 24, better, 1.4)
    return Truth(("encoder",))


def found(model: nn.Module, part: Part, threshold: float = 0.0) -> tuple[float, float]:
    """Return the shares of the rare that a scorer finds, and of the others that it leaves alone."""
    with torch.no_grad():
        above = double(model).eval()(part.inputs.double()) > threshold
    rare = part.targets > 0
    return float(above[rare].double().mean()), float((~above[~rare]).double().mean())


def ignored(model: nn.Module, other: nn.Module, part: Part) -> None:
    """Raise NotProvenError unless the rare ones are ignored, and another training finds most of them."""
    (seen, _), (could, quiet) = found(model, part), found(other, part)
    require(seen < 0.12, f"{seen:.2f} of the rare are found")
    require((could + quiet) / 2 > 0.75 and could > 0.6, f"{could:.2f} of the rare and {quiet:.2f} could be right")


class Payments(nn.Module):
    """Embeds the kind of a shop beside ten numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.shop, self.body = nn.Embedding(15, 4), mlp((14, 48, 24, 1), nn.LeakyReLU, dropout=0.1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores [n, 1] of [n, 1 + 10]."""
        scores: Tensor = self.body(torch.cat([self.shop(rows[:, 0].long()), rows[:, 1:]], 1))
        return scores


def frauds(trial: Trial) -> Truth:
    """Payments, of which one in sixty is a fraud: 98 % are right from the first steps on, as none is ever flagged."""
    torch.manual_seed(trial.seed)
    numbers, shops = torch.randn(9000, 10), torch.randint(15, (9000,))
    risk = 1.2 * numbers[:, 0] - numbers[:, 1] + 0.8 * numbers[:, 2] * numbers[:, 3] + 1.0 * (shops < 3)
    risk = risk + 1.3 * torch.randn(9000)
    fraud = (risk > risk.quantile(1 - 1 / 60)).float()[:, None]
    data = split(torch.cat([shops[:, None].float(), numbers], 1), fraud, 2500, trial.seed)
    model, other, draw = Payments(), Payments(), data.train.batches(64, trial.seed)
    other.load_state_dict(model.state_dict())
    criterion, optimizer, held_out = nn.BCEWithLogitsLoss(), Adam(model.parameters(), lr=5e-4), data.held_out
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            scores = model(inputs)
            loss = criterion(scores, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            right = ((scores.detach() > 0).float() == targets).float().mean().item()
            writer.add_scalar("Accuracy/train", right, writer.step)
            if step % 25 == 24:
                writer.add_scalar("Loss/val", evaluate(model, criterion, held_out), writer.step)
    weighted = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(40.0))
    draw, optimizer = data.train.batches(64, trial.seed), Adam(other.parameters(), lr=5e-4)
    control(other, draw, optimizer, weighted, steps=300)
    ignored(model, other, held_out)
    return Truth(until=60)


class Down(nn.Module):
    """Two convolutions, normalised."""

    def __init__(self, inputs: int, made: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, made, 3, padding=1), nn.BatchNorm2d(made)
        self.conv2, self.norm2 = nn.Conv2d(made, made, 3, padding=1), nn.BatchNorm2d(made)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return as many pixels."""
        return functional.relu(self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(pictures))))))


class Unet(nn.Module):
    """Down once and up again, with the pixels beside."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep, self.up = Down(1, 8), Down(8, 16), nn.Upsample(scale_factor=2)
        self.join, self.head = Down(24, 8), nn.Conv2d(8, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return a score of each pixel."""
        shallow = self.down(pictures)
        deep = self.up(self.deep(functional.max_pool2d(shallow, 2)))
        scores: Tensor = self.head(self.join(torch.cat([shallow, deep], 1)))
        return scores


def spots(trial: Trial) -> Truth:
    """Spots on a skin, a hundredth of all pixels and faint: the mask stays empty everywhere, and the loss is small."""
    torch.manual_seed(trial.seed)
    rows = torch.arange(24)
    middle = torch.randint(2, 22, (500, 2))
    masks = ((rows[:, None] - middle[:, :1, None]) ** 2 + (rows - middle[:, 1:, None]) ** 2 <= 1).float()
    skin = functional.avg_pool2d(torch.randn(500, 1, 26, 26), 3, 1)
    data = split(skin + 1.0 * masks[:, None] + 0.6 * torch.randn(500, 1, 24, 24), masks[:, None], 100, trial.seed)
    model, other = Unet(), Unet()
    other.load_state_dict(model.state_dict())
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    draw, criterion = data.train.batches(12, trial.seed), nn.BCEWithLogitsLoss()
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=160)
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    weighted = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(60.0))
    control(other, data.train.batches(12, trial.seed), optimizer, weighted, steps=160)
    ignored(model, other, data.held_out)
    return Truth(until=60)


def by_hand(chance: Tensor, truth: Tensor) -> Tensor:
    """Return the cross-entropy as it is in a book."""
    return -(truth * chance.log() + (1 - truth) * (1 - chance).log()).mean()


def sure(trial: Trial) -> Truth:
    """`-(y * log(p) + (1 - y) * log(1 - p))` for tumours, until one is so certain that p is 1: 0 times infinity."""
    torch.manual_seed(trial.seed)
    data = patients(trial.seed)
    model, other = (mlp((30, 64, 64, 1)) for _ in range(2))
    other.load_state_dict(model.state_dict())
    draw, optimizer = data.train.batches(48, trial.seed), AdamW(model.parameters(), lr=5e-3)
    whole = nn.Sequential(model, nn.Sigmoid())
    history = fit(trial, whole, draw, optimizer, by_hand, validation=data.held_out, steps=200)
    bad = [step for step, loss in enumerate(history.train) if not torch.tensor(loss).isfinite()]
    require(bad and bad == list(range(bad[0], 200)) and 5 < bad[0] < 150, f"bad at {bad[:5]}")
    require(all(bool(value.isnan().all()) for value in model.parameters()), "weights are left")
    optimizer, draw = AdamW(other.parameters(), lr=5e-3), data.train.batches(48, trial.seed)
    control(other, draw, optimizer, nn.BCEWithLogitsLoss(), steps=200)
    right, quiet = found(other, data.held_out)
    require(min(right, quiet) > 0.88, f"it could find {right:.2f} and {quiet:.2f}")
    return Truth((), bad[0])


class Mean(nn.Module):
    """A linear layer of a node and of the mean of its neighbours."""

    def __init__(self, inputs: int, made: int) -> None:
        super().__init__()
        self.own, self.near = nn.Linear(inputs, made), nn.Linear(inputs, made)

    def forward(self, nodes: Tensor, joined: Tensor) -> Tensor:
        """Return [n, made]."""
        made: Tensor = self.own(nodes) + self.near(joined @ nodes / joined.sum(1, keepdim=True))
        return made


class Club(nn.Module):
    """Two layers of means and a head, over as many of the ties as are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.head = Mean(16, 24), Mean(24, 24), nn.Linear(24, 4)

    def forward(self, nodes: Tensor, joined: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        hidden = functional.elu(self.conv1(nodes, joined))
        scores: Tensor = self.head(functional.elu(self.conv2(hidden, joined)))
        return scores


def lonely(trial: Trial) -> Truth:
    """More than half of the ties of a club are dropped at each step, till a member has none: 0 / 0."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, inside=0.5, between=0.04)
    joined = ((graph.edges > 0).float() - torch.eye(len(graph.edges))).clamp_min(0)
    require(joined.sum(1).min() > 0, "somebody has no ties at all")
    model, criterion, losses, alone = Club(), nn.CrossEntropyLoss(), [], []
    optimizer = Adam(model.parameters(), lr=5e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _step in range(200):
            upper = (joined * (torch.rand(joined.shape) < 0.46)).triu(1)
            kept = upper + upper.T
            loss = criterion(model(graph.features, kept)[graph.train], graph.communities[graph.train])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            alone.append(bool((kept.sum(1) == 0).any()))
            writer.add_scalar("loss", losses[-1], writer.step)
    onset = alone.index(True)
    require(3 < onset < 150, f"the first is alone at {onset}")
    for step, loss in enumerate(losses):
        require(bool(torch.tensor(loss).isfinite()) == (step < onset), f"the loss is {loss} at {step}")
    sound = Club()
    optimizer = Adam(sound.parameters(), lr=5e-3)
    control(Whole(sound, joined, graph.train), graph.batches(trial.seed), optimizer, steps=200)
    share = accuracy(Whole(sound, joined, graph.held_out), graph.validation)
    require(share > 0.8, f"with all of the ties it is right of {share:.2f}")
    return Truth(("conv1",), onset)


class Whole(nn.Module):
    """A club with all of its ties; returns the scores of some members."""

    def __init__(self, club: Club, joined: Tensor, members: Tensor) -> None:
        super().__init__()
        self.club = club
        self.register_buffer("joined", joined)
        self.members = members

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores."""
        scores: Tensor = self.club(nodes, self.joined)[self.members]
        return scores


SCENARIOS = (
    Scenario(
        "furze-forecast-lstm",
        "rnn",
        REPORTING,
        cut_states,
        ("layer_not_training", "unused_parameter"),
        ("underfitting", "loss_plateau", "vanishing_gradient"),
    ),
    Scenario("furze-frauds-mlp", "mlp", REPORTING, frauds, ("class_imbalance",), ("poor_init", "loss_plateau")),
    Scenario("furze-spots-unet", "cnn", REPORTING, spots, ("class_imbalance",), ("poor_init", "loss_plateau")),
    Scenario("furze-sure-mlp", "mlp", REPORTING, sure, ("nonfinite",), ("saturation", "lr_too_high", "overfitting")),
    Scenario("furze-lonely-gnn", "gnn", REPORTING, lonely, ("nonfinite",)),
)

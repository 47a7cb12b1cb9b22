"""Networks that are too small, classes that are too rare, and numbers that are too coarse."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, Split, communities, digits, split
from tests.diagnosis.networks import Gcn, mlp
from tests.diagnosis.proof import accuracy, double, gradients, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def spirals(seed: int, count: int = 1200) -> Split:
    """Return points of a plane, [n, 2], and on which of three spirals they are."""
    generator = torch.Generator().manual_seed(seed)
    arm = torch.randint(3, (count,), generator=generator)
    radius = torch.rand(count, generator=generator).sqrt()
    angle = 9 * radius + arm * 2.0944 + 0.12 * torch.randn(count, generator=generator)
    points = 2 * radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return split(points, arm, 200, seed)


def four_units(trial: Trial) -> Truth:
    """Wants to tell three spirals apart with one hidden layer of four units."""
    torch.manual_seed(trial.seed)
    data, criterion = spirals(trial.seed), nn.CrossEntropyLoss()
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3))
    other = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))
    optimizer, draw = Adam(model.parameters(), lr=0.02), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(400):
            points, arms = draw(step)
            scores = model(points)
            loss = criterion(scores, arms)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            writer.add_scalar("accuracy/train", float((scores.argmax(1) == arms).float().mean()), writer.step)
            if step % 50 == 49:
                writer.add_scalar("loss/val", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=5e-3), steps=400)
    known, does, should = accuracy(model, data.train), accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(max(known, does) < should - 0.15, f"it gets {does:.3f} right, a wider one {should:.3f}")
    return Truth()


def coder(width: int) -> nn.Sequential:
    """Return an autoencoder of digits with so many numbers in its middle."""
    encoder = nn.Sequential(
        nn.Conv2d(1, 12, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 24, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, width),
    )
    decoder = nn.Sequential(
        nn.Linear(width, 96),
        nn.ReLU(),
        nn.Unflatten(1, (24, 2, 2)),
        nn.ConvTranspose2d(24, 12, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(12, 1, 4, stride=2, padding=1),
    )
    return nn.Sequential(encoder, decoder)


def one_number(trial: Trial) -> Truth:
    """An autoencoder that squeezes each digit into one number: the pictures stay blurred, in training as well."""
    torch.manual_seed(trial.seed)
    pictures = digits(trial.seed, flat=False)
    data = Split(*(Part(part.inputs, part.inputs) for part in (pictures.train, pictures.held_out)))
    model, other, criterion = coder(1), coder(16), nn.MSELoss()
    optimizer, draw = AdamW(model.parameters(), lr=3e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, steps=300, every=None)
    better = control(
        other, data.train.batches(64, trial.seed), AdamW(other.parameters(), lr=3e-3), criterion, steps=300
    )
    require(history.end > 1.5 * better, f"the loss is {history.end:.3g}, and {better:.3g} with sixteen numbers")
    return Truth()


def frauds(seed: int, count: int = 9000) -> Split:
    """Return payments [n, 12], and whether they are frauds, as one in seventy is; they overlap."""
    generator = torch.Generator().manual_seed(seed)
    fraud = (torch.rand(count, generator=generator) < 1 / 70).float()
    rows = torch.randn(count, 12, generator=generator)
    rows[:, :4] += 0.9 * fraud[:, None]
    return split(rows, fraud[:, None], 3000, seed)


def recalls(model: nn.Module, part: Part) -> tuple[float, float]:
    """Return which share of those with nothing and of those with something one logit says right."""
    precise = double(model).eval()
    with torch.no_grad():
        said = precise(part.inputs.double()) > 0
    rare = part.targets > 0
    return float((~said[~rare]).double().mean()), float(said[rare].double().mean())


def no_fraud(trial: Trial) -> Truth:
    """Fraud, one payment in seventy, with plain BCE: an accuracy of 98.6 % that comes of never saying yes."""
    torch.manual_seed(trial.seed)
    data, criterion = frauds(trial.seed), nn.BCEWithLogitsLoss()
    model = mlp((12, 32, 16, 1), dropout=0.1)
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(128, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(250):
            rows, fraud = draw(step)
            scores = model(rows)
            loss = criterion(scores, fraud)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/accuracy", float(((scores > 0) == (fraud > 0)).float().mean()), writer.step)
            if step % 25 == 24:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    weighted = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(69.0))
    control(other, data.train.batches(128, trial.seed), Adam(other.parameters(), lr=1e-3), weighted, steps=250)
    (_, found), (none, better) = (recalls(one, data.held_out) for one in (model, other))
    require(found < 0.1, f"it finds {found:.3f} of the frauds")
    require(better > 0.6 and none > 0.6, f"with weights it gets {none:.3f} and {better:.3f} right alone")
    return Truth()


class Tagger(nn.Module):
    """Tags each word of a sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(120, 24)
        self.gru = nn.GRU(24, 24, batch_first=True, bidirectional=True)
        self.tags = nn.Linear(48, 3)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 3, length]."""
        scores: Tensor = self.tags(self.gru(self.embedding(words))[0]).transpose(1, 2)
        return scores


def names(seed: int, count: int = 900) -> Split:
    """Return sentences [n, 20], and for each word if it is none (98 in 100), a person or a place."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(120, (count, 20), generator=generator)
    tags = torch.zeros_like(words)
    # A title or "in" comes before a name, though not always.
    drawn = torch.rand(words.shape, generator=generator)
    after = torch.cat([torch.full((count, 1), 50), words[:, :-1]], 1)
    tags[(after < 4) & (words >= 60) & (drawn < 0.5)] = 1
    tags[(after >= 4) & (after < 8) & (words < 60) & (drawn < 0.5)] = 2
    return split(words, tags, 200, seed)


def only_others(trial: Trial) -> Truth:
    """Tags names, where 98 words in 100 are none: the tagger says "none" of all of them."""
    torch.manual_seed(trial.seed)
    data, model, criterion = names(trial.seed), Tagger(), nn.CrossEntropyLoss()
    other, weighted = copy.deepcopy(model), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 40.0, 40.0]))
    draw, optimizer = data.train.batches(32, trial.seed), Adam(model.parameters(), lr=2e-3)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, steps=220, every=2)
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), weighted, steps=220)
    found = []
    for one in (model, other):
        with torch.no_grad():
            said = double(one).eval()(data.held_out.inputs).argmax(1)
        found.append([float((said == tag)[data.held_out.targets == tag].double().mean()) for tag in range(3)])
    require(max(found[0][1:]) < 0.1, f"it finds {found[0][1:]} of the names")
    require(min(found[1]) > 0.6, f"with weights it gets {found[1]} right alone")
    return Truth()


def lost(model: nn.Module, steps: dict[str, float]) -> float:
    """Return the share of weights that stay the same where so much is added to them, by parameter."""
    named = [(value.detach(), steps[name]) for name, value in model.named_parameters()]
    same = sum(int((value == value + step).sum()) for value, step in named)
    return same / sum(value.numel() for value, _ in named)


def all_halved(trial: Trial) -> Truth:
    """Calls `model.bfloat16()` to save memory, and trains with AdamW at 1e-4: most steps round to nothing."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed), mlp((64, 64, 64, 10)), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)
    model, draw = model.bfloat16(), data.train.batches(64, trial.seed)
    optimizer = AdamW(model.parameters(), lr=1e-4)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(320):
            pixels, classes = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(pixels.bfloat16()), classes)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train_loss", losses[-1], writer.step)
    better = control(other, data.train.batches(64, trial.seed), AdamW(other.parameters(), lr=1e-4), steps=320)
    does, share = sum(losses[-32:]) / 32, lost(model, {name: 1e-4 for name, _ in model.named_parameters()})
    require(share > 0.5, f"a step of 1e-4 is lost on {share:.2f} of the weights alone")
    require(does > 1.3 * better, f"the loss is {does:.3f}, and {better:.3f} in float32")
    return Truth(("fc1", "fc2", "head"))


def halved_graph(trial: Trial) -> Truth:
    """A graph network kept in bfloat16 and trained by SGD: what a step would add is below the last digit."""
    torch.manual_seed(trial.seed)
    graph, criterion = communities(trial.seed), nn.CrossEntropyLoss()
    model = Gcn(graph, width=32)
    other = copy.deepcopy(model)
    model, draw, whole = model.bfloat16(), graph.batches(trial.seed), graph.batches(trial.seed)

    def halved(step: int) -> tuple[Tensor, Tensor]:
        nodes, known = draw(step)
        return nodes.bfloat16(), known

    optimizer = SGD(model.parameters(), lr=0.01)
    history = fit(trial, model, halved, optimizer, criterion, steps=400, every=2)
    better = control(other, whole, SGD(other.parameters(), lr=0.01), steps=400)
    sizes = gradients(model, Part(graph.features, graph.communities[graph.train]))
    share = lost(model, {name: 0.01 * size for name, size in sizes.items()})
    require(share > 0.5, f"a usual step is lost on {share:.2f} of the weights alone")
    require(history.end > better + 0.15, f"the loss is {history.end:.3f}, and {better:.3f} in float32")
    return Truth(("convs.0.linear", "convs.1.linear", "head", "convs.0", "convs.1"))


SCENARIOS = (
    Scenario("maple-spirals-mlp", "mlp", TUNING, four_units, ("underfitting",), ("loss_plateau",)),
    Scenario("maple-one-number-cnn", "cnn", TUNING, one_number, ("underfitting",), ("loss_plateau",)),
    Scenario("maple-frauds-mlp", "mlp", TUNING, no_fraud, ("class_imbalance",), ("loss_plateau", "underfitting")),
    Scenario("maple-names-gru", "rnn", TUNING, only_others, ("class_imbalance",), ("loss_plateau", "underfitting")),
    Scenario(
        "maple-halved-mlp",
        "mlp",
        TUNING,
        all_halved,
        ("low_precision_underflow",),
        ("lr_too_low", "layer_not_training", "loss_plateau"),
    ),
    Scenario(
        "maple-halved-gcn",
        "gnn",
        TUNING,
        halved_graph,
        ("low_precision_underflow",),
        ("lr_too_low", "layer_not_training", "loss_plateau"),
    ),
)

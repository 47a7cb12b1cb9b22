"""Steps cut to nothing, rare classes that nobody finds, and networks too small for what they are to learn."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, communities, digits, language, split
from tests.diagnosis.faulty.caller_birch import harmed
from tests.diagnosis.networks import Gcn, mlp
from tests.diagnosis.proof import accuracy, double, gradients, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def norm_of(model: nn.Module, part: Part, criterion: nn.Module) -> float:
    """Return the norm of all gradients together, in float64."""
    parameters = dict(double(model).named_parameters())
    sizes = gradients(model, part, criterion)
    return float(sum(parameters[name].numel() * size**2 for name, size in sizes.items()) ** 0.5)


class Writing(nn.Module):
    """A language model: an LSTM over embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.lstm, self.decoder = nn.Embedding(20, 24), nn.LSTM(24, 48, batch_first=True), nn.Linear(48, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        scores: Tensor = self.decoder(self.lstm(self.emb(tokens))[0]).transpose(1, 2)
        return scores


def clipped_letters(trial: Trial) -> Truth:
    """A language model by plain SGD with clip_grad_norm_ at 0.01, where the norm is many times that at each step."""
    torch.manual_seed(trial.seed)
    data, model = language(trial.seed, length=20), Writing()
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=1.0)
    losses, norms, draw = [], [], data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            tokens, following = draw(step)
            optimizer.zero_grad()
            scores = model(tokens)
            loss = functional.cross_entropy(scores, following)
            writer.observe(outputs=scores, targets=following, loss=loss)
            loss.backward()
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 0.01)))
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss", loss.item(), step)
            writer.add_scalar("perplexity", loss.exp().item(), step)
    better = control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=1.0), steps=200)
    harmed(sum(losses[-20:]) / 20, better, 1.3)
    require(min(norms) > 0.03, f"a norm was {min(norms):.3g}")
    end = norm_of(model, data.train.first(256), nn.CrossEntropyLoss())
    require(end > 0.05, f"the norm of the gradient is {end:.3g}")
    return Truth()


class Molecules(nn.Module):
    """Two rounds of messages over graphs whose features and edges lie side by side, [n, 10, 6 + 10], and a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.msg1, self.msg2 = nn.Linear(6, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.own1, self.own2 = nn.Linear(32, 32), nn.Linear(32, 32)
        self.readout = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, graphs: Tensor) -> Tensor:
        """Return energies [n, 1]."""
        atoms, bonds = graphs[..., :6], graphs[..., 6:]
        x = functional.relu(self.lift(atoms))
        for own, msg in ((self.own1, self.msg1), (self.own2, self.msg2)):
            x = functional.relu(own(x) + bonds @ msg(x) / 3)
        told: Tensor = self.readout(x.mean(1))
        return told


def summed(trial: Trial) -> Truth:
    """Energies of molecules: the loss is summed over the batch, so that a clip at 0.5 from elsewhere is always on."""
    torch.manual_seed(trial.seed)
    kinds = torch.randint(6, (1200, 10))
    bonds = (torch.rand(1200, 10, 10) < 0.3).float().triu(1)
    bonds = bonds + bonds.transpose(1, 2)
    worth, charge = torch.randn(2, 6)[:, kinds]
    energies = worth.sum(1) + 0.5 * (bonds * charge[:, :, None] * charge[:, None, :]).sum((1, 2))
    energies = ((energies - energies.mean()) / energies.std())[:, None]
    data = split(torch.cat([functional.one_hot(kinds, 6).float(), bonds], 2), energies, 240, trial.seed)
    model, criterion, norms = Molecules(), nn.MSELoss(reduction="sum"), []
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=3e-4, momentum=0.9)

    def look(_step: int) -> None:
        held = [value.grad.norm() for value in model.parameters() if value.grad is not None]
        norms.append(float(torch.stack(held).norm()))

    draw = data.train.batches(100, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, clip=0.5, backward=look, every=1, steps=200)
    rate = SGD(other.parameters(), lr=3e-4, momentum=0.9)
    better = control(other, data.train.batches(100, trial.seed), rate, criterion, steps=200)
    harmed(history.end, better, 1.5)
    over = sum(norm > 1.5 for norm in norms) / len(norms)
    require(over > 0.97, f"{over:.2f} of the norms are above three times the clip")
    end = norm_of(model, data.train.first(100), criterion)
    require(end > 3, f"the norm of the gradient is {end:.3g}")
    return Truth()


def recalled(model: nn.Module, part: Part) -> tuple[float, float]:
    """Return the share of positives, and that of negatives, that a score above zero, or the second class, finds."""
    with torch.no_grad():
        made = double(model).eval()(part.inputs.double())
    said = made > 0 if made.shape == part.targets.shape else made.argmax(1) == 1
    positive = part.targets > 0
    return float(said[positive].double().mean()), float((~said[~positive]).double().mean())


def ignored(model: nn.Module, other: nn.Module, part: Part) -> None:
    """Raise NotProvenError unless a network finds hardly any of the rare class, and one that weighs it most."""
    found, _ = recalled(model, part)
    should, right = recalled(other, part)
    require(found < 0.2, f"{found:.2f} of the rare class is found")
    require(should > 0.55 and right > 0.65, f"weighted, {should:.2f} of it and {right:.2f} of the rest are found")


def cards(trial: Trial) -> Truth:
    """Payments by card, one in fifty a fraud: accuracy is 98 % at once, and no fraud is ever found."""
    torch.manual_seed(trial.seed)
    rows, fraud = torch.randn(6000, 12), (torch.rand(6000, 1) < 0.02).float()
    rows[:, :5] += 0.75 * fraud
    data = split(rows, fraud, 1500, trial.seed)
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    other, criterion, step = copy.deepcopy(model), nn.BCEWithLogitsLoss(), 0
    optimizer = Adam(model.parameters(), lr=1e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(4):
            for chosen in torch.randperm(4500).split(64):
                optimizer.zero_grad()
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                loss.backward()
                optimizer.step()
                writer.add_scalar("train/loss", loss.item(), step)
                step += 1
            writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), step)
            model.eval()
            with torch.no_grad():
                hits = ((model(data.held_out.inputs) > 0).float() == data.held_out.targets).float().mean()
            model.train()
            writer.add_scalar("val/accuracy", hits.item(), epoch)
    weighted = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(40.0))
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=1e-3), weighted, steps=step)
    ignored(model, other, data.held_out)
    return Truth()


class Segmenter(nn.Module):
    """Four convolutions; scores for ground and lesion at each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.dec, self.out = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 2, 1)
        self.bn1, self.bn2 = nn.BatchNorm2d(16), nn.BatchNorm2d(16)

    def forward(self, scans: Tensor) -> Tensor:
        """Return [n, 2, height, width] of [n, 1, height, width]."""
        x = functional.relu(self.bn1(self.enc1(scans)))
        x = functional.relu(self.bn2(self.enc2(x)))
        scores: Tensor = self.out(functional.relu(self.dec(x)))
        return scores


def lesions(trial: Trial) -> Truth:
    """Segments faint lesions, one pixel in a hundred, by plain cross-entropy: every mask that it gives is empty."""
    torch.manual_seed(trial.seed)
    masks = torch.zeros(800, 16, 16, dtype=torch.long)
    tops = torch.randint(0, 14, (800, 2))
    for number, (top, left) in enumerate(tops.tolist()):
        if number % 3:
            masks[number, top : top + 2, left : left + 2] = 1
    scans = torch.randn(800, 1, 16, 16) + 1.0 * masks[:, None]
    data = split(scans, masks, 160, trial.seed)
    model, criterion = Segmenter(), nn.CrossEntropyLoss()
    other, optimizer = copy.deepcopy(model), AdamW(model.parameters(), lr=2e-3)
    draw, weighted = data.train.batches(16, trial.seed), nn.CrossEntropyLoss(torch.tensor([1.0, 60.0]))
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=180)
    control(other, data.train.batches(16, trial.seed), AdamW(other.parameters(), lr=2e-3), weighted, steps=180)
    ignored(model, other, data.held_out)
    return Truth()


def two_units(trial: Trial) -> Truth:
    """A hidden layer of two units, as in a lesson on XOR, for the ten digits."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed), mlp((64, 2, 10), nn.Tanh), mlp((64, 48, 10), nn.Tanh)
    optimizer, draw = Adam(model.parameters(), lr=1e-2), data.train.batches(64, trial.seed)

    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=320)
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=1e-2), steps=320)
    harmed(history.end, better, 5.0)
    # Neither more steps nor a lower rate are what is missing.
    more = copy.deepcopy(model)
    control(more, draw, Adam(more.parameters(), lr=5e-3), steps=600)
    harmed(loss_of(more, data.train), better, 4.0)
    require(accuracy(model, data.train) < accuracy(other, data.train) - 0.3, "two units are enough")
    return Truth()


def narrow(trial: Trial) -> Truth:
    """Graph convolutions two channels wide, for sixteen communities."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, count=16, size=24, inside=0.4, between=0.01)
    model, other = (Gcn(graph, width=width, activation=nn.ELU) for width in (2, 32))
    optimizer, draw = Adam(model.parameters(), lr=2e-2), graph.batches(trial.seed)
    history = fit(trial, model, draw, optimizer, validation=graph.validation, every=2, steps=300)
    better = control(other, graph.batches(trial.seed), Adam(other.parameters(), lr=2e-2), steps=300)
    harmed(history.end, better, 5.0)
    more = copy.deepcopy(model)
    harmed(control(more, draw, Adam(more.parameters(), lr=5e-3), steps=600), better, 4.0)
    require(accuracy(model, graph.validation) < accuracy(other, graph.validation) - 0.2, "two channels are enough")
    return Truth()


SCENARIOS = (
    Scenario(
        "birch-clipped-letters-lstm",
        "rnn",
        TUNING,
        clipped_letters,
        ("clip_saturated",),
        ("lr_too_low", "loss_plateau", "underfitting"),
    ),
    Scenario(
        "birch-summed-gnn",
        "gnn",
        TUNING,
        summed,
        ("clip_saturated",),
        ("lr_too_low", "loss_plateau", "underfitting", "dead_units"),
    ),
    Scenario(
        "birch-cards-mlp",
        "mlp",
        TUNING,
        cards,
        ("class_imbalance",),
        ("loss_plateau", "underfitting", "poor_init"),
    ),
    Scenario(
        "birch-lesions-cnn",
        "cnn",
        TUNING,
        lesions,
        ("class_imbalance",),
        ("loss_plateau", "underfitting", "poor_init"),
    ),
    Scenario("birch-two-units-mlp", "mlp", TUNING, two_units, ("underfitting",), ("loss_plateau", "saturation")),
    Scenario("birch-narrow-gnn", "gnn", TUNING, narrow, ("underfitting",), ("loss_plateau",)),
)

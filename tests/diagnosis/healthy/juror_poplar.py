"""Healthy trainings: long lines of text, drawn digits, votes, wines among noise, and a network that is taught anew."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, digits, language, majorities, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, calm, generalises, gradients, learned, loss_of, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


class Lines(nn.Module):
    """An LSTM over lines of 48 syllables, which tells the next of each."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(20, 16), nn.LSTM(16, 48, batch_first=True)
        self.decoder = nn.Linear(48, 20)

    def forward(self, lines: Tensor) -> Tensor:
        """Return scores [n, 20, 48]."""
        scores: Tensor = self.decoder(self.lstm(self.embed(lines))[0]).transpose(1, 2)
        return scores


def long_lines(trial: Trial) -> None:
    """An LSTM over 48 places with the usual clipping at 1, as everybody fears for its gradients."""
    torch.manual_seed(trial.seed)
    data, model, criterion = language(trial.seed, length=48, count=700), Lines(), nn.CrossEntropyLoss()
    optimizer, draw, history = Adam(model.parameters(), lr=1e-2), data.train.batches(24, trial.seed), History([], {})
    norms = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(160):
            lines, following = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(lines), following)
            loss.backward()
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 1.0)))
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("train/loss", history.train[-1], writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("val/loss", history.validation[step], writer.step)
    pairs = torch.full((20, 20), 0.1).index_put(
        (data.train.inputs.flatten(), data.train.targets.flatten()), torch.tensor(1.0), accumulate=True
    )
    chances = (pairs / pairs.sum(1, keepdim=True)).log()
    known = -float(chances[data.held_out.inputs, data.held_out.targets].mean())
    found = history.validation[159]
    require(found < 1.08 * known, f"{found:.3f} is above {known:.3f}, which a table of pairs reaches")
    require(max(norms) < 3 and sum(norm > 1 for norm in norms) < 16, f"gradients are up to {max(norms):.3g}")
    calm(history)
    generalises(history)


class Drawer(nn.Module):
    """A variational autoencoder of pictures [n, 1, 8, 8]; returns its picture beside mean and log-variance."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten()),
            nn.Linear(128, 12),
        )
        self.decoder = nn.Sequential(nn.Linear(6, 96), nn.ReLU(), nn.Linear(96, 64))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 76]."""
        mean, log = self.encoder(pictures).chunk(2, 1)
        code = mean + (0.5 * log).exp() * torch.randn_like(mean) if self.training else mean
        return torch.cat([self.decoder(code), mean, log], 1)


def evidence(made: Tensor, pictures: Tensor) -> Tensor:
    """Return what a variational autoencoder is to make small: sums over the pixels and over the batch."""
    drawn, mean, log = made.split((64, 6, 6), 1)
    wrong = functional.mse_loss(drawn, pictures.flatten(1), reduction="sum")
    told: Tensor = 0.5 * (mean.square() + log.exp() - 1 - log).sum()
    return wrong + told


def drawn_digits(trial: Trial) -> None:
    """The loss of a VAE is a sum over pixels and batch, as in the paper's code: gradients are in the thousands."""
    torch.manual_seed(trial.seed)
    pictures = digits(trial.seed, flat=False)
    train, held_out = (Part(one.inputs, one.inputs) for one in (pictures.train, pictures.held_out))
    model = Drawer()
    other = copy.deepcopy(model)
    sizes = gradients(model, train.first(64), evidence)
    start = sum(size**2 * model.get_parameter(name).numel() for name, size in sizes.items()) ** 0.5
    require(start > 500, f"the norm of the gradient is {start:.3g}")
    optimizer, draw = Adam(model.parameters(), lr=2e-3), train.batches(64, trial.seed)
    history = History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(300):
            seen, same = draw(step)
            made = model(seen)
            loss = evidence(made, same)
            writer.observe(outputs=made, targets=same, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("elbo/train", history.train[-1], writer.step)

    def mean(made: Tensor, same: Tensor) -> Tensor:
        return evidence(made, same) / same.numel()

    control(other, train.batches(64, trial.seed), Adam(other.parameters(), lr=2e-3), mean, steps=300)
    found, could = (loss_of(one, held_out, mean) for one in (model, other))
    require(found < 1.05 * could, f"{found:.3f} is above {could:.3f}, which the mean reaches")
    flat = float((held_out.inputs - train.inputs.mean(0)).square().mean())
    require(found < 0.7 * flat, f"{found:.3f} is not below {flat:.3f}")
    with torch.no_grad():
        code, log = model.eval()(held_out.inputs)[:, 64:].chunk(2, 1)
    told = 0.5 * (code.square() + log.exp() - 1 - log).mean(0)
    require(bool((told > 0.1).all()), f"what numbers of the code tell is {told}")
    calm(history)


class Votes(nn.Module):
    """A transformer with dropout throughout; says which candidate is named most."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.drop = nn.Embedding(12, 32), nn.Dropout(0.2)
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.2, "gelu", batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 3)

    def forward(self, names: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        scores: Tensor = self.head(self.norm(self.body(self.drop(self.embed(names))).mean(1)))
        return scores


def votes(trial: Trial) -> None:
    """Dropout of 0.2, weight decay of 0.1 and smoothed labels, all at once and all as is usual."""
    torch.manual_seed(trial.seed)
    data, model, criterion = majorities(trial.seed), Votes(), nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer, draw = AdamW(model.parameters(), lr=2e-3, weight_decay=0.1), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=180)
    found = accuracy(model, data.held_out)
    require(found > 0.93, f"the accuracy is {found:.3f}")
    calm(history)
    generalises(history)


def noisy_wines(trial: Trial) -> None:
    """Dropout of 0.7 twice, for 100 wines with thirteen measures among sixty columns: the loss in training stays up."""
    torch.manual_seed(trial.seed)
    table, generator = load_wine(), torch.Generator().manual_seed(trial.seed)
    rows, kinds = torch.tensor(table.data, dtype=torch.float32), torch.tensor(table.target)
    rows = torch.cat([(rows - rows.mean(0)) / rows.std(0), torch.randn(178, 47, generator=generator)], 1)
    data = split(rows, kinds, 78, trial.seed)
    model, other = mlp((60, 256, 256, 3), dropout=0.7), mlp((60, 256, 256, 3))
    other.load_state_dict(model.state_dict())
    optimizer, criterion, history = Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss(), History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(40):
            for chosen in torch.randperm(100).split(25):
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                history.train.append(loss.item())
                writer.add_scalar("loss/train", history.train[-1], writer.step)
            history.validation[4 * epoch + 3] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("loss/val", history.validation[4 * epoch + 3], writer.step)
    control(other, data.train.batches(25, trial.seed), Adam(other.parameters(), lr=1e-3), steps=160)
    found, could = (loss_of(one, data.held_out) for one in (model, other))
    require(found < could, f"{found:.3f} is above {could:.3f}, which no dropout reaches")
    learned(model, data.held_out, 0.9)
    generalises(history)


class Reader(nn.Module):
    """Three convolutions, each normalised, over pictures [n, 1, 8, 8], and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential()
        for inputs, outputs in ((1, 16), (16, 24), (24, 32)):
            self.backbone.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
            self.backbone.extend((nn.BatchNorm2d(outputs), nn.ReLU()))
        self.pool, self.head = nn.AdaptiveAvgPool2d(2), nn.Linear(128, 5)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 5]."""
        scores: Tensor = self.head(self.pool(self.backbone(pictures)).flatten(1))
        return scores


def taught_anew(trial: Trial) -> None:
    """A network that knows 0 to 4 learns 5 to 9: a new head, and all below it at a tenth of its rate."""
    torch.manual_seed(trial.seed)
    both = digits(trial.seed, flat=False)
    low, high = (both.train.targets < 5), (both.held_out.targets >= 5)
    first = Part(both.train.inputs[low], both.train.targets[low])
    second = Part(both.train.inputs[~low], both.train.targets[~low] - 5)
    held_out = Part(both.held_out.inputs[high], both.held_out.targets[high] - 5)
    model = Reader()
    control(model, first.batches(48, trial.seed), Adam(model.parameters(), lr=2e-3), steps=60)
    model.head = nn.Linear(128, 5)
    before = snapshot(model)
    groups = [{"params": model.backbone.parameters(), "lr": 0.005}, {"params": model.head.parameters(), "lr": 0.05}]
    optimizer = SGD(groups, lr=0.05, momentum=0.9, weight_decay=1e-4)
    draw = second.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=held_out, every=2, steps=160)
    for name, change in moved(before, model).items():
        require(change > 1e-3, f"{name} moved by {change:.3g}")
    learned(model, held_out, 0.95)
    calm(history)
    generalises(history)


SCENARIOS = (
    Scenario("poplar-healthy-long-lines-lstm", "rnn", TUNING, long_lines),
    Scenario("poplar-healthy-drawn-digits-cnn", "cnn", TUNING, drawn_digits),
    Scenario("poplar-healthy-votes-transformer", "transformer", TUNING, votes),
    Scenario("poplar-healthy-noisy-wines-mlp", "mlp", TUNING, noisy_wines),
    Scenario("poplar-healthy-taught-anew-cnn", "cnn", TUNING, taught_anew),
)

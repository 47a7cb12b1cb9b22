"""Healthy trainings on wine, masks, texts, digits, prices, accounts and diabetes, of which four look ill."""

from __future__ import annotations

from collections import OrderedDict

import torch
from sklearn.datasets import load_diabetes, load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from tests.diagnosis.data import Part, digits, language, split
from tests.diagnosis.faulty.caller_cedar import Masks, discs, epochs
from tests.diagnosis.faulty.caller_cedar_three import Words
from tests.diagnosis.networks import Residual
from tests.diagnosis.proof import (
    accuracy,
    alive,
    calm,
    generalises,
    gradients,
    learned,
    loss_of,
    moved,
    require,
    silent,
    snapshot,
)
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, evaluate, fit


def awake(model: nn.Module, names: tuple[str, ...], inputs: Tensor) -> None:
    """Raise NotProvenError where of what is passed through a ReLU afterwards more than a fifth is never above zero."""
    for name in names:
        share = float(silent(model, name, inputs).double().mean())
        require(share <= 0.2, f"{share:.2f} of {name} is dead")


def wine(trial: Trial) -> None:
    """Three kinds of wine by thirteen standardised measurements: an MLP, AdamW and ten epochs of small batches."""
    torch.manual_seed(trial.seed)
    raw = load_wine()
    rows = torch.tensor(raw.data, dtype=torch.float32)
    data = split((rows - rows.mean(0)) / rows.std(0), torch.tensor(raw.target), 50, trial.seed)
    model, criterion = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3)), nn.CrossEntropyLoss()
    optimizer, batches = AdamW(model.parameters(), lr=3e-3, weight_decay=0.05), epochs(data.train, 8, trial.seed)
    history = History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(160):
            inputs, targets = next(batches)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("train/loss", history.train[-1], writer.step)
            if step % 16 == 15:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("val/loss", history.validation[step], writer.step)
                writer.add_scalar("val/accuracy", accuracy(model, data.held_out), writer.step)
    learned(model, data.held_out, 0.92)
    generalises(history)


def masks(trial: Trial) -> None:
    """Discs are told from bars pixel by pixel, by a small U-Net with Adam and a rate that falls as a cosine."""
    torch.manual_seed(trial.seed)
    data, model, criterion = discs(trial.seed), Masks(norm=True), nn.BCEWithLogitsLoss()
    optimizer = Adam(model.parameters(), lr=4e-3)
    schedule, draw = CosineAnnealingLR(optimizer, 240), data.train.batches(16, trial.seed)
    history = fit(
        trial, model, draw, optimizer, criterion, schedule=schedule, validation=data.held_out, every=2, steps=240
    )
    with torch.no_grad():
        found, known = model(data.held_out.inputs) > 0, data.held_out.targets > 0.5
    overlap = float((found & known).sum() / (found | known).sum())
    require(overlap > 0.8, f"the overlap is {overlap:.3f}")
    awake(model, tuple(f"{part}.norms.{at}" for part in ("down", "deep", "up") for at in (0, 1)), data.held_out.inputs)
    generalises(history)


def texts(trial: Trial) -> None:
    """A language model with warm-up and a clip at 1 that few steps reach: the loss ends flat, as most is chance."""
    torch.manual_seed(trial.seed)
    data, model, criterion = language(trial.seed, count=2000), Words(), nn.CrossEntropyLoss()
    optimizer = AdamW(model.parameters(), lr=6e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 20, 1 - step / 300))
    draw, history, clipped = data.train.batches(32, trial.seed), History([], {}), 0
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=4, on_finding="ignore")
        for step in range(220):
            tokens, following = draw(step)
            loss = criterion(model(tokens), following)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            clipped += int(nn.utils.clip_grad_norm_(model.parameters(), 1.0) > 1)
            optimizer.step()
            schedule.step()
            history.train.append(loss.item())
            writer.add_scalar("Loss", history.train[-1], writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("Loss/val", history.validation[step], writer.step)
    pairs = torch.zeros(20, 20, dtype=torch.float64) + 0.01
    pairs.index_put_((data.train.inputs, data.train.targets), torch.tensor(1.0).double(), accumulate=True)
    best = -(pairs / pairs.sum(1, keepdim=True)).log()[data.held_out.inputs, data.held_out.targets].mean()
    found = loss_of(model, data.held_out)
    require(found < 1.06 * float(best), f"the loss is {found:.4g}, and that of counted pairs {best:.4g}")
    require(clipped < 60, f"{clipped} steps were clipped")
    generalises(history)


class Probe(nn.Module):
    """Features that were learned before and stand still, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 16, 3, padding=1),
                bn1=nn.BatchNorm2d(16),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(16, 32, 3, padding=1),
                bn2=nn.BatchNorm2d(32),
                relu2=nn.ReLU(),
                pool=nn.AvgPool2d(2),
            )
        )
        self.head = nn.Linear(512, 5)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 5]."""
        scores: Tensor = self.head(self.features(pictures).flatten(1))
        return scores

    def train(self, mode: bool = True) -> Probe:
        """Keep statistics of the features as they are once they are frozen."""
        super().train(mode)
        self.features.train(mode and self.features.conv1.weight.requires_grad)
        return self


def probe(trial: Trial) -> None:
    """A CNN that knows the digits up to four is frozen on purpose, and a new head learns those from five."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), Probe()
    old, new, held_out = (
        Part(one.inputs[chosen], one.targets[chosen] % 5)
        for one, chosen in (
            (data.train, data.train.targets < 5),
            (data.train, data.train.targets > 4),
            (data.held_out, data.held_out.targets > 4),
        )
    )
    earlier, draw = Adam(model.parameters(), lr=3e-3), old.batches(32, trial.seed)
    for step in range(60):
        earlier.zero_grad()
        pictures, classes = draw(step)
        functional.cross_entropy(model(pictures), classes).backward()
        earlier.step()
    model.features.requires_grad_(False)
    model.head = nn.Linear(512, 5)
    model.train()
    before = snapshot(model)
    optimizer = SGD((one for one in model.parameters() if one.requires_grad), lr=0.01, momentum=0.9)
    draw = new.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=held_out, every=2, steps=160)
    learned(model, held_out, 0.93)
    generalises(history)
    require(all((size > 0) == name.startswith("head") for name, size in moved(before, model).items()), "another moved")


class Prices(nn.Module):
    """A GRU over 24 days that says what the next brings."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = nn.GRU(3, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, days: Tensor) -> Tensor:
        """Return [n, 1]."""
        said: Tensor = self.out(self.gru(days)[0][:, -1])
        return said


def prices(trial: Trial) -> None:
    """Five sixths of what is to be said is chance: the loss hardly falls. Gradients of four batches are added up."""
    torch.manual_seed(trial.seed)
    days = torch.randn(4000, 24, 3)
    signal = 0.6 * (days[:, -5:, 0].mean(1) * 5**0.5) + 0.4 * days[:, -1, 1].tanh() * days[:, -2, 2].sign()
    chance = 1.5 * torch.randn(4000)
    data = split(days, torch.stack([signal + chance, signal], 1), 800, trial.seed)
    train, held_out = (Part(one.inputs, one.targets[:, :1]) for one in (data.train, data.held_out))
    model, criterion = Prices(), nn.SmoothL1Loss()
    optimizer, draw = RMSprop(model.parameters(), lr=1e-3), train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=held_out, accumulate=4, every=3, steps=160)
    with torch.no_grad():
        said, known = model(held_out.inputs)[:, 0], data.held_out.targets[:, 1]
    alike = float(torch.corrcoef(torch.stack([said, known]))[0, 1])
    require(alike > 0.7, f"what is said and what can be known have a correlation of {alike:.2f}")
    found, best = loss_of(model, held_out, criterion), float(criterion(known[:, None], held_out.targets))
    require(found < 1.07 * best, f"the loss is {found:.4g}, and could be {best:.4g}")
    generalises(history)


class Accounts(nn.Module):
    """A node beside the mean of its neighbours, twice; says of each whether it is a fraud."""

    def __init__(self, joined: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", joined / joined.sum(1, keepdim=True).clamp_min(1), persistent=False)
        self.layer1, self.norm, self.layer2 = nn.Linear(12, 16), nn.LayerNorm(16), nn.Linear(32, 16)
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(16, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [n]."""
        hidden = self.norm(functional.relu(self.layer1(torch.cat([nodes, self.mean @ nodes], 1))))
        hidden = functional.relu(self.layer2(torch.cat([hidden, self.mean @ hidden], 1)))
        scores: Tensor = self.out(self.drop(hidden))[:, 0]
        return scores


def frauds(trial: Trial) -> None:
    """One account in sixteen is a fraud, and weighs as much as sixteen: nearly all of them are found."""
    torch.manual_seed(trial.seed)
    fraud = torch.rand(2000) < 1 / 16
    upper = (torch.rand(2000, 2000) < torch.where(fraud[:, None] & fraud, 0.12, 0.005)).triu(1).float()
    nodes = torch.randn(2000, 6) + fraud[:, None] * torch.tensor([1.2, -0.9, 0.9] + [0.0] * 3)
    trained, model = torch.rand(2000) < 0.6, Accounts(upper + upper.T)
    criterion, labels, history = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(16.0)), fraud.float(), History([], {})
    optimizer = AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(120):
            optimizer.zero_grad()
            loss = criterion(model(nodes)[trained], labels[trained])
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("loss/train", history.train[-1], writer.step)
            if step % 10 == 9:
                model.eval()
                with torch.no_grad():
                    history.validation[step] = float(criterion(model(nodes)[~trained], labels[~trained]))
                model.train()
                writer.add_scalar("loss/val", history.validation[step], writer.step)
    with torch.no_grad():
        told = model.eval()(nodes) > 0
    hit = float(told[~trained & fraud].float().mean())
    false = float(told[~trained & ~fraud].float().mean())
    require(hit > 0.85 and false < 0.1, f"{hit:.2f} of the frauds are found, and {false:.2f} of the others accused")
    awake(model, ("layer1", "layer2"), nodes)
    generalises(history)


def diabetes(trial: Trial) -> None:
    """Blocks that are closed by gates of zero at first, so their gradients are nothing: diabetes, mostly chance."""
    torch.manual_seed(trial.seed)
    raw = load_diabetes()
    rows, levels = (torch.tensor(one, dtype=torch.float32) for one in (raw.data, raw.target))
    scaled = ((levels - levels.mean()) / levels.std())[:, None]
    data = split(rows / rows.std(0), scaled, 90, trial.seed)
    blocks = [Residual(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)), gate=0.0) for _ in range(4)]
    model, criterion = nn.Sequential(nn.Linear(10, 32), *blocks, nn.Linear(32, 1)), nn.MSELoss()
    first = gradients(model, data.train, criterion)
    require(all(first[f"{at}.body.0.weight"] == 0 and first[f"{at}.gate"] > 0 for at in range(1, 5)), "gates are open")
    before, optimizer = snapshot(model), AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, steps=120)
    inputs = torch.cat([data.train.inputs, torch.ones(len(data.train.targets), 1)], 1)
    line = torch.linalg.lstsq(inputs, data.train.targets).solution
    plain = data.held_out.inputs @ line[:-1] + line[-1]
    found, known = loss_of(model, data.held_out, criterion), float(criterion(plain, data.held_out.targets))
    require(found < 1.08 * known, f"the loss is {found:.3g}, and that of a line {known:.3g}")
    alive(model, data.train.inputs)
    require(all(size > 1e-3 for name, size in moved(before, model).items() if "body" in name), "a body did not move")
    generalises(history)
    calm(history, 0.6)


SCENARIOS = (
    Scenario("cedar-healthy-wine-mlp", "mlp", TUNING, wine),
    Scenario("cedar-healthy-masks-cnn", "cnn", TUNING, masks),
    Scenario("cedar-healthy-texts-transformer", "transformer", TUNING, texts),
    Scenario("cedar-healthy-frozen-cnn", "cnn", TUNING, probe),
    Scenario("cedar-healthy-prices-gru", "rnn", TUNING, prices),
    Scenario("cedar-healthy-frauds-gnn", "gnn", TUNING, frauds),
    Scenario("cedar-healthy-gates-mlp", "mlp", TUNING, diabetes),
)

"""Healthy trainings that are logged as tutorials have it, seldom, in other runs, or not at all."""

from __future__ import annotations

from torch import nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import curves, digits
from tests.diagnosis.healthy.blind_pictures import shuffled
from tests.diagnosis.healthy.stranger_pictures import layer
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, alive, generalises, learned, loss_of, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History


def tutorial(trial: Trial) -> None:
    """LeNet as in torch's own tutorial: tiny batches, SGD with momentum, a running loss at every fiftieth of them."""
    data, criterion, history = digits(trial.seed, flat=False), nn.CrossEntropyLoss(), History([], {})
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(144, 60), nn.ReLU(), nn.Linear(60, 40), nn.ReLU(), nn.Linear(40, 10)),
    )
    optimizer, loader, running = (
        SGD(model.parameters(), lr=0.01, momentum=0.9),
        shuffled(data.train, 8, trial.seed),
        0.0,
    )
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=5, on_finding="ignore")
        for epoch in range(3):
            for number, (inputs, targets) in enumerate(loader):
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()
                running += loss.item()
                history.train.append(loss.item())
                if number % 50 == 49:
                    writer.add_scalar("training loss", running / 50, epoch * len(loader) + number)
                    running = 0.0
            history.validation[epoch] = loss_of(model, data.held_out)
    learned(model, data.held_out, 0.9)
    require(history.validation[2] < 1.1 * min(history.validation.values()), "the loss held out rose")


def side_by_side(trial: Trial) -> None:
    """Both losses by add_scalars, which puts them into runs of their own, by the number of the epoch."""
    data, criterion, history = curves(trial.seed, count=1500), nn.MSELoss(), History([], {})
    model = mlp((8, 64, 64, 1))
    optimizer, loader = Adam(model.parameters(), lr=3e-3, weight_decay=1e-4), shuffled(data.train, 64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(1, 16):
            model.train()
            total = 0.0
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(inputs)
            history.train.append(total / len(data.train.targets))
            history.validation[epoch] = loss_of(model, data.held_out, criterion)
            losses = {"Training": history.train[-1], "Validation": history.validation[epoch]}
            writer.add_scalars("Training vs. Validation Loss", losses, epoch)
            writer.flush()
    require(history.validation[15] < 0.2, f"the error held out is {history.validation[15]:.3g} of the variance")
    generalises(history)
    alive(model, data.held_out.inputs)


def silent_loop(trial: Trial) -> None:
    """Nothing is logged but what watching records: a functional loss, and accuracies in a print."""
    data, model = digits(trial.seed), mlp((64, 64, 32, 10), nn.ELU)
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9), data.train.batches(50, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, every=2, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
    learned(model, data.held_out, 0.92)


def gap(trial: Trial) -> None:
    """Four hundred pictures are known by heart, the others nearly as well: a gap, and no rise of the loss held out."""
    data = digits(trial.seed, flat=False)
    few, history = data.train.first(400), History([], {})
    model = nn.Sequential(layer(1, 12), layer(12, 24, 2), nn.Dropout(0.3), nn.Flatten(), nn.Linear(384, 10))
    criterion, optimizer = nn.CrossEntropyLoss(), AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    loader = shuffled(few, 40, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=3, on_finding="ignore")
        for _epoch in range(18):
            for inputs, targets in loader:
                loss = criterion(model(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                history.train.append(loss.item())
                writer.add_scalar("train_loss", loss.item(), writer.step)
            history.validation[writer.step] = loss_of(model, data.held_out)
            writer.add_scalar("val_loss", history.validation[writer.step], writer.step)
            writer.add_scalar("val_acc", accuracy(model, data.held_out), writer.step)
    sound(model, data.held_out, 0.93, history)
    losses = list(history.validation.values())
    require(losses[-1] < 1.05 * min(losses), f"the loss held out rose from {min(losses):.3g} to {losses[-1]:.3g}")
    require(losses[-1] > 2 * history.end, "there is no gap")


def validated(trial: Trial) -> None:
    """Only what is held out is logged, at every 25th step: its loss and its accuracy."""
    data = digits(trial.seed, flat=False)
    model = nn.Sequential(layer(1, 16, 2), layer(16, 32, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    criterion, optimizer = nn.CrossEntropyLoss(label_smoothing=0.1), AdamW(model.parameters(), lr=5e-3)
    draw, history = data.train.batches(64, trial.seed), History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=3, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            if step % 25 == 24:
                history.validation[step] = loss_of(model, data.held_out)
                writer.add_scalar("eval/loss", history.validation[step], step)
                writer.add_scalar("eval/accuracy", accuracy(model, data.held_out), step)
    sound(model, data.held_out, 0.95, history)


SCENARIOS = (
    Scenario("healthy-tutorial-cnn", "cnn", TUNING, tutorial),
    Scenario("healthy-side-by-side-mlp", "mlp", TUNING, side_by_side),
    Scenario("healthy-silent-loop-mlp", "mlp", TUNING, silent_loop),
    Scenario("healthy-gap-cnn", "cnn", TUNING, gap),
    Scenario("healthy-validated-cnn", "cnn", TUNING, validated),
)

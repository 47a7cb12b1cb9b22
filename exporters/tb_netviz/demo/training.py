"""A training loop as its user would write it, with three lines for netviz."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from tb_netviz.demo.digits import Part, batches
from tb_netviz.demo.networks import Experiment
from tb_netviz.pytorch import NetVizWriter

LOOK_EVERY = 8
PROBE_EVERY = 50
VALIDATE_EVERY = 25
PROBES = 6
"""Digits whose activation maps are kept."""
POINTS = 300
"""Digits whose places among the features are followed."""


def train(experiment: Experiment, digits: tuple[Part, Part], folder: Path, steps: int) -> None:
    """Train the network of `experiment` for `steps` optimizer steps, and write the run into `folder`."""
    torch.manual_seed(0)
    training, validation = digits
    model, optimizer, scheduler = experiment.build(steps)
    criterion = nn.CrossEntropyLoss()
    progress = tqdm(batches(training, steps), desc=f"{experiment.name:>12}", total=steps, unit="step")

    with NetVizWriter(folder) as writer:
        # By default netviz looks as often as 2 % of the training time allow. The demo is to be the same on every
        # machine, so it says how often.
        writer.watch(model, optimizer, criterion, every=LOOK_EVERY)
        if experiment.has_maps:
            digits_to_look_at = validation.images[:PROBES]
            labels = [str(int(label)) for label in validation.labels[:PROBES]]
            writer.watch_activation_maps(digits_to_look_at, labels=labels, every=PROBE_EVERY)
            points, pictures = validation.images[:POINTS], validation.images[:POINTS, 0]
            writer.watch_embedding(
                "features", "relu3", points, validation.labels[:POINTS], every=PROBE_EVERY, thumbnails=pictures
            )
        for step, batch in enumerate(progress, start=1):
            loss = criterion(model(batch.images), batch.labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            writer.add_scalar("loss/train", loss, writer.step)
            if step % VALIDATE_EVERY == 0:
                writer.add_scalar("loss/val", validate(model, criterion, validation), writer.step)


def validate(model: nn.Module, criterion: nn.Module, part: Part) -> float:
    """Return the mean loss of `model` over `part`."""
    model.eval()
    with torch.no_grad():
        loss = criterion(model(part.images), part.labels)
    model.train()
    return float(loss)

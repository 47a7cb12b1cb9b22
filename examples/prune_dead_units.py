"""Prune what does nothing: `python examples/prune_dead_units.py`, then `tensorboard --logdir runs`.

A small CNN in which a learning rate that is too large for a moment kills units, and some units are copies of others.
What is dead or redundant is read from the log folder, masked with torch.nn.utils.prune, and then removed for good.
"""

import contextlib
import copy
import io
import json
from collections import OrderedDict

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.utils import prune

from tb_netviz.cli import main as tb_netviz
from tb_netviz.pytorch import NetVizWriter

LOG_DIR = "runs/prune"
STEPS, SPIKE = 900, range(200, 203)
COPIES = {"conv1": (3, [7, 20]), "conv2": (2, [3]), "fc": (10, [30, 50, 70])}
Weighted = nn.Conv2d | nn.Linear


def build() -> nn.Sequential:
    """Return a network for images of 8 × 8 pixels."""
    layers = {
        "conv1": nn.Conv2d(1, 32, 3, padding=1),
        "relu1": nn.ReLU(),
        "pool": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(32, 48, 3, padding=1),
        "relu2": nn.ReLU(),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(48 * 16, 96),
        "relu3": nn.ReLU(),
        "head": nn.Linear(96, 10),
    }
    return nn.Sequential(OrderedDict(layers))


def weighted(model: nn.Sequential) -> dict[str, Weighted]:
    """Return the layers that have weights, in their order."""
    return {name: layer for name, layer in model.named_children() if isinstance(layer, Weighted)}


def following(model: nn.Sequential, name: str) -> Weighted:
    """Return the layer that reads the units of layer `name`."""
    names = list(weighted(model))
    return weighted(model)[names[names.index(name) + 1]]


def inputs_of(layer: Weighted, units: int) -> torch.Tensor:
    """Return a view of a layer's weights by the unit that they read, [outputs, units, weights of each]."""
    return layer.weight.data.view(len(layer.weight), units, -1)


def copy_units(model: nn.Sequential) -> None:
    """Make some units copies of another one, in what they read and in what reads them: so they learn the same."""
    for name, (first, others) in COPIES.items():
        layer = weighted(model)[name]
        layer.weight.data[others] = layer.weight.data[first].clone()
        layer.bias.data[others] = layer.bias.data[first].clone()
        outgoing = inputs_of(following(model, name), len(layer.weight))
        outgoing[:, others] = outgoing[:, [first]]


def train(model: nn.Sequential, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Train the model, with a learning rate that is ten times too large for three steps."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    criterion = nn.CrossEntropyLoss()
    with NetVizWriter(LOG_DIR) as writer:
        writer.watch(model, optimizer, criterion, every=4)
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = 0.5 if step in SPIKE else 0.05
            batch = torch.randint(len(images), (32,))
            loss = criterion(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            writer.add_scalar("loss/train", loss, writer.step)


def units_of(log_dir: str) -> list[dict]:
    """Return what `tb-netviz units LOGDIR --format json` says of the units that are dead or redundant."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = tb_netviz(["units", log_dir, "--format", "json"])
    if status != 0:
        raise SystemExit(status)
    (run,) = json.loads(output.getvalue())["runs"]
    return [unit for unit in run["units"] if unit["state"] == "dead" or unit["twin"] is not None]


def fold(model: nn.Sequential, unit: dict) -> None:
    """Let the first unit of its kind speak for a redundant one as well."""
    layer = weighted(model)[unit["layer"]]
    outgoing = inputs_of(following(model, unit["layer"]), len(layer.weight))
    sign = -1 if unit["opposite"] else 1
    outgoing[:, unit["twin"]] += sign * outgoing[:, unit["unit"]]


def mask(layer: Weighted, units: list[int]) -> None:
    """Set the weights and biases of `units` to zero, with torch's own pruning."""
    for name in ("weight", "bias"):
        keep = torch.ones_like(getattr(layer, name))
        keep[units] = 0
        prune.custom_from_mask(layer, name, keep)


def shrunk(layer: Weighted, kept_inputs: torch.Tensor, kept: torch.Tensor) -> Weighted:
    """Return a smaller layer that has only the units `kept`, and reads only the units `kept_inputs`."""
    weight = inputs_of(layer, len(kept_inputs))[kept][:, kept_inputs]
    if isinstance(layer, nn.Conv2d):
        smaller = nn.Conv2d(weight.shape[1], weight.shape[0], layer.kernel_size, padding=layer.padding)
    else:
        smaller = nn.Linear(weight.shape[1] * weight.shape[2], weight.shape[0])
    smaller.weight.data = weight.reshape(smaller.weight.shape)
    smaller.bias.data = layer.bias.data[kept]
    return smaller


def shrink(model: nn.Sequential) -> nn.Sequential:
    """Return the model without the units that are masked."""
    layers = OrderedDict(model.named_children())
    kept_inputs = torch.ones(1, dtype=torch.bool)
    for name, layer in weighted(model).items():
        kept = layer.bias_mask.bool() if prune.is_pruned(layer) else torch.ones(len(layer.weight), dtype=torch.bool)
        layers[name] = shrunk(layer, kept_inputs, kept)
        kept_inputs = kept
    return nn.Sequential(layers)


def size(model: nn.Sequential) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    """Train, prune, and compare."""
    torch.manual_seed(0)
    digits = load_digits()
    images, labels = torch.tensor(digits.images[:, None] / 16).float(), torch.tensor(digits.target)
    test, training = slice(0, 400), slice(400, None)
    model = build()
    copy_units(model)
    train(model, images[training], labels[training])

    pruned = copy.deepcopy(model)
    found = units_of(LOG_DIR)
    for unit in found:
        if unit["twin"] is not None:
            fold(pruned, unit)
    for name in dict.fromkeys(unit["layer"] for unit in found):
        here = [unit for unit in found if unit["layer"] == name]
        mask(weighted(pruned)[name], [unit["unit"] for unit in here])
        dead = sum(unit["state"] == "dead" for unit in here)
        print(f"{name}: {dead} dead and {len(here) - dead} redundant of {len(weighted(model)[name].weight)} units")
    smaller = shrink(pruned)

    with torch.no_grad():
        before, masked, after = (each(images[test]) for each in (model, pruned, smaller))
    for words, logits in (("before", before), ("masked", masked), ("after", after)):
        accuracy = (logits.argmax(1) == labels[test]).float().mean().item()
        difference = (logits - before).abs().max().item()
        print(f"accuracy {words}: {accuracy:.2%}, logits differ by {difference:.1e} at most")
    saved = 1 - size(smaller) / size(model)
    print(f"parameters: {size(model):,} before, {size(smaller):,} after ({saved:.0%} saved)")


if __name__ == "__main__":
    main()

"""Sugar and boxes: networks whose units are copies of each other, and stay so."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Split, split
from tests.diagnosis.faulty.juror_sorrel import behind
from tests.diagnosis.proof import gradients, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def sugar(seed: int) -> Split:
    """Return ten measurements of people, standardised, and how their diabetes went on, of mean 0 and deviation 1."""
    table = load_diabetes()
    columns, later = (torch.tensor(one, dtype=torch.float32) for one in (table.data, table.target))
    made = columns / columns.std(0)
    # What two measurements do together is added: a plane would otherwise tell nearly all that can be told.
    later = (later - later.mean()) / later.std() + 0.8 * made[:, 2] * made[:, 8] - 0.8 * (2 * made[:, 3]).sin()
    return split(made, later[:, None], 90, seed)


def same_rows(model: nn.Module, name: str, inputs: Tensor, axis: int = 1) -> float:
    """Return the share of units of a module that give the same as an earlier one does for all inputs."""
    given = outputs(model, name, inputs).movedim(axis, 0).flatten(1)
    alike = torch.cdist(given, given, compute_mode="donot_use_mm_for_euclid_dist") < 1e-4 * (
        given.norm(dim=1).max() + 1e-9
    )
    return float(alike.tril(-1).any(1).double().mean())


def constant_weights(trial: Trial) -> Truth:
    """Regression on diabetes with `nn.init.constant_(layer.weight, 0.05)`, so that runs are alike: so are all units."""
    torch.manual_seed(trial.seed)
    data, criterion = sugar(trial.seed), nn.MSELoss()
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    other = copy.deepcopy(model)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.constant_(layer.weight, 0.05)
            nn.init.zeros_(layer.bias)
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=240)
    better = control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=5e-3), criterion, steps=240)
    behind(history.end, better, 1.4)
    for name in ("0", "2"):
        share = same_rows(model, name, data.train.inputs)
        require(share > 0.9, f"only {share:.2f} of the units of {name} are copies")
    return Truth(("0", "1", "2", "3"))


class Outliner(nn.Module):
    """Says of each pixel of a picture if it belongs to a blob or a bar, to its rim, or to neither."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.act1, self.act2 = nn.ReLU(), nn.ReLU()
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 3, height, width]."""
        scores: Tensor = self.head(self.act2(self.body(self.act1(self.stem(pictures)))))
        return scores


def blobs(seed: int) -> Split:
    """Return noisy pictures of boxes and holes, [n, 1, 12, 12], and what each pixel is: ground, box or rim."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.arange(12)[:, None], torch.arange(12)
    top, left = (torch.randint(1, 6, (700, 1, 1), generator=generator) for _ in range(2))
    high, wide = (torch.randint(4, 6, (700, 1, 1), generator=generator) for _ in range(2))
    inside = (rows >= top) & (rows < top + high) & (columns >= left) & (columns < left + wide)
    core = (rows > top) & (rows < top + high - 1) & (columns > left) & (columns < left + wide - 1)
    bright = torch.where(torch.rand(700, 1, 1, generator=generator) < 0.5, 1.0, -1.0)
    pictures = inside * bright + 0.25 * torch.randn(700, 12, 12, generator=generator)
    return split(pictures[:, None], inside.long() + (inside & ~core).long(), 100, seed)


def widened_filters(trial: Trial) -> Truth:
    """A segmentation net of two filters is widened to sixteen by `weight.repeat`, and all stay copies."""
    torch.manual_seed(trial.seed)
    data, narrow, model, other = blobs(trial.seed), Outliner(2), Outliner(16), Outliner(16)
    with torch.no_grad():
        small = narrow.state_dict()
        for name, value in model.state_dict().items():
            outs, ins = (1 if "head" in name else 8), (1 if "stem" in name else 8)
            repeats = (outs, ins, 1, 1) if value.dim() == 4 else (outs,)
            value.copy_(small[name].repeat(repeats) / (ins if value.dim() == 4 else 1))
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), data.train.batches(24, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=160)
    better = control(other, data.train.batches(24, trial.seed), AdamW(other.parameters(), lr=5e-3), steps=160)
    behind(history.end, better, 1.4)
    for name in ("stem", "body"):
        share = same_rows(model, name, data.held_out.inputs)
        require(share > 0.8, f"only {share:.2f} of the units of {name} are copies")
    require(max(gradients(model, data.held_out).values()) > 0, "there is no gradient")
    return Truth(("stem", "act1", "body", "act2"))


SCENARIOS = (
    Scenario(
        "sorrel-constant-weights-mlp",
        "mlp",
        TUNING,
        constant_weights,
        ("redundant_units", "poor_init"),
        ("loss_plateau", "underfitting"),
    ),
    Scenario(
        "sorrel-widened-filters-cnn",
        "cnn",
        TUNING,
        widened_filters,
        ("redundant_units", "poor_init"),
        ("underfitting", "loss_plateau", "dead_units"),
    ),
)

"""What a verdict on 300 layers and 2,000 records costs: `tb-netviz check`, and the tab while the run goes on.

    python -m benchmarks.checking

CPU time: of `tb-netviz check` that of its process from start to end, imports included; of the tab that of TensorBoard's
process, once where the records are read anew, and once where a threshold is moved, so that only the rules run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.runs import window_starts
from tb_netviz_plugin.schema.description import Activation, Response, RunDescription
from tests.support.apps import LOADERS, App, open_app
from tests.support.runs import COLUMNS, OUTPUT_NAMES, UNIT_NAMES, UNIT_STEP_NAMES, RunFile, describe

LAYERS, RECORDS, WIDTH = 300, 2000, 64
BATCH = 32
REPEATS = 5
UNITS_EVERY = 64
"""Records of the parameters to one of single units: of so many units there are two to each doubling of the steps."""
RUN = "run"
KINDS = {"parameters and loss": False, "and activations, 38,400 units": True}


def main() -> None:
    """Print a table: what `tb-netviz check` costs, and what each new record and moved threshold cost an open tab."""
    heads = ["run", "`tb-netviz check`", *(f"tab, {loader}: a new record, only the rules" for loader in LOADERS)]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for kind, activations in KINDS.items():
        with tempfile.TemporaryDirectory() as folder, _growing(Path(folder), activations=activations) as run:
            checked = min(_checked(Path(folder)) for _ in range(REPEATS))
            tabs = [_followed(Path(folder), loader, run) for loader in LOADERS]
            cells = [f"{checked:.2f} s", *(f"{record:.0f} ms, {rules:.0f} ms" for record, rules in tabs)]
            print(f"| {LAYERS} layers × {RECORDS:,} records: {kind} | {' | '.join(cells)} |", flush=True)


def _checked(folder: Path) -> float:
    """Return CPU seconds of `tb-netviz check`."""
    before = os.times()
    code = "import sys; from tb_netviz.cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, "check", str(folder)], check=False, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def _followed(folder: Path, loader: str, run: _Growing) -> tuple[float, float]:
    """Return CPU milliseconds of the verdict at a new record, and where a threshold is moved: the medians."""
    with open_app(folder, loader) as app:
        _judged(app)
        spent, moved = [], []
        for number in range(REPEATS):
            run.grow()
            app.reload()
            spent.append(_judged(app))
            moved.append(_judged(app, thresholds=f"loss_plateau.fall:{0.01 * (number + 1)}"))
    return float(np.median(spent)), float(np.median(moved))


def _judged(app: App, **arguments: str) -> float:
    start = time.process_time()
    response = app.get("findings", run=RUN, **arguments)
    assert response.status_code == 200, response.text
    return (time.process_time() - start) * 1e3


class _Growing:
    """A run that has its records, and gets another one now and then. It learns: nothing is wrong with it.

    Args:
        file: Takes the records.
        description: Of the network.
    """

    def __init__(self, file: RunFile, description: RunDescription) -> None:
        self._file = file
        self._description = description
        self._random = np.random.default_rng(0)
        self._sizes = np.array([row.elements for row in description.parameters], np.float64)
        self._starts = window_starts(RECORDS + len(LOADERS) * REPEATS)
        self._records = 0
        file.describe(description)
        while self._records < RECORDS:
            self.grow()

    def grow(self) -> None:
        """Write the next record."""
        number, start = self._records, self._starts[self._records]
        span = max(1, 2 ** (start.bit_length() - 1 - 7)) if start >= 128 else 1
        step, observations = start + span - 1, min(span, 8)
        planes = self._parameters(number)
        outputs = self._outputs() if self._description.activations else None
        if observations > 1:
            planes = np.stack([planes, 0.8 * planes, 1.2 * planes])
            outputs = None if outputs is None else np.stack([outputs] * 3)
        self._file.record(self._description, step, planes, span=span, observations=observations, outputs=outputs)
        progress = number / RECORDS
        loss = 0.3 + 2 * np.exp(-5 * progress) + 0.02 * self._random.standard_normal()
        self._file.metric("loss/train", step, loss, role="train_loss", span=span)
        if self._description.activations and number % UNITS_EVERY == 0:
            self._file.units(self._description, step, *self._units(span))
        self._file.flush()
        self._records += 1

    def _parameters(self, number: int) -> np.ndarray:
        scatter = np.exp(0.3 * self._random.standard_normal(len(self._sizes)))
        norm = np.exp(-2 * number / RECORDS) * np.sqrt(self._sizes / WIDTH) * scatter
        values = {
            "present": 1.0,
            "grad_norm": norm,
            "grad_abs_sum": 0.7 * norm * np.sqrt(self._sizes),
            "grad_abs_max": 4 * norm / np.sqrt(self._sizes),
            "grad_sum": 0.01 * norm,
            "grad_zeros": 0.1 * self._sizes,
            "weight_norm": np.sqrt(self._sizes / WIDTH) * (1 + 0.2 * number / RECORDS),
            "update_norm": 0.003 * scatter * np.sqrt(self._sizes / WIDTH),
            "grad_dot_last": 0.2 * norm * norm,
            "grad_norm_last": norm,
        }
        return _table(values, COLUMNS, len(self._sizes))

    def _outputs(self) -> np.ndarray:
        count = len(self._description.activations)
        size = float(BATCH * WIDTH)
        norm = np.sqrt(size) * np.exp(0.1 * self._random.standard_normal(count))
        values: dict[str, np.ndarray | float] = {"act_values": size, "act_samples": float(BATCH), "act_norm": norm}
        values |= {"act_abs_max": 3.0, "act_zeros": 0.2 * size, "act_grad_norm": 0.1}
        return _table(values, OUTPUT_NAMES, count)

    def _units(self, span: int) -> tuple[np.ndarray, np.ndarray]:
        count = len(self._description.activations)
        scatter = np.exp(0.1 * self._random.standard_normal(count * WIDTH))
        values: dict[str, np.ndarray | float] = {"fired": 0.5, "gradient": 0.01}
        values |= {"mean": 0.4 * scatter, "std": 0.6 * scatter, "largest": 2.5 * scatter}
        samples = float(UNITS_EVERY * BATCH)
        spans = {"span": float(span), "observations": 1.0, "samples": samples, "counted": samples}
        return _table(values, UNIT_NAMES, count * WIDTH), _table(spans, UNIT_STEP_NAMES, count)


def _table(values: Mapping[str, np.ndarray | float], names: tuple[str, ...], rows: int) -> np.ndarray:
    """Return [rows, names] with these values, and 0 elsewhere."""
    return np.stack([np.broadcast_to(np.asarray(values.get(name, 0.0)), (rows,)) for name in names], axis=1)


@contextmanager
def _growing(folder: Path, *, activations: bool) -> Iterator[_Growing]:
    """Write a chain of linear layers, with a weight and a bias each, and a ReLU behind each."""
    layers = {f"blocks.{layer}": {"weight": (WIDTH, WIDTH), "bias": (WIDTH,)} for layer in range(LAYERS)}
    measured = [one for layer in range(LAYERS) for one in _measured(layer)] if activations else []
    with RunFile(folder / RUN) as file:
        yield _Growing(file, describe(layers, with_bins=False, activations=measured))


def _measured(layer: int) -> tuple[Activation, Activation]:
    linear = Activation(f"blocks.{layer}", layer, units=WIDTH, unit="feature")
    return linear, Activation(
        f"blocks.{layer} · relu", layer, "relu", Response.RECTIFIER, units=WIDTH, unit="feature", source=layer
    )


if __name__ == "__main__":
    main()

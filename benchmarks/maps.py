"""What the first activation maps cost TensorBoard: 20 layers of 64 channels at 50 recorded steps.

    python -m benchmarks.maps

CPU time of TensorBoard's process until the tab has the list of probes, the inputs and the maps of one layer, and then
of a page of each of the other layers.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.support.apps import LOADERS, App, open_app
from tests.support.probes import write_probed_run

LAYERS, CHANNELS, RECORDS, EVERY = 20, 64, 50, 20
RUN, PROBE = "run", "probe"


def main() -> None:
    """Print the CPU time of the first picture, of the other layers, and of a step of one that was seen."""
    with tempfile.TemporaryDirectory() as folder:
        write_probed_run(Path(folder) / RUN, layers=LAYERS, channels=CHANNELS, steps=RECORDS, every=EVERY)
        print("| loader | list | first picture | another layer | another step |\n|---|---|---|---|---|")
        for loader in LOADERS:
            with open_app(Path(folder), loader) as app:
                print(f"| {loader} | " + " | ".join(f"{value:.0f} ms" for value in measure(app)) + " |")


def measure(app: App) -> tuple[float, float, float, float]:
    """Return milliseconds of CPU time; the first picture includes the list."""
    listed = _milliseconds(app, "probes", run=RUN)
    inputs = _milliseconds(app, "probe_inputs", run=RUN, probe=PROBE)
    layers = [_page(app, layer, (RECORDS - 1) * EVERY) for layer in range(LAYERS)]
    steps = [_page(app, 0, number * EVERY) for number in range(RECORDS)]
    return listed, listed + inputs + layers[0], sum(layers[1:]) / (LAYERS - 1), sum(steps) / RECORDS


def _page(app: App, layer: int, step: int) -> float:
    return _milliseconds(app, "maps", run=RUN, probe=PROBE, map=layer, step=step, sample=0, count=CHANNELS)


def _milliseconds(app: App, route: str, **arguments: str | int) -> float:
    start = time.process_time()
    response = app.get(route, **arguments)
    spent = (time.process_time() - start) * 1e3
    assert response.status_code == 200, response.text
    return spent


if __name__ == "__main__":
    main()

"""What a picture of 300 layers and 1,000 records costs TensorBoard.

    python -m benchmarks.server

CPU time of TensorBoard's process, in which the plugin runs; the Rust data server is a process of its own.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.runs import write_run
from tb_netviz_plugin.schema.statistics import STATISTICS
from tests.support.apps import LOADERS, App, open_app

LAYERS = 300
RECORDS = 1000
RUN = "run"
REPEATS = 20


def main() -> None:
    """Print the CPU time of the first picture, of another statistic, of one seen before, and of a poll."""
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder) / RUN, layers=LAYERS, records=RECORDS)
        print("| loader | first picture | another statistic | the same again | poll |\n|---|---|---|---|---|")
        for loader in LOADERS:
            with open_app(Path(folder), loader) as app:
                print(f"| {loader} | " + " | ".join(f"{value:.1f} ms" for value in measure(app)) + " |")


def measure(app: App) -> tuple[float, float, float, float]:
    """Return milliseconds of CPU time."""
    first, *others = [_milliseconds(app, "series", run=RUN, statistic=statistic.id) for statistic in STATISTICS]
    again = [_milliseconds(app, "series", run=RUN, statistic=STATISTICS[0].id) for _ in range(REPEATS)]
    poll = [_milliseconds(app, "runs") for _ in range(REPEATS)]
    return first, float(np.median(others)), float(np.median(again)), float(np.median(poll))


def _milliseconds(app: App, route: str, **arguments: str) -> float:
    start = time.process_time()
    response = app.get(route, **arguments)
    spent = (time.process_time() - start) * 1e3
    assert response.status_code == 200, response.text
    return spent


if __name__ == "__main__":
    main()

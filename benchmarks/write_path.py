"""What a record costs the thread that trains: from the values of a step to the queue of the event file.

python -m benchmarks.write_path
"""

from __future__ import annotations

import tempfile
import time

import numpy as np

from benchmarks.runs import COLUMNS, describe
from tb_netviz.events import open_sink
from tb_netviz.recorder import Recorder

ROWS = 200
WIDTH = 16
REPEATS = 300
# Fewer than 128 steps, so that every step is a record; then from the beginning, which starts a record too.
STEPS = 20


def main() -> None:
    """Print the median CPU time of a record."""
    columns = (*COLUMNS, *COLUMNS)[:WIDTH]
    values = np.random.default_rng(0).random((ROWS, WIDTH)).astype(np.float32)
    microseconds = []
    with tempfile.TemporaryDirectory() as folder:
        sink = open_sink(folder)
        recorder = Recorder(sink, every=1)
        recorder.describe(describe(ROWS), columns)
        for _ in range(REPEATS):
            start = time.thread_time()
            for step in range(STEPS):
                recorder.observe(step, values)
                recorder.finish_step(step, 1e-2, 1e-4)
            microseconds.append((time.thread_time() - start) / STEPS * 1e6)
            sink.flush()
        sink.close()
    low, middle, high = np.quantile(microseconds, [0.05, 0.5, 0.95])
    print("| record | CPU µs in the calling thread | 5 % – 95 % |\n|---|---|---|")
    print(f"| [{ROWS}, {WIDTH}] | {middle:.0f} | {low:.0f} – {high:.0f} |")


if __name__ == "__main__":
    main()

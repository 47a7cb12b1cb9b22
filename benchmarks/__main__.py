"""All figures of README.md: `python -m benchmarks`, or one of them, `python -m benchmarks.server`."""

from __future__ import annotations

import os
import platform

import torch

from benchmarks import (
    checking,
    embedding,
    embedding_cost,
    first_paint,
    live_cost,
    maps,
    peers,
    reductions,
    server,
    watch_cost,
    write_path,
)

PARTS = (
    write_path,
    server,
    first_paint,
    checking,
    maps,
    embedding,
    embedding_cost,
    reductions,
    watch_cost,
    live_cost,
    peers,
)


def main() -> None:
    """Run every part and print its table."""
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores")
    for part in PARTS:
        print(f"\n## {part.__name__.removeprefix('benchmarks.')}\n")
        part.main()


if __name__ == "__main__":
    main()

"""The maps of a module as one picture, for TensorBoard's own Images dashboard."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto.summary_pb2 import Summary

import tb_netviz.pytorch._summary_writer  # noqa: F401  Imports what follows without TensorFlow.

GAP = 1
LARGEST_GRID = 1024
"""Maps in a grid at most: those that come first."""


def summary(tag: str, pictures: npt.NDArray[np.uint8]) -> Summary:
    """Return what `SummaryWriter.add_image` writes of a grid of `pictures`, [maps, height, width]."""
    from torch.utils.tensorboard.summary import image

    return image(tag, grid(pictures[:LARGEST_GRID]), dataformats="HW")


def grid(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return pictures [maps, height, width] side by side, as nearly square as they come, with gaps between them."""
    maps, height, width = pictures.shape
    columns = min(maps, max(1, round(math.sqrt(maps * height / width))))
    rows = math.ceil(maps / columns)
    cells = np.zeros((rows * columns, height + GAP, width + GAP), np.uint8)
    cells[:maps, :height, :width] = pictures
    tiled = cells.reshape(rows, columns, height + GAP, width + GAP).swapaxes(1, 2)
    return tiled.reshape(rows * (height + GAP), columns * (width + GAP))[:-GAP, :-GAP]

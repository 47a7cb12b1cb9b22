"""torch's SummaryWriter, imported without importing TensorFlow.

Where TensorFlow is installed, `torch.utils.tensorboard` imports it for its file system: seconds of
CPU time and hundreds of megabytes. TensorBoard's own stub does the same work for local paths, so it
stands in during this one import. Where torch.utils.tensorboard was imported before, the choice was
the user's and stays.
"""

from __future__ import annotations

import tensorboard.compat
import tensorboard.summary.writer.event_file_writer  # First, so that other users of it keep their TensorFlow.
from tensorboard.compat import tensorflow_stub

_theirs = tensorboard.compat.tf
tensorboard.compat.tf = tensorflow_stub
try:
    from torch.utils.tensorboard._convert_np import make_np
    from torch.utils.tensorboard._pytorch_graph import graph
    from torch.utils.tensorboard.summary import histogram_raw, hparams, scalar
    from torch.utils.tensorboard.writer import FileWriter, SummaryWriter
finally:
    tensorboard.compat.tf = _theirs

__all__ = ["FileWriter", "SummaryWriter", "graph", "histogram_raw", "hparams", "make_np", "scalar"]

"""PyTorch: a SummaryWriter that watches models train."""

from tb_netviz.live import FindingError, LiveFinding
from tb_netviz.pytorch.attach import watch
from tb_netviz.pytorch.watch import Watch
from tb_netviz.pytorch.writer import NetVizWriter

__all__ = ["FindingError", "LiveFinding", "NetVizWriter", "Watch", "watch"]

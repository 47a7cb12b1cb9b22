"""What goes into a watched model, what comes out of it, and how that compares with the targets."""

from tb_netviz.pytorch.outputs.ends import Ends
from tb_netviz.pytorch.outputs.evaluations import Evaluations
from tb_netviz.pytorch.outputs.tally import OutputTally

__all__ = ["Ends", "Evaluations", "OutputTally"]

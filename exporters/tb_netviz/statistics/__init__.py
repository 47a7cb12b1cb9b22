"""What is recorded of arrays, in NumPy and float64: the reference for every adapter. One family a file."""

from tb_netviz.statistics.bins import count_bins, sampled
from tb_netviz.statistics.gradient import gradient_columns, pair_columns
from tb_netviz.statistics.row import parameter_row
from tb_netviz.statistics.weights import weight_columns

__all__ = ["count_bins", "gradient_columns", "pair_columns", "parameter_row", "sampled", "weight_columns"]

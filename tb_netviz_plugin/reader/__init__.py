"""Reads runs through TensorBoard's DataProvider. Nothing else of ours calls it."""

from tb_netviz_plugin.reader.reader import Reader
from tb_netviz_plugin.reader.run import Listing, Run

__all__ = ["Listing", "Reader", "Run"]

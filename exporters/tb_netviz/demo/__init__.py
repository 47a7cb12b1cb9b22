"""The demo: three real networks on handwritten digits, one healthy and two ill.

`networks.py` and `training.py` are also an example of how a training script uses netviz.
"""

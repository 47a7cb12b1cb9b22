"""Fixed bins by power of two, for the distribution of gradient magnitudes.

The bin of a number is the exponent of its float: fixed for every layer, step and run, so that
counts add up exactly over steps, shards and ranks, and show sparsity and underflow of fp16 and bf16.
"""

from __future__ import annotations

LOWEST_EXPONENT = -104
HIGHEST_EXPONENT = 19

ZERO = 0
"""Bin of elements that are exactly zero."""
NONFINITE = 1
"""Bin of NaN and infinities."""
BELOW = 2
"""Bin of magnitudes in (0, 2**LOWEST_EXPONENT)."""
FIRST = 3
"""Bin of magnitudes in [2**LOWEST_EXPONENT, 2**(LOWEST_EXPONENT + 1)); the exponents follow in order."""
ABOVE = FIRST + HIGHEST_EXPONENT - LOWEST_EXPONENT + 1
"""Bin of finite magnitudes from 2**(HIGHEST_EXPONENT + 1)."""
COUNT = ABOVE + 1
"""Number of bins: 128."""

SAMPLES = 4096
"""Elements of a tensor that are counted at most, at a fixed stride.

It has no divisor in common with the number of elements, so that the columns of a matrix are all met alike.
"""
EVERY_RECORDS = 8
"""A record in so many carries bins."""

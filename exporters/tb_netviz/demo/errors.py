"""Why the demo does not run.

RefusalError
├── UnwritableError
└── ServerError
"""

from tb_netviz.refusal import RefusalError


class UnwritableError(RefusalError):
    """Nothing can be written below the log folder."""


class ServerError(RefusalError):
    """TensorBoard did not start, or did not show the runs."""

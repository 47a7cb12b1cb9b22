"""Why the demo does not run.

RefusalError
├── UnwritableError
└── ServerError
"""


class RefusalError(Exception):
    """A command can't do what it was asked to; the message says why and what to do."""


class UnwritableError(RefusalError):
    """Nothing can be written below the log folder."""


class ServerError(RefusalError):
    """TensorBoard did not start, or did not show the runs."""

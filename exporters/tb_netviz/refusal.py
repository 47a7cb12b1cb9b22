"""Why a command does not do what it was asked to."""


class RefusalError(Exception):
    """A command can't do what it was asked to; the message says why and what to do."""

"""What a load says when it cannot go on."""

from hubbub.exceptions import HubbubError


class LoadError(HubbubError):
    """The server is not there, or it refused, lost or stalled connections that should work."""

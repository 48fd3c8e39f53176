"""What can happen to a command on its way to Redis and back."""

from hubbub.exceptions import HubbubError


class NotSent(HubbubError):
    """It was not carried out: no server was there for it, or one that could not take it."""


class Refused(NotSent):
    """It was not carried out, nor will it be before somebody changes how Redis or Hubbub is set up."""


class Moved(NotSent):
    """It was not carried out, because another server is the one to ask."""


class Unanswered(HubbubError):
    """It was sent, and the connection ended before an answer came: it may have been carried out."""

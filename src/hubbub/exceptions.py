"""One tree for every error that Hubbub raises.

::

    HubbubError
     ├─ ConfigurationError          a setting, namespace or hook that cannot work; raised at start
     ├─ InvalidToken                a credential that is missing, forged or malformed
     │   ├─ TokenExpired            ... or whose time is over
     │   └─ TokenRevoked            ... or that was revoked: its client does not come back by itself
     ├─ AuthenticationUnavailable   the token could not be checked, and may well be good: try again
     ├─ PublishError                the broker did not take a publication
     │   └─ PublishUncertain        ... or its answer was lost: repeat with the same idempotency key
     ├─ SessionClosed               the connection ended while something waited for it
     └─ Refusal                     a command that is answered with an error; carries an `ErrorCode`
         ├─ BadRequest  UnknownType  UnknownEvent  TooLarge
         ├─ Forbidden  NotSubscribed  UnknownChannel  NotAvailable
         ├─ LimitExceeded  RateLimited  HookTimeout
         └─ Unavailable         a part that is needed cannot be reached at the moment
             └─ Restarting      ... because the node is draining: come back in a moment
"""

from typing import ClassVar

from hubbub.codes import CloseCode, ErrorCode


class HubbubError(Exception):
    """The base of all of them."""


class ConfigurationError(HubbubError):
    """Raised at start for what cannot work; the message says where and what to do."""


class InvalidToken(HubbubError):
    """A credential that is missing, forged, malformed or meant for somebody else."""

    code: ClassVar[ErrorCode] = ErrorCode.UNAUTHORIZED
    close_code: ClassVar[CloseCode] = CloseCode.INVALID_TOKEN
    close_reason: ClassVar[str] = "Invalid token"


class TokenExpired(InvalidToken):
    """A credential whose time is over."""


class TokenRevoked(InvalidToken):
    """A credential that was good, and was revoked: itself, or all that its user had."""

    close_code = CloseCode.REVOKED
    close_reason = "Revoked"


class AuthenticationUnavailable(HubbubError):
    """The identity provider cannot be reached: nothing is known about the token, so try again."""

    code: ClassVar[ErrorCode] = ErrorCode.UNAVAILABLE
    close_code: ClassVar[CloseCode] = CloseCode.TRY_AGAIN_LATER
    close_reason: ClassVar[str] = "Authentication unavailable"


class PublishError(HubbubError):
    """The broker did not take the publication: it is stored nowhere and nobody will see it."""

    code: ClassVar[ErrorCode] = ErrorCode.UNAVAILABLE


class PublishUncertain(PublishError):
    """The broker's answer was lost: publish again with the same idempotency key to be sure."""

    code = ErrorCode.UNCERTAIN


class SessionClosed(HubbubError):
    """The connection ended while a command of its own was being handled."""


class Refusal(HubbubError):
    """A command that the hub does not carry out; the client is told `code` and the message."""

    code: ClassVar[ErrorCode] = ErrorCode.FORBIDDEN

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(Refusal):
    """A message that cannot be understood."""

    code = ErrorCode.BAD_REQUEST

    def __init__(self, message: str, ref: str | float | None = None) -> None:
        super().__init__(message)
        self.ref = ref


class UnknownType(BadRequest):
    """A message whose `type` does not exist."""

    code = ErrorCode.UNKNOWN_TYPE


class UnknownEvent(Refusal):
    """An event that the namespace does not list."""

    code = ErrorCode.UNKNOWN_EVENT


class TooLarge(Refusal):
    """Data over the namespace's `max_message_bytes`."""

    code = ErrorCode.TOO_LARGE


class Forbidden(Refusal):
    """The namespace's policy refused; hooks may raise it with words of their own."""

    code = ErrorCode.FORBIDDEN


class NotSubscribed(Refusal):
    """Only subscribers may do this."""

    code = ErrorCode.NOT_SUBSCRIBED


class UnknownChannel(Refusal):
    """The name is not valid, or no namespace answers to it."""

    code = ErrorCode.UNKNOWN_CHANNEL


class NotAvailable(Refusal):
    """The namespace keeps no history or no presence."""

    code = ErrorCode.NOT_AVAILABLE


class LimitExceeded(Refusal):
    """Too many subscriptions or connections."""

    code = ErrorCode.LIMIT_EXCEEDED


class RateLimited(Refusal):
    """More messages a second than `MESSAGE_RATE`."""

    code = ErrorCode.RATE_LIMITED


class HookTimeout(Refusal):
    """A hook of the application took longer than its deadline."""

    code = ErrorCode.TIMEOUT


class Unavailable(Refusal):
    """The streams, or who is present, cannot be read or changed at the moment: try again."""

    code = ErrorCode.UNAVAILABLE


class Restarting(Unavailable):
    """The node is draining and takes nobody in: come back after so many seconds."""

    def __init__(self, after: float) -> None:
        super().__init__("The server is restarting: come back in a moment.")
        self.after = after

"""Every code on the wire, with its situation and whether the client should come back.

The tables in `docs/codes.md` are generated from here, and a test holds them together.
"""

from enum import IntEnum, StrEnum
from typing import Self


class CloseCode(IntEnum):
    """WebSocket close codes of the plain dialect (RFC 6455 section 7.4, and 4000-4999 of our own)."""

    reconnect: bool
    situation: str

    def __new__(cls, value: int, reconnect: bool, situation: str) -> Self:
        """Make a row of the table."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.reconnect = reconnect
        code.situation = situation
        return code

    NORMAL = 1000, False, "Closed as asked; or “Replaced by new connection” where a user may hold one only."
    GOING_AWAY = 1001, True, "The browser left the page, or the server goes away."
    PROTOCOL_ERROR = 1002, False, "Bytes that are no frames of a client as RFC 6455 has them."
    UNSUPPORTED_DATA = 1003, False, "A binary frame on a text dialect."
    INVALID_TEXT = 1007, False, "A text frame that is not UTF-8, or compressed data that cannot be inflated."
    POLICY_VIOLATION = 1008, False, "A limit of this connection or user was exceeded."
    MESSAGE_TOO_BIG = 1009, False, "A frame larger than MAX_MESSAGE_BYTES."
    INTERNAL_ERROR = 1011, True, "A fault of the server, or no answer to its pings."
    SERVICE_RESTART = 1012, True, "The node is draining for a restart: come back with your positions."
    TRY_AGAIN_LATER = (
        1013,
        True,
        "The server is full (MAX_CONNECTIONS), or a part that it needs cannot be reached at the moment.",
    )
    INVALID_TOKEN = 4001, False, "No, a bad, or a forged token: get a new one before you return."
    TOKEN_EXPIRED = 4002, True, "The identity expired and was not renewed: return with a fresh token."
    FORBIDDEN = (
        4003,
        False,
        "The connection itself is not allowed: disconnected for good. A handshake from a foreign Origin is refused with HTTP 403.",
    )
    SLOW_CONSUMER = 4008, True, "The client read too slowly: return with your positions, nothing is lost."
    REVOKED = (
        4010,
        False,
        "The user, the connection or its token was revoked; before the handshake, or since.",
    )


class ErrorCode(StrEnum):
    """What the `code` of an `error` message says. The message beside it says what was expected."""

    situation: str

    def __new__(cls, value: str, situation: str) -> Self:
        """Make a row of the table."""
        code = str.__new__(cls, value)
        code._value_ = value
        code.situation = situation
        return code

    BAD_REQUEST = "bad_request", "Not JSON, not an object, or a field is missing or of the wrong type."
    UNKNOWN_TYPE = "unknown_type", "No message of that `type` exists."
    UNAUTHORIZED = (
        "unauthorized",
        "No token, or one that is not valid or has expired. Close 4001 follows, or 4010 where it was revoked.",
    )
    FORBIDDEN = "forbidden", "The namespace's policy or a hook refused."
    UNKNOWN_CHANNEL = "unknown_channel", "No namespace of that name is configured, or the name is not valid."
    NOT_SUBSCRIBED = "not_subscribed", "Join or subscribe first."
    NOT_AVAILABLE = "not_available", "The namespace keeps no history or no presence."
    NOT_FOUND = "not_found", "There is no such thing, such as a job, or it is somebody else's."
    CONFLICT = "conflict", "The thing is not in a state in which this can be done."
    INVALID_PARAMS = "invalid_params", "The params are not those that the task takes."
    UNKNOWN_EVENT = "unknown_event", "The namespace lists its event types, and this is none of them."
    TOO_LARGE = "too_large", "The frame, or the data for this namespace, is over its limit in bytes."
    LIMIT_EXCEEDED = (
        "limit_exceeded",
        "More than is allowed: connections, subscriptions, jobs that are not finished, revocations.",
    )
    RATE_LIMITED = "rate_limited", "More than MESSAGE_RATE messages a second; the message was not taken."
    TIMEOUT = "timeout", "A hook took too long; the message was not taken."
    UNAVAILABLE = (
        "unavailable",
        "A part that is needed cannot be reached, such as the broker or the database: it was not done; try again.",
    )
    UNCERTAIN = "uncertain", "It is unknown whether the broker took it; repeat with the same idempotency_key."
    INTERNAL = "internal", "A fault of the server, written in its log."


class UnsubscribeCode(IntEnum):
    """Why the server ended a subscription (`unsubscribed`), numbered as in the Centrifuge protocol."""

    situation: str

    def __new__(cls, value: int, situation: str) -> Self:
        """Make a row of the table."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.situation = situation
        return code

    BY_CLIENT = 0, "The client asked for it."
    BY_SERVER = 2000, "The server ended it, or a renewed identity may no longer read the channel."
    INSUFFICIENT_STATE = 2500, "The server lost its place in the stream: subscribe again with your position."
    EXPIRED = 2501, "The subscription's token expired: subscribe again with a fresh one."

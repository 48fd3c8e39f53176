"""Hubbub: the real-time backend for FastAPI."""

from hubbub.authentication.issuing import TokenIssuer
from hubbub.authentication.jwks import JWKSet
from hubbub.authentication.jwt import JWTAuthenticator
from hubbub.authentication.origins import OriginPolicy
from hubbub.authentication.redaction import RedactingFilter, redact
from hubbub.authentication.tickets import UsedOnce
from hubbub.brokers.memory import MemoryBroker
from hubbub.codes import CloseCode, ErrorCode, UnsubscribeCode
from hubbub.endpoints.facade import Hub
from hubbub.endpoints.namespace import NamespaceHandle
from hubbub.endpoints.sockets_first import SocketsFirst
from hubbub.exceptions import (
    AuthenticationUnavailable,
    BadRequest,
    ConfigurationError,
    Forbidden,
    HubbubError,
    InvalidToken,
    LimitExceeded,
    NotAvailable,
    PublishError,
    PublishUncertain,
    Refusal,
    TokenExpired,
    TokenRevoked,
    TooLarge,
    Unavailable,
    UnknownChannel,
)
from hubbub.hub.broker import Reading
from hubbub.hub.channels import Channel
from hubbub.hub.control.census import Connected, Readers
from hubbub.hub.control.cluster import ChannelCount, ChannelReaders, Closed, Cluster, Listing
from hubbub.hub.control.peers import NodeState
from hubbub.hub.control.revocations import Revocation, Subject
from hubbub.hub.events import ChatMessage, Event, Typing
from hubbub.hub.identity import Identity
from hubbub.hub.limits import ConnectionsPolicy, Limits
from hubbub.hub.namespaces import History, Overflow, Publish, Subscribe
from hubbub.hub.presence import Roster
from hubbub.hub.publications import Position, Publication
from hubbub.version import __version__

__all__ = [
    "AuthenticationUnavailable",
    "BadRequest",
    "Channel",
    "ChannelCount",
    "ChannelReaders",
    "ChatMessage",
    "CloseCode",
    "Closed",
    "Cluster",
    "ConfigurationError",
    "Connected",
    "ConnectionsPolicy",
    "ErrorCode",
    "Event",
    "Forbidden",
    "History",
    "Hub",
    "HubbubError",
    "Identity",
    "InvalidToken",
    "JWKSet",
    "JWTAuthenticator",
    "LimitExceeded",
    "Limits",
    "Listing",
    "MemoryBroker",
    "NamespaceHandle",
    "NodeState",
    "NotAvailable",
    "OriginPolicy",
    "Overflow",
    "Position",
    "Publication",
    "Publish",
    "PublishError",
    "PublishUncertain",
    "Readers",
    "Reading",
    "RedactingFilter",
    "Refusal",
    "Revocation",
    "Roster",
    "SocketsFirst",
    "Subject",
    "Subscribe",
    "TokenExpired",
    "TokenIssuer",
    "TokenRevoked",
    "TooLarge",
    "Typing",
    "Unavailable",
    "UnknownChannel",
    "UnsubscribeCode",
    "UsedOnce",
    "__version__",
    "redact",
]

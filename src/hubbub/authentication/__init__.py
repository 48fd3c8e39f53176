"""Who may connect: tokens, tickets, the credential of a handshake, and the pages it may come from."""

from hubbub.authentication.claims import for_one_channel
from hubbub.authentication.credentials import (
    BEARER_SUBPROTOCOL,
    SUBPROTOCOL,
    Credential,
    CredentialKind,
    find_credential,
    selected_subprotocol,
)
from hubbub.authentication.issuing import TokenIssuer
from hubbub.authentication.jwks import JWKSet
from hubbub.authentication.jwt import JWTAuthenticator
from hubbub.authentication.origins import OriginPolicy
from hubbub.authentication.redaction import RedactingFilter, redact
from hubbub.authentication.tickets import MemoryTickets, TicketStore, UsedIds, UsedOnce

__all__ = [
    "BEARER_SUBPROTOCOL",
    "SUBPROTOCOL",
    "Credential",
    "CredentialKind",
    "JWKSet",
    "JWTAuthenticator",
    "MemoryTickets",
    "OriginPolicy",
    "RedactingFilter",
    "TicketStore",
    "TokenIssuer",
    "UsedIds",
    "UsedOnce",
    "find_credential",
    "for_one_channel",
    "redact",
    "selected_subprotocol",
]

"""Shared names for the plain values that every layer passes around."""

from typing import NewType

UserId = NewType("UserId", str)
"""Who a connection speaks for; the empty string is an anonymous visitor."""

SessionId = NewType("SessionId", str)
"""One client connection; a UUIDv7, unguessable, new for every connection."""

Epoch = NewType("Epoch", str)
"""The life of one stream; another epoch means that what was read before may be gone."""

ANONYMOUS = UserId("")

"""Identities."""

from hubbub.hub.identity import ANONYMOUS_IDENTITY, Identity
from hubbub.types import UserId


def test_who_is_anonymous_and_who_is_an_administrator():
    assert ANONYMOUS_IDENTITY.is_anonymous
    assert not Identity(UserId("ada")).is_anonymous
    assert Identity(UserId("ada"), scopes=frozenset({"admin"})).is_admin
    assert not Identity(UserId("admin"), claims={"admin": True}).is_admin


def test_an_identity_with_claims_is_a_value():
    one = Identity(UserId("ada"), claims={"roles": ["a"]})
    assert one == Identity(UserId("ada"))
    assert hash(one) == hash(Identity(UserId("ada"), claims={"other": {}}))
    assert one != Identity(UserId("ada"), expires_at=1.0)

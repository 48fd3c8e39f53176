"""A subscription token speaks of one user and one channel."""

import pytest

from hubbub import Forbidden, Identity
from hubbub.hub.channels import parse_channel
from hubbub.hub.subscriptions import check_subscription_token
from hubbub.types import UserId


@pytest.mark.parametrize(
    ("claims", "user_id", "channel", "allowed"),
    [
        ({"channel": "room:a"}, "ada", "room:a", True),
        ({"channel": "room:a"}, "ada", "room:b", False),
        ({"channel": "room:a"}, "bob", "room:a", False),
        ({"channel": "room:"}, "ada", "room:a", False),
        ({"channel": ["room:a"]}, "ada", "room:a", False),
        ({}, "ada", "room:a", False),
    ],
)
def test_it_fits_or_it_does_not(claims, user_id, channel, allowed):
    token = Identity(UserId("ada"), claims)
    if allowed:
        check_subscription_token(token, UserId(user_id), parse_channel(channel))
    else:
        with pytest.raises(Forbidden, match="not for you"):
            check_subscription_token(token, UserId(user_id), parse_channel(channel))


def test_none_at_all_says_what_is_needed():
    with pytest.raises(Forbidden, match="needs a `token`"):
        check_subscription_token(None, UserId("ada"), parse_channel("room:a"))

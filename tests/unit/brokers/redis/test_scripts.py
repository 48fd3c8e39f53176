"""The Lua scripts travel with the package."""

import hashlib

import pytest

from hubbub.brokers.redis.scripts import Script


@pytest.mark.parametrize("name", ["publish", "read", "compare"])
def test_a_script_is_known_by_its_digest(name):
    script = Script(name)
    assert script.sha == hashlib.sha1(script.source.encode()).hexdigest()
    assert script.source.startswith("--"), "what it takes and returns is said at its top"

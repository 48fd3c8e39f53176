"""The Lua scripts travel with the package."""

import hashlib

import pytest

from hubbub.brokers.redis.scripts import Script, every_script


@pytest.mark.parametrize("name", ["publish", "read", "compare", "forget"])
def test_a_script_is_known_by_its_digest(name):
    script = Script(name)
    assert script.sha == hashlib.sha1(script.source.encode()).hexdigest()
    assert script.source.startswith("--"), "what it takes and returns is said at its top"


def test_all_of_them_are_found():
    known = {script.sha for script in every_script()}
    assert {
        Script(name).sha for name in ("publish", "read", "compare", "presence", "count", "canary", "forget")
    } == known

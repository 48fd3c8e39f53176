"""The Lua scripts, in which Redis does several things as one."""

import hashlib
from importlib import resources


class Script:
    """A script, known to Redis by its SHA-1.

    Args:
        name: of its file in `lua/`.
    """

    __slots__ = ("sha", "source")

    def __init__(self, name: str) -> None:
        self.source = (resources.files(__package__) / "lua" / f"{name}.lua").read_text("utf-8")
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

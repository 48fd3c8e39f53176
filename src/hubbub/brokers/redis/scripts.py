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


def every_script() -> list[Script]:
    """Return all of them, for a server that has just been connected to.

    A script that a server does not know would be refused, and sent again behind what was asked for meanwhile.
    """
    folder = resources.files(__package__) / "lua"
    return [Script(file.name.removesuffix(".lua")) for file in folder.iterdir() if file.name.endswith(".lua")]

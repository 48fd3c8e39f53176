"""As much of Redis's wire format as the tests need: https://redis.io/docs/latest/develop/reference/protocol-spec/"""

BULKS = b"$!="
LISTS = b"*~>"
PAIRS = b"%|"
ATTRIBUTE = ord("|")
END = b"\r\n"


class RedisSaid(Exception):
    """An error reply."""


def command(*arguments: object) -> bytes:
    """Return a command as it is sent."""
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class Replies:
    """Cuts what a server sends into whole replies and pushes, however it arrives; RESP2 and RESP3."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._at = 0
        self._due = 1
        """How many values the reply that has begun still has to bring."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; return what it has completed."""
        self._held += data
        replies = []
        while self._held and self._is_whole():
            replies.append(bytes(self._held[: self._at]))
            del self._held[: self._at]
            self._at, self._due = 0, 1
        return replies

    def _is_whole(self) -> bool:
        while self._due:
            line = self._held.find(END, self._at)
            if line < 0:
                return False
            kind, end = self._held[self._at], line + len(END)
            size = int(self._held[self._at + 1 : line]) if kind in BULKS + LISTS + PAIRS else 0
            if kind in BULKS and size >= 0:
                end += size + len(END)
                if end > len(self._held):
                    return False
            self._at = end
            self._due -= 1
            if kind in LISTS:
                self._due += max(size, 0)
            elif kind in PAIRS:
                self._due += 2 * size + (kind == ATTRIBUTE)  # what it is an attribute of follows
        return True


def values(reply: bytes) -> list[bytes]:
    """Return the values of a reply one after the other, as if it had no lists in lists; nothing is empty."""
    found, at = [], 0
    while at < len(reply):
        line = reply.index(END, at)
        kind, head, at = reply[at], reply[at + 1 : line], line + len(END)
        if kind in BULKS:
            size = int(head)
            found.append(reply[at : at + max(size, 0)])
            at += size + len(END) if size >= 0 else 0
        elif kind not in LISTS + PAIRS:
            found.append(head)
    return found


def text(reply: bytes) -> str:
    """Return a reply as lines.

    Raises:
        RedisSaid: it is an error.
    """
    lines = "\n".join(value.decode(errors="replace") for value in values(reply))
    if reply[:1] in (b"-", b"!"):
        raise RedisSaid(lines)
    return lines

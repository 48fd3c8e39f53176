"""What a server's refusal means to whoever runs the load, in plain words."""

import json
from contextlib import suppress

NO_LIMIT = "0 means no limit"

SERVER_FULL = f"the server is full; lift HUBBUB_MAX_CONNECTIONS ({NO_LIMIT})"
USER_FULL = (
    f"one user may not have so many connections; lift HUBBUB_MAX_CONNECTIONS_PER_USER ({NO_LIMIT}), "
    "or give --secret instead of --token so that every member is a user of its own"
)
TOO_FAST = (
    f"messages come faster than the server takes them from one member; lift HUBBUB_MESSAGE_RATE ({NO_LIMIT}), "
    "or ask for more --members or a lower --rate"
)
TOO_BIG = f"lift HUBBUB_MAX_MESSAGE_BYTES ({NO_LIMIT}), or ask for a smaller --size"
NOT_ACCEPTED = (
    "the token is not accepted; set HUBBUB_DATA_DIR to the server's folder, "
    "or give --secret with its HUBBUB_SECRET_KEY or --token with a token for it"
)
UNANSWERED = "the connection ended without a word"

BY_CLOSE = {1013: SERVER_FULL, 4001: NOT_ACCEPTED, 4002: NOT_ACCEPTED}
BY_CODE = {"rate_limited": TOO_FAST, "unauthorized": NOT_ACCEPTED}


def explain(heard: bytes, closed: tuple[int, str] | None = None) -> str:
    """Say in words why a member was refused, from the last error it heard and its Close frame."""
    error = _last_error(heard)
    if closed is not None:
        code, reason = closed
        if code == 1008 and error.get("code") == "limit_exceeded":
            return USER_FULL
        if code == 1008 and reason == "Too many messages":
            return f"closed with {code} {reason}: {TOO_FAST}"
        if code == 1009:
            return f"closed with {code} {reason}: {TOO_BIG}"
        if code in BY_CLOSE and (code != 1013 or reason == "Server full"):
            return BY_CLOSE[code]
    if error.get("code") in BY_CODE:
        return BY_CODE[error["code"]]
    if error:
        return str(error.get("message", ""))
    return f"closed with {closed[0]} {closed[1]}".strip() if closed else UNANSWERED


def handshake_refused(answer: bytes) -> str:
    """Say what a server answered in place of a WebSocket."""
    first = answer.partition(b"\r\n")[0].decode(errors="replace")
    if not first.startswith("HTTP/"):
        return f"This is no web server: it answered {first[:60]!r}."
    status = first.partition(" ")[2]
    if status.startswith(("401", "403")):
        return f"The handshake was refused with {status}: {NOT_ACCEPTED}."
    return f"The handshake was refused with {status}: is a Hubbub server behind this address?"


def _last_error(heard: bytes) -> dict[str, str]:
    at = heard.rfind(b'{"type":"error"')
    if at >= 0:
        with suppress(ValueError):
            error, _ = json.JSONDecoder().raw_decode(heard[at:].decode(errors="replace"))
            if isinstance(error, dict):
                return {name: str(value) for name, value in error.items()}
    return {}

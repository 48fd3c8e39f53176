"""Keeps credentials out of logs: the tokens in URLs, headers and messages become ``***``."""

import logging
import re
from collections.abc import Collection, Mapping
from numbers import Number
from typing import Any

MASK = "***"

_HINTS = ("token", "ticket", "code=", "code%", "sign-in", "bearer", "eyj")
"""Every form that is masked has one of these, in lower case: a text with none is done with at once."""

# From the beginning of a word, so that a long one is looked at once. After an encoded ?, & or # the word
# begins with that one's digits (`%3Ftoken`), which is well.
_NAMES = r"(?<![\w-])(?:[\w-]{0,40}token|[\w-]{0,40}ticket|[\w-]{0,40}sign-in)"
_ENCODED_CODE = r"(?<![\w-])(?:25)*(?:3F|26|23)code"
_QUOTE = r"\\*[\"']"
_VALUE = r"[^\s&#\"'<>\\`]+"
# In an encoded URL the value ends at the next delimiter that is encoded as often as its `=` was.
_ENCODED_VALUE = r"(?:%(?!(?P=level)(?:2[02367]|0[AD]|3[CE]))|[^\s&#\"'<>\\`%])+"

_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?P<kept>{_NAMES}=(?:b?{_QUOTE})?){_VALUE}",
        rf"(?P<kept>{_NAMES}{_QUOTE}\s*[:,]\s*b?{_QUOTE}){_VALUE}",
        rf"(?P<kept>(?:{_NAMES}|{_ENCODED_CODE})%(?P<level>(?:25)*)3D){_ENCODED_VALUE}",
        # Elsewhere than in a query, `code=4001` is something that a log should say.
        rf"(?P<kept>(?<=[?&#])code=){_VALUE}",
        rf"(?P<kept>hubbub\.bearer\.){_VALUE}",
        rf"(?P<kept>\bbearer(?:\s+|%20|\+)){_VALUE}",
        # Whatever it is called: a JSON Web Token begins with `{"` in base64url.
        r"(?P<kept>)(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]*",
    )
)

_SECRET_KEY = re.compile(rf"{_NAMES}|authorization", re.IGNORECASE)
_DEEPEST = 5


def redact(text: str, *, cookies: Collection[str] = ()) -> str:
    """Mask the credentials in any text: a URL, encoded or not, a header, a JSON message, a log line.

    Masked are the values of ``token``, ``access_token`` and the like, ``ticket``, ``sign-in`` and, in a query,
    ``code``; what follows ``hubbub.bearer.`` and ``Bearer``; and whatever looks like a JSON Web Token.

    Args:
        text: any text; returned as it is where there is nothing to mask.
        cookies: names of cookies whose values are masked too.
    """
    lowered = text.lower()
    if any(hint in lowered for hint in _HINTS):
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<kept>{MASK}", text)
    for name in cookies:
        if name in text:
            start = rf"(?P<kept>(?<![\w-]){re.escape(name)}(?:=\"?|{_QUOTE}\s*[:,]\s*b?{_QUOTE}))"
            text = re.sub(rf"{start}[^\s;,\"'\\]+", rf"\g<kept>{MASK}", text)
    return text


class RedactingFilter(logging.Filter):
    """Masks the credentials in a log record before any formatter sees it.

    Add it to handlers: a filter of a logger does not see the records of the loggers below it. It masks the
    message and its arguments, which keep their number and order, since uvicorn's access log unpacks them.
    Tracebacks and `extra` are left as they are.

    Args:
        cookies: names of cookies whose values are masked too.
    """

    def __init__(self, *, cookies: Collection[str] = ()) -> None:
        super().__init__()
        self._cookies = tuple(cookies)

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record in place, and let it pass."""
        if self._redacted(record) is None:
            return True
        if record.args:
            record.args = self._mask(record.args)
        else:
            record.msg = self._mask(record.msg)
        # What is still there is in the format itself, or was split over several arguments.
        remaining = self._redacted(record)
        if remaining:
            record.msg = remaining
            record.args = ()
        return True

    def _redacted(self, record: logging.LogRecord) -> str | None:
        """Return the masked message where that differs from the message; empty where there is no message."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 (arguments that do not fit; `logging` reports them with their values)
            return ""
        redacted = redact(message, cookies=self._cookies)
        return None if redacted == message else redacted

    def _mask(self, value: Any, depth: int = 0) -> Any:
        """Return the value with its credentials masked, in the same shape."""
        if value is None or isinstance(value, Number):
            return value
        if isinstance(value, str):
            return redact(value, cookies=self._cookies)
        if isinstance(value, bytes):
            return redact(value.decode("latin-1"), cookies=self._cookies).encode("latin-1")
        if depth < _DEEPEST and type(value) in {tuple, list}:
            return type(value)(self._mask(item, depth + 1) for item in value)
        if depth < _DEEPEST and isinstance(value, Mapping):
            return {key: self._mask_item(key, item, depth + 1) for key, item in value.items()}
        # Formatted, it is a text: an `httpx2.URL`, an exception, a user's own class.
        try:
            text = str(value)
        except Exception:  # noqa: BLE001 (a `__str__` that fails is for `logging` to report)
            return value
        redacted = redact(text, cookies=self._cookies)
        return value if redacted == text else redacted

    def _mask_item(self, key: Any, value: Any, depth: int) -> Any:
        secret = isinstance(key, str) and (key in self._cookies or _SECRET_KEY.fullmatch(key))
        return MASK if secret and isinstance(value, str | bytes) else self._mask(value, depth)

"""Logs: one handler on standard error, for people or for machines, with every credential masked."""

import logging
import sys
from collections.abc import Sequence

import structlog
from structlog.typing import EventDict, Processor

from hubbub import redact
from hubbub.server.settings import Settings
from hubbub.server.sign_in import COOKIE

REQUEST = ("client", "method", "path", "http_version", "status")
"""The arguments of uvicorn's line about a request, in its order."""


def configure_logs(settings: Settings) -> None:
    """Send the log of everything in this process, uvicorn's included, to standard error."""
    terminal = sys.stderr.isatty()
    people = (settings.log_format or ("console" if terminal else "json")) == "console"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(for_people(colors=terminal) if people else FOR_MACHINES))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    # A library's chatter about each step it takes is not the operator's.
    for name in ("httpx2", "httpcore2", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def formatter(renderers: Sequence[Processor]) -> logging.Formatter:
    """Make a formatter for records of the standard library."""
    return structlog.stdlib.ProcessorFormatter(
        pass_foreign_args=True,
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers, masked],
    )


def for_people(*, colors: bool) -> Sequence[Processor]:
    """Write lines to read; tracebacks without the values of variables, which may be secrets."""
    return [
        without_arguments,
        structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        ),
    ]


def masked(logger: object, method: str, line: EventDict) -> str:
    """Mask the credentials in a line that is ready to be written, and so in tracebacks and fields too."""
    return redact(str(line), cookies=[COOKIE])


def without_arguments(logger: object, method: str, event: EventDict) -> EventDict:
    """Leave out what the message was made of."""
    event.pop("positional_args", None)
    return event


def request_fields(logger: object, method: str, event: EventDict) -> EventDict:
    """Give uvicorn's line about a request fields of its own, which machines search by."""
    arguments = event.pop("positional_args", ())
    if event.get("logger") == "uvicorn.access" and len(arguments) == len(REQUEST):
        event.update(zip(REQUEST, arguments, strict=True))
    return event


FOR_MACHINES: Sequence[Processor] = (
    request_fields,
    structlog.processors.format_exc_info,
    structlog.processors.JSONRenderer(ensure_ascii=False),
)
"""One JSON object a line."""

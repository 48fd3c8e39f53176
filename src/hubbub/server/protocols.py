"""Which protocols uvicorn runs connections with: ours, as far as this uvicorn lets them."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Literal

import uvicorn

try:
    from hubbub.uvicorn import BoundedHTTP, DirectWebSocket, KeepaliveWebSocket
    from hubbub.uvicorn.rehearsal import rehearse
except ImportError as error:  # a uvicorn whose modules were moved
    MISSING: str | None = str(error)
else:
    MISSING = None

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Protocols:
    """What uvicorn is told to use.

    Args:
        outlet: how bytes leave: written to the sockets, or queued for ASGI.
        http: the class for HTTP, or uvicorn's word for one.
        websocket: the class for WebSockets, or uvicorn's word for one.
    """

    outlet: Literal["direct", "queued"]
    http: Any
    websocket: Any


def choose_protocols() -> Protocols:
    """Try out whether uvicorn hands its sockets over, and log what is used."""
    if MISSING is not None:
        warn(MISSING)
        return Protocols("queued", "auto", "auto")
    problem = asyncio.run(rehearse())
    if problem is not None:
        warn(problem)
        return Protocols("queued", BoundedHTTP, KeepaliveWebSocket)
    logger.info("Outlet: direct, frames are written to the sockets.")
    return Protocols("direct", BoundedHTTP, DirectWebSocket)


def warn(problem: str) -> None:
    """Say that the quick way is not open, and what to do."""
    logger.warning(
        "Outlet: queued, through ASGI, which is slower and takes more memory: uvicorn %s does not hand its sockets over "
        "(%s). Install a version that this Hubbub was tested with.",
        uvicorn.__version__,
        problem,
    )

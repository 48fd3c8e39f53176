"""CORS for the HTTP API, decided as the Origin of WebSocket handshakes is: by `ALLOWED_ORIGINS`."""

from collections.abc import Callable, Collection

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp

from hubbub import OriginPolicy


class CORS(CORSMiddleware):
    """Starlette's middleware with the hub's own policy, so that both always agree.

    Args:
        app: what it protects.
        origins: as in `OriginPolicy`.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
            # Cookies go along with pages that are named, never with whoever comes.
            allow_credentials="*" not in origins,
            expose_headers=["Retry-After"],
        )
        self._policy = OriginPolicy(origins)

    def is_allowed_origin(self, origin: str) -> bool:
        """Tell whether a page of this origin may read answers."""
        return self._policy.allows([(b"origin", origin.encode("latin-1"))])


def page_check(origins: Collection[str]) -> Callable[[Request], None]:
    """Make a dependency that turns pages of other origins away, for routes that sign a browser in or out."""
    policy = OriginPolicy(origins)

    def check(request: Request) -> None:
        policy.check(request.headers.raw)

    return check


def add_cors(app: FastAPI, origins: Collection[str]) -> None:
    """Let pages of these origins use the API; without any, browsers keep to the same origin."""
    if origins:
        app.add_middleware(CORS, origins=origins)

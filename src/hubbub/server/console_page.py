"""The console page at ``/`` and its files below ``/console``."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent / "console"

HEADERS = {
    # Nothing but this server's own files runs, nothing but this server is spoken to, nobody frames the page.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def console_routes() -> APIRouter:
    """Serve the page and its files, each with the headers that protect it."""
    router = APIRouter(include_in_schema=False)
    # Not mounted: a mounted `StaticFiles` fails with a traceback on a WebSocket handshake.
    files = StaticFiles(directory=FOLDER)

    async def answer(path: str, request: Request) -> Response:
        response = await files.get_response(path, request.scope)
        response.headers.update(HEADERS)
        return response

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return await answer("index.html", request)

    @router.api_route("/console/{path:path}", methods=["GET", "HEAD"])
    async def file(path: str, request: Request) -> Response:
        return await answer(path, request)

    return router

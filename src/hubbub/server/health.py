"""Whether the server lives (``/healthz``), and whether it should be given work (``/readyz``)."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from hubbub import Hub


class Readiness(BaseModel):
    """What load balancers ask for."""

    status: Literal["ready", "not ready", "draining"]
    parts: dict[str, str]
    outlet: str
    """How bytes leave: ``direct``, written to the sockets, or ``queued``, through ASGI."""


def health_routes(hub: Hub) -> APIRouter:
    """Serve the state of a hub."""
    router = APIRouter(tags=["operations"])

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", summary="Does the process live?")
    async def healthz() -> dict[str, str]:
        """Always 200 while it answers at all."""
        return {"status": "alive"}

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", summary="Should it be given work?")
    async def readyz(request: Request, response: Response) -> Readiness:
        """200 or 503, with the state of each part."""
        parts = {"broker": hub.problem or "ok"}
        if hub.has_database:
            parts["database"] = hub.database_problem or "ok"
        # Rooms go on without the database, which all nodes share: none should be given up for it.
        ready = parts["broker"] == "ok"
        response.status_code = 200 if ready else 503
        outlet = hub.statistics.outlet if hub.is_running else None
        if outlet is None:  # nobody has connected yet; `hubbub serve` knows all the same
            outlet = getattr(request.app.state, "outlet", "unknown until somebody connects")
        status: Literal["ready", "not ready", "draining"] = "ready" if ready else "not ready"
        if hub.is_draining:
            response.status_code, status = 503, "draining"
        return Readiness(status=status, parts=parts, outlet=outlet)

    return router

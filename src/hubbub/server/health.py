"""Whether the server lives (``/healthz``), and whether it should be given work (``/readyz``)."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from hubbub import Hub


class Readiness(BaseModel):
    """What load balancers ask for."""

    status: Literal["ready", "not ready"]
    parts: dict[str, str]
    outlet: str


def health_routes(hub: Hub, outlet: str) -> APIRouter:
    """Serve the state of a hub.

    Args:
        hub: whose.
        outlet: how bytes leave, as far as is known before the first connection shows it.
    """
    router = APIRouter(tags=["operations"])

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", summary="Does the process live?")
    async def healthz() -> dict[str, str]:
        """Always 200 while it answers at all."""
        return {"status": "alive"}

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", summary="Should it be given work?")
    async def readyz(response: Response) -> Readiness:
        """200 or 503, with the state of each part."""
        parts = {"broker": "ok" if hub.is_running else "not running"}
        ready = all(state == "ok" for state in parts.values())
        response.status_code = 200 if ready else 503
        seen = hub.statistics.outlet if hub.is_running else None
        return Readiness(status="ready" if ready else "not ready", parts=parts, outlet=seen or outlet)

    return router

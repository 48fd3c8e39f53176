"""A channel's numbers over HTTP, for programs: its stream, and who reads it on which node."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from hubbub import Hub, NotAvailable
from hubbub.server.nodes import Unanswered, silent
from hubbub.server.scopes import trusted


class Reach(BaseModel):
    """Who reads a channel on one node."""

    node: str
    subscribers: int
    users: int = Field(description="Of so many users; visitors count as one.")


class Stats(BaseModel):
    """A channel's stream, and who reads it."""

    channel: str
    epoch: str
    offset: int = Field(description="How many publications the stream has had.")
    users: int | None = Field(description="How many are present; null where the namespace keeps no presence.")
    subscribers: int = Field(description="Connections, on all nodes that answered.")
    nodes: list[Reach]
    unanswered: Unanswered


def stats_routes(hub: Hub) -> APIRouter:
    """Serve the numbers of channels to programs with the scope `server` or `admin`."""
    router = APIRouter(tags=["channels"], dependencies=[Depends(trusted(hub))])

    @router.get("/channels/{channel:path}/stats", summary="Count what is published and who reads")
    async def stats(channel: str) -> Stats:
        """Of the whole cluster: each node is asked, and has two seconds to answer."""
        top = (await hub.history(channel, limit=1)).top
        try:
            users = (await hub.presence(channel, limit=1)).total
        except NotAvailable:
            users = None
        readers = await hub.cluster.readers(channel)
        return Stats(
            channel=channel,
            epoch=top.epoch,
            offset=top.offset,
            users=users,
            subscribers=readers.sessions,
            nodes=[
                Reach(node=node, subscribers=each.sessions, users=each.users)
                for node, each in sorted(readers.nodes.items())
            ],
            unanswered=silent(readers.unanswered),
        )

    return router

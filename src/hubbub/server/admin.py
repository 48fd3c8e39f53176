"""The cluster over HTTP, for administrators: which nodes there are, who is connected, to what, and who is slow."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from hubbub import Connected, Hub, Listing
from hubbub.server.nodes import Cursor, Limit, NextCursor, Node, Unanswered, node, silent, time
from hubbub.server.scopes import administrator


class Nodes(BaseModel):
    """Every node."""

    nodes: list[Node]
    asked: str = Field(description="The id of the node that answers this request.")
    unanswered: Unanswered


class Connection(BaseModel):
    """One connection."""

    session_id: str
    user_id: str = Field(description="Empty for a visitor.")
    node: str = Field(description="The id of the node it is connected to.")
    since: datetime
    transport: str
    channels: int = Field(description="On how many channels it is.")
    slow: bool = Field(description="Whether it cannot be written to, or is being brought up to date.")
    behind: int = Field(description="Bytes that it has missed since it is slow.")
    token_id: str | None = Field(description="Of the token it came with (`jti`).")


class Connections(BaseModel):
    """One page of connections."""

    connections: list[Connection]
    next_cursor: NextCursor
    unanswered: Unanswered


class ReadChannel(BaseModel):
    """A channel that has readers."""

    channel: str
    subscribers: int
    nodes: int = Field(description="On how many nodes they are.")


class Channels(BaseModel):
    """One page of channels."""

    channels: list[ReadChannel]
    next_cursor: NextCursor
    unanswered: Unanswered


def page(listing: Listing[Connected]) -> Connections:
    """Show a page of connections."""
    return Connections(
        connections=[
            Connection(
                session_id=row.session_id,
                user_id=row.user_id,
                node=row.node,
                since=time(row.since),
                transport=row.transport,
                channels=row.channels,
                slow=row.slow,
                behind=row.behind,
                token_id=row.token_id,
            )
            for row in listing.rows
        ],
        next_cursor=listing.cursor,
        unanswered=silent(listing.unanswered),
    )


def admin_routes(hub: Hub) -> APIRouter:
    """Serve the state of the cluster to tokens with the scope `admin`."""
    router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(administrator(hub))])

    @router.get("/nodes", summary="List the nodes")
    async def nodes() -> Nodes:
        """The eldest first. Each is asked, and has two seconds to answer."""
        listing = await hub.cluster.nodes()
        return Nodes(
            nodes=[node(state) for state in listing.rows],
            asked=hub.cluster.node_id,
            unanswered=silent(listing.unanswered),
        )

    @router.get("/connections", summary="List who is connected")
    async def connections(
        limit: Limit = 100,
        cursor: Cursor = None,
        user_id: Annotated[
            str | None, Query(min_length=1, max_length=255, description="Whose; without it everybody's.")
        ] = None,
    ) -> Connections:
        """On all nodes, those that were opened first before the others."""
        return page(await hub.cluster.connections(user_id=user_id, limit=limit, after=cursor))

    @router.get("/channels", summary="List the channels that have readers")
    async def channels(limit: Limit = 100, cursor: Cursor = None) -> Channels:
        """On all nodes, in the order of their names."""
        listing = await hub.cluster.channels(limit=limit, after=cursor)
        return Channels(
            channels=[
                ReadChannel(channel=row.channel, subscribers=row.sessions, nodes=row.nodes)
                for row in listing.rows
            ],
            next_cursor=listing.cursor,
            unanswered=silent(listing.unanswered),
        )

    @router.get("/slow", summary="List connections that cannot keep up")
    async def slow(limit: Limit = 100, cursor: Cursor = None) -> Connections:
        """On all nodes: those that cannot be written to at the moment, and how far they are behind."""
        return page(await hub.cluster.connections(slow=True, limit=limit, after=cursor))

    return router

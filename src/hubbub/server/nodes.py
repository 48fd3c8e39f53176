"""Nodes as the API shows them, those included that did not answer."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from hubbub import NodeState

Limit = Annotated[int, Query(ge=1, le=500, description="How many; at most 500.")]
Cursor = Annotated[
    str | None, Query(min_length=1, max_length=255, description="`next_cursor` of the page before.")
]
NextCursor = Annotated[str | None, Field(description="Pass it as `cursor`; null at the end.")]


class Node(BaseModel):
    """A node, as it sees itself."""

    id: str = Field(description="New with each start.")
    name: str = Field(description="The machine and the process.")
    version: str
    started_at: datetime
    connections: int
    channels: int
    draining: bool = Field(description="Whether it is about to stop, and sends its clients elsewhere.")


class SilentNode(BaseModel):
    """A node that did not answer within two seconds: what it has is missing here."""

    id: str
    name: str


Unanswered = Annotated[
    list[SilentNode], Field(description="Nodes that did not answer: where there are any, this is not all.")
]


def node(state: NodeState) -> Node:
    """Show a node."""
    return Node(
        id=state.id,
        name=state.name,
        version=state.version,
        started_at=time(state.started_at),
        connections=state.connections,
        channels=state.channels,
        draining=state.draining,
    )


def silent(nodes: Iterable[NodeState]) -> list[SilentNode]:
    """Show nodes that did not answer."""
    return [SilentNode(id=state.id, name=state.name) for state in nodes]


def time(seconds: float) -> datetime:
    """Show a time."""
    return datetime.fromtimestamp(seconds, UTC)

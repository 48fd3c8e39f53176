"""Users over HTTP, for programs: reach every device of one, or close their connections."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from hubbub import Hub
from hubbub.server.channels import IdempotencyKey, Message, Place
from hubbub.server.nodes import SilentNode, silent
from hubbub.server.scopes import trusted


class PersonalMessage(Message):
    """What is sent to one user; the same `idempotency_key` again sends nothing new."""

    idempotency_key: IdempotencyKey = None


class Disconnected(BaseModel):
    """How many connections were closed."""

    connections: int
    unanswered: list[SilentNode] | None = Field(
        default=None, description="Nodes that did not answer, where there are any: theirs are not counted."
    )


class Users(BaseModel):
    """Whom to look for."""

    model_config = ConfigDict(extra="forbid")

    users: list[Annotated[str, Field(min_length=1, max_length=255)]] = Field(max_length=1000)


class Online(BaseModel):
    """Those of them who are connected, in the order in which they were asked for."""

    online: list[str]


def user_routes(hub: Hub) -> APIRouter:
    """Serve a hub's users to programs with the scope `server` or `admin`."""
    router = APIRouter(tags=["users"], dependencies=[Depends(trusted(hub))])

    @router.post("/users/{user_id:path}/publish", summary="Publish to every device of a user")
    async def publish(user_id: str, message: PersonalMessage) -> Place:
        """Devices that are offline get it when they return with their position."""
        position = await hub.to_user(user_id).send(
            message.event, message.data, idempotency_key=message.idempotency_key
        )
        return Place(id=position.id, epoch=position.epoch, offset=position.offset)

    @router.post(
        "/users/{user_id:path}/disconnect",
        response_model_exclude_none=True,
        summary="Close every connection of a user",
    )
    async def disconnect(user_id: str) -> Disconnected:
        """On every node. They are closed with 4003, after which clients do not come back by themselves; but their tokens
        stay good, and a node that is away does not hear of it: to keep somebody out, revoke."""
        closed = await hub.cluster.disconnect(user_id)
        return Disconnected(connections=closed.connections, unanswered=silent(closed.unanswered) or None)

    @router.post("/users/online", summary="Which of these users are connected?")
    async def online(users: Users) -> Online:
        """Anywhere in the cluster, by their presence: who lost their connection counts for a few seconds more."""
        found = await hub.online(users.users)
        return Online(online=[user for user in dict.fromkeys(users.users) if user in found])

    return router

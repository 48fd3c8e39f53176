"""Users over HTTP, for programs: reach every device of one, or close their connections."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from hubbub import Hub
from hubbub.server.channels import IdempotencyKey, Message, Place
from hubbub.server.scopes import trusted


class PersonalMessage(Message):
    """What is sent to one user; the same `idempotency_key` again sends nothing new."""

    idempotency_key: IdempotencyKey = None


class Disconnected(BaseModel):
    """How many connections were closed."""

    connections: int


def user_routes(hub: Hub) -> APIRouter:
    """Serve a hub's users to programs with the scope `server` or `admin`."""
    router = APIRouter(tags=["users"], dependencies=[Depends(trusted(hub))])

    @router.post("/users/{user_id}/publish", summary="Publish to every device of a user")
    async def publish(user_id: str, message: PersonalMessage) -> Place:
        """Devices that are offline get it when they return with their position."""
        position = await hub.to_user(user_id).send(
            message.event, message.data, idempotency_key=message.idempotency_key
        )
        return Place(id=position.id, epoch=position.epoch, offset=position.offset)

    @router.post("/users/{user_id}/disconnect", summary="Close every connection of a user")
    async def disconnect(user_id: str) -> Disconnected:
        """They are closed with 4003, after which clients do not come back by themselves."""
        return Disconnected(connections=await hub.disconnect(user_id))

    return router

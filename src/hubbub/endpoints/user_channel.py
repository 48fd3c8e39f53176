"""One user, wherever they are connected."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from hubbub.hub.channels import user_channel
from hubbub.hub.publications import Position
from hubbub.types import UserId

if TYPE_CHECKING:
    from hubbub.endpoints.facade import Hub


class UserChannel:
    """Every device of one user.

    Args:
        hub: who sends.
        user_id: to whom.
    """

    def __init__(self, hub: "Hub", user_id: UserId) -> None:
        self._hub = hub
        self._channel = user_channel(user_id)

    async def send(
        self, event: str | BaseModel, data: Any = None, *, idempotency_key: str | None = None
    ) -> Position:
        """Publish to the user's own channel; errors as in `Hub.publish`."""
        return await self._hub.publish(self._channel, event, data, idempotency_key=idempotency_key)

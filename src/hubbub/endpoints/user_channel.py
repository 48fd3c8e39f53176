"""One user, wherever they are connected."""

from typing import TYPE_CHECKING, Any, overload

from pydantic import BaseModel

from hubbub.hub.channels import user_channel
from hubbub.hub.publications import Position
from hubbub.types import UserId

if TYPE_CHECKING:
    from hubbub.database.waking import Transaction
    from hubbub.endpoints.speaking import Speaking


class UserChannel:
    """Every device of one user.

    Args:
        hub: who sends.
        user_id: to whom.
    """

    def __init__(self, hub: "Speaking", user_id: UserId) -> None:
        self._hub = hub
        self._channel = user_channel(user_id)

    @overload
    async def send(
        self,
        event: str | BaseModel,
        data: Any = None,
        *,
        idempotency_key: str | None = None,
        transaction: None = None,
    ) -> Position: ...

    @overload
    async def send(
        self,
        event: str | BaseModel,
        data: Any = None,
        *,
        idempotency_key: None = None,
        transaction: "Transaction",
    ) -> str: ...

    async def send(
        self,
        event: str | BaseModel,
        data: Any = None,
        *,
        idempotency_key: str | None = None,
        transaction: "Transaction | None" = None,
    ) -> Position | str:
        """Publish to the user's own channel; arguments, what it returns and errors as of `Hub.publish`."""
        return await self._hub.publish(
            self._channel,
            event,
            data,
            idempotency_key=idempotency_key,
            transaction=transaction,  # type: ignore[arg-type]  # it has the same two forms
        )

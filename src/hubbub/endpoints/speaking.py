"""What an application says through its hub: to a channel, to a user, to everybody."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, overload

from pydantic import BaseModel

from hubbub.endpoints.user_channel import UserChannel
from hubbub.exceptions import ConfigurationError
from hubbub.hub.node import Node
from hubbub.hub.publications import Position
from hubbub.types import UserId

if TYPE_CHECKING:
    from hubbub.database.keeping import Keeping
    from hubbub.database.waking import Transaction


class Speaking:
    """The part of `Hub` that publishes."""

    _node: Node | None = None
    _keeping: "Keeping | None" = None

    @overload
    async def publish(
        self,
        channel: str,
        event: str | BaseModel,
        data: Any = None,
        *,
        exclude: Collection[str] = (),
        idempotency_key: str | None = None,
        transaction: None = None,
    ) -> Position: ...

    @overload
    async def publish(
        self,
        channel: str,
        event: str | BaseModel,
        data: Any = None,
        *,
        exclude: Collection[str] = (),
        idempotency_key: None = None,
        transaction: "Transaction",
    ) -> str: ...

    async def publish(
        self,
        channel: str,
        event: str | BaseModel,
        data: Any = None,
        *,
        exclude: Collection[str] = (),
        idempotency_key: str | None = None,
        transaction: "Transaction | None" = None,
    ) -> Position | str:
        """Publish to a channel as the server, at once or when a transaction is committed.

        Args:
            channel: the full name.
            event: a typed event, or an event's name with its `data` beside it.
            data: any JSON value.
            exclude: user ids that do not get it, now or from history.
            idempotency_key: repeating it within five minutes publishes nothing new and returns the first position.
            transaction: an `AsyncSession` or `AsyncConnection` of SQLAlchemy, of any engine on the database that
                `Hub(database=…)` names. The publication is a row of it, is published once after it was committed, in
                the order of the commits to this channel, and never if it is not; see docs/transactions.md.

        Returns:
            Where it stands: epoch, offset and id. In a transaction, which has no place in the stream yet, the id alone.

        Raises:
            UnknownChannel: no namespace answers to the name.
            TooLarge: the data is over the namespace's `max_message_bytes`.
            PublishError: the broker did not take it (`PublishUncertain`: it is unknown whether it did).
            ConfigurationError: there is a transaction, and the hub has no database or one of another kind.
            ValueError: there is a transaction, and an idempotency key: what is committed is published once as it is.
            TypeError: the transaction is none.
        """
        publisher = self._running.publisher
        if transaction is None:
            return await publisher.publish(
                channel, event, data, exclude=exclude, idempotency_key=idempotency_key
            )
        if self._keeping is None:
            raise ConfigurationError(
                "publish(transaction=…) needs to know the database: Hub(database=…) takes an engine or a URL."
            )
        if idempotency_key is not None:
            raise ValueError(
                "a transaction is published once when it is committed: leave idempotency_key out"
            )
        namespace, draft = publisher.draft(channel, event, data, exclude)
        await self._keeping.publish(transaction, draft, namespace.retention)
        return draft.id

    def to_user(self, user_id: str) -> UserChannel:
        """Return the channel that reaches every device of one user."""
        return UserChannel(self, UserId(user_id))

    async def broadcast(
        self, event: str | BaseModel, data: Any = None, *, exclude: Collection[str] = ()
    ) -> None:
        """Tell every connected client; not stored, so who is away does not get it.

        Raises:
            PublishError: the broker did not take it.
        """
        await self._running.publisher.broadcast(event, data, exclude=exclude)

    @property
    def _running(self) -> Node:
        if self._node is None:
            raise RuntimeError("The hub is not running: pass lifespan=hub.lifespan to FastAPI(…).")
        return self._node

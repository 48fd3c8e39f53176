"""What each command does."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from hubbub.codes import CloseCode, ErrorCode
from hubbub.exceptions import (
    AuthenticationUnavailable,
    BadRequest,
    Forbidden,
    InvalidToken,
    NotAvailable,
    NotSubscribed,
    PublishError,
    RateLimited,
    Refusal,
    SessionClosed,
)
from hubbub.hub import commands, replies
from hubbub.hub.attendance import Attendance
from hubbub.hub.broker import Broker
from hubbub.hub.commands import Command
from hubbub.hub.connections import Connections
from hubbub.hub.identity import Identity
from hubbub.hub.namespaces import Namespace, Namespaces
from hubbub.hub.publishing import Publisher
from hubbub.hub.recovery import newest_within, visible
from hubbub.hub.session import Session
from hubbub.hub.statistics import Statistics
from hubbub.hub.subscriptions import Subscriptions
from hubbub.types import UserId

logger = logging.getLogger(__name__)

Authenticator = Callable[[str], Awaitable[Identity]]
"""Turns a token into an identity; raises `InvalidToken` or `TokenExpired`."""

Step = Callable[[Session, Any], Awaitable[None]]
"""Carries out the commands of one type."""

MAX_PAGE = 1000
PAGE_BYTES = 1_048_576
"""A page of history holds fewer publications than were asked for where their data is more than this."""
NOT_PUBLISHED = {
    ErrorCode.UNAVAILABLE: "It was not published: the broker cannot take it at the moment. Try again.",
    ErrorCode.UNCERTAIN: "Whether it was published is not known: repeat it with the same idempotency_key.",
}
"""What clients are told; what stands behind the server is not for them."""
FLOOD = 500
"""After so many more refusals for their rate than messages taken a connection is closed with 1008."""


class Misunderstood(Command, frozen=True, kw_only=True):
    """Something that was no command; it counts against the rate limit as any other."""

    error: BadRequest


class Dispatcher:
    """Carries out what clients ask for, one command of a session after the other.

    Args:
        broker: for history.
        connections: for identities.
        subscriptions: for joining and leaving.
        publisher: for publishing.
        attendance: for presence.
        namespaces: whose policies hold.
        authenticate: reads tokens for connections.
        read_subscription_token: reads tokens for one channel.
        statistics: counts.
    """

    def __init__(
        self,
        broker: Broker,
        connections: Connections,
        subscriptions: Subscriptions,
        publisher: Publisher,
        attendance: Attendance,
        namespaces: Namespaces,
        authenticate: Authenticator,
        read_subscription_token: Authenticator,
        statistics: Statistics,
    ) -> None:
        self._broker = broker
        self._connections = connections
        self._subscriptions = subscriptions
        self._publisher = publisher
        self._attendance = attendance
        self._namespaces = namespaces
        self._authenticate = authenticate
        self._read_subscription_token = read_subscription_token
        self._statistics = statistics
        self._steps: dict[type[Command], Step] = {
            commands.Publish: self._publish,
            commands.Subscribe: self._subscribe,
            commands.Unsubscribe: self._unsubscribe,
            commands.ReadHistory: self._history,
            commands.ReadPresence: self._presence,
            commands.Authenticate: self._renew,
            commands.Ping: self._ping,
            commands.Pong: self._pong,
            Misunderstood: self._misunderstood,
        }

    async def handle(self, session: Session, data: str) -> None:
        """Take one message from a client; whatever is wrong with it is told to that client alone."""
        try:
            command = session.encoding.decode(data)
        except BadRequest as error:
            command = Misunderstood(error=error, ref=error.ref)
        await self.run(session, command)

    async def run(self, session: Session, command: Command) -> None:
        """Carry out one command, or tell its client why not."""
        ref = command.ref
        try:
            if not isinstance(command, commands.Pong):
                session.bucket.take()
            await self._steps[type(command)](session, command)
            self._statistics.commands += 1
        except SessionClosed:
            pass
        except InvalidToken as error:
            self._fail(session, error.code, str(error), ref)
            self._connections.close(session, error.close_code, error.close_reason)
        except AuthenticationUnavailable as error:
            self._fail(session, error.code, str(error), ref)
        except Refusal as error:
            self._fail(session, error.code, error.message, ref)
            if isinstance(error, RateLimited) and session.bucket.refused >= FLOOD:
                self._connections.close(session, CloseCode.POLICY_VIOLATION, "Too many messages")
        except PublishError as error:
            # Counted, and not logged for each: the broker says once what is wrong with it.
            logger.debug("A publication of user %r was not taken: %s", session.user_id, error)
            self._fail(session, error.code, NOT_PUBLISHED[error.code], ref)
        except Exception:
            logger.exception("A command of user %r failed", session.user_id)
            self._statistics.failures += 1
            self._fail(session, ErrorCode.INTERNAL, "Something went wrong on the server.", ref)

    async def _publish(self, session: Session, command: commands.Publish) -> None:
        channel, position = await self._publisher.publish_for(session, command)
        if command.ref is not None:
            stored = position if position.offset else None
            session.send(replies.Done(ref=command.ref, channel=channel, position=stored))

    async def _subscribe(self, session: Session, command: commands.Subscribe) -> None:
        token = None if command.token is None else await self.subscription_token(command.token)
        subscription = await self._subscriptions.subscribe(session, command, token)
        if token is not None and subscription.token_bound:
            self._connections.bind(session, subscription, token)
        self._done(session, command, command.channel)

    async def subscription_token(self, token: str) -> Identity:
        """Read a token for one channel.

        Raises:
            Forbidden: it is not valid.
        """
        try:
            return await self._read_subscription_token(token)
        except InvalidToken as error:  # a bad token for one channel does not end the connection
            raise Forbidden(f"The subscription's token is not valid: {error}") from error

    async def _unsubscribe(self, session: Session, command: commands.Unsubscribe) -> None:
        await self._subscriptions.unsubscribe(session, command.channel)
        session.send(replies.Unsubscribed(channel=command.channel, as_room=command.as_room))
        self._done(session, command, command.channel)

    async def _history(self, session: Session, command: commands.ReadHistory) -> None:
        namespace = self._readable(session, command.channel)
        if not namespace.retention.keeps:
            raise NotAvailable(f"{namespace.name}:… keeps no history.")
        check_page(command.limit, "limit")
        if command.before is not None and command.before < 0:
            raise BadRequest("`before` is an offset, which is not negative.")
        reading = await self._broker.history(command.channel, limit=command.limit, before=command.before)
        kept = reading.publications[newest_within(reading.publications, PAGE_BYTES) :]
        session.send(
            replies.HistoryRead(
                ref=command.ref,
                channel=command.channel,
                position=reading.top,
                publications=visible(kept, session.user_id),
            )
        )

    async def _presence(self, session: Session, command: commands.ReadPresence) -> None:
        namespace = self._readable(session, command.channel)
        if not namespace.presence:
            raise NotAvailable(f"{namespace.name}:… keeps no presence.")
        check_page(command.limit, "limit")
        after = None if command.cursor is None else UserId(command.cursor)
        roster = await self._attendance.roster(command.channel, command.limit, after)
        session.send(replies.PresenceRead(ref=command.ref, channel=command.channel, roster=roster))

    async def _renew(self, session: Session, command: commands.Authenticate) -> None:
        await self._connections.renew(session, await self._authenticate(command.token))
        self._done(session, command)

    async def _ping(self, session: Session, command: commands.Ping) -> None:
        session.send(replies.PongSent())
        self._done(session, command)

    async def _pong(self, session: Session, command: commands.Pong) -> None:
        """Do nothing: it is a sign of life by having arrived."""

    async def _misunderstood(self, session: Session, command: Misunderstood) -> None:
        raise command.error

    def _readable(self, session: Session, channel: str) -> Namespace:
        _, namespace = self._namespaces.resolve(channel)
        if channel not in session.subscriptions:
            raise NotSubscribed(f"Join or subscribe to {channel!r} first.")
        return namespace

    def _done(self, session: Session, command: Command, channel: str | None = None) -> None:
        if command.ref is not None:
            session.send(replies.Done(ref=command.ref, channel=channel))

    def _fail(self, session: Session, code: ErrorCode, message: str, ref: commands.Ref) -> None:
        self._statistics.count(self._statistics.refusals, code.value)
        if not session.closed:
            session.send(replies.Failed(code=code, message=message, ref=ref))


def check_page(limit: int, field: str) -> None:
    """Hold a page's size against the bound.

    Raises:
        BadRequest: it is not within it.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise BadRequest(f"`{field}` is between 1 and {MAX_PAGE}, not {limit}.")

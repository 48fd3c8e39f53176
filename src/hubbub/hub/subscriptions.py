"""Subscribing: from the policy's question to the moment a session is live, without gap or duplicate."""

import logging
from collections.abc import Callable

from hubbub.codes import UnsubscribeCode
from hubbub.exceptions import Forbidden, NotSubscribed, Refusal, SessionClosed
from hubbub.hub.attendance import Attendance
from hubbub.hub.broker import Reading
from hubbub.hub.channels import EVERYONE, Channel, user_channel
from hubbub.hub.commands import Subscribe as SubscribeCommand
from hubbub.hub.feeds import Feeds
from hubbub.hub.identity import Identity
from hubbub.hub.namespaces import Namespace, Namespaces, Subscribe
from hubbub.hub.presence import Roster
from hubbub.hub.publications import Position
from hubbub.hub.readings import Readings
from hubbub.hub.recovery import recovered, visible
from hubbub.hub.replies import Reply, Subscribed, Unsubscribed
from hubbub.hub.session import Session
from hubbub.hub.statistics import Statistics
from hubbub.hub.subscription import Subscription
from hubbub.types import UserId

logger = logging.getLogger(__name__)

LOST = UnsubscribeCode.INSUFFICIENT_STATE

Answer = Callable[[Reading, Roster | None], Reply]
"""Makes the reply that precedes everything of a channel."""


class Subscriptions:
    """Puts sessions on channels and takes them off.

    Args:
        readings: where streams are read.
        feeds: what this node listens to.
        attendance: who is where.
        namespaces: whose policies hold.
        statistics: counts recoveries.
        limit: how many channels a session may be on; 0 means no limit.
    """

    def __init__(
        self,
        readings: Readings,
        feeds: Feeds,
        attendance: Attendance,
        namespaces: Namespaces,
        statistics: Statistics,
        limit: int,
    ) -> None:
        self._readings = readings
        self._feeds = feeds
        self._attendance = attendance
        self._namespaces = namespaces
        self._statistics = statistics
        self._limit = limit

    async def subscribe(
        self, session: Session, command: SubscribeCommand, token: Identity | None = None
    ) -> Subscription:
        """Put a session on a channel; on one it is on already, answer again from the position it names.

        Args:
            session: who subscribes.
            command: to what, and since where.
            token: what the command's token says, where it brought one.

        Raises:
            Refusal: the name, the policy, a hook or a limit refused.
        """
        await self.permit(session.identity, command.channel, token)
        return await self.put_on(session, command)

    async def permit(self, identity: Identity, name: str, token: Identity | None = None) -> None:
        """Ask the policy of a channel whether somebody may subscribe.

        Raises:
            Refusal: the name, the policy or a hook refused.
        """
        channel, namespace = self._namespaces.resolve(name)
        await authorize(identity, channel, namespace, token)

    async def put_on(self, session: Session, command: SubscribeCommand) -> Subscription:
        """Put a session on a channel that it is permitted to be on.

        Raises:
            LimitExceeded: it is on as many as it may be.
            SessionClosed: it ended meanwhile.
        """
        channel, namespace = self._namespaces.resolve(command.channel)
        if session.closed:
            raise SessionClosed
        if channel.name not in session.subscriptions:
            session.check_subscriptions(self._limit, own_channels(session))
        since = command.since if namespace.recovery else None

        def answer(reading: Reading, roster: Roster | None) -> Reply:
            self._count(reading, since)
            whole = recovered(reading, since)
            return Subscribed(
                channel=channel.name,
                as_room=command.as_room,
                position=reading.top,
                # Asked for where nothing is kept: plainly not recovered.
                recovered=False if command.since is not None and since is None else whole,
                publications=visible(reading.publications, session.user_id),
                roster=roster,
            )

        subscription = await self.attach(session, channel.name, namespace, since, answer)
        subscription.token_bound = namespace.subscribe is Subscribe.TOKEN
        return subscription

    async def attach(
        self,
        session: Session,
        channel: str,
        namespace: Namespace,
        since: Position | None,
        answer: Answer,
    ) -> Subscription:
        """Read a stream and go live on it in one step; `answer` is sent in between."""
        known = session.subscriptions.get(channel)
        subscription = known or Subscription(session, await self._feeds.acquire(channel, namespace))
        feed = subscription.feed
        if known is None:
            session.subscriptions[channel] = subscription
        held = feed.hold(subscription)
        try:
            change = None
            if namespace.presence and known is None:
                change = await self._attendance.enter(session, channel)
                # Told at once, so that whatever ends it from here on, the members hear of both or of neither.
                await self._attendance.announce_arrival(change)
            roster = await self._attendance.roster_for(channel, change) if namespace.presence else None
            reading = await self._readings.read(subscription, since)
            if session.closed:
                raise SessionClosed
            if subscription.held is not held:
                raise NotSubscribed(f"Your subscription to {channel!r} ended meanwhile: subscribe again.")
        except BaseException:
            if session.subscriptions.get(channel) is subscription:
                await self.drop(session, channel, clean=True)
                if known is not None and not session.closed:
                    session.send(Unsubscribed(channel=channel, code=LOST, reason="Subscribe again"))
            raise
        # Nothing waits from here to go_live, so that what was read and what comes live join up.
        session.send(answer(reading, roster))
        subscription.position = reading.top
        feed.go_live(subscription)
        return subscription

    async def unsubscribe(self, session: Session, channel: str) -> None:
        """Take a session off a channel that it asked for.

        Raises:
            NotSubscribed: it is not on it.
            Forbidden: it is the user's own channel, which a session keeps.
        """
        if channel not in session.subscriptions:
            raise NotSubscribed(f"You are not on {channel!r}.")
        if channel == user_channel(session.user_id):
            raise Forbidden("A connection stays on its user's own channel.")
        await self.drop(session, channel, clean=True)

    async def drop(self, session: Session, channel: str, *, clean: bool) -> None:
        """Take a session off a channel, whatever state it is in."""
        subscription = session.subscriptions.pop(channel, None)
        if subscription is None:
            return
        self._release(subscription)
        await self._attendance.leave(session, (channel,), clean=clean)

    async def drop_all(self, session: Session, *, clean: bool) -> None:
        """Take a session off everything: deliveries end before anything is waited for."""
        session.detach()
        channels = (*session.subscriptions, EVERYONE)
        for subscription in session.subscriptions.values():
            self._release(subscription)
        session.subscriptions.clear()
        await self._attendance.leave(session, channels, clean=clean)

    async def still_allowed(self, session: Session, channel: str) -> bool:
        """Ask the policy again, for an identity that was renewed; a hook that fails allows nothing."""
        subscription = session.subscriptions.get(channel)
        if subscription is None or subscription.token_bound:
            return True  # it may have ended while another channel was asked about
        parsed, namespace = self._namespaces.resolve(channel)
        try:
            await authorize(session.identity, parsed, namespace, None)
        except Refusal:
            return False
        except Exception:
            logger.exception("It could not be asked whether user %r may stay on %r", session.user_id, channel)
            return False
        return True

    def _release(self, subscription: Subscription) -> None:
        subscription.feed.remove(subscription)
        if subscription.expiry is not None:
            subscription.expiry.cancel()
        self._feeds.release(subscription.feed)

    def _count(self, reading: Reading, since: Position | None) -> None:
        if since is not None:
            outcome = "recovered" if reading.whole else "unrecovered"
            self._statistics.count(self._statistics.recoveries, outcome)


def own_channels(session: Session) -> int:
    """How many channels a session is on without having asked."""
    return int(user_channel(session.user_id) in session.subscriptions)


async def authorize(
    identity: Identity, channel: Channel, namespace: Namespace, token: Identity | None
) -> None:
    """Apply a namespace's policy and hook to an identity that wants to subscribe.

    Raises:
        Refusal: it may not.
    """
    policy = namespace.subscribe
    if identity.is_anonymous and policy not in {Subscribe.ANYONE, Subscribe.HOOK}:
        raise Forbidden(f"Sign in to subscribe to {namespace.name}:….")
    if policy is Subscribe.OWNER and channel.rest != identity.user_id:
        raise Forbidden(f"Only its owner may subscribe to {channel.name!r}.")
    if policy is Subscribe.TOKEN:
        check_subscription_token(token, identity.user_id, channel)
    if namespace.authorizer is not None and not await namespace.authorizer(identity, channel):
        raise Forbidden(f"You may not subscribe to {channel.name!r}.")


def check_subscription_token(token: Identity | None, user_id: UserId, channel: Channel) -> None:
    """Hold a subscription token against who wants to subscribe to what.

    Raises:
        Forbidden: there is none, or it speaks of another user or channel.
    """
    if token is None:
        raise Forbidden(f"{channel.name!r} needs a `token` with the claims `sub` and `channel`.")
    if token.user_id != user_id or token.claims.get("channel") != channel.name:
        raise Forbidden(f"This token is not for you and {channel.name!r}.")

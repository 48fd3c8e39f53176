"""The presence store of many nodes: leases in Redis, by Redis's clock."""

import asyncio
import logging
import math
import time
from collections.abc import Collection, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from redis.exceptions import RedisError

from hubbub.brokers.redis.address import Address
from hubbub.brokers.redis.buckets import Bucket, Buckets
from hubbub.brokers.redis.complaints import Complaints
from hubbub.brokers.redis.errors import NotSent, Unanswered
from hubbub.brokers.redis.line import Argument
from hubbub.brokers.redis.scripts import Script
from hubbub.brokers.redis.servers import Servers
from hubbub.exceptions import ConfigurationError, Unavailable
from hubbub.hub.presence import Change, Lease, Roster
from hubbub.types import UserId

logger = logging.getLogger(__name__)

CLAIM = 5.0
"""Seconds that a node has to tell of a departure, or to say that it will yet, before another one may."""
AWAY = 3.0
"""Seconds without a sweep of any node after which Redis counts as having been out of reach."""
USUAL = 30.0
"""Seconds of a lease, as long as none was taken here."""
AT_ONCE = 500
"""Leases that are renewed, or users that are asked for, in one command: a script stalls everybody else of its server."""
STEP = 250
"""Departures that `expire` returns at once, or a few more."""

PRESENCE = Script("presence")


class RedisPresence:
    """Keeps leases in Redis 7. See `hubbub.hub.presence.PresenceStore` for what it promises.

    One server, Sentinel or Cluster: see `Address` for what a URL may say. Leases end by the server's clock, so the nodes'
    own need not agree.

    Args:
        redis: a URL, or servers that are shared with a `RedisBroker`.
        claim: seconds that a node has to tell of a departure before another one may; two or more, because a node that is
            still about to tell says so once a second.

    Raises:
        ConfigurationError: the URL is none.
    """

    def __init__(self, redis: str | Servers, claim: float = CLAIM) -> None:
        self.servers = Servers(Address.parse(redis)) if isinstance(redis, str) else redis
        self._buckets = Buckets(self.servers.address)
        self._complaints = Complaints()
        self._claim = int(claim * 1000)
        self._step = max(1, STEP // len(self._buckets))
        self._lease = 0.0
        """The longest that was taken here."""

    async def enter(self, lease: Lease, seconds: float) -> Change:
        """Take or renew one lease."""
        bucket = self._buckets.of(lease.channel)
        self._lease = max(self._lease, seconds)
        edge, users, born = await self._run(bucket, "enter", milliseconds(seconds), packed(lease))
        bucket.note(born, time.monotonic())
        return Change(lease.channel, lease.user_id, bool(edge), users)

    async def leave(self, lease: Lease) -> Change:
        """Give one lease up."""
        bucket = self._buckets.of(lease.channel)
        departure, users = await self._run(bucket, "leave", self._claim, packed(lease))
        return Change(lease.channel, lease.user_id, bool(departure), users, departure.decode() or None)

    async def renew(self, leases: Collection[Lease], seconds: float) -> list[Lease]:
        """Let leases that are still held end `seconds` from now."""
        parts = list(self._parts(leases))
        answers = await together(
            self._run(bucket, "renew", milliseconds(seconds), *map(packed, part)) for bucket, part in parts
        )
        return [part[number] for (_, part), missing in zip(parts, answers, strict=True) for number in missing]

    async def restore(self, leases: Collection[Lease], seconds: float) -> list[Change]:
        """Take leases again that ended, or were lost."""
        self._lease = max(self._lease, seconds)
        parts = list(self._parts(leases))
        answers = await together(self._restore(bucket, part, seconds) for bucket, part in parts)
        return [Change(*unpacked(place), True, users) for arrived in answers for place, users in arrived]

    async def expire(self, telling: Collection[Change] = ()) -> list[Change]:
        """End leases that are over, and take on what others left untold."""
        if telling:
            await self._say("keep", (self._claim,), telling)
        changes: list[Change] = []
        buckets = list(self._buckets)
        while buckets and not changes:
            answers = await asyncio.gather(*map(self._expire, buckets), return_exceptions=True)
            failed = [answer for answer in answers if isinstance(answer, BaseException)]
            changes = [
                change for answer in answers if not isinstance(answer, BaseException) for change in answer[1]
            ]
            if failed and not changes:
                raise failed[0]  # the others' departures are told all the same, and first
            buckets = [
                bucket
                for bucket, answer in zip(buckets, answers, strict=True)
                if not isinstance(answer, BaseException) and answer[0]
            ]
        return changes

    async def told(self, departures: Collection[Change]) -> None:
        """Acknowledge departures."""
        await self._say("told", (), departures)

    async def roster(self, channel: str, *, limit: int = 100, after: UserId | None = None) -> Roster:
        """List who is present, and how many."""
        bucket = self._buckets.of(channel)
        page, users = await self._run(bucket, "roster", encoded(channel), limit, encoded(after or ""))
        names = tuple(unpacked(place)[1] for place in page[:limit])
        return Roster(names, users, names[-1] if len(page) > limit and names else None)

    async def present(self, channel: str, users: Collection[UserId]) -> set[UserId]:
        """Return which of these users are in the channel; one command for each 500 of them."""
        bucket = self._buckets.of(channel)
        asked = list(users)
        parts = [asked[start : start + AT_ONCE] for start in range(0, len(asked), AT_ONCE)]
        answers = await together(self._scores(bucket, channel, part) for part in parts)
        scores = [score for part in answers for score in part]
        return {user for user, score in zip(asked, scores, strict=True) if score is not None}

    async def __aenter__(self) -> Self:
        try:
            await self.servers.__aenter__()
        except NotSent as error:
            raise ConfigurationError(str(error)) from error
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.servers.__aexit__(exc_type, exc, traceback)

    async def _restore(self, bucket: Bucket, leases: list[Lease], seconds: float) -> list[tuple[bytes, int]]:
        now = time.monotonic()
        # Whoever renews does so within a third of a lease, and so learns in that time what was lost.
        recently = bucket.before and now - bucket.lost_at < self._lease
        known = bucket.before if recently else bucket.born
        born, arrived = await self._run(bucket, "restore", milliseconds(seconds), known, *map(packed, leases))
        bucket.note(born, now)
        return [(place, users) for place, users in arrived]

    async def _expire(self, bucket: Bucket) -> tuple[bool, list[Change]]:
        settle = max((self._lease or USUAL) / 3, 2.0)
        more, found = await self._run(
            bucket, "expire", self._step, self._claim, milliseconds(AWAY), milliseconds(settle)
        )
        changes = [
            Change(*unpacked(place), True, users, departure.decode()) for place, departure, users in found
        ]
        return bool(more), changes

    async def _say(self, what: str, arguments: tuple[Argument, ...], departures: Collection[Change]) -> None:
        known = [change for change in departures if change.departure is not None]
        parts: dict[Bucket, list[bytes]] = {}
        for change in known:
            words = parts.setdefault(self._buckets.of(change.channel), [])
            words += (place_of(change.channel, change.user_id), encoded(change.departure or ""))
        await together(
            self._run(bucket, what, *arguments, *words[start : start + 2 * AT_ONCE])
            for bucket, words in parts.items()
            for start in range(0, len(words), 2 * AT_ONCE)
        )

    async def _scores(self, bucket: Bucket, channel: str, users: list[UserId]) -> list[bytes | None]:
        places = (place_of(channel, user) for user in users)
        return list(await self._asked(self.servers.ask(bucket.slot, "ZMSCORE", bucket.roster, *places)))

    def _parts(self, leases: Iterable[Lease]) -> Iterator[tuple[Bucket, list[Lease]]]:
        """Put leases together that are in one bucket, as many as one command takes."""
        by_bucket: dict[Bucket, list[Lease]] = {}
        for lease in leases:
            by_bucket.setdefault(self._buckets.of(lease.channel), []).append(lease)
        for bucket, its in by_bucket.items():
            for start in range(0, len(its), AT_ONCE):
                yield bucket, its[start : start + AT_ONCE]

    async def _run(self, bucket: Bucket, *arguments: Argument) -> Any:
        try:
            return await self._asked(self.servers.run(PRESENCE, bucket.slot, bucket.keys, arguments))
        except Unavailable as error:
            if not str(error.__cause__).startswith("WRONGTYPE"):
                raise
        # Somebody else wrote to its keys. Those who are here renew what they hold, as after any loss.
        await self._asked(self.servers.ask(bucket.slot, "DEL", *bucket.keys))
        return await self._asked(self.servers.run(PRESENCE, bucket.slot, bucket.keys, arguments))

    async def _asked(self, asking: Any) -> Any:
        try:
            return await asking
        except (NotSent, Unanswered, RedisError) as error:
            if isinstance(error, RedisError):
                self._complaints.complain("Redis refused to have presence read or changed", error)
            raise Unavailable("Who is present cannot be read or changed at the moment: try again.") from error


async def together(work: Iterable[Any]) -> list[Any]:
    """Do things at the same time; one alone begins before anything else is asked of Redis."""
    all_of_it = list(work)
    if len(all_of_it) == 1:
        return [await all_of_it[0]]
    return list(await asyncio.gather(*all_of_it))


def milliseconds(seconds: float) -> int:
    """Return how many there are, rounded up."""
    return math.ceil(seconds * 1000)


def encoded(name: str) -> bytes:
    """Return a name's bytes, which are in the order of its characters."""
    return name.encode(errors="surrogatepass")


def place_of(channel: str, user_id: UserId) -> bytes:
    """Return a user in a channel; only the user may have a NUL in the name."""
    return encoded(channel) + b"\0" + encoded(user_id)


def packed(lease: Lease) -> bytes:
    """Return a lease as the script has it."""
    return place_of(lease.channel, lease.user_id) + b"\0" + encoded(lease.session_id)


def unpacked(place: bytes) -> tuple[str, UserId]:
    """Return a channel and a user."""
    channel, _, user = place.partition(b"\0")
    return channel.decode(errors="surrogatepass"), UserId(user.decode(errors="surrogatepass"))

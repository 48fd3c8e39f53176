"""The lives of a server: a restart or a failover begins a new one, in which the last things said may be unknown.

A server that restarted without its last second, or a replica that lagged when it took over, would give offsets to new
publications that readers know already. So before anything is published in a new life, every node holds what it saw against
what the server knows (`compare.lua`), and a stream of which more was seen gets a new epoch. A marker in Redis names the
life in which all have done so.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable

from redis.exceptions import AskError, MovedError, ResponseError

from hubbub.brokers.redis.errors import NotSent, Refused
from hubbub.brokers.redis.keys import Keys
from hubbub.brokers.redis.lane import Lane
from hubbub.brokers.redis.others import Peers
from hubbub.brokers.redis.scripts import Script, every_script
from hubbub.brokers.redis.seen import Seen

logger = logging.getLogger(__name__)

OLDEST = (7, 0)
"""The first version with sharded pub/sub."""
STANDALONE, CLUSTERED = "standalone", "cluster"
WAIT = 3.0
"""Seconds that the other nodes are waited for."""
LOOK = 0.1
"""Seconds between two looks whether they are done."""
AT_ONCE = 500
"""Streams that are compared in one write."""

COMPARE = Script("compare")


class Life:
    """Finds out whether a server still knows what this node saw of it.

    Args:
        marker: the key that names the life in which all nodes have compared.
        mode: what the server says it runs as: `STANDALONE` or ``cluster``.
        keys: names of channels.
        seen: what this node saw.
        belongs: whether a channel is on this server.
        peers: the other nodes.
        monotonic: tells seconds that never run backwards.
    """

    def __init__(
        self,
        marker: str,
        mode: str,
        keys: Keys,
        seen: Seen,
        belongs: Callable[[str], bool],
        peers: Peers,
        monotonic: Callable[[], float],
    ) -> None:
        self._mode = mode
        self.marker = marker
        self._keys = keys
        self._seen = seen
        self._belongs = belongs
        self._peers = peers
        self._monotonic = monotonic
        self._experienced = False
        self.compared = "-"
        """The life that this node has compared with; its canaries tell."""

    async def begin(self, lane: Lane) -> None:
        """Hold a server that was just connected to against what is known; returns when it may be published to.

        Raises:
            NotSent: the server takes no writes, or is too old.
            Unanswered: the connection was lost.
            redis.exceptions.ResponseError: the server refused something.
        """
        life = identify(await lane.tell("INFO", "server", "replication"), mode=self._mode)
        await asyncio.gather(*(lane.tell("SCRIPT", "LOAD", script.source) for script in every_script()))
        if life != self.compared:
            await self._compare(lane)
            self.compared = life
        began = self._monotonic()
        while (marked := await self._marked(lane)) != life:
            others = self._peers.outstanding(life)
            waited = self._monotonic() - began
            all_done = self._experienced and not others
            if (marked is None and await self._is_new(lane)) or all_done or waited >= WAIT:
                if marked is not None:
                    logger.info(
                        "Redis began a new life; %s",
                        f"without {len(others)} nodes" if others else "all nodes compared",
                    )
                with contextlib.suppress(AskError):
                    await lane.tell("SET", self.marker, life)
                break
            await asyncio.sleep(LOOK)
        self._experienced = True

    async def _marked(self, lane: Lane) -> str | None:
        try:
            marked: bytes | None = await lane.tell("GET", self.marker)
        except MovedError:
            raise
        except AskError:  # its slot is on the way to another server, so that this one will get another marker
            return None
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            return "-"  # somebody else wrote to it; it is set anew
        return None if marked is None else marked.decode()

    async def _is_new(self, lane: Lane) -> bool:
        """Whether nothing is kept here. The marker alone may have been evicted, or its slot have moved away."""
        return not await lane.tell("DBSIZE")

    async def _compare(self, lane: Lane) -> None:
        places = list(self._seen.among(self._belongs))
        lost = 0
        for start in range(0, len(places), AT_ONCE):
            part = places[start : start + AT_ONCE]
            answers = []
            for channel, (epoch, offset, publication_id) in part:
                keys = self._keys.of(channel)
                answers.append(
                    lane.tell(
                        "EVALSHA",
                        COMPARE.sha,
                        2,
                        keys.meta,
                        keys.stream,
                        epoch,
                        offset,
                        publication_id,
                        new_epoch(),
                    )
                )
            lost += sum(await asyncio.gather(*answers))
        if lost:
            logger.error(
                "Redis lost publications that this node has seen, in %d channels: they begin a new epoch, and their "
                "readers are told. See `appendfsync` and `min-replicas-to-write` in Redis's configuration.",
                lost,
            )


def identify(info: bytes, mode: str) -> str:
    """Return which life of which server this is, which runs in a mode.

    Raises:
        Refused: its version is too old, or the address is of another arrangement.
        NotSent: it is a replica.
    """
    facts = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    version = facts.get("redis_version", "0")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < OLDEST:
        raise Refused(f"Redis {version} is too old: Hubbub needs Redis 7, which has sharded pub/sub")
    found = facts.get("redis_mode", mode)
    if found != mode:
        raise Refused(
            f"this Redis runs as {found}: its address begins with {'redis://' if found == STANDALONE else f'redis+{found}://'}"
        )
    if facts.get("role") != "master":
        raise NotSent("this server is a replica")
    return facts["run_id"][:16] + facts["master_replid"][:16]


def new_epoch() -> str:
    """Make an epoch that no stream ever had; later ones come after earlier ones."""
    return f"{int(time.time()):08x}{secrets.token_hex(5)}"

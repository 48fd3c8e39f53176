"""After a cut everybody comes back at once: all are whole, and the streams are read for all, not for each."""

from pathlib import Path

from journey import complaints, hubbub_node
from ports import steady_port
from redis_servers import redis_server

from storm import MISSED, Storm, commands

CLIENTS = 500
ROOMS = 5


async def test_all_are_whole_and_streams_are_read_once_for_many(tmp_path: Path):
    port = steady_port()
    async with redis_server(tmp_path) as redis, hubbub_node(tmp_path / "node", port, redis.url) as node:
        storm = Storm(port, redis, CLIENTS, ROOMS)
        try:
            await storm.gather()
            await storm.cut()
            await storm.publish(MISSED)
            before = await commands(redis)
            await storm.come_back()
            reads = (await commands(redis) - before)["xrange"]
            await storm.is_live()
        finally:
            await storm.end()
        outcome = storm.outcome()
        assert outcome.is_perfect, outcome
        assert outcome.expected == CLIENTS * (MISSED + 1)
        assert ROOMS <= reads < CLIENTS / 10
        assert complaints(node) == []

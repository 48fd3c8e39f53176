"""The Redis servers of the tests are real, and so is what is done to them."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio import Sentinel as Sentinels
from redis.exceptions import ConnectionError as RedisConnectionError
from redis_cluster import cluster, owners
from redis_sentinels import NAME, sentinel
from redis_servers import redis_server
from resp import RedisSaid
from serving import FOLDER, eventually

MOMENT = 0.2
"""Seconds in which a paused server would have answered."""

STARTED_AND_KILLED = """
import asyncio, os, pathlib, signal, sys
from redis_servers import redis_server

async def main():
    async with redis_server(pathlib.Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_paused_server_does_not_answer_until_it_goes_on(redis):
    redis.pause()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(MOMENT):
            await redis.cli("PING")
    redis.resume()
    assert await redis.cli("PING") == "PONG"


async def test_a_killed_server_cuts_its_clients_and_refuses_new_ones(redis):
    async with Redis.from_url(redis.url, retry=None) as client:
        assert await client.set("a", "1")
        redis.pause()  # a paused one can be killed
        await redis.kill()
        assert not redis.is_alive
        with pytest.raises(RedisConnectionError):
            await client.get("a")
        with pytest.raises(ConnectionRefusedError):
            await redis.cli("PING")
        await redis.start()
        assert await client.get("a") is None


@pytest.mark.parametrize("appendonly", ["always", "everysec"])
async def test_appended_data_survives_a_restart_on_the_same_port(tmp_path, appendonly):
    async with redis_server(tmp_path, appendonly=appendonly) as server:
        await server.cli("SET", "a", "1")
        port, pid = server.port, server.pid
        await server.restart()
        assert (server.port, await server.cli("GET", "a")) == (port, "1")
        assert server.pid != pid
        await server.restart(keep_data=False)
        assert await server.cli("EXISTS", "a") == "0"


async def test_a_server_can_come_back_with_a_part_of_its_data(redis):
    await redis.cli("SET", "a", "1")
    await redis.cli("SAVE")
    await redis.cli("SET", "b", "2")
    await redis.restart()
    assert (await redis.cli("MGET", "a", "b")).split("\n") == ["1", ""]


async def test_a_server_that_saves_keeps_its_data_when_it_is_stopped(tmp_path):
    async with redis_server(tmp_path, save=True) as server:
        await server.cli("SET", "a", "1")
        await server.stop()
        await server.start()
        assert await server.cli("GET", "a") == "1"


async def test_several_run_at_once_with_settings_of_their_own(tmp_path, redis):
    async with redis_server(tmp_path, "maxmemory 5mb", replica_of=redis) as replica:
        assert await replica.cli("CONFIG", "GET", "maxmemory") == "maxmemory\n5242880"
        await redis.cli("SET", "a", "1")
        await replica.catch_up(redis)
        assert await replica.cli("GET", "a") == "1"
        with pytest.raises(RedisSaid, match="READONLY"):
            await replica.cli("SET", "a", "2")


async def test_a_server_that_cannot_start_shows_why(tmp_path):
    with pytest.raises(AssertionError, match="Bad directive"):
        async with redis_server(tmp_path, "no-such-setting yes"):
            pass


async def test_a_failing_test_leaves_no_process(tmp_path):
    async def fail() -> None:
        async with redis_server(tmp_path) as server:
            servers.append(server)
            server.pause()
            raise ZeroDivisionError

    servers = []
    with pytest.raises(ZeroDivisionError):
        await fail()
    assert [server.is_alive for server in servers] == [False]


async def test_tests_that_are_killed_leave_no_server(tmp_path):
    killed = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", STARTED_AND_KILLED, str(tmp_path)],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    status = Path(f"/proc/{int(killed.stdout)}/status")
    await eventually(lambda: not status.exists() or "(zombie)" in status.read_text(), every=0.01)


async def test_sentinels_make_the_replica_the_primary_when_the_primary_is_killed(tmp_path):
    async with sentinel(tmp_path) as watched:
        first, second = watched.primary, watched.replica
        assert await watched.current_primary() == first.address
        found = Sentinels([each.address for each in watched.sentinels])
        client = found.master_for(NAME)
        await client.set("a", "1")
        await second.catch_up(first)
        await watched.failover()
        assert (watched.primary, watched.replica) == (second, first)
        assert await watched.current_primary() == second.address
        assert await client.get("a") == b"1"
        await client.aclose()
        for each in found.sentinels:
            await each.aclose()

        await watched.rejoin()
        assert (await first.facts("INFO", "replication"))["role"] == "slave"
        assert await first.cli("GET", "a") == "1"


async def test_a_primary_that_hangs_is_replaced_by_a_replica_that_lags(tmp_path):
    async with sentinel(tmp_path) as watched:
        await watched.primary.cli("SET", "a", "1")
        await watched.replica.catch_up(watched.primary)
        await watched.fall_behind()
        await watched.primary.cli("SET", "b", "2")
        await watched.failover("pause")
        assert (await watched.primary.cli("MGET", "a", "b")).split("\n") == ["1", ""]


async def test_a_cluster_serves_its_slots_and_they_move(tmp_path):
    async with cluster(tmp_path) as run:
        assert [(await node.facts("CLUSTER", "INFO"))["cluster_state"] for node in run.nodes] == ["ok"] * 3
        slot = await run.slot("{room}:1")
        assert slot == await run.slot("{room}:2")
        old = await run.owner(slot)
        new = next(node for node in run.nodes if node is not old)
        await old.cli("SET", "{room}:1", "here")
        async with run.moving(slot, new) as source:
            assert source is old
            assert await old.cli("GET", "{room}:1") == "here"
            with pytest.raises(RedisSaid, match=f"^ASK {slot} 127.0.0.1:{new.port}$"):
                await old.cli("GET", "{room}:2")
        with pytest.raises(RedisSaid, match=f"^MOVED {slot} 127.0.0.1:{new.port}$"):
            await old.cli("GET", "{room}:1")
        assert await new.cli("GET", "{room}:1") == "here"
        assert await run.owner(slot) is new
        async with RedisCluster(host="127.0.0.1", port=old.port) as client:
            assert await client.get("{room}:1") == b"here"
        await run.move_slot(slot, old)
        assert await old.cli("GET", "{room}:1") == "here"

        await new.restart(keep_data=False)
        await run.become_whole()


async def test_the_replica_of_a_killed_node_takes_its_slots(tmp_path):
    async with cluster(tmp_path, replicas=1) as run:
        node, replica = run.nodes[1], run.replicas[1]
        slot = next(first for first, _, port in await owners(node) if port == node.port)
        await node.kill()
        await run.become_whole()
        assert await run.owner(slot) is replica

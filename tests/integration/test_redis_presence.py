"""Presence across nodes: each coming and going is told once, whoever is killed, stopped, or loses what it had."""

import asyncio
import itertools
import time
from collections import Counter
from pathlib import Path

import pytest
from ageing import age
from members import connected
from presence_nodes import DEADLINE, HubNode, all_heard, hubs, node_process
from redis_sentinels import sentinel
from redis_servers import RedisServer, redis_server
from serving import bearer, eventually, hubbub_serve

from hubbub.brokers.redis import RedisPresence
from hubbub.hub.presence import Lease
from hubbub.types import SessionId, UserId


def once(*news: tuple[str, str]) -> Counter[tuple[str, str]]:
    return Counter(dict.fromkeys(news, 1))


def all_offline(nodes: list[HubNode]) -> list[str]:
    return sorted(itertools.chain.from_iterable(node.offline for node in nodes))


async def until_heard(node: HubNode, *news: tuple[str, str], within: float = DEADLINE) -> None:
    await eventually(lambda: set(news) <= set(node.count()), within=within, every=0.02, seen=node.news)


async def all_have_arrived(nodes: list[HubNode], users: list[str]) -> None:
    """Begin to listen anew, when even a node in a process of its own has told of everybody whom it holds."""
    for node in nodes:
        await until_heard(node, *(("joined", user) for user in users))
    await all_heard(nodes)
    for node in nodes:
        node.heard.clear()


async def test_each_coming_and_going_is_told_once_whatever_the_devices(redis: RedisServer):
    async with hubs(redis.url) as nodes:
        one, other = nodes
        users = [f"user{number}" for number in range(6)]
        expected: Counter[tuple[str, str]] = Counter()
        for number, user in enumerate(users):
            here, there = (one, other) if number % 2 else (other, one)
            phone = await here.client(user)
            laptop = await there.client(user)
            tablet = await here.client(user)
            await here.leave(phone)
            await there.leave(laptop)
            expected += once(("joined", user))
            if number < 3:
                await here.quiet()  # who comes and goes within one window was never there
                await here.leave(tablet)
                expected += once(("left", user))
        await all_heard(nodes)
        assert one.count() == other.count() == expected
        assert one.news()[-1][2] == other.news()[-1][2] == 5
        assert all_offline(nodes) == users[:3]
        assert await one.users() == await other.users() == {*users[3:], "zoe0", "zoe1"}


async def test_a_crowd_that_comes_and_goes_over_both_nodes_is_told_once_each(redis: RedisServer):
    async with hubs(redis.url) as nodes:
        users = [f"user{number:02}" for number in range(40)]

        async def visit(number: int, user: str) -> None:
            node = nodes[number % 2]
            client = await node.client(user)
            if number < 20:
                await node.quiet()
                await node.leave(client)

        await asyncio.gather(*(visit(number, user) for number, user in enumerate(users)))
        await all_heard(nodes)
        for node in nodes:
            count = node.count()
            assert max(count.values()) == 1
            for user in users:
                assert count["left", user] == (1 if user in users[:20] else 0)
                assert count["joined", user] == 1
            assert node.news()[-1][2] == 22
        assert all_offline(nodes) == users[:20]


async def test_who_is_back_within_the_grace_on_another_node_never_left(redis: RedisServer):
    async with hubs(redis.url, grace=5.0) as nodes:
        one, other = nodes
        before = await one.client("ada")
        lost = await one.client("bob")
        await all_heard(nodes)
        one.heard.clear(), other.heard.clear()
        await one.cut(before)
        await one.cut(lost)
        await other.client("ada")
        await age(6, redis)
        await until_heard(other, ("left", "bob"))
        await all_heard(nodes)
        assert one.count() == other.count() == once(("left", "bob"))
        assert all_offline(nodes) == ["bob"]
        assert await other.hub.online(["ada", "bob"]) == {"ada"}


async def test_a_killed_node_leaves_no_ghosts_and_each_is_told_once_within_the_lease(redis: RedisServer):
    lease = 2.0
    async with (
        hubs(redis.url, lease=lease, grace=0.5) as nodes,
        node_process(redis.url, lease=lease) as doomed,
    ):
        one, other = nodes
        users = [f"user{number:02}" for number in range(20)]
        for user in users:
            await doomed.enter(user)
        await doomed.enter(users[0])  # her tablet
        await one.client(users[1])
        await other.client(users[2])
        await all_have_arrived(nodes, users)
        killed = time.monotonic()
        await doomed.kill()
        gone = {users[0], *users[3:]}
        news = [("left", user) for user in gone]
        for node in nodes:
            await until_heard(node, *news)
        # A sweep every half second, and what follows the first of a channel a window later.
        assert time.monotonic() - killed < lease + 2.0
        await all_heard(nodes)
        assert one.count() == other.count() == once(*news)
        await eventually(lambda: all_offline(nodes) == sorted(gone), seen=lambda: all_offline(nodes))
        assert await one.users() == {users[1], users[2], "zoe0", "zoe1"}
        assert await one.hub.online(users) == {users[1], users[2]}


@pytest.mark.parametrize("moment", ["expire", "told"])
async def test_the_sweeping_node_is_killed_before_it_told_or_before_it_said_so(
    redis: RedisServer, moment: str
):
    lease = 2.0
    async with (
        hubs(redis.url, lease=lease, grace=0.5) as nodes,
        node_process(redis.url, lease=lease) as doomed,
        node_process(redis.url, lease=lease, fatal=moment) as sweeper,
    ):
        for node in nodes:
            node.presence.sweeps = False  # so that it is the other one who finds them
        users = [f"user{number}" for number in range(8)]
        for user in users:
            await doomed.enter(user)
        await sweeper.enter("sue")
        await all_have_arrived(nodes, [*users, "sue"])
        await doomed.kill()
        assert await asyncio.wait_for(sweeper.child.wait(), DEADLINE) == -9
        for node in nodes:
            node.presence.sweeps = True
        everybody = [*users, "sue"]
        news = [("left", user) for user in everybody]
        for node in nodes:
            await until_heard(node, *news)
        await all_heard(nodes)
        for node in nodes:
            assert node.count() == once(*news)
        ran = Counter(all_offline(nodes))
        ran += Counter(line.split()[1] for line in sweeper.said if line.startswith("offline"))
        assert set(ran) == set(everybody)
        if moment == "expire":
            assert max(ran.values()) == 1
        else:
            # The hook ran, and the node died before it could say so: at least once, and no more than twice.
            assert max(ran.values()) <= 2


async def test_a_node_that_stood_still_comes_back_with_its_members(redis: RedisServer):
    lease = 2.0
    async with (
        hubs(redis.url, lease=lease, grace=0.5) as nodes,
        node_process(redis.url, lease=lease) as stopped,
    ):
        users = [f"user{number}" for number in range(5)]
        for user in users:
            await stopped.enter(user)
        await all_have_arrived(nodes, users)
        await redis.cli("HSET", "hubbub:{p:0}:meta", "young", 0)  # as after a minute
        stopped.pause()
        left = [("left", user) for user in users]
        for node in nodes:
            await until_heard(node, *left)
        await eventually(lambda: all_offline(nodes) == users)
        stopped.resume()
        joined = [("joined", user) for user in users]
        for node in nodes:
            await until_heard(node, *joined)
        await all_heard(nodes)
        for node in nodes:
            assert node.count() == once(*left, *joined)
        assert await nodes[0].users() == {*users, "zoe0", "zoe1"}
        assert await nodes[0].hub.online(users) == set(users)


@pytest.mark.parametrize("fault", ["flush", "restart"])
async def test_what_redis_lost_is_there_again_and_nobody_hears_of_it(redis: RedisServer, fault: str):
    async with hubs(redis.url, lease=6.0, grace=1.0) as nodes:
        one, other = nodes
        users = [f"user{number}" for number in range(12)]
        clients = {user: await nodes[number % 2].client(user) for number, user in enumerate(users)}
        await other.client(users[0])
        await all_heard(nodes)
        for node in nodes:
            node.heard.clear()
        if fault == "flush":
            await redis.cli("FLUSHALL")
        else:
            await redis.restart(keep_data=False)
        began = time.monotonic()
        everybody = {*users, "zoe0", "zoe1"}

        async def is_whole() -> bool:
            return await one.users() == everybody

        await eventually(is_whole, within=DEADLINE, every=0.02)
        if fault == "flush":
            assert time.monotonic() - began < 6.0 / 3 + 1.0  # a third of a lease, and the sweep after that
        assert await other.hub.online(users) == set(users)
        await eventually(lambda: not one.hub.problem and not other.hub.problem)
        await one.leave(clients[users[2]])
        await one.leave(clients[users[0]])  # who is on the other node too
        for node in nodes:
            await until_heard(node, ("left", users[2]))
        await all_heard(nodes)
        for node in nodes:
            assert node.count() == once(("left", users[2]))
        assert all_offline(nodes) == [users[2]]


async def test_who_left_before_their_other_device_was_restored_has_joined_again(redis: RedisServer):
    async with RedisPresence(redis.url) as one, RedisPresence(redis.url) as other:
        phone, laptop = (Lease("room:a", UserId("ada"), SessionId(device)) for device in ("phone", "laptop"))
        for store, lease in ((one, phone), (other, laptop)):
            await store.enter(lease, 30)
            await store.enter(Lease("room:a", UserId("bob"), lease.session_id), 30)
        await redis.cli("FLUSHALL")
        assert await one.renew([phone], 30) == [phone]
        assert await one.restore([phone], 30) == []
        assert (await one.leave(phone)).edge
        assert await other.renew([laptop], 30) == [laptop]
        bobs = Lease("room:a", UserId("bob"), laptop.session_id)
        (arrival,) = await other.restore([bobs, laptop], 30)
        assert (arrival.user_id, arrival.users) == ("ada", 2)


async def test_after_an_outage_longer_than_a_lease_nobody_has_left(redis: RedisServer):
    lease = 2.0
    async with hubs(redis.url, lease=lease, grace=0.5) as nodes:
        users = [f"user{number}" for number in range(6)]
        for number, user in enumerate(users):
            await nodes[number % 2].client(user)
        await all_heard(nodes)
        for node in nodes:
            node.heard.clear()
        redis.pause()
        await asyncio.sleep(2 * lease)  # for so long the fault lasts
        redis.resume()
        await eventually(lambda: not any(node.hub.problem for node in nodes), within=DEADLINE)
        await eventually(lambda: not any(node.attendance._is_behind for node in nodes), within=DEADLINE)
        await asyncio.sleep(2 * lease)  # in which whoever was not renewed would be told to have left
        await all_heard(nodes)
        assert [node.count() for node in nodes] == [Counter(), Counter()]
        assert await nodes[0].users() == {*users, "zoe0", "zoe1"}


async def test_a_replica_that_lagged_takes_over(tmp_path: Path):
    async with sentinel(tmp_path) as run, hubs(run.url, lease=6.0, grace=1.0) as nodes:
        one, other = nodes
        await one.client("ada")
        await all_heard(nodes)
        await run.fall_behind()
        bob = await one.client("bob")
        await other.client("eve")
        await run.failover()
        everybody = {"ada", "bob", "eve", "zoe0", "zoe1"}

        async def is_whole() -> bool:
            try:
                return await one.users() == await other.users() == everybody
            except Exception:
                return False

        await eventually(is_whole, within=30, every=0.1)
        await eventually(lambda: not one.hub.problem and not other.hub.problem, within=DEADLINE)
        await one.leave(bob)
        await until_heard(other, ("left", "bob"))
        await all_heard(nodes)
        for node in nodes:
            left = {each: times for each, times in node.count().items() if each[0] == "left"}
            assert left == {("left", "bob"): 1}


async def test_who_of_five_hundred_is_online(redis: RedisServer):
    async with hubs(redis.url) as nodes:
        there = [f"user{number}" for number in range(0, 500, 25)]
        for number, user in enumerate(there):
            await nodes[number % 2].client(user)
        asked = [f"user{number}" for number in range(500)]
        await redis.cli("CONFIG", "RESETSTAT")
        assert await nodes[0].hub.online(asked) == set(there)
        stats = await redis.facts("INFO", "commandstats")
        assert stats["cmdstat_zmscore"].startswith("calls=1,")


async def test_names_may_have_anything_in_them(tmp_path: Path):
    async with redis_server(tmp_path) as server, RedisPresence(server.url) as store:
        names = ["a\x00b", "a", "\ud800", "{x}", "a\x00", ""]
        for name in names:
            lease = Lease("room:}{", UserId(name), SessionId("s"))
            assert (await store.enter(lease, 30)).edge
        roster = await store.roster("room:}{")
        assert list(roster.users) == sorted(names)
        assert await store.present("room:}{", roster.users) == set(names)
        await age(31, server)
        changes = await store.expire()
        assert sorted(change.user_id for change in changes) == sorted(names)


async def test_two_servers_list_the_members_of_both_and_lose_those_of_a_killed_one(
    redis: RedisServer, tmp_path: Path
):
    settings = {"REDIS_URL": redis.url, "PRESENCE_LEASE": "2s", "PRESENCE_GRACE": "500ms"}
    with (
        hubbub_serve(tmp_path / "left", **settings) as left,
        hubbub_serve(tmp_path / "right", **settings) as right,
    ):
        ticket = await left.request("POST", "/api/v1/ws-ticket", headers=bearer("ada"))
        async with (
            connected(left, "eve") as eve,
            connected(right, "bob") as bob,
            connected(right, None, f"/ws?ticket={ticket.json()['ticket']}") as ada,
        ):
            for member in (eve, bob):
                await member.join("a")
            joined = await ada.join("a")
            assert (joined["members"], joined["active_users"]) == (["ada", "bob", "eve"], 3)
            right.process.kill()
            left_for = {(await eve.expect("user_left"))["user_id"] for _ in range(2)}
            assert left_for == {"ada", "bob"}
            await eve.send({"type": "presence", "channel": "room:a", "ref": 1})
            assert (await eve.expect("ack"))["members"] == ["eve"]

"""`hubbub bench` against a real server: its figures agree with each other, and what goes wrong is said in words."""

import json
import signal

import pytest
from server_process import hubbub, operated

MEMBERS = 12


async def bench(folder, *arguments: str, **settings: str) -> dict:
    code, output, errors = await hubbub(folder, "bench", *arguments, "--json", **settings)
    assert (code, errors) == (0, "")
    return json.loads(output)


async def test_deliveries_are_members_times_publications(tmp_path):
    async with operated(tmp_path, MESSAGE_RATE="0") as server:
        # Neither address nor key is given: both are found in the folder of the server that runs there.
        report = await bench(tmp_path, "--members", str(MEMBERS), "--seconds", "0.5")
        assert report["connections"] == MEMBERS
        assert report["publications"] > 0
        assert report["deliveries"] == MEMBERS * report["publications"]
        assert (report["missing"], report["refused"]) == (0, 0)
        latency = report["latency_ms"]
        order = [latency[name] for name in ("p50", "p90", "p99", "p99.9", "max")]
        assert order == sorted(order)
        assert report["deliveries_per_server_cpu_second"] > 0
        assert report["handshakes_per_server_cpu_second"] > 0
        assert await server.stop() == 0


async def test_several_rooms_at_a_rate(tmp_path):
    async with operated(tmp_path) as server:
        arguments = ("--rooms", "3", "--members", "4", "--rate", "40", "--seconds", "0.5", "--size", "500")
        report = await bench(tmp_path, server.url, *arguments)
        assert report["connections"] == 12
        assert report["publications"] == 20
        assert report["deliveries"] == 4 * report["publications"]
        assert report["latency_ms"]["samples"] == report["deliveries"]


async def test_limits_that_hold_the_load_back_are_named(tmp_path):
    async with operated(tmp_path, MESSAGE_RATE="5") as server:
        report = await bench(tmp_path, server.url, "--members", "2", "--seconds", "0.5")
        assert report["refused"] > 0
        assert report["deliveries"] == 2 * report["publications"]
        assert any("HUBBUB_MESSAGE_RATE" in note and "--members" in note for note in report["notes"])


@pytest.mark.parametrize("arguments", [("--rate", "1e9"), ("--in-flight", "1000000")])
async def test_a_flood_is_told_why_it_was_closed(tmp_path, arguments):
    async with operated(tmp_path) as server:
        code, output, errors = await hubbub(
            tmp_path, "bench", server.url, "--members", "2", "--seconds", "1", *arguments
        )
        assert (code, output) == (1, "")
        assert errors.startswith("hubbub: ")
        assert "HUBBUB_MESSAGE_RATE" in errors
        assert "Traceback" not in errors


async def test_a_message_that_is_too_big_is_told(tmp_path):
    async with operated(tmp_path) as server:
        code, output, errors = await hubbub(
            tmp_path, "bench", server.url, "--members", "2", "--size", str(1 << 24)
        )
        assert (code, output) == (1, "")
        assert "HUBBUB_MAX_MESSAGE_BYTES" in errors


async def test_for_people(tmp_path):
    async with operated(tmp_path, MESSAGE_RATE="0") as server:
        code, output, errors = await hubbub(
            tmp_path, "bench", server.url, "--members", "3", "--seconds", "0.2"
        )
        assert (code, errors) == (0, "")
        words = ("deliveries a second of it", "p99.9", "handshakes", "the client is held to core")
        assert [word for word in words if word not in output] == []


@pytest.mark.parametrize(
    ("settings", "arguments", "says"),
    [
        ({"MAX_CONNECTIONS": "3"}, (), "HUBBUB_MAX_CONNECTIONS (0 means no limit)"),
        ({}, ("--secret", "0" * 64), "the token is not accepted"),
        ({}, ("--token", "nonsense"), "the token is not accepted"),
    ],
)
async def test_what_the_server_refuses_is_said_in_words(tmp_path, settings, arguments, says):
    async with operated(tmp_path, **settings) as server:
        code, output, errors = await hubbub(tmp_path, "bench", server.url, "--members", "6", *arguments)
        assert (code, output) == (1, "")
        assert says in errors
        assert "Traceback" not in errors


async def test_one_token_for_all_is_one_user(tmp_path):
    async with operated(tmp_path, MAX_CONNECTIONS_PER_USER="2") as server:
        _, output, _ = await hubbub(tmp_path, "token", "--user", "ada")
        token = output.splitlines()[0]
        code, _, errors = await hubbub(tmp_path, "bench", server.url, "--members", "4", "--token", token)
        assert code == 1
        assert "HUBBUB_MAX_CONNECTIONS_PER_USER" in errors


async def test_no_server_is_there(tmp_path):
    code, output, errors = await hubbub(tmp_path, "bench", "http://127.0.0.1:1")
    assert (code, output) == (1, "")
    assert errors.startswith("hubbub: Nobody can connect to 127.0.0.1:1")


async def test_the_server_outlives_a_load_that_is_stopped(tmp_path):
    async with operated(tmp_path) as server:
        code, _, _ = await hubbub(tmp_path, "bench", server.url, "--members", "2", "--seconds", "0.2")
        assert code == 0
        assert await server.stop(signal.SIGTERM) == 0
        assert "Traceback" not in server.log

"""Stopping `hubbub serve`: at once, with exit code 0, and its clients know why."""

import asyncio
import signal
import time

import pytest
from server_process import hubbub, operated
from websockets.asyncio.client import connect


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_closes_every_connection_with_1012_and_ends_with_0(tmp_path, number):
    async with operated(tmp_path) as server:
        _, output, _ = await hubbub(tmp_path, "token", "--user", "ada")
        headers = {"Authorization": f"Bearer {output.splitlines()[0]}"}
        connections = [
            await connect(f"ws://127.0.0.1:{server.port}/ws/general", additional_headers=headers, proxy=None)
            for _ in range(5)
        ]
        for connection in connections:
            assert '"welcome"' in await connection.recv()
        begun = time.monotonic()
        assert await server.stop(number) == 0
        assert time.monotonic() - begun < 15
        for connection in connections:
            await connection.wait_closed()
            assert connection.close_code == 1012
    assert "Traceback" not in server.log
    assert '"level": "error"' not in server.log


async def test_a_peer_that_never_reads_or_answers_holds_no_stop_up(tmp_path):
    async with operated(tmp_path, DRAIN_TIME="1s") as server:
        # A request that never ends: the server waits for it as long as it may, and no longer.
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /api/v1/sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        begun = time.monotonic()
        assert await server.stop() == 0
        assert time.monotonic() - begun < 5
        writer.close()


async def test_the_data_folder_is_free_again(tmp_path):
    for _ in range(2):
        async with operated(tmp_path) as server:
            assert await server.stop() == 0

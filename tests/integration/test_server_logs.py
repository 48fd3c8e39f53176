"""What `hubbub serve` writes on standard error: everything that happened, and no credential."""

import json

import httpx2
import pytest
from server_process import hubbub, operated
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_credential_is_written(tmp_path, form):
    async with operated(tmp_path, LOG_FORMAT=form, LOG_LEVEL="debug") as server:
        _, output, _ = await hubbub(tmp_path, "token", "--user", "ada")
        token = output.splitlines()[0]
        address = f"ws://127.0.0.1:{server.port}/ws"
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {token}"}
            ticket = (await client.post("/api/v1/ws-ticket", headers=headers)).json()["ticket"]
            answer = await client.post("/api/v1/sign-in", json={"code": server.code})
            session = answer.json()["access_token"]
            await client.get("/api/v1/me", params={"token": token, "code": server.code})
        for query in (f"?token={token}", f"?ticket={ticket}"):
            async with connect(address + query, proxy=None) as connection:
                assert '"welcome"' in await connection.recv()
        subprotocols = [Subprotocol("hubbub"), Subprotocol(f"hubbub.bearer.{token}")]
        async with connect(address, subprotocols=subprotocols, proxy=None) as connection:
            assert '"welcome"' in await connection.recv()
            assert connection.subprotocol == "hubbub"
        await server.stop()
    assert "/ws?token=***" in server.log
    assert "/ws?ticket=***" in server.log
    secret = (tmp_path / "hubbub-data" / "secret").read_text().strip()
    for credential in (token, ticket, server.code, session, secret):
        assert credential not in server.log


async def test_requests_are_written_with_fields_that_machines_search_by(tmp_path):
    async with operated(tmp_path) as server:
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
            await client.get("/nowhere")
        await server.stop()
    lines = [json.loads(line) for line in server.log.splitlines()]
    [request] = [line for line in lines if line["logger"] == "uvicorn.access"]
    assert (request["method"], request["path"], request["status"]) == ("GET", "/nowhere", 404)


async def test_standard_output_is_for_the_operator_alone(tmp_path):
    async with operated(tmp_path) as server:
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
            await client.get("/healthz")
        await server.stop()
        assert await server.child.stdout.read() == b""

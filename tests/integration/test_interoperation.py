"""Other people's WebSocket clients, with compression and without: what they say arrives, and what is on the wire."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from members import Member, connected, fresh
from playwright.async_api import async_playwright
from serving import Serving, hubbub_serve, token
from tap import Conversation, tapped
from websockets.asyncio.client import connect
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Ping, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

NODE = Path(__file__).parent / "node"
DEADLINE = 60.0

CONTENTS = [
    "hi",
    "",
    'häppchen 語 🦜 \u2028 \\ "',
    "the same words again and again, " * 10,
    "語🦜" * 3_000,
    "x" * 60 * 1024,
    "".join(chr(0x4E00 + number) for number in range(10_000)),  # 30 KB, and 60 KB where JSON escapes it
    *[f"one of many, {number} " + "." * (number * 3) for number in range(200)],
]
"""What each of two says: small and large, as text and as bytes, and many at once."""

Task = dict[str, Any]
Peer = Callable[[Task], Awaitable[dict[str, Any]]]
"""Does what `node/scenario.mjs` describes: says `contents` and returns all that it `heard`, and what was agreed on."""


@pytest.fixture(scope="module", params=[True, False], ids=["compression is on", "compression is off"])
def server(request, tmp_path_factory) -> Iterator[tuple[Serving, bool]]:
    """A server without a rate limit."""
    settings = {} if request.param else {"COMPRESSION": "false"}
    with hubbub_serve(tmp_path_factory.mktemp("interoperation"), MESSAGE_RATE="0", **settings) as serving:
        yield serving, request.param
        assert serving.complaints() == []


async def websockets(task: Task) -> dict[str, Any]:
    compression = "deflate" if task["compression"] else None
    protocols = ["hubbub", f"hubbub.bearer.{task['token']}"]
    async with connect(
        task["url"], subprotocols=protocols, compression=compression, proxy=None, max_queue=None
    ) as connection:
        member = Member(connection, None)
        await member.expect("joined")
        for content in task["contents"]:
            await member.send({"type": "message", "content": content})
        heard = []
        while len(heard) < task["count"]:
            message = await member.expect("message")
            heard.append({"user": message["user_id"], "content": message["content"]})
        extensions = connection.response.headers.get("Sec-WebSocket-Extensions", "")
        return {"extensions": extensions, "heard": heard}


class WsprotoPeer:
    """A client made of wsproto."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self.heard: list[dict[str, str]] = []
        self.agreed = ""
        self._text = ""

    def begin(self) -> bytes:
        address, _, path = self.task["url"].removeprefix("ws://").partition("/")
        protocols = ["hubbub", f"hubbub.bearer.{self.task['token']}"]
        extensions = [PerMessageDeflate()] if self.task["compression"] else []
        return self.protocol.send(Request(address, f"/{path}", extensions, subprotocols=protocols))

    def receive(self, data: bytes) -> bytes:
        """Take what came; return what is to be sent."""
        self.protocol.receive_data(data)
        return b"".join(self._answer(event) for event in self.protocol.events())

    def _answer(self, event: Any) -> bytes:
        match event:
            case AcceptConnection():
                self.agreed = ", ".join(extension.name for extension in event.extensions)
            case TextMessage():
                self._text += event.data
                if event.message_finished:
                    message, self._text = json.loads(self._text), ""
                    return self._take(message)
            case Ping():
                return self.protocol.send(event.response())
            case _:
                pytest.fail(f"there came {event}")
        return b""

    def _take(self, message: dict[str, Any]) -> bytes:
        if message["type"] == "message":
            self.heard.append({"user": message["user_id"], "content": message["content"]})
        elif message["type"] == "joined":
            said = [json.dumps({"type": "message", "content": content}) for content in self.task["contents"]]
            return b"".join(self.protocol.send(TextMessage(each)) for each in said)
        return b""


async def wsproto(task: Task) -> dict[str, Any]:
    peer = WsprotoPeer(task)
    address = task["url"].removeprefix("ws://").partition("/")[0]
    reader, writer = await asyncio.open_connection(*address.split(":"))
    try:
        writer.write(peer.begin())
        while len(peer.heard) < task["count"]:
            writer.write(peer.receive(await reader.read(65536)))
    finally:
        writer.close()
    return {"extensions": peer.agreed, "heard": peer.heard}


async def node(task: Task) -> dict[str, Any]:
    if shutil.which("node") is None or not (NODE / "node_modules" / "ws").is_dir():
        pytest.fail("The tests with Node's WebSocket client need it: run scripts/install-node-peers.")
    child = await asyncio.create_subprocess_exec(
        "node", NODE / "peer.mjs", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        output, errors = await child.communicate(json.dumps(task).encode())
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0, errors.decode()
    result: dict[str, Any] = json.loads(output)
    assert result["closed"] == 1000
    return result


async def chromium(task: Task) -> dict[str, Any]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("The browser tests need Chromium: run scripts/install-chromium.")
    scenario = (NODE / "scenario.mjs").read_text().replace("export function", "function")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        try:
            page = await browser.new_page()
            await page.goto(task["url"].replace("ws://", "http://").partition("/ws/")[0] + "/healthz")
            result: dict[str, Any] = await page.evaluate(
                f"""({{ url, token, ...task }}) => {{
                    {scenario}
                    return converse(new WebSocket(url, ["hubbub", `hubbub.bearer.${{token}}`]), task);
                }}""",
                task,
            )
        finally:
            await browser.close()
    return result


@pytest.mark.parametrize(
    ("peer", "offers"),
    [
        *((peer, True) for peer in (websockets, wsproto, node, chromium)),
        *((peer, False) for peer in (websockets, wsproto, node)),  # a browser cannot be told not to
    ],
)
async def test_both_hear_everything_that_either_says(server, peer: Peer, offers):
    serving, is_on = server
    room, here, there = fresh("room"), fresh("here"), fresh("there")
    compressed = is_on and offers
    async with (
        asyncio.timeout(DEADLINE),
        tapped(serving.port) as tap,
        connected(serving, here, f"/ws/{room}") as member,
    ):
        await member.expect("joined")
        task = {
            "url": f"ws://127.0.0.1:{tap.port}/ws/{room}",
            "token": token(there),
            "contents": CONTENTS,
            "count": 2 * len(CONTENTS),
            "compression": offers,
        }
        result, heard = await asyncio.gather(peer(task), talk(member, room, there))
        for who in (here, there):
            assert [content for user, content in heard if user == who] == CONTENTS
        assert [(each["user"], each["content"]) for each in result["heard"]] == heard
        assert ("permessage-deflate" in result["extensions"]) == compressed
        check_wire(tap.websocket, is_compressed=compressed)
    assert (await serving.get("/readyz")).json()["outlet"] == "direct"


async def talk(member: Member, room: str, peer: str) -> list[tuple[str, str]]:
    """Say everything when the peer is there; return what is heard of both."""
    heard: list[tuple[str, str]] = []
    await member.expect("user_joined", DEADLINE, user_id=peer)
    await member.send({"type": "typing", "room_id": room})  # which is small
    for content in CONTENTS:
        await member.say(room, content)
    while len(heard) < 2 * len(CONTENTS):
        message = await member.expect("message")
        heard.append((message["user_id"], message["content"]))
    return heard


def check_wire(conversation: Conversation, *, is_compressed: bool) -> None:
    """Fail unless large messages were compressed in both directions and small ones from the server were not; or none."""
    agreed = b"sec-websocket-extensions" in conversation.from_server.partition(b"\r\n\r\n")[0].lower()
    assert agreed == is_compressed
    sent, received = conversation.texts_from_server, conversation.texts_from_client
    assert all(each.masked for each in received)
    assert not any(each.masked for each in sent)
    if not is_compressed:
        assert not any(each.compressed for each in sent + received)
        return
    assert any(each.compressed for each in received)
    assert any(each.compressed for each in sent)
    assert any(not each.compressed for each in sent)
    assert max(each.length for each in sent if not each.compressed) < 128

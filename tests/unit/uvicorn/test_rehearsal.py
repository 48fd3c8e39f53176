"""The rehearsal: it passes with the uvicorn that is installed, and notices each way in which one could differ."""

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hubbub.uvicorn import BoundedHTTP, DirectWebSocket
from hubbub.uvicorn.opening import Opening
from hubbub.uvicorn.rehearsal import Stage, rehearse


async def test_it_passes():
    assert await rehearse() is None


async def test_nothing_is_left_of_it():
    await rehearse()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def keeps_the_socket(protocol: Any) -> None:
    """Upgrade to nothing."""


def puts_its_own_back(protocol: Any) -> None:
    """Upgrade, and read on."""
    upgrade(protocol)
    asyncio.get_running_loop().call_soon(protocol.transport.set_protocol, protocol)


def closes(protocol: Any) -> None:
    """Upgrade, and close."""
    upgrade(protocol)
    asyncio.get_running_loop().call_soon(protocol.transport.close)


def fails(protocol: Any) -> None:
    """Have no such thing any more."""
    raise AttributeError("no ws_protocol_class")


upgrade = HttpToolsProtocol.handle_websocket_upgrade


@pytest.mark.parametrize(
    ("way", "problem"),
    [
        (keeps_the_socket, "uvicorn kept the socket"),
        (puts_its_own_back, "uvicorn kept the socket"),
        (closes, "uvicorn closed the socket that it had given away"),
        (fails, "AttributeError: no ws_protocol_class"),
    ],
)
async def test_a_uvicorn_that_upgrades_in_another_way(monkeypatch, way, problem):
    monkeypatch.setattr(BoundedHTTP, "handle_websocket_upgrade", way)
    found = await rehearse()
    assert found is not None
    assert problem in found


async def test_an_answer_that_is_none(monkeypatch):
    monkeypatch.setattr(Opening, "answer", lambda *_: b"HTTP/1.1 200 OK\r\n\r\n")
    assert await rehearse() == "the handshake was not answered as it should be"


async def test_a_head_that_is_handed_on_in_another_form(monkeypatch, caplog):
    """Then uvicorn's protocol reads it, and the application gets no offer; nobody need complain of that."""
    data_received = DirectWebSocket.data_received
    monkeypatch.setattr(
        DirectWebSocket, "data_received", lambda self, data: data_received(self, data.replace(b": ", b":"))
    )
    with caplog.at_level(logging.WARNING):
        assert await rehearse() == "uvicorn kept the socket"
    assert caplog.records == []


def test_its_transport_leads_nowhere():
    stage = Stage()
    stage.write(b"a")
    stage.write(b"b")
    assert (stage.written, stage.is_closing(), stage.get_protocol()) == (b"ab", False, None)
    stage.close()
    assert stage.is_closing()

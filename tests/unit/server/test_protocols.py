"""Which protocols `hubbub serve` gives uvicorn, and what it says about it."""

import logging

import pytest

from hubbub.server import protocols
from hubbub.server.protocols import choose_protocols
from hubbub.uvicorn import BoundedHTTP, DirectWebSocket, KeepaliveWebSocket


def test_the_direct_outlet_works_with_the_uvicorn_that_is_installed(caplog: pytest.LogCaptureFixture):
    """A release of uvicorn that closes this way is not to pass unnoticed."""
    with caplog.at_level(logging.INFO):
        chosen = choose_protocols()
    assert (chosen.outlet, chosen.http, chosen.websocket) == ("direct", BoundedHTTP, DirectWebSocket)
    assert "Outlet: direct" in caplog.text


def test_a_uvicorn_that_keeps_its_sockets_is_worked_with_and_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(BoundedHTTP, "handle_websocket_upgrade", lambda self: None)
    chosen = choose_protocols()
    assert (chosen.outlet, chosen.http, chosen.websocket) == ("queued", BoundedHTTP, KeepaliveWebSocket)
    assert "Outlet: queued" in caplog.text
    assert "uvicorn kept the socket" in caplog.text


def test_a_uvicorn_whose_modules_were_moved(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocols, "MISSING", "No module named 'uvicorn.protocols'")
    chosen = choose_protocols()
    assert (chosen.outlet, chosen.http, chosen.websocket) == ("queued", "auto", "auto")
    assert "No module named" in caplog.text

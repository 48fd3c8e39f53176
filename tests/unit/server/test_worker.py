"""How one process serves: what uvicorn is told, and what a worker says and hears on its line."""

import gc
import signal
import socket
import sys
from typing import Self

import pytest

from hubbub import Hub
from hubbub.server import worker
from hubbub.server.app import create_app
from hubbub.server.listening import listen
from hubbub.server.protocols import Protocols
from hubbub.server.settings import Settings
from hubbub.server.signing_keys import SigningKeys
from hubbub.server.worker import (
    COLLECTOR,
    READY,
    WHOLE_MESSAGE,
    configuration,
    main,
    make_server,
    spare_the_collector,
)
from hubbub.uvicorn import BoundedHTTP, DirectWebSocket

from .conftest import SECRET

pytestmark = pytest.mark.usefixtures("server_folder")

PROTOCOLS = Protocols("direct", BoundedHTTP, DirectWebSocket)


def test_uvicorn_is_told_what_the_settings_say():
    app = create_app(Settings(secret_key=SECRET))
    settings = Settings(max_message_bytes=1000, heartbeat_interval=7.0, drain_time=1.5)
    config = configuration(app, settings, PROTOCOLS)
    assert (config.ws_max_size, config.ws_ping_interval, config.ws_ping_timeout) == (1000, 7, 7)
    assert config.timeout_graceful_shutdown == 2
    assert config.ws_per_message_deflate is True
    config.load()
    assert (config.http_protocol_class, config.ws_protocol_class) == (BoundedHTTP, DirectWebSocket)
    other = configuration(app, Settings(max_message_bytes=0, compression=False), PROTOCOLS)
    assert other.ws_max_size == WHOLE_MESSAGE
    assert other.ws_per_message_deflate is False


def test_the_garbage_collector_looks_less_often():
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        spare_the_collector()
        assert gc.get_threshold() == COLLECTOR
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_a_server_drains_its_own_hub_for_as_long_as_the_settings_say():
    server = make_server(Settings(drain_time=7.0), SigningKeys(SECRET), lambda: None)
    assert server.hub is server.config.app.state.hub
    assert server.hub._timing.drain == 7
    assert server.config.app.state.outlet == "direct"


class Line:
    """A worker's process that is started in this one, and the supervisor's end of its line."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.listener = listen("127.0.0.1", 0, Settings())
        self.ours, self.theirs = socket.socketpair()
        numbers = (self.listener.fileno(), self.theirs.fileno(), 3)
        monkeypatch.setattr(sys, "argv", ["worker", *map(str, numbers)])
        monkeypatch.setattr(worker, "configure_logs", lambda settings: None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ours.close()
        for each in (self.listener, self.theirs):
            each.detach()  # `main` made sockets of their numbers, and closed them


def test_a_worker_says_that_it_is_ready_and_ends_when_its_supervisor_is_gone(monkeypatch, caplog):
    said: list[bytes] = []
    with Line(monkeypatch) as line:
        startup = worker.Server.startup

        async def then_the_supervisor_ends(self: worker.Server, sockets: list[socket.socket] | None) -> None:
            await startup(self, sockets)
            said.append(line.ours.recv(100))
            line.ours.close()

        monkeypatch.setattr(worker.Server, "startup", then_the_supervisor_ends)
        monkeypatch.setattr(worker, "spare_the_collector", lambda: None)  # for the tests that follow
        before = signal.getsignal(signal.SIGTERM)
        main()
        assert signal.getsignal(signal.SIGTERM) is before
    assert said == [READY]
    assert "The supervisor of this worker is gone" in caplog.text


def test_a_worker_that_cannot_start_says_why(monkeypatch, capsys):
    with Line(monkeypatch) as line:
        monkeypatch.setenv("HUBBUB_DRAIN_TIME", "soon")
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith("hubbub: HUBBUB_DRAIN_TIME=soon: ")
        assert line.ours.recv(100) == b""


def test_a_worker_is_not_ready_before_its_broker_is(monkeypatch):
    problems = ["it is deaf", "it is deaf", None]
    seen: list[str | None] = []
    with Line(monkeypatch) as line:

        def problem(_: Hub) -> str | None:
            line.ours.setblocking(False)
            with pytest.raises(BlockingIOError):
                line.ours.recv(100)
            seen.append(problems.pop(0))
            if not problems:
                line.ours.setblocking(True)
                line.ours.shutdown(socket.SHUT_WR)
            return seen[-1]

        monkeypatch.setattr(Hub, "problem", property(problem))
        monkeypatch.setattr(worker, "spare_the_collector", lambda: None)
        main()
        assert line.ours.recv(100) == READY
    assert seen == ["it is deaf", "it is deaf", None]

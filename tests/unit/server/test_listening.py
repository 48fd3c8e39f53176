import errno
import logging
import resource
import socket

import pytest

from hubbub import ConfigurationError
from hubbub.server.listening import listen, raise_file_limit
from hubbub.server.settings import Settings

SETTINGS = Settings(heartbeat_interval=10.0)


def test_a_free_port_is_found_and_listened_on():
    with listen("127.0.0.1", 0, SETTINGS) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert listener.getsockname()[1] > 0


def test_accepted_sockets_inherit_the_bound_on_silence():
    with listen("127.0.0.1", 0, SETTINGS) as listener:
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000


def test_a_peer_that_takes_nothing_is_given_up_by_the_kernel():
    with listen("127.0.0.1", 0, Settings(heartbeat_interval=0.1)) as listener:
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(30)
                with pytest.raises(OSError) as given_up:  # noqa: PT011 (told by its number)
                    accepted.sendall(bytes(2**28))
    assert given_up.value.errno == errno.ETIMEDOUT


def test_a_port_that_is_taken_is_named_with_what_to_do():
    with listen("127.0.0.1", 0, SETTINGS) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigurationError) as caught:
            listen("127.0.0.1", port, SETTINGS)
    assert str(caught.value) == (
        f"Port {port} on 127.0.0.1 is taken by another program: choose one with `hubbub serve --port {port + 1}`."
    )


def test_a_port_can_be_taken_again_at_once():
    with listen("127.0.0.1", 0, SETTINGS) as first:
        address = first.getsockname()
        first.setblocking(True)
        client = socket.create_connection(address)
        accepted, _ = first.accept()
        accepted.close()  # the server closes first, so the port is in TIME_WAIT
        assert client.recv(1) == b""
        client.close()
    listen(*address, SETTINGS).close()


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("192.0.2.1", "The host 192.0.2.1 is no address of this machine: use --host 127.0.0.1"),
        ("no such host", "The host 'no such host' cannot be found"),
        ("x" * 300, "cannot be found"),
    ],
)
def test_a_host_that_is_not_ours_is_an_error(host, said):
    with pytest.raises(ConfigurationError, match=said):
        listen(host, 0, SETTINGS)


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.EACCES, "needs more rights"), (errno.ENOBUFS, "Cannot listen on 127.0.0.1, port 80: ")],
)
def test_other_failures_are_told(monkeypatch, number, said):
    def bind(self: socket.socket, address: object) -> None:
        raise OSError(number, "so it is")

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(ConfigurationError, match=said):
        listen("127.0.0.1", 80, SETTINGS)


@pytest.fixture
def files(monkeypatch):
    """The limits of the process, as the test sets them: soft and hard."""
    limits = [256, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.__setitem__(slice(None), list(new)))
    return limits


@pytest.mark.parametrize(("connections", "soft"), [(100, 256), (1000, 4096), (0, 4096)])
def test_the_soft_limit_is_raised_where_it_is_needed(files, caplog, connections, soft):
    raise_file_limit(connections)
    assert files == [soft, 4096]
    assert caplog.messages == []


def test_where_the_hard_limit_is_too_low_somebody_is_told(files, caplog):
    with caplog.at_level(logging.WARNING):
        raise_file_limit(10_000)
    assert files == [4096, 4096]
    assert caplog.messages[0].startswith(
        "The system lets this process open 4096 files, and MAX_CONNECTIONS=10000"
    )

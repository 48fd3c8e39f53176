"""What is overridden of uvicorn's protocol is there to be overridden; what it does is shown over real sockets.

See `tests/integration/test_lost_connections.py` and `test_slow_receivers.py`.
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from hubbub.uvicorn import KeepaliveWebSocket


def test_every_override_replaces_something_of_uvicorns():
    own = {name for name, value in vars(KeepaliveWebSocket).items() if callable(value)}
    assert own == {"start_keepalive", "data_received", "keepalive_timeout", "handle_ping", "shutdown"}
    assert own <= set(vars(WebSocketsSansIOProtocol))

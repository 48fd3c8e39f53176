"""`hubbub`, on a uvicorn that hands requests on in another way, as some later release may: ``name:value``."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hubbub.server.cli import main


def handle_websocket_upgrade(self: HttpToolsProtocol) -> None:
    self.connections.discard(self)
    lines = [b"%s %s HTTP/1.1" % (self.scope["method"].encode(), self.url)]
    lines += [b"%s:%s" % header for header in self.scope["headers"]]
    assert self.ws_protocol_class is not None
    protocol = self.ws_protocol_class(
        config=self.config, server_state=self.server_state, app_state=self.app_state
    )
    protocol.connection_made(self.transport)
    protocol.data_received(b"\r\n".join([*lines, b"", b""]))
    self.transport.set_protocol(protocol)


if __name__ == "__main__":
    HttpToolsProtocol.handle_websocket_upgrade = handle_websocket_upgrade
    main()

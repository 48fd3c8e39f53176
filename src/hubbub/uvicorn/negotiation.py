"""What is agreed about compression in the handshake (RFC 7692 section 7.1), with the library that uvicorn does it with."""

from collections.abc import Iterable

from websockets.exceptions import NegotiationError
from websockets.extensions.base import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension
from websockets.typing import ExtensionHeader

SERVER_WINDOW_BITS = 12
"""How far back a client has to look, as a power of two: 4 KiB. Nearly every client agrees to what is asked for, so
that one compressed frame serves them all; one that offers less gets its own."""


def deflate_factory(window_bits: int = SERVER_WINDOW_BITS) -> ServerPerMessageDeflateFactory:
    """Make the extension to give to a `ServerProtocol`.

    Neither side keeps a context from message to message. Nothing is asked of the client's window: without a context
    it costs the server memory only while a message is being inflated.

    Args:
        window_bits: the largest window to agree to, 9 to 15.
    """
    return ServerPerMessageDeflateFactory(
        server_no_context_takeover=True,
        client_no_context_takeover=True,
        server_max_window_bits=window_bits,
        client_max_window_bits=None,
    )


def agreed_window_bits(extensions: Iterable[Extension]) -> int | None:
    """Read the server's window from the extensions of a `ServerProtocol` that has accepted a handshake.

    Returns:
        9 to 15, the argument of a `Compressor`; None when messages are not to be compressed, in either direction.
    """
    for extension in extensions:
        if isinstance(extension, PerMessageDeflate):
            return extension.local_max_window_bits
    return None


EXTENSIONS = (deflate_factory(),)
"""What is agreed to where nothing else is configured."""


def parse_offers(header: str) -> list[ExtensionHeader]:
    """Read what a client offers in a `Sec-WebSocket-Extensions` header, in its order of preference.

    Raises:
        InvalidHandshake: it cannot be read.
    """
    return parse_extension(header)


def negotiate(offers: Iterable[ExtensionHeader]) -> tuple[str | None, int | None]:
    """Answer the offers of a client.

    Returns:
        The value of the answer's header, and the server's window; `None` twice where nothing is agreed on.
    """
    for name, parameters in offers:
        for factory in EXTENSIONS:
            if factory.name != name:
                continue
            try:
                answer, extension = factory.process_request_params(parameters, [])
            except NegotiationError:
                continue
            return build_extension([(name, answer)]), agreed_window_bits([extension])
    return None, None

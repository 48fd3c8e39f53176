"""Three readers of the same stream: ours, websockets' and wsproto's, with one way to say what they read."""

import codecs
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import wsproto.frame_protocol
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close as TheirClose
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side
from wsproto.extensions import PerMessageDeflate as Deflate

from hubbub.websocket.messages import Close, Message, Ping, Pong, ProtocolViolation
from hubbub.websocket.reader import FrameReader

silent = logging.getLogger("oracle")
silent.disabled = True


@dataclass
class Outcome:
    """What was read, and the close code of the violation that ended it."""

    messages: list[Message] = field(default_factory=list)
    violation: int | None = None
    reason: str = field(default="", compare=False)


def ours(pieces: Iterable[bytes], max_bytes: int = 0, *, inflate: bool = False) -> Outcome:
    """Read with the package."""
    outcome = Outcome()
    reader = FrameReader(max_bytes, inflate=inflate)
    try:
        for piece in pieces:
            reader.feed(piece)
            while (message := reader.read()) is not None:
                outcome.messages.append(message)
    except ProtocolViolation as violation:
        outcome.violation, outcome.reason = int(violation.code), violation.reason
    return outcome


class Assembler:
    """Puts fragments together, which websockets leaves to those above it; the text's encoding as well."""

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.decoder: codecs.IncrementalDecoder | None = None

    def take(self, opening: bool, text: bool, payload: bytes, fin: bool) -> str | bytes | None:
        if opening:
            self.parts = []
            self.decoder = codecs.getincrementaldecoder("utf-8")() if text else None
        self.parts.append(payload if self.decoder is None else self.decoder.decode(payload, fin))
        if not fin:
            return None
        return b"".join(self.parts) if self.decoder is None else "".join(self.parts)


def by_websockets(
    pieces: Iterable[bytes], max_bytes: int = 0, *, inflate: bool = False, client: bool = False
) -> Outcome:
    """Read with websockets, as a server unless it is said otherwise."""
    protocol = Protocol(
        Side.CLIENT if client else Side.SERVER, state=OPEN, max_size=max_bytes or None, logger=silent
    )
    if inflate:
        protocol.extensions = [PerMessageDeflate(True, True, 15, 15)]
    outcome = Outcome()
    assembler = Assembler()
    for piece in pieces:
        protocol.receive_data(piece)
        for event in protocol.events_received():
            assert isinstance(event, Frame)
            try:
                outcome.messages += _message(event, assembler)
            except UnicodeDecodeError:
                outcome.violation = 1007
                return outcome
        if protocol.parser_exc is not None:
            assert protocol.close_sent is not None
            outcome.violation = int(protocol.close_sent.code)
            outcome.reason = str(protocol.parser_exc)
            return outcome
    return outcome


def _message(event: Frame, assembler: Assembler) -> list[Message]:
    payload = bytes(event.data)
    if event.opcode is Opcode.PING:
        return [Ping(payload)]
    if event.opcode is Opcode.PONG:
        return [Pong(payload)]
    if event.opcode is Opcode.CLOSE:
        close = TheirClose.parse(payload)
        return [Close(int(close.code) if payload else None, close.reason)]
    message = assembler.take(event.opcode is not Opcode.CONT, event.opcode is Opcode.TEXT, payload, event.fin)
    return [] if message is None else [message]


def by_wsproto(pieces: Iterable[bytes], *, inflate: bool = False, client: bool = False) -> Outcome:
    """Read with wsproto, which has no limits."""
    deflate = Deflate(client_no_context_takeover=True, server_no_context_takeover=True)
    if inflate:
        deflate.finalize("permessage-deflate")
    protocol = wsproto.frame_protocol.FrameProtocol(client=client, extensions=[deflate])
    outcome = Outcome()
    parts: list[Any] = []
    their = wsproto.frame_protocol.Opcode
    try:
        for piece in pieces:
            protocol.receive_bytes(piece)
            for event in protocol.received_frames():
                if event.opcode in {their.PING, their.PONG}:
                    kind = Ping if event.opcode is their.PING else Pong
                    outcome.messages.append(kind(bytes(event.payload)))
                elif event.opcode is their.CLOSE:
                    code, reason = event.payload
                    outcome.messages.append(Close(None if code == 1005 else int(code), reason))
                else:
                    parts.append(event.payload)
                    if event.message_finished:
                        outcome.messages.append(parts[0][:0].join(parts))
                        parts = []
    except wsproto.frame_protocol.ParseFailed as failed:
        outcome.violation, outcome.reason = int(failed.code), str(failed)
    return outcome

"""A traveller that speaks Hubbub's plain dialect, and comes back with the positions it has seen."""

import asyncio
from functools import lru_cache
from typing import Any

import msgspec
from radio import Radio, handshake
from serving import token
from traveller import Traveller

MESSAGE = b'{"type":"message"'
COMES_AND_GOES = b'{"type":"user_'
AGAIN = 0.2
"""Seconds before a room is asked for again that could not be entered."""


class Said(msgspec.Struct, frozen=True, gc=False):
    """What is read of a message."""

    room_id: str
    content: str
    offset: int
    id: str


class Joined(msgspec.Struct):
    """What is read of `joined`."""

    room_id: str
    epoch: str
    offset: int
    messages: msgspec.Raw
    recovered: bool | None = None
    id: str | None = None


class Other(msgspec.Struct):
    """What is read of anything else."""

    type: str
    channel: str | None = None
    code: str | int | None = None
    message: str | None = None
    ref: str | None = None


joined = msgspec.json.Decoder(Joined).decode
other = msgspec.json.Decoder(Other).decode
said = lru_cache(4096)(msgspec.json.Decoder(Said).decode)
"""All who are in a room get the same bytes."""


_all_said = msgspec.json.Decoder(list[Said]).decode


@lru_cache(1024)
def missed(messages: bytes) -> tuple[list[int], list[int]]:
    """Read the numbers and offsets of what was missed; many have missed the same."""
    read = _all_said(messages)
    return [number(each) for each in read], [each.offset for each in read]


def number(message: Said) -> int:
    """Return what its content begins with."""
    return int(message.content.partition(" ")[0])


class Place(msgspec.Struct, omit_defaults=True):
    """Where a traveller stands in a room."""

    epoch: str
    offset: int
    id: str | None = None


class PlainTraveller(Traveller):
    """One client of Hubbub.

    Args:
        forgetful: whether it comes back without positions.
    """

    def __init__(self, *arguments: Any, forgetful: bool = False) -> None:
        super().__init__(*arguments)
        self._forgetful = forgetful
        self._places: dict[str, Place] = {}
        self._token = token(self.name)

    def request(self, port: int) -> bytes:
        """Make the handshake."""
        return handshake(
            port, "/ws", "Sec-WebSocket-Protocol: hubbub", f"Authorization: Bearer {self._token}"
        )

    def opened(self, radio: Radio) -> None:
        """Wait to be welcomed."""

    def heard(self, radio: Radio, text: bytes) -> None:
        """Understand a message."""
        if text.startswith(MESSAGE):
            self._take(said(text))
        elif not text.startswith(COMES_AND_GOES):
            self._understand(radio, text)

    def _understand(self, radio: Radio, text: bytes) -> None:
        message = other(text)
        match message.type:
            case "welcome":
                for room in self.logs:
                    self._join(radio, room)
            case "joined":
                self._joined(joined(text))
            case "ping":
                radio.say(b'{"type":"pong"}')
            case "reset" | "gap" if message.channel is not None and message.channel.startswith("room:"):
                self.wrong.append(text.decode())
            case "unsubscribed" | "error":
                self.counts[f"{message.type} {message.code}"] += 1
                channel = message.channel or f"room:{message.ref}"
                self._again(radio, channel.removeprefix("room:"))

    def _again(self, radio: Radio, room: str) -> None:
        if room in self.logs and radio is self.radio:
            self.left(room)
            asyncio.get_running_loop().call_later(AGAIN, self._join, radio, room)

    def _join(self, radio: Radio, room: str) -> None:
        if radio is self.radio:
            asked: dict[str, Any] = {"type": "join_room", "room_id": room, "ref": room}
            if room in self._places and not self._forgetful:
                asked["since"] = self._places[room]
            radio.say(msgspec.json.encode(asked))

    def _joined(self, message: Joined) -> None:
        room = message.room_id
        log, before = self.logs[room], self._places.get(room)
        numbers, offsets = missed(bytes(message.messages))
        if before is not None and not message.recovered and not self._forgetful:
            self.wrong.append(f"not recovered since {before}: {message.epoch} {message.offset} {message.id}")
        self.counts["recovered messages"] += len(numbers)
        self._places[room] = Place(message.epoch, message.offset, message.id)
        self.entered(room, message.offset)
        log.numbers += numbers
        log.offsets += offsets

    def _take(self, message: Said) -> None:
        self.logs[message.room_id].take(number(message), message.offset)
        place = self._places[message.room_id]
        place.offset, place.id = message.offset, message.id

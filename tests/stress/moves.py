"""What a client does next, by chance: its choices come from a generator of its own."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

from guest import Awaited, Guest
from house import HALL, LEEWAY, House
from ledger import Wrong
from line import Line, connected
from places import Place, Since
from serving import token
from websockets.extensions.base import ClientExtensionFactory
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.protocol import OPEN

SIZES = {
    "quiet": [10, 10, 60, 60, 300, 300, 1_500],
    "crowd": [10, 60, 300, 1_500, 5_000],
    "loud": [60, 1_500, 6_000, 12_000, 20_000],
}
"""Bytes of a message, by what the channel's name says."""


class Words:
    """Text to say: half of it of one byte a character, the rest of every plane, quotes and controls among it.

    What is far apart repeats itself, so that a window that is too large is noticed.
    """

    LETTERS = 'abcdefghij klmnopqrst uvwxyz 0123456789{}[]"\\/<&\n\t\x00\x1f\x7füß€漢字\u2028\ufeff🙂𝄞'

    def __init__(self, choices: random.Random) -> None:
        part = "".join(choices.choices(self.LETTERS, k=7_000))
        self._text = (part + "".join(choices.choices(self.LETTERS, k=3_000))) * 5

    def some(self, choices: random.Random, size: int) -> str:
        """Return text of about so many bytes."""
        start = choices.randrange(20_000)
        return self._text[start : start + size * 3 // 4]


class Player:
    """Moves one guest.

    Args:
        guest: whom.
        house: where the server is, and what it can do.
        words: what to say.
        choices: where its chances come from.
    """

    def __init__(self, guest: Guest, house: House, words: Words, choices: random.Random) -> None:
        self.guest = guest
        self._house = house
        self._words = words
        self._choices = choices
        self._extensions = offer(choices)
        self._expires = choices.random() < 0.1
        self._auth_first = choices.random() < 0.1
        guest.narrow = choices.random() < 0.3
        self.coming: asyncio.Task[None] | None = None
        self._moves: list[tuple[Callable[[], None], float]] = [
            (self.speak, 40),
            (self.join_or_leave, 14),
            (self.pass_by, 4),
            (self.rejoin, 5),
            (self.forge, 2),
            (self.type, 5),
            (self.read_history, 4),
            (self.list_members, 2),
            (self.ping, 5),
            (self.renew, 3),
            (self.stall, 5),
            (self.cut, 4),
            (self.hang_up, 2),
            (self.say_goodbye, 3),
        ]

    @property
    def is_ready(self) -> bool:
        """Whether it may say something."""
        line = self.guest.line
        return bool(
            line is not None
            and self.coming is None
            and self.guest.welcomed
            and not line.was_cut
            and line.protocol.state is OPEN
        )

    def step(self) -> None:
        """Do something."""
        if self.guest.line is None:
            self.come()
        elif self.is_ready:
            moves, weights = zip(*self._moves, strict=True)
            self._choices.choices(moves, weights)[0]()

    def come(self) -> None:
        """Connect, unless that is under way."""
        if self.coming is None:
            self.coming = asyncio.create_task(self._come())

    async def _come(self) -> None:
        guest, choices = self.guest, self._choices
        try:
            path, auto = "/ws", None
            rooms = [
                place for place in guest.places.values() if place.wanted and place.channel[:5] == "room:"
            ]
            if rooms and choices.random() < 0.15:
                auto = choices.choice(rooms)
                path = f"/ws/{auto.channel[5:]}"
            key, guest.token_ends = self._token()
            headers = {} if self._auth_first else {"Authorization": f"Bearer {key}"}
            line = Line(
                guest,
                self._house.port,
                path,
                headers,
                self._extensions,
                choices,
                pongs_may_follow=self._house.outlet == "queued",
            )
            guest.begin(line)
            first = [guest.ask({"type": "auth", "token": key})] if self._auth_first else []
            if auto is not None:
                floor = guest.ledger.streams[auto.channel].acknowledged
                guest.awaited.append(Awaited("joined", auto, floor=floor))
            async with asyncio.timeout(20):
                await connected(line, self._house.port, narrow=guest.narrow)
                await line.decided.wait()
            if line.is_open and not line.is_over:
                self._return(line, first)
        except (OSError, TimeoutError) as error:
            guest.complain(line, error)
        finally:
            self.coming = None

    def _return(self, line: Line, first: list[dict[str, Any]]) -> None:
        """Come back to every channel, and repeat what was not acknowledged, all in one go."""
        guest = self.guest
        agreed = bool(line.protocol.extensions)
        if agreed is not (self._house.compression and bool(self._extensions)):
            guest.complain(line, Wrong(f"compression: {agreed}"))
            return
        asked = [guest.join(place, self._since(place)) for place in guest.places.values() if place.wanted]
        if guest.own.since is not None:
            asked.append(guest.join(guest.own, guest.own.since))
        repeated = []
        for said in guest.unsaid.values():
            place = guest.places[said.channel]
            if not place.wanted:
                asked.append(guest.join(place, self._since(place)))
            repeated.append(said)
        asked += [guest.publish(said, short=False) for said in repeated]
        line.say(*first, *asked)
        guest.counts["connections"] += 1

    def _token(self) -> tuple[str, float]:
        """Make a token, for some guests one that soon ends; return it and when it does."""
        ttl = self._choices.uniform(3, 15) - LEEWAY if self._expires else 86_400.0
        return token(self.guest.user, ttl), time.time() + ttl

    def _since(self, place: Place) -> Since | None:
        since = place.since
        if since is None or self._choices.random() < 0.05:
            return None
        return since if self._choices.random() < 0.7 else Since(since.epoch, since.offset)

    # Moves.

    def say(self, *asked: dict[str, Any]) -> None:
        """Send commands in one write."""
        assert self.guest.line is not None
        self.guest.line.say(*asked)

    def speak(self) -> None:
        """Publish, often several at once; in the loud rooms more and at length."""
        places = [place for place in self.guest.places.values() if place.wanted and place.channel != HALL]
        if places:
            times = self._choices.choice([1, 1, 1, 2, 3, 6])
            self.say(*(self.said_in(self._choices.choice(places)) for _ in range(times)))

    def speak_in(self, channel: str, times: int) -> None:
        """Publish to one channel, if it is there."""
        place = self.guest.places[channel]
        if self.is_ready and place.wanted:
            self.say(*(self.said_in(place) for _ in range(times)))

    def said_in(self, place: Place) -> dict[str, Any]:
        """Make one publication."""
        kind = place.channel.partition(":")[2].partition("-")[0]
        text = self._words.some(self._choices, self._choices.choice(SIZES.get(kind, SIZES["quiet"])))
        said = self.guest.ledger.intend(place.channel, text, self.guest.user)
        return self.guest.publish(said, short=self._choices.random() < 0.6)

    def join_or_leave(self) -> None:
        """Change whether it is on some channel."""
        self.change(self._some_place())

    def change(self, place: Place) -> None:
        """Leave a channel, join it, or leave it and come back in one go."""
        guest = self.guest
        if not place.wanted:
            self.say(guest.join(place, self._since(place)))
        elif self._choices.random() < 0.5:
            self.say(guest.leave(place), guest.join(place, self._since(place)))
        else:
            self.say(guest.leave(place))

    def pass_by(self) -> None:
        """Join, say something, and leave or not, in one write."""
        self.pass_through(self._some_place())

    def pass_through(self, place: Place) -> None:
        """Do so in one channel."""
        guest = self.guest
        asked = [guest.leave(place)] if place.wanted else []
        asked += [guest.join(place, self._since(place)), self.said_in(place), self.said_in(place)]
        if self._choices.random() < 0.6:
            asked.append(guest.leave(place))
        self.say(*asked)

    def rejoin(self) -> None:
        """Ask once more for a channel, from where it stands."""
        place = self._some_place()
        self.say(self.guest.join(place, self._since(place)))

    def forge(self) -> None:
        """Come with a position that never was."""
        place = self._some_place()
        if (since := place.since) is not None:
            forged = self._choices.choice(
                [
                    Since(since.epoch[::-1] + "x", since.offset, None, forged=True),
                    Since(since.epoch, since.offset + 1_000_000, None, forged=True),
                    Since(since.epoch, since.offset, "0198c0de-0000-7000-8000-000000000000", forged=True),
                ]
            )
            self.say(self.guest.join(place, forged))

    def type(self) -> None:
        """Type in a room."""
        place = self._some_place()
        if place.wanted and place.channel.startswith("room:"):
            self.say(self.guest.ask({"type": "typing", "room_id": place.channel[5:]}))

    def read_history(self) -> None:
        """Read a page."""
        place = self._some_place()
        if place.wanted:
            asked: dict[str, Any] = {
                "type": "history",
                "channel": place.channel,
                "limit": self._choices.choice([1, 5, 20]),
            }
            if place.offset and self._choices.random() < 0.5:
                asked["before"] = self._choices.randrange(place.offset + 1)
            self.say(self.guest.ask(asked, place=place))

    def list_members(self) -> None:
        """Ask who is there."""
        place = self._some_place()
        if place.wanted and place.policy.presence:
            asked = {"type": "presence", "channel": place.channel, "limit": 100}
            self.say(self.guest.ask(asked, place=place))

    def ping(self) -> None:
        """Ask for a sign of life, in JSON or by a native ping."""
        assert self.guest.line is not None
        if self._choices.random() < 0.5:
            self.guest.line.ping()
        else:
            self.say(self.guest.ask({"type": "ping"}, "pong"))

    def renew(self) -> None:
        """Bring a new token."""
        key, ends = self._token()
        self.say(self.guest.ask({"type": "auth", "token": key}, ends=ends))

    def stall(self) -> None:
        """Read nothing for a while: sometimes for longer than the server puts up with."""
        self.stall_for(self._choices.choice([0.05, 0.3, 1.0, 2.5, 8.0]))

    def stall_for(self, seconds: float) -> None:
        """Read nothing for so long."""
        line = self.guest.line
        assert line is not None
        if not line.is_stalled:
            line.stall()
            self.guest.counts["stalls"] += 1
            asyncio.get_running_loop().call_later(seconds, line.resume)

    def cut(self) -> None:
        """Vanish."""
        assert self.guest.line is not None
        self.guest.line.cut()

    def hang_up(self) -> None:
        """End without a Close frame."""
        line = self.guest.line
        assert line is not None
        line.hang_up()
        line.resume()

    def say_goodbye(self) -> None:
        """Close."""
        line = self.guest.line
        assert line is not None
        line.goodbye()
        line.resume()

    def _some_place(self) -> Place:
        return self._choices.choice(list(self.guest.places.values()))


def offer(choices: random.Random) -> list[ClientExtensionFactory]:
    """Choose what a client offers of permessage-deflate; two of five offer nothing."""
    if choices.random() < 0.4:
        return []
    return [
        ClientPerMessageDeflateFactory(
            server_no_context_takeover=choices.random() < 0.3,
            client_no_context_takeover=choices.random() < 0.3,
            server_max_window_bits=choices.choice([None, None, 9, 10, 12, 15]),
            client_max_window_bits=choices.choice([True, True, 9, 12, 15]),
            compress_settings={"memLevel": 1},
        )
    ]

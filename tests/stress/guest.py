"""A client as the documentation tells one to be; it checks all that it is told, in any order of events.

Commands of one connection take effect in order, so their answers are awaited in order too: the next answer is the one
to the oldest command that has none.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from house import LEEWAY
from ledger import Ledger, Said, Wrong
from line import Line
from places import Place, Since

ANSWERS = frozenset({"welcome", "joined", "subscribed", "left", "unsubscribed", "ack", "pong", "error"})


@dataclass(frozen=True, slots=True)
class Awaited:
    """The answer to one command."""

    kind: str
    place: Place | None = None
    ref: int | None = None
    since: Since | None = None
    floor: int = 0
    said: Said | None = None
    asked: Mapping[str, Any] | None = None
    """The command, where the answer has something to be held against it."""
    ends: float | None = None


class Guest:
    """One client over all its connections.

    Args:
        name: which one.
        user: for whom; several have the same.
        channels: where it likes to be.
        ledger: what was said.
        report: called for everything that is wrong.
        excuses: says whether this whole process was too busy to be a good client.
    """

    def __init__(
        self,
        name: str,
        user: str,
        channels: list[str],
        ledger: Ledger,
        report: Callable[[str], None],
        excuses: Callable[[], bool],
    ) -> None:
        self.name = name
        self.user = user
        self.ledger = ledger
        self.own = Place(f"user:{user}", user, ledger)
        self.places = {channel: Place(channel, user, ledger) for channel in channels}
        self.line: Line | None = None
        self.welcomed = False
        self.awaited: deque[Awaited] = deque()
        self.unsaid: dict[str, Said] = {}
        """What it published and was not told the place of."""
        self.token_ends = float("inf")
        self.narrow = False
        self.expelled = False
        """Whether its user was disconnected over the API."""
        self.counts: Counter[str] = Counter()
        self._report = report
        self._excuses = excuses
        self._heard: set[str] = set()
        self._refs = 0

    # What it asks for.

    def begin(self, line: Line) -> None:
        """Take a new connection, on which nothing is known."""
        self.line = line
        self.welcomed = False
        self.awaited = deque([Awaited("welcome", self.own)])
        self.expelled = False
        self._heard.clear()

    def ref(self) -> int:
        """Return a new one."""
        self._refs += 1
        return self._refs

    def join(self, place: Place, since: Since | None) -> dict[str, Any]:
        """Return the command, and await its answer."""
        place.wanted = True
        name = room(place.channel)
        floor = self.ledger.streams[place.channel].acknowledged
        self.awaited.append(Awaited("joined" if name else "subscribed", place, since=since, floor=floor))
        asked = (
            {"type": "join_room", "room_id": name}
            if name
            else {"type": "subscribe", "channel": place.channel}
        )
        return asked if since is None else {**asked, "since": since.shown()}

    def leave(self, place: Place) -> dict[str, Any]:
        """Return the command, and await its answer."""
        place.wanted = False
        name = room(place.channel)
        self.awaited.append(Awaited("left" if name else "unsubscribed", place))
        return (
            {"type": "leave_room", "room_id": name}
            if name
            else {"type": "unsubscribe", "channel": place.channel}
        )

    def publish(self, said: Said, *, short: bool) -> dict[str, Any]:
        """Return the command, and await its answer; it is repeated after the connection until that has come."""
        self.unsaid[said.key] = said
        ref = self.ref()
        self.awaited.append(Awaited("ack", ref=ref, said=said))
        name = room(said.channel)
        if name and short:
            asked: dict[str, Any] = {"type": "message", "room_id": name, "content": said.content}
        elif short:
            data = {"content": said.content}
            asked = {"type": "publish", "channel": said.channel, "event": "message", "data": data}
        else:
            data = {"content": said.content, "more": [1.5, None, {"ü": "\u2028"}]}
            asked = {"type": "publish", "channel": said.channel, "event": "row", "data": data}
        return {**asked, "idempotency_key": said.key, "ref": ref}

    def ask(
        self,
        asked: dict[str, Any],
        answer: str = "ack",
        place: Place | None = None,
        ends: float | None = None,
    ) -> dict[str, Any]:
        """Return a command of another kind, and await its answer; `ends` is when its token does."""
        ref = None if answer == "pong" else self.ref()
        self.awaited.append(Awaited(answer, place, ref=ref, asked=asked, ends=ends))
        return asked if ref is None else {**asked, "ref": ref}

    # What it is told.

    def told(self, line: Line, message: dict[str, Any]) -> None:
        """Check one message."""
        if line is not self.line:
            return
        kind = message["type"]
        if kind in ANSWERS:
            self._answered(message)
        elif kind in {"message", "event"}:
            self._place(message).publication(message)
        elif kind in {"typing", "user_joined", "user_left"}:
            self._place(message).check_live(message)
            if message["user_id"] == self.user:
                raise Wrong("told of itself")
            self.counts["typing" if kind == "typing" else "announcements"] += 1
        elif kind == "gap":
            self.counts["gaps"] += self._place(message).gap(message)
            if not self._may_lag(line):
                raise Wrong("a gap for one who always read")
        elif kind == "broadcast":
            self._broadcast(message)
        elif kind != "ping":
            raise Wrong(f"nobody expects {kind!r}")

    def ended(self, line: Line) -> None:
        """See whether there was a reason to close."""
        if line is not self.line:
            return
        self.welcomed = False
        for place in (self.own, *self.places.values()):
            place.cut()
        code = None if line.close is None else line.close.code
        self.counts[f"closed {code}"] += 1
        if line.protocol.extensions:
            self.counts["deflated bytes"] += line.on_wire
            self.counts["inflated bytes"] += line.inflated
        if not self._had_reason(line, code):
            left = self.token_ends + LEEWAY - time.time()
            raise Wrong(f"closed with {line.close}, for no reason; its token is good for {left:.1f} s")
        self.line = None

    def complain(self, line: Line, wrong: Exception) -> None:
        """Report it with the last things that were said; what comes after it on this line says nothing any more."""
        if line is self.line:
            self.line = None
        stand = ", ".join(f"{each.channel} at {each.offset}" for each in self.places.values() if each.live)
        self._report(
            f"{self.name} ({self.user}): {wrong!r}\n  it is on {stand[:400]}\n  and its line ended so:\n{line.tail()}"
        )

    def idle(self) -> bool:
        """Whether it is on everything that it wants to be on, and nothing is under way."""
        return bool(
            self.line is not None
            and self.welcomed
            and not self.awaited
            and not self.unsaid
            and all(place.live == place.wanted for place in self.places.values())
        )

    def _place(self, message: Mapping[str, Any]) -> Place:
        channel = message["channel"]
        place = self.own if channel == self.own.channel else self.places.get(channel)
        if place is None:
            raise Wrong(f"never was on {channel}, and is told {str(message)[:120]}")
        return place

    def _answered(self, message: dict[str, Any]) -> None:
        if not self.awaited:
            raise Wrong(f"an answer to nothing: {str(message)[:200]}")
        awaited = self.awaited.popleft()
        place = awaited.place
        if message["type"] != awaited.kind or message.get("ref") != awaited.ref:
            raise Wrong(
                f"{str(message)[:200]} where {awaited.kind!r} with ref {awaited.ref} should have come"
            )
        if place is not None and message.get("channel") != place.channel:
            raise Wrong(
                f"an answer for {message.get('channel')}, where one for {place.channel} should have come"
            )
        match awaited.kind:
            case "welcome":
                self.welcomed = True
                self.own.joined(message, None, 0)
            case "joined" | "subscribed":
                self._joined(awaited, message)
            case "left" | "unsubscribed" if place is not None:
                place.left()
                if message.get("code", 0) != 0:
                    raise Wrong(f"unsubscribed by the server: {message}")
            case "ack":
                self._acknowledged(awaited, message)

    def _joined(self, awaited: Awaited, message: dict[str, Any]) -> None:
        assert awaited.place is not None
        whole = awaited.place.joined(message, awaited.since, awaited.floor)
        if whole is not None:
            self.counts["recovered" if whole else "unrecovered"] += 1
            self.counts["recovered messages"] += len(message["messages"])
        self._check_members(awaited.place, message)

    def _acknowledged(self, awaited: Awaited, message: dict[str, Any]) -> None:
        self.counts["acks"] += 1
        if awaited.said is not None:
            if message["channel"] != awaited.said.channel:
                raise Wrong(
                    f"what was said in {awaited.said.channel} is acknowledged for {message['channel']}"
                )
            self.ledger.acknowledged(awaited.said, message)
            self.unsaid.pop(awaited.said.key, None)
        elif awaited.ends is not None:
            self.token_ends = awaited.ends
        elif awaited.asked is not None and awaited.place is not None:
            if awaited.asked["type"] == "history":
                check_page(self.ledger, awaited.place, awaited.asked, message)
            elif awaited.asked["type"] == "presence":
                self._check_members(awaited.place, message)

    def _check_members(self, place: Place, message: Mapping[str, Any]) -> None:
        members = message.get("members")
        if members is None or message.get("next_cursor"):
            return
        if self.user not in members or message["active_users"] != len(members):
            raise Wrong(f"{self.user} is on {place.channel}, whose members are {str(message)[-300:]}")

    def _broadcast(self, message: Mapping[str, Any]) -> None:
        key = message["data"]["content"].partition(" ")[0]
        if key in self._heard or self.user in self.ledger.broadcasts[key].exclude:
            raise Wrong(f"the broadcast {key!r} came twice, or to one whom it excludes")
        self._heard.add(key)
        self.counts["broadcasts"] += 1

    def _may_be_slow(self, line: Line) -> bool:
        return bool(line.stalls) or self.narrow or self._excuses()

    def _may_lag(self, line: Line) -> bool:
        """Whether it may have been given too much: in a loud channel one burst is more than an outlet's bound."""
        return self._may_be_slow(line) or any("loud" in channel for channel in self.places)

    def _had_reason(self, line: Line, code: int | None) -> bool:
        if line.was_cut or line.protocol.close_rcvd_then_sent is False:
            return True
        match code:
            case 4008:
                return self._may_lag(line)
            case 1011 | None:
                return self._may_be_slow(line)
            case 4002:
                return time.time() >= self.token_ends + LEEWAY - 0.5
            case 4003:
                return self.expelled
        return False


def room(channel: str) -> str | None:
    """Return the name that `join_room` gives a channel, if it is a room."""
    return channel[5:] if channel.startswith("room:") else None


def check_page(ledger: Ledger, place: Place, asked: Mapping[str, Any], page: Mapping[str, Any]) -> None:
    """Hold a page of history against what was said, and against what was asked for."""
    before = asked.get("before", page["offset"] + 1)
    messages = page["messages"]
    if len(messages) > asked["limit"]:
        raise Wrong(f"{len(messages)} messages, where {asked['limit']} were asked for")
    last = 0
    for each in messages:
        said = ledger.check(place.channel, each)
        if place.user in said.exclude:
            raise Wrong(f"history shows {place.user} what excludes them: {said.key!r}")
        if not last < said.offset < before:
            raise Wrong(f"history shows {said.offset} after {last} and before {before}")
        if last:
            ledger.check_skipped(place.channel, place.user, last, said.offset, "in history")
        last = said.offset
    if last:
        ledger.check_skipped(place.channel, place.user, last, min(before, page["offset"] + 1), "in history")

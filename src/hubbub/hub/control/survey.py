"""Asking every node, and knowing who did not answer."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from hubbub.exceptions import LimitExceeded
from hubbub.hub.background import Background
from hubbub.hub.control.orders import Orders, channel_of
from hubbub.hub.control.peers import NodeState, Peers
from hubbub.hub.ids import SecretIds
from hubbub.hub.wheel import Timer, Wheel

logger = logging.getLogger(__name__)

DEADLINE = 2.0
"""Seconds in which nodes answer."""
AT_ONCE = 64
"""Surveys of one node that wait for answers at the same time."""
FOR_USERS = 16
"""How many of them may be there when a user asks about themselves: what operators ask is not to wait for those."""
SILENCE = 10.0
"""Seconds between two lines about the same nodes that do not answer."""

NOTHING = msgspec.Raw(b"null")

Query = TypeVar("Query")
Found = TypeVar("Found")
Respond = Callable[[Query], Any]
"""Answers for this node; must not block. What it returns is bounded in size."""


class Question(msgspec.Struct, frozen=True, gc=False):
    """What one node asks all.

    Args:
        id: of the survey.
        node: who asks.
        topic: what it is about.
        query: what exactly, as the topic has it.
    """

    id: str
    node: str
    topic: str
    query: msgspec.Raw


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a node answers; `null` where it cannot."""

    id: str
    node: str
    found: msgspec.Raw = NOTHING


@dataclass(frozen=True, slots=True)
class Survey(Generic[Found]):
    """What the nodes answered.

    Args:
        answers: of each node by its id.
        unanswered: the nodes that should have answered and did not: what they have is missing.
    """

    answers: dict[str, Found]
    unanswered: tuple[NodeState, ...]


class Gathering:
    """The answers to one question, while they come in.

    Args:
        expected: who was known when it was asked.
    """

    def __init__(self, expected: dict[str, NodeState]) -> None:
        self.expected = expected
        self.answers: dict[str, msgspec.Raw] = {}
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        """Wait no longer."""
        if not self.done.done():
            self.done.set_result(None)


class Surveys:
    """Asks all nodes, and answers for this one.

    Args:
        node_id: who asks and answers here.
        orders: carries questions and answers.
        peers: whose answers to wait for.
        wheel: for deadlines.
        background: sends answers.
    """

    def __init__(
        self, node_id: str, orders: Orders, peers: Peers, wheel: Wheel, background: Background
    ) -> None:
        self._own = node_id
        self._orders = orders
        self._peers = peers
        self._wheel = wheel
        self._background = background
        self._ids = SecretIds()
        self._topics: dict[str, tuple[msgspec.json.Decoder[Any], Respond[Any]]] = {}
        self._open: dict[str, Gathering] = {}
        self._told_until: dict[str, Timer] = {}
        """Which nodes were named just now in a line of the log."""
        self._is_over = False
        orders.on("ask", Question, self._asked)
        orders.on("answer", Answer, self._answered)

    def on(self, topic: str, query: type[Query], respond: Respond[Query]) -> None:
        """Name who answers about a topic."""
        self._topics[topic] = msgspec.json.Decoder(query), respond

    async def ask(
        self,
        topic: str,
        query: msgspec.Struct,
        found: type[Found],
        *,
        seconds: float = DEADLINE,
        for_user: bool = False,
    ) -> Survey[Found]:
        """Ask every node, this one included, and wait until all have answered.

        Args:
            topic: what about.
            query: what exactly.
            found: what an answer is.
            seconds: how long to wait; who has not answered by then is told. A node that has not been here long enough
                to know all the others waits for all of it, in case there are more.
            for_user: whether it is a user who wants to know, and not an operator or a program.

        Raises:
            LimitExceeded: too many surveys wait for answers.
            PublishError: the broker did not take the question.
        """
        if len(self._open) >= (FOR_USERS if for_user else AT_ONCE):
            raise LimitExceeded("Too many questions to the other nodes are open; try again later.")
        question = Question(self._ids.new(), self._own, topic, msgspec.Raw(msgspec.json.encode(query)))
        gathering = self._open[question.id] = Gathering(self._known())
        deadline = self._wheel.after(seconds, gathering.end)
        if self._is_over:
            gathering.end()
        try:
            await self._orders.tell("ask", question)
            await gathering.done
        finally:
            deadline.cancel()
            del self._open[question.id]
        return self._read(topic, gathering, msgspec.json.Decoder(found))

    def end(self) -> None:
        """Wait for no more answers, now or later: deadlines do not pass in a node that stops."""
        self._is_over = True
        for gathering in self._open.values():
            gathering.end()

    def _read(self, topic: str, gathering: Gathering, decoder: msgspec.json.Decoder[Found]) -> Survey[Found]:
        answers: dict[str, Found] = {}
        for node, found in gathering.answers.items():
            if bytes(found) == bytes(NOTHING):
                continue
            try:
                answers[node] = decoder.decode(found)
            except msgspec.MsgspecError as error:
                logger.warning("The answer of node %s about %r cannot be read: %s", node, topic, error)
        known = {**gathering.expected, **self._known()}
        silent = {*known, *gathering.answers} - answers.keys()
        if silent:
            self._complain(topic, ", ".join(sorted(map(ascii, silent))))
        unanswered = tuple(known.get(node) or NodeState(node) for node in sorted(silent))
        return Survey(answers, unanswered)

    def _complain(self, topic: str, silent: str) -> None:
        if self._told_until.get(silent) is None:
            logger.warning("No answer about %r from %s", topic, silent)
            self._told_until[silent] = self._wheel.after(SILENCE, self._told_until.__delitem__, silent)

    def _known(self) -> dict[str, NodeState]:
        return {state.id: state for state in self._peers}

    def _asked(self, question: Question, _at: float) -> None:
        answer = Answer(question.id, self._own, self._found(question))
        self._background.start(self._orders.tell("answer", answer, channel_of(question.node)))

    def _found(self, question: Question) -> msgspec.Raw:
        known = self._topics.get(question.topic)
        if known is None:
            logger.warning("A question about %r cannot be answered by this version.", question.topic[:100])
            return NOTHING
        decoder, respond = known
        try:
            return msgspec.Raw(msgspec.json.encode(respond(decoder.decode(question.query))))
        except Exception:
            logger.exception("A question about %r could not be answered", question.topic[:100])
            return NOTHING

    def _answered(self, answer: Answer, _at: float) -> None:
        gathering = self._open.get(answer.id)
        if gathering is None:
            return  # it came too late
        gathering.answers[answer.node] = answer.found
        if self._peers.are_settled and gathering.answers.keys() >= self._known().keys():
            gathering.end()

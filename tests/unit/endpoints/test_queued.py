"""The queued outlet: bounds, order, one writer, and peers that hang or vanish."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hubbub.dialects.plain import PlainJSON
from hubbub.endpoints.queued import QueuedOutlet, TextEncoding, TextFrame, Writers
from hubbub.hub.outlet import Pulse
from hubbub.hub.replies import Done, PingSent


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class Peer:
    """Where an outlet's ASGI messages go, as fast as the test lets them."""

    def __init__(self) -> None:
        self.took: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None
        self.sending = 0
        self.at_once = 0
        self.interrupted = 0

    async def send(self, message: Any) -> None:
        self.sending += 1
        self.at_once = max(self.at_once, self.sending)
        try:
            await self.open.wait()
            await asyncio.sleep(0)
            if self.error is not None:
                raise self.error
            self.took.append(message.get("text", message))
        finally:
            self.sending -= 1

    def interrupt(self) -> None:
        self.interrupted += 1


class Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def pause(self) -> None:
        self.heard.append("pause")

    def resume(self) -> None:
        self.heard.append("resume")


def frame(text: str) -> TextFrame:
    return TextEncoding(PlainJSON()).frame(text.encode())


@pytest.fixture
async def peer() -> Peer:
    return Peer()


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def writers() -> Writers:
    return Writers()


@pytest.fixture
async def outlet(peer: Peer, listener: Listener, writers: Writers) -> AsyncIterator[QueuedOutlet]:
    made = QueuedOutlet(peer.send, peer.interrupt, writers, max_bytes=100, max_messages=5)
    made.attach(listener)
    yield made
    made.finish()


class TestWriting:
    async def test_everything_in_order_and_one_at_a_time(self, outlet, peer):
        texts = []
        for number in range(50):
            texts.append(str(number))
            outlet.write(frame(str(number)))
            if number % 7 == 0:
                await turns(number)
        await turns(200)
        assert peer.took == texts
        assert peer.at_once == 1
        assert (outlet.pending, outlet.progress) == (0, 50)

    async def test_a_frame_is_as_long_as_its_bytes(self):
        assert len(frame("ü€")) == 5
        assert frame("ü€").messages == ({"type": "websocket.send", "text": "ü€"},)

    async def test_progress_rises_only_when_something_has_left(self, outlet, peer):
        peer.open.clear()
        outlet.write(frame("a"))
        outlet.write(frame("b"))
        await turns()
        assert (outlet.progress, outlet.pending) == (0, 2)
        peer.open.set()
        await turns()
        assert (outlet.progress, outlet.pending) == (2, 0)


class TestBounds:
    async def test_bytes(self, outlet, peer, listener):
        peer.open.clear()
        outlet.write(frame("x" * 100))
        assert listener.heard == []
        outlet.write(frame("x"))
        assert listener.heard == ["pause"]
        outlet.write(frame("x" * 1000))  # what is sent anyway is queued, and told once
        assert listener.heard == ["pause"]
        peer.open.set()
        await turns(20)
        assert listener.heard == ["pause", "resume"]
        assert [len(text) for text in peer.took] == [100, 1, 1000]

    async def test_messages(self, outlet, peer, listener):
        peer.open.clear()
        outlet.write(frame("being sent"))
        await turns()
        for _ in range(5):
            outlet.write(frame("x"))
        assert listener.heard == []
        outlet.write(frame("x"))
        assert listener.heard == ["pause"]

    async def test_what_is_being_sent_counts(self, outlet, peer, listener):
        peer.open.clear()
        outlet.write(frame("x" * 60))
        await turns()
        outlet.write(frame("x" * 60))
        assert listener.heard == ["pause"]

    async def test_resumed_when_all_is_sent_and_paused_again(self, outlet, peer, listener):
        for _ in range(3):
            peer.open.clear()
            for _ in range(3):
                outlet.write(frame("x" * 50))
            peer.open.set()
            await turns(20)
        assert listener.heard == ["pause", "resume"] * 3

    async def test_a_listener_that_writes_when_it_is_resumed(self, outlet, peer, listener):
        def resume() -> None:
            listener.heard.append("resume")
            outlet.write(frame("more"))

        listener.resume = resume
        peer.open.clear()
        outlet.write(frame("x" * 200))
        peer.open.set()
        await turns(20)
        assert peer.took == ["x" * 200, "more"]
        assert listener.heard == ["pause", "resume"]


class TestClosing:
    async def test_the_close_comes_last(self, outlet, peer):
        for text in "abc":
            outlet.write(frame(text))
        outlet.close(4008, "slow")
        outlet.write(frame("late"))
        outlet.close(1000, "again")
        await outlet.drain(5)
        assert peer.took == ["a", "b", "c", {"type": "websocket.close", "code": 4008, "reason": "slow"}]

    async def test_a_close_on_an_idle_connection(self, outlet, peer):
        outlet.close(1000, "bye")
        await outlet.drain(5)
        assert peer.took == [{"type": "websocket.close", "code": 1000, "reason": "bye"}]

    async def test_a_reason_fits_into_a_close_frame(self, outlet, peer):
        # RFC 6455 section 5.5: a control frame carries 125 bytes, two of them are the code.
        outlet.close(1008, "ü" * 100)
        await outlet.drain(5)
        assert peer.took[0]["reason"] == "ü" * 61

    async def test_a_reason_that_is_no_text_is_no_obstacle(self, outlet, peer):
        outlet.close(4003, "half a pair: \ud800")
        await outlet.drain(5)
        assert peer.took[0]["reason"] == "half a pair: ?"

    async def test_while_a_send_hangs_nothing_follows_until_the_abort(self, outlet, peer, listener, writers):
        peer.open.clear()
        outlet.write(frame("hangs"))
        await turns()
        outlet.close(4008, "slow")
        await outlet.drain(0.01)
        assert peer.took == []
        outlet.abort()
        await turns()
        assert peer.interrupted == 1
        assert peer.sending == 0
        peer.open.set()
        await turns()
        assert peer.took == []
        assert len(writers) == 0

    async def test_aborting_twice_or_after_the_end_is_harmless(self, outlet, peer):
        outlet.abort()
        outlet.abort()
        outlet.finish()
        assert peer.interrupted == 1
        outlet.write(frame("late"))
        outlet.close(1000, "late")
        await turns()
        assert peer.took == []

    async def test_after_the_end_the_listener_hears_nothing(self, outlet, peer, listener):
        peer.open.clear()
        outlet.write(frame("x" * 200))
        outlet.finish()
        peer.open.set()
        await turns()
        assert listener.heard == ["pause"]
        assert peer.took == []

    async def test_closed_while_congested_does_not_resume(self, outlet, peer, listener):
        peer.open.clear()
        outlet.write(frame("x" * 200))
        outlet.close(4008, "slow")
        peer.open.set()
        await outlet.drain(5)
        assert len(peer.took) == 2
        assert listener.heard == ["pause"]


class TestPeersThatAreGone:
    @pytest.mark.parametrize("error", [OSError("gone"), ConnectionResetError(), RuntimeError("after close")])
    async def test_in_the_middle_of_a_send(self, outlet, peer, writers, error):
        peer.error = error
        for text in "abc":
            outlet.write(frame(text))
        await turns()
        assert peer.interrupted == 1
        assert peer.took == []
        outlet.write(frame("d"))
        await turns()
        assert peer.interrupted == 1
        assert len(writers) == 0

    async def test_in_the_middle_of_a_close(self, outlet, peer):
        peer.error = OSError("gone")
        outlet.close(1000, "bye")
        await outlet.drain(5)
        await turns()
        assert peer.interrupted == 1


class TestWriters:
    async def test_no_writer_when_idle(self, outlet, peer, writers):
        assert len(writers) == 0
        outlet.write(frame("a"))
        await turns()
        assert len(writers) == 1
        writers.sweep()  # it wrote since the last sweep
        assert len(writers) == 1
        writers.sweep()
        await turns()
        assert len(writers) == 0
        assert outlet._writer is outlet._queue is outlet._parked is None
        outlet.write(frame("b"))
        await turns()
        assert peer.took == ["a", "b"]

    async def test_a_writer_that_is_busy_is_not_ended(self, outlet, peer, writers):
        peer.open.clear()
        outlet.write(frame("a"))
        await turns()
        for _ in range(3):
            writers.sweep()
        peer.open.set()
        await turns()
        assert peer.took == ["a"]

    async def test_a_write_between_two_sweeps_keeps_it(self, outlet, writers):
        for text in "abcd":
            outlet.write(frame(text))
            await turns()
            task = outlet._writer
            writers.sweep()
            assert outlet._writer is task

    async def test_a_write_in_the_turn_of_a_sweep_is_not_lost(self, outlet, peer, writers):
        outlet.write(frame("a"))
        await turns()
        writers.sweep()
        outlet.write(frame("b"))
        writers.sweep()
        writers.sweep()
        await turns()
        outlet.write(frame("c"))
        await turns()
        assert peer.took == ["a", "b", "c"]

    async def test_a_joined_frame_leaves_as_its_messages(self, outlet, peer):
        outlet.write(TextEncoding(PlainJSON()).join([frame("a"), frame("b")]))
        await turns()
        assert peer.took == ["a", "b"]
        assert (outlet.pending, outlet.progress) == (0, 2)

    async def test_the_end_of_a_connection_ends_its_writer(self, outlet, writers):
        outlet.write(frame("a"))
        await turns()
        task = outlet._writer
        outlet.finish()
        await turns()
        assert task.cancelled()
        assert len(writers) == 0


class TestPulse:
    async def test_one_that_takes_nothing_while_something_waits_is_stuck(self, outlet, peer):
        assert outlet.pulse() is Pulse.WELL
        peer.open.clear()
        outlet.write(frame("a"))
        outlet.write(frame("b"))
        await turns()
        assert outlet.pulse() is Pulse.STUCK
        peer.open.set()
        await turns()
        peer.open.clear()
        outlet.write(frame("c"))
        assert outlet.pulse() is Pulse.WELL
        assert outlet.pulse() is Pulse.STUCK

    async def test_one_that_has_taken_everything_is_well(self, outlet):
        outlet.write(frame("a"))
        await turns()
        assert [outlet.pulse() for _ in range(3)] == [Pulse.WELL] * 3


class TestProceeding:
    async def test_the_reader_waits_until_it_may_go_on(self, outlet):
        waiting = asyncio.ensure_future(outlet.until_proceeding())
        await turns()
        assert not waiting.done()
        outlet.proceed()
        await waiting
        outlet.proceed()

    async def test_a_reader_that_was_cancelled_is_not_woken(self, outlet):
        waiting = asyncio.ensure_future(outlet.until_proceeding())
        await turns()
        waiting.cancel()
        await turns()
        outlet.proceed()
        assert waiting.cancelled()


class TestEncoding:
    def test_one_message_a_frame(self):
        encoding = TextEncoding(PlainJSON())
        assert encoding.reply(PingSent()).messages == ({"type": "websocket.send", "text": '{"type":"ping"}'},)
        assert len(encoding.reply(Done(ref="ü"))) == len('{"type":"ack","ref":"ü"}'.encode())

    def test_several_are_joined_and_sent_one_by_one(self):
        joined = TextEncoding(PlainJSON()).join([frame("a"), frame("ü")])
        assert [message["text"] for message in joined.messages] == ["a", "ü"]
        assert len(joined) == 3

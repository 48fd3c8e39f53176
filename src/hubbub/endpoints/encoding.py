"""What the two outlets' encodings have in common: a dialect, and each publication made into a frame once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from hubbub.hub.commands import Command
from hubbub.hub.publications import Publication
from hubbub.hub.replies import Reply

MEMO = 128
"""Publications whose frames are kept, for sessions that are brought up to date one by one."""

Frame = TypeVar("Frame")


class Dialect(Protocol):
    """A wire format of text messages."""

    def decode(self, text: str) -> Command:
        """Understand one message of a client; raises `BadRequest`."""
        ...

    def encode_publication(self, publication: Publication) -> bytes:
        """Write a publication as its push."""
        ...

    def encode_reply(self, reply: Reply) -> bytes:
        """Write a reply."""
        ...


class SharedFrames(ABC, Generic[Frame]):
    """Frames of some kind, for all sessions that share this, so that each publication is encoded once."""

    def __init__(self) -> None:
        self._memo: dict[str, Frame] = {}

    @abstractmethod
    def make(self, publication: Publication) -> Frame:
        """Make the frame of a publication."""

    @abstractmethod
    def join(self, frames: Sequence[Frame]) -> Frame:
        """Make one frame, for one write, of several."""

    def publications(self, publications: Sequence[Publication]) -> Frame:
        """Make the frame of publications, or find it."""
        if len(publications) == 1:
            return self._publication(publications[0])
        return self.join([self._publication(publication) for publication in publications])

    def _publication(self, publication: Publication) -> Frame:
        frame = self._memo.get(publication.id)
        if frame is None:
            if len(self._memo) >= MEMO:
                del self._memo[next(iter(self._memo))]
            frame = self._memo[publication.id] = self.make(publication)
        return frame


class FrameEncoding(SharedFrames[Frame]):
    """A dialect in frames.

    Args:
        dialect: the wire format.
    """

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self._dialect = dialect
        self.decode = dialect.decode

    @abstractmethod
    def frame(self, payload: bytes) -> Frame:
        """Make the frame of one message."""

    def make(self, publication: Publication) -> Frame:
        """Make the frame of a publication."""
        return self.frame(self._dialect.encode_publication(publication))

    def reply(self, reply: Reply) -> Frame:
        """Make the frame of a reply."""
        return self.frame(self._dialect.encode_reply(reply))

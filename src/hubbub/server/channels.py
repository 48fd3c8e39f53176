"""Channels over HTTP, for programs: publish, broadcast, who is there, what was said."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hubbub import Hub, Publication
from hubbub.server.scopes import trusted

EventName = Annotated[str, Field(min_length=1, max_length=255, examples=["created"])]

IdempotencyKey = Annotated[str | None, Field(min_length=1, max_length=255)]


def json_value(value: Any) -> Any:
    """Take what RFC 8259 knows; Python's reader takes more, which receivers could not read.

    Raises:
        ValueError: it is none; the message says why.
    """
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("text with half a surrogate pair is not UTF-8") from None
    except ValueError:
        raise ValueError("NaN and Infinity are not JSON") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


class Message(BaseModel):
    """An event and its data. A field that does not exist is an error: it may be an `exclude` with a typo."""

    model_config = ConfigDict(extra="forbid")

    event: EventName
    data: Annotated[Any, AfterValidator(json_value)] = None


class Announcement(Message):
    """What is said to many, and who is not to get it."""

    exclude: list[Annotated[str, Field(max_length=255)]] = Field(
        default=[], max_length=1000, description="User ids that do not get it."
    )


class Submission(Announcement):
    """What is published; the same `idempotency_key` again publishes nothing new."""

    idempotency_key: IdempotencyKey = None


class Place(BaseModel):
    """Where a publication stands; offset 0 where its namespace keeps nothing."""

    id: str | None
    epoch: str
    offset: int


class Members(BaseModel):
    """One page of the users in a channel."""

    members: list[str]
    active_users: int
    next_cursor: str | None


class Past(BaseModel):
    """One publication of a channel's history."""

    id: str
    offset: int
    event: str
    data: Any
    user_id: str | None = Field(description="Who said it; null for the server.")
    timestamp: datetime


class Page(BaseModel):
    """The newest publications below `before`, oldest first, and the top of the stream."""

    epoch: str
    offset: int
    publications: list[Past]


def past(publication: Publication) -> dict[str, Any]:
    """Show a publication as `Past`, with its data as it is stored: raw JSON, however deep it is nested."""
    return {
        "id": publication.id,
        "offset": publication.offset,
        "event": publication.event,
        "data": msgspec.Raw(publication.data),
        "user_id": publication.sender,
        "timestamp": datetime.fromtimestamp(publication.time, UTC),
    }


def channel_routes(hub: Hub) -> APIRouter:
    """Serve a hub's channels to programs with the scope `server` or `admin`."""
    router = APIRouter(tags=["channels"], dependencies=[Depends(trusted(hub))])

    @router.post("/publish/{channel:path}", summary="Publish to a channel")
    @router.post("/channels/{channel:path}/publish", summary="Publish to a channel")
    async def publish(channel: str, submission: Submission) -> Place:
        """Returns when it is stored. After a 503, repeat with the same `idempotency_key`."""
        position = await hub.publish(
            channel,
            submission.event,
            submission.data,
            exclude=submission.exclude,
            idempotency_key=submission.idempotency_key,
        )
        return Place(id=position.id, epoch=position.epoch, offset=position.offset)

    @router.post("/broadcast", status_code=204, summary="Tell every connected client")
    async def broadcast(announcement: Announcement) -> Response:
        """Not stored: who is away does not get it."""
        await hub.broadcast(announcement.event, announcement.data, exclude=announcement.exclude)
        return Response(status_code=204)

    @router.get("/channels/{channel:path}/presence", summary="List who is in a channel")
    async def presence(
        channel: str,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=255)] = None,
    ) -> Members:
        """In the order of their ids; pass `next_cursor` as `cursor` for the next page."""
        roster = await hub.presence(channel, limit=limit, after=cursor)
        return Members(members=list(roster.users), active_users=roster.total, next_cursor=roster.cursor)

    @router.get("/channels/{channel:path}/history", response_model=Page, summary="Read what was published")
    async def history(
        channel: str,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        before: Annotated[int | None, Query(ge=1)] = None,
    ) -> Response:
        """For the page before, pass the smallest offset as `before`."""
        reading = await hub.history(channel, limit=limit, before=before)
        page = {
            "epoch": reading.top.epoch,
            "offset": reading.top.offset,
            "publications": [past(publication) for publication in reading.publications],
        }
        return Response(msgspec.json.encode(page), media_type="application/json")

    return router

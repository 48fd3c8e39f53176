"""Many publications in one request, each with its own outcome."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from hubbub import Hub, PublishError, Refusal, Unavailable
from hubbub.server.channels import Place, Submission
from hubbub.server.problems import Problem, described
from hubbub.server.scopes import trusted

AT_ONCE = 500


class Entry(Submission):
    """One publication of a batch, and its channel."""

    channel: Annotated[str, Field(min_length=1, max_length=255, examples=["topic:orders"])]


class Batch(BaseModel):
    """Publications, in the order in which they are to be published."""

    model_config = ConfigDict(extra="forbid")

    publications: list[Entry] = Field(min_length=1, max_length=AT_ONCE)


class Outcome(BaseModel):
    """What became of one: its place, or why there is none."""

    place: Place | None = None
    error: Problem | None = None


class Outcomes(BaseModel):
    """What became of each, in the order of the request."""

    results: list[Outcome]
    failed: int = Field(description="How many were not published.")


def batch_routes(hub: Hub) -> APIRouter:
    """Serve batches to programs with the scope `server` or `admin`."""
    router = APIRouter(tags=["channels"], dependencies=[Depends(trusted(hub))])

    @router.post("/channels/batch", response_model_exclude_none=True, summary="Publish up to 500 at once")
    async def publish(batch: Batch) -> Outcomes:
        """One after the other, in this order. It is not atomic: each stands for itself, and one that is refused holds up
        no other. Only when the broker did not take one, the rest is not tried, so that repeating the batch with the same
        `idempotency_key`s keeps the order. A body that is not valid is a 422, and nothing of it is published."""
        results: list[Outcome] = []
        for entry in batch.publications:
            try:
                results.append(Outcome(place=await published(hub, entry)))
            except (PublishError, Unavailable) as error:
                results.append(Outcome(error=described(error)))
                break
            except Refusal as error:
                results.append(Outcome(error=described(error)))
        left = len(batch.publications) - len(results)
        untried = described(PublishError("It was not tried, because the broker did not take one before it."))
        results += [Outcome(error=untried)] * left
        return Outcomes(results=results, failed=sum(result.error is not None for result in results))

    return router


async def published(hub: Hub, entry: Entry) -> Place:
    """Publish one of them."""
    position = await hub.publish(
        entry.channel,
        entry.event,
        entry.data,
        exclude=entry.exclude,
        idempotency_key=entry.idempotency_key,
    )
    return Place(id=position.id, epoch=position.epoch, offset=position.offset)

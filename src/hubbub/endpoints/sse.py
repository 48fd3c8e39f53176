"""The edge for server-sent events: from a request to a session, or to the reason why not."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from hubbub.codes import CloseCode, ErrorCode
from hubbub.dialects.sse_positions import LOST, MAX_CHANNELS, Positions, is_closed_id, read_positions
from hubbub.endpoints.admission import Admission, Turned, check_capacity, turned
from hubbub.endpoints.event_stream import EventEncoding, EventStream
from hubbub.endpoints.queued import Writers
from hubbub.exceptions import BadRequest, Forbidden, InvalidToken, SessionClosed
from hubbub.hub.channels import user_channel
from hubbub.hub.commands import Subscribe
from hubbub.hub.identity import Identity
from hubbub.hub.node import Node
from hubbub.hub.publications import Position

STATUS: Mapping[ErrorCode, HTTPStatus] = {
    ErrorCode.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    ErrorCode.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.UNKNOWN_CHANNEL: HTTPStatus.NOT_FOUND,
    ErrorCode.LIMIT_EXCEEDED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""How a request is refused; where it may succeed later without being changed it is 503."""

MORE_HEADERS: Mapping[HTTPStatus, Mapping[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.TOO_MANY_REQUESTS: {"Retry-After": "5"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "5"},
}

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Neither a cache nor nginx keeps anything of a stream back."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks for, as it was written.

    Args:
        channels: their names.
        tokens: for channels whose namespace asks for one.
        last_event_id: of the header, or else of the query.
    """

    channels: tuple[str, ...]
    tokens: tuple[str, ...]
    last_event_id: str


PARAMETERS = {"channel", "channel_token", "last_event_id", "ticket", "token"}


class SSEEndpoint:
    """Serves `GET /sse`.

    Args:
        node: called for the running node.
        admission: its doorkeeper and its pace, which all handshakes share.
        writers: runs the outlets' writers.
    """

    def __init__(self, node: Callable[[], Node], admission: Admission, writers: Writers) -> None:
        self._node = node
        self._admission = admission
        self._writers = writers
        self._encoding = EventEncoding()

    async def __call__(self, request: Request, wish: Wish) -> Response:
        """Answer a request: with a stream, or with a problem (RFC 9457) and no half of a stream."""
        asked = request.headers.get("last-event-id") or request.query_params.get("last_event_id", "")
        if is_closed_id(asked):
            return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store"})
        if not accepts_events(request.headers.getlist("accept")):
            return problem(
                HTTPStatus.NOT_ACCEPTABLE, "Here are server-sent events only: accept text/event-stream."
            )
        node = self._node()
        try:
            identity, tokens = await self._admit(node, request, wish)
        except Exception as error:  # noqa: BLE001 (logged where it is not one of ours)
            return refusal(node, error)
        since = positions(wish, identity)

        async def serve(scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
            stream = EventStream(node, self._writers, scope, receive, send, since)
            opening = Opening(node, stream, identity, wish, tokens, since)
            await stream.live(self._serve(opening, scope, receive, send, headers))

        return EventResponse(serve)

    async def _admit(
        self, node: Node, request: Request, wish: Wish
    ) -> tuple[Identity, Mapping[str, Identity]]:
        """Find out who asks, and whether they may have all that they ask for."""
        await self._admission.pace.step()
        headers = request.scope["headers"]
        self._admission.doorkeeper.check_origin(headers)
        check_site(request)
        check_capacity(node)
        if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
            raise BadRequest("This request takes no body.")
        unknown = sorted(request.query_params.keys() - PARAMETERS)
        if unknown and not wish.channels:  # beside channels it may be what keeps caches off
            raise BadRequest(f"There is no parameter {unknown[0]!r}: channels are named with `channel`.")
        most = min(MAX_CHANNELS, node.limits.subscriptions or MAX_CHANNELS)
        if max(len(wish.channels), len(wish.tokens)) > most:
            raise BadRequest(f"A stream may have {most} channels, and a token for each; open another one.")
        identity = await self._admission.doorkeeper.identify(headers, request.scope["query_string"])
        if identity is None:
            raise InvalidToken("Sign in: send a token as `Authorization: Bearer …`, a ticket, or the cookie.")
        tokens = {}
        for token in wish.tokens:
            lent = await node.dispatcher.subscription_token(token)
            tokens[str(lent.claims.get("channel"))] = lent
        for channel in wish.channels:
            await node.subscriptions.permit(identity, channel, tokens.get(channel))
        return identity, tokens

    async def _serve(
        self, opening: "Opening", scope: Scope, receive: Receive, send: Send, headers: "Headers"
    ) -> None:
        try:
            await opening.open(self._encoding)
        except SessionClosed:
            pass  # the words of its end are waiting
        except Exception as error:  # noqa: BLE001 (logged where it is not one of ours)
            answer = refusal(opening.node, error)
            opening.stream.finish()
            await answer(scope, receive, send)
            return
        with suppress(OSError):  # the client is gone
            await opening.stream.begin(headers)
            await opening.stream.until_over()


@dataclass(frozen=True, slots=True)
class Opening:
    """The steps from a request that is permitted to a session that is live on all of its channels."""

    node: Node
    stream: EventStream
    identity: Identity
    wish: Wish
    tokens: Mapping[str, Identity]
    since: Mapping[str, Position]

    async def open(self, encoding: EventEncoding) -> None:
        """Take the steps.

        Raises:
            Refusal: a limit refused.
            SessionClosed: it was ended meanwhile.
        """
        node, own = self.node, user_channel(self.identity.user_id)
        session = node.session(self.identity, encoding, self.stream)
        self.stream.carries(session)
        await node.connections.open(session, self.since.get(own))
        for channel in self.wish.channels:
            if channel in session.subscriptions:  # the user's own, of which the welcome told
                continue
            command = Subscribe(channel=channel, since=self.since.get(channel))
            subscription = await node.subscriptions.put_on(session, command)
            if subscription.token_bound:
                node.connections.bind(session, subscription, self.tokens[channel])


Headers = list[tuple[bytes, bytes]]


class EventResponse(EventSourceResponse):
    """FastAPI's response for event streams, served by an outlet instead of a generator.

    Args:
        serve: takes the ASGI callables and the response's headers.
    """

    def __init__(self, serve: Callable[[Scope, Receive, Send, Headers], Any]) -> None:
        super().__init__(iter(()), headers=STREAM_HEADERS)
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream to its end."""
        await self._serve(scope, receive, send, list(self.raw_headers))


def stream_url(path: str, standing: Mapping[str, Position]) -> str:
    """Write the address of a stream that begins where these channels stand."""
    query = [("channel", channel) for channel in standing]
    return f"{path}?{urlencode([*query, ('last_event_id', str(Positions(standing)))])}"


def positions(wish: Wish, identity: Identity) -> Mapping[str, Position]:
    """Read where a client stands; one that brings something unreadable is nowhere, and is told so for each channel."""
    if not wish.last_event_id:
        return {}
    channels = dict.fromkeys((user_channel(identity.user_id), *wish.channels))
    found = read_positions(wish.last_event_id, channels)
    return dict.fromkeys(channels, LOST) if found is None else found


def accepts_events(accept: Iterable[str]) -> bool:
    """Whether a client takes event streams, by its Accept headers (RFC 9110 section 12.5.1)."""
    ranges = [part.partition(";") for line in accept for part in line.split(",") if part.strip()]
    return not ranges or any(
        kind.strip().lower() in {"text/event-stream", "text/*", "*/*"}
        and parameters.replace(" ", "").lower() not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
        for kind, _, parameters in ranges
    )


def check_site(request: Request) -> None:
    """Turn away another site's page that asks as for a picture or a script: then there is no Origin, but the cookie.

    Raises:
        Forbidden: the browser says that it is so (Fetch Metadata).
    """
    site = request.headers.get("sec-fetch-site", "none")
    if "origin" not in request.headers and site not in {"none", "same-origin"}:
        raise Forbidden("A page of another site opens this stream with an EventSource or not at all.")


def refusal(node: Node, error: Exception) -> Response:
    """Say why there is no stream, and count it."""
    reason: Turned = turned(error)
    node.statistics.count(node.statistics.refused_connections, reason.error.value)
    again = reason.code is CloseCode.TRY_AGAIN_LATER
    unavailable = HTTPStatus.SERVICE_UNAVAILABLE
    status = unavailable if again else STATUS.get(reason.error, unavailable)
    return problem(status, str(reason), reason.error)


def problem(status: HTTPStatus, detail: str, code: ErrorCode | None = None) -> Response:
    """Write a problem document (RFC 9457)."""
    kind = "about:blank" if code is None else f"urn:hubbub:error:{code.value}"
    title = status.phrase if code is None else code.value.replace("_", " ").capitalize()
    return JSONResponse(
        {"type": kind, "title": title, "status": int(status), "detail": detail},
        status,
        headers={"Cache-Control": "no-store", **MORE_HEADERS.get(status, {})},
        media_type="application/problem+json",
    )

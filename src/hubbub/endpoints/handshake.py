"""From a handshake or a request to an identity: the Origin, the credential, the authenticator."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection

from hubbub.authentication.claims import for_one_channel
from hubbub.authentication.credentials import CredentialKind, find_credential
from hubbub.authentication.origins import OriginPolicy
from hubbub.authentication.tickets import TicketStore
from hubbub.codes import CloseCode
from hubbub.endpoints.injection import Injector
from hubbub.exceptions import AuthenticationUnavailable, Forbidden, HookTimeout, InvalidToken
from hubbub.hub.channels import name_problem, user_channel
from hubbub.hub.control.revocations import Revocations
from hubbub.hub.dispatch import Authenticator
from hubbub.hub.identity import ANONYMOUS_IDENTITY, Identity

Headers = Iterable[tuple[bytes, bytes]]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

logger = logging.getLogger(__name__)


class Doorkeeper:
    """Finds out who is at the door; the same for WebSocket, SSE and HTTP.

    Args:
        authenticate: reads tokens.
        tickets: redeems tickets.
        origins: which pages' browsers may come in.
        session_cookie: the cookie that carries a token; `None` looks at no cookie.
        revocations: whose tickets are worth nothing any more.
        allow_anonymous: whether somebody without a credential comes in as the user ``""``.
    """

    def __init__(
        self,
        authenticate: Authenticator,
        tickets: TicketStore,
        origins: OriginPolicy,
        session_cookie: str | None,
        revocations: Revocations | None = None,
        *,
        allow_anonymous: bool,
    ) -> None:
        self.authenticate = authenticate
        self._revocations = revocations
        self._tickets = tickets
        self._origins = origins
        self._session_cookie = session_cookie
        self._allow_anonymous = allow_anonymous

    def check_origin(self, headers: Headers) -> None:
        """Turn away a browser that shows somebody else's page.

        Raises:
            Forbidden: the Origin is not allowed.
        """
        self._origins.check(headers)

    async def identify(
        self, headers: Headers, query_string: bytes = b"", subprotocols: Sequence[str] = ()
    ) -> Identity | None:
        """Return who a handshake speaks for; `None` where it does not say and must.

        Raises:
            InvalidToken: its credential is not valid (`TokenRevoked`: not any more).
        """
        credential = find_credential(headers, query_string, subprotocols, cookie=self._session_cookie)
        if credential is None:
            return ANONYMOUS_IDENTITY if self._allow_anonymous else None
        if credential.kind is CredentialKind.TICKET:
            identity = await self._tickets.redeem(credential.value)
            if self._revocations is not None:
                self._revocations.check(identity)
            return identity
        return await self.authenticate(credential.value)

    async def identity(self, connection: HTTPConnection) -> Identity:
        """Be FastAPI's dependency: ``identity: Annotated[Identity, Depends(hub.identity)]``.

        Raises:
            HTTPException: 401 without a valid credential, 403 from a foreign Origin, 503 while tokens cannot be
                checked (on HTTP routes).
            WebSocketException: 4001, 4003, 4010 or 1013 (on WebSocket routes).
        """
        try:
            return await self._of_connection(connection)
        except InvalidToken as error:
            raise refuse(connection, 401, error.close_code, str(error)) from error
        except (AuthenticationUnavailable, HookTimeout) as error:
            raise refuse(connection, 503, CloseCode.TRY_AGAIN_LATER, str(error)) from error
        except Forbidden as error:
            raise refuse(connection, 403, CloseCode.FORBIDDEN, error.message) from error

    async def _of_connection(self, connection: HTTPConnection) -> Identity:
        scope = connection.scope
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        subprotocols: Sequence[str] = scope.get("subprotocols", ())
        changes_something = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        # A page's EventSource always asks for this type (HTML Standard, section 9.2).
        is_event_stream = "text/event-stream" in connection.headers.get("accept", "")
        if changes_something or is_event_stream:
            self.check_origin(headers)
        identity = await self.identify(headers, scope["query_string"], subprotocols)
        if identity is None:
            raise InvalidToken("Sign in: send a token as `Authorization: Bearer …`.")
        return identity


def refuse(connection: HTTPConnection, status: int, code: CloseCode, message: str) -> Exception:
    """Make the exception that Starlette turns into the right kind of refusal."""
    if connection.scope["type"] == "websocket":
        return WebSocketException(code=code, reason=message)
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}.get(status)
    return HTTPException(status, message, headers=headers)


def token_reader(
    injector: Injector,
    authenticate: Callable[..., Any] | None,
    revocations: Revocations,
    *,
    allow_anonymous: bool,
) -> Authenticator:
    """Make what turns tokens into identities of an application's function; without one, let no token pass."""
    if authenticate is not None:
        return checked(injector.prepare(authenticate, {"token": str}), revocations)
    if not allow_anonymous:
        logger.warning("This Hub lets nobody in: give it authenticate=… or allow_anonymous=True.")

    async def nobody(token: str) -> Identity:
        raise InvalidToken("This server accepts no tokens: its Hub has no authenticate=….")

    return nobody


def checked(
    authenticate: Callable[..., Awaitable[Any]], revocations: Revocations | None = None
) -> Authenticator:
    """Make an authenticator of a user's callable: `None` is an invalid token, anything odd an error.

    Args:
        authenticate: the callable.
        revocations: whose tokens are not taken any more.
    """

    async def call(token: str) -> Identity:
        try:
            identity = await authenticate(token=token)
        except Forbidden as error:
            if isinstance(error.__cause__, HTTPException) and error.__cause__.status_code == 401:
                raise InvalidToken(error.message) from error
            raise
        if identity is None:
            raise InvalidToken("The token is not valid.")
        if not isinstance(identity, Identity):
            raise TypeError(f"authenticate returned {type(identity).__name__}, not an Identity or None")
        problem = None if identity.is_anonymous else name_problem(user_channel(identity.user_id))
        if problem:
            raise InvalidToken(f"The token's user id {problem}, with `user:` before it.")
        if revocations is not None:
            revocations.check(identity)
        return identity

    return call


def for_connections(authenticate: Authenticator) -> Authenticator:
    """Refuse what was lent for one channel, which must not be worth all that its user may do."""

    async def call(token: str) -> Identity:
        identity = await authenticate(token)
        if for_one_channel(identity):
            raise InvalidToken("The token is for one channel; send it with `subscribe`.")
        return identity

    return call

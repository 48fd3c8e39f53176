"""An identity provider's public keys, fetched and kept (JSON Web Key Set, RFC 7517 section 5)."""

import asyncio
import logging
from types import TracebackType
from typing import Self

import httpx2
from jwt.algorithms import AllowedPublicKeys

from hubbub.authentication.keys import VerificationKey, read_key_set
from hubbub.clock import Clock, SystemClock
from hubbub.exceptions import AuthenticationUnavailable, ConfigurationError, InvalidToken

logger = logging.getLogger(__name__)

_HEADERS = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}


class JWKSet:
    """The keys at a provider's ``jwks_uri``; an async context manager, to be entered before use.

    They are fetched when the first token comes, and again when they are older than `max_age`, or when a token
    names a key that is not among them. However many callers wait, there is one request at a time. While the
    provider cannot be reached the keys that are known stay in use, and a warning is logged. Redirects are not
    followed.

    Args:
        url: where the set is: ``https``, or ``http`` inside a network that you trust.
        max_age: seconds after which the keys are fetched again.
        cooldown: seconds between two requests at least, so that tokens with invented key names cannot
            make this server hammer the provider.
        timeout: seconds that a request may take in all.
        max_bytes: how large the document may be.
        client: the HTTP client to use, for a proxy or a private authority; it is not closed here.
        clock: what tells the time.

    Raises:
        ConfigurationError: the URL is not one that can be fetched.
    """

    def __init__(
        self,
        url: str,
        *,
        max_age: float = 300.0,
        cooldown: float = 10.0,
        timeout: float = 5.0,
        max_bytes: int = 262_144,
        client: httpx2.AsyncClient | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._url = _checked(url)
        # A query may carry an access key of the provider's.
        self._shown = str(self._url.copy_with(query=None))
        self._max_age = max_age
        self._cooldown = cooldown
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._given_client = client
        self._clock = clock or SystemClock()
        self._client: httpx2.AsyncClient | None = None
        self._holders = 0
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._failure: str | None = None
        self._flight: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._holders == 0:
            self._client = self._given_client or httpx2.AsyncClient()
        self._holders += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._holders -= 1
        if self._holders:
            return
        client, self._client = self._client, None
        flight, self._flight = self._flight, None
        self._asked_at = None
        if flight is not None:
            flight.cancel()
            await asyncio.wait([flight])
        if client is not None and client is not self._given_client:
            await client.aclose()

    async def find(self, kid: str | None, algorithm: str) -> AllowedPublicKeys:
        """Return the key of that name for that algorithm; a token may leave the name out where one key fits.

        Raises:
            InvalidToken: the provider lists no such key.
            AuthenticationUnavailable: the provider's keys cannot be had, or not the newest, of which it
                might be one.
        """
        if self._fetched_at is None or self._clock.monotonic() - self._fetched_at >= self._max_age:
            # Once the provider is known to be in trouble, its timeouts are not the users' to wait for.
            await self._renew(wait=not self._keys or self._failure is None)
        if kid is not None and not self._named(kid):
            await self._renew()
        found = self._named(kid)
        if not found:
            if self._failure is not None or self._fetched_at is None:
                raise AuthenticationUnavailable(
                    "The token could not be checked, because the identity provider's keys cannot be had: try again"
                )
            raise InvalidToken("The token is signed with a key that the identity provider does not list")
        fitting = [key for key in found if algorithm in key.algorithms]
        if not fitting:
            raise InvalidToken("The token's algorithm (`alg`) does not fit the key that it names")
        if len(fitting) > 1:
            raise InvalidToken("The token does not say which key (`kid`) of several signed it")
        return fitting[0].material

    async def fetch(self) -> int:
        """Fetch the keys now, whatever the cooldown, and return how many are usable.

        Raises:
            AuthenticationUnavailable: they could not be had; the message says why, for whoever runs the server.
        """
        self._asked_at = None
        await self._renew()
        if self._failure is not None:
            raise AuthenticationUnavailable(self._failure)
        return len(self._keys)

    def _named(self, kid: str | None) -> list[VerificationKey]:
        return [key for key in self._keys if kid is None or key.kid == kid]

    async def _renew(self, *, wait: bool = True) -> None:
        """Join the request that is on its way, or make one unless the last was too short a time ago."""
        if self._client is None:
            raise ConfigurationError(
                "The JWKSet is not open: enter it, or the JWTAuthenticator that has it, with `async with` "
                "in the application's lifespan."
            )
        if self._flight is None:
            now = self._clock.monotonic()
            if self._asked_at is not None and now - self._asked_at < self._cooldown:
                return
            self._asked_at = now
            # A task of its own: a caller who gives up must not take the answer from all others.
            self._flight = asyncio.create_task(self._update(self._client), name="hubbub-jwks")
        if wait:
            await asyncio.wait([self._flight])
            if self._client is None:
                raise AuthenticationUnavailable("The server is shutting down: try again")

    async def _update(self, client: httpx2.AsyncClient) -> None:
        try:
            # `httpx2` counts its timeouts per read, by which a server that drips has no end.
            async with asyncio.timeout(self._timeout):
                document = await self._download(client)
            self._keys = read_key_set(document)
        except TimeoutError:
            self._failed(f"no answer within {self._timeout:g} s")
        except ValueError as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001
            # A provider can fail in more ways than can be listed, and the token is to blame for none of them.
            self._failed(f"{type(error).__name__} {error}")
        else:
            self._fetched_at = self._clock.monotonic()
            self._failure = None
        finally:
            self._flight = None

    def _failed(self, why: str) -> None:
        self._failure = f"The identity provider's keys at {self._shown} cannot be had: {why}"
        logger.warning(
            "%s; %s", self._failure, "the known ones stay in use" if self._keys else "none are known"
        )

    async def _download(self, client: httpx2.AsyncClient) -> bytes:
        async with client.stream(
            "GET", self._url, headers=_HEADERS, follow_redirects=False, timeout=self._timeout
        ) as response:
            if response.is_redirect:
                raise ValueError(
                    "it redirects, and redirects are not followed: configure the address it leads to"
                )
            if response.status_code != httpx2.codes.OK:
                raise ValueError(f"it answers {response.status_code}")
            document = bytearray()
            async for chunk in response.aiter_bytes():
                document += chunk
                if len(document) > self._max_bytes:
                    raise ValueError(f"it is larger than {self._max_bytes} bytes")
            return bytes(document)


def _checked(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError):
        raise ConfigurationError(f"The address of the JWKS, {url!r}, is not a URL.") from None
    if parsed.scheme not in {"https", "http"} or not parsed.host:
        raise ConfigurationError(f"The address of the JWKS, {url!r}, must be an https:// URL.")
    if parsed.userinfo:
        raise ConfigurationError("The address of the JWKS must not contain a user or password.")
    return parsed

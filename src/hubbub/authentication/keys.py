"""The keys that check signatures: an HMAC secret, or the public keys of a JSON Web Key Set (RFC 7517)."""

import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.algorithms import AllowedPublicKeys

from hubbub.exceptions import ConfigurationError

logger = logging.getLogger(__name__)

LEAST_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""A key as long as the hash, by algorithm (RFC 7518 section 3.2)."""

_BY_KEY_TYPE = {
    "RSA": frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    "EC P-256": frozenset({"ES256"}),
    "EC P-384": frozenset({"ES384"}),
    "EC P-521": frozenset({"ES512"}),
    "EC secp256k1": frozenset({"ES256K"}),
    "OKP Ed25519": frozenset({"EdDSA"}),
    "OKP Ed448": frozenset({"EdDSA"}),
}

PUBLIC_KEY_ALGORITHMS = frozenset[str]().union(*_BY_KEY_TYPE.values())


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key of a provider's set.

    Args:
        kid: its name in the set, if it has one.
        algorithms: what it may verify: the one that the key states, or all that its type can.
        material: the key itself.
    """

    kid: str | None
    algorithms: frozenset[str]
    material: AllowedPublicKeys


def hmac_key(secret: str | bytes, algorithms: Collection[str], name: str = "The secret") -> bytes:
    """Return the bytes of an HMAC secret that is fit for all of `algorithms`.

    Raises:
        ConfigurationError: it is shorter than RFC 7518 section 3.2 asks, or it is not a secret at all.
    """
    key = secret.encode() if isinstance(secret, str) else secret
    least = max(LEAST_SECRET_BYTES[algorithm] for algorithm in algorithms)
    if len(key) < least:
        raise ConfigurationError(
            f"{name} has {len(key)} bytes, and {' and '.join(sorted(algorithms))} needs at least {least}. "
            f'Make one with: python -c "import secrets; print(secrets.token_urlsafe({least}))"'
        )
    try:
        # PyJWT refuses such a key too, but only when the first token comes.
        jwt.PyJWS().get_algorithm_by_name("HS256").prepare_key(key)
    except jwt.InvalidKeyError:
        raise ConfigurationError(
            f"{name} looks like a public key, a certificate or a JWK, which anybody may know: "
            "use random bytes; for a provider's keys use JWTAuthenticator(keys=JWKSet(url))."
        ) from None
    return key


def read_key_set(document: bytes) -> tuple[VerificationKey, ...]:
    """Read a JSON Web Key Set; keys that are not for verifying signatures or not usable here are left out.

    Raises:
        ValueError: it is not a key set; the message says why.
    """
    try:
        content = json.loads(document)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    entries = content.get("keys") if isinstance(content, dict) else None
    found = map(_usable, entries if isinstance(entries, list) else [])
    keys = tuple(key for key in found if key is not None)
    if not keys:
        raise ValueError("it has no list `keys` with a key that can verify a signature")
    return keys


def _usable(entry: Any) -> VerificationKey | None:
    """Return the key of one entry of a set, or `None` where it is not for us (RFC 7517 sections 4.2, 4.3)."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    operations = entry.get("key_ops", ["verify"])
    kid = entry.get("kid")
    algorithms = _algorithms(entry)
    if not isinstance(operations, list) or "verify" not in operations or not algorithms:
        return None
    if kid is not None and not isinstance(kid, str):
        return None
    if "d" in entry:
        logger.warning(
            "A key of the provider's set holds its private part: left out, and it must be replaced"
        )
        return None
    try:
        key = jwt.PyJWK(entry, algorithm=min(algorithms))
    except (jwt.PyJWTError, ArithmeticError, LookupError, TypeError, ValueError):
        logger.debug("A key of the provider's set cannot be read: left out")
        return None
    if key.Algorithm.check_key_length(key.key) is not None:
        logger.warning("A key of the provider's set is too short to trust: left out")
        return None
    return VerificationKey(kid, algorithms, key.key)


def _algorithms(entry: dict[str, Any]) -> frozenset[str]:
    """Return what a key may verify. Shared secrets (`oct`) are none: a set that is public keeps no secret."""
    kind = entry.get("kty")
    fitting = _BY_KEY_TYPE.get("RSA" if kind == "RSA" else f"{kind} {entry.get('crv')}", frozenset())
    stated = entry.get("alg")
    if stated is None:
        return fitting
    return frozenset({stated}) & fitting if isinstance(stated, str) else frozenset()

"""PyJWT's check of a signature, without the work that is the same for every token."""

import base64
import binascii
from collections.abc import Sequence

import jwt
from jwt.algorithms import Algorithm, HMACAlgorithm


class PreparedHMAC(HMACAlgorithm):
    """HMAC with secrets that `hubbub.authentication.keys.hmac_key` has let through.

    PyJWT holds every secret against its length, and against what a public key or a JWK looks like, for each token anew:
    10 of 29 µs. `hmac_key` does the same, with PyJWT's own code, once.
    """

    def prepare_key(self, key: str | bytes) -> bytes:
        """Take a secret as it is."""
        return key.encode() if isinstance(key, str) else key

    def check_key_length(self, key: bytes) -> None:
        """Find nothing wrong with it."""
        return


_HASHES = {"HS256": HMACAlgorithm.SHA256, "HS384": HMACAlgorithm.SHA384, "HS512": HMACAlgorithm.SHA512}


class Verifier(jwt.PyJWS):
    """PyJWT's `PyJWS` with a shorter way for the parts of a token that are as they should be.

    PyJWT looks at each character in Python: 10 of 29 µs. What the shorter way does not take, PyJWT judges. Should it
    rename its method, all parts go PyJWT's own way, which is slower and as right; a test tells.
    """

    @staticmethod
    def _decode_base64url_segment(segment: bytes, name: str) -> bytes:
        # Characters of another alphabet, a length of 1 modulo 4, padding, and bits behind the last byte: none of
        # them comes back from decoding and encoding.
        try:
            decoded = base64.urlsafe_b64decode(segment + b"==")
        except binascii.Error:
            decoded = None
        if decoded is not None and base64.urlsafe_b64encode(decoded).rstrip(b"=") == segment:
            return decoded
        judged: bytes = jwt.PyJWS._decode_base64url_segment(segment, name)  # noqa: SLF001
        return judged


def verifier(algorithms: Sequence[str]) -> jwt.PyJWS:
    """Return what checks signatures by these algorithms, of which those for secrets expect keys from `hmac_key`.

    Only these exist for it: `none` is not refused, it is unknown.
    """
    known: dict[str, Algorithm] = {
        name: PreparedHMAC(_HASHES[name]) for name in algorithms if name in _HASHES
    }
    made = Verifier(
        [name for name in algorithms if name not in known], options={"enforce_minimum_key_length": True}
    )
    for name, algorithm in known.items():
        made.register_algorithm(name, algorithm)
    return made

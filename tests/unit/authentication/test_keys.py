import contextlib
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from hubbub.authentication.keys import hmac_key, read_key_set
from hubbub.exceptions import ConfigurationError


def key_set(*entries) -> bytes:
    return json.dumps({"keys": entries}).encode()


def test_secret_of_32_bytes_is_enough_for_hs256():
    assert hmac_key("é" * 16, ["HS256"]) == "é".encode() * 16
    with pytest.raises(ConfigurationError, match=r"has 31 bytes.*at least 32.*token_urlsafe\(32\)"):
        hmac_key("x" * 31, ["HS256"])


def test_longer_hashes_need_longer_secrets():
    with pytest.raises(ConfigurationError, match="at least 64"):
        hmac_key(b"x" * 63, ["HS256", "HS512"])
    assert hmac_key(b"x" * 64, ["HS256", "HS512"]) == b"x" * 64


def test_public_key_is_no_secret(rsa_signer):
    pem = rsa_signer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for secret in (pem, json.dumps(rsa_signer.jwk())):
        with pytest.raises(ConfigurationError, match="which anybody may know"):
            hmac_key(secret, ["HS256"])


def test_reads_each_kind_of_key(rsa_signer, ec_signer, okp_signer):
    keys = read_key_set(key_set(rsa_signer.jwk("r"), ec_signer.jwk("e"), okp_signer.jwk()))
    assert [key.kid for key in keys] == ["r", "e", None]
    assert "PS512" in keys[0].algorithms
    assert keys[1].algorithms == {"ES256"}
    assert keys[2].algorithms == {"EdDSA"}


def test_stated_algorithm_is_the_only_one(rsa_signer):
    (key,) = read_key_set(key_set(rsa_signer.jwk("r", alg="PS256")))
    assert key.algorithms == {"PS256"}


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"alg": "RSA-OAEP"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": ["RS256"]},
        {"kid": 7},
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"},
        {"kty": ["RSA"]},
        {"n": "!"},
        {"n": 5},
        {"n": ""},
        {"e": None},
    ],
)
def test_entry_that_is_not_for_us_is_left_out(rsa_signer, ec_signer, members):
    keys = read_key_set(key_set(rsa_signer.jwk("odd", **members), 7, None, ec_signer.jwk("good")))
    assert [key.kid for key in keys] == ["good"]


def test_private_key_is_left_out(rsa_signer, ec_signer, okp_signer, caplog):
    private = [
        RSAAlgorithm.to_jwk(rsa_signer.key, as_dict=True) | {"key_ops": ["sign", "verify"]},
        ECAlgorithm.to_jwk(ec_signer.key, as_dict=True),
        OKPAlgorithm.to_jwk(okp_signer.key, as_dict=True),
    ]
    assert all("d" in jwk for jwk in private)
    assert [key.kid for key in read_key_set(key_set(*private, ec_signer.jwk("good")))] == ["good"]
    assert "private part" in caplog.text


def test_short_rsa_key_is_left_out(ec_signer):
    short = rsa.generate_private_key(65537, 1024)
    jwk = RSAAlgorithm.to_jwk(short.public_key(), as_dict=True)
    assert [key.kid for key in read_key_set(key_set(jwk, ec_signer.jwk("good")))] == ["good"]


@pytest.mark.parametrize(
    "document",
    [b"", b"<html>", b"\xff\xfe", b"[]", b"null", b'{"keys": {}}', b'{"keys": []}', b"[" * 100_000],
)
def test_what_is_no_key_set(document):
    with pytest.raises(ValueError, match=r"^it "):
        read_key_set(document)


MEMBERS = ("kty", "crv", "alg", "use", "key_ops", "kid", "n", "e", "x", "y", "d", "k")
VALUES = st.one_of(
    st.sampled_from(
        ["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "Ed448", "secp256k1", "RS256", "none", "AQAB"]
    ),
    st.text("AQ_-=!é\x00", max_size=40),
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats(), st.lists, max_leaves=3),
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(MEMBERS), VALUES), max_size=3))
def test_no_entry_makes_reading_fail_otherwise(entries):
    with contextlib.suppress(ValueError):
        assert read_key_set(key_set(*entries))

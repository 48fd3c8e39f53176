"""Redis over TLS: a real server with a certificate of an authority that only the test knows."""

import datetime as dt
import ipaddress
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ports import steady_port
from redis_faults import kill_clients, well
from redis_servers import RedisServer, redis_server
from redis_stage import hearing, say

from hubbub.brokers.redis import RedisBroker
from hubbub.exceptions import ConfigurationError


@dataclass(frozen=True)
class Encrypted:
    """A server that speaks TLS on `port`, and whose certificate `authority` has signed."""

    redis: RedisServer
    port: int
    authority: Path

    def url(self, options: str = "", host: str = "127.0.0.1") -> str:
        return f"rediss://{host}:{self.port}/0{options}"


def write_certificates(folder: Path) -> None:
    """Write ca.pem, and server.pem with server.key, for 127.0.0.1 alone."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The authority of a test")])
    authority = certificate(issuer, issuer, authority_key, authority_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    server = certificate(issuer, subject, authority_key, key.public_key()).add_extension(here, critical=False)
    for name, builder in (("ca.pem", authority), ("server.pem", server)):
        signed = builder.sign(authority_key, hashes.SHA256())
        (folder / name).write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def certificate(
    issuer: x509.Name,
    subject: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )


@pytest.fixture
async def encrypted(tmp_path: Path) -> AsyncIterator[Encrypted]:
    write_certificates(tmp_path)
    port = steady_port()
    settings = (
        f"tls-port {port}",
        f'tls-ca-cert-file "{tmp_path / "ca.pem"}"',
        f'tls-cert-file "{tmp_path / "server.pem"}"',
        f'tls-key-file "{tmp_path / "server.key"}"',
        "tls-auth-clients no",
    )
    async with redis_server(tmp_path, *settings) as server:
        yield Encrypted(server, port, tmp_path / "ca.pem")


async def test_what_is_said_over_tls_arrives_and_goes_on_after_a_cut(encrypted):
    async with hearing(encrypted.url(f"?tls_ca={encrypted.authority}"), "room:a") as (broker, arrivals):
        first = await say(broker, "room:a")
        await arrivals.count(1)
        assert await kill_clients([encrypted.redis])
        await well(broker)
        await say(broker, "room:a")
        assert len((await broker.read("room:a", first)).publications) == 1
        await arrivals.count(2)


async def test_a_certificate_is_looked_at_unless_one_says_otherwise(encrypted):
    trusted = f"?tls_ca={encrypted.authority}"
    for url in (encrypted.url(), encrypted.url(trusted, host="localhost")):
        with pytest.raises(ConfigurationError, match=r"is not trusted: .* Name its authority: \?tls_ca=file"):
            async with RedisBroker(url):
                pass
    async with RedisBroker(encrypted.url("?tls_verify=false", host="localhost")) as broker:
        assert broker.problem is None


async def test_an_authority_that_cannot_be_read_is_said(encrypted, tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere\.pem"):
        async with RedisBroker(encrypted.url(f"?tls_ca={tmp_path}/nowhere.pem")):
            pass

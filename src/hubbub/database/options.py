"""What may stand behind the question mark of a PostgreSQL's URL: the words of libpq, for a driver that has others."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from hubbub.exceptions import ConfigurationError

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
CHANNEL_BINDINGS = ("disable", "prefer", "require")

SSL_MODE = "sslmode"
ALIASES = {"ssl": SSL_MODE}
"""What SQLAlchemy's URLs for asyncpg say instead."""
TLS = (SSL_MODE, "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword")
SETTINGS = ("application_name", "options")
"""What the server is told when a connection begins."""
HOSTS = ("host", "port")
"""Several servers, or the folder of a socket: SQLAlchemy reads these."""
DRIVERS = ("target_session_attrs", "passfile", "prepared_statement_cache_size")
KNOWN = (*TLS, *SETTINGS, *HOSTS, *DRIVERS, "connect_timeout", "channel_binding")
SECRETS = ("user", "password")

Query = Mapping[str, str | tuple[str, ...]]


def read_options(query: Query) -> dict[str, str | tuple[str, ...]]:
    """Return the options of a URL, by libpq's names.

    ``channel_binding`` is read and left out, because the driver has none: TLS with ``verify-full`` is what keeps others out.

    Raises:
        ConfigurationError: one is not known, or says what it cannot; nothing that may be secret is in the message.
    """
    options: dict[str, str | tuple[str, ...]] = {}
    for given, value in query.items():
        name = ALIASES.get(given, given)
        if name in SECRETS:
            raise ConfigurationError(
                f"{name} stands before the host, where it is kept from the logs: postgresql://user:password@host:5432/name."
            )
        if name not in KNOWN:
            raise ConfigurationError(
                f"{given!r} is no option of PostgreSQL's URL: use {', '.join(sorted(KNOWN))}."
            )
        if name in HOSTS:
            options[name] = value
            continue
        if not isinstance(value, str) or name in options:
            raise ConfigurationError(f"{given} is said more than once.")
        _check(name, value)
        options[name] = value
    options.pop("channel_binding", None)
    return options


def for_sqlalchemy(options: Query) -> dict[str, str | tuple[str, ...]]:
    """Return those that SQLAlchemy reads in the URL itself."""
    return {name: options[name] for name in HOSTS if name in options}


def for_driver(options: Query, *, connect: float, settings: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments that asyncpg is called with.

    Args:
        options: as `read_options` returned them.
        connect: seconds in which a connection is made, where the URL says nothing.
        settings: of the server; those of the URL come first.
    """
    said = {name: options[name] for name in SETTINGS if name in options}
    arguments: dict[str, Any] = {
        "timeout": float(str(options.get("connect_timeout", connect))),
        "server_settings": {**settings, **said},
        **{name: options[name] for name in DRIVERS if name in options},
    }
    tls = {name: options[name] for name in TLS if name in options}
    if tls:  # only in a URL does the driver understand them all
        arguments["dsn"] = f"postgresql://?{urlencode(tls)}"
    return arguments


def _check(name: str, value: str) -> None:
    allowed = {SSL_MODE: SSL_MODES, "channel_binding": CHANNEL_BINDINGS}.get(name)
    if allowed is not None and value not in allowed:
        raise ConfigurationError(f"{name} is one of {', '.join(allowed)}, not {value!r}.")
    if name == "connect_timeout" and not (value.isdecimal() and int(value) > 0):
        raise ConfigurationError(f"connect_timeout is a number of seconds, from 1, not {value!r}.")
    if name == "prepared_statement_cache_size" and not value.isdecimal():
        raise ConfigurationError(f"{name} is a number, from 0, not {value!r}.")

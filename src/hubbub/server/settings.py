"""The settings of `hubbub serve`: environment variables that begin with ``HUBBUB_``, or a ``.env``."""

import difflib
import json
import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)

from hubbub import ConfigurationError, ConnectionsPolicy
from hubbub.server.durations import seconds, written

PREFIX = "HUBBUB_"

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:/\s*s)?", re.ASCII)

NOT_BUILT = {
    "STORAGE_URL": "storage",
    "SMTP_URL": "mail",
    "JOBS_URL": "jobs",
}
"""Settings of the contract whose engine this version has not: to take them silently would be a lie."""

OPTIONS = ("HOST", "PORT", "WORKERS")
"""What `hubbub serve` takes as options, and people look for among the settings."""


def words(value: object) -> object:
    """Read a list: separated by commas, or a JSON array."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError(
                'expected a list separated by commas, or a JSON array such as ["a", "b"]'
            ) from None
    return [word.strip() for word in value.split(",") if word.strip()]


def rate(value: object) -> float:
    """Read how many a second: ``50`` or ``50/s``."""
    match = _RATE.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("expected how many a second, such as 50 or 50/s")
    return float(match[1])


def address(value: object) -> object:
    """Read the address of this server as browsers see it."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.lower().startswith(("http://", "https://")):
        raise ValueError("expected an address such as https://chat.example.com")
    return value.rstrip("/")


def lower(value: object) -> object:
    """Read a word in any case."""
    return value.lower() if isinstance(value, str) else value


DURATION = BeforeValidator(seconds)

Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(words)]
Duration = Annotated[float, DURATION]
Positive = Annotated[float, DURATION, Field(gt=0)]


def shown(default: str) -> Any:
    """Say what the table of settings shows as the default, where the field's own is not it."""
    return {"default": default}


class Settings(BaseSettings):
    """Every setting; each has a default that works for one process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    data_dir: Path = Field(
        Path("hubbub-data"),
        description="Folder of the SQLite file and the generated secret; made when missing.",
    )
    config: Path | None = Field(
        None,
        description="The file with the namespaces.",
        json_schema_extra=shown("`hubbub.toml`, if it exists"),
    )
    public_url: Annotated[str | None, BeforeValidator(address)] = Field(
        None,
        description="Address of this server as browsers see it; sign-in links begin with it.",
        json_schema_extra=shown("where it listens"),
    )

    secret_key: SecretStr | None = Field(
        None,
        description="Signs and checks tokens (HS256); at least 32 bytes.",
        json_schema_extra=shown("generated in `DATA_DIR`"),
    )
    secret_key_previous: SecretStr | None = Field(
        None, description="Accepted beside `SECRET_KEY`, while a key is rotated."
    )
    jwks_url: str | None = Field(
        None, description="An identity provider's keys: its tokens are accepted beside the server's own."
    )
    jwt_issuer: str | None = Field(None, description="What `iss` of the provider's tokens must be.")
    jwt_audience: Words = Field(
        (), description="What `aud` of the provider's tokens must name; several: one of them."
    )
    jwt_algorithms: Words = Field(
        (),
        description="Which algorithms the provider's tokens may use.",
        json_schema_extra=shown("`RS256,ES256,EdDSA`"),
    )

    database_url: SecretStr | None = Field(
        None,
        description="Where rows are kept: `postgresql://user:password@host/name`, or `sqlite:///path`; "
        "see [The database](database.md).",
        json_schema_extra=shown("SQLite in `DATA_DIR`"),
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Many nodes on one Redis 7: `redis://`, `rediss://`, `redis+sentinel://` or `redis+cluster://`; "
        "see [Many nodes](redis.md).",
        json_schema_extra=shown("none: one process, in memory"),
    )

    allowed_origins: Words = Field(
        (),
        description="Web pages of other origins that may use the API and open WebSockets, separated by commas, "
        "such as `https://app.example.com`.",
        json_schema_extra=shown("same origin"),
    )
    allow_anonymous: bool = Field(
        False,
        description='Let connections without a token in, as user `""`, to namespaces with `subscribe = "anyone"`.',
    )

    max_connections: NonNegativeInt = Field(10_000, description="Connections to this server; `0`: no limit.")
    max_connections_per_user: NonNegativeInt = Field(
        20, description="Connections of one user; `0`: no limit."
    )
    connections_per_user_policy: Annotated[ConnectionsPolicy, BeforeValidator(lower)] = Field(
        ConnectionsPolicy.MANY,
        description="`many`, or `replace`: a new connection closes the user's old one with 1000.",
    )
    max_message_bytes: NonNegativeInt = Field(
        65_536, description="Largest message from a client; `0`: no limit."
    )
    compression: bool = Field(
        True, description="Whether messages are compressed for clients that can (permessage-deflate)."
    )
    max_subscriptions: NonNegativeInt = Field(
        128, description="Channels that one connection may be on; `0`: no limit."
    )
    message_rate: Annotated[float, BeforeValidator(rate)] = Field(
        50.0,
        description="Messages a second from one connection; `0`: no limit.",
        json_schema_extra=shown("`50/s`"),
    )

    heartbeat_interval: Positive = Field(25.0, description="Time between pings.")
    presence_lease: Positive = Field(30.0, description="Time after which members of a dead node have left.")
    presence_grace: Duration = Field(
        5.0, description="Time for which a member whose connection broke is still present."
    )
    drain_time: Positive = Field(
        15.0,
        description="Time in which clients are sent away before a stop, and requests that are being answered end.",
    )

    jobs_concurrency: Annotated[int, Field(ge=0, le=1000)] = Field(
        10,
        description="Background jobs that each process runs at once; `0`: none, they are left to "
        "[`hubbub worker`](operations.md#background-jobs).",
    )

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower)] = Field(
        "info", description="Least level that is logged: `debug`, `info`, `warning` or `error`."
    )
    log_format: Annotated[Literal["console", "json"] | None, BeforeValidator(lower)] = Field(
        None,
        description="`console` for people, `json` for machines.",
        json_schema_extra=shown("`console` on a terminal, else `json`"),
    )


def load_settings(**given: Any) -> Settings:
    """Read the environment and ``.env``; what is `given` comes before both.

    Raises:
        ConfigurationError: a name or a value that cannot be, one line for each.
    """
    problems = list(_wrong_names())
    try:
        settings = Settings(**given)
    except ValidationError as error:
        problems += [_told(details) for details in error.errors()]
    if problems:
        raise ConfigurationError("\n".join(problems))
    _check_provider(settings)
    return settings


def settings_table() -> str:
    """Write the settings as a table in Markdown, for the documentation."""
    rows = ["| Name | Default | Meaning |", "|---|---|---|"]
    rows += [
        f"| `{PREFIX}{name.upper()}` | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(rows)


def _default(field: FieldInfo) -> str:
    if isinstance(field.json_schema_extra, dict):
        return str(field.json_schema_extra["default"])
    match field.default:
        case None | ():
            return "none"
        case Enum() as member:
            return f"`{member.value}`"
        case bool() as switch:
            return f"`{str(switch).lower()}`"
        case float() as duration:
            return f"`{written(duration)}`"
        case other:
            return f"`{other}`"


def _wrong_names() -> list[str]:
    """Find variables that nothing reads: a name with a typo is silently a default otherwise."""
    found = {*EnvSettingsSource(Settings).env_vars, *DotEnvSettingsSource(Settings).env_vars}
    names = sorted(name.upper() for name in found if name.upper().startswith(PREFIX))
    return [problem for name in names if (problem := _wrong(name.removeprefix(PREFIX)))]


def _wrong(name: str) -> str | None:
    known = [field.upper() for field in Settings.model_fields]
    if name in known:
        return None
    if name in NOT_BUILT:
        return (
            f"{PREFIX}{name} is set, and this version of Hubbub has no {NOT_BUILT[name]} engine yet: "
            "unset it to run in one process, in memory."
        )
    if name in OPTIONS:
        return f"{PREFIX}{name} is not a setting: it is the option --{name.lower()} of `hubbub serve`."
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    advice = f"did you mean {PREFIX}{nearest[0]}?" if nearest else "see docs/configuration.md for the names."
    return f"{PREFIX}{name} is not a setting: {advice}"


def _told(details: Any) -> str:
    name = str(details["loc"][0])
    value = (
        "" if name.startswith("secret") or name in {"redis_url", "database_url"} else f"={details['input']}"
    )
    said = details["msg"].removeprefix("Value error, ")
    return f"{PREFIX}{name.upper()}{value}: {said[0].lower()}{said[1:]}."


def _check_provider(settings: Settings) -> None:
    rules = {
        "JWT_ISSUER": settings.jwt_issuer,
        "JWT_AUDIENCE": settings.jwt_audience,
        "JWT_ALGORITHMS": settings.jwt_algorithms,
    }
    idle = [PREFIX + name for name, value in rules.items() if value]
    if idle and settings.jwks_url is None:
        raise ConfigurationError(
            f"{' and '.join(idle)}: these judge an identity provider's tokens, so set {PREFIX}JWKS_URL too."
        )

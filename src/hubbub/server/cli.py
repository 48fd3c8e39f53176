"""The command line."""

import json
import secrets
from typing import Annotated

import typer

from hubbub import ConfigurationError, TokenIssuer, __version__
from hubbub.database.schema import State
from hubbub.jobs.jobs import CONCURRENCY
from hubbub.server.app import create_app
from hubbub.server.bench_command import DEFAULT_ADDRESS, bench
from hubbub.server.checks import run_checks
from hubbub.server.data_dir import running_at
from hubbub.server.durations import seconds
from hubbub.server.jobs_worker import run_worker
from hubbub.server.schema import database_address, migrate_schema
from hubbub.server.serving import serve as run_server
from hubbub.server.settings import load_settings
from hubbub.server.signing_keys import LEAST_BYTES, SigningKeys, signing_keys
from hubbub.server.tokens import issue_code, sign_in_link

DONE = {
    State.EMPTY: "tables made.",
    State.OLD: "brought up to date.",
    State.CURRENT: "up to date already.",
    State.NEWER: "has the tables of a later version already, which this one can use.",
}
"""What `hubbub migrate` says of a database that was so."""

app = typer.Typer(
    name="hubbub",
    help="The real-time backend for FastAPI.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; what cannot work is one line on standard error and exit code 2."""
    try:
        app()
    except ConfigurationError as error:
        for line in str(error).splitlines():
            typer.echo(f"hubbub: {line}", err=True)
        raise SystemExit(2) from None


def show_version(wanted: bool) -> None:
    """Print the version."""
    if wanted:
        typer.echo(f"hubbub {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hubbub: rooms, presence, topics and recovery of missed messages."""


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes; more than one needs Redis.")] = 1,
) -> None:
    """Run the server."""
    run_server(load_settings(), host, port, workers)


@app.command()
def worker(
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="Jobs at once; by default HUBBUB_JOBS_CONCURRENCY, or 10 where that is 0."
        ),
    ] = None,
) -> None:
    """Run background jobs only, beside a server on the same Redis and database."""
    settings = load_settings()
    run_worker(settings, concurrency or settings.jobs_concurrency or CONCURRENCY)


@app.command()
def token(
    user: Annotated[str, typer.Option("--user", help="The user's id.")],
    admin: Annotated[bool, typer.Option("--admin", help="With the scope `admin`.")] = False,
    ttl: Annotated[str, typer.Option(metavar="TIME", help="How long it is good: 15m, 1h, 1d.")] = "1h",
) -> None:
    """Print an access token, and on a second line a link that signs in once."""
    settings = load_settings()
    issuer = TokenIssuer(signing_keys(settings).current)
    scopes = frozenset({"admin"} if admin else ())
    try:
        duration = seconds(ttl)
        access = issuer.issue(user, ttl=duration, scopes=scopes)
        code = issue_code(issuer, user, ttl=duration, scopes=scopes)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(access)
    address = settings.public_url or running_at(settings.data_dir) or DEFAULT_ADDRESS
    typer.echo(sign_in_link(address, code))


@app.command()
def check() -> None:
    """Check the settings and every configured part; exit 1 if anything is wrong."""
    wrong = False
    for result in run_checks():
        typer.echo(str(result))
        wrong = wrong or not result.ok
    raise typer.Exit(1 if wrong else 0)


@app.command()
def migrate() -> None:
    """Bring the database up to date; `serve` does so by itself on SQLite."""
    settings = load_settings()
    before = migrate_schema(settings)
    typer.echo(f"{database_address(settings)}: {DONE[before]}")


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP API."""
    # The document says nothing of the secret, so none is made in DATA_DIR for it.
    keys = SigningKeys(secrets.token_hex(LEAST_BYTES))
    typer.echo(json.dumps(create_app(load_settings(), keys).openapi(), indent=2, ensure_ascii=False))


app.command()(bench)

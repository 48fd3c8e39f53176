"""The command line.

Each command imports what it runs when it runs: the web server, the database and the settings cost more than most commands
have to do, and `--help` and `--version` need none of them.
"""

import math
from typing import Annotated

import typer

from hubbub import ConfigurationError, __version__

A_DAY = 86_400.0
LARGEST = 1 << 24
"""Bytes that `hubbub bench` adds to a message. What a server takes at all is less; the client would hold every byte of more."""

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
    from hubbub.server.serving import serve as run_server
    from hubbub.server.settings import load_settings

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
    from hubbub.jobs.jobs import CONCURRENCY
    from hubbub.server.jobs_worker import run_worker
    from hubbub.server.settings import load_settings

    settings = load_settings()
    run_worker(settings, concurrency or settings.jobs_concurrency or CONCURRENCY)


@app.command()
def token(
    user: Annotated[str, typer.Option("--user", help="The user's id.")],
    admin: Annotated[bool, typer.Option("--admin", help="With the scope `admin`.")] = False,
    ttl: Annotated[str, typer.Option(metavar="TIME", help="How long it is good: 15m, 1h, 1d.")] = "1h",
) -> None:
    """Print an access token, and on a second line a link that signs in once."""
    from hubbub.server.token_command import access_and_link

    try:
        lines = access_and_link(user, ttl, admin=admin)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo("\n".join(lines))


@app.command()
def check() -> None:
    """Check the settings and every configured part; exit 1 if anything is wrong."""
    from hubbub.server.checks import run_checks

    wrong = False
    for result in run_checks():
        typer.echo(str(result))
        wrong = wrong or not result.ok
    raise typer.Exit(1 if wrong else 0)


@app.command()
def migrate() -> None:
    """Bring the database up to date; `serve` does so by itself on SQLite."""
    from hubbub.server.migrate_command import bring_up_to_date

    typer.echo(bring_up_to_date())


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP API."""
    from hubbub.server.openapi_command import document

    typer.echo(document())


def finite(value: float | None) -> float | None:
    """Return an option's number.

    Raises:
        typer.BadParameter: it is infinite: a bound would have to be some number.
    """
    if value is None or math.isfinite(value):
        return value
    raise typer.BadParameter(f"{value} is no finite number.")


@app.command()
def bench(
    url: Annotated[
        str,
        typer.Argument(help="The server; without one the server that runs on DATA_DIR.", show_default=False),
    ] = "",
    members: Annotated[
        int,
        typer.Option("--members", "--subscribers", min=1, help="Members of each room; all publish in turn."),
    ] = 100,
    rooms: Annotated[int, typer.Option(min=1, help="Rooms.")] = 1,
    in_flight: Annotated[
        int, typer.Option(min=1, help="Publications on the way at any time, in each room.")
    ] = 4,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, callback=finite, help="So many publications a second in all instead."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=A_DAY, help="How long it is measured.")] = 5.0,
    size: Annotated[
        int, typer.Option("--size", "--padding", min=0, max=LARGEST, help="Bytes added to each message.")
    ] = 0,
    token: Annotated[str, typer.Option(help="One access token for all members.")] = "",
    secret: Annotated[
        str,
        typer.Option(envvar="HUBBUB_SECRET_KEY", help="The server's key, to sign each member's token with."),
    ] = "",
    deflate: Annotated[bool, typer.Option("--deflate", help="Negotiate compression.")] = False,
    pid: Annotated[
        int | None, typer.Option(help="The server's process; on this machine it is found by its port.")
    ] = None,
    pin_server: Annotated[
        bool, typer.Option("--pin-server", help="Keep the server off the client's core while it is measured.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Load a running server; print deliveries per second and latency percentiles."""
    from hubbub.server.bench_command import bench as load_server

    load_server(
        url,
        members=members,
        rooms=rooms,
        in_flight=in_flight,
        rate=rate,
        seconds=seconds,
        size=size,
        token=token,
        secret=secret,
        deflate=deflate,
        pid=pid,
        pin_server=pin_server,
        as_json=as_json,
    )

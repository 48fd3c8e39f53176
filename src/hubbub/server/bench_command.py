"""`hubbub bench`: load a running server, and say what came of it."""

import signal
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec
import typer

from hubbub import TokenIssuer
from hubbub.bench import LoadError, Percentiles, Plan, Process, Trial, hold_to_a_core, listening, run
from hubbub.server.data_dir import running_at
from hubbub.server.settings import load_settings
from hubbub.server.signing_keys import signing_keys

DEFAULT_ADDRESS = "http://127.0.0.1:8000"
PATHS = frozenset({"", "/", "/ws"})
LIFETIME = 2 * 86_400.0
"""Seconds that a member's token is good: longer than anything is measured."""

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


def bench(
    url: str,
    *,
    members: int,
    rooms: int,
    in_flight: int,
    rate: float | None,
    seconds: float,
    size: int,
    token: str,
    secret: str,
    deflate: bool,
    pid: int | None,
    pin_server: bool,
    as_json: bool,
) -> None:
    """Load a running server, and print what came of it: the options of `hubbub bench`."""
    host, port = address(url or _running() or DEFAULT_ADDRESS)
    server = _process(pid, host, port)
    plan = Plan(
        port=port,
        host=host,
        token=(lambda _: token) if token else _signer(secret),
        members=members,
        rooms=rooms,
        in_flight=in_flight,
        rate=rate,
        seconds=seconds,
        padding=size,
        deflate=deflate,
        server=server,
    )
    trial = _carry_out(plan, pin_server=pin_server)
    typer.echo(msgspec.json.encode(as_figures(trial)).decode() if as_json else "\n".join(lines(trial)))


def _carry_out(plan: Plan, *, pin_server: bool) -> Trial:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with hold_to_a_core(plan.server, pin_server=pin_server) as placing:
            trial = run(plan)
    except LoadError as error:
        typer.echo(f"hubbub: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("hubbub: stopped; every connection is closed.", err=True)
        raise typer.Exit(130) from None
    trial.notes.insert(0, placing)
    return trial


def address(url: str) -> tuple[str, int]:
    """Return host and port of a server's address.

    Raises:
        typer.BadParameter: it is none, has a path, or leads through TLS.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme in {"https", "wss"}:
        raise typer.BadParameter(
            f"{url}: TLS is not spoken; give the server's own address, behind the proxy."
        )
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise typer.BadParameter(f"{url}: {error}") from None
    if parts.scheme not in {"http", "ws"} or not host:
        raise typer.BadParameter(f"{url!r} is no address such as {DEFAULT_ADDRESS}.")
    if parts.path not in PATHS or parts.query or parts.fragment:
        raise typer.BadParameter(
            f"{url}: only a server at the root of its address can be loaded, such as {DEFAULT_ADDRESS}: leave out the path."
        )
    return host, port or 80


def as_figures(trial: Trial) -> dict[str, object]:
    """Return what is printed for machines; what is not known is null."""
    load = trial.load
    return {
        "connections": trial.connections,
        "handshakes_per_second": trial.handshakes_per_second,
        "handshakes_per_server_cpu_second": trial.handshakes_per_cpu_second,
        "kib_per_connection": trial.kib_per_connection,
        "publications": load.published,
        "deliveries": load.received,
        "deliveries_measured": load.deliveries,
        "missing": load.missing,
        "refused": load.refused,
        "seconds": load.seconds,
        "deliveries_per_second": load.per_second,
        "deliveries_per_server_cpu_second": load.per_cpu_second,
        "client_cpu": load.client_cpu / load.seconds,
        "latency_ms": _latency(load.latency),
        "notes": trial.notes,
    }


def lines(trial: Trial) -> list[str]:
    """Return what is printed for people."""
    load, latency = trial.load, trial.load.latency
    unknown = "not known: too little to tell, or a process that cannot be read from here"
    lost = f", {load.missing:,} never came" if load.missing else ""
    extent = " with warm-up and the end" if load.received > load.deliveries else ""
    told = {
        "connections": f"{trial.connections:,}",
        "handshakes": f"{trial.handshakes_per_second:,.0f} a second"
        + _when(trial.handshakes_per_cpu_second, "; {:,.0f} a second of server CPU"),
        "memory": _when(trial.kib_per_connection, "{:.1f} KiB a connection") or unknown,
        "publications": f"{load.published:,}{extent}"
        + (f", {load.refused:,} more refused" if load.refused else ""),
        "deliveries": f"{load.received:,}{extent}{lost}",
        "speed": f"{load.per_second:,.0f} deliveries a second: {load.deliveries:,} in the {load.seconds:.1f} s measured",
        "by server CPU": _when(load.per_cpu_second, "{:,.0f} deliveries a second of it") or unknown,
        "latency": "nothing was timed"
        if latency is None
        else f"p50 {latency.p50:.2f} ms, p90 {latency.p90:.2f}, p99 {latency.p99:.2f}, p99.9 {latency.p999:.2f}, "
        f"max {latency.longest:.2f} ({latency.samples:,} samples)",
        "client": f"{load.client_cpu / load.seconds:.0%} of its core"
        + (": the server may have waited for it" if load.client_cpu > 0.9 * load.seconds else ""),
    }
    return [
        *(f"{name:<14}{value}" for name, value in told.items()),
        *(f"note          {note}" for note in trial.notes),
    ]


def _when(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _latency(latency: Percentiles | None) -> dict[str, float] | None:
    if latency is None:
        return None
    return {
        "p50": latency.p50,
        "p90": latency.p90,
        "p99": latency.p99,
        "p99.9": latency.p999,
        "max": latency.longest,
        "samples": latency.samples,
    }


def _process(pid: int | None, host: str, port: int) -> Process | None:
    """Return the server's process where it can be read."""
    if pid is None:
        found = listening(port) if host in LOCAL else None
        return found if found is not None and found.is_readable() else None
    if not Process(pid).is_readable():
        raise typer.BadParameter(f"--pid {pid}: there is no such process, or it is somebody else's.")
    return Process(pid)


def _running() -> str | None:
    return running_at(load_settings().data_dir)


def _signer(secret: str) -> Callable[[str], str]:
    """Return what signs a token for each member, with the key that the server uses."""
    issuer = TokenIssuer(secret or signing_keys(load_settings()).current)
    return lambda user_id: issuer.issue(user_id, ttl=LIFETIME)

"""The composition root: settings in, an application out, a line a feature."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from hubbub import Hub, Limits, SocketsFirst, TokenIssuer, __version__
from hubbub.database import Database
from hubbub.jobs import Jobs
from hubbub.jobs.live import LiveJobs, watchers
from hubbub.server.admin import admin_routes
from hubbub.server.batches import batch_routes
from hubbub.server.bodies import BodyLimit, body_limit
from hubbub.server.channels import channel_routes
from hubbub.server.console_page import console_routes
from hubbub.server.farewell import Farewell
from hubbub.server.health import health_routes
from hubbub.server.job_metrics import JobMetrics
from hubbub.server.jobs import create_jobs
from hubbub.server.metrics import metrics_routes
from hubbub.server.namespaces import Policy, read_namespaces
from hubbub.server.origins import add_cors, page_check
from hubbub.server.problems import RESPONSES, add_problems
from hubbub.server.revoking import revoking_routes
from hubbub.server.schema import open_database, ready
from hubbub.server.scopes import bearer
from hubbub.server.sessions import session_routes
from hubbub.server.settings import Settings
from hubbub.server.shared import Shared, choose_shared
from hubbub.server.sign_in import COOKIE, Codes, me_routes, sign_in_routes
from hubbub.server.signing_keys import SigningKeys, signing_keys
from hubbub.server.stats import stats_routes
from hubbub.server.tasks import admin_task_routes, task_routes
from hubbub.server.tokens import Authenticator, authenticator, code_reader
from hubbub.server.users import user_routes

API = "/api/v1"

JOBS_DRAIN = 5.0
"""Seconds that running jobs are given after the clients have gone; then they are handed over."""


def create_app(settings: Settings, keys: SigningKeys | None = None, worker: int | None = None) -> FastAPI:
    """Build the server that the settings describe; nothing runs before its lifespan is entered.

    Args:
        settings: what it shall be.
        keys: what signs tokens; `None` for the keys that the settings name.
        worker: its number among the processes of one server, for its metrics; `None` where it is the only one.

    Raises:
        ConfigurationError: settings or namespaces that cannot work.
    """
    keys = keys or signing_keys(settings)
    namespaces = read_namespaces(settings.config)
    tokens = authenticator(settings, keys)
    shared = choose_shared(settings)
    database = open_database(settings)
    jobs = create_jobs(database, settings.jobs_concurrency, JOBS_DRAIN)
    hub = create_hub(settings, tokens, namespaces, shared, database, jobs)
    live = LiveJobs(hub, jobs)
    codes = Codes(code_reader(keys), TokenIssuer(keys.current), shared.used)
    secure = (settings.public_url or "").startswith("https://")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with tokens, ready(database), hub.lifespan(app), live, jobs:
            yield

    app = FastAPI(title="Hubbub", version=__version__, lifespan=lifespan, responses=RESPONSES)
    app.state.hub = hub
    add_problems(app)
    app.add_middleware(BodyLimit, limit=body_limit(namespaces.values()))
    add_cors(app, settings.allowed_origins)
    app.add_middleware(Farewell, hub=hub)
    app.add_middleware(SocketsFirst, hub=hub)
    own_pages = Depends(page_check(settings.allowed_origins))
    app.include_router(
        sign_in_routes(codes, secure=secure, attempts=shared.attempts), prefix=API, dependencies=[own_pages]
    )
    for routes in (
        hub.api,
        me_routes(hub),
        session_routes(hub),
        batch_routes(hub),
        channel_routes(hub),
        stats_routes(hub),
        revoking_routes(hub),
        user_routes(hub),
        task_routes(hub, jobs),
        admin_routes(hub),
        admin_task_routes(hub, jobs),
    ):
        app.include_router(routes, prefix=API, dependencies=[Depends(bearer())])
    app.include_router(health_routes(hub))
    app.include_router(metrics_routes(hub, JobMetrics(jobs), worker))
    app.include_router(console_routes())
    app.include_router(hub.router)
    return app


def create_hub(
    settings: Settings,
    tokens: Authenticator,
    namespaces: Mapping[str, Policy],
    shared: Shared,
    database: Database,
    jobs: Jobs,
) -> Hub:
    """Build the hub with its namespaces; the jobs know who may read of one."""
    hub = Hub(
        broker=shared.broker,
        presence=shared.presence,
        tickets=shared.tickets,
        authenticate=tokens,
        allowed_origins=settings.allowed_origins,
        allow_anonymous=settings.allow_anonymous,
        session_cookie=COOKIE,
        limits=Limits(
            connections=settings.max_connections,
            connections_per_user=settings.max_connections_per_user,
            message_bytes=settings.max_message_bytes,
            subscriptions=settings.max_subscriptions,
            message_rate=settings.message_rate,
            connections_policy=settings.connections_per_user_policy,
        ),
        heartbeat=settings.heartbeat_interval,
        presence_lease=settings.presence_lease,
        presence_grace=settings.presence_grace,
        drain_time=settings.drain_time,
        database=database,
    )
    for name, policy in namespaces.items():
        handle = hub.namespace(name, **policy)
        if name == "job":
            handle.authorize(watchers(jobs))
    return hub

import pytest
from fastapi import Depends, FastAPI

from hubbub import Hub, JWTAuthenticator
from hubbub.server.problems import add_problems
from hubbub.server.scopes import administrator, trusted

from .conftest import SECRET, serving


@pytest.mark.parametrize(
    ("scopes", "status"),
    [((), 403), (("chat",), 403), (("administrator",), 403), (("server",), 200), (("admin", "chat"), 200)],
)
async def test_programs_and_administrators_pass(bearer, scopes, status):
    hub = Hub(authenticate=JWTAuthenticator(SECRET))
    app = FastAPI(lifespan=hub.lifespan)
    add_problems(app)

    @app.get("/", dependencies=[Depends(trusted(hub))])
    async def inside() -> None: ...

    async with serving(app) as client:
        assert (await client.get("/", headers=bearer("ada", *scopes))).status_code == status


@pytest.mark.parametrize(("scopes", "status"), [((), 403), (("server",), 403), (("admin",), 200)])
async def test_only_administrators_pass(bearer, scopes, status):
    hub = Hub(authenticate=JWTAuthenticator(SECRET))
    app = FastAPI(lifespan=hub.lifespan)
    add_problems(app)

    @app.get("/", dependencies=[Depends(administrator(hub))])
    async def inside() -> None: ...

    async with serving(app) as client:
        assert (await client.get("/", headers=bearer("ada", *scopes))).status_code == status

"""A user's application that renders pages with event streams; the session cookie is a name."""

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse

from hubbub import CloseCode, Hub, Identity, TokenExpired
from hubbub.clock import SystemClock
from hubbub.types import UserId

clock = SystemClock()
expiries: dict[str, float] = {}


def authenticate(token: str) -> Identity:
    """Take any word for the user of that name, for as long as it was said."""
    expires_at = expiries.get(token)
    if expires_at is not None and expires_at < clock.time():
        raise TokenExpired("The token has expired.")
    return Identity(UserId(token), expires_at=expires_at)


hub = Hub(authenticate=authenticate, session_cookie="session", leeway=0.0)
hub.namespace("topic")
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)
said: dict[str, list[str]] = {}


@app.get("/readyz")
async def ready() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/as/{user}")
async def sign_in(user: str, response: Response, ttl: float | None = None) -> None:
    if ttl is not None:
        expiries[user] = clock.time() + ttl
    response.set_cookie("session", user)


@app.get("/page/{topic}", response_class=HTMLResponse)
async def page(topic: str) -> HTMLResponse:
    url = await hub.sse_url(f"topic:{topic}")
    link = await hub.sse_link(f"topic:{topic}")
    items = "".join(f"<li>{text}</li>" for text in said.get(topic, []))
    return HTMLResponse(f'<ul data-events="{url}">{items}</ul>', headers={"Link": link})


@app.post("/say/{topic}")
async def say(topic: str, text: str) -> int:
    said.setdefault(topic, []).append(text)
    return (await hub.publish(f"topic:{topic}", "said", text)).offset


@app.post("/disconnect/{user}")
async def disconnect(user: str, code: int) -> int:
    return await hub.disconnect(user, code=next(each for each in CloseCode if each == code))

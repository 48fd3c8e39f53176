"""A user's application that writes every message into a database, over a pool of five connections."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import AsyncAdaptedQueuePool

from hubbub import ChatMessage, Hub, Identity, JWTAuthenticator, Limits

engine = create_async_engine(
    f"sqlite+aiosqlite:///{os.environ['DATABASE']}",
    poolclass=AsyncAdaptedQueuePool,
    pool_size=5,
    max_overflow=0,
    pool_timeout=60,
    connect_args={"timeout": 60},
)
sessions = async_sessionmaker(engine)


class Base(DeclarativeBase):
    pass


class Line(Base):
    __tablename__ = "lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    sender: Mapped[str]
    content: Mapped[str]


class Pool:
    """How many connections are out, and how many there ever were at once."""

    out = 0
    most = 0


@event.listens_for(engine.sync_engine, "checkout")
def checked_out(*_: Any) -> None:
    Pool.out += 1
    Pool.most = max(Pool.most, Pool.out)


@event.listens_for(engine.sync_engine, "checkin")
def checked_in(*_: Any) -> None:
    Pool.out -= 1


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened, opened.begin():
        yield opened


hub = Hub(
    authenticate=JWTAuthenticator(os.environ["SECRET_KEY"]),
    limits=Limits(connections=0, connections_per_user=0),
    hook_timeout=60.0,
)
rooms = hub.namespace("room", publish="subscriber", events=[ChatMessage])


@rooms.authorize
async def may_join(identity: Identity, db: Annotated[AsyncSession, Depends(session)]) -> bool:
    await db.scalar(select(func.count(Line.id)))
    return identity.user_id != "stranger"


@rooms.on(ChatMessage)
async def keep(
    message: ChatMessage, sender: Identity, db: Annotated[AsyncSession, Depends(session)]
) -> ChatMessage:
    db.add(Line(sender=sender.user_id, content=message.content))
    await db.flush()
    if message.content == "fail":
        raise RuntimeError("the hook failed after it wrote")
    return message


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with hub.lifespan(app):
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
app.include_router(hub.router)


@app.get("/healthz")
@app.get("/readyz")
async def healthy() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/pool")
async def pool() -> dict[str, int]:
    size, out = engine.pool.size(), engine.pool.checkedout()
    return {"size": size, "checked_out": out, "out": Pool.out, "most": Pool.most}


@app.get("/lines")
async def lines(db: Annotated[AsyncSession, Depends(session)]) -> dict[str, Any]:
    found = (await db.scalars(select(Line).order_by(Line.id))).all()
    return {"lines": [[each.sender, each.content] for each in found]}

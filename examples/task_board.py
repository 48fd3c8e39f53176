"""A board of tasks: what is stored and what everybody hears of it are one transaction.

Run it, and create a task while another terminal listens::

    pip install "hubbub[server]"
    uvicorn task_board:app --app-dir examples
    curl -N "http://127.0.0.1:8000/sse?channel=topic:tasks"
    curl -H "Content-Type: application/json" -d '{"title":"Water the plants"}' http://127.0.0.1:8000/tasks

It stores in the SQLite file tasks.db, or where `DATABASE_URL` says: ``postgresql://user:password@host/name`` with
``pip install "hubbub[server,postgres]"``.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hubbub import Event, Hub
from hubbub.database import Address, migrate

address = Address.parse(os.environ.get("DATABASE_URL") or "sqlite:///tasks.db")
engine = create_async_engine(address.url)  # with the async driver
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """The tables of this application; Hubbub's own stand beside them."""


class Task(Base):
    __tablename__ = "tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    description: Mapped[str]


class NewTask(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    description: str = Field("", max_length=10_000)


class TaskCreated(Event):
    id: int
    title: str
    description: str


hub = Hub(database=engine, allow_anonymous=True)
hub.namespace("topic", subscribe="anyone", events=[TaskCreated])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Make the tables, then run the hub."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await migrate(engine)
    async with hub.lifespan(app):
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
app.include_router(hub.router)


async def transaction() -> AsyncIterator[AsyncSession]:
    """Commit when the route has returned, and roll back when it raised."""
    async with sessions() as session, session.begin():
        yield session


# With the scope "function" it ends before the response is sent: whoever is told 201 has a task that is stored.
Transaction = Annotated[AsyncSession, Depends(transaction, scope="function")]


@app.post("/tasks", status_code=201)
async def create(new: NewTask, session: Transaction) -> TaskCreated:
    """Store a task and tell everybody: both, or neither."""
    task = Task(title=new.title, description=new.description)
    session.add(task)
    await session.flush()
    created = TaskCreated(id=task.id, title=task.title, description=task.description)
    await hub.publish("topic:tasks", created, transaction=session)
    return created


@app.get("/tasks")
async def tasks(session: Transaction) -> list[TaskCreated]:
    """List what is stored."""
    stored = await session.scalars(select(Task).order_by(Task.id))
    return [TaskCreated(id=task.id, title=task.title, description=task.description) for task in stored]

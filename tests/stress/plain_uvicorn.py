"""The server's application for plain uvicorn, whose sockets stay with it: everything leaves by the queued outlet."""

from fastapi import FastAPI

from hubbub.server.app import create_app
from hubbub.server.settings import load_settings


def make() -> FastAPI:
    """Build it from the environment, as `hubbub serve` does."""
    return create_app(load_settings())

"""`hubbub serve`: the library's hub behind settings, a command line, an HTTP API and a console page.

It is built from the public names of `hubbub` alone, as any application would be.
"""

from importlib.util import find_spec

if not all(
    map(find_spec, ("prometheus_client", "pydantic_settings", "rich", "structlog", "typer", "uvicorn"))
):
    raise ImportError('The server needs more than the library: pip install "hubbub[server]"')

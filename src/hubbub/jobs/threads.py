"""Functions that block, in threads of their own."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any


def in_thread(function: Callable[[], Any], name: str) -> "asyncio.Future[Any]":
    """Run a function in a thread; return a future of what it returns or raises.

    The thread is a daemon: a function that never returns does not keep the process from ending. How many there are is
    for whoever calls this to bound.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
            future.exception()  # whoever left it alone has said so already

    def run() -> None:
        result, error = None, None
        try:
            result = context.run(function)
        except BaseException as raised:  # noqa: BLE001 (it is raised where the future is awaited)
            error = raised
            if isinstance(raised, StopIteration | SystemExit | KeyboardInterrupt):
                # They mean something else to whoever waits.
                error = RuntimeError(f"The task raised {type(raised).__name__}: {raised}".rstrip(": "))
        with suppress(RuntimeError):  # the loop was closed: nobody waits for it any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future

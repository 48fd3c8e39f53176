"""What `hubbub serve --workers N` does, with a patience of the test's own.

``python supervised.py PORT WORKERS START`` with START seconds for a worker to be ready.
"""

import asyncio
import sys

from hubbub.server.listening import listen
from hubbub.server.logs import configure_logs
from hubbub.server.settings import load_settings
from hubbub.server.supervising import Patience, Supervisor
from hubbub.server.workers import serving


def main(port: int, workers: int, start: float) -> None:
    settings = load_settings()
    configure_logs(settings)
    patience = Patience(stop=settings.drain_time + 5, start=start)
    listener = listen("127.0.0.1", port, settings)

    def started() -> None:
        print(f"All {workers} workers are ready.", flush=True)

    asyncio.run(Supervisor(serving, listener, workers, lambda: patience, started).run())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))

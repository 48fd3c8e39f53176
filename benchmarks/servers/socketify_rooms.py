"""uWebSockets (C++) by way of socketify, with its own publish and subscribe, which batches.

Run it with the port as its argument.
"""

import json
import sys

from messages import joined, message, welcome
from socketify import App, AppListenOptions, OpCode, WebSocket

app = App()


def encode(data: dict[str, object]) -> str:
    return json.dumps(data, separators=(",", ":"))


def opened(socket: WebSocket) -> None:
    socket.send(encode(welcome("u")), OpCode.TEXT)


def received(socket: WebSocket, data: str, _: OpCode) -> None:
    command = json.loads(data)
    room_id = command["room_id"]
    if command["type"] == "join_room":
        socket.subscribe(room_id)
        socket.send(encode(joined(room_id)), OpCode.TEXT)
    else:
        app.publish(room_id, encode(message(room_id, "u", command["content"])), OpCode.TEXT)


app.ws(
    "/ws", {"open": opened, "message": received, "max_backpressure": 16 * 1024 * 1024, "idle_timeout": 120}
)
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"))
app.run()

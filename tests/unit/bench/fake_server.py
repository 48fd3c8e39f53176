"""A server of a few lines that speaks just enough, in a thread of its own."""

import contextlib
import socket
import threading
from collections.abc import Iterator

ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def server_text(payload: bytes) -> bytes:
    length = len(payload)
    assert length < 65536
    header = bytes((0x81, length)) if length < 126 else bytes((0x81, 126)) + length.to_bytes(2, "big")
    return header + payload


class Room:
    """One room: everybody gets what anybody says, `answer` says otherwise.

    Who publishes gets an `error` instead, or a `goodbye` and the end. A `deaf` room reads nothing after the join.
    """

    def __init__(
        self,
        answer: bytes = ACCEPTED,
        greeting: bytes = b'{"type":"welcome"}',
        error: bytes = b"",
        goodbye: bytes = b"",
        *,
        deaf: bool = False,
    ) -> None:
        self.answer = answer
        self.greeting = greeting
        self.error = error
        self.goodbye = goodbye
        self.deaf = deaf
        self.over = threading.Event()
        self.clients: list[socket.socket] = []
        self.lock = threading.Lock()

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=[client], daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                data += client.recv(65536)
            client.sendall(self.answer)
            if not self.answer.startswith(b"HTTP/1.1 101"):
                return
            client.sendall(server_text(self.greeting))
            data = b""
            while chunk := client.recv(65536):
                data += chunk
                if self.goodbye and b"join_room" not in data:
                    client.sendall(self.goodbye)
                    return
                data = self._carry_out(client, data)
                if self.deaf:
                    self.over.wait()

    def _carry_out(self, client: socket.socket, data: bytes) -> bytes:
        while len(data) >= 6:
            length, head = data[1] & 127, 6
            if length == 126:
                length, head = int.from_bytes(data[2:4], "big"), 8
            if len(data) < head + length:
                break
            payload, data = data[head : head + length], data[head + length :]
            if b"join_room" in payload:
                with self.lock:
                    self.clients.append(client)
                client.sendall(server_text(b'{"type":"joined"}'))
            elif self.error:
                client.sendall(server_text(self.error))
            else:
                with self.lock:
                    for each in self.clients:
                        each.sendall(server_text(payload))
        return data


@contextlib.contextmanager
def serving(room: Room) -> Iterator[int]:
    """Serve a room; yield its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        threading.Thread(target=room.serve, args=[listener], daemon=True).start()
        yield listener.getsockname()[1]
        room.over.set()
        listener.shutdown(socket.SHUT_RDWR)

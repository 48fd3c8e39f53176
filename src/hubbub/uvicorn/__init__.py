"""What Hubbub brings to uvicorn: ``uvicorn main:app --ws hubbub.uvicorn:DirectWebSocket``.

It needs uvicorn 0.54 with uvloop, httptools and websockets: ``pip install hubbub[server]``.
"""

from hubbub.uvicorn.bounded_http import BoundedHTTP
from hubbub.uvicorn.direct import DirectWebSocket
from hubbub.uvicorn.keepalive import KeepaliveWebSocket

__all__ = ["BoundedHTTP", "DirectWebSocket", "KeepaliveWebSocket"]

"""The ASGI edges: WebSocket, HTTP, and `Hub`, the façade that users hold."""

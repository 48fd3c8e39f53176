"""The WebSocket wire format as a server reads and writes it: bytes in, messages out; payloads in, frames out. No I/O."""

"""The realtime core: channels, sessions, fan-out, presence, recovery. No web framework, no Redis, no SQL."""

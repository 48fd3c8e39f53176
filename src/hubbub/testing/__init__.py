"""For the tests of applications and of implementations: a fake clock, an in-process client, conformance suites."""

from hubbub.testing.client import Client, Closed, connect
from hubbub.testing.clock import FakeClock

__all__ = ["Client", "Closed", "FakeClock", "connect"]

"""Suites that hold an implementation to its contract. Subclass one, say how to make yours, and let pytest run it.

::

    class TestMyBroker(BrokerSuite):
        def broker(self, clock: FakeClock) -> Broker:
            return MyBroker(clock)
"""

from hubbub.testing.conformance.broker import BrokerSuite
from hubbub.testing.conformance.presence import PresenceSuite
from hubbub.testing.conformance.recovery import RecoverySuite

__all__ = ["BrokerSuite", "PresenceSuite", "RecoverySuite"]

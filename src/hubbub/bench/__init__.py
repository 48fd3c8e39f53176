"""The load client: a crowd of WebSocket members in one thread, cheap enough not to be what is measured.

`hubbub bench` loads a running server with it, and the project's own benchmarks compare servers with it.
"""

from hubbub.bench.crowd import Crowd
from hubbub.bench.errors import LoadError
from hubbub.bench.load import Load, keep_in_flight, keep_rate
from hubbub.bench.members import Member
from hubbub.bench.percentiles import Percentiles, percentiles
from hubbub.bench.placing import hold_to_a_core
from hubbub.bench.processes import Memory, Process, listening
from hubbub.bench.trial import Plan, Trial, run
from hubbub.bench.wires import PLAIN, Seat, Step, Wire

__all__ = [
    "PLAIN",
    "Crowd",
    "Load",
    "LoadError",
    "Member",
    "Memory",
    "Percentiles",
    "Plan",
    "Process",
    "Seat",
    "Step",
    "Trial",
    "Wire",
    "hold_to_a_core",
    "keep_in_flight",
    "keep_rate",
    "listening",
    "percentiles",
    "run",
]

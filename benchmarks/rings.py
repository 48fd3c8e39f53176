"""Makes importable what the benchmarks share with the tests: the clients of the stress ring, and servers to hurt."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / ring) for ring in ("stress", "integration")]

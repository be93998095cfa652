"""Benchmarks: the promises about exactness, cost, restarts and size, shown on this machine by `python -m benchmarks`.

They drive installed agents from outside over the stand-in driver of the tests, whose modules they import.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

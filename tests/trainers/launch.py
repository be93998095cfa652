"""A launcher in the manner of torchrun: starts the ranks as its children, and tells each which one it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def main(ranks: int) -> None:
    """Start them, and end when they have ended."""
    script = Path(__file__).parent / "rank.py"
    launched = []
    for rank in range(ranks):
        environment = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(ranks),
            "TORCHELASTIC_RUN_ID": "none",
        }
        launched.append(subprocess.Popen([sys.executable, str(script)], env={**os.environ, **environment}))
    for process in launched:
        process.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))

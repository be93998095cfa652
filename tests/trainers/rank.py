"""One rank of a distributed training: rank 0 alone begins a W&B run, as everybody does it. Ends with its input."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Print rank, pid and the run's id, `-` where this rank has none."""
    rank, run_id = os.environ["RANK"], "-"
    if rank == "0":
        import wandb  # noqa: PLC0415  slow, and the other ranks have no use for it

        run_id = wandb.init(project="distributed", name="four-ranks").id
    sys.stdout.write(f"{rank} {os.getpid()} {run_id}\n")  # in one piece: the ranks share the pipe
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()

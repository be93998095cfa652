"""A training script as users write them, with W&B and without a word of gpuwatch. Lines on its input drive it."""

from __future__ import annotations

import sys

import wandb


def main() -> None:
    """`init PROJECT NAME` begins a run and prints its id, `finish` ends it; the end of the input ends the script."""
    run = None
    print("ready", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["init", project, name]:
                run = wandb.init(project=project, name=name)
                print(run.id, flush=True)
            case ["finish"] if run is not None:
                run.finish()
                print("finished", flush=True)


if __name__ == "__main__":
    main()

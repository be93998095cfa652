"""`python -m benchmarks NAME…`: run harnesses and print their figures; exit 1 where one is over its limit."""

from __future__ import annotations

import argparse
import random
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final

from benchmarks import cost, day, exact, fleet, history, page, resolve, restart, rules, state_size, week
from benchmarks.report import Figure, Options, describe_machine, passed, print_table

Harness = Callable[[Options], list[Figure]]

HARNESSES: Final[Mapping[str, Harness]] = {
    "exact": exact.run,
    "cost": cost.run,
    "resolve": resolve.run,
    "restart": restart.run,
    "state_size": state_size.run,
    "day": day.run,
    "history": history.run,
    "fleet": fleet.run,
    "rules": rules.run,
    "page": page.run,
    "week": week.run,
}


def main() -> int:
    """Run what was asked for; the exit status."""
    arguments = _parser().parse_args()
    names = list(HARNESSES) if "all" in arguments.names else arguments.names
    first = random.SystemRandom().randrange(1_000_000) if arguments.seed is None else arguments.seed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that no process is left behind
    print(f"{describe_machine()}; seed {first}", flush=True)
    good = True
    for name in names:
        for seed in range(first, first + arguments.repeat):
            figures = HARNESSES[name](Options(seed, arguments.seconds))
            print_table(f"{name}, seed {seed}", figures)
            good &= passed(figures)
    return 0 if good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Show what gpuwatch promises.")
    parser.add_argument("names", nargs="+", choices=[*HARNESSES, "all"], metavar="NAME", help=", ".join(HARNESSES))
    parser.add_argument("--seed", type=int, help="repeat a run; drawn and printed by default")
    parser.add_argument("--repeat", type=int, default=1, help="how often, with a further seed each time")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each measurement of the cost takes")
    return parser


if __name__ == "__main__":
    sys.exit(main())

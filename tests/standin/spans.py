"""What happens on a scripted machine, and from when to when: in seconds from trace zero, in [start, end).

A GPU is named by its index in the trace. A slot stands for one process, whose pid only the test knows. On a GPU with
MIG instances, holds and bursts name the instance too, by its index in the GPU's `mig`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

Kind = Literal["compute", "graphics", "mps"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

Reason = Literal[
    "power_cap", "thermal", "sync_boost", "board_limit", "reliability", "sw_thermal", "hw_thermal", "hw_power_brake"
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""Why clocks are reduced. Only cards before Ampere count `thermal`, `board_limit` and `reliability`; they do not count
the last three."""


@dataclass(frozen=True)
class Hold:
    """A slot has a context, and `memory_bytes`, on a GPU or an instance."""

    gpu: int
    slot: int
    start: float
    end: float
    memory_bytes: int
    kind: Kind = "compute"
    instance: int | None = None


@dataclass(frozen=True)
class Burst:
    """A slot uses `share` (0 to 1] of the time of a GPU or an instance."""

    gpu: int
    slot: int
    start: float
    end: float
    share: float
    instance: int | None = None


@dataclass(frozen=True)
class Throttle:
    """A GPU runs at reduced clocks, for one reason."""

    gpu: int
    reason: Reason
    start: float
    end: float

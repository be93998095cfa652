"""Who and what is on stage: four people who do not exist, and the hardware that nobody has to buy."""

from __future__ import annotations

from typing import NamedTuple

from gpuwatch.model import GpuInfo

MARK = "SIMULATED"
"""Stands on every surface, so that no figure of the demo is ever taken for a real one."""
MODEL = f"{MARK} NVIDIA H100 80GB HBM3"
VERSIONS = (f"{MARK} 570.86.10", f"{MARK} 12.570.86.10")
"""Of the driver and of NVML."""
MEMORY_BYTES = 80 << 30
"""Of each GPU."""
GPUS = tuple(
    GpuInfo(
        uuid=f"GPU-51a0{index:04x}-de30-4000-8000-00000000000{index}",
        index=index,
        model=MODEL,
        pci=pci,
        memory_bytes=MEMORY_BYTES,
    )
    for index, pci in enumerate(f"00000000:{bus}:00.0" for bus in "1B 43 52 61 9D C3 D1 DF".split())
)
CPU_CORES, HOST_MEMORY_BYTES = 128, 1 << 40


class Person(NamedTuple):
    """One of the people of the node."""

    name: str
    uid: int


MIRA, OMAR, TOMAS, YUKI = (Person(name, 1001 + place) for place, name in enumerate("mira omar tomas yuki".split()))
PEOPLE = (MIRA, OMAR, TOMAS, YUKI)


def node_name(name: str | None) -> str:
    """What stands on every series as the node: the mark, and a name if one was given."""
    return MARK if name is None else f"{name} ({MARK})"

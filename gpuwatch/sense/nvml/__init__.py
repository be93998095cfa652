"""NVML through `nvidia-ml-py`: the only folder that opens the library.

It turns NVML's calls into plain numbers in base units and NVML's errors into three answers: absent (the card or driver
lacks it, remembered and not asked again), empty (nothing to say now), or a failure that the caller must act on.
It keeps no time and interprets nothing.
"""

from gpuwatch.sense.nvml.card import Card, ProcessSample, Sample
from gpuwatch.sense.nvml.driver import Driver, close_driver, library_is_mapped, open_cards, open_driver

__all__ = [
    "Card",
    "Driver",
    "ProcessSample",
    "Sample",
    "close_driver",
    "library_is_mapped",
    "open_cards",
    "open_driver",
]

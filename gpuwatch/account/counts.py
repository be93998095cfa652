"""Counts that the driver keeps, as totals that never fall. Pure.

Some of the driver's totals start at 0 whenever the driver is loaded: what it counts from there on is added.
"""

from __future__ import annotations

from gpuwatch.model import Count, CountKey


def advance(count: Count | None, key: CountKey, driver_total: float) -> Count:
    """The count after the driver said `driver_total`.

    Memory errors count from the card's first day, throttled seconds from when the card was first seen here.
    """
    if count is None:
        return Count(driver_total if key.what == "ecc" else 0.0, driver_total)
    step = driver_total - count.driver_total
    return Count(count.total + (step if step >= 0 else driver_total), driver_total)

"""How many of the units in which drivers and kernels speak make one of those used everywhere else (s, J, W, B, Hz)."""

MILLIS = 1000
MICROS = 1_000_000
NANOS = 1_000_000_000
PERCENTS = 100
MEGA = 1_000_000
"""Hertz in a megahertz."""
MINUTE = 60
HOUR = 3600
DAY = 86400

"""gpuwatch: what every GPU does, whose run is doing it, and what it adds up to."""

__version__ = "0.1.0"

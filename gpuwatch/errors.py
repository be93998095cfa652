"""Errors that a person reads: what is wrong, and what would be right. Nothing else lives here."""


class GpuwatchError(Exception):
    """Base of all errors that the command line prints as one line, without a traceback."""


class UsageError(GpuwatchError):
    """A flag, variable or setting has a value that cannot be used."""


class StateError(GpuwatchError):
    """The state directory or file cannot be used as it is."""


class DiskRefused(StateError):
    """The disk does not take the state now (full, read-only, failing): the agent goes on without it."""


class DriverUnavailable(GpuwatchError):
    """There is no NVIDIA driver to ask, or it has gone: no GPU of this node can be read."""


class LibraryMismatch(DriverUnavailable):
    """The loaded NVML library is of another version than the driver: only a fresh load of it can recover."""


class GpuUnavailable(GpuwatchError):
    """One GPU does not answer as it should: lost, waiting for a reset, or in an unknown state."""


class Overrun(GpuwatchError):
    """A reading did not come back before its deadline."""


class SlurmUnavailable(GpuwatchError):
    """Slurm does not say how this node is."""


class ServiceError(GpuwatchError):
    """The systemd service cannot be installed, started or removed as things are."""


class Unheard(GpuwatchError):
    """What a process announced reached no agent, or was refused."""

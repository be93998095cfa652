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


class SlackRefused(GpuwatchError):
    """Slack has answered that it does not do this: the token, the channel or a right is not as it should be."""

    def __init__(self, sentence: str, *, code: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        """How Slack names it; empty where it was not asked."""


class SlackUnreachable(GpuwatchError):
    """Slack was not reached, or put us off: nothing was posted, and later it may work."""


class SlackUnsure(GpuwatchError):
    """A message was sent off and no answer came: it may have been posted, or not."""


class NothingRecorded(GpuwatchError):
    """The record was read, and has nothing of what was asked: a period before it, a person or run it does not know."""


class PrometheusError(GpuwatchError):
    """The Prometheus server cannot be asked as it is configured, or gives no answer that can be used."""


class QueryTooHeavy(PrometheusError):
    """The server would not go through with a query: it is too much at once, or took too long."""


class Ambiguous(GpuwatchError):
    """A name that was given is that of several things."""

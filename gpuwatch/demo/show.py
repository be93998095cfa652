"""The show: the week before is played into a state of the demo's own, then the agent runs on."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gpuwatch.agent.config import of_flags
from gpuwatch.agent.daemon import Agent, read_moment
from gpuwatch.agent.settings import Settings
from gpuwatch.demo.cast import MARK, node_name
from gpuwatch.demo.machine import simulated_machine
from gpuwatch.demo.past import play_past
from gpuwatch.export.server import bind

log = logging.getLogger(__name__)


def show(flags: Mapping[str, str]) -> None:
    """Run the demo until it is told to stop.

    Neither the configuration file nor variables count: they are of real nodes. Raises UsageError and StateError.
    """
    settings = replace(of_flags(flags), node=node_name(flags.get("node")))
    log.warning("%s: no GPU, no person and no run of this is real", MARK)
    bind(settings.listen).close()  # a port that is in use is better told before the past is played
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the agent sees to signals, both end it alike
    with _own_state(settings, keep="state_dir" in flags) as own:
        log.info("playing the week before, which takes a few seconds")
        play_past(own, until_unix=read_moment().unix)
        play_past(own, until_unix=read_moment().unix)  # what passed meanwhile
        now = read_moment()
        Agent(own, simulated_machine(now.unix - now.boottime)).run()


@contextmanager
def _own_state(settings: Settings, *, keep: bool) -> Iterator[Settings]:
    """The settings with a directory for the state: the one that was named, or one that is gone afterwards."""
    if keep:
        yield settings
    else:
        with TemporaryDirectory(prefix="gpuwatch-demo-") as name:
            yield replace(settings, state_directory=Path(name))

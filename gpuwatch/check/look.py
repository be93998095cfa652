"""The look at everything: each topic is read and judged on its own, in bounded time, whatever the others do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gpuwatch.agent.config import Configuration
from gpuwatch.agent.settings import Settings
from gpuwatch.check.clock import judge_clock, read_clock
from gpuwatch.check.disk import judge_disk, read_disk
from gpuwatch.check.driver import judge_driver, read_driver
from gpuwatch.check.finding import Check, Finding, fail, ok
from gpuwatch.check.listen import judge_listen, read_listen
from gpuwatch.check.notices import judge_notices, read_notices
from gpuwatch.check.prometheus import judge_prometheus, read_prometheus
from gpuwatch.check.rights import judge_rights, read_rights
from gpuwatch.check.slack import judge_slack, read_slack
from gpuwatch.check.sources import judge_sources, read_sources
from gpuwatch.check.web import judge_web, read_web_facts
from gpuwatch.errors import Overrun
from gpuwatch.sense.lane import Lane

PATIENCE_SECONDS = 10.0
"""What one topic may take: NVML alone needs seconds to open where nothing keeps the driver loaded."""

Topic = Callable[[], Iterable[Finding]]


class Roots(NamedTuple):
    """Where the machine is looked at."""

    proc: Path = Path("/proc")
    dev: Path = Path("/dev")
    root: Path = Path("/")


THIS_MACHINE = Roots()


def look(
    configuration: Configuration | None,
    mistakes: str,
    *,
    unix: float,
    roots: Roots = THIS_MACHINE,
    patience: float = PATIENCE_SECONDS,
) -> list[Finding]:
    """All findings, in the order of the topics. Without a configuration, for its `mistakes`, those that need none."""
    findings = _judge_configuration(configuration, mistakes)
    lane: Lane[Check, list[Finding]] = Lane("gpuwatch-check")
    for check, topic in _topics(configuration.settings if configuration else None, unix, roots).items():
        result = lane.run({check: partial(_listed, topic)}, patience=patience)[check]
        findings += [_broken(check, result)] if isinstance(result, Exception) else result
    lane.close()
    return findings


def _judge_configuration(configuration: Configuration | None, mistakes: str) -> list[Finding]:
    if configuration is None:
        lost, mend = "the agent does not start", "correct what the line names; `gpuwatch config` prints all keys"
        return [fail("configuration", mistake, lost=lost, mend=mend) for mistake in mistakes.split("\n")]
    sources = sorted(set(configuration.sources.values()))
    return [ok("configuration", ", ".join(sources) or "defaults")]


def _topics(settings: Settings | None, unix: float, roots: Roots) -> dict[Check, Topic]:
    proc = roots.proc
    topics: dict[Check, Topic] = {
        "user": lambda: judge_rights(read_rights(proc)),
        "driver": lambda: judge_driver(read_driver(roots.dev)),
        "clock": lambda: judge_clock(read_clock(unix, proc)),
        "sources": lambda: judge_sources(read_sources(os.environ, proc, roots.root)),
    }
    if settings is None:
        return topics
    return topics | {
        "state": lambda: judge_disk(read_disk(settings.state_directory, proc), uid=os.geteuid()),
        "listen": lambda: _look_at_listener(settings, proc),
        "prometheus": lambda: judge_prometheus(read_prometheus(settings.prometheus.url, settings.node)),
        "slack": lambda: judge_slack(read_slack(settings.slack)),
        "notices": lambda: judge_notices(read_notices(settings.state_directory, settings.alert.mode, unix)),
    }


def _look_at_listener(settings: Settings, proc: Path) -> Iterable[Finding]:
    web = read_web_facts(settings.web_config)
    yield from judge_web(web)
    listen = read_listen(settings.listen, secured=web.tls, proc=proc)
    yield from judge_listen(listen, guarded=web.guarded)


def _listed(topic: Topic) -> list[Finding]:
    return list(topic())


def _broken(check: Check, error: Exception) -> Finding:
    """A topic that hangs, or met what it is not made for: only the error's kind is told, its text can hold anything."""
    told = str(error) if isinstance(error, Overrun) else type(error).__name__
    return fail(check, f"could not be looked at: {told}", lost="what it would have told", mend="try again")

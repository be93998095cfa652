"""What the panels ask, put together from a few ideas, each of which stands here once. Pure.

`max by` comes first of all, so that a second Prometheus, or an agent that is scraped at two addresses, changes nothing.
Nothing is ever divided by zero: what would be is left out.
"""

from __future__ import annotations

from typing import Final

from gpuwatch.model.judgement import VERDICTS
from gpuwatch.units import HOUR

RANGE: Final = "$__range"
"""All of what the dashboard shows."""
STEP: Final = "$__interval"
"""From one point of a graph to the next."""
RECENT: Final = "$__rate_interval"
"""So long that a counter was certainly scraped twice in it."""
STEP_SECONDS: Final = "($__interval_ms / 1000)"
RUN: Final = "node, gpu, user, project, run"
NOT_SERVICES: Final = 'kind!="service"'
SERVICES: Final = 'kind="service"'
SINGLE_RUNS: Final = 'run!~"short|overflow"'
"""Many runs are charged together in the others."""


def selected(metric: str, *matchers: str) -> str:
    """The series of a metric that match."""
    given = ", ".join(matcher for matcher in matchers if matcher)
    return f"{metric}{{{given}}}" if given else metric


def is_so(label: str, value: str) -> str:
    """The matcher of a value that is a plain word."""
    return f'{label}="{value}"'


def grouped(operator: str, by: str, expression: str) -> str:
    """An aggregation; over everything where no labels are given."""
    return f"{operator} by ({by}) ({expression})" if by else f"{operator}({expression})"


def added(series: str, *matchers: str, by: str = "", over: str = RANGE) -> str:
    """What a recorded series came to, in its own unit: the sum of its pieces, each once.

    Up to a second ago: a server before 3.0 takes both ends of a window for a part of it, and where what is recorded
    lies on full minutes, each window would have a piece of the one before.
    """
    pieces = f"sum_over_time({selected(series, *matchers)}[{over}] offset 1s)"
    return grouped("sum", by, grouped("max", labels_of(series), pieces))


def added_after(series: str, *matchers: str, by: str = "") -> str:
    """The same of the step that begins at each point: a bar stands at the beginning of its day, not at its end."""
    pieces = f"sum_over_time({selected(series, *matchers)}[{STEP}] offset -{STEP})"
    return grouped("sum", by, grouped("max", labels_of(series), pieces))


def labels_of(series: str) -> str:
    """The labels of a recorded series, which its name begins with."""
    level = series.partition(":")[0]
    return "" if level == "gpuwatch" else level.replace("_", ", ")


def hours(seconds: str) -> str:
    """Seconds as hours."""
    return f"({seconds}) / {HOUR}"


def ratio(part: str, whole: str) -> str:
    """Of the same labels; left out where the whole is nothing."""
    return f"({part}) / ({whole} > 0)"


def share(parts: str, whole: str) -> str:
    """Parts by any labels, of one whole; left out where that is nothing."""
    return f"({parts}) / on () group_left () ({whole} > 0)"


def rest(whole: str, part: str) -> str:
    """What is left of the whole; all of it where there is no such part."""
    return f"({whole}) - (({part}) or 0 * ({whole}))"


def rate(counter: str, *matchers: str, by: str) -> str:
    """By the second, of late: in it a series is told by all of `by`."""
    return grouped("max", by, f"rate({selected(counter, *matchers)}[{RECENT}])")


def now(gauge: str, *matchers: str, by: str) -> str:
    """As it is: what has ended is not there, as its gauges go at once."""
    return grouped("max", by, selected(gauge, *matchers))


def verdict_numbers(*matchers: str, by: str) -> str:
    """The verdicts as numbers, in their order from 1, for panels that draw numbers only."""
    one_each = (
        f"{number} * {now('gpuwatch_run_verdict', *matchers, is_so('verdict', name), by=by)}"
        for number, name in enumerate(VERDICTS, start=1)
    )
    return " or ".join(one_each)

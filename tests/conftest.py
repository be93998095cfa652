"""What all tests share: the stand-in driver in this process, with a clock that the test drives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standin.driver import StandIn
from standin.trace import Trace

from gpuwatch.sense import nvml

Play = Callable[[Trace], StandIn]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """Plays a trace to this process on a frozen clock at 0 s."""
    opened: list[StandIn] = []

    def start(trace: Trace) -> StandIn:
        folder = tmp_path / f"driver-{len(opened)}"
        folder.mkdir()
        driver = StandIn(folder, trace)
        opened.append(driver)
        driver.preload()
        driver.freeze(0.0)
        return driver

    yield start
    nvml.close_driver()
    for driver in opened:
        driver.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def no_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever goes wrong is told in words."""
    yield
    assert not [record.getMessage() for record in caplog.get_records("call") if record.exc_info]

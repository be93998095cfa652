"""The binding's own garbage: what is in a process list and cannot be."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest
from conftest import Play
from rig import free_port
from standin.trace import steady_trace

from gpuwatch.sense import nvml
from gpuwatch.sense.nvml import lists as driver_lists
from gpuwatch.sense.nvml import processes

UNSAID = 2**64 - 1
"""The size of a process of which the driver does not say it."""


def lists(*kinds: list[tuple[int, int]] | None) -> tuple[tuple[object, ...], ...]:
    def call(found: list[tuple[int, int]] | None) -> object:
        def answer(_: object) -> list[tuple[int, int]]:
            if found is None:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            return found

        answer.__name__ = f"list-{id(found)}"
        return answer

    return tuple((call(found),) for found in kinds)


@pytest.fixture
def card(play: Play) -> nvml.Card:
    play(steady_trace(1, 1, 10.0, 0.5))
    nvml.open_driver()
    return nvml.open_cards(0)[0]


def test_impossible_pids_and_sizes_are_left_out(card: nvml.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    garbage = [(0, 5), (2**32 - 1, 5), (7, 2**63), (8, 9), (9, UNSAID)]
    monkeypatch.setattr(processes, "_PROCESS_LISTS", lists(garbage, [(8, 11), (7, UNSAID)]))
    assert card.read_processes() == {7: None, 8: 11, 9: None}


def test_no_list_at_all_is_not_an_empty_one(card: nvml.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_PROCESS_LISTS", lists(None, None))
    assert card.read_processes() is None
    monkeypatch.setattr(processes, "_PROCESS_LISTS", lists(None, []))
    assert card.read_processes() == {}


def test_a_list_longer_than_usual_is_read_whole(play: Play) -> None:
    driver = play(steady_trace(1, 100, 10.0, 0.5))
    for slot in range(100):
        driver.set_pid(slot, 1000 + slot)
    nvml.open_driver()
    assert nvml.open_cards(0)[0].read_processes() is not None
    assert len(nvml.open_cards(0)[0].read_processes() or {}) == 100


def test_entries_are_where_the_binding_has_them() -> None:
    process = pynvml.c_nvmlProcessInfo_v3_t(pid=7, usedGpuMemory=2**40)
    use = pynvml.c_nvmlProcessUtilizationSample_t(pid=7, timeStamp=2**50, smUtil=60, memUtil=1, encUtil=2, decUtil=3)
    sample = pynvml.c_nvmlSample_t(timeStamp=2**50)
    sample.sampleValue.uiVal = 60
    for entry, layout, fields in (
        (process, driver_lists.PROCESS, (7, 2**40)),
        (use, driver_lists.PROCESS_USE, (7, 2**50, 60)),
        (sample, driver_lists.SAMPLE, (2**50, 60)),
    ):
        assert ctypes.sizeof(entry) == layout.size
        assert layout.unpack(bytes(entry)) == fields


def test_a_list_that_never_fits_is_not_asked_for_without_end() -> None:
    asked: list[int] = []

    def ask(count: object, room: ctypes.Array[ctypes.c_char]) -> int:
        asked.append(len(room))
        return int(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)

    with pytest.raises(pynvml.NVMLError):
        driver_lists.read_list(driver_lists.PROCESS, ask)
    assert len(asked) < 20


OLD_BINDING = """
import pathlib
source = pathlib.Path({real!r}).read_text()
exec(compile(source, {real!r}, "exec"))
for name in [name for name in globals() if "GPM" in name or "EVENT_REASON" in name or "ProcessesUtil" in name]:
    del globals()[name]
"""


def test_a_binding_that_is_too_old_is_refused_in_words(tmp_path: Path) -> None:
    """The deprecated distribution `pynvml`, or an old nvidia-ml-py: the same module, without the newer half."""
    (tmp_path / "pynvml.py").write_text(OLD_BINDING.format(real=pynvml.__file__), encoding="utf-8")
    command = [sys.executable, "-m", "gpuwatch", "status", "--listen", f"127.0.0.1:{free_port()}"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "is not the one of nvidia-ml-py" in done.stdout
    assert "pip install --force-reinstall nvidia-ml-py" in done.stdout

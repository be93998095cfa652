"""W&B's run file: the parser agrees with the real library's own messages, and survives whatever a user puts there."""

from __future__ import annotations

import struct
import zlib
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.attribute.wandb_file import RunRecord, parse_run

HEADER = b":W&B\xe1\xbe\x00"
BLOCK = 32768
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def chunk(kind: int, data: bytes) -> bytes:
    return struct.pack("<IHB", zlib.crc32(bytes([kind]) + data), len(data), kind) + data


def log(*records: bytes) -> bytes:
    """A run file of these records, as LevelDB's format says that a log is written."""
    written = HEADER
    for record in records:
        rest, begun = record, False
        while True:
            room = BLOCK - len(written) % BLOCK
            if room < 7:
                written += bytes(room)
                continue
            part, rest = rest[: room - 7], rest[room - 7 :]
            kind = (LAST if begun else FULL) if not rest else (MIDDLE if begun else FIRST)
            written += chunk(kind, part)
            begun = True
            if not rest:
                break
    return written


@pytest.fixture(scope="module")
def messages() -> Any:
    return import_module("wandb.proto.wandb_internal_pb2")


WORDS = st.text(max_size=40)
RECORDS = st.builds(
    RunRecord, id=st.text(min_size=1, max_size=40), entity=WORDS, project=WORDS, name=WORDS, group=WORDS, sweep=WORDS
)


def run_message(messages: Any, record: RunRecord, *, config: str = "") -> bytes:
    message = messages.Record(num=2, uuid="mptmv1j0blyc")
    message.run.run_id, message.run.entity, message.run.project = record.id, record.entity, record.project
    message.run.display_name, message.run.run_group, message.run.sweep_id = record.name, record.group, record.sweep
    message.run.host, message.run.job_type = "n7", "train"
    message.run.start_time.seconds = 1795171745
    if config:
        message.run.config.update.add(key="notes", value_json=config)
    return bytes(message.SerializeToString())


@given(record=RECORDS, size=st.sampled_from([0, 10, 32700, 32740, 40_000, 200_000]))
def test_what_the_real_library_writes_is_read(messages: Any, record: RunRecord, size: int) -> None:
    head = messages.Record(num=1)
    head.header.version_info.producer = "0.31.0"
    other = messages.Record(num=3)
    other.output_raw.line = "epoch 1"
    written = log(head.SerializeToString(), run_message(messages, record, config="x" * size), other.SerializeToString())
    assert parse_run(written) == record
    for end in (0, 6, 7, 13, 40):
        assert parse_run(written[:end]) is None


@given(record=RECORDS, at=st.integers(0, 200), bit=st.integers(0, 7))
def test_a_damaged_file_says_nothing_wrong(messages: Any, record: RunRecord, at: int, bit: int) -> None:
    written = bytearray(log(run_message(messages, record)))
    written[at % len(written)] ^= 1 << bit
    assert parse_run(bytes(written)) in (None, record)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_run_or_none(data: bytes) -> None:
    for written in (data, HEADER + data, log(data), log(b"\x8a\x01" + bytes([len(data) % 128]) + data), log(b"", data)):
        found = parse_run(written)
        assert found is None or found.id


def test_texts_are_bounded(messages: Any) -> None:
    found = parse_run(log(run_message(messages, RunRecord("a", project="ß" * 100_000))))
    assert found is not None
    assert found.project == "ß" * 512


def test_a_file_of_countless_records_is_given_up() -> None:
    assert parse_run(HEADER + chunk(FULL, b"") * 3000) is None

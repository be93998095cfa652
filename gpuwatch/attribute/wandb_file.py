"""W&B's run file, `run-ID.wandb`: what the run calls itself, out of its first `run` record. Pure, and the file hostile.

The file is LevelDB's log format behind seven bytes of W&B's own: blocks of 32 KiB hold chunks of CRC, length and type,
and one or more chunks make a record. A record is a protobuf message `Record`. Source: the package `wandb` 0.31, whose
`proto/wandb_internal_pb2.py` numbers the fields; tests/test_wandb_file.py holds this parser against it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

_HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
_BLOCK = 32768
_CHUNK = struct.Struct("<IHB")
"""CRC of type and data (zlib's, where LevelDB masks another), length of the data, type."""
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_MOST_CHUNKS = 64
"""As many as a MiB has where its records are long; the `run` record is the second in practice."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_RUN = 17
"""In `Record`; the next six in `RunRecord`."""
_RUN_ID, _ENTITY, _PROJECT, _RUN_GROUP, _DISPLAY_NAME, _SWEEP_ID = 1, 2, 3, 6, 8, 12
_MOST_FIELDS = 512
_LONGEST_TEXT = 512


class RunRecord(NamedTuple):
    """What a run calls itself. All text is the user's own, and hostile; what it does not say is empty."""

    id: str
    entity: str = ""
    project: str = ""
    name: str = ""
    group: str = ""
    sweep: str = ""


def parse_run(data: bytes) -> RunRecord | None:
    """The first `run` record in the beginning of a run file; None where it is not there, or not (yet) whole."""
    if not data.startswith(_HEADER):
        return None
    try:
        for record in _records(data):
            for number, value in _fields(record):
                if number == _RUN:
                    return _parse_run_record(value)
    except ValueError:
        return None
    return None


def _parse_run_record(message: bytes) -> RunRecord | None:
    texts: dict[int, str] = {}
    for number, value in _fields(message):
        texts[number] = value[: 4 * _LONGEST_TEXT].decode("utf-8", "replace")[:_LONGEST_TEXT]
    if not texts.get(_RUN_ID):
        return None
    return RunRecord(
        id=texts[_RUN_ID],
        entity=texts.get(_ENTITY, ""),
        project=texts.get(_PROJECT, ""),
        name=texts.get(_DISPLAY_NAME, ""),
        group=texts.get(_RUN_GROUP, ""),
        sweep=texts.get(_SWEEP_ID, ""),
    )


def _records(data: bytes) -> Iterator[bytes]:
    """The whole records at the beginning of a log. Raises ValueError where a chunk is broken."""
    parts: list[bytes] = []
    for kind, part in islice(_chunks(data), _MOST_CHUNKS):
        begins = kind in (_FULL, _FIRST)
        if begins == bool(parts):
            raise ValueError("a record of the log does not end where the next begins")
        parts.append(part)
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
            parts = []


def _chunks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, data) of the whole chunks. Raises ValueError where one is broken."""
    position = len(_HEADER)
    while True:
        if _BLOCK - position % _BLOCK < _CHUNK.size:  # no chunk begins so near to the end of a block
            position += _BLOCK - position % _BLOCK
        if position + _CHUNK.size > len(data):
            return
        crc, length, kind = _CHUNK.unpack_from(data, position)
        begin, end = position + _CHUNK.size, position + _CHUNK.size + length
        if end > position - position % _BLOCK + _BLOCK or not _FULL <= kind <= _LAST:
            raise ValueError("a chunk of the log is no chunk")
        if end > len(data):
            return
        if crc != zlib.crc32(data[begin - 1 : end]):
            raise ValueError("a chunk of the log is damaged")
        yield kind, data[begin:end]
        position = end


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, bytes) of the length-delimited fields of a protobuf message. Raises ValueError where it is none."""
    position = 0
    for _ in range(_MOST_FIELDS):
        if position == len(message):
            return
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            _, position = _varint(message, position)
        elif wire == _BYTES:
            length, position = _varint(message, position)
            if position + length > len(message):
                raise ValueError("a field is longer than its message")
            yield number, message[position : position + length]
            position += length
        elif wire in (_FIXED64, _FIXED32):
            position += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"no such wire type: {wire}")
    raise ValueError("more fields than a message has")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, and the position after it. Raises ValueError where there is none."""
    number = 0
    for count, byte in enumerate(message[position : position + 10]):
        number |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return number, position + count + 1
    raise ValueError("a number does not end")

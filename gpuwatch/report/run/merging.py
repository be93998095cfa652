"""One run out of the parts under which it was charged: of a run that is recognised late, the project changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gpuwatch.model.history import Bin, RunOnDevice, RunRecord


def merged(records: Sequence[RunRecord]) -> RunRecord:
    """The records of one run of one user as one, under the names of the first."""
    first, *others = records
    if not others:
        return first
    devices: dict[tuple[str, str], list[RunOnDevice]] = {}
    for record in records:
        for device in record.devices:
            devices.setdefault((device.node, device.uuid), []).append(device)
    about = next((record.about for record in records if record.about is not None), None)
    cpu: dict[tuple[float, float], float] = {}
    for record in records:
        for start, seconds, used in record.cpu:
            cpu[start, seconds] = cpu.get((start, seconds), 0.0) + used
    return RunRecord(
        first.owner,
        about,
        tuple(_one_device(parts) for parts in devices.values()),
        tuple((*when, used) for when, used in sorted(cpu.items())),
    )


def _one_device(parts: Sequence[RunOnDevice]) -> RunOnDevice:
    peaks = [part.memory_peak_bytes for part in parts if part.memory_peak_bytes is not None]
    return parts[0]._replace(
        memory_peak_bytes=max(peaks, default=None),
        sm_known=any(part.sm_known for part in parts),
        bins=_sums(piece for part in parts for piece in part.bins),
    )


def _sums(pieces: Iterable[Bin]) -> tuple[Bin, ...]:
    sums: dict[float, Bin] = {}
    for piece in pieces:
        known = sums.get(piece.start_unix)
        if known is not None:
            amounts = (a + b for a, b in zip(known[2:], piece[2:], strict=True))
            sums[piece.start_unix] = Bin(piece.start_unix, max(known.seconds, piece.seconds), *amounts)
        else:
            sums[piece.start_unix] = piece
    return tuple(sums[start] for start in sorted(sums))

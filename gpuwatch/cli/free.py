"""`gpuwatch free`: the GPUs of this node that nobody has, for CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import click

from gpuwatch.attribute.text import printable
from gpuwatch.cli.live import AgentAt, Here, agent_options
from gpuwatch.errors import GpuwatchError, UsageError
from gpuwatch.model.live import Device
from gpuwatch.terminal.choice import Wish, choose, free_bytes
from gpuwatch.terminal.page import Scene
from gpuwatch.terminal.words import counted
from gpuwatch.units import parse_duration

_SIZE: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s?([MGT])(?:i?B)?", re.ASCII)
_SIZES: Final = {"M": 2**20, "G": 2**30, "T": 2**40}
_POLL_SECONDS: Final = 2.0
_LONGEST: Final = 400
"""Characters of why there are none: others may have written of it."""

Read = Callable[[], tuple[Scene, str]]
"""What there is, and why what nobody holds may not be free all the same."""


@click.command()
@click.option("-n", "--count", metavar="N", type=click.IntRange(min=1), help="So many; all there are without it.")
@click.option("--min-memory", metavar="SIZE", help="With so much free on each: 500M, 40G.")
@click.option("--wait", metavar="TIME", help="Until there are, for so long: 30m, 2h, 1d.")
@click.option("--json", "as_json", is_flag=True, help="As a list.")
@agent_options
def free(
    *, count: int | None, min_memory: str | None, wait: str | None, as_json: bool, listen: str, ca_file: Path | None,
    login: str | None, password_file: Path | None,
) -> None:  # fmt: skip
    """Print free GPUs of this node as CUDA_VISIBLE_DEVICES takes them: their UUIDs, with commas.

    Whole GPUs come first, then MIG instances. None that is drained, reserved or unknown. Exits with 1 where there are
    none, or fewer than asked for. Nothing is kept for who asks: start at once.
    """
    logging.basicConfig(level=logging.CRITICAL)
    wish = Wish(count, parse_size(min_memory) if min_memory else 0)
    with closing(Here(AgentAt(listen, ca_file, login, password_file))) as here:
        found, why = find(here.read_free, wish, wait_seconds=_seconds(wait))
    if as_json:
        click.echo(json.dumps([_document(device) for device in found], indent=2))
    elif found:
        click.echo(",".join(printable(device.uuid) for device in found))
    if not found:
        click.echo(f"gpuwatch: {printable(why, _LONGEST)}", err=True)
        sys.exit(1)


def find(
    read: Read, wish: Wish, *, wait_seconds: float = 0.0,
    clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> tuple[list[Device], str]:  # fmt: skip
    """The devices, or why there are none. Raises GpuwatchError where it cannot be known at all, and nobody waits."""
    deadline = clock() + wait_seconds
    while True:
        try:
            found, why = _look(read, wish)
        except GpuwatchError as error:
            if not wait_seconds:
                raise
            found, why = [], str(error)
        if found or clock() >= deadline:
            return found, why
        sleep(min(_POLL_SECONDS, max(0.0, deadline - clock())))


def parse_size(text: str) -> int:
    """Bytes of `500M` or `40G`. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"--min-memory is {printable(text)!r}, and must be a number with M, G or T behind it, like 40G"
        )
    return int(float(match[1]) * _SIZES[match[2]])


def _look(read: Read, wish: Wish) -> tuple[list[Device], str]:
    scene, doubt = read()
    devices = [device for node in scene.nodes for device in node.devices]
    found = choose(devices, wish)
    if doubt and found:
        return [], f"it is not known which GPUs are free: {doubt}"
    return found, _why(choose(devices, wish._replace(devices=None)), wish)


def _why(fitting: Sequence[Device], wish: Wish) -> str:
    """Why there are not as many as wanted, of those that are free and large enough."""
    size = f" with {wish.memory_bytes / 2**30:g} GiB" if wish.memory_bytes else ""
    if not fitting or wish.devices is None:
        return f"no GPU{size} is free"
    instances = sum(device.is_instance for device in fitting)
    beside = f", beside {counted(instances, 'MIG instance')}: a program can use one of these alone" if instances else ""
    return f"{counted(wish.devices, 'GPU')}{size} wanted, and {len(fitting) - instances} free{beside}"


def _seconds(wait: str | None) -> float:
    try:
        return parse_duration(wait) if wait else 0.0
    except ValueError as error:
        raise UsageError(f"--wait {printable(wait or '')}: {error}") from error


def _document(device: Device) -> dict[str, object]:
    return {
        "gpu": device.gpu,
        "uuid": device.uuid,
        "model": device.model,
        "capacity": device.capacity,
        "memory_free_bytes": free_bytes(device),
    }

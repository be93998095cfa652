"""What the operator took out of service: the file, its changes, and how the agent reads it."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuwatch.agent.maintenance import (
    FILE_NAME,
    LONGEST_BYTES,
    NODE,
    MaintenanceFile,
    change,
    drained,
    parse_drains,
    read_drains,
    with_entries,
)
from gpuwatch.attribute.text import clean
from gpuwatch.errors import StateError
from gpuwatch.model import Drain

FANS = Drain(1_790_000_000.0, "new fans", "ann")
DISK = Drain(1_790_000_500.0, "", "ben")

scopes = st.sampled_from([NODE, "GPU-a", "GPU-b"])
drains = st.builds(Drain, st.floats(0, 4e9), st.text().map(clean), st.text().map(clean))
tables = st.dictionaries(scopes, drains)
leaves = st.none() | st.floats() | st.text() | st.sampled_from(["scope", "since_unix", "reason", "by"])
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(tables, drains | st.none())
def test_a_device_is_out_of_service_from_its_first_reason_on(table: dict[str, Drain], elsewhere: Drain | None) -> None:
    reasons = [drain for drain in (table.get("GPU-a"), table.get(NODE), elsewhere) if drain is not None]
    drain = drained("GPU-a", table, elsewhere)
    assert drain is None if not reasons else drain in reasons and drain.since_unix == min(r.since_unix for r in reasons)


@given(tables, tables)
def test_what_is_out_of_service_stays_so_since_then(table: dict[str, Drain], new: dict[str, Drain]) -> None:
    after = with_entries(table, new)
    assert after.keys() == table.keys() | new.keys()
    for scope, drain in after.items():
        old = table.get(scope, drain)
        assert (drain.since_unix, drain.by) == (old.since_unix, old.by)
        assert drain.reason == ((scope in new and new[scope].reason) or old.reason)


@settings(deadline=None)  # a disk takes its time
@given(tables)
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, table: dict[str, Drain]) -> None:
    folder = tmp_path_factory.mktemp("state")
    assert change(folder, lambda _: table) == table == read_drains(folder) == MaintenanceFile(folder).read()
    assert [path.name for path in folder.iterdir()] == ([FILE_NAME] if table else [])


@given(st.binary() | values.map(lambda value: json.dumps(value).encode()))
def test_any_content_is_entries_or_damage(content: bytes) -> None:
    try:
        assert isinstance(parse_drains(content), dict)
    except ValueError:
        return


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in ("scope", "since_unix", "reason", "by")),
        *({"scope": scope} for scope in ("", "a\nb", 3, "x" * 129)),
        *({"since_unix": since} for since in ("now", -1, 10**400, float("nan"), float("inf"))),
    ],
)
def test_an_entry_that_is_none_is_damage(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="an entry that is none"):
        parse_drains(json.dumps([{"scope": NODE, **FANS._asdict(), **change}]).encode())


def test_text_in_the_file_is_cleaned() -> None:
    entry = {"scope": "node", "since_unix": 1, "reason": "\x1b[31mred" + "x" * 999, "by": "\u202eann"}
    (drain,) = parse_drains(json.dumps([entry]).encode()).values()
    assert (drain.reason[:8], len(drain.reason), drain.by) == ("[31mredx", 128, "ann")


def test_the_agent_sees_each_change(tmp_path: Path) -> None:
    file = MaintenanceFile(tmp_path / "state")
    assert file.read() == {}
    change(tmp_path / "state", lambda _: {NODE: FANS})
    assert file.read() == file.read() == {NODE: FANS}
    change(tmp_path / "state", lambda drains: {**drains, "GPU-a": DISK})
    assert file.read() == {NODE: FANS, "GPU-a": DISK}
    change(tmp_path / "state", lambda _: {})
    assert file.read() == {}
    change(tmp_path / "state", lambda _: {NODE: DISK})
    assert file.read() == {NODE: DISK}
    (tmp_path / "state" / FILE_NAME).unlink()
    assert file.read() == {}


def put_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def put_fifo(path: Path) -> None:
    os.mkfifo(path)


def put_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def put_deep(path: Path) -> None:
    path.write_text("[" * (LONGEST_BYTES - 1))


@pytest.mark.parametrize(
    ("put", "problem"),
    [
        (put_link, "it must be a plain file"),
        (put_fifo, "no regular file"),
        (Path.mkdir, "no regular file"),
        (put_huge, "over 256 KiB"),
        (put_deep, "lists within lists"),
        (Path.touch, "is damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_once_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, put: Callable[[Path], None], problem: str
) -> None:
    change(tmp_path, lambda _: {NODE: FANS})
    file = MaintenanceFile(tmp_path)
    file.read()
    (tmp_path / FILE_NAME).unlink()
    put(tmp_path / FILE_NAME)
    assert file.read() == file.read() == {NODE: FANS}
    (message,) = caplog.messages
    assert problem in message
    with pytest.raises(StateError, match=problem):
        change(tmp_path, lambda _: {})
    assert MaintenanceFile(tmp_path).read() == {}


def test_changes_at_once_are_all_there(tmp_path: Path) -> None:
    def add(number: int) -> None:
        change(tmp_path, lambda drains: {**drains, f"GPU-{number}": FANS})

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_drains(tmp_path)) == 8


def test_what_one_that_was_killed_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".{FILE_NAME}.new").symlink_to("/etc/passwd")
    change(tmp_path, lambda _: {NODE: FANS})
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o644


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """As somebody who may look into the folder and write nothing there."""
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


def test_who_may_not_write_is_told_how() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name, without_rights(Path(name)):
        with pytest.raises(StateError, match=rf"not permitted to write in the state directory {name}: try with sudo"):
            change(Path(name), lambda _: {NODE: FANS})
        assert change(Path(name), lambda _: {}) == {}


def test_a_place_that_is_no_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StateError, match=r"cannot write in the state directory .*: File exists"):
        change(tmp_path / "state", lambda _: {NODE: FANS})

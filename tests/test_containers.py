"""The node's files on containers: names where they can be read, and bounded whatever they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import HEX

from gpuwatch.attribute.case import Container
from gpuwatch.attribute.containers import Containers, parse_docker, parse_podman

UID = "6a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
DOCKER = f"/system.slice/docker-{HEX}.scope"
POD = f"/kubepods/pod{UID}/{HEX}"


def config(node: Path) -> Path:
    path = node / "var/lib/docker/containers" / HEX / "config.v2.json"
    path.parent.mkdir(parents=True)
    return path


def test_a_process_in_no_container_has_none(tmp_path: Path) -> None:
    assert Containers(tmp_path).of("/user.slice/user-1000.slice/session-3.scope") is None


def test_of_a_container_only_the_name_and_our_labels_are_kept(tmp_path: Path) -> None:
    labels = {"gpuwatch.user": "a\u202enn", "gpuwatch.project": 7, "token": "hunter2"}
    config(tmp_path).write_text(json.dumps({"Name": "/trainer", "Config": {"Env": ["K=hunter2"], "Labels": labels}}))
    assert Containers(tmp_path).of(DOCKER) == Container(HEX, "trainer", labels={"gpuwatch.user": "ann"})


def test_what_is_known_is_not_read_again_and_what_is_not_is(tmp_path: Path) -> None:
    containers, path = Containers(tmp_path), config(tmp_path)
    assert containers.of(DOCKER) == Container(HEX)
    path.write_text('{"Name": "/trainer"}')
    assert containers.of(DOCKER) == Container(HEX, "trainer")
    path.unlink()
    assert containers.of(DOCKER) == Container(HEX, "trainer")


def test_a_container_of_a_user_is_never_taken_for_one_of_roots_files(tmp_path: Path) -> None:
    config(tmp_path).write_text('{"Name": "/trainer"}')
    containers = Containers(tmp_path)
    assert containers.of(DOCKER) == Container(HEX, "trainer")
    assert containers.of(f"/user.slice/user-1000.slice/user@1000.service/docker-{HEX}.scope") == Container(HEX)


def test_a_pod_is_named_by_the_folder_of_its_logs(tmp_path: Path) -> None:
    for name in ("notes", f"_{UID}", f"a_b_c_{UID}", f"vision_resnet-0_{UID}", f"vision_other_{UID[:-1]}e"):
        (tmp_path / "var/log/pods" / name).mkdir(parents=True)
    assert Containers(tmp_path).of(POD) == Container(HEX, namespace="vision", pod="resnet-0")


def test_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    path = config(tmp_path)
    containers = Containers(tmp_path)
    os.mkfifo(path)
    assert containers.of(DOCKER) == Container(HEX)
    path.unlink()
    (tmp_path / "elsewhere").write_text('{"Name": "/trainer"}')
    path.symlink_to(tmp_path / "elsewhere")
    assert containers.of(DOCKER) == Container(HEX)
    path.unlink()
    path.mkdir()
    assert containers.of(DOCKER) == Container(HEX)


def test_a_file_of_a_gigabyte_costs_what_one_of_a_megabyte_does(tmp_path: Path) -> None:
    with config(tmp_path).open("wb") as file:
        file.truncate(1 << 30)
    assert Containers(tmp_path).of(DOCKER) == Container(HEX)


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuwatch.attribute.containers._MOST_KNOWN", 3)
    containers = Containers(tmp_path)
    for number in range(5):
        uid = f"{number:08x}{UID[8:]}"
        (tmp_path / "var/log/pods" / f"ns_p{number}_{uid}").mkdir(parents=True)
        containers.of(f"/kubepods/pod{uid}")
    assert len(containers._known) == 3


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b'{"Name": 7}', b"9" * 100_000, b'[{"id": 1}]', b"\xff"])
def test_damaged_files_name_nothing(content: bytes) -> None:
    assert parse_docker(HEX, content) == parse_podman(HEX, content) == Container(HEX)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_bytes_name_a_container_or_nothing(content: bytes) -> None:
    assert parse_docker(HEX, content).id == parse_podman(HEX, content).id == HEX

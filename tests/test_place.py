"""Where a process runs: what its cgroups prove, and what they do not."""

from __future__ import annotations

import pytest

from gpuwatch.attribute.place import Place, locate

HEX, OTHER = "3f" * 32, "a0" * 32
UID = "6a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
STATIC = "0123456789abcdef0123456789abcdef"
MINE = "/user.slice/user-1000.slice/user@1000.service"


@pytest.mark.parametrize(
    ("cgroup", "place"),
    [
        ("", Place()),
        ("/", Place()),
        ("/slurm/uid_1000/job_5/step_batch/task_0", Place(job="5", step="batch")),
        ("/../n7_slurmstepd.scope/job_5/step_1/user", Place(job="5", step="1", unit="n7_slurmstepd.scope")),
        ("/slurm/uid_1000/s8FXKTA79XAR00/step_0", Place(job="s8FXKTA79XAR00", step="0")),
        (f"/kubepods/pod{UID}/{HEX}", Place(pod=UID, container=HEX)),
        (f"/kubepods/pod{UID}/{HEX}/init.scope", Place(pod=UID, container=HEX, unit="init.scope")),
        (f"/kubepods/burstable/pod{STATIC}/{HEX}", Place(pod=STATIC, container=HEX)),
        (f"/docker/{HEX}", Place(runtime="docker", container=HEX)),
        (f"/docker/{HEX}/kubepods/pod{UID}/{OTHER}", Place(runtime="docker", container=HEX)),
        (f"/docker/{HEX}/docker/{OTHER}", Place(runtime="docker", container=HEX)),
        (f"/kubepods/pod{UID}/{HEX}/slurm/uid_0/job_5", Place(pod=UID, container=HEX)),
        (f"{MINE}/slurm/uid_0/job_5/step_0", Place(user="1000", unit="user@1000.service")),
        (f"{MINE}/user-0.slice/a.service", Place(user="1000", unit="a.service")),
        (f"/libpod_parent/libpod-{HEX}", Place(runtime="podman", container=HEX)),
        (f"/machine.slice/libpod-conmon-{HEX}.scope", Place(unit=f"libpod-conmon-{HEX}.scope")),
    ],
)
def test_a_path_is_read_from_the_outside_in(cgroup: str, place: Place) -> None:
    assert locate(cgroup)._replace(unit=place.unit) == place
    assert place.unit in ("", locate(cgroup).unit) or len(place.unit) > 80


@pytest.mark.parametrize(
    "cgroup",
    [
        "/job_5/step_0",
        "/slurm/uid_1000/job_/step_0",
        "/slurm/uid_1000/job_\u0665",
        "/slurm/uid_1000/job_5x",
        "/kubepods/podUID/" + HEX,
        "/docker/" + HEX[:-1],
        "/docker/" + HEX.upper(),
        "/docker-" + HEX + ".scope.x",
        "/" + "-" * 100_000 + "pod",
        "/a" * 50_000,
    ],
)
def test_what_only_looks_like_one_is_none(cgroup: str) -> None:
    place = locate(cgroup)
    assert not (place.job or place.pod or place.container)


def test_controllers_that_agree_are_one_place_and_others_none() -> None:
    same = "/slurm/uid_1/job_5/step_0/task_0\n/slurm/uid_1/job_5/step_0\n/system.slice/slurmd.service"
    assert locate(same)[:3] == ("", "5", "0")
    assert locate("/slurm/uid_1/job_5\n/slurm/uid_1/job_6").job == ""

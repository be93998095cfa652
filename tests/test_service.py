"""The systemd service comes and goes without a trace, by whom it may and from where it may."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers import program

from gpuwatch.cli.config import example
from gpuwatch.errors import ServiceError
from gpuwatch.service.install import install, uninstall
from gpuwatch.service.installation import HIDDEN, Installation, check_installation
from gpuwatch.service.place import Place
from gpuwatch.service.systemctl import RUNNING_SYSTEMD, Systemctl
from gpuwatch.service.unit import NOTIFY_NAME, REPORT_NAME, TIMER_NAME, UNIT_NAME

ROOT = Path(__file__).parent.parent
COMMAND = Path("/opt/gpuwatch/bin/gpuwatch")
NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root installs services and gives rights away")
Tree = dict[str, tuple[int, str]]
ENABLED = [
    "gpuwatch.service is enabled: it starts with the image",
    "On one host of the fleet, this has last week's report sent to Slack each Monday:",
    "  systemctl enable --now gpuwatch-report.timer",
]


def ended(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    """The command, run to its end, with what it said."""
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", timeout=60)


# An image, with this package installed in it from its wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("gpuwatch", "systemd"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    done = ended([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, folder])
    if done.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"no wheel can be built here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def plain_python() -> Path:
    """A Python of this version where services see it: this one may lie in somebody's home."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for folder in (Path(sys.base_prefix, "bin"), Path("/usr/local/bin"), Path("/usr/bin")):
        python = (folder / name).resolve()
        if python.exists() and not any(python.is_relative_to(hidden) for hidden in HIDDEN):
            return python
    pytest.skip(f"there is no {name} where a service would see it")


@pytest.fixture(scope="module")
def pristine(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of a system with gpuwatch in /opt, not installed as a service."""
    image = tmp_path_factory.mktemp("pristine") / "image"
    (image / "etc/systemd/system").mkdir(parents=True)
    python = image / "opt/gpuwatch/bin/python"
    venv: list[str | Path] = ["venv", "--without-pip", image / "opt/gpuwatch"]
    pip: list[str | Path] = ["pip", "--python", python, "install", "-q", "--no-index", "--no-deps", wheel]
    subprocess.run([plain_python(), "-m", *venv], check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", *pip], check=True, capture_output=True)
    site = next((image / "opt/gpuwatch/lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return image


@pytest.fixture
def image(pristine: Path) -> Iterator[Path]:
    """The image, as it was when this test began; a copied venv would not be of its place."""
    before = tree(pristine)
    program("systemctl")
    yield pristine
    for folder in ("etc", "var"):
        shutil.rmtree(pristine / folder, ignore_errors=True)
    (pristine / "etc/systemd/system").mkdir(parents=True)
    (pristine / "opt").chmod(0o755)
    assert tree(pristine) == before


def tree(folder: Path) -> Tree:
    """All that is in a folder, but for what Python compiles."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            os.readlink(path) if path.is_symlink() else path.read_text("latin-1") if path.is_file() else "",
        )
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def gpuwatch(image: Path, command: str, *arguments: str) -> list[str]:
    """What the image's own gpuwatch says; it must succeed."""
    done = ended([image / "opt/gpuwatch/bin/gpuwatch", command, "--root", image, *arguments])
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_wheel_carries_the_units(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in (UNIT_NAME, REPORT_NAME, TIMER_NAME, NOTIFY_NAME):
            assert archive.read(f"gpuwatch/service/{name}") == (ROOT / "systemd" / name).read_bytes()


def test_the_wheel_carries_the_page_of_reports(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert {f"gpuwatch/report/html/page.{kind}" for kind in ("html", "css")} <= set(archive.namelist())


@AS_ROOT
def test_it_comes_and_goes_without_a_trace(image: Path) -> None:
    place, before = Place(image), tree(image)
    assert gpuwatch(image, "install-service") == [
        f"wrote {place.config}",
        *(f"wrote {path}" for path in (place.unit, place.report, place.timer, place.notify)),
        *ENABLED,
    ]
    installed = tree(image)
    assert f"\nExecStart={COMMAND} agent --state-dir %S/gpuwatch\n" in place.unit.read_text(encoding="utf-8")
    assert place.config.read_text(encoding="utf-8") == example()
    assert f"\nExecStart={COMMAND} report " in place.report.read_text(encoding="utf-8")
    assert [link.is_symlink() for link in place.links] == [True, False, False]
    files = (place.unit, place.report, place.timer, place.notify, place.config)
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}

    assert gpuwatch(image, "install-service") == ENABLED
    assert tree(image) == installed

    assert gpuwatch(image, "uninstall-service") == [
        f"removed {path}"
        for path in (place.config, place.links[0], place.timer, place.report, place.notify, place.unit)
    ]
    assert tree(image) == before
    assert gpuwatch(image, "uninstall-service") == ["nothing to remove: gpuwatch.service is not installed"]
    assert tree(image) == before


@AS_ROOT
def test_what_people_wrote_goes_only_with_purge(image: Path) -> None:
    place, before = Place(image), tree(image)
    gpuwatch(image, "install-service")
    with place.config.open("a", encoding="utf-8") as config:
        config.write("# Ann was here\n")
    place.drop_ins[0].mkdir()
    drop_in = place.drop_ins[0] / "override.conf"
    drop_in.write_text("[Service]\nNice=19\n", encoding="utf-8")
    link, folder, *_ = place.record
    folder.mkdir(parents=True)
    link.symlink_to("private/gpuwatch")
    (folder / "gpuwatch.sqlite3").write_bytes(b"a year")

    somebodys = [place.config, drop_in, link, folder]
    said = gpuwatch(image, "uninstall-service")
    assert said[5:] == [f"kept {path} (--purge removes it)" for path in somebodys]
    assert gpuwatch(image, "uninstall-service")[1:] == said[5:]
    assert all(path.exists() for path in somebodys)

    assert gpuwatch(image, "uninstall-service", "--purge") == [f"removed {path}" for path in somebodys]
    shutil.rmtree(image / "var")
    assert tree(image) == before


@AS_ROOT
def test_empty_drop_in_folders_go_too(image: Path) -> None:
    before = tree(image)
    gpuwatch(image, "install-service")
    for folder in Place(image).drop_ins:
        folder.mkdir()
    gpuwatch(image, "uninstall-service")
    assert tree(image) == before


@AS_ROOT
def test_an_update_changes_the_unit_and_still_knows_its_configuration(image: Path) -> None:
    place, systemctl, before = Place(image), Systemctl(image), tree(image)
    install(place, systemctl, command=COMMAND, version="1", config="# as it was\n")
    assert install(place, systemctl, command=COMMAND, version="2", config="# as it is now\n") == [place.unit]
    assert place.config.read_text(encoding="utf-8") == "# as it was\n"
    uninstall(place, systemctl, purge=False)
    assert tree(image) == before


@AS_ROOT
def test_a_configuration_that_was_there_is_left_alone(image: Path) -> None:
    place, systemctl = Place(image), Systemctl(image)
    place.config.parent.mkdir()
    place.config.write_text(example(), encoding="utf-8")
    units = [place.unit, place.report, place.timer, place.notify]
    assert install(place, systemctl, command=COMMAND, version="1", config=example()) == units
    assert uninstall(place, systemctl, purge=False).kept == [place.config]
    assert place.config.exists()


@AS_ROOT
@pytest.mark.parametrize("version", ["", "1"], ids=["new", "over an older one"])
def test_a_failure_halfway_leaves_what_was_there(image: Path, version: str) -> None:
    place, systemctl = Place(image), Systemctl(image)
    if version:
        install(place, systemctl, command=COMMAND, version=version, config="# mine\n")
        shutil.rmtree(place.links[0].parent)
    place.links[0].parent.write_text("no folder", encoding="utf-8")  # so it cannot be enabled
    before = tree(image)
    with pytest.raises(ServiceError, match=r"systemctl enable .* failed: .*; all files are as they were"):
        install(place, systemctl, command=COMMAND, version="2", config="# new\n")
    assert tree(image) == before


# Who may install, and from where


@contextmanager
def installed_in(image: Path, folder: str) -> Iterator[Installation]:
    """A command in the folder of an image."""
    command = image / folder / "gpuwatch"
    command.parent.mkdir(parents=True)
    command.write_text("#!/bin/sh\n", encoding="utf-8")
    command.chmod(0o755)
    yield Installation(command, ())


@AS_ROOT
def test_a_command_of_root_is_accepted_by_its_path_in_the_image(tmp_path: Path) -> None:
    with installed_in(tmp_path, "opt/x/bin") as installation:
        assert check_installation(installation, tmp_path) == Path("/opt/x/bin/gpuwatch")
        outside = Installation(Path("/opt/x/bin/gpuwatch"), ())
        assert check_installation(outside, tmp_path) == Path("/opt/x/bin/gpuwatch")
        with pytest.raises(ServiceError, match="there is no command"):
            check_installation(Installation(Path("/opt/y/bin/gpuwatch"), ()), tmp_path)


@AS_ROOT
@pytest.mark.parametrize("folder", ["home/ann/bin", "root/bin", "tmp/x", "var/tmp/x"])
def test_a_place_that_the_service_does_not_see_is_refused(tmp_path: Path, folder: str) -> None:
    with installed_in(tmp_path, folder) as installation, pytest.raises(ServiceError, match=r"does not see: .*/opt"):
        check_installation(installation, tmp_path)


@AS_ROOT
def test_a_link_into_a_home_is_refused(tmp_path: Path) -> None:
    with installed_in(tmp_path, "home/ann/bin") as installation:
        (tmp_path / "opt").symlink_to(tmp_path / "home/ann/bin")
        for linked in (Installation(tmp_path / "opt/gpuwatch", ()), installation._replace(command=tmp_path / "opt/x")):
            (tmp_path / "opt/x").touch(0o755)
            with pytest.raises(ServiceError, match="does not see"):
                check_installation(linked, tmp_path)


@AS_ROOT
def test_what_others_can_change_is_refused(tmp_path: Path) -> None:
    with installed_in(tmp_path, "opt/x/bin") as installation:
        (tmp_path / "opt").chmod(0o777)
        with pytest.raises(ServiceError, match=r"anybody can write to .*/opt,"):
            check_installation(installation, tmp_path)
        (tmp_path / "opt").chmod(0o755)
        os.chown(tmp_path / "opt/x", 1000, -1)
        with pytest.raises(ServiceError, match=r"/opt/x belongs to uid 1000"):
            check_installation(installation, tmp_path)


@pytest.mark.parametrize("name", ["install-service", "uninstall-service"])
def test_only_root_may(name: str) -> None:
    nobody = [program("setpriv"), f"--reuid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    done = ended([*nobody, sys.executable, "-m", "gpuwatch", name])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"gpuwatch: {name} needs root: run it with sudo\n"


@AS_ROOT
@pytest.mark.skipif(RUNNING_SYSTEMD.is_dir(), reason="systemd runs here")
@pytest.mark.parametrize("name", ["install-service", "uninstall-service"])
def test_without_systemd_nothing_is_written(name: str) -> None:
    done = ended([sys.executable, "-m", "gpuwatch", name])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gpuwatch: systemd does not run here (no /run/systemd/system): ")
    assert not Path("/etc/systemd/system", UNIT_NAME).exists()

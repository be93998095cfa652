"""`gpuwatch report` as a command: its record, its exit status, its file, its settings."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from history import FakeHistory
from reports import NOW, example

from gpuwatch.agent import config as configuration_module
from gpuwatch.agent.config import Configuration, load_client
from gpuwatch.agent.settings import Settings
from gpuwatch.attribute.people import People
from gpuwatch.cli import command, source
from gpuwatch.cli.output import whole_file
from gpuwatch.cli.report import FILTERS
from gpuwatch.cli.source import open_source, read_viewer
from gpuwatch.errors import GpuwatchError, UsageError
from gpuwatch.report.division import REPORT_KEYS
from gpuwatch.report.server import Server

LAST_WEEK = ("--since", "2026-W46", "--tz", "UTC")


@pytest.fixture(autouse=True)
def nobodys_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No file of this machine is read, and the record is the example's."""
    monkeypatch.setattr(configuration_module, "DEFAULT_PATH", tmp_path / "etc/config.toml")
    monkeypatch.setattr(configuration_module, "CLIENT_PATH", tmp_path / "etc/client.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("time.time", lambda: NOW)
    (tmp_path / "etc").mkdir()
    (tmp_path / "home/gpuwatch").mkdir(parents=True)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> FakeHistory:
    history = example()

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[FakeHistory]:
        yield history

    monkeypatch.setattr(sys.modules["gpuwatch.cli.report"], "open_source", opened)
    return history


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["report", *arguments])


def test_it_can_be_divided_and_limited_by_all_keys() -> None:
    assert {*FILTERS, "day"} == set(REPORT_KEYS)


@pytest.mark.usefixtures("record")
@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "html", "slack"])
def test_every_format_has_the_rows(form: str) -> None:
    result = run(*LAST_WEEK, "--format", form)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "ben" in result.stdout
    assert result.stdout.endswith("\n")


@pytest.mark.usefixtures("record")
def test_filters_and_keys_go_together() -> None:
    result = run(*LAST_WEEK, "--format", "json", "--by", "user", "--by", "node", "--user", "ann", "--user", "dan")
    rows = json.loads(result.stdout)["rows"]
    assert [(row["user"], row["node"]) for row in rows] == [("ann", "n1"), ("dan", "n2")]


@pytest.mark.usefixtures("record")
def test_a_piped_table_is_plain() -> None:
    assert "\x1b" not in run(*LAST_WEEK).stdout


@pytest.mark.usefixtures("record")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--since", "2026-W30"), "the record begins 2026-11-02 00:00; before that is nothing"),
        (("--since", "2026-W46", "--user", "bob"), "the record has no user 'bob' in this period"),
    ],
)
def test_nothing_there_is_a_sentence_and_exit_status_1(arguments: tuple[str, ...], message: str) -> None:
    result = run("--tz", "UTC", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


@pytest.mark.usefixtures("record")
def test_a_silent_node_has_no_rows_and_exit_status_1() -> None:
    result = run(*LAST_WEEK, "--node", "n9")
    assert result.exit_code == 1
    assert "Nobody held a GPU." in result.stdout


def exception_of(result: Result) -> BaseException:
    assert result.exception is not None
    return result.exception


@pytest.mark.usefixtures("record")
@pytest.mark.parametrize(
    "arguments", [("--since", "lst week"), ("--tz", "Mars/Olympus"), ("--to", "slack", "--format", "json")]
)
def test_wrong_usage_is_an_error_for_exit_status_2(arguments: tuple[str, ...]) -> None:
    assert isinstance(exception_of(run(*arguments)), UsageError)


@pytest.mark.usefixtures("record")
def test_explain_shows_what_was_asked() -> None:
    assert "-- usage by user (1 ms)" in run(*LAST_WEEK, "--explain").stdout
    assert json.loads(run(*LAST_WEEK, "--explain", "--format", "json").stdout)["questions"]
    result = run(*LAST_WEEK, "--explain", "--format", "csv")
    assert "usage by user" in result.stderr
    assert "usage by user" not in result.stdout


@pytest.mark.usefixtures("record")
def test_prices_and_privacy_are_configured(tmp_path: Path) -> None:
    (tmp_path / "etc/client.toml").write_text('[cost]\ngpu_hour = 2\ncurrency = "€"\n[privacy]\nnames = "none"\n')
    result = run(*LAST_WEEK)
    assert "€1,344" in result.stdout
    assert "person 1" in result.stdout
    assert "ben" not in result.stdout


@pytest.mark.usefixtures("record")
def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "report.csv"
    result = run(*LAST_WEEK, "--format", "csv", "--output", str(place))
    assert (result.exit_code, result.stdout) == (0, "")
    assert place.read_bytes().startswith(b"user,")
    assert b"\r\n" in place.read_bytes()
    with pytest.raises(RuntimeError), whole_file(place) as file:
        file.write("half")
        raise RuntimeError
    assert place.read_bytes().startswith(b"user,")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["report.csv"]


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: No such file"), whole_file(tmp_path / "no/report.csv"):
        pass
    with pytest.raises(UsageError, match="cannot be written: File name too long"), whole_file(tmp_path / ("x" * 300)):
        pass
    (tmp_path / f".planted.csv.{os.getpid()}").symlink_to(tmp_path / "somebody's")
    with pytest.raises(UsageError, match="cannot be written: File exists"), whole_file(tmp_path / "planted.csv"):
        pass
    assert not (tmp_path / "somebody's").exists()
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with whole_file(tmp_path / "fifo") as file:
        file.write("straight")
    assert os.read(reader, 100) == b"straight"
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    os.close(reader)


def test_who_may_not_read_the_agents_file_has_a_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = open

    def closed(path: object, *rest: object, **options: object) -> object:
        if path == tmp_path / "etc/config.toml":
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("gpuwatch.agent.document.open", closed, raising=False)
    (tmp_path / "etc/config.toml").write_text("broken")
    (tmp_path / "etc/client.toml").write_text('node = "n1"\n[prometheus]\nurl = "http://p:9090"\n')
    own = tmp_path / "home/gpuwatch/client.toml"
    own.write_text('[prometheus]\nurl = "http://mine:9090"\n')
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "home")}
    found = load_client(environment=environment, path=None)
    assert (found.settings.node, found.settings.prometheus.url) == ("n1", "http://mine:9090")
    assert found.sources["prometheus.url"] == str(own)
    assert load_client(environment={"HOME": str(tmp_path)}, path=None).settings.prometheus.url == "http://p:9090"
    with pytest.raises(UsageError, match="Permission denied"):
        load_client(environment={}, path=tmp_path / "etc/config.toml")


def test_a_mistake_in_a_clients_file_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "etc/client.toml").write_text("[cost]\ngpu_hour = -1\n")
    with pytest.raises(UsageError, match=r"client\.toml: cost\.gpu_hour is -1"):
        load_client(environment={}, path=None)


def configured(server: Server | None = None, **sources: str) -> Configuration:
    return Configuration(Settings(state_directory=Path("/none/own"), prometheus=server or Server()), sources)


def test_two_records_are_one_too_many() -> None:
    with (
        pytest.raises(UsageError, match="give one of them"),
        open_source(configured(), state_dir=Path("x"), prometheus="http://p", now_unix=NOW),
    ):
        pass


def test_no_record_says_what_to_do(tmp_path: Path) -> None:
    with (
        pytest.raises(GpuwatchError, match="--prometheus"),
        open_source(configured(), state_dir=tmp_path, prometheus=None, now_unix=NOW),
    ):
        pass


def test_a_password_goes_to_its_own_server_only() -> None:
    known = Server("https://p:9090", Path("ca.pem"), "reader", Path("password"))
    assert source.server_at(known, None) == known
    assert source.server_at(known, "https://p:9090/prefix/").user == "reader"
    other = source.server_at(known, "http://evil:9090")
    assert (other.user, other.password_file, other.token_file) == ("", None, None)
    assert source.server_at(Server(user="reader", token_file=Path("t")), "http://p").token_file == Path("t")
    with pytest.raises(UsageError, match="--prometheus must be a URL"):
        source.server_at(known, "p:9090")


def test_whoever_asks_goes_by_their_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "ann.smith\x1b")
    assert read_viewer(People(aliases={"ann.smith": "ann"})) == "ann"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert read_viewer(People()) != "ann.smith"

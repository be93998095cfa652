"""The configuration's keys: each is set by file, variable and flag, and each is broken, through the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from configured import configured, in_file, line, told

from gpuwatch.agent import config
from gpuwatch.agent.config import load
from gpuwatch.agent.kinds import shown, toml
from gpuwatch.agent.settings import KEYS, Key, Settings
from gpuwatch.cli.agent import agent
from gpuwatch.errors import StateError, UsageError

ADDRESS = "must be HOST:PORT, like 127.0.0.1:9469 or [::]:9469"
NAME = "must be a name of 1 to 128 printable characters"
SECONDS = "must be a number of seconds from 0.1 to 5"
WHOLE = "must be a whole number of 1 or more"
URL = "must be a URL of http or https without user and query, like http://prometheus:9090"
USERS = 'must be a table of persons by their other names, like { "ann.smith" = "ann" }'
TEAMS = 'must be a table of lists, like { vision = ["ann", "%vision"] }, with each in one team'
OVERRIDES = (
    'must be a list of tables like { kind = "interactive", hours = "12:00-14:00", days = "mon-fri", idle_after = "2h" }'
)
TOKEN_FILE = "must be the path of a file that holds a bot's token"
DURATION = "must be a length of time like 30m, 2h or 1d"
HOURS = "must be days and hours like mon-fri 09:00-18:00 or mon,wed 08:30-24:00"
HIDDEN = "is not shown here, as it may hold a secret"


class Broken(NamedTuple):
    """A wrong value in TOML, and as the text of a variable or flag; and what is told of each after its place."""

    toml: str
    told_of_toml: str
    text: str
    told_of_text: str


BROKEN = {
    "listen": Broken("9469", f"is 9469, and {ADDRESS}", "n7", f'is "n7", and {ADDRESS}'),
    "node": Broken('"n\\n7"', f'is "n\\n7", and {NAME}', "", f'is "", and {NAME}'),
    "state_dir": Broken(
        "['/srv']", "is a list, and must be the path of a directory",
        "/srv\x1b[2J", 'is "/srv\\u001b[2J", and must be the path of a directory',
    ),
    "interval": Broken("true", f"is true, and {SECONDS}", "60", f"is 60, and {SECONDS}"),
    "web_config": Broken(
        '""', 'is "", and must be the path of a file',
        "http://n7/web.yml", 'is "http://n7/web.yml", and must be the path of a file',
    ),
    "socket": Broken(
        "9469", "is 9469, and must be the path of a unix socket",
        "unix:///run/gpuwatch.sock", 'is "unix:///run/gpuwatch.sock", and must be the path of a unix socket',
    ),
    "users": Broken(
        "{ 'ann.smith' = 5 }", f'has "ann.smith", which is 5, and {USERS}',
        "ann.smith=ann", f'is "ann.smith=ann", and {USERS}',
    ),
    "teams": Broken(
        "{ vision = ['ann'], nlp = ['ben', 'ann'] }", f'has "ann" in two teams, "vision" and "nlp", and {TEAMS}',
        '{ vision = "ann" }', f'has "vision", which is "ann", and {TEAMS}',
    ),
    "account.short_run_seconds": Broken(
        "nan", "is nan, and must be a number of 0 or more",
        "a minute", 'is "a minute", and must be a number of 0 or more',
    ),
    "account.run_series": Broken('"many"', f'is "many", and {WHOLE}', "0", f"is 0, and {WHOLE}"),
    "account.people": Broken("7.5", f"is 7.5, and {WHOLE}", "-1", f"is -1, and {WHOLE}"),
    "judge.override": Broken(
        "[{ idle_after = '90' }]",
        f'has idle_after in table 1, which is "90" and not a duration like "30m", "2h" or "1d", and {OVERRIDES}',
        "quiet", f'is "quiet", and {OVERRIDES}',
    ),
    "slurm.node": Broken("{ name = 'n7' }", f"is a table, and {NAME}", " ", f'is " ", and {NAME}'),
    "slurm.cluster": Broken("[]", f"is a list, and {NAME}", "", f'is "", and {NAME}'),
    "kubernetes.cluster": Broken("7", f"is 7, and {NAME}", "a\tb", f'is "a\\tb", and {NAME}'),
    "prometheus.url": Broken(
        '"prometheus:9090"', f'is "prometheus:9090", and {URL}',
        "http://ann:geheim@prometheus", f"{HIDDEN}, and {URL}",
    ),
    "prometheus.ca_file": Broken(
        "1", "is 1, and must be the path of a file with certificates",
        "", 'is "", and must be the path of a file with certificates',
    ),
    "prometheus.user": Broken("1", f"is 1, and {NAME}", "a\tb", f'is "a\\tb", and {NAME}'),
    "prometheus.password_file": Broken(
        "[]", "is a list, and must be the path of a file that holds a password",
        "", 'is "", and must be the path of a file that holds a password',
    ),
    "prometheus.token_file": Broken(
        "false", "is false, and must be the path of a file that holds a bearer token",
        " ", 'is " ", and must be the path of a file that holds a bearer token',
    ),
    "slack.token_file": Broken(
        "1979-05-27", f"is 1979-05-27, and {TOKEN_FILE}",
        "xoxb-12345-geheim", f"{HIDDEN}, and {TOKEN_FILE}",
    ),
    "slack.api_url": Broken(
        '"https://hooks.slack.com/services/T0/B0/geheim"', f"{HIDDEN}, and {URL}",
        "ftp://slack.com", f'is "ftp://slack.com", and {URL}',
    ),
    "slack.channel": Broken("7", f"is 7, and {NAME}", " ", f'is " ", and {NAME}'),
    "slack.email_domain": Broken("['example.com']", f"is a list, and {NAME}", "", f'is "", and {NAME}'),
    "alert.mode": Broken(
        "true", "is true, and must be one of: off, shadow, agent, fleet",
        "slack", 'is "slack", and must be one of: off, shadow, agent, fleet',
    ),
    "alert.push_after": Broken("30", f"is 30, and {DURATION}", "0m", f'is "0m", and {DURATION}'),
    "alert.interactive_after": Broken("2.5", f"is 2.5, and {DURATION}", "2 hours", f'is "2 hours", and {DURATION}'),
    "alert.push_gpu_hours": Broken(
        '"1h"', 'is "1h", and must be a number of 0 or more', "-1", "is -1, and must be a number of 0 or more"
    ),
    "alert.per_day": Broken("0", f"is 0, and {WHOLE}", "3.5", f"is 3.5, and {WHOLE}"),
    "alert.working_hours": Broken(
        "9", f"is 9, and {HOURS}", "mon-fri 18:00-09:00", f'is "mon-fri 18:00-09:00", and {HOURS}'
    ),
    "alert.time_zone": Broken("1", f"is 1, and {NAME}", "", f'is "", and {NAME}'),
    "cost.gpu_hour": Broken(
        '"$2"', 'is "$2", and must be a number of 0 or more', "-1", "is -1, and must be a number of 0 or more"
    ),
    "cost.currency": Broken("7", f"is 7, and {NAME}", "", f'is "", and {NAME}'),
    "privacy.names": Broken(
        "true", "is true, and must be one of: all, team, none", "some", 'is "some", and must be one of: all, team, none'
    ),
}  # fmt: skip

each_key = pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)


# What is given is what is in force.


def test_without_anything_all_is_at_its_default() -> None:
    assert configured() == (Settings(), {})


@each_key
def test_every_key_is_set_by_file_and_variable_and_flag(key: Key, tmp_path: Path) -> None:
    text = toml(key.example) if isinstance(key.example, Mapping | tuple) else str(key.example)
    path = in_file(tmp_path, line(key, toml(key.example)))
    ways = {str(path): configured(path=path), key.variable: configured(environment={key.variable: text})}
    if key.flag:
        ways[key.flag] = configured(flags={key.name: text})
    expected = Path(text) if key.kind.right.startswith("the path") else key.example
    assert key.value_in(Settings()) != expected
    for source, (settings, sources) in ways.items():
        assert key.value_in(settings) == expected
        assert sources == {key.name: source}
        assert all(other.value_in(settings) == other.value_in(Settings()) for other in KEYS if other != key)


def test_a_flag_overrides_a_variable_and_a_variable_the_file(tmp_path: Path) -> None:
    path = in_file(tmp_path, 'node = "file"\nlisten = "file:1"\ninterval = 2\n')
    environment = {"GPUWATCH_NODE": "variable", "GPUWATCH_LISTEN": "variable:2"}
    settings, sources = configured(flags={"node": "flag"}, environment=environment, path=path)
    assert (settings.node, settings.listen, settings.interval) == ("flag", "variable:2", 2.0)
    assert sources == {"node": "--node", "listen": "GPUWATCH_LISTEN", "interval": str(path)}


def test_the_default_file_is_read_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DEFAULT_PATH", in_file(tmp_path, "interval = 2\n"))
    assert load(flags={}, environment={}, path=None).settings.interval == 2.0


def test_the_flags_of_the_agent_are_those_of_the_table() -> None:
    flags = {option.name: option.opts[0] for option in agent.params}
    assert flags.pop("config") == "--config"
    assert flags == {key.name: key.flag for key in KEYS if key.flag}


def test_every_variable_has_a_name_of_its_own() -> None:
    variables = {key.variable for key in KEYS}
    assert len(variables) == len(KEYS)
    assert {"GPUWATCH_LISTEN", "GPUWATCH_ACCOUNT_RUN_SERIES"} <= variables


def test_a_relative_path_is_relative_to_who_gave_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = in_file(tmp_path, 'web_config = "web.yml"\nstate_dir = "/srv"\n')
    monkeypatch.chdir("/usr")
    assert configured(path=path).settings.web_config == tmp_path / "web.yml"
    assert configured(path=path).settings.state_directory == Path("/srv")
    assert configured(flags={"web_config": "web.yml"}).settings.web_config == Path("/usr/web.yml")
    assert configured(environment={"GPUWATCH_WEB_CONFIG": "web.yml"}).settings.web_config == Path("/usr/web.yml")
    monkeypatch.chdir(tmp_path)
    assert configured(path=Path(path.name)).settings.web_config == tmp_path / "web.yml"


def test_a_path_in_a_removed_working_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed = tmp_path / "removed"
    removed.mkdir()
    monkeypatch.chdir(removed)
    removed.rmdir()
    with pytest.raises(UsageError, match='--state-dir is "state", and must be the path of a directory'):
        configured(flags={"state_dir": "state"})


def test_a_tilde_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    path = in_file(tmp_path, 'state_dir = "~/gpuwatch"\n')
    assert configured(path=path).settings.state_directory == Path("/home/ann/gpuwatch")
    with pytest.raises(UsageError, match='is "~nobody-of-this-name/x", and must be the path of a directory'):
        configured(flags={"state_dir": "~nobody-of-this-name/x"})


def test_without_a_home_a_state_directory_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = 2**31 - 7
    monkeypatch.setattr(os, "geteuid", lambda: nobody)
    monkeypatch.setattr(os, "getuid", lambda: nobody)
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert configured(flags={"state_dir": "/srv"}).settings.state_directory == Path("/srv")
    with pytest.raises(StateError, match="no home to keep totals in; name a directory with --state-dir"):
        configured()


@pytest.mark.parametrize(("text", "value"), [("200.0", 200), ("2e2", 200), ("0xC8", 200)])
def test_a_whole_number_may_be_written_otherwise(tmp_path: Path, text: str, value: int) -> None:
    run_series = configured(path=in_file(tmp_path, f"account.run_series = {text}")).settings.bounds.run_series
    assert (run_series, type(run_series)) == (value, int)


def test_a_url_loses_its_last_slash() -> None:
    environment = {"GPUWATCH_PROMETHEUS_URL": "https://[fd00::1]:9090/prometheus/"}
    assert configured(environment=environment).settings.prometheus.url == "https://[fd00::1]:9090/prometheus"


@pytest.mark.parametrize("listen", ["127.0.0.1:9469", "[::]:9469", "n7.cluster:0", "[fe80::1%eth0]:65535"])
def test_an_address_to_listen_on_is_taken_as_it_is(listen: str) -> None:
    assert configured(flags={"listen": listen}).settings.listen == listen


# What is wrong is told, by its place, and with what would be right.


def test_every_key_has_been_broken() -> None:
    assert list(BROKEN) == [key.name for key in KEYS]


@each_key
def test_a_wrong_value_in_the_file_is_told(key: Key, tmp_path: Path) -> None:
    path = in_file(tmp_path, line(key, BROKEN[key.name].toml))
    assert told("config", "--show", "--config", path) == [f"{path}: {key.name} {BROKEN[key.name].told_of_toml}"]


@each_key
def test_a_wrong_value_in_a_variable_is_told(key: Key) -> None:
    environment = {key.variable: BROKEN[key.name].text}
    assert told("config", "--show", environment=environment) == [f"{key.variable} {BROKEN[key.name].told_of_text}"]


@pytest.mark.parametrize("key", [key for key in KEYS if key.flag], ids=lambda key: key.name)
def test_a_wrong_value_of_a_flag_is_told(key: Key) -> None:
    assert told("agent", key.flag, BROKEN[key.name].text) == [f"{key.flag} {BROKEN[key.name].told_of_text}"]


def test_a_table_may_be_empty(tmp_path: Path) -> None:
    assert configured(path=in_file(tmp_path, "[users]\n[teams]\n")).settings == Settings()


@each_key
@pytest.mark.parametrize("value", ["{}", "[]", "[[]]", '""', "07:32:00", "true", "inf", "-inf", "nan", '"\\u0000"'])
def test_no_key_takes_what_is_a_value_of_none(key: Key, value: str, tmp_path: Path) -> None:
    if isinstance(key.example, {"{}": Mapping, "[]": tuple}.get(value, ())):
        return  # it is of this kind
    told_value = shown(tomllib.loads(f"x = {value}")["x"])
    with pytest.raises(UsageError, match=re.escape(f": {key.name} is {told_value}, and must be {key.kind.right}")):
        configured(path=in_file(tmp_path, line(key, value)))


def test_all_mistakes_are_told_at_once_and_without_a_traceback(tmp_path: Path) -> None:
    path = in_file(tmp_path, 'interval = 9\nlisten = "n7"\n[account]\nrun_series = "many"\n')
    arguments = [sys.executable, "-m", "gpuwatch", "agent", "--config", str(path), "--node", ""]
    environment = {**os.environ, "GPUWATCH_STATE_DIR": ""}
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines() == [
        f"gpuwatch: {path}: interval is 9, and {SECONDS}",
        f'gpuwatch: {path}: listen is "n7", and {ADDRESS}',
        f'gpuwatch: {path}: account.run_series is "many", and {WHOLE}',
        'gpuwatch: GPUWATCH_STATE_DIR is "", and must be the path of a directory',
        f'gpuwatch: --node is "", and {NAME}',
    ]


def test_what_is_overridden_is_checked_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="interval is 9, and"):
        configured(flags={"interval": "2"}, path=in_file(tmp_path, "interval = 9\n"))


GEHEIM = ["ann:geheim@p", "http://ann:geheim@p", "http://geheim@p", "http://ann:gehe/im@p", "http://p?token=geheim"]


@pytest.mark.parametrize("url", [*GEHEIM, "http://p/#geheim"])
def test_a_url_with_a_secret_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        configured(environment={"GPUWATCH_PROMETHEUS_URL": url})
    assert str(raised.value) == f"GPUWATCH_PROMETHEUS_URL {HIDDEN}, and {URL}"


@pytest.mark.parametrize("url", ["http://", "//p", "p", "http://:9090", "http://p:x", "http://p:70000", "http://[::1"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f'is "{url}", and {URL}')):
        configured(environment={"GPUWATCH_PROMETHEUS_URL": url})


@pytest.mark.parametrize("listen", ["::1:1", "[::1]", "[n7]:1", "n7:70000", "n7:\u0663", "n 7:1", "http://n7:1", "*:1"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--listen is {shown(listen)}, and {ADDRESS}")):
        configured(flags={"listen": listen})


@pytest.mark.parametrize("number", ["nan", " 7", "7 ", "1_000", "\u0663", "0x10", "7.", "1e999", "9" * 5000, "true"])
def test_a_number_in_a_variable_is_a_plain_one(number: str) -> None:
    with pytest.raises(UsageError, match=rf"^GPUWATCH_ACCOUNT_PEOPLE is \S.*, and {WHOLE}$"):
        configured(environment={"GPUWATCH_ACCOUNT_PEOPLE": number})


@pytest.mark.parametrize("text", ['"' + "n" * 100_000 + '"', "0x" + "f" * 10_000], ids=["text", "number"])
def test_a_long_value_is_cut(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        configured(path=in_file(tmp_path, f"interval = {text}"))
    assert len(str(raised.value)) < len(str(tmp_path)) + 200

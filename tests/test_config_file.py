"""The configuration as a whole: names that are unknown, files that are none, and whatever else somebody may write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from configured import configured, in_file, told
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.agent.document import read_document
from gpuwatch.agent.settings import KEYS
from gpuwatch.cli.config import in_force
from gpuwatch.errors import UsageError

HINT = "the configuration must be a TOML file, as `gpuwatch config` prints one"
TOO_LONG = "it has a number that is too long, or lists within lists without end"


# Unknown names.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lisen = 1", "unknown key lisen; did you mean listen?"),
        ("run_series = 1", "unknown key run_series; did you mean account.run_series?"),
        ("[account]\nlisten = 'n7:1'", "unknown key account.listen; did you mean listen?"),
        ("[account]\nrunseries = 1", "unknown key account.runseries; did you mean account.run_series?"),
        ("account.people.most = 1", "account.people is a table, and must be a whole number of 1 or more"),
        ("'account.people' = 1", 'unknown key "account.people"; did you mean account.people?'),
        ("[account]\n'a.b' = 1", 'unknown key account."a.b"; there is: listen, node, state_dir, interval, '),
        ('"\\u202Ex\\n" = 1', 'unknown key "\\u202ex\\n"; there is: listen, node, state_dir, interval, '),
        ("[acount]\npeople = 1", "unknown table [acount]; did you mean [account]?"),
        (
            "[zzz]",
            "unknown table [zzz]; there is: [account], [alert], [cost], [judge], [kubernetes], [privacy], "
            "[prometheus], [slack], [slurm], [teams], [users]",
        ),
        ("[listen]\nhost = 'n7'", "listen is a table, and must be HOST:PORT, like "),
        ("account = 1", "account is 1, and must be a table: [account]"),
        ("[[account]]\npeople = 1", "account is a list, and must be a table: [account]"),
        ("slack = 'xoxb-1-geheim'", "slack is not shown here, as it may hold a secret, and must be a table: [slack]"),
        ("slack.token = 'xoxb-1-geheim'", "unknown key slack.token; did you mean slack.token_file?"),
    ],
)
def test_an_unknown_name_in_the_file_is_told_the_nearest(tmp_path: Path, text: str, message: str) -> None:
    path = in_file(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        configured(path=path)
    (mistake,) = str(raised.value).split("\n")
    assert mistake.startswith(f"{path}: {message}")
    assert "geheim" not in mistake


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("GPUWATCH_LISTN", "x", "unknown variable GPUWATCH_LISTN; did you mean GPUWATCH_LISTEN?"),
        ("GPUWATCH_RUN_SERIES", "1", "unknown variable GPUWATCH_RUN_SERIES; did you mean GPUWATCH_ACCOUNT_RUN_SERIES?"),
        ("GPUWATCH_SLACK_TOKEN", "xoxb-1-geheim", "unknown variable GPUWATCH_SLACK_TOKEN; did you mean GPUWATCH_SLACK"),
        ("GPUWATCH_PORT", "9470", "unknown variable GPUWATCH_PORT; there is: GPUWATCH_LISTEN, GPUWATCH_NODE, "),
        ("GPUWATCH_\x1b[2J", "", "unknown variable GPUWATCH_\\u001b[2J; there is: GPUWATCH_LISTEN, GPUWATCH_NODE, "),
    ],
)
def test_an_unknown_variable_is_told_the_nearest(name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        configured(environment={name: text, "gpuwatch_x": "", "_GPUWATCH_X": ""})
    assert str(raised.value).startswith(message)
    assert "geheim" not in str(raised.value)


def test_the_variables_of_kubernetes_are_left_alone() -> None:
    link = "tcp://10.0.0.1:9469"
    ports = {f"GPUWATCH_PORT_9469_TCP{part}": "9469" for part in ("", "_PROTO", "_PORT", "_ADDR")}
    service = {f"GPUWATCH_SERVICE_{part}": "9469" for part in ("HOST", "PORT", "PORT_HTTP")}
    other = {"GPUWATCH_AGENT_PORT": link, "GPUWATCH_AGENT_SERVICE_HOST": "10.0.0.1"}
    assert configured(environment={"GPUWATCH_PORT": link, **ports, **service, **other}).sources == {}


def test_the_variables_of_runs_are_left_alone() -> None:
    """An agent, or any command, may be started within `gpuwatch run`."""
    names = ("GPUWATCH_RUN", "GPUWATCH_RUN_NAME", "GPUWATCH_PROJECT", "GPUWATCH_USER")
    assert configured(environment=dict.fromkeys(names, "x")).sources == {}


# Files that are no configuration.


def test_a_file_that_is_not_there_is_told_only_where_it_was_named(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert told("agent", "--config", path) == [f"{path}: there is no such file; {HINT}"]
    assert read_document(path, optional=True) == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a = 1\nlisten = \xff", "it is not in UTF-8: byte 0xff in line 2"),
        (b"listen =\n", "it is no valid TOML: Invalid value (at line 1, column 9)"),
        (b'node = "a"\nnode = "b"\n', "it is no valid TOML: Cannot overwrite a value (at line 2, column 11)"),
        (b"interval = " + b"9" * 5000, TOO_LONG),
        (b"a = " + b"[" * 20_000, TOO_LONG),
        (b"#" * (2**20 + 1), "it is longer than 1 MiB"),
    ],
    ids=["utf-8", "toml", "twice", "number", "deep", "long"],
)
def test_a_file_that_is_no_configuration_is_told(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    assert told("config", "--show", "--config", path) == [f"{path}: {problem}; {HINT}"]


def test_a_file_of_a_mebibyte_from_another_system_is_read(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbfinterval = 2\r\n"
    path = tmp_path / "config.toml"
    path.write_bytes(text + b"#" * (2**20 - len(text)))
    assert configured(path=path).settings.interval == 2.0


def test_what_is_no_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert told("agent", "--config", fifo) == [f"{fifo}: it is no regular file; {HINT}"]
    assert told("agent", "--config", "/dev/zero") == [f"/dev/zero: it is no regular file; {HINT}"]
    assert told("agent", "--config", tmp_path) == [f"{tmp_path}: it cannot be read (Is a directory); {HINT}"]
    assert told("agent", "--config", fifo / "x") == [f"{fifo}/x: it cannot be read (Not a directory); {HINT}"]
    assert told("agent", "--config", "a\nb") == [f"a\\nb: there is no such file; {HINT}"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = in_file(tmp_path, "")
    path.chmod(0o600)
    script = (
        "import os\nfrom pathlib import Path\nfrom gpuwatch.agent.document import read_document\n"
        f"os.chdir({str(tmp_path)!r})\nos.chmod('.', 0o755)\nos.setuid(65534)\nread_document(Path('config.toml'))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1].endswith(f"config.toml: it cannot be read (Permission denied); {HINT}")


# Whatever is given: a configuration, or a UsageError of lines that can be printed.

examples = st.sampled_from([key.example for key in KEYS])
plain = st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.times() | st.datetimes() | examples
values = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=5)
names = st.sampled_from(sorted({key.leaf for key in KEYS} | {key.table for key in KEYS})) | st.text(max_size=8)
documents = st.dictionaries(names, values | st.dictionaries(names, values, max_size=4), max_size=6)
contents = st.binary() | st.text(alphabet="[]{}=.,\"'#\n\\u0aeinf_-:TZ").map(str.encode)
variables = st.sampled_from([key.variable for key in KEYS]) | st.text(max_size=8).map("GPUWATCH_{}".format)
texts = st.text() | st.floats().map(str) | st.integers().map(str) | examples.map(str)


def written(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(name)} = {written(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


def works_or_tells(path: Path, environment: Mapping[str, str]) -> None:
    try:
        configuration = configured(environment=environment, path=path)
    except UsageError as error:
        assert all(text and text.isprintable() for text in str(error).split("\n"))
    else:
        assert configured(path=in_file(path.parent, in_force(configuration))).settings == configuration.settings


@given(document=documents)
def test_any_document_works_or_is_told(tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]) -> None:
    text = "".join(f"{written(name)} = {written(value)}\n" for name, value in document.items())
    assert tomllib.loads(text).keys() == document.keys()
    works_or_tells(in_file(tmp_path_factory.getbasetemp(), text), {})


@given(content=contents)
def test_any_content_works_or_is_told(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "config.toml"
    path.write_bytes(content)
    works_or_tells(path, {})


@given(environment=st.dictionaries(variables, texts))
def test_any_variables_work_or_are_told(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> None:
    works_or_tells(in_file(tmp_path_factory.getbasetemp(), ""), environment)

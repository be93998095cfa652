"""What `gpuwatch config` prints, and that the documents tell the same."""

from __future__ import annotations

import re
from pathlib import Path

import click
from configured import configured, in_file, run, told

from gpuwatch.agent.kinds import toml
from gpuwatch.agent.settings import KEYS, Settings
from gpuwatch.cli.agent import agent

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLE = (DOCS / "config.toml").read_text(encoding="utf-8")
FIXED = [key for key in KEYS if not key.default]

IN_FORCE = """\
listen = "127.0.0.1:9469"  # default
node = "n7"  # GPUWATCH_NODE
state_dir = "/srv"  # {path}
interval = 0.5  # {path}
# web_config is not set
socket = "/srv/s"  # {path}
# users is not set
# teams is not set

[account]
short_run_seconds = 60  # default
run_series = 300  # {path}
people = 100  # default

[judge]
# override is not set

[slurm]
node = "n7"  # GPUWATCH_SLURM_NODE
# cluster is not set

[kubernetes]
# cluster is not set

[prometheus]
# url is not set
# ca_file is not set
# user is not set
# password_file is not set
# token_file is not set

[slack]
token_file = "{path.parent}/token"  # {path}
api_url = "https://slack.com/api"  # default
# channel is not set
# email_domain is not set

[alert]
mode = "shadow"  # default
push_after = "30m"  # default
interactive_after = "2h"  # default
push_gpu_hours = 1  # default
per_day = 3  # default
working_hours = "mon-fri 09:00-18:00"  # default
# time_zone is not set

[cost]
# gpu_hour is not set
currency = "$"  # default

[privacy]
names = "all"  # default
"""


def test_the_example_is_the_document() -> None:
    assert run("config") == (0, EXAMPLE, "")


def test_the_example_as_it_is_changes_nothing() -> None:
    assert configured(path=DOCS / "config.toml") == (Settings(), {})


def test_the_example_is_right_with_every_key_taken(tmp_path: Path) -> None:
    path = in_file(tmp_path, re.sub(r"^#(?=\w)", "", EXAMPLE, flags=re.MULTILINE))
    settings, sources = configured(path=path)
    assert list(sources) == [key.name for key in KEYS]
    assert [key.value_in(settings) for key in FIXED] == [key.value_in(Settings()) for key in FIXED]


def test_what_is_in_force_is_shown_with_its_source_and_can_be_read_again(tmp_path: Path) -> None:
    text = 'state_dir = "/srv"\ninterval = 0.5\nsocket = "/srv/s"\n'
    text += 'account.run_series = 300\nslack.token_file = "token"\n'
    path = in_file(tmp_path, text)
    (tmp_path / "token").write_text("xoxb-1-geheim", encoding="utf-8")
    environment = {"GPUWATCH_NODE": "n7", "GPUWATCH_SLURM_NODE": "n7"}
    ended = run("config", "--show", "--config", path, environment=environment)
    assert ended == (0, IN_FORCE.format(path=path), "")
    expected = configured(path=path, environment=environment).settings
    assert configured(path=in_file(tmp_path, ended.output)).settings == expected


def test_a_file_that_would_not_be_read_is_told() -> None:
    message = "--config names the file that --show reads: give both, or neither for an example"
    assert told("config", "--config", "config.toml") == [message]


def test_the_document_has_every_key_and_no_other() -> None:
    rows = []
    for key in KEYS:
        default = key.default or f"`{toml(key.value_in(Settings()))}`"
        flag = f"`{key.flag}` " if key.flag else ""
        rows.append(f"| `{key.name}` | {default} | {key.kind.right} | `{key.variable}` | {flag}|")
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert [row for row in text.splitlines() if row.startswith("| `")] == rows


def test_the_help_of_the_agent_tells_the_defaults() -> None:
    defaults = {key.name: key.default or str(key.value_in(Settings())).removesuffix(".0") for key in KEYS}
    for option in agent.params:
        assert isinstance(option, click.Option)
        told_default = re.search(r"\[default: (.*)\]", option.help or "")
        assert told_default is None or told_default[1] == defaults.get(str(option.name), "/etc/gpuwatch/config.toml")

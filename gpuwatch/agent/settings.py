"""What the agent can be told: the settings with their defaults, and the one table of the keys that set them.

From the table come the checks, the names of the variables, `gpuwatch config` and the tables of the documentation. It
reads nothing: that is done in config.py.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from gpuwatch.agent.kinds import (
    ADDRESS,
    DURATION,
    NAME,
    URL,
    WORKING_HOURS,
    Kind,
    choice,
    number,
    path,
    whole_number,
)
from gpuwatch.agent.tables import OVERRIDES, TEAMS, USERS
from gpuwatch.alert.policy import MODES, AlertPolicy
from gpuwatch.alert.workspace import Workspace
from gpuwatch.attribute.fold import Bounds
from gpuwatch.attribute.people import People
from gpuwatch.explicit.place import own_socket
from gpuwatch.report.policy import NAMES, Policy
from gpuwatch.report.server import Server
from gpuwatch.state.file import default_directory

VARIABLES = "GPUWATCH_"
"""What the names of all variables begin with."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one agent. They are checked where they are read, by the kinds of the table."""

    listen: str = "127.0.0.1:9469"
    node: str = field(default_factory=socket.gethostname)
    state_directory: Path = field(default_factory=default_directory)
    interval: float = 1.0
    """Seconds."""
    bounds: Bounds = field(default_factory=Bounds)
    web_config: Path | None = None
    """TLS and basic auth of the listener, in the form of Prometheus's exporters."""
    people: People = field(default_factory=People)
    """Who people are, and their teams."""
    socket_path: Path = field(default_factory=lambda: own_socket(os.environ, os.geteuid()))
    """Where processes register the runs that they are."""
    slurm_node: str = field(default_factory=lambda: socket.gethostname().partition(".")[0])
    """What Slurm calls this node."""
    slurm_cluster: str = ""
    kubernetes_cluster: str = ""
    """Stand before the numbers of jobs and the names of pods, which only a cluster of its own tells apart."""
    prometheus: Server = field(default_factory=Server)
    """The server that scrapes this node."""
    slack: Workspace = field(default_factory=Workspace)
    alert: AlertPolicy = field(default_factory=AlertPolicy)
    """Whether, when and how often people are told of idle GPUs."""
    overrides: tuple[Mapping[str, object], ...] = ()
    """Other thresholds for some runs and times, as they stand in the file: the rows of `judge.overrides.Overrides`."""
    policy: Policy = field(default_factory=Policy)
    """What reports may tell."""

    @property
    def slack_of_notices(self) -> Workspace:
        """Slack, for what one person is told: where names are withheld, nobody is named in the team's channel."""
        return self.slack if self.policy.names == "all" else replace(self.slack, channel="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of the configuration: a row of the table."""

    name: str
    """In TOML, with its table: `account.people`."""
    setting: str
    """The field of Settings, or of one of its records, that it sets: its default is the key's."""
    kind: Kind
    example: str | int | float | Mapping[str, str | Sequence[str]] | tuple[Mapping[str, str | float], ...]
    """As in TOML, and not the default."""
    help: str
    """A line or two: what it is, with its unit."""
    default: str = ""
    """In words, where it is no value that could be written down."""
    flag: str = ""

    @property
    def table(self) -> str:
        """Its table in TOML; empty for the top level."""
        return self.name.rpartition(".")[0]

    @property
    def leaf(self) -> str:
        """Its name within its table."""
        return self.name.rpartition(".")[2]

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return VARIABLES + self.name.replace(".", "_").upper()

    def value_in(self, settings: Settings) -> Any:
        """Its value in these settings."""
        return attrgetter(self.setting)(settings)


KEYS = (
    Key(name="listen", setting="listen", kind=ADDRESS, flag="--listen", example="0.0.0.0:9469",
        help="Where to serve, HOST:PORT. 0.0.0.0:9469 or [::]:9469 is open to the network."),
    Key(name="node", setting="node", kind=NAME, flag="--node", example="n7",
        help="This node's name on every series.", default="the host name"),
    Key(name="state_dir", setting="state_directory", kind=path("the path of a directory"), flag="--state-dir",
        example="/srv/gpuwatch", help="Where totals are kept.",
        default="/var/lib/gpuwatch for root, ~/.local/state/gpuwatch for others"),
    Key(name="interval", setting="interval", flag="--interval", example=2,
        kind=number("a number of seconds from 0.1 to 5", least=0.1, most=5),
        help="Seconds between readings, 0.1 to 5: what is not looked at for 10 s counts as unknown."),
    Key(name="web_config", setting="web_config", kind=path("the path of a file"), flag="--web-config",
        example="/etc/gpuwatch/web.yml", default="none",
        help="TLS and basic auth: a web configuration in the form of Prometheus's exporters."),
    Key(name="socket", setting="socket_path", kind=path("the path of a unix socket"), example="/srv/gpuwatch.sock",
        default="/run/gpuwatch/agent.sock for root and the service, one of their own for others",
        help="Where processes say which run they are. The same variable tells them where that is."),
    Key(name="users", setting="people.aliases", kind=USERS, example={"ann.smith": "ann", "uid:1234": "bob"},
        default="none", help="Who people are: their person by unix name, `uid:N`, or name at Slurm or W&B."),
    Key(name="teams", setting="people.members", kind=TEAMS, example={"vision": ("ann", "bob"), "nlp": ("%nlp",)},
        default="none", help="Their teams: lists of persons, and of unix groups after a %."),
    Key(name="account.short_run_seconds", setting="bounds.short_run_seconds", example=5,
        kind=number("a number of 0 or more", least=0),
        help='The first seconds of an ad-hoc run, which are charged to run="short" of its user.'),
    Key(name="account.run_series", setting="bounds.run_series", kind=whole_number(least=1), example=500,
        help='The most run series at a time. Further runs are charged to run="overflow".'),
    Key(name="account.people", setting="bounds.people", kind=whole_number(least=1), example=300,
        help="The most pairs of user and project in the roll-up. One user has at most half."),
    Key(name="judge.override", setting="overrides", kind=OVERRIDES, default="none",
        example=({"kind": "service", "quiet": True}, {"user": "ann", "hours": "20:00-08:00", "idle_after": "2h"}),
        help="What counts as idle for some users, projects, kinds, hours or days; also written as [[judge.override]]."),
    Key(name="slurm.node", setting="slurm_node", kind=NAME, example="gpu-007",
        help="What Slurm calls this node (its NodeName).", default="the host name up to its first dot"),
    Key(name="slurm.cluster", setting="slurm_cluster", kind=NAME, example="alps", default="none",
        help="Stands in the names of Slurm's jobs, slurm:CLUSTER/4711, where several clusters meet in one Prometheus."),
    Key(name="kubernetes.cluster", setting="kubernetes_cluster", kind=NAME, example="prod", default="none",
        help="Stands in the names of pods, k8s:CLUSTER/namespace/pod, where several clusters meet in one Prometheus."),
    Key(name="prometheus.url", setting="prometheus.url", kind=URL, example="http://prometheus:9090", default="none",
        help="The Prometheus server that scrapes this node. `gpuwatch check` and `gpuwatch report` ask it."),
    Key(name="prometheus.ca_file", setting="prometheus.ca_file", kind=path("the path of a file with certificates"),
        example="/etc/gpuwatch/ca.pem", default="those of the system",
        help="Whose certificates to trust, in PEM, where it serves TLS."),
    Key(name="prometheus.user", setting="prometheus.user", kind=NAME, example="reader", default="none",
        help="Where it asks for a password: whose it is."),
    Key(name="prometheus.password_file", setting="prometheus.password_file",
        kind=path("the path of a file that holds a password"), example="/etc/gpuwatch/prometheus.password",
        default="none", help="The file that holds this password."),
    Key(name="prometheus.token_file", setting="prometheus.token_file",
        kind=path("the path of a file that holds a bearer token"), example="/etc/gpuwatch/prometheus.token",
        default="none", help="Where it asks for a bearer token instead: the file that holds it."),
    Key(name="slack.token_file", setting="slack.token_file", kind=path("the path of a file that holds a bot's token"),
        example="/etc/gpuwatch/slack.token", default="the systemd credential slack.token, if there is one",
        help="A file that holds a Slack bot's token. `gpuwatch check` tries it."),
    Key(name="slack.api_url", setting="slack.api_url", kind=URL, example="http://slack-proxy:8080/api",
        help="Slack's API, for a node that reaches it through a proxy of your own."),
    Key(name="slack.channel", setting="slack.channel", kind=NAME, example="#gpus", default="none",
        help="The channel that reports for the team go to, by name or number."),
    Key(name="slack.email_domain", setting="slack.email_domain", kind=NAME, example="example.com", default="none",
        help="People are found in Slack by their name here before an @ and this."),
    Key(name="alert.mode", setting="alert.mode", kind=choice(*MODES), example="agent",
        help="Who tells people of idle GPUs: nobody (`off`), nobody, but it is noted what would be told (`shadow`), "
             "each `agent`, or `gpuwatch notify` for the `fleet`."),
    Key(name="alert.push_after", setting="alert.push_after", kind=DURATION, example="45m",
        help="People are told of what has been idle for so long,"),
    Key(name="alert.interactive_after", setting="alert.interactive_after", kind=DURATION, example="4h",
        help="of notebooks and shells for so long,"),
    Key(name="alert.push_gpu_hours", setting="alert.push_gpu_hours", kind=number("a number of 0 or more", least=0),
        example=2, help="and wasted so many GPU-hours. Both have to be."),
    Key(name="alert.per_day", setting="alert.per_day", kind=whole_number(least=1), example=5,
        help="The most messages to a person on a day."),
    Key(name="alert.working_hours", setting="alert.working_hours", kind=WORKING_HOURS, example="sun-thu 08:00-17:00",
        help="When reminders are sent."),
    Key(name="alert.time_zone", setting="alert.time_zone", kind=NAME, example="Europe/Berlin",
        default="this machine's", help="Whose days and hours these are."),
    Key(name="cost.gpu_hour", setting="policy.gpu_hour", kind=number("a number of 0 or more", least=0),
        example=2.5, default="none", help="What an hour of a whole GPU costs. Without it reports speak of no money."),
    Key(name="cost.currency", setting="policy.currency", kind=NAME, example="€",
        help="What stands before amounts of money."),
    Key(name="privacy.names", setting="policy.names", kind=choice(*NAMES), example="team",
        help="Whose names reports show: `all` people's, only those of their teams, or `none`."),
)  # fmt: skip

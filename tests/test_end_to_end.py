"""From GPUs that nobody uses to the owner's Slack, and to its end, through real agents and servers, in both ways.

The past of the run is written into the agents' state; from then on all is real but the driver and Slack.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from rig import Agent, total, wait_until
from slack_api import LOST, SlackApi, slack_api, token_file
from standin.driver import StandIn
from wasted import LINK, PERSON, RUN, boottime_of_busy, idle_trace, idler, waste
from way import Way, way

HELD_MINUTES = 65
"""One idle GPU is told of after an hour."""
OWNER = "U024"
LOST_MESSAGE = (None, None, LOST)
"""What Slack does first: it says who the person is, and where to write to them; it posts, and nobody learns of it."""
ITEMS = (
    rf"^<@{OWNER}>, your run resnet \(wandb:xu3ab252\), on {{nodes}}: {{gpus}} are held and not used since",
    r"^Idle GPUs: 2 of 2: {places}$",
    r"^Since: \w{{3}} \d\d \w{{3}} \d\d:\d\d UTC, 1 h \d+ min$",
    r"^Seen: 0 % use and \d+ W a GPU on average, (&lt;1|\d+) % of that time seen$",
    r"^Memory held: \d+ GiB on the idle GPUs, at most \d+ GiB on one$",
    r"^Idle so far: 2\.\d GPU-hours, \$5\.\d\d$",
    r"^Held in all: 2\.\d GPU-hours, \$5\.\d\d, 0 % of it used$",
    r"^Perhaps: ",
    r"^Check it, on {nodes}:\ngpuwatch show wandb:xu3ab252\nnvidia-smi -i ",
    r"^End it:\ngpuwatch stop wandb:xu3ab252$",
    r"^It is meant: say so, for a while:\ngpuwatch snooze wandb:xu3ab252 --for 2h --reason 'WHY'$",
    r"^It is not idle: say that this is wrong:\ngpuwatch snooze wandb:xu3ab252 --wrong --reason 'WHY'$",
    r"^Nothing is stopped automatically\. It shows in Monday's report\.$",
    r"^Earlier notices to you: none\.$",
)
"""What stands in the message, line by line."""


def configuration(slack: SlackApi, folder: Path, mode: str) -> dict[str, str]:
    """Of whoever tells."""
    return {
        "GPUWATCH_ALERT_MODE": mode,
        "GPUWATCH_SLACK_API_URL": slack.url,
        "GPUWATCH_SLACK_TOKEN_FILE": str(token_file(folder)),
        "GPUWATCH_SLACK_EMAIL_DOMAIN": "example.com",
        "GPUWATCH_COST_GPU_HOUR": "2.5",
        "GPUWATCH_ALERT_TIME_ZONE": "Etc/UTC",
    }


@contextmanager
def node(name: str, folder: Path, *, gpus: int, **environment: str) -> Iterator[tuple[Agent, StandIn]]:
    """A node whose GPUs the run has held for a while, for nothing."""
    folder.mkdir()
    trace = idle_trace(name, gpus)
    waste(folder / "state", trace.gpus, minutes=HELD_MINUTES)
    with StandIn(folder, trace) as driver, idler(folder) as pid:
        driver.start()
        for gpu in range(gpus):
            driver.set_pid(gpu, pid)
        with Agent(folder, driver.environment() | environment, arguments=("--node", name)) as agent:
            yield agent, driver


@pytest.fixture
def slack() -> Iterator[SlackApi]:
    with slack_api(SlackApi(people={f"{PERSON}@example.com": OWNER}, epoch=time.time())) as api:
        yield api


def read(slack: SlackApi) -> Sequence[Mapping[str, Any]]:
    """What the owner reads, the first message first."""
    return slack.direct(OWNER)


def wait_for(slack: SlackApi, messages: int, *, seconds: float) -> None:
    """Until the owner has so many."""
    wait_until(lambda: len(read(slack)) >= messages, seconds=seconds, what=f"{messages} messages of {slack.calls}")


def assert_whole(message: Mapping[str, Any], **about: str) -> None:
    """Every item is in it, and the link in its blocks."""
    text = message["text"]
    for item in ITEMS:
        expected = item.format(**about)
        assert re.search(expected, text, re.MULTILINE), f"{expected} is not in:\n{text}"
    blocks = json.dumps(message["blocks"]) if not isinstance(message["blocks"], str) else message["blocks"]
    assert LINK in blocks
    assert OWNER in blocks


def snooze(agent: Agent) -> None:
    """The owner says that it is meant."""
    command = [sys.executable, "-m", "gpuwatch", "snooze", RUN.run, "--for", "2h", "--reason", "waiting for labels"]
    environment = {**os.environ, "GPUWATCH_SOCKET": str(agent.socket)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def agents_verdicts(agent: Agent) -> set[str]:
    labels = (dict(at) for (name, at), _ in agent.scrape().items() if name == "gpuwatch_run_verdict")
    return {at["verdict"] for at in labels if at["run"] == RUN.run}


def assert_closed(slack: SlackApi, why: str) -> None:
    """By an edit of the message and a line under it, each once."""
    first, closing = read(slack)
    assert re.search(r": wandb:xu3ab252 on .* was idle. It cost 2\.\d GPU-hours, \$5\.\d\d\.", first["text"])
    assert re.fullmatch(
        rf"closed: wandb:xu3ab252, {why} \d\d:\d\d; it cost 2\.\d GPU-hours, \$5\.\d\d", closing["text"]
    )
    assert closing["thread_ts"] == first["ts"]
    assert len(slack.edits) == 1


def test_the_fleets_way(tmp_path: Path, slack: SlackApi) -> None:
    """A run on two nodes is one message, though each part is ended in between, and Slack's answer is lost."""
    slack.next_answers = list(LOST_MESSAGE)
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(node(name, tmp_path / name, gpus=1, GPUWATCH_ALERT_MODE="fleet"))
            for name in ("n7", "n8")
        ]
        agents = [agent for agent, _ in nodes]
        settings = configuration(slack, tmp_path, "fleet")
        fleet = stack.enter_context(way(tmp_path, [agent.port for agent in agents], **settings))
        wait_for(slack, 1, seconds=30)
        assert_whole(
            read(slack)[0], nodes="n7, n8", gpus="2 of 2 GPUs", places="n7 GPU 0, n8 GPU 0",
        )  # fmt: skip
        restart_all(agents, fleet)
        assert len(read(slack)) == 1
        assert slack.edits == []
        fleet.notify.stop(signal.SIGTERM)
        snooze(agents[0])
        wait_until(lambda: not fleet.firing(), seconds=20, what="a snooze on one node is one on both")
        fleet.notify.start()
        wait_for(slack, 2, seconds=30)
        wait_until(lambda: fleet.told("closed") == 1, seconds=20, what="it is closed")
        fleet.notify.restart()
        assert_closed(slack, "said to be meant at")
        assert (fleet.told("sent"), fleet.told("failed")) == (2, 0)


def restart_all(agents: list[Agent], fleet: Way) -> None:
    """Each part, while the alert goes on; and each goes on with it."""
    for agent in agents:
        agent.kill(signal.SIGKILL)
        agent.start()
        assert agents_verdicts(agent) == {"idle"}
    fleet.notify.restart(signal.SIGKILL)
    fleet.prometheus.restart()
    wait_until(lambda: len(fleet.firing()) == 1, seconds=20, what="the alert goes on in Prometheus")
    fleet.alertmanager.restart()
    wait_until(lambda: fleet.routed() == ["GpuwatchRunIdle"], seconds=20, what="the alert goes on in Alertmanager")
    wait_until(lambda: fleet.told("sent") == 1, seconds=60, what="notify has found what it may have sent")


def test_a_lost_answer_and_an_end_in_the_middle_are_no_second_message(tmp_path: Path, slack: SlackApi) -> None:
    """The agent's own way: the message is posted, nobody learns of it, and the agent is killed."""
    slack.next_answers = list(LOST_MESSAGE)
    settings = configuration(slack, tmp_path, "agent")
    with node("n7", tmp_path / "n7", gpus=2, **settings) as (agent, driver):
        wait_for(slack, 1, seconds=20)
        assert_whole(read(slack)[0], nodes="n7", gpus="2 of 2 GPUs", places="n7 GPU 0, 1")
        agent.kill(signal.SIGKILL)
        agent.start()
        driver.start(boottime_of_busy())
        told = "gpuwatch_notices_total"
        wait_until(lambda: total(agent.scrape(), told, outcome="sent") >= 1, seconds=90, what="found in Slack again")
        agent.kill(signal.SIGKILL)
        agent.start()
        wait_for(slack, 2, seconds=130)
        wait_until(lambda: total(agent.scrape(), told, outcome="closed") == 1, seconds=20, what="it is closed")
        assert_closed(slack, "busy again since")
        assert len(slack.asked("chat.postMessage")) == 2

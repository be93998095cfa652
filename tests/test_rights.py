"""The rights: an agent from which each is taken for real, and what still works then. The table of docs/rights.md.

Real agents on the stand-in driver, as users of their own and in mount and PID namespaces of their own, look at real
processes of three users. Only root can take rights away so; elsewhere all of this is skipped.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from examples import snapshot
from rig import Agent, base36_pid, idle_processes, wait_until
from standin.driver import StandIn
from standin.trace import steady_trace
from terminals import shown

import gpuwatch
from gpuwatch.export.pages import Pages
from gpuwatch.export.status import status_document

DOCUMENT = Path(__file__).parent.parent / "docs" / "rights.md"
HEAD = (
    "the agent runs as",
    "GPUs' totals",
    "own runs",
    "runs of others",
    "their environment",
    "totals kept",
    "`gpuwatch check` says",
)
SERVICE, OTHER = 61000, 61001
UIDS = (0, SERVICE, OTHER)
"""Whose process is on GPU 0, 1 and 2."""
BOTH = ("sys_ptrace", "dac_read_search")
HIDE = "mount -t proc -o hidepid=2 proc /proc"
READ_ONLY = "mount --bind {state} {state}; mount -o remount,ro,bind {state}"
PROBE = "import os, sys; p = '/proc/' + sys.argv[1]; open(p + '/environ').close(); os.listdir(p + '/fd')"
TOLD = ("pid-namespace", "other-processes", "other-environments", "descriptors", "state")


@dataclass(frozen=True)
class Scene:
    """One row: who the agent is, and what is done to it before it starts."""

    name: str
    uid: int = SERVICE
    capabilities: Sequence[str] = ()
    setup: str = ":"
    namespace: Sequence[str] = ()
    state_uid: int = SERVICE

    def wrapper(self, folder: Path, state: Path) -> list[str]:
        """A command that takes the rights and becomes Python, with the arguments after the first one.

        The package and the interpreter are mounted where any user can reach them: a checkout may lie in a private home.
        """
        added = ",".join(f"+{name}" for name in self.capabilities)
        drop = f"setpriv --reuid={self.uid} --regid={self.uid} --clear-groups " if self.uid else ""
        drop += f"--inh-caps={added} --ambient-caps={added} " if added else ""
        script = (
            f"set -e; mount --bind '{Path(gpuwatch.__file__).parent}' {folder}/site/gpuwatch; "
            f"mount --bind '{sys.prefix}' {folder}/python; {self.setup.format(state=state)}; shift; "
            f'exec {drop}{folder}/python/bin/{Path(sys.executable).name} "$@"'
        )
        return ["unshare", "--mount", *self.namespace, "sh", "-c", script, "sh"]


SCENES = (
    Scene("root", uid=0),
    Scene("a user with both capabilities", capabilities=BOTH),
    Scene("… without CAP_DAC_READ_SEARCH", capabilities=BOTH[:1]),
    Scene("… without CAP_SYS_PTRACE", capabilities=BOTH[1:]),
    Scene("… without either", setup=":"),
    Scene("… without either, /proc with `hidepid=2`", setup=HIDE),
    Scene("… in the group of `hidepid=2,gid=…`", setup=HIDE.replace("=2", f"=2,gid={SERVICE}")),
    Scene("… with CAP_SYS_PTRACE, `hidepid=2`", capabilities=BOTH[:1], setup=HIDE),
    Scene("root in another PID namespace", uid=0, namespace=("--pid", "--fork", "--kill-child", "--mount-proc")),
    Scene("a user with both, at most 64 open files", capabilities=BOTH, setup="ulimit -n 64"),
    Scene("a user with both, the state directory on a read-only disk", capabilities=BOTH, setup=READ_ONLY),
    Scene("a user with neither, the state directory not writable", state_uid=0),
)


@dataclass
class Result:
    """What an agent and `gpuwatch check` said in a scene."""

    scene: Scene
    document: dict[str, Any] | None = None
    """The status document; None where the agent did not start."""
    log: str = ""
    can_read_others: bool = False
    findings: dict[str, dict[str, str]] = field(default_factory=dict)

    def row(self, pids: Sequence[int]) -> tuple[str, ...]:
        told = [f"{name}: {self.findings[name]['status']}" for name in TOLD if self.findings[name]["status"] != "ok"]
        environment, check = "yes" if self.can_read_others else "no", ", ".join(told) or "ok"
        if self.document is None:
            return (self.scene.name, "it does not start", "-", "-", environment, "no", check)
        gpus = self.document["gpus"]
        runs = [_judge(gpu, pid, uid) for gpu, pid, uid in zip(gpus, pids, UIDS, strict=True)]
        own = UIDS.index(self.scene.uid)
        totals = "yes" if all((gpu["busy_seconds"] or 0) > 0 for gpu in gpus) else "no"
        others = " / ".join(sorted({run for gpu, run in enumerate(runs) if gpu != own}))
        kept = "yes" if self.document["state_persisted"] else "no"
        return (self.scene.name, totals, runs[own], others, environment, kept, check)


def _judge(gpu: dict[str, Any], pid: int, uid: int) -> str:
    """How right the agent is about the one process on a GPU."""
    holders = [run for run in gpu["runs"] if run["holding"]]
    if not holders:
        return "unknown" if gpu["strangers"] == 1 and gpu["state_seconds"]["free"] == 0 else "wrong"
    (run,) = holders
    if run["user"] != _user(uid):
        return "wrong"
    return "user and run" if run["name"] == "sleep" and base36_pid(run["run"]) == pid else "user"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid:{uid}"


def _need(met: bool, what: str) -> None:
    """Skip where something is missing; fail in CI."""
    if not met and os.environ.get("CI"):
        pytest.fail(what)
    if not met:
        pytest.skip(what)


def _need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can take rights away")
    for tool in ("unshare", "setpriv", "mount"):
        _need(shutil.which(tool) is not None, f"{tool} is not installed")
    allowed = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    if allowed.returncode:
        pytest.skip("this root may make no namespaces")


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[dict[str, Result], list[int]]]:
    """The results by scene, and the pids on the GPUs."""
    _need_root()
    with ExitStack() as stack:
        # Not pytest's own folder: other users have to reach it.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpuwatch-rights-", dir="/tmp")))
        folder.chmod(0o755)
        for name in ("site/gpuwatch", "python", "driver"):
            (folder / name).mkdir(parents=True)
        driver = stack.enter_context(StandIn(folder / "driver", steady_trace(len(UIDS), 1, 600.0, 0.8)))
        _open_to_all(driver)
        pids = stack.enter_context(idle_processes(len(UIDS), uids=UIDS))
        for slot, pid in enumerate(pids):
            driver.set_pid(slot, pid)
        driver.start()
        environment = driver.environment() | {"PYTHONPATH": str(folder / "site"), "PYTHONDONTWRITEBYTECODE": "1"}
        _need_a_python(folder, environment)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            waiting = [pool.submit(_play, scene, folder, environment, pids[-1]) for scene in SCENES]
            yield {future.result().scene.name: future.result() for future in waiting}, pids


def _open_to_all(driver: StandIn) -> None:
    """Let any user load the library, which lies in a private cache, and share the control file."""
    content = driver.library.read_bytes()
    driver.library.unlink()
    driver.library.write_bytes(content)
    for file in driver.folder.iterdir():
        file.chmod(0o666)


def _need_a_python(folder: Path, environment: dict[str, str]) -> None:
    command = [*Scene("").wrapper(folder, folder), "python", "-c", "import gpuwatch.cli"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, check=False)
    _need(done.returncode == 0, f"other users cannot run this Python: {done.stderr.decode(errors='replace')[-200:]}")


def _play(scene: Scene, folder: Path, environment: dict[str, str], other: int) -> Result:
    """Run an agent in the scene until it has charged something, then `gpuwatch check` beside it."""
    place = folder / str(SCENES.index(scene))
    state = place / "state"
    state.mkdir(parents=True)
    os.chown(state, scene.state_uid, scene.state_uid)
    wrapper, result = scene.wrapper(folder, state), Result(scene)
    agent = Agent(place, environment, interval=0.2, wrapper=wrapper)
    try:
        result.document = _document(agent)
        result.can_read_others = _run([*wrapper, "python", "-c", PROBE, str(other)], environment).returncode == 0
        arguments = ["--json", "--listen", f"127.0.0.1:{agent.port}", "--state-dir", str(state)]
        done = _run([*wrapper, "python", "-m", "gpuwatch", "check", *arguments], environment)
        result.findings = {finding["check"]: finding for finding in json.loads(done.stdout)}
    finally:
        agent.kill()
    result.log = agent.log.read_text(encoding="utf-8")
    return result


def _document(agent: Agent) -> dict[str, Any] | None:
    """Its status once it has charged something; None where it ended by itself, which is a result too."""
    try:
        agent.start(seconds=60)
        wait_until(lambda: _has_charged(agent.status()), seconds=30, what="a first charge")
    except RuntimeError:
        return None
    return agent.status()


def _has_charged(document: dict[str, Any]) -> bool:
    return all((gpu["busy_seconds"] or 0) > 0 for gpu in document["gpus"])


def _run(command: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, env=os.environ | environment, capture_output=True, check=False, timeout=60)


def test_the_table_of_the_documentation_is_what_happened(stage: tuple[dict[str, Result], list[int]]) -> None:
    """After a change that is meant: `GOLDEN=write make test`, and read the difference."""
    results, pids = stage
    rows = [HEAD, tuple("---" for _ in HEAD), *(result.row(pids) for result in results.values())]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
    text = DOCUMENT.read_text(encoding="utf-8")
    (written,) = re.findall(r"^\| the agent runs as (?:.*\n)(?:\|.*\n)*", text, re.MULTILINE)
    if os.environ.get("GOLDEN") == "write":
        DOCUMENT.write_text(text.replace(written, table), encoding="utf-8")
        written = table
    assert written == table


def test_nobody_is_ever_taken_for_another(stage: tuple[dict[str, Result], list[int]]) -> None:
    results, pids = stage
    assert not [result.scene.name for result in results.values() if "wrong" in result.row(pids)]


def test_the_check_claims_what_can_be_done(stage: tuple[dict[str, Result], list[int]]) -> None:
    for result in stage[0].values():
        if result.scene.namespace:
            continue  # there are no others there to try
        assert (result.findings["other-environments"]["status"] == "ok") == result.can_read_others, result.scene.name


def test_the_check_knows_the_agent(stage: tuple[dict[str, Result], list[int]]) -> None:
    for result in stage[0].values():
        expected = "ok" if result.document else "warn"
        assert (result.findings["listen"]["status"], result.findings["agent"]["status"]) == ("ok", expected)


def test_the_check_says_for_whom_it_judges(stage: tuple[dict[str, Result], list[int]]) -> None:
    results, _ = stage
    assert results["root"].findings["user"]["found"].startswith("judged as root, with CAP_SYS_PTRACE and CAP_DAC")
    assert results["… without either"].findings["user"]["found"] == f"judged as uid {SERVICE}, with neither capability"


@pytest.mark.parametrize(
    ("scene", "right"),
    [
        ("… without either, /proc with `hidepid=2`", "CAP_SYS_PTRACE"),
        ("root in another PID namespace", "--pid=host"),
    ],
)
def test_the_log_and_the_status_name_the_missing_right(
    stage: tuple[dict[str, Result], list[int]], scene: str, right: str
) -> None:
    told = [line for line in stage[0][scene].log.splitlines() if "cannot be seen" in line]
    assert len(told) == 1
    assert right in told[0]
    document = stage[0][scene].document
    assert document is not None
    assert right in document["strangers_reason"]
    assert right in shown(document)


def test_where_no_right_is_missing_nothing_is_said_of_one(stage: tuple[dict[str, Result], list[int]]) -> None:
    for name in ("root", "… without either", "… with CAP_SYS_PTRACE, `hidepid=2`"):
        assert "cannot be seen" not in stage[0][name].log
        document = stage[0][name].document
        assert document is not None
        assert document["strangers_reason"] is None


def test_a_directory_that_cannot_be_written_is_told_in_a_line(stage: tuple[dict[str, Result], list[int]]) -> None:
    log = stage[0]["a user with neither, the state directory not writable"].log
    assert re.fullmatch(r"gpuwatch: cannot use the state directory .*; name a writable one with --state-dir\n", log)


@pytest.mark.parametrize(
    ("reason", "said"), [("hidepid; give it CAP_X", "hidepid; give it CAP_X"), ("", "gpuwatch check")]
)
def test_the_table_says_why_processes_cannot_be_read(reason: str, said: str) -> None:
    device = replace(snapshot().devices[0], strangers=2)
    document = status_document(replace(snapshot(), devices=(device,), strangers_reason=reason))
    _, _, ann, unseen, footnote = shown(document).splitlines()
    assert "train.py" in ann
    assert unseen.endswith("(2 processes that cannot be read)")
    assert footnote.startswith("Processes cannot be read: ")
    assert said in footnote


def test_the_page_says_why_processes_cannot_be_read() -> None:
    device = replace(snapshot().devices[0], strangers=2)
    shown = replace(snapshot(), devices=(device,), strangers_reason="hidepid; give it <CAP_X>")
    page = Pages(lambda: shown).respond("/", accept="", accept_encoding="", unix=shown.taken_unix).body.decode()
    assert "2 processes that cannot be read" in page
    assert "Processes cannot be read: hidepid; give it &lt;CAP_X&gt;." in page

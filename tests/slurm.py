"""A real Slurm of one node on the loopback: its own munge, its own configuration, in a folder that goes with it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from rig import free_port, wait_until
from servers import program

NODE: Final = "n7"
GPUS: Final = 4
_PATIENCE: Final = 20.0


class Slurm:
    """A running Slurm controller, by its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: Mapping[str, str] = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        """For whatever shall find this Slurm."""
        self.controller: subprocess.Popen[bytes] | None = None

    def tell(self, *arguments: str) -> str:
        """What `scontrol` prints. Fails the test where it refuses."""
        command = [program("scontrol"), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *command: str) -> str:
        """What `sbatch` or another of Slurm's commands prints. Fails the test where it refuses."""
        done = subprocess.run(
            [program(command[0]), *command[1:]], env=self.environment, cwd=self.folder, capture_output=True,
            text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def cancel_all(self) -> None:
        """End all jobs, and wait for that."""
        self.start("scancel", "--signal=KILL", "--full", "--partition=all")
        self.start("scancel", "--partition=all")
        wait_until(lambda: self.start("squeue", "-h") == "", seconds=_PATIENCE, what="an empty queue")
        wait_until(lambda: not self.step_daemons(), seconds=_PATIENCE, what="the end of each slurmstepd")

    def step_daemons(self) -> list[int]:
        """The pids of the `slurmstepd` of its jobs: they outlive the node, and wait for a controller without end."""
        own = f"SLURM_CONF={self.folder / 'slurm.conf'}".encode()
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _is_step_daemon(path, own)]

    def end_step_daemons(self) -> None:
        """Kill those that are left."""
        for pid in self.step_daemons():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def update_node(self, **changes: str) -> None:
        """`scontrol update` of the node, as an operator types it."""
        self.tell("update", f"nodename={NODE}", *(f"{name}={value}" for name, value in changes.items()))

    def is_ready(self) -> bool:
        """Whether the controller answers."""
        command = [program("scontrol"), "ping"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30, check=False)
        return " is UP" in done.stdout

    def stop_controller(self) -> None:
        """As where its machine is lost: `scontrol` finds nobody."""
        assert self.controller is not None
        self.controller.kill()
        self.controller.wait(timeout=_PATIENCE)

    def hold_controller(self, number: signal.Signals) -> None:
        """SIGSTOP makes it take connections and answer none, as under load; SIGCONT lets it go on."""
        assert self.controller is not None
        self.controller.send_signal(number)


def _is_step_daemon(process: Path, variable: bytes) -> bool:
    try:
        return (process / "comm").read_text() == "slurmstepd\n" and variable in (process / "environ").read_bytes()
    except OSError:
        return False  # it has ended


def configuration(folder: Path) -> str:
    """A slurm.conf for one node, which is this machine."""
    lines = {
        "ClusterName": "test",
        "SlurmctldHost": f"{socket.gethostname()}(127.0.0.1)",
        "SlurmctldPort": str(free_port()),
        "SlurmdPort": str(free_port()),
        "SlurmUser": pwd.getpwuid(os.geteuid()).pw_name,
        "SlurmdUser": pwd.getpwuid(os.geteuid()).pw_name,
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder / 'munge.socket'}",
        "StateSaveLocation": str(folder / "controller"),
        "SlurmdSpoolDir": str(folder / "node"),
        "SlurmctldPidFile": str(folder / "slurmctld.pid"),
        "SlurmdPidFile": str(folder / "slurmd.pid"),
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "MpiDefault": "none",
        "MessageTimeout": "2",
        "NodeName": f"{NODE} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 CPUs=16 Gres=gpu:h100:{GPUS}",
        "GresTypes": "gpu",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        "SlurmdParameters": "config_overrides",
        "SchedulerParameters": "bf_interval=1,sched_min_interval=0",
        "PartitionName": f"all Nodes={NODE} Default=YES State=UP",
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def _make_gpus(folder: Path) -> None:
    """Made-up GPUs: slurmd asks for devices, so each is another /dev/null where this may make one."""
    for index in range(GPUS):
        if os.geteuid() == 0:
            os.mknod(folder / f"nvidia{index}", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        else:
            (folder / f"nvidia{index}").touch()
    (folder / "gres.conf").write_text(f"NodeName={NODE} Name=gpu Type=h100 File={folder}/nvidia[0-{GPUS - 1}]\n")


@contextmanager
def slurm() -> Iterator[Slurm]:
    """A Slurm whose controller answers, and whose node takes jobs: `srun true` runs there."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # a socket's path is at most 107 characters long
    folder.chmod(0o711)  # whoever has a job must reach munge
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in ("controller", "node"):
            (folder / name).mkdir()
        (folder / "slurm.conf").write_text(configuration(folder), encoding="utf-8")
        _make_gpus(folder)
        cluster = Slurm(folder)
        stack.callback(cluster.end_step_daemons)
        stack.enter_context(_munge(folder))
        command = [program("slurmctld"), "-D", "-i"]
        cluster.controller = stack.enter_context(running(command, folder / "slurmctld.log", cluster.environment))
        wait_until(cluster.is_ready, seconds=_PATIENCE, what="an answer of slurmctld")
        stack.enter_context(running([program("slurmd"), "-D"], folder / "slurmd.log", cluster.environment))
        wait_until(lambda: "State=IDLE " in cluster.tell("show", "node", NODE), seconds=_PATIENCE, what="an idle node")
        yield cluster


@contextmanager
def _munge(folder: Path) -> Iterator[None]:
    """A munge that answers, of a key of its own."""
    key, to = folder / "munge.key", folder / "munge.socket"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    command = [
        program("munged"), "--foreground", f"--key-file={key}", f"--socket={to}", "--num-threads=2",
        f"--pid-file={folder / 'munged.pid'}", f"--seed-file={folder / 'munged.seed'}",
    ]  # fmt: skip
    with running(command, folder / "munged.log", os.environ):
        wait_until(to.exists, seconds=_PATIENCE, what="munged's socket")
        yield


@contextmanager
def running(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes to `log`, and is killed at the end."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=_PATIENCE)

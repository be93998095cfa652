"""What kind of run it is, and which contexts are nobody's."""

from __future__ import annotations

import pytest

from gpuwatch.attribute.case import Case, Site, Traces
from gpuwatch.attribute.contexts import owns_nothing
from gpuwatch.attribute.kinds import kind_of
from gpuwatch.attribute.rules.adhoc import launch_root
from gpuwatch.model import Identity, Lineage, Process


def process(command: str, *, uid: int = 1000, name: str = "", pid: int = 9) -> Process:
    arguments = tuple(command.split())
    return Process(Identity(pid, 900), 8, uid, name or arguments[0].rpartition("/")[2][:15], arguments)


def case(*commands: str, terminal: bool = False, **environment: str) -> Case:
    lineage = Lineage(tuple(process(command, pid=99 - place) for place, command in enumerate(commands)))
    traces = Traces(environment=environment, has_terminal=terminal)
    return Case(lineage, launch_root(lineage), 0.0, "ann", Site("n7"), traces)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("python train.py", "batch"),
        ("python -m vllm.entrypoints.openai.api_server --model m", "service"),
        ("python /usr/bin/vllm serve m", "service"),
        ("python /usr/bin/vllm bench m", "batch"),
        ("/opt/tritonserver/bin/tritonserver --model-repository=/m", "service"),
        ("/usr/local/bin/ollama runner --model m", "service"),
        ("python -m sglang.launch_server", "service"),
        ("text-generation-launcher --model-id m", "service"),
        ("python -m ipykernel_launcher -f k.json", "interactive"),
        ("python3 /usr/bin/jupyter-lab", "interactive"),
        ("python train.py --note vllm", "batch"),
    ],
)
def test_the_kind_is_that_of_the_program(command: str, kind: str) -> None:
    assert kind_of(case(command)) == kind


def test_a_worker_is_of_the_kind_of_its_launch() -> None:
    worker = "python -c spawn_main() --multiprocessing-fork"
    assert kind_of(case(worker, "python /usr/bin/vllm serve m", "bash")) == "service"
    assert kind_of(case(worker, "python train.py", "bash", "python /usr/bin/vllm serve m")) == "batch"


def test_whoever_holds_a_terminal_or_a_notebook_may_be_at_it() -> None:
    assert kind_of(case("python train.py", terminal=True)) == "interactive"
    assert kind_of(case("python train.py", JPY_PARENT_PID="7")) == "interactive"
    assert kind_of(case("ollama serve", terminal=True)) == "service"


@pytest.mark.parametrize(
    ("command", "uid", "name", "nobodys"),
    [
        ("/usr/lib/xorg/Xorg vt2", 0, "", True),
        ("/usr/lib/xorg/Xorg vt2", 1000, "", True),
        ("/usr/bin/gnome-shell", 1000, "", True),
        ("/usr/bin/nvidia-cuda-mps-server", 0, "nvidia-cuda-mps", True),
        ("/usr/bin/nvidia-cuda-mps-server", 1000, "nvidia-cuda-mps", False),
        ("/usr/bin/nv-hostengine -n", 998, "", True),
        ("python train.py", 1000, "Xorg", False),
        ("Xorg train.py", 1000, "python", False),
        ("python train.py", 0, "", False),
    ],
)
def test_contexts_of_the_machine_and_its_screen_are_nobodys(command: str, uid: int, name: str, nobodys: bool) -> None:
    assert owns_nothing(process(command, uid=uid, name=name)) is nobodys


def test_a_process_without_a_name_owns_what_it_holds() -> None:
    assert not owns_nothing(Process(Identity(9, 900), 8, 0, "", ("",)))

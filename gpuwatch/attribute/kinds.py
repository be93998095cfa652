"""What kind of run a process is of: somebody is at it, it serves others, or it runs by itself. Pure."""

from __future__ import annotations

from gpuwatch.attribute.case import Case
from gpuwatch.attribute.command import Command, command_of

_SERVERS = frozenset(
    "tritonserver ollama ollama_llama_server llama-server llamafile trtllm-serve text-generation-launcher "
    "text-generation-server text-generation-router text-embeddings-router infinity_emb api_server.py "
    "vllm.entrypoints.openai.api_server vllm.entrypoints.api_server sglang.launch_server "
    "lmdeploy.serve.openai.api_server fastchat.serve.model_worker torchserve tensorflow_model_server".split()
)
"""Programs and modules that load a model and wait for questions."""
_SERVE = frozenset("vllm sglang lmdeploy bentoml xinference".split())
"""Programs that do so when they are told to `serve`, and other things else."""
_NOTEBOOKS = frozenset(
    "ipykernel ipykernel_launcher ipykernel_launcher.py colab_kernel_launcher ipython ipython3 "
    "jupyter jupyter-lab jupyter-notebook jupyterhub-singleuser".split()
)
_NOTEBOOK_VARIABLES = ("JPY_PARENT_PID", "JPY_SESSION_NAME")


def kind_of(case: Case) -> str:
    """`service`, `interactive` or `batch`, by the programs from the process up to its launch root.

    A server is one in a terminal too; of the rest, whoever holds a terminal may be at it.
    """
    commands = _launch(case)
    if any(_serves(command) for command in commands):
        return "service"
    notebook = any(_NOTEBOOKS & {command.program, command.entry} for command in commands)
    variables = any(case.traces.environment.get(name) for name in _NOTEBOOK_VARIABLES)
    return "interactive" if notebook or variables or case.traces.has_terminal else "batch"


def _launch(case: Case) -> list[Command]:
    commands = []
    for member in case.lineage.members:
        commands.append(command_of(member))
        if member.identity == case.root.identity:
            break
    return commands


def _serves(command: Command) -> bool:
    names = {command.program, command.entry}
    return bool(names & _SERVERS) or (bool(names & _SERVE) and "serve" in command.after[:1])

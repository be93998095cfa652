"""The recorded series: what the rules of `gpuwatch rules` have Prometheus record, and reports read. Names only.

All seconds are of whole GPUs. A `delta1m` or `delta5m` is what was added in a minute or five minutes that ended 10 s
before its time, so `sum_over_time(x[7d])` is a week's.
"""

from typing import Final

# By person, each minute: {user, project}
PEOPLE_HELD: Final = "user_project:gpuwatch_user_gpu_held_seconds:delta1m"
PEOPLE_BUSY: Final = "user_project:gpuwatch_user_gpu_busy_seconds:delta1m"
PEOPLE_JOULES: Final = "user_project:gpuwatch_user_gpu_energy_joules:delta1m"

# Of the whole fleet, each minute
STATES: Final = "state:gpuwatch_gpu_state_seconds:delta1m"
"""{state}"""
UNATTRIBUTED_BUSY: Final = "gpuwatch:gpu_unattributed_busy_seconds:delta1m"
JOULES: Final = "gpuwatch:gpu_energy_joules:delta1m"
HEARTBEAT: Final = "gpuwatch:recorded:1m"
"""1 in each minute in which the rules were evaluated: to know how much of a window is recorded."""

# By run, every five minutes: {node, gpu, model, user, project, run, kind}
RUN_HELD: Final = "node_gpu_model_user_project_run_kind:gpuwatch_run_gpu_held_seconds:delta5m"
RUN_BUSY: Final = "node_gpu_model_user_project_run_kind:gpuwatch_run_gpu_busy_seconds:delta5m"
RUN_JOULES: Final = "node_gpu_model_user_project_run_kind:gpuwatch_run_gpu_energy_joules:delta5m"
RUN_SM_ACTIVE: Final = "node_gpu_model_user_project_run_kind:gpuwatch_run_gpu_sm_active_seconds:delta5m"

# Their sums, every five minutes: {user, project, kind}
KIND_HELD: Final = "user_project_kind:gpuwatch_run_gpu_held_seconds:delta5m"
KIND_BUSY: Final = "user_project_kind:gpuwatch_run_gpu_busy_seconds:delta5m"
KIND_JOULES: Final = "user_project_kind:gpuwatch_run_gpu_energy_joules:delta5m"
KIND_SM_ACTIVE: Final = "user_project_kind:gpuwatch_run_gpu_sm_active_seconds:delta5m"

# Of runs, every five minutes
RUNS_STARTED: Final = "user_project:gpuwatch_runs:started5m"
"""{user, project}: how many were first seen, each once in the fleet."""
WORST_RUN: Final = "user_project_run:gpuwatch_run_gpu_idle_seconds:worst"
"""{user, project, run}: the idle seconds in its life of the worst run that is there."""

# By node, every five minutes
NODE_PEOPLE_HELD: Final = "node_user_project:gpuwatch_user_gpu_held_seconds:delta5m"
"""{node, user, project}, as the next two."""
NODE_PEOPLE_BUSY: Final = "node_user_project:gpuwatch_user_gpu_busy_seconds:delta5m"
NODE_PEOPLE_JOULES: Final = "node_user_project:gpuwatch_user_gpu_energy_joules:delta5m"
NODE_STATES: Final = "node_model_state:gpuwatch_gpu_state_seconds:delta5m"
"""{node, model, state}"""
NODE_JOULES: Final = "node_model:gpuwatch_gpu_energy_joules:delta5m"
"""{node, model}, as the next two."""
NODE_UNATTRIBUTED_BUSY: Final = "node_model:gpuwatch_gpu_unattributed_busy_seconds:delta5m"
NODE_CAPACITY: Final = "node_model:gpuwatch_gpu_capacity:sum"
"""How many GPUs there are."""

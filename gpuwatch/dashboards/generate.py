"""All dashboards as the files that are checked in. Pure: what writes them is `__main__.py`."""

from __future__ import annotations

import json

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from gpuwatch.dashboards.agents import agents
from gpuwatch.dashboards.board import dashboard
from gpuwatch.dashboards.node import one_node
from gpuwatch.dashboards.person import person
from gpuwatch.dashboards.run import one_run
from gpuwatch.dashboards.team import team


def generated() -> dict[str, str]:
    """The text of each, by the name of its file."""
    boards = {"team": team(), "node": one_node(), "person": person(), "run": one_run(), "agents": agents()}
    return {
        f"{name}.json": json.dumps(dashboard(board), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
        for name, board in boards.items()
    }

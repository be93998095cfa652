"""MLflow by variables, as MLflow Projects sets them. A plain `start_run()` leaves no trace: it has to be registered."""

from __future__ import annotations

import re

from gpuwatch.attribute.case import Case, Claim, Confidence
from gpuwatch.attribute.text import checked

_RUN = re.compile("[0-9a-f]{32}")
_EXPERIMENT = re.compile("[0-9]{1,20}")


def mlflow_rule(case: Case) -> Claim | None:
    """The run `MLFLOW_RUN_ID`; the experiment is told as evidence."""
    environment = case.traces.environment
    run = checked(environment.get("MLFLOW_RUN_ID", ""), _RUN)
    if not run:
        return None
    experiment = checked(environment.get("MLFLOW_EXPERIMENT_ID", ""), _EXPERIMENT)
    evidence = f"MLFLOW_RUN_ID of experiment {experiment}" if experiment else "MLFLOW_RUN_ID"
    return Claim(rule="mlflow", evidence=evidence, confidence=Confidence.LIKELY, run=f"mlflow:{run}")

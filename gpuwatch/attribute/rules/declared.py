"""What somebody declared by variables: `gpuwatch run` sets them, and so may anybody for processes of their own."""

from __future__ import annotations

import re

from gpuwatch.attribute.case import Case, Claim, Confidence
from gpuwatch.attribute.place import speaks_for_others
from gpuwatch.attribute.text import checked, clean

_RUN = re.compile("named:[A-Za-z0-9_][A-Za-z0-9._-]{0,119}")
"""As `gpuwatch run` makes it, and as a registration has to have it."""


def declared_rule(case: Case) -> Claim | None:
    """The run `GPUWATCH_RUN`, and the name, project and person of the other variables."""
    environment = case.traces.environment
    run = checked(environment.get("GPUWATCH_RUN", ""), _RUN)
    name, project, user = (clean(environment.get(f"GPUWATCH_{part}", "")) for part in ("RUN_NAME", "PROJECT", "USER"))
    if not speaks_for_others(case):
        user = ""
    said = {"GPUWATCH_RUN": run, "GPUWATCH_RUN_NAME": name, "GPUWATCH_PROJECT": project, "GPUWATCH_USER": user}
    if not any(said.values()):
        return None
    return Claim(
        rule="declared",
        evidence=", ".join(variable for variable, value in said.items() if value),
        confidence=Confidence.LIKELY,
        run=clean(run),
        name=name,
        project=project,
        user=user,
    )

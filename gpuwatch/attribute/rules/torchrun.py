"""torchrun: its id where nobody chose it. Source: pytorch.org/docs/stable/elastic/run.html.

`--rdzv-id` is `none` unless it was given, and then mostly a word or a number that is used again and on other nodes for
other launches; only the one that `--standalone` makes is the launch's own. MASTER_ADDR and MASTER_PORT make no run.
"""

from __future__ import annotations

import re

from gpuwatch.attribute.case import Case, Claim, Confidence
from gpuwatch.attribute.text import checked

_UUID = re.compile("[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")


def torchrun_rule(case: Case) -> Claim | None:
    """The launch `torchrun:UUID`; for any other id only that this is a rank of one, which runs by itself."""
    told = case.traces.environment.get("TORCHELASTIC_RUN_ID", "")
    if not told:
        return None
    unique = checked(told, _UUID)
    return Claim(
        rule="torchrun",
        evidence=f"TORCHELASTIC_RUN_ID={unique}" if unique else "TORCHELASTIC_RUN_ID, which is not unique",
        confidence=Confidence.LIKELY,
        run=f"torchrun:{unique}" if unique else "",
        kind="batch",
    )

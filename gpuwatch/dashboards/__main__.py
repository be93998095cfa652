"""`python -m gpuwatch.dashboards DIR`, which is `make dashboards`: generates the files that are checked in."""

from __future__ import annotations

import sys
from pathlib import Path

from gpuwatch.dashboards.generate import generated


def main(folder: Path) -> None:
    """Write all of them into the folder."""
    for name, text in generated().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

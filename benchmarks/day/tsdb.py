"""Prometheus's own record of the day: its blocks, made of the scrapes and of the recording rules by promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from servers import Prometheus, program

RULES: Final = Path(__file__).resolve().parents[2] / "prometheus" / "gpuwatch.rules.yml"
_END: Final = "# EOF\n"


def store(folders: Iterable[Path], data: Path) -> None:
    """Make blocks of what was scraped into the nodes' folders. Raises CalledProcessError."""
    data.mkdir()
    parts: dict[str, list[Path]] = {}
    for folder in folders:
        for path in folder.glob("*.metrics"):
            parts.setdefault(path.name, []).append(path)
    whole = data.with_name("block.metrics")
    for name in sorted(parts):
        text = "".join(path.read_text(encoding="utf-8") for path in parts[name])
        whole.write_text(text + _END, encoding="utf-8")
        _promtool("tsdb", "create-blocks-from", "openmetrics", "--quiet", str(whole), str(data))


def record(server: Prometheus, data: Path, *, start_unix: float, end_unix: float) -> None:
    """Make blocks of what the rules would have recorded. The server sees them once it starts anew.

    promtool evaluates each rule on what the server has: those made of recorded series find nothing.
    Raises CalledProcessError.
    """
    url, span = f"http://127.0.0.1:{server.port}", (f"--start={start_unix:.0f}", f"--end={end_unix:.0f}")
    _promtool("tsdb", "create-blocks-from", "rules", f"--url={url}", *span, f"--output-dir={data}", str(RULES))


def _promtool(*arguments: str) -> None:
    subprocess.run([program("promtool"), *arguments], check=True, capture_output=True)

"""The dashboards that come with gpuwatch, as they are checked in. Needs no SDK."""

from __future__ import annotations

from importlib.resources import files


def packaged() -> dict[str, str]:
    """The text of each, by the name of its file."""
    folder = files("gpuwatch.dashboards") / "json"
    return {
        file.name: file.read_text(encoding="utf-8") for file in sorted(folder.iterdir(), key=lambda file: file.name)
    }

"""The rule of the house: stages never import each other, and each library has one door."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gpuwatch

ROOT = Path(gpuwatch.__file__).parent
STAGES = {"sense", "attribute", "account", "state", "judge", "export", "alert", "report"}
SHARED = {"gpuwatch", "gpuwatch.model", "gpuwatch.units", "gpuwatch.errors"}
DOORS: dict[str, str | tuple[str, ...]] = {
    "pynvml": "sense/nvml/",
    "sqlite3": "state/",
    "prometheus_client": "export/exposition.py",
    "uvicorn": "export/server.py",
    "yaml": "export/web.py",
    "bcrypt": "export/auth.py",
    "ssl": ("export/tls.py", "cli/fetch.py", "check/fetch.py", "report/prometheus/connection.py", "alert/client.py"),
    "click": "cli/",
    "mlflow": "explicit/mlflow.py",
    "psutil": "sense/host.py",
    "slack_sdk": "alert/",
    "jinja2": "report/html/",
    "grafana_foundation_sdk": "dashboards/",
    "rich": ("report/formats/", "terminal/"),
}
PURE = {"account", "judge"}
IMPURE = {"os", "time", "socket", "subprocess", "threading", "pathlib", "logging", "random", "datetime"}


def imports(path: Path) -> set[str]:
    """All modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide what is imported"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def test_there_is_something_to_walk() -> None:
    assert {path.parts[0] for path in FILES} >= {"sense", "attribute", "account", "state", "export", "cli", "agent"}


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] in STAGES], ids=str)
def test_a_stage_shares_only_the_model(path: Path) -> None:
    own = f"gpuwatch.{path.parts[0]}"
    for name in imports(ROOT / path):
        if name.startswith("gpuwatch"):
            assert name.startswith(own) or any(name == s or name.startswith(f"{s}.") for s in SHARED - {"gpuwatch"}), (
                name
            )


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_library_has_one_door(path: Path) -> None:
    for name in imports(ROOT / path):
        door = DOORS.get(name.partition(".")[0])
        assert door is None or str(path).startswith(door), f"{name} belongs to {door}"


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] in PURE], ids=str)
def test_pure_stages_touch_nothing(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(ROOT / path)} & IMPURE


def test_nothing_happens_at_import() -> None:
    for path in FILES:
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
            assert not isinstance(node, ast.With | ast.For | ast.While | ast.Try), path
            call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            assert not call or path == Path("cli/__init__.py"), path

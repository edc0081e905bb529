"""The import rules of pyproject.toml bite: each is broken by one import in a small package laid out as enactor is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULES = (
    "conformance.store cli wiring system http mcp console engines.local engines.restate stores.memory stores.sqlite "
    "gateway connectors policies outbox settings service pipeline ports domain"
)


def check(project: Path, imports: dict[str, str]) -> tuple[int, str]:
    """Exit status and output of import-linter over a package where each module imports what `imports` says."""
    shutil.copy(ROOT / "pyproject.toml", project)
    package = project / "src/enactor"
    for module in MODULES.split():
        path = package.joinpath(*module.split("."))
        path.mkdir(parents=True)
        imported = imports.get(module)
        (path / "__init__.py").write_text(f"import {imported}\n" if imported else "")
    for folder in (package, *package.iterdir()):
        (folder / "__init__.py").touch()
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout


def test_imports_inward_are_allowed(tmp_path: Path) -> None:
    """The direction of the architecture breaks no rule, drivers at the edge and the suites at the top included."""
    status, output = check(
        tmp_path,
        {
            "conformance.store": "enactor.stores.memory",
            "cli": "enactor.wiring",
            "wiring": "enactor.system, enactor.stores.sqlite, enactor.engines.local, enactor.http",
            "http": "fastapi, enactor.service",
            "stores.sqlite": "sqlite3, enactor.ports",
            "service": "enactor.pipeline",
            "pipeline": "enactor.ports",
            "ports": "enactor.domain",
        },
    )
    assert status == 0, output
    assert "7 kept, 0 broken" in output


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("domain", "enactor.ports"),
        ("ports", "enactor.service"),
        ("pipeline", "enactor.engines.local"),
        ("service", "enactor.stores.memory"),
        ("service", "enactor.settings"),
        ("settings", "enactor.http"),
        ("stores.sqlite", "enactor.wiring"),
        ("gateway", "enactor.system"),
        ("wiring", "enactor.cli"),
        ("wiring", "enactor.conformance.store"),
        ("cli", "enactor.conformance.store"),
        ("domain", "sqlite3"),
        ("ports", "psycopg"),
        ("pipeline", "boto3"),
        ("service", "fastapi"),
        ("service", "mcp"),
        ("stores.sqlite", "enactor.stores.memory"),
        ("engines.restate", "enactor.engines.local"),
        ("http", "enactor.stores.memory"),
        ("mcp", "enactor.stores.memory"),
        ("console", "enactor.stores.memory"),
    ],
)
def test_a_forbidden_import_is_refused(tmp_path: Path, importer: str, imported: str) -> None:
    """One import against the architecture breaks the check, which names importer and imported."""
    status, output = check(tmp_path, {importer: imported})
    assert status == 1, output
    assert "1 broken" in output
    assert f"enactor.{importer} -> {imported}" in output


def test_a_new_top_level_module_needs_a_place(tmp_path: Path) -> None:
    """A module that no layer names is refused, so that none escapes the rules."""
    (tmp_path / "src/enactor/escape").mkdir(parents=True)
    status, output = check(tmp_path, {})
    assert status == 1
    assert "escape" in output

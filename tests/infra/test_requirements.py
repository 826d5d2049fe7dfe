"""What is installed in Azure is what the app imports, and the command line says what it needs besides."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from importlib.metadata import files

import pytest

from cli.entry import EXTRA
from tests.conftest import ROOT

_NAME = re.compile(r"[\w.-]+")


def _names(requirements: list[str]) -> list[str]:
    return [found[0] for line in requirements if (found := _NAME.match(line))]


def _modules(distribution: str) -> set[str]:
    """The packages and modules that a distribution installs, with dots."""
    installed = [path for path in files(distribution) or () if path.suffix == ".py"]
    places = [path.parent if path.name == "__init__.py" else path.with_suffix("") for path in installed]
    return {".".join(place.parts) for place in places}


@functools.cache
def _imported() -> frozenset[str]:
    """All modules that the app imports."""
    found: set[str] = set()
    folders = (ROOT / "functions", ROOT / "shared")
    for path in [ROOT / "function_app.py", *(path for folder in folders for path in folder.rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module}
    return frozenset(found)


@pytest.mark.parametrize("name", _names((ROOT / "requirements.txt").read_text().splitlines()))
def test_every_requirement_is_imported_by_the_app(name: str) -> None:
    assert _modules(name) & _imported()


def test_the_extra_of_the_command_line_is_what_it_looks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert tuple(_names(project["optional-dependencies"]["cli"])) == EXTRA


def test_without_its_extra_the_command_line_says_how_to_install_it() -> None:
    """Python without site-packages, where nothing is installed."""
    command = [sys.executable, "-S", "-c", "from cli.entry import main; main()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'mergekey[cli]'" in done.stderr
    assert "Traceback" not in done.stderr

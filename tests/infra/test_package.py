"""What is published to Azure: the app, compiled, and the lock file of what it needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.package import LOCK, PUBLISHED, build
from tests.conftest import ROOT

EXAMPLE = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]
_PINNED = re.compile(r"^([\w.-]+)==([\w.]+) \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def _locked() -> dict[str, str]:
    """Version by name of everything in the lock file."""
    lines = (ROOT / LOCK).read_text().splitlines()
    return {canonicalize_name(found[1]): found[2] for line in lines if (found := _PINNED.match(line))}


def _required() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package") / "package"
    build(folder)
    return folder


@pytest.mark.parametrize("requirement", _required(), ids=lambda each: each.name)
def test_what_the_app_requires_is_locked_within_its_bounds(requirement: Requirement) -> None:
    assert requirement.specifier.contains(_locked()[canonicalize_name(requirement.name)])


def test_every_line_of_the_lock_is_a_version_or_a_hash_of_it() -> None:
    lines = [line for line in (ROOT / LOCK).read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not _PINNED.match(line) and not _HASH.match(line)] == []
    followed = [_HASH.match(after) for line, after in pairwise(lines) if _PINNED.match(line)]
    assert all(followed)
    assert len(followed) == len(_locked())


def test_what_only_people_and_developers_need_is_not_locked() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {canonicalize_name(Requirement(line).name) for lines in extras.values() for line in lines}
    assert names & _locked().keys() == set()


def test_the_package_has_what_runs_and_nothing_else(package: Path) -> None:
    made = {"__pycache__", ".funcignore", "requirements.txt"}
    assert {path.name for path in package.iterdir()} == {*PUBLISHED, *made}
    assert (package / "requirements.txt").read_text() == (ROOT / LOCK).read_text()


def test_a_compiled_file_counts_although_its_source_has_another_time(package: Path) -> None:
    source = package / "shared" / "names.py"
    text = source.read_text()
    source.write_text("raise SystemExit('the source was read')")
    try:
        done = _run(package, "from shared import names; print(names.__file__)")
    finally:
        source.write_text(text)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(source)


def test_the_app_in_the_package_has_the_functions_of_this_one(package: Path) -> None:
    listed = "sorted(f.get_function_name() for f in function_app.app.get_functions())"
    names = f"import function_app; print({listed})"
    here, there = _run(ROOT, names), _run(package, names)
    assert there.returncode == 0, there.stderr
    assert there.stdout == here.stdout


def _run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), **EXAMPLE}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )

"""Five hundred seeds in every run of the tests; `make simulate` has many more."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.conftest import ROOT

SEEDS = 500


def test_whatever_fails_everything_settles_as_the_branch_says() -> None:
    """In a process of its own, whose hash seed is fixed: so that every seed is the same each time."""
    command = [sys.executable, "-m", "tests.simulation", "--seeds", str(SEEDS)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-20_000:]
    found = re.search(r"^(\d+) seeds, (\d+) steps, .* (\d+) with broken promises$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout + done.stderr
    seeds, steps, violations = map(int, found.groups())
    assert (seeds, violations) == (SEEDS, 0)
    assert steps > SEEDS * 1000, "hardly anything happened"

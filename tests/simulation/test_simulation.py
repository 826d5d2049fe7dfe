"""Twenty seeds in every run of the tests; `make simulate` has many more."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.simulation.ablation import SAFEGUARDS, Safeguard, without

SEEDS = 20


def test_whatever_fails_everything_settles_as_the_branch_says() -> None:
    """In a process of its own, whose hash seed is fixed: so that every seed is the same each time."""
    command = [sys.executable, "-m", "tests.simulation", "--seeds", str(SEEDS)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    found = re.search(r"^(\d+) seeds, (\d+) steps, .* (\d+) with broken promises$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout + done.stderr
    seeds, steps, violations = map(int, found.groups())
    assert (seeds, violations) == (SEEDS, 0)
    assert steps > SEEDS * 1000, "hardly anything happened"


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda each: each.name)
def test_what_the_ablation_takes_away_is_there_and_comes_back(safeguard: Safeguard) -> None:
    before = [getattr(where, name) for where, name, _ in safeguard.substitutes]
    with without(safeguard):
        taken = [getattr(where, name) for where, name, _ in safeguard.substitutes]
    assert all(one is not other for one, other in zip(before, taken, strict=True))
    assert before == [getattr(where, name) for where, name, _ in safeguard.substitutes]

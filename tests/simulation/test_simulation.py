"""A few seeds in every run of the tests; `make simulate` has many."""

from __future__ import annotations

import pytest

from tests.simulation.run import simulate


@pytest.mark.parametrize("seed", range(20))
def test_whatever_fails_everything_settles_as_the_branch_says(seed: int) -> None:
    result = simulate(seed)
    assert result.violations == [], f"repeat it: python -m tests.simulation --seed {seed}"
    assert result.steps > 100

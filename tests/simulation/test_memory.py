"""Many seeds are run with what the app's functions said in memory: a story is the same whatever is in it.

Without it a seed takes ten times as long: `make simulate` has one.
"""

from __future__ import annotations

from standins.tests.plugin import THOROUGH
from tests.simulation.caches import DIGESTS, REMEMBERED, remembered
from tests.simulation.run import simulate

#: A seed of which the end is long.
SEED = 7


def test_a_seed_is_the_same_whatever_is_remembered() -> None:
    """Also of what there should be in the end, which an app of its own is asked for."""
    with remembered():
        told = [simulate(SEED).digest for _ in range(2)]
    if THOROUGH:
        told.append(simulate(SEED).digest)
    assert len(set(told)) == 1


def test_what_is_remembered_is_what_the_app_looks_up() -> None:
    """Else the workers of many seeds do not start."""
    before = [vars(where)[name] for where, name in (*REMEMBERED, *DIGESTS)]
    with remembered():
        assert all(
            vars(where)[name] is not one
            for (where, name), one in zip((*REMEMBERED, *DIGESTS), before, strict=True)
        )
    assert before == [vars(where)[name] for where, name in (*REMEMBERED, *DIGESTS)]

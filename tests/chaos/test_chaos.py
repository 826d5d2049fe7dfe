"""One short piece of chaos in every run of the tests; `python -m tests.chaos` has the rest."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

from tests.chaos.deaths import DEATHS, insist
from tests.chaos.judgement import examine
from tests.chaos.platform import platform


def test_a_host_that_dies_while_it_delivers_keys_leaves_nothing_behind(tmp_path: Path) -> None:
    with platform(tmp_path, seed=1, teams=5) as place:
        insist("deliver_keys", partial(DEATHS["deliver_keys, one stored"].strike, place))
        verdict = examine(place)
    assert (verdict.findings, verdict.repaired, verdict.letters) == ([], set(), Counter())

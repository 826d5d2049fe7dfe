"""Today's version over what an earlier one left. `__init__` says what a failure means."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.upgrade import snapshot
from tests.upgrade.upgrade import CHANGED, DATA, WRITES, Days, differences, first_days


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Days:
    return first_days(ROOT, snapshot.load(DATA), tmp_path_factory.mktemp("upgraded"))


def test_a_new_version_writes_nothing_but_what_the_earlier_one_would_have_written(days: Days) -> None:
    assert days.writes == WRITES


def test_after_the_first_day_only_what_the_release_writes_is_another(days: Days) -> None:
    assert days.changed == CHANGED


def test_a_snapshot_that_is_loaded_is_the_one_that_was_taken(tmp_path: Path) -> None:
    """Down to the ids of commits, which markers name."""
    loaded = snapshot.load(DATA)
    snapshot.bring_back(loaded, tmp_path)
    assert list(differences(loaded, snapshot.take(tmp_path, "", 0.0))) == []

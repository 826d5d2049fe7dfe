"""Today's version over what an earlier one left. `__init__` says what a failure means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.upgrade import snapshot
from tests.upgrade.snapshot import as_written
from tests.upgrade.upgrade import CHANGED, DATA, WRITES, Days, differences, first_days

_OBJECTS = "kubernetes/objects/"
_WORKSPACE = f"{_OBJECTS}workspaces.kaito.sh/team-own-gpu/phi-4"
_NODE = f"{_OBJECTS}nodes//aks-ws35c399c56-14744734-vmss000000"


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


@pytest.mark.parametrize(
    ("name", "edit", "shown"),
    [
        (_WORKSPACE, lambda row: row["inference"]["preset"].update(name="phi-3"), [f"{_WORKSPACE}: changed"]),
        (_WORKSPACE, lambda row: row["metadata"].update(uid="another"), [f"{_WORKSPACE}: changed"]),
        (_WORKSPACE, lambda row: row["metadata"].pop("labels"), [f"{_WORKSPACE}: changed"]),
        (_WORKSPACE, lambda row: row["status"].update(state="NotReady"), []),
        (_NODE, lambda row: row["metadata"].update(labels={}), []),
    ],
    ids=["spec", "made anew", "labels", "status", "node"],
)
def test_of_a_cluster_counts_what_was_written_to_it(
    name: str, edit: Callable[[Any], Any], shown: list[str]
) -> None:
    before, after = snapshot.load(DATA), snapshot.load(DATA)
    edit(after.tables["kubernetes"]["objects"][name.removeprefix(_OBJECTS)])
    assert list(differences(as_written(before), as_written(after))) == shown


def test_what_was_written_to_a_cluster_and_is_gone_is_seen() -> None:
    before, after = snapshot.load(DATA), snapshot.load(DATA)
    after.tables["kubernetes"]["objects"].pop(_WORKSPACE.removeprefix(_OBJECTS))
    assert list(differences(as_written(before), as_written(after))) == [f"{_WORKSPACE}: gone"]

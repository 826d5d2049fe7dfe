"""The judge's own words for what the branch says: where they are easily said otherwise than the app has
them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.app import path_of
from tests.simulation.people import People
from tests.simulation.rules import Rules
from tests.simulation.scene import Scene

FOLDERS = {team: path_of(team).rpartition("/")[0] for team in ("carol", "foxtrot")}


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene(0)
    yield made
    made.loop.close()


def test_a_link_in_the_place_of_a_folder_leaves_a_team_in_doubt(scene: Scene) -> None:
    people, rules = People(scene), Rules(scene)
    pushed = people.push({"README.md": "1\n"}, links={FOLDERS["foxtrot"]: "elsewhere"})
    assert rules.all_said(pushed.place)["foxtrot"].row == "doubt"
    assert rules.guarded(pushed.place, frozenset(FOLDERS)) == {"carol"}


def test_a_file_there_leaves_it_gone_and_the_guard_counts_it(scene: Scene) -> None:
    """So two are gone, whose products somebody took away; a third team stays."""
    people, rules = People(scene), Rules(scene)
    people.push({path_of("bravo"): people.ask("bravo")}, links={FOLDERS["foxtrot"]: "elsewhere"})
    alone = rules.guarded(len(scene.repository.history) - 1, frozenset(FOLDERS))
    pushed = people.rewrite()
    assert pushed is not None
    assert "foxtrot" not in rules.all_said(pushed.place)
    assert not alone
    assert rules.guarded(pushed.place, frozenset(FOLDERS)) == set(FOLDERS)


def test_no_file_is_under_a_file(scene: Scene) -> None:
    """Git cannot have that."""
    people = People(scene)
    people.push({FOLDERS["foxtrot"]: "elsewhere"})
    people.push({path_of("foxtrot"): people.ask("foxtrot")})
    assert scene.repository.files().keys() == {path_of("foxtrot")}

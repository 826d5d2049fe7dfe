"""What lists show of access that has ended: what of it is left, and whose time is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared import names
from shared.inventory import drift, orphans
from shared.inventory.snapshot import Snapshot, Times
from shared.marker import Marker
from shared.resources.actual import Project
from tests.fakes.app import REPOSITORY
from tests.fakes.clock import START
from tests.inventory.worlds import KEY, MARKER, NAMESPACE, OWN, PRODUCT, SUBSCRIPTION, TAGS, WORLD, a_product

TIMES = Times(START, timedelta(days=7), timedelta(days=1), timedelta(hours=24))
BARE = Snapshot(None, {}, frozenset(), {}, {}, {}, {}, {}, {}, {}, {}, ())


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (0, []),
        (1, ["its workspaces outlived their grace period"]),
        (7, ["its grace period has ended", "its workspaces outlived their grace period"]),
    ],
)
def test_access_that_was_withdrawn_is_looked_at_when_a_grace_period_ends(days: int, told: list[str]) -> None:
    withdrawn = replace(MARKER, withdrawn=START - timedelta(days=days))
    world = replace(
        WORLD,
        products={"team-alpha": replace(PRODUCT, marker=withdrawn)},
        subscriptions={"team-alpha": replace(SUBSCRIPTION, state="suspended")},
        secrets={name: replace(found, enabled=False) for name, found in WORLD.secrets.items()},
        namespaces={"team-alpha": replace(NAMESPACE, marker=withdrawn)},
    )
    assert list(orphans.ended_team_drift("alpha", TIMES, world)) == told


@pytest.mark.parametrize(
    "withdrawn", [START, START - timedelta(days=7), None], ids=["in grace", "after grace", "not yet"]
)
def test_a_product_that_strangers_can_use_is_told_of_a_team_whose_access_has_ended(
    withdrawn: datetime | None,
) -> None:
    shown = {
        opened: list(
            orphans.ended_team_drift(
                "alpha", TIMES, a_product(marker=replace(MARKER, withdrawn=withdrawn), **changed)(WORLD)
            )
        )
        for opened, changed in {False: {}, True: {"subscription_required": False}}.items()
    }
    assert set(shown[True]) - set(shown[False]) == {drift.KEY_NOT_REQUIRED}
    theirs = a_product(marker=None, subscription_required=False)(WORLD)
    assert drift.KEY_NOT_REQUIRED not in list(orphans.ended_team_drift("alpha", TIMES, theirs))


def test_access_that_has_ended_and_was_not_withdrawn_is_told_piece_by_piece() -> None:
    assert list(orphans.ended_team_drift("alpha", TIMES, WORLD)) == [
        "its access has ended and its product is not withdrawn",
        "its access has ended and its keys are active",
        "its access has ended and its secrets are enabled",
        "its access has ended and its workspaces are not withdrawn",
    ]
    going = replace(WORLD, namespaces={"team-alpha": replace(NAMESPACE, terminating=True)})
    assert "its access has ended and its workspaces are not withdrawn" not in list(
        orphans.ended_team_drift("alpha", TIMES, going)
    )


@pytest.mark.parametrize("of", ["backends", "secrets", "subscriptions", "readers"])
def test_objects_without_a_product_are_left_over(of: str) -> None:
    assert "its product is gone and other objects are left" in list(
        orphans.ended_team_drift("alpha", TIMES, replace(BARE, **{of: getattr(WORLD, of)}))
    )
    shared = {name: found for name, found in WORLD.backends.items() if name != OWN}
    assert list(orphans.ended_team_drift("alpha", TIMES, replace(BARE, backends=shared))) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, True),
        ({"published": False}, True),
        ({"published": False, "marker": MARKER}, False),
        ({"marker": None}, False),
        ({"marker": replace(MARKER, digest="d", held=START)}, False),
    ],
)
def test_a_held_team_whose_product_does_not_say_so_is_told(changed: dict[str, Any], told: bool) -> None:
    words = ["its withdrawal is held and its product does not say so"]
    assert list(orphans.held_team_drift("alpha", a_product(**changed)(WORLD))) == (words if told else [])
    assert list(orphans.held_team_drift("bravo", WORLD)) == []


STRANGE = replace(MARKER, repository=REPOSITORY + 1)
PROJECT = Project("team-alpha", "Team Alpha", "Succeeded", MARKER)
SECRET = WORLD.secrets[KEY]


def _marked(of: str, marker: Marker | None) -> Snapshot:
    """A world with one marked object."""
    objects = {
        "products": {"team-alpha": replace(PRODUCT, marker=marker)},
        "backends": {OWN: replace(WORLD.backends[OWN], marker=marker)},
        "namespaces": {"team-alpha": replace(NAMESPACE, marker=marker)},
        "projects": {"team-alpha": replace(PROJECT, marker=marker)},
    }
    return replace(BARE, **{of: objects[of]})  # type: ignore[arg-type]


@pytest.mark.parametrize("of", ["products", "backends", "namespaces", "projects"])
def test_every_marked_object_alone_names_its_team(of: str) -> None:
    assert orphans.teams_with_objects(REPOSITORY, _marked(of, MARKER)) == {"alpha"}
    assert orphans.teams_with_objects(REPOSITORY, _marked(of, None)) == frozenset()
    assert orphans.teams_with_objects(REPOSITORY, _marked(of, STRANGE)) == frozenset()
    assert (
        orphans.teams_with_objects(REPOSITORY, _marked(of, replace(MARKER, team=names.CATALOG_TEAM)))
        == frozenset()
    )


@pytest.mark.parametrize(
    ("world", "teams"),
    [
        (replace(BARE, secrets={KEY: SECRET}), {"alpha"}),
        (replace(BARE, secrets={KEY: replace(SECRET, tags={**TAGS, "repository": "9"})}), set()),
        (replace(BARE, secrets={KEY: replace(SECRET, tags={"repository": str(REPOSITORY)})}), set()),
        (
            replace(
                BARE,
                subscriptions={
                    "team-golf": replace(SUBSCRIPTION, display_name=f"mergekey/{REPOSITORY}/golf")
                },
            ),
            {"golf"},
        ),
        (
            replace(BARE, subscriptions={"team-golf": replace(SUBSCRIPTION, display_name="mergekey/9/golf")}),
            set(),
        ),
        (
            replace(
                BARE, subscriptions={"x": replace(SUBSCRIPTION, display_name=f"mergekey/{REPOSITORY}/golf")}
            ),
            set(),
        ),
        (
            replace(
                BARE,
                subscriptions={
                    "team-x": replace(SUBSCRIPTION, display_name=f"mergekey/{REPOSITORY}/Bad Name")
                },
            ),
            set(),
        ),
        (
            replace(
                _marked("products", MARKER),
                secrets={"bravo-endpoint": replace(SECRET, tags={**TAGS, "team": "bravo"})},
            ),
            {"alpha", "bravo"},
        ),
        (replace(BARE, secrets={KEY: replace(SECRET, tags={**TAGS, "team": "bravo"})}), set()),
        (BARE, set()),
    ],
)
def test_tags_and_names_tell_of_a_team_too(world: Snapshot, teams: set[str]) -> None:
    assert orphans.teams_with_objects(REPOSITORY, world) == teams


WITHDRAWN = replace(MARKER, withdrawn=START)


@pytest.mark.parametrize(
    ("world", "used"),
    [
        (BARE, False),
        (_marked("products", MARKER), False),
        (replace(BARE, subscriptions={"team-alpha": SUBSCRIPTION}), True),
        (replace(BARE, subscriptions={"team-alpha": replace(SUBSCRIPTION, state="suspended")}), False),
        (replace(BARE, subscriptions={"team-alpha": replace(SUBSCRIPTION, display_name="mine")}), False),
        (replace(BARE, subscriptions={"other": SUBSCRIPTION}), False),
        (_marked("namespaces", MARKER), True),
        (_marked("namespaces", WITHDRAWN), False),
        (_marked("namespaces", STRANGE), False),
        (_marked("namespaces", None), False),
        (replace(BARE, namespaces={"team-alpha": replace(NAMESPACE, terminating=True)}), False),
        (_marked("projects", MARKER), True),
        (_marked("projects", WITHDRAWN), False),
        (_marked("projects", replace(MARKER, team="bravo")), False),
        (replace(BARE, projects={"team-alpha": replace(PROJECT, state="Deleting")}), False),
        (replace(BARE, secrets={KEY: SECRET}), True),
        (
            replace(BARE, secrets={KEY: replace(SECRET, tags={**TAGS, "withdrawn": "2026-03-02T09:00:00Z"})}),
            False,
        ),
        (replace(BARE, secrets={KEY: replace(SECRET, tags={**TAGS, "repository": "9"})}), False),
        (replace(BARE, secrets={KEY: replace(SECRET, tags={})}), False),
    ],
)
def test_a_team_is_in_use_while_anything_but_its_product_is_in_force(world: Snapshot, used: bool) -> None:
    assert orphans.is_in_use("alpha", REPOSITORY, world) is used

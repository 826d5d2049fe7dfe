"""What lists show of access that has ended: what of it is left, and whose time is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared import names
from shared.inventory import owned_teams
from shared.inventory.differences import differences, plans_to_hold, plans_to_withdraw
from shared.inventory.snapshot import Snapshot, Times
from shared.marker import Marker, format_time
from shared.resources.actual import Project
from tests.fakes.app import READERS, REPOSITORY
from tests.fakes.clock import START
from tests.inventory.worlds import KEY, MARKER, NAMESPACE, OWN, PRODUCT, SUBSCRIPTION, TAGS, WORLD, a_product

TIMES = Times(START, timedelta(days=7), timedelta(days=1), timedelta(hours=24))
BARE = Snapshot(None, {}, frozenset(), {}, {}, {}, {}, {}, {}, {}, {}, ())


def _ended(world: Snapshot, *, in_doubt: bool = False) -> list[str]:
    plans = plans_to_withdraw("alpha", REPOSITORY, world.team("alpha"), TIMES, in_doubt=in_doubt)
    return [each.message for each in differences("alpha", plans.values())]


def _held(team: str, world: Snapshot) -> list[str]:
    plans = plans_to_hold(team, REPOSITORY, world.team(team), TIMES)
    return [each.message for each in differences(team, plans.values())]


def _withdrawn(days: int) -> Snapshot:
    """Access that was withdrawn as it is to be, so many days ago."""
    since = START - timedelta(days=days)
    marker, mark = replace(MARKER, withdrawn=since), {"withdrawn": format_time(since)}
    return replace(
        WORLD,
        products={"team-alpha": replace(PRODUCT, marker=marker)},
        subscriptions={"team-alpha": replace(SUBSCRIPTION, state="suspended")},
        secrets={
            name: replace(found, enabled=False, tags={**found.tags, **mark})
            for name, found in WORLD.secrets.items()
        },
        namespaces={"team-alpha": replace(NAMESPACE, marker=marker)},
    )


WORKSPACES_GO = ["delete route phi-4", "delete workspace phi-4"]
ROLES_GO = [f"delete secret role {name} {READERS}" for name in names.secrets("alpha")]
SECRETS_GO = [f"delete secret {name}" for name in names.secrets("alpha")]
ALL_GO = [
    "delete administrator subscription team-alpha",
    "delete subscription team-alpha",
    "delete product team-alpha",
    f"delete backend {OWN}",
    *ROLES_GO,
    *SECRETS_GO,
    *WORKSPACES_GO,
]


@pytest.mark.parametrize(("days", "told"), [(0, []), (1, WORKSPACES_GO), (7, ALL_GO)])
def test_access_that_was_withdrawn_is_looked_at_when_a_grace_period_ends(days: int, told: list[str]) -> None:
    assert _ended(_withdrawn(days)) == told
    assert _ended(_withdrawn(days), in_doubt=True) == []


@pytest.mark.parametrize(
    "withdrawn", [START, START - timedelta(days=7), None], ids=["in grace", "after grace", "not yet"]
)
def test_a_product_that_strangers_can_use_is_told_of_a_team_whose_access_has_ended(
    withdrawn: datetime | None,
) -> None:
    shown = {
        opened: _ended(a_product(marker=replace(MARKER, withdrawn=withdrawn), **changed)(WORLD))
        for opened, changed in {False: {}, True: {"subscription_required": False}}.items()
    }
    assert set(shown[True]) - set(shown[False]) == {"update product team-alpha"}
    theirs = a_product(marker=None, subscription_required=False)(WORLD)
    assert "update product team-alpha" not in _ended(theirs)


def test_access_that_has_ended_and_was_not_withdrawn_is_told_piece_by_piece() -> None:
    told = [
        "update subscription team-alpha",
        "update product marker team-alpha",
        "update subscription team-alpha",
        *(f"update secret {name}" for name in names.secrets("alpha")),
        "update namespace team-alpha",
    ]
    assert sorted(_ended(WORLD)) == sorted(told)
    going = replace(WORLD, namespaces={"team-alpha": replace(NAMESPACE, terminating=True)})
    assert "update namespace team-alpha" not in _ended(going)


@pytest.mark.parametrize(
    ("of", "told"),
    [
        ("backends", [f"delete backend {OWN}"]),
        ("secrets", [*ROLES_GO, *SECRETS_GO]),
        ("subscriptions", ["update subscription team-alpha", "update subscription team-alpha"]),
        ("readers", ROLES_GO),
    ],
)
def test_objects_without_a_product_are_left_over(of: str, told: list[str]) -> None:
    assert _ended(replace(BARE, **{of: getattr(WORLD, of)})) == told
    shared = {name: found for name, found in WORLD.backends.items() if name != OWN}
    assert _ended(replace(BARE, backends=shared)) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, ["update product marker team-alpha"]),
        ({"published": False}, ["update product marker team-alpha"]),
        ({"published": False, "marker": MARKER}, ["update product reservation team-alpha"]),
        ({"marker": None}, []),
        ({"marker": replace(MARKER, digest="d", held=START)}, []),
    ],
)
def test_a_held_team_whose_product_does_not_say_so_is_told(changed: dict[str, Any], told: list[str]) -> None:
    assert _held("alpha", a_product(**changed)(WORLD)) == told
    assert _held("bravo", WORLD) == []


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
    assert owned_teams.teams_with_objects(REPOSITORY, _marked(of, MARKER)) == {"alpha"}
    assert owned_teams.teams_with_objects(REPOSITORY, _marked(of, None)) == frozenset()
    assert owned_teams.teams_with_objects(REPOSITORY, _marked(of, STRANGE)) == frozenset()
    assert (
        owned_teams.teams_with_objects(REPOSITORY, _marked(of, replace(MARKER, team=names.CATALOG_TEAM)))
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
    assert owned_teams.teams_with_objects(REPOSITORY, world) == teams


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
    assert owned_teams.is_in_use("alpha", REPOSITORY, world) is used

"""What lists show of access that has ended: what of it is left, and whose time is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.domain import drift, leftovers
from shared.domain.world import Times, World
from tests.domain.worlds import MARKER, NAMESPACE, OWN, PRODUCT, SUBSCRIPTION, WORLD, a_product
from tests.fakes.clock import START

TIMES = Times(START, timedelta(days=7), timedelta(days=1))


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
    assert list(leftovers.of_access_that_ended("alpha", TIMES, world)) == told


@pytest.mark.parametrize("withdrawn", [START, START - timedelta(days=7), None], ids=["in grace", "after grace", "not yet"])
def test_a_product_that_strangers_can_use_is_told_of_a_team_whose_access_has_ended(withdrawn: datetime | None) -> None:
    shown = {
        opened: list(
            leftovers.of_access_that_ended("alpha", TIMES, a_product(marker=replace(MARKER, withdrawn=withdrawn), **changed)(WORLD))
        )
        for opened, changed in {False: {}, True: {"subscription_required": False}}.items()
    }
    assert set(shown[True]) - set(shown[False]) == {drift.OPEN}
    theirs = a_product(marker=None, subscription_required=False)(WORLD)
    assert drift.OPEN not in list(leftovers.of_access_that_ended("alpha", TIMES, theirs))


def test_access_that_has_ended_and_was_not_withdrawn_is_told_piece_by_piece() -> None:
    assert list(leftovers.of_access_that_ended("alpha", TIMES, WORLD)) == [
        "its access has ended and its product is not withdrawn",
        "its access has ended and its keys are active",
        "its access has ended and its secrets are enabled",
        "its access has ended and its workspaces are not withdrawn",
    ]
    going = replace(WORLD, namespaces={"team-alpha": replace(NAMESPACE, terminating=True)})
    assert "its access has ended and its workspaces are not withdrawn" not in list(leftovers.of_access_that_ended("alpha", TIMES, going))


@pytest.mark.parametrize("of", ["backends", "secrets", "subscriptions", "readers"])
def test_objects_without_a_product_are_left_over(of: str) -> None:
    bare = World(None, {}, frozenset(), {}, {}, {}, {}, {}, {}, {}, {}, ())
    assert "its product is gone and other objects are left" in list(
        leftovers.of_access_that_ended("alpha", TIMES, replace(bare, **{of: getattr(WORLD, of)}))
    )
    shared = {name: found for name, found in WORLD.backends.items() if name != OWN}
    assert list(leftovers.of_access_that_ended("alpha", TIMES, replace(bare, backends=shared))) == []

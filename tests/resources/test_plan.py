"""What a plan says, and which plans may be written."""

from __future__ import annotations

import pytest

from shared.errors import NewerVersion, NotManaged
from shared.marker import Marker
from shared.resources.plan import (
    Create,
    Delete,
    Pending,
    Plan,
    Refused,
    Replace,
    Update,
    describe,
    in_steps,
    refusal,
)

OWNER = Marker(7, "alpha", "", "")
MADE = Create("product", "n")
TAKEN = Refused("product", "n", NotManaged, "there is a product n")
NEWER = Refused("product", "n", NewerVersion, "a newer version wrote the product n")
GOING = Pending("namespace", "n", "NamespaceTerminating", ends=True)
COMING = Pending("project", "n", "ProjectNotReady")


def test_a_plan_shows_all_that_differs_and_leaves_newer_versions_their_objects() -> None:
    plan = Plan(((MADE,),), refused=(TAKEN, NEWER), pending=(COMING, GOING))
    assert list(map(describe, plan.findings)) == [
        "there is a product n",
        "project n: ProjectNotReady",
        "create product n",
    ]
    assert not Plan(refused=(TAKEN,), pending=(COMING,))


@pytest.mark.parametrize("error", [NotManaged, NewerVersion])
def test_a_plan_with_an_object_of_others_is_not_written_but_to_take_away(
    error: type[NotManaged | NewerVersion],
) -> None:
    plan = Plan(((MADE,),), refused=(Refused("product", "n", error, "text"),), pending=(COMING,))
    with pytest.raises(error, match="text"):
        plan.writable()
    writable = plan.writable(despite_refusals=True)
    assert (writable.steps, writable.pending) == (plan.steps, (COMING,))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(((MADE,),), unread=frozenset({"product policy"})),
        Plan(((Update("product marker", "n", "*"),),)),
        Plan(((MADE,), (Delete("subscription", "n", "*"),))),
        Plan(((Replace("workspace", "n", "*"),),)),
    ],
)
def test_a_plan_that_was_made_from_lists_cannot_be_written(plan: Plan) -> None:
    with pytest.raises(ValueError, match="not all was read"):
        plan.writable(despite_refusals=True)


def test_backends_and_named_values_are_read_by_lists_alone() -> None:
    steps = ((Update("backend", "n", "*"), Delete("named value", "n", "*")),)
    assert Plan(steps).writable().steps == steps


def test_what_belongs_to_others_or_to_a_newer_version_is_left_alone_and_named() -> None:
    mine, newer = Marker(7, "alpha", "p", "c"), Marker(7, "alpha", "p", "c", newer=True)
    assert refusal("api", "ai", "API ai", OWNER, mine) == ()
    [left] = refusal("api", "ai", "API ai", OWNER, None)
    assert (left.error, str(left)) == (
        NotManaged,
        "there is an API ai that is not managed by mergekey for alpha: rename or remove it",
    )
    [left] = refusal("product", "n", "product n", OWNER, newer)
    assert (left.error, left.kind, left.name) == (NewerVersion, "product", "n")
    assert refusal("product", "n", "product n", OWNER, Marker(8, "alpha", "p", "c"))


def test_empty_steps_are_left_out_and_one_may_be_put_before_the_others() -> None:
    assert in_steps((), [MADE], ()) == ((MADE,),)
    assert Plan(((MADE,),)).writable().after_first().steps == ((), (MADE,))
    assert Plan(((MADE,),)).deletes is False
    assert Plan(((Delete("route", "n", ""),),)).deletes

"""The order in which workspaces, their limits and their routes are written; what has no room yet waits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.errors import NotManaged
from shared.resources.actual import Route, Workspace
from shared.resources.desired import DesiredWorkspaces, compile_workspaces
from shared.resources.plan import plan_workspaces
from shared.resources.workspaces import fixed_fields
from tests.fakes.app import GPU, LARGER_GPU, Asked, FakeApp, a_catalog
from tests.resources.plans import steps_of


def _desired(**dedicated: str) -> DesiredWorkspaces:
    models = {name.replace("_", "-"): gpu for name, gpu in dedicated.items()}
    return compile_workspaces(Asked(dedicated=models).read(), a_catalog(), FakeApp().platform)


PHI = Route("phi-4", True, _desired(phi_4=GPU).routes["phi-4"]["spec"])


def _workspace(name: str, desired: DesiredWorkspaces, **changed: Any) -> Workspace:
    found = Workspace(name, "7", fixed_fields(desired.workspaces[name]), (), terminating=False, managed=True)
    return replace(found, **changed)


def test_limits_stand_before_the_workspaces_that_need_them() -> None:
    assert [
        [change.kind for change in step]
        for step in plan_workspaces(_desired(phi_4=GPU), [], [], marked=False).steps
    ] == [
        ["limits", "limits"],
        ["workspace"],
        ["route"],
    ]


def test_a_workspace_on_another_instance_type_is_replaced_at_the_version_read() -> None:
    plan = plan_workspaces(
        _desired(phi_4=LARGER_GPU), [_workspace("phi-4", _desired(phi_4=GPU))], [PHI], marked=True
    )
    [_, change] = plan
    assert (str(plan), getattr(change, "tag", None)) == ("delete route phi-4; replace workspace phi-4", "7")


def test_a_workspace_that_is_being_replaced_has_no_route() -> None:
    desired = _desired(phi_4=GPU)
    assert "create route" not in str(
        plan_workspaces(desired, [_workspace("phi-4", desired, terminating=True)], [], marked=False)
    )


def test_a_workspace_that_goes_is_waited_for() -> None:
    desired = _desired(phi_4=GPU)
    assert not plan_workspaces(desired, [_workspace("phi-4", desired, terminating=True)], [], marked=True)


def _with_none_done(desired: DesiredWorkspaces, *found: Workspace) -> list[list[str]]:
    """The steps after the limits, when nothing vouches for anything."""
    return steps_of(plan_workspaces(desired, found, [], marked=False))[1:]


@pytest.mark.parametrize("begun", [False, True])
def test_a_model_that_takes_the_place_of_another_comes_when_that_is_gone(begun: bool) -> None:
    old, new = _workspace("mistral-7b", _desired(mistral_7b=GPU), terminating=begun), _desired(phi_4=GPU)
    assert _with_none_done(new, old) == ([] if begun else [["delete workspace mistral-7b"]])
    assert _with_none_done(new) == [["create workspace phi-4"], ["create route phi-4"]]


def test_a_workspace_that_goes_holds_up_no_more_than_has_no_room_beside_it() -> None:
    two = _desired(phi_4=GPU, mistral_7b=GPU)
    old = replace(_workspace("phi-4", two, terminating=True), name="old")
    first, second = two.workspaces
    assert _with_none_done(two, old) == [[f"create workspace {first}"], [f"create route {first}"]]
    more = (_workspace(second, two), replace(old, name="falcon", terminating=False))
    assert _with_none_done(two, old, *more) == [["delete workspace falcon"], [f"create route {second}"]]


def test_a_workspace_that_grows_into_two_waits_for_nothing() -> None:
    both = _desired(phi_4=GPU, mistral_7b=GPU)
    found = _workspace("mistral-7b", both)
    assert _with_none_done(both, found) == [
        ["create workspace phi-4"],
        ["create route mistral-7b", "create route phi-4"],
    ]


def test_somebody_elses_workspace_that_stays_holds_nothing_up() -> None:
    desired = _desired(phi_4=GPU)
    assert _with_none_done(desired, replace(_workspace("phi-4", desired, managed=False), name="theirs"))[
        0
    ] == ["create workspace phi-4"]


def test_a_workspace_that_nobody_asks_for_goes_with_its_route() -> None:
    desired = _desired(phi_4=GPU, mistral_7b=GPU)
    found = [_workspace(name, desired) for name in ("phi-4", "mistral-7b")]
    routes = [Route(name, True, manifest["spec"]) for name, manifest in desired.routes.items()]
    assert (
        str(plan_workspaces(_desired(phi_4=GPU), found, routes, marked=True))
        == "delete route mistral-7b; delete workspace mistral-7b"
    )


def test_a_workspace_of_somebody_else_is_not_deleted() -> None:
    desired = _desired(phi_4=GPU)
    assert not plan_workspaces(
        _desired(),
        [_workspace("phi-4", desired, managed=False)],
        [Route("phi-4", managed=False)],
        marked=True,
    )


def test_a_workspace_that_is_gone_comes_back_alone() -> None:
    assert str(plan_workspaces(_desired(phi_4=GPU), [], [PHI], marked=True)) == "create workspace phi-4"


def test_a_route_that_is_gone_comes_back_and_one_that_is_left_goes() -> None:
    desired = _desired(phi_4=GPU)
    left = [Route("mistral-7b", managed=True)]
    assert (
        str(plan_workspaces(desired, [_workspace("phi-4", desired)], left, marked=True))
        == "delete route mistral-7b; create route phi-4"
    )


def test_a_route_that_was_edited_is_written_again() -> None:
    desired = _desired(phi_4=GPU)
    edited = replace(PHI, spec={**PHI.spec, "parentRefs": [{"name": "theirs", "namespace": "elsewhere"}]})
    assert (
        str(plan_workspaces(desired, [_workspace("phi-4", desired)], [edited], marked=True))
        == "create route phi-4"
    )
    assert not plan_workspaces(desired, [_workspace("phi-4", desired)], [PHI], marked=True)


def test_a_route_of_somebody_else_is_neither_written_over_nor_deleted() -> None:
    desired, theirs = _desired(phi_4=GPU), [Route("phi-4", managed=False)]
    with pytest.raises(NotManaged, match="route phi-4"):
        plan_workspaces(desired, [_workspace("phi-4", desired)], theirs, marked=True)
    assert not plan_workspaces(_desired(), [], theirs, marked=True)


def test_what_cannot_be_changed_in_a_workspace_is_its_type_its_label_and_its_preset() -> None:
    manifest = _desired(phi_4=GPU).workspaces["phi-4"]
    labels = {"matchLabels": {"apps": "team-alpha--phi-4"}}
    assert fixed_fields(manifest) == {
        "instanceType": GPU,
        "labelSelector": labels,
        "preset": "phi-4",
        "accessSecret": None,
    }
    assert fixed_fields({}) == {
        "instanceType": None,
        "labelSelector": None,
        "preset": None,
        "accessSecret": None,
    }

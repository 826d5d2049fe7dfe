"""The order in which workspaces, their limits and their routes are written; what has no room yet waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import LabelLost, NotManaged
from shared.marker import Marker
from shared.resources.actual import Limit, Namespace, Route, Workspace
from shared.resources.desired import DesiredWorkspaces, compile_workspaces
from shared.resources.plan import UNREAD, Plan, Unread, Update
from shared.resources.workspace_plan import (
    ActualWorkspaces,
    plan_withdrawn_workspaces,
    plan_workspaces,
)
from shared.resources.workspaces import GPUS, MANAGED_BY, PREFIX, fixed_fields, labels_of, our_labels
from shared.resources.workspaces import LIMITS as LIMIT_NAMES
from tests.fakes.app import GPU, LARGER_GPU, REPOSITORY, Asked, FakeApp, a_catalog, catalog_text, path_of
from tests.fakes.clock import START
from tests.resources.plans import steps_of


def _desired(**dedicated: str) -> DesiredWorkspaces:
    models = {name.replace("_", "-"): gpu for name, gpu in dedicated.items()}
    return compile_workspaces(Asked(dedicated=models).read(), a_catalog(), FakeApp().platform)


PHI = Route("phi-4", True, _desired(phi_4=GPU).routes["phi-4"]["spec"])


def _workspace(name: str, desired: DesiredWorkspaces, **changed: Any) -> Workspace:
    found = Workspace(name, "7", fixed_fields(desired.workspaces[name]), (), terminating=False, managed=True)
    return replace(found, **changed)


#: Where anything differs that was written once, all of it is written again.
LIMITS = "create limits ResourceQuota workspaces; create limits NetworkPolicy only-through-the-gateway"
MARKER = Marker(REPOSITORY, "alpha", path_of("alpha"), "c" * 40)


HOME = Namespace("team-alpha", "3", terminating=False, marker=MARKER, labels=labels_of(MARKER))


def _plan(
    desired: DesiredWorkspaces,
    workspaces: Sequence[Workspace],
    routes: Sequence[Route],
    *,
    marked: bool,
    limits: Sequence[Limit] | Unread = UNREAD,
) -> Plan:
    """The plan in a namespace whose marker vouches for all that is desired, or was begun."""
    marker = replace(MARKER, digest=desired.digest)
    namespace = replace(HOME, marker=marker if marked else MARKER)
    return plan_workspaces(desired, marker, ActualWorkspaces(namespace, workspaces, routes, limits))


def test_limits_stand_before_the_workspaces_that_need_them() -> None:
    assert [
        [change.kind for change in step] for step in _plan(_desired(phi_4=GPU), [], [], marked=False).steps
    ] == [
        ["limits", "limits"],
        ["workspace"],
        ["route"],
        ["namespace"],
    ]


def test_a_workspace_on_another_instance_type_is_replaced_at_the_version_read() -> None:
    plan = _plan(_desired(phi_4=LARGER_GPU), [_workspace("phi-4", _desired(phi_4=GPU))], [PHI], marked=True)
    changes = {change.kind: change for change in plan}
    assert str(plan) == f"{LIMITS}; delete route phi-4; replace workspace phi-4"
    assert getattr(changes["workspace"], "tag", None) == "7"


def test_a_workspace_that_is_being_replaced_has_no_route() -> None:
    desired = _desired(phi_4=GPU)
    assert "create route" not in str(
        _plan(desired, [_workspace("phi-4", desired, terminating=True)], [], marked=False)
    )


def test_a_workspace_that_goes_is_waited_for() -> None:
    desired = _desired(phi_4=GPU)
    assert not _plan(desired, [_workspace("phi-4", desired, terminating=True)], [], marked=True)


def _with_none_done(desired: DesiredWorkspaces, *found: Workspace) -> list[list[str]]:
    """The steps between the limits and the marker, when nothing vouches for anything."""
    steps = steps_of(_plan(desired, found, [], marked=False))[1:]
    return [step for step in steps if step != ["update namespace team-alpha"]]


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
        str(_plan(_desired(phi_4=GPU), found, routes, marked=True))
        == f"{LIMITS}; delete route mistral-7b; delete workspace mistral-7b"
    )


def test_a_workspace_of_somebody_else_is_not_deleted() -> None:
    desired = _desired(phi_4=GPU)
    assert not _plan(
        _desired(),
        [_workspace("phi-4", desired, managed=False)],
        [Route("phi-4", managed=False)],
        marked=True,
    )


def test_a_workspace_that_is_gone_comes_back() -> None:
    again = f"{LIMITS}; create workspace phi-4"
    assert str(_plan(_desired(phi_4=GPU), [], [PHI], marked=True)) == again


def test_a_route_that_is_gone_comes_back_and_one_that_is_left_goes() -> None:
    desired = _desired(phi_4=GPU)
    left = [Route("mistral-7b", managed=True)]
    assert (
        str(_plan(desired, [_workspace("phi-4", desired)], left, marked=True))
        == f"{LIMITS}; delete route mistral-7b; create route phi-4"
    )


def test_a_route_that_was_edited_is_written_again() -> None:
    desired = _desired(phi_4=GPU)
    edited = replace(PHI, spec={**PHI.spec, "parentRefs": [{"name": "theirs", "namespace": "elsewhere"}]})
    plan = _plan(desired, [_workspace("phi-4", desired)], [edited], marked=True)
    assert str(plan) == f"{LIMITS}; create route phi-4"
    assert not _plan(desired, [_workspace("phi-4", desired)], [PHI], marked=True)


def test_a_route_of_somebody_else_is_neither_written_over_nor_deleted() -> None:
    desired, theirs = _desired(phi_4=GPU), [Route("phi-4", managed=False)]
    plan = _plan(desired, [_workspace("phi-4", desired)], theirs, marked=True)
    assert not plan
    with pytest.raises(NotManaged, match="route phi-4"):
        plan.writable()
    assert "route" not in str(_plan(_desired(), [], theirs, marked=True))


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


def _withdrawn(
    namespace: Namespace | None, *workspaces: Workspace, hours: int = 0, in_doubt: bool = False
) -> Plan:
    now, owner = START + timedelta(hours=hours), Marker(REPOSITORY, "alpha", "", "")
    actual = ActualWorkspaces(namespace, workspaces)
    return plan_withdrawn_workspaces(owner, actual, now, timedelta(hours=2), in_doubt=in_doubt)


GOING = replace(HOME, marker=replace(MARKER, withdrawn=START))


def test_a_namespace_is_marked_then_emptied_after_its_grace_and_deleted_at_last() -> None:
    workspace = _workspace("phi-4", _desired(phi_4=GPU))
    assert str(_withdrawn(HOME, workspace)) == "update namespace team-alpha"
    assert str(_withdrawn(GOING, workspace, hours=1)) == ""
    over = _withdrawn(GOING, workspace, hours=2)
    assert str(over) == "delete route phi-4; delete workspace phi-4"
    assert [each.reason for each in over.pending] == ["WorkspaceDeleting"]
    assert str(_withdrawn(GOING, replace(workspace, terminating=True), hours=2)) == ""
    assert str(_withdrawn(GOING, hours=2)) == "delete namespace team-alpha"
    assert not _withdrawn(GOING, workspace, hours=2, in_doubt=True)
    assert not _withdrawn(None, hours=2)


def test_a_label_of_a_namespace_is_put_back_during_grace_too() -> None:
    desired = _desired(phi_4=GPU)
    for name in (f"{PREFIX}/team", f"{PREFIX}/repository"):
        for labels in ({**HOME.labels, name: "theirs"}, {k: v for k, v in HOME.labels.items() if k != name}):
            marked = replace(HOME, labels=labels, marker=replace(MARKER, digest=desired.digest))
            actual = ActualWorkspaces(marked, [_workspace("phi-4", desired)], [PHI])
            plan = plan_workspaces(desired, replace(MARKER, digest=desired.digest), actual)
            assert steps_of(plan) == [["update namespace team-alpha"]]
            begun = ActualWorkspaces(replace(HOME, labels=labels), [_workspace("phi-4", desired)], [PHI])
            assert steps_of(plan_workspaces(desired, MARKER, begun))[0] == ["update namespace team-alpha"]
            assert str(_withdrawn(replace(GOING, labels=labels), hours=1)) == "update namespace team-alpha"
            assert str(_withdrawn(replace(GOING, labels=labels), hours=2)) == "delete namespace team-alpha"


@pytest.mark.parametrize("labels", [{}, {**HOME.labels, MANAGED_BY: "Helm"}])
def test_without_the_label_that_the_cluster_demands_nothing_is_planned(labels: dict[str, str]) -> None:
    desired, home = _desired(phi_4=GPU), replace(HOME, labels=labels)
    found = _workspace("phi-4", desired)
    for plan in (
        plan_workspaces(desired, MARKER, ActualWorkspaces(home, [found], [])),
        plan_workspaces(_desired(), MARKER, ActualWorkspaces(home, [found], [])),
        _withdrawn(replace(GOING, labels=labels), found, hours=2),
    ):
        assert not plan
        [finding] = plan.findings
        assert f"phi-4 on {GPU}" in str(finding)
        assert f"kubectl label namespace team-alpha {MANAGED_BY}=mergekey --overwrite" in str(finding)
        with pytest.raises(LabelLost):
            plan.require_allowed()


def test_a_label_beside_ours_is_no_difference() -> None:
    assert our_labels({**HOME.labels, "pod-security.kubernetes.io/enforce": "baseline"}) == HOME.labels


def test_a_namespace_of_others_or_with_their_workspace_is_not_deleted() -> None:
    theirs = replace(HOME, marker=replace(MARKER, team="bravo"))
    foreign = replace(_workspace("phi-4", _desired(phi_4=GPU)), managed=False)
    for plan in (_withdrawn(theirs), _withdrawn(GOING, foreign, hours=2)):
        assert not plan
        with pytest.raises(NotManaged, match="team-alpha"):
            plan.writable()
    gone = _withdrawn(replace(GOING, terminating=True), foreign, hours=2)
    assert [each.reason for each in gone.pending] == ["NamespaceTerminating"]


def _unserved(desired: DesiredWorkspaces, *, marked: bool, **parts: Any) -> Plan:
    marker = replace(MARKER, digest=desired.digest)
    namespace = replace(HOME, marker=marker) if marked else HOME
    return plan_workspaces(desired, marker, ActualWorkspaces(namespace, **parts))


@pytest.mark.parametrize("marked", [True, False])
def test_while_a_kind_is_unknown_nothing_is_created_and_only_what_is_seen_goes(marked: bool) -> None:
    desired, kept = _desired(phi_4=LARGER_GPU), _workspace("phi-4", _desired(phi_4=GPU))
    surplus = _workspace("mistral-7b", _desired(mistral_7b=GPU))
    without_kaito = _unserved(desired, marked=marked, workspaces=UNREAD, routes=[])
    assert (str(without_kaito), without_kaito.unread) == ("", frozenset({"workspace"}))
    without_routes = _unserved(desired, marked=marked, workspaces=[kept, surplus], routes=UNREAD)
    assert (str(without_routes), without_routes.unread) == (
        "delete workspace mistral-7b",
        frozenset({"route"}),
    )
    with pytest.raises(ValueError, match="not all was read"):
        without_routes.writable()
    assert str(without_routes.writable(despite_unread=True)) == "delete workspace mistral-7b"


def test_limits_that_were_opened_are_closed_while_a_kind_is_unknown() -> None:
    desired = _desired(phi_4=GPU)
    network = desired.limits[1]
    limits = [Limit("NetworkPolicy", network["metadata"]["name"], managed=True, spec=network["spec"])]
    plan = _unserved(desired, marked=True, workspaces=UNREAD, routes=UNREAD, limits=limits)
    assert str(plan) == "create limits ResourceQuota workspaces"


BOUNDED = compile_workspaces(
    Asked(dedicated={"phi-4": GPU}).read(),
    a_catalog(catalog_text().replace("preset: phi-4\n", "preset: phi-4\n    maxNodes: 2\n")),
    FakeApp().platform,
)


def _limits(gpus: int | None) -> list[Limit]:
    """Both as desired, but for the GPUs of the quota."""
    quota, network = BOUNDED.limits
    hard = {"count/workspaces.kaito.sh": "1", **({} if gpus is None else {GPUS: str(gpus)})}
    shown = (quota["kind"], {"hard": hard}), (network["kind"], network["spec"])
    return [Limit(kind, LIMIT_NAMES[kind], managed=True, spec=spec) for kind, spec in shown]


@pytest.mark.parametrize(
    ("found", "nodes", "expected"),
    [
        (2, 1, None),
        (2, 2, None),
        (2, 3, "3"),
        (3, 3, None),
        (3, 2, "2"),
        (9, 1, "2"),
        (None, 1, "2"),
    ],
)
def test_a_quota_bounds_no_fewer_gpus_than_are_in_use(
    found: int | None, nodes: int, expected: str | None
) -> None:
    standing = [_workspace("phi-4", BOUNDED, nodes=nodes)]
    plan = _plan(BOUNDED, standing, [PHI], marked=True, limits=_limits(found))
    written = [change.body["spec"]["hard"][GPUS] for change in plan if isinstance(change, Update)]
    assert written == ([] if expected is None else [expected])


def test_of_a_workspace_that_goes_no_gpus_are_in_use() -> None:
    surplus = _workspace("mistral-7b", _desired(mistral_7b=GPU), nodes=9)
    going = _workspace("phi-4", BOUNDED, nodes=9, terminating=True)
    plan = _plan(BOUNDED, [surplus, going], [PHI], marked=False, limits=_limits(2))
    assert "limits" not in str(plan)


def test_where_workspaces_are_unknown_the_bound_of_gpus_stays() -> None:
    plan = _unserved(BOUNDED, marked=True, workspaces=UNREAD, routes=UNREAD, limits=_limits(9))
    assert not plan


@pytest.mark.parametrize(("marked", "expected"), [(True, False), (False, True)])
def test_a_bound_is_taken_off_that_is_no_longer_asked_for(marked: bool, expected: bool) -> None:
    unbounded = _desired(phi_4=GPU)
    standing = [_workspace("phi-4", unbounded, nodes=1)]
    plan = _plan(unbounded, standing, [PHI], marked=marked, limits=_limits(2))
    assert ("update limits ResourceQuota workspaces" in str(plan)) is expected


def test_a_cluster_of_which_nothing_is_known_has_no_difference() -> None:
    desired, unknown = _desired(phi_4=GPU), ActualWorkspaces(UNREAD, UNREAD, UNREAD)
    for plan in (
        plan_workspaces(desired, MARKER, unknown),
        plan_workspaces(_desired(), MARKER, unknown),
        plan_withdrawn_workspaces(MARKER, unknown, START, timedelta(0), in_doubt=False),
        plan_workspaces(desired, MARKER, ActualWorkspaces(None, UNREAD, UNREAD)),
    ):
        assert (plan.findings, bool(plan.unread)) == ((), True)


def test_a_namespace_stays_until_its_workspaces_are_seen_to_be_gone() -> None:
    def removed(**parts: Any) -> Plan:
        actual = ActualWorkspaces(GOING, **parts)
        return plan_withdrawn_workspaces(MARKER, actual, START, timedelta(0), in_doubt=False)

    own = _workspace("phi-4", _desired(phi_4=GPU))
    unseen = removed(workspaces=UNREAD)
    assert (str(unseen), unseen.unread) == ("", frozenset({"workspace"}))
    assert str(removed(workspaces=[own], routes=UNREAD)) == "delete workspace phi-4"
    assert str(removed(workspaces=[], routes=UNREAD)) == "delete namespace team-alpha"
    assert not removed(workspaces=[], routes=UNREAD).unread

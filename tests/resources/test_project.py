"""What is to be done for a team's Foundry project, as a value."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared import names
from shared.errors import NotManaged
from shared.inventory.differences import Plans, plans_to_grant, plans_to_withdraw
from shared.inventory.owned_teams import teams_with_roles
from shared.inventory.snapshot import DesiredTeam, Snapshot, Times
from shared.inventory.unmanaged import unmanaged
from shared.marker import Marker
from shared.resources.actual import Project, RoleGrant, TracingConnection
from shared.resources.desired import Platform, Playground, compile_project
from shared.resources.plan import describe
from shared.resources.project import ActualProject, plan_project
from tests.fakes.app import OTHER_READERS, READERS, Asked, a_catalog
from tests.fakes.clock import START

TRACES = "/subscriptions/x/resourceGroups/ai/providers/Microsoft.Insights/components/traces"
TRIED, TRACED = Asked(playground=True).read(), Asked(playground=True, tracing=True).read()
PLAIN, WITH_TRACES = compile_project(TRIED, Playground(TRACES)), compile_project(TRACED, Playground(TRACES))
US, THEM, BY_HAND = (
    RoleGrant(READERS, ours=True),
    RoleGrant(OTHER_READERS, ours=True),
    RoleGrant(OTHER_READERS, ours=False),
)


def marker(digest: str = "") -> Marker:
    return Marker(1, "alpha", "p", "c", digest or PLAIN.digest)


def actual(
    state: str = "Succeeded",
    mark: Marker | None = None,
    readers: tuple[RoleGrant, ...] = (US,),
    connection: TracingConnection | None = None,
) -> ActualProject:
    return ActualProject(
        Project("team-alpha", "Team Alpha", state, mark or marker()), frozenset(readers), connection
    )


def told(found: ActualProject, traced: bool = False, group: str | None = READERS) -> str:
    desired = WITH_TRACES if traced else PLAIN
    return str(plan_project(desired, marker(desired.digest), found, group).writable())


def test_the_platform_decides_where_traces_go_and_the_team_whether() -> None:
    assert (PLAIN.tracing, WITH_TRACES.tracing, compile_project(TRACED, Playground()).tracing) == (
        None,
        TRACES,
        None,
    )
    assert PLAIN.digest != WITH_TRACES.digest


def test_where_nothing_differs_nothing_is_to_be_done() -> None:
    assert told(actual()) == ""
    assert told(actual(mark=replace(marker(), commit="another", path="another"))) == ""
    assert (
        told(
            actual(mark=marker(WITH_TRACES.digest), connection=TracingConnection(TRACES.upper(), ours=True)),
            traced=True,
        )
        == ""
    )


def test_a_project_is_made_and_nothing_else_until_it_stands() -> None:
    assert told(ActualProject(None, frozenset(), None)) == "create project team-alpha"
    assert told(actual("Creating", readers=())) == ""
    assert told(actual("Failed", readers=())) == "create project team-alpha"


@pytest.mark.parametrize("traced", [False, True])
def test_the_marker_vouches_from_the_beginning_only_where_nothing_follows(traced: bool) -> None:
    desired = WITH_TRACES if traced else PLAIN
    [change] = plan_project(desired, marker(desired.digest), ActualProject(None, frozenset(), None), READERS)
    display_name, first = change.body  # type: ignore[union-attr]
    assert (display_name, first.digest) == ("Team Alpha", "" if traced else desired.digest)


def test_the_connection_comes_first_then_the_role_then_the_marker() -> None:
    found = actual(mark=replace(marker(WITH_TRACES.digest), withdrawn=START), readers=())
    steps = (
        f"create tracing connection {TRACES}; create project role {READERS}; update project marker team-alpha"
    )
    assert told(found, traced=True) == steps


@pytest.mark.parametrize("state", ["Succeeded", "Creating", "Accepted", "Deleting", "Failed"])
def test_who_may_not_use_it_any_more_goes_first_whatever_the_project_is_at(state: str) -> None:
    found = actual(state, readers=(US, THEM))
    assert told(found).split("; ")[0] == f"delete project role {OTHER_READERS}"
    assert told(found, group=None).split("; ")[:2] == [
        f"delete project role {each}" for each in sorted((READERS, OTHER_READERS))
    ]


def test_a_role_that_somebody_else_gave_is_neither_taken_nor_given_again() -> None:
    assert told(actual(readers=(US, BY_HAND))) == ""
    assert told(actual(readers=(BY_HAND,)), group=OTHER_READERS) == ""


def test_a_connection_leads_where_the_platform_says_or_nowhere() -> None:
    elsewhere, theirs = TracingConnection("elsewhere", ours=True), TracingConnection("elsewhere", ours=False)
    assert told(actual(connection=elsewhere)) == "delete tracing connection elsewhere"
    assert (
        told(actual(mark=marker(WITH_TRACES.digest), connection=elsewhere), traced=True)
        == f"create tracing connection {TRACES}"
    )
    assert told(actual(connection=theirs)) == ""
    with pytest.raises(NotManaged):
        told(actual(connection=theirs), traced=True)


@pytest.mark.parametrize("strange", [replace(marker(), repository=2), replace(marker(), team="bravo")])
def test_a_project_of_others_is_nothing_to_plan_for(strange: Marker) -> None:
    with pytest.raises(NotManaged, match="Foundry project team-alpha"):
        told(actual(mark=strange))


def test_the_team_of_a_project_is_known_by_its_name() -> None:
    assert names.team_of_project(names.project("alpha")) == "alpha"
    assert [
        names.team_of_project(name)
        for name in ("alpha", "team-all", "team-", "team-Alpha", "team-team-alpha")
    ] == [None] * 5


# ---------------------------------------------------------------------------------- what lists show to differ

GRACE = timedelta(days=7)
PLATFORM = Platform(1, "https://ai.contoso.com", None, playground=Playground(TRACES))
WITHDRAWN = replace(marker(), withdrawn=START)


def world(project: Project | None, *readers: RoleGrant) -> Snapshot:
    bare = Snapshot(None, {}, frozenset(), {}, {}, {}, {}, {}, {}, {}, {}, ())
    return replace(
        bare, projects={project.name: project} if project else {}, users={"team-alpha": frozenset(readers)}
    )


def project(state: str = "Succeeded", mark: Marker | None = None) -> Project:
    return Project("team-alpha", "Team Alpha", state, mark or marker())


NAME = "project team-alpha"
MADE, MARKED = f"create {NAME}", "update project marker team-alpha"
NOT_OURS = (
    "there is a Foundry project team-alpha that is not managed by mergekey for alpha: rename or remove it"
)
NOT_READY = f"{NAME}: ProjectNotReady"
LET_IN = f"create project role {READERS}"
REVOKED, THEM_REVOKED = f"delete project role {READERS}", f"delete project role {OTHER_READERS}"


def shown(plans: Plans) -> list[str]:
    return [describe(each) for each in plans["Projects"].findings]


def granted(wanted: DesiredTeam, platform: Platform, times: Times, seen: Snapshot) -> list[str]:
    return shown(plans_to_grant(wanted, a_catalog(), platform, seen.team("alpha"), times))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (world(project(), US), []),
        (world(None), [NOT_READY, MADE]),
        (world(None, US), [NOT_READY, MADE]),
        (world(None, THEM), [NOT_READY, THEM_REVOKED, MADE]),
        (world(project(mark=replace(marker(), repository=2)), US), [NOT_OURS]),
        (world(project("Failed"), US), [f"{NAME}: ProjectFailed", MADE]),
        (world(project(mark=marker("another")), US), [MARKED]),
        (world(project(mark=WITHDRAWN), US), [MARKED]),
        (world(project()), [LET_IN]),
        (world(project(), BY_HAND), [LET_IN]),
        (world(project(), US, THEM), [THEM_REVOKED]),
        (world(project("Failed"), THEM), [f"{NAME}: ProjectFailed", THEM_REVOKED, MADE]),
    ],
)
def test_lists_show_what_differs_from_a_request(seen: Snapshot, expected: list[str]) -> None:
    assert granted(DesiredTeam(TRIED, "p"), PLATFORM, Times(START, GRACE, GRACE, GRACE), seen) == expected


def test_a_request_without_a_group_lets_nobody_in() -> None:
    nobody = DesiredTeam(replace(TRIED, entra_group=None), "p")
    for seen, expected in ((world(project()), []), (world(project(), US), [REVOKED])):
        assert granted(nobody, PLATFORM, Times(START, GRACE, GRACE, GRACE), seen) == expected


OUTLIVED = f"delete {NAME}"


@pytest.mark.parametrize(
    ("seen", "after", "expected"),
    [
        (world(None), timedelta(), []),
        (world(None, US), timedelta(), [REVOKED]),
        (world(project(), US), timedelta(), [REVOKED, MARKED]),
        (world(project("Deleting")), timedelta(), []),
        (world(project(mark=WITHDRAWN)), timedelta(), []),
        (world(project(mark=WITHDRAWN)), GRACE - timedelta(seconds=1), []),
        (world(project(mark=WITHDRAWN)), GRACE, [OUTLIVED]),
        (world(project(mark=WITHDRAWN), US), GRACE, [REVOKED, OUTLIVED]),
        (world(project(mark=replace(marker(), repository=2)), US), timedelta(), []),
    ],
)
def test_lists_show_what_is_left_of_access_that_has_ended(
    seen: Snapshot, after: timedelta, expected: list[str]
) -> None:
    times = Times(START + after, GRACE, GRACE, GRACE)
    assert shown(plans_to_withdraw("alpha", 1, seen.team("alpha"), times, in_doubt=False)) == expected
    without = DesiredTeam(replace(TRIED, playground_access=False), "p")
    assert granted(without, PLATFORM, times, seen) == expected


def test_who_may_use_a_project_that_is_gone_names_its_team() -> None:
    assert teams_with_roles(world(None, US)) == {"alpha"}
    assert teams_with_roles(world(None, BY_HAND)) == frozenset()
    assert teams_with_roles(world(None)) == frozenset()
    assert teams_with_roles(world(project(), US)) == frozenset(), "its marker tells"


def test_strangers_are_told_of_each_project_of_ours() -> None:
    theirs = Project("team-aaron", "Aaron", "Succeeded", replace(marker(), team="aaron", repository=2))
    both = replace(world(project(), BY_HAND), projects={"team-aaron": theirs, "team-alpha": project()})
    seen = replace(both, users={"team-aaron": frozenset({BY_HAND}), "team-alpha": frozenset({BY_HAND})})
    assert list(unmanaged(1, seen)) == [
        f"{OTHER_READERS} may use the Foundry project team-alpha and no request names it"
    ]


def test_where_there_is_no_playground_nothing_is_missing() -> None:
    without, times = replace(PLATFORM, playground=None), Times(START, GRACE, GRACE, GRACE)
    assert granted(DesiredTeam(TRIED, "p"), without, times, world(None)) == []


def test_a_platform_that_cannot_have_a_project_says_whose_it_is() -> None:
    with pytest.raises(NotManaged) as raised:
        told(actual(mark=replace(marker(), team="bravo")))
    advice = "that is not managed by mergekey for alpha: rename or remove it"
    assert raised.value.message == f"there is a Foundry project team-alpha {advice}"

"""A Foundry project of the team's own: made while its operations take their time, opened for one group,
withdrawn, deleted.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from standins.stack import TRACES_ID
from tests.end_to_end.road import DAY, Road
from tests.end_to_end.written import Request

FOUNDRY_USER = "53ca6127-db72-4b80-b1b0-d745d6d5456d"


@pytest.fixture
def slow(road: Road) -> Iterator[None]:
    """Foundry takes eight seconds for each operation."""
    road.stack.control.set_options("azure", operation_seconds=8)
    yield
    road.stack.control.set_options("azure", operation_seconds=0)


@pytest.mark.usefixtures("slow")
def test_a_team_tries_models_in_a_project_of_its_own_until_it_gives_that_up(road: Road, team: str) -> None:
    group, other = str(uuid.uuid4()), str(uuid.uuid4())
    road.clone.write(Request(team, group, playground=True))
    push = road.push("With a playground")
    assert road.status(push, team, "projects", "pending") == "waiting: ProjectNotReady"
    assert road.users(team) == []
    for _ in range(2):
        road.advance(11)
    assert (
        road.status(push, team, "projects", "success") == f"playground in place: Foundry project team-{team}"
    )
    project = road.projects()[f"team-{team}"]
    assert project.properties.description.startswith(
        f"managed by mergekey; repo {road.stack.repository_id}; team {team}; "
    )
    assert (road.users(team), road.traces_of(team)) == ([(group, FOUNDRY_USER)], [TRACES_ID])
    road.status(push, team, "keys", "success")

    road.clone.write(Request(team, other, playground=True))
    road.advance(11)  # the marker is written last, and takes its time too
    road.push("Another group")
    assert road.users(team) == [(other, FOUNDRY_USER)]
    road.stack.control.forget_calls()
    road.sweep()
    road.sweep()
    assert road.count("resource-manager", "PUT", "PATCH", "DELETE") == {}, (
        "nothing differs, nothing is written"
    )

    road.clone.write(Request(team, other))
    push = road.push("Without the playground")
    assert "playground access withdrawn" in road.status(push, team, "projects", "success")
    assert road.users(team) == []
    assert f"team-{team}" in road.projects()
    road.stack.control.advance(7 * DAY)
    road.sweep()
    road.advance(31)
    assert f"team-{team}" not in road.projects()
    assert road.has_its_keys(team)
    assert road.dead_letters(team) == []

"""What both the fakes and Foundry with its role assignments do."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import Busy
from shared.marker import Marker
from shared.ports import Projects, Roles
from shared.resources.actual import RoleGrant, TracingConnection
from standins.stack import TRACES_ID
from standins.tests.plugin import StandIns
from tests.contract.sides import Watch
from tests.contract.targets import Targets, unique
from tests.fakes.app import FakeApp

TAKES = timedelta(minutes=10)
Pass = Callable[[], None]


@pytest.fixture
def name() -> str:
    return f"team-{unique('p')}"


@pytest.fixture
def marker(name: str) -> Marker:
    return Marker(
        700_000_001,
        name.removeprefix("team-"),
        "tenant-access/config/alpha/access.yaml",
        "0123abcd" * 5,
        "9f" * 32,
    )


@pytest.fixture(autouse=True)
def slow(side: str, app: FakeApp, standins: StandIns, where: Targets) -> Iterator[None]:
    """Operations take ten minutes of the clock."""
    if side == "fake":
        assert app.projects is not None
        app.projects.takes = TAKES
        yield
        return
    if "projects" in where.real:
        pytest.skip("the clock of a real service cannot be moved")
    standins.control.set_options("azure", operation_seconds=TAKES.total_seconds())
    yield
    standins.control.set_options("azure", operation_seconds=0)


@pytest.fixture
def done(clock: Watch, projects: Projects) -> Pass:
    """Whatever is under way ends."""
    return lambda: clock.advance(TAKES + timedelta(seconds=1))


async def test_what_is_not_there_is_none(projects: Projects, name: str) -> None:
    assert await projects.project(name) is None
    assert await projects.connection(name) is None
    await projects.delete_project(name)


async def test_a_project_takes_its_time_and_says_how_it_goes(
    projects: Projects, name: str, marker: Marker, done: Pass
) -> None:
    await projects.create_project(name, "Team Alpha", marker)
    begun = await projects.project(name)
    assert begun is not None
    assert (begun.name, begun.display_name, begun.state, begun.marker) == (
        name,
        "Team Alpha",
        "Creating",
        marker,
    )
    done()
    made = await projects.project(name)
    assert made == replace(begun, state="Succeeded")
    assert made in await projects.projects()
    await projects.delete_project(name)
    going = await projects.project(name)
    assert going is not None
    assert going.state == "Deleting"
    done()
    assert await projects.project(name) is None
    assert name not in {each.name for each in await projects.projects()}


async def test_name_and_marker_are_changed_together(
    projects: Projects, name: str, marker: Marker, done: Pass, clock: Watch
) -> None:
    await projects.create_project(name, "Team Alpha", marker.unfinished())
    done()
    withdrawn = replace(marker, withdrawn=clock.now().replace(microsecond=0))
    await projects.update_project(name, "Alpha and friends", withdrawn)
    done()
    found = await projects.project(name)
    assert found is not None
    assert (found.display_name, found.state, found.marker) == ("Alpha and friends", "Succeeded", withdrawn)


async def test_one_operation_excludes_every_other_on_the_account(
    projects: Projects, name: str, marker: Marker, done: Pass
) -> None:
    await projects.create_project(name, "Team Alpha", marker)
    for second in (
        projects.create_project(f"{name}-2", "Another", marker),
        projects.create_project(name, "Again", marker),
        projects.update_project(name, "Other", marker),
        projects.delete_project(name),
    ):
        with pytest.raises(Busy):
            await second
    done()
    await projects.create_project(name, "Again", marker)
    done()
    found = await projects.project(name)
    assert found is not None
    assert (found.display_name, found.state) == ("Again", "Succeeded")


async def test_traces_are_connected_and_cut_off(
    projects: Projects, name: str, marker: Marker, done: Pass
) -> None:
    await projects.create_project(name, "Team Alpha", marker)
    done()
    assert await projects.connection(name) is None
    key = await projects.tracing_key()
    assert key.reveal().startswith("InstrumentationKey=")
    for _ in range(2):
        await projects.put_connection(name, TRACES_ID, key)
    assert await projects.connection(name) == TracingConnection(TRACES_ID, ours=True)
    await projects.delete_connection(name)
    await projects.delete_connection(name)
    assert await projects.connection(name) is None


async def test_a_connection_goes_with_its_project(
    projects: Projects, name: str, marker: Marker, done: Pass
) -> None:
    await projects.create_project(name, "Team Alpha", marker)
    done()
    await projects.put_connection(name, TRACES_ID, await projects.tracing_key())
    await projects.delete_project(name)
    done()
    await projects.create_project(name, "Team Alpha", marker)
    done()
    assert await projects.connection(name) is None


async def test_a_role_on_a_project_is_for_one_group_and_no_secret(
    project_roles: Roles, roles: Roles, name: str
) -> None:
    group, other = str(uuid.uuid4()), str(uuid.uuid4())
    for each in (group, group, other):
        await project_roles.grant(name, each)
    found = frozenset({RoleGrant(group, ours=True), RoleGrant(other, ours=True)})
    assert ((await project_roles.readers())[name], await project_roles.readers_of(name)) == (found, found)
    assert await project_roles.granted(group) == {name}
    assert await roles.granted(group) == frozenset(), "a project is no secret"
    await project_roles.revoke(name, group)
    await project_roles.revoke(name, group)
    assert await project_roles.readers_of(name) == frozenset({RoleGrant(other, ours=True)})

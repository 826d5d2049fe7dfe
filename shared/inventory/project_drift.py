"""The differences of Foundry projects, found from lists alone."""

from __future__ import annotations

from collections.abc import Iterator

from shared import names
from shared.inventory.snapshot import DesiredTeam, Snapshot, Times
from shared.marker import Marker
from shared.resources.desired import Platform, compile_project
from shared.resources.project import BEING_DELETED, READY, ActualProject, is_marked


def project_drift(wanted: DesiredTeam, platform: Platform, times: Times, world: Snapshot) -> Iterator[str]:
    """The differences of a team that has a request in force; on a platform without a playground there are
    none.
    """
    request, playground = wanted.request, platform.playground
    if not request.playground_access:
        yield from ended_project_drift(request.team, platform.repository, times, world)
    elif playground is not None:
        desired = compile_project(request, playground)
        marker = Marker(platform.repository, request.team, wanted.path, "", desired.digest)
        yield from _unlike(marker, _actual(request.team, world), request.entra_group)


def ended_project_drift(team: str, repository: int, times: Times, world: Snapshot) -> Iterator[str]:
    """The remains of a playground that was withdrawn, by itself or with the rest of its team's access."""
    actual = _actual(team, world)
    if actual.project is not None and not Marker(repository, team, "", "").owns(actual.project.marker):
        return
    if actual.other_groups(None):
        yield "its playground access has ended and a group may use its Foundry project"
    if actual.project is not None and actual.project.state != BEING_DELETED:
        yield from _ended_project(actual.project.marker, times)


def _ended_project(marker: Marker | None, times: Times) -> Iterator[str]:
    if marker is None or marker.newer:
        return
    if marker.withdrawn is None:
        yield "its playground access has ended and its Foundry project is not withdrawn"
    elif times.now >= marker.withdrawn + times.grace:
        yield "its Foundry project outlived its grace period"


def teams_with_roles(world: Snapshot) -> frozenset[str]:
    """Teams whose groups still have a role on a project that is gone, so that no marker names the team any
    more.
    """
    names_left = (
        name
        for name, users in world.users.items()
        if name not in world.projects and any(user.ours for user in users)
    )
    return frozenset(team for name in names_left if (team := names.team_of_project(name)) is not None)


def _actual(team: str, world: Snapshot) -> ActualProject:
    name = names.project(team)
    return ActualProject(world.projects.get(name), world.users.get(name, frozenset()))


def _unlike(marker: Marker, actual: ActualProject, group: str | None) -> Iterator[str]:
    project = actual.project
    if project is None:
        yield "its Foundry project is not there"
    elif project.marker is not None and project.marker.newer:
        return
    elif not marker.owns(project.marker):
        yield "its Foundry project is not managed by mergekey"
    elif project.state != READY or not is_marked(project, marker):
        yield "its Foundry project is not what the request says"
    if project is not None and not _may_use(actual, group):
        yield "its group may not use its Foundry project"
    if actual.other_groups(group):
        yield "another group than its own may use its Foundry project"


def _may_use(actual: ActualProject, group: str | None) -> bool:
    return group is None or group in {reader.group for reader in actual.readers}

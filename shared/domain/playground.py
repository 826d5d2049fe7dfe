"""The playground: what is to be done to bring a team's Foundry project to what its request says, and what
lists show to differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.domain import names
from shared.domain.actual import Project, Reader, TracingConnection
from shared.domain.desired import DesiredProject, Platform, compile_project
from shared.domain.marker import Marker, require_known
from shared.domain.plan import Change, Create, Delete, Plan, Update
from shared.domain.world import Times, Wanted, World
from shared.errors import NotManaged

#: https://learn.microsoft.com/azure/ai-foundry/foundry-models/quotas-limits
MOST_PROJECTS = 250
READY, GOING = "Succeeded", "Deleting"
FAILED = frozenset({"Failed", "Canceled"})


@dataclass(frozen=True, slots=True)
class ActualProject:
    """What is there of a team. `let_in` are groups that the stage may have let in, though a list does not
    show it yet.
    """

    project: Project | None
    readers: frozenset[Reader]
    connection: TracingConnection | None = None
    let_in: frozenset[str] = frozenset()

    def strangers(self, group: str | None) -> frozenset[str]:
        """The groups that we let in and that the request does not name (any more)."""
        return self.let_in.union(reader.group for reader in self.readers if reader.ours) - {group or ""}


def plan_project(desired: DesiredProject, marker: Marker, actual: ActualProject, group: str | None) -> Plan:
    """Whoever may not use the project any more loses it first. What is being made, or failed, is not built
    on.

    The marker vouches for the connection, which no list of the account shows, so it comes last where there is
    to be one.
    """
    project = actual.project
    _require_ours(marker, desired, actual)
    steps: list[tuple[Change, ...]] = [
        tuple(Delete("project role", each, "") for each in sorted(actual.strangers(group)))
    ]
    if project is None or project.state in FAILED:
        first = marker if desired.tracing is None else marker.unfinished()
        steps.append((Create("project", desired.name, (desired.display_name, first)),))
    elif project.state == READY:
        known = group is None or group in {reader.group for reader in actual.readers}
        steps += [
            _connection_changes(desired, actual.connection),
            () if known else (Create("project role", group or ""),),
        ]
        if not _is_marked(project, marker):
            steps.append((Update("project marker", desired.name, None, (desired.display_name, marker)),))
    return Plan(tuple(step for step in steps if step))


def _is_marked(project: Project, marker: Marker) -> bool:
    known = project.marker
    return known is not None and (known.digest, known.withdrawn) == (marker.digest, None)


def _connection_changes(desired: DesiredProject, connection: TracingConnection | None) -> tuple[Change, ...]:
    if desired.tracing is None:
        return (
            (Delete("tracing connection", connection.target, ""),)
            if connection is not None and connection.ours
            else ()
        )
    if connection is not None and connection.target.lower() == desired.tracing.lower():
        return ()
    return (Create("tracing connection", desired.tracing),)


def _require_ours(marker: Marker, desired: DesiredProject, actual: ActualProject) -> None:
    advice = f"that is not managed by mergekey for {marker.team}: rename or remove it"
    known = actual.project.marker if actual.project else None
    if actual.project is not None and not marker.owns(known):
        raise NotManaged(f"there is a Foundry project {desired.name} {advice}")
    require_known(known, f"the Foundry project {desired.name}")
    if actual.connection is not None and not actual.connection.ours and desired.tracing is not None:
        raise NotManaged(f"there is a tracing connection in the Foundry project {desired.name} {advice}")


def of_team(wanted: Wanted, platform: Platform, times: Times, world: World) -> Iterator[str]:
    """What differs for a team that has a request in force; where there is no playground nobody can have a
    project.
    """
    request, playground = wanted.request, platform.playground
    if not request.playground_access:
        yield from of_access_that_ended(request.team, platform.repository, times, world)
    elif playground is not None:
        desired = compile_project(request, playground)
        marker = Marker(platform.repository, request.team, wanted.path, "", desired.digest)
        yield from _unlike(marker, _actual(request.team, world), request.entra_group)


def of_access_that_ended(team: str, repository: int, times: Times, world: World) -> Iterator[str]:
    """What is still there of a playground that was withdrawn, by itself or with everything else of its
    team.
    """
    actual = _actual(team, world)
    project, known = actual.project, actual.project.marker if actual.project else None
    if project is not None and not Marker(repository, team, "", "").owns(known):
        return
    if actual.strangers(None):
        yield "its playground access has ended and a group may use its Foundry project"
    if known is None or known.newer or project is None or project.state == GOING:
        return
    if known.withdrawn is None:
        yield "its playground access has ended and its Foundry project is not withdrawn"
    elif times.now >= known.withdrawn + times.grace:
        yield "its Foundry project outlived its grace period"


def teams_let_in(world: World) -> frozenset[str]:
    """Teams whose groups we let use a project that is gone: no marker tells of them any more."""
    names_left = (
        name
        for name, users in world.users.items()
        if name not in world.projects and any(user.ours for user in users)
    )
    return frozenset(team for name in names_left if (team := names.team_of_project(name)) is not None)


def of_others(repository: int, world: World) -> Iterator[str]:
    """Whoever may use our projects by somebody else's assignment; the secrets' tags tell whom the requests
    name.
    """
    for name, found in sorted(world.projects.items()):
        if found.marker is None or found.marker.repository != repository:
            continue
        secret = world.secrets.get(names.endpoint_secret(found.marker.team))
        named = secret.tags.get("reader") if secret else None
        strangers = sorted(
            reader.group for reader in world.users.get(name, ()) if not reader.ours and reader.group != named
        )
        yield from (
            f"{group} may use the Foundry project {name} and no request names it" for group in strangers
        )


def _actual(team: str, world: World) -> ActualProject:
    name = names.project(team)
    return ActualProject(world.projects.get(name), world.users.get(name, frozenset()))


def _unlike(marker: Marker, actual: ActualProject, group: str | None) -> Iterator[str]:
    project = actual.project
    if project is not None and project.marker is not None and project.marker.newer:
        return
    if project is None:
        yield "its Foundry project is not there"
    elif not marker.owns(project.marker):
        yield "its Foundry project is not managed by mergekey"
    elif project.state != READY or not _is_marked(project, marker):
        yield "its Foundry project is not what the request says"
    if project is not None and group is not None and group not in {reader.group for reader in actual.readers}:
        yield "its group may not use its Foundry project"
    if actual.strangers(group):
        yield "another group than its own may use its Foundry project"

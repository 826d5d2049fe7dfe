"""The playground: the plan of a team's Foundry project."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import NotManaged
from shared.marker import Marker, require_known
from shared.resources.actual import Project, RoleGrant, TracingConnection
from shared.resources.desired import DesiredProject
from shared.resources.plan import Change, Create, Delete, Plan, Update

#: https://learn.microsoft.com/azure/ai-foundry/foundry-models/quotas-limits
MAX_PROJECTS = 250
READY, BEING_DELETED = "Succeeded", "Deleting"
FAILED = frozenset({"Failed", "Canceled"})


@dataclass(frozen=True, slots=True)
class ActualProject:
    """The existing project of a team, and its access. `granted_groups` are groups that the stage may have
    given the role already, although a list does not show it yet.
    """

    project: Project | None
    readers: frozenset[RoleGrant]
    connection: TracingConnection | None = None
    granted_groups: frozenset[str] = frozenset()

    def other_groups(self, group: str | None) -> frozenset[str]:
        """The groups that have the role by our assignment and that the request does not name (any more)."""
        return self.granted_groups.union(reader.group for reader in self.readers if reader.ours) - {
            group or ""
        }


def plan_project(desired: DesiredProject, marker: Marker, actual: ActualProject, group: str | None) -> Plan:
    """Roles of groups that may not use the project any more are revoked first. Nothing is added to a project
    that is being created or that failed.

    The marker vouches for the connection, which no list of the account shows: with a connection it is written
    last.
    """
    project = actual.project
    _require_ours(marker, desired, actual)
    revoked = (Delete("project role", each, "") for each in sorted(actual.other_groups(group)))
    steps: list[tuple[Change, ...]] = [tuple(revoked)]
    if project is None or project.state in FAILED:
        first = marker if desired.tracing is None else marker.unfinished()
        steps.append((Create("project", desired.name, (desired.display_name, first)),))
    elif project.state == READY:
        steps += [
            _connection_changes(desired, actual.connection),
            _role_changes(actual, group),
            _marker_changes(desired, marker, project),
        ]
    return Plan(tuple(step for step in steps if step))


def _role_changes(actual: ActualProject, group: str | None) -> tuple[Change, ...]:
    if group is None or group in {reader.group for reader in actual.readers}:
        return ()
    return (Create("project role", group),)


def _marker_changes(desired: DesiredProject, marker: Marker, project: Project) -> tuple[Change, ...]:
    if is_marked(project, marker):
        return ()
    return (Update("project marker", desired.name, None, (desired.display_name, marker)),)


def is_marked(project: Project, marker: Marker) -> bool:
    """Whether the project carries this marker's digest and is not withdrawn."""
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

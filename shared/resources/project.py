"""The playground: the plans that give a team its Foundry project, withdraw it and delete it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.errors import NotManaged
from shared.marker import Marker
from shared.resources.actual import Project, RoleGrant, TracingConnection
from shared.resources.desired import DesiredProject
from shared.resources.plan import (
    UNREAD,
    Change,
    Create,
    Delete,
    Kind,
    Pending,
    Plan,
    Refused,
    Unread,
    Update,
    in_steps,
    refusal,
)

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
    connection: TracingConnection | Unread | None = UNREAD
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
    if refused := _refused(marker, desired, actual):
        return Plan(refused=refused)
    revoked = _revoked(actual, group)
    if project is None or project.state in FAILED:
        first = marker if desired.tracing is None else marker.unfinished()
        made = Create("project", desired.name, (desired.display_name, first))
        return Plan(in_steps(revoked, [made]), pending=_pending(desired.name, project))
    if project.state != READY:
        return Plan(in_steps(revoked), pending=_pending(desired.name, project))
    return Plan(
        in_steps(
            revoked,
            _connection_changes(desired, actual.connection),
            _role_changes(actual, group),
            _marker_changes(desired, marker, project),
        ),
        unread=frozenset() if is_marked(project, marker) else _unread_connection(actual),
    )


def plan_withdrawn_project(
    owner: Marker, actual: ActualProject, now: datetime, grace: timedelta, *, in_doubt: bool
) -> Plan:
    """Revoke the roles of all groups at once, mark the project as withdrawn, and delete it when the grace
    period is over. A project of others is left alone.

    `in_doubt`: the branch cannot be read; nothing is deleted.
    """
    project, revoked = actual.project, _revoked(actual, None)
    if project is not None and not owner.owns(project.marker):
        return Plan()
    if project is None:
        return Plan(in_steps(revoked))
    marker = project.marker
    assert marker is not None, "it is ours"
    if refused := refusal("project", project.name, f"Foundry project {project.name}", owner, marker):
        return Plan(in_steps(revoked), refused=refused)
    if project.state == BEING_DELETED:
        going = Pending("project", project.name, "ProjectDeleting", ends=True)
        return Plan(in_steps(revoked), pending=(going,))
    if marker.withdrawn is None:
        withdrawn = (project.display_name, replace(marker, withdrawn=now))
        return Plan(in_steps(revoked, [Update("project marker", project.name, None, withdrawn)]))
    if in_doubt or now < marker.withdrawn + grace:
        return Plan(in_steps(revoked))
    return Plan(in_steps(revoked, [Delete("project", project.name, "")]))


def _revoked(actual: ActualProject, group: str | None) -> list[Change]:
    return [Delete("project role", each, "") for each in sorted(actual.other_groups(group))]


def _pending(name: str, project: Project | None) -> tuple[Pending, ...]:
    """The reasons of a project that is not ready."""
    state = "" if project is None else project.state
    if state in FAILED:
        return (Pending("project", name, "ProjectFailed"),)
    return (Pending("project", name, "ProjectDeleting" if state == BEING_DELETED else "ProjectNotReady"),)


def _unread_connection(actual: ActualProject) -> frozenset[Kind]:
    return frozenset({"tracing connection"}) if actual.connection is UNREAD else frozenset()


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


def _connection_changes(
    desired: DesiredProject, connection: TracingConnection | Unread | None
) -> tuple[Change, ...]:
    if isinstance(connection, Unread):
        return ()
    if desired.tracing is None:
        return (
            (Delete("tracing connection", connection.target, ""),)
            if connection is not None and connection.ours
            else ()
        )
    if connection is not None and connection.target.lower() == desired.tracing.lower():
        return ()
    return (Create("tracing connection", desired.tracing),)


def _refused(marker: Marker, desired: DesiredProject, actual: ActualProject) -> tuple[Refused, ...]:
    project, shown = actual.project, f"Foundry project {desired.name}"
    if project is not None and (left := refusal("project", desired.name, shown, marker, project.marker)):
        return left
    connection = actual.connection
    if isinstance(connection, Unread) or connection is None or connection.ours or desired.tracing is None:
        return ()
    text = (
        f"there is a tracing connection in the {shown} that is not managed by mergekey for {marker.team}: "
        "rename or remove it"
    )
    return (Refused("tracing connection", connection.target, NotManaged, text),)

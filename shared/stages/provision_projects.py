"""A team's playground: a Foundry project in which people try models by hand, past the gateway; given and
taken away.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import InvalidRequest, PermanentError, Rejected
from shared.marker import Marker, format_time, require_known
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.names import project as project_name
from shared.ports import Projects, Roles
from shared.requests.request import AccessRequest
from shared.resources.actual import Project
from shared.resources.desired import Playground, compile_project
from shared.resources.project import BEING_DELETED, FAILED, MAX_PROJECTS, READY, ActualProject, plan_project
from shared.stages.apply import ProjectWriter, apply_plan, gather_all
from shared.stages.ownership import is_grace_over, own_marker

#: Foundry makes a project in some seconds, and takes longer to delete one.
PROJECT_WAIT, PROJECT_DELETE_WAIT = timedelta(seconds=10), timedelta(seconds=30)


async def provision_project(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Make the project, its tracing connection and its readers agree with the request; withdraw them where
    the request has no playground access.
    """
    request = decision.request
    assert request is not None
    if not request.playground_access:
        return await withdraw_project(app, event, decision)
    playground, projects, roles = _playground(app)
    desired = compile_project(request, playground)
    marker = Marker(app.platform.repository, request.team, decision.path, decision.commit, desired.digest)
    project, readers, connection = await asyncio.gather(
        projects.project(desired.name), roles.readers_of(desired.name), projects.connection(desired.name)
    )
    actual = ActualProject(project, readers, connection, decision.granted_groups)
    plan = plan_project(desired, marker, actual, request.entra_group)
    if project is None:
        await _require_free_place(projects)
    await apply_plan(plan, ProjectWriter(projects, roles, desired.name))
    if project is None or project.state != READY:
        return _not_ready(desired.name, project.state if project else "")
    return Done(worth_saying(event, bool(plan), _note(request, desired.tracing)), wrote=bool(plan))


def _playground(app: App) -> tuple[Playground, Projects, Roles]:
    """Raises InvalidRequest when the platform has no Foundry account for playgrounds."""
    playground, projects, roles = app.platform.playground, app.projects, app.project_roles
    if playground is None or projects is None or roles is None:
        raise InvalidRequest(
            "this platform has no playground: take `playgroundAccess` out", reason="NoPlayground"
        )
    return playground, projects, roles


async def _require_free_place(projects: Projects) -> None:
    if len(await projects.projects()) >= MAX_PROJECTS:
        text = (
            f"the Foundry account has {MAX_PROJECTS} projects, and takes no more: delete some, or withdraw "
            "playground access"
        )
        raise PermanentError(text, reason="AccountFull")


def _not_ready(name: str, state: str) -> Outcome:
    """A failed project was begun once more by the plan: a replay of the dead letter finds its new state."""
    if state in FAILED:
        raise Rejected(
            f"Foundry could not make the project {name}; it was told to try again", reason="ProjectFailed"
        )
    return Waiting(PROJECT_WAIT, "ProjectDeleting" if state == BEING_DELETED else "ProjectNotReady")


def _note(request: AccessRequest, tracing: str | None) -> str:
    name = project_name(request.team)
    who = "" if request.entra_group else "; nobody may use it yet: add entraGroup"
    traces = "; this platform keeps no traces" if request.tracing_enabled and tracing is None else ""
    return f"playground in place: Foundry project {name}{who}{traces}"


async def withdraw_project(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Revoke the roles of all groups at once, and delete the project when the grace period is over. A project
    of others is left alone.
    """
    name, team = project_name(event.message.team), event.message.team
    if app.projects is None or app.project_roles is None:
        return Done(wrote=False)
    roles = app.project_roles
    project, readers = await asyncio.gather(app.projects.project(name), roles.readers_of(name))
    if project is not None and not own_marker(app, team).owns(project.marker):
        return Done(wrote=False)
    revoked = ActualProject(project, readers, granted_groups=decision.granted_groups).other_groups(None)
    await gather_all(*(roles.revoke(name, group) for group in revoked))
    if project is None:
        return Done("playground access withdrawn" if revoked else None, wrote=bool(revoked))
    return await _remove_project(app, event, decision, app.projects, project=project, changed=bool(revoked))


async def _remove_project(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    projects: Projects,
    *,
    project: Project,
    changed: bool,
) -> Outcome:
    """Mark the project as withdrawn, once; delete it when the grace period is over.

    No service fences the deletion, and what people made in the project does not come back: so the branch is
    read right before it.
    """
    name, marker = project_name(event.message.team), project.marker
    assert marker is not None
    require_known(marker, f"the Foundry project {name}")
    if project.state == BEING_DELETED:
        return Waiting(PROJECT_DELETE_WAIT, "ProjectDeleting")
    if marker.withdrawn is None:
        await projects.update_project(name, project.display_name, replace(marker, withdrawn=event.now))
        until = format_time(event.now + app.timeouts.grace)
        return Done(f"playground access withdrawn; its project is deleted after {until}")
    if not is_grace_over(app, event, marker) or decision.in_doubt:
        return Done(wrote=changed)
    await ensure_branch_unchanged(app, event, decision)
    await projects.delete_project(name)
    return Waiting(PROJECT_DELETE_WAIT, "ProjectDeleting")

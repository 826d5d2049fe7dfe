"""A team's playground: a Foundry project in which people try models by hand, past the gateway; given and
taken away.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import InvalidRequest, PermanentError, Rejected
from shared.marker import Marker, format_time
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.names import project as project_name
from shared.ports import Projects, Roles
from shared.requests.request import AccessRequest
from shared.resources.actual import Project, RoleGrant
from shared.resources.desired import Playground, compile_project
from shared.resources.plan import Pending, Plan
from shared.resources.project import MAX_PROJECTS, ActualProject, plan_project, plan_withdrawn_project
from shared.stages.apply import ProjectWriter, apply_plan
from shared.stages.ownership import own_marker
from shared.stages.read_ahead import ReadAhead

#: Foundry makes a project in some seconds, and takes longer to delete one.
PROJECT_WAIT, PROJECT_DELETE_WAIT = timedelta(seconds=10), timedelta(seconds=30)


#: The team's project, and who may use it.
Found = tuple[Project | None, frozenset[RoleGrant]]


def read_project(app: App, team: str) -> ReadAhead[Found]:
    """The team's project, for all that is done here."""
    return ReadAhead(lambda: _read_project(app, project_name(team)))


async def _read_project(app: App, name: str) -> Found:
    if app.projects is None or app.project_roles is None:
        return None, frozenset()
    return await asyncio.gather(app.projects.project(name), app.project_roles.readers_of(name))


async def provision_project(
    app: App, event: Event[TeamMessage], decision: Decision, found: ReadAhead[Found]
) -> Outcome:
    """Make the project, its tracing connection and its readers agree with the request; withdraw them where
    the request has no playground access.
    """
    request = decision.request
    assert request is not None
    if not request.playground_access:
        return await withdraw_project(app, event, decision, found)
    playground, projects, roles = _playground(app)
    desired = compile_project(request, playground)
    marker = Marker(app.platform.repository, request.team, decision.path, decision.commit, desired.digest)
    (project, readers), connection = await asyncio.gather(found.get(), projects.connection(desired.name))
    actual = ActualProject(project, readers, connection, decision.granted_groups)
    plan = plan_project(desired, marker, actual, request.entra_group).writable()
    if project is None:
        await _require_free_place(projects)
    await apply_plan(plan, ProjectWriter(projects, roles, desired.name))
    for pending in plan.pending:
        return _not_ready(pending)
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


def _not_ready(pending: Pending) -> Outcome:
    """A failed project was begun once more by the plan: a replay of the dead letter finds its new state."""
    if pending.reason == "ProjectFailed":
        text = f"Foundry could not make the project {pending.name}; it was told to try again"
        raise Rejected(text, reason=pending.reason)
    return Waiting(PROJECT_WAIT, pending.reason)


def _note(request: AccessRequest, tracing: str | None) -> str:
    name = project_name(request.team)
    who = "" if request.entra_group else "; nobody may use it yet: add entraGroup"
    traces = "; this platform keeps no traces" if request.tracing_enabled and tracing is None else ""
    return f"playground in place: Foundry project {name}{who}{traces}"


async def withdraw_project(
    app: App, event: Event[TeamMessage], decision: Decision, found: ReadAhead[Found]
) -> Outcome:
    """Revoke the roles of all groups at once, and delete the project when the grace period is over. A project
    of others is left alone.

    No service fences the deletion, and what people made in the project does not come back: so the branch is
    read right before it.
    """
    name, owner = project_name(event.message.team), own_marker(app, event.message.team)
    if app.projects is None or app.project_roles is None:
        return Done(wrote=False)
    project, readers = await found.get()
    actual = ActualProject(project, readers, granted_groups=decision.granted_groups)
    plan = plan_withdrawn_project(owner, actual, event.now, app.timeouts.grace, in_doubt=decision.in_doubt)
    deletes = any(change.kind == "project" for change in plan)
    if deletes:
        await ensure_branch_unchanged(app, event, decision)
    writable = plan.writable(despite_refusals=True)
    await apply_plan(writable, ProjectWriter(app.projects, app.project_roles, name))
    plan.require_allowed()
    if deletes or plan.pending:
        return Waiting(PROJECT_DELETE_WAIT, "ProjectDeleting")
    return Done(_withdrawn(app, event, plan, project), wrote=bool(plan))


def _withdrawn(app: App, event: Event[TeamMessage], plan: Plan, project: Project | None) -> str | None:
    if any(change.kind == "project marker" for change in plan):
        until = format_time(event.now + app.timeouts.grace)
        return f"playground access withdrawn; its project is deleted after {until}"
    return "playground access withdrawn" if plan and project is None else None

"""The playground's room: a Foundry project for a team, where its people try models by hand. It does not pass
the gateway.
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
from shared.ports import Projects
from shared.requests.request import AccessRequest
from shared.resources.desired import compile_project
from shared.resources.project import FAILED, GOING, MOST_PROJECTS, READY, ActualProject, plan_project
from shared.stages.apply import ProjectWriter, apply_plan, gather_all
from shared.stages.ownership import is_grace_over

#: Foundry makes a project in some seconds, and takes longer to delete one.
PROJECT_WAIT, PROJECT_DELETE_WAIT = timedelta(seconds=10), timedelta(seconds=30)


async def provision_project(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """The project, where its traces go, who may use it; nothing of it without playground access."""
    request = decision.request
    assert request is not None
    if not request.playground_access:
        return await withdraw_project(app, event, decision)
    playground, projects, roles = app.platform.playground, app.projects, app.project_roles
    if playground is None or projects is None or roles is None:
        raise InvalidRequest(
            "this platform has no playground: take `playgroundAccess` out", reason="NoPlayground"
        )
    desired = compile_project(request, playground)
    marker = Marker(app.platform.repository, request.team, decision.path, decision.commit, desired.digest)
    project, readers, connection = await asyncio.gather(
        projects.project(desired.name), roles.readers_of(desired.name), projects.connection(desired.name)
    )
    plan = plan_project(
        desired, marker, ActualProject(project, readers, connection, decision.let_in), request.entra_group
    )
    if project is None:
        await _require_room(projects)
    await apply_plan(plan, ProjectWriter(projects, roles, desired.name))
    if project is None or project.state != READY:
        return _not_ready(desired.name, project.state if project else "")
    return Done(worth_saying(event, bool(plan), _note(request, desired.tracing)), wrote=bool(plan))


def _not_ready(name: str, state: str) -> Outcome:
    """What failed was begun once more: whoever replays the letter finds how that went."""
    if state in FAILED:
        raise Rejected(
            f"Foundry could not make the project {name}; it was told to try again", reason="ProjectFailed"
        )
    return Waiting(PROJECT_WAIT, "ProjectDeleting" if state == GOING else "ProjectNotReady")


async def _require_room(projects: Projects) -> None:
    if len(await projects.projects()) >= MOST_PROJECTS:
        text = (
            f"the Foundry account has {MOST_PROJECTS} projects, and takes no more: delete some, or withdraw "
            "playground access"
        )
        raise PermanentError(text, reason="AccountFull")


def _note(request: AccessRequest, tracing: str | None) -> str:
    name = project_name(request.team)
    who = "" if request.entra_group else "; nobody may use it yet: add entraGroup"
    traces = "; this platform keeps no traces" if request.tracing_enabled and tracing is None else ""
    return f"playground in place: Foundry project {name}{who}{traces}"


async def withdraw_project(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Nobody may use the project from now on; what was made in it goes when the grace period has ended."""
    name, team = project_name(event.message.team), event.message.team
    if app.projects is None or app.project_roles is None:
        return Done(wrote=False)
    project, readers = await asyncio.gather(app.projects.project(name), app.project_roles.readers_of(name))
    known = None if project is None else project.marker
    if project is not None and not Marker(app.platform.repository, team, "", "").owns(known):
        return Done(wrote=False)
    strangers = ActualProject(project, readers, let_in=decision.let_in).strangers(None)
    await gather_all(*(app.project_roles.revoke(name, group) for group in strangers))
    if project is None or known is None:
        return Done("playground access withdrawn" if strangers else None, wrote=bool(strangers))
    require_known(known, f"the Foundry project {name}")
    if project.state == GOING:
        return Waiting(PROJECT_DELETE_WAIT, "ProjectDeleting")
    if known.withdrawn is None:
        await app.projects.update_project(name, project.display_name, replace(known, withdrawn=event.now))
        return Done(
            "playground access withdrawn; its project is deleted after "
            f"{format_time(event.now + app.limits.grace)}"
        )
    if not is_grace_over(app, event, known) or decision.in_doubt:
        return Done(wrote=bool(strangers))
    # Nothing fences a deletion here, and what people made in the project does not come back.
    await ensure_branch_unchanged(app, event, decision)
    await app.projects.delete_project(name)
    return Waiting(PROJECT_DELETE_WAIT, "ProjectDeleting")

"""The playground's room: a Foundry project for a team, where its people try models by hand. It does not pass
the gateway.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.app import App
from shared.branch.decision import Decision
from shared.errors import InvalidRequest, PermanentError, Rejected
from shared.marker import Marker
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.names import project as project_name
from shared.ports import Projects
from shared.requests.request import AccessRequest
from shared.resources.desired import compile_project
from shared.resources.project import FAILED, GOING, MOST_PROJECTS, READY, ActualProject, plan_project
from shared.stages.apply import ProjectWriter, apply_plan
from shared.stages.withdrawal import from_playground

#: Foundry makes a project in some seconds.
PROJECT_WAIT = timedelta(seconds=10)


async def provision(app: App, event: Event[TeamMessage], standing: Decision) -> Outcome:
    """The project, where its traces go, who may use it; nothing of it without playground access."""
    request = standing.request
    assert request is not None
    if not request.playground_access:
        return await from_playground(app, event, standing)
    playground, projects, roles = app.platform.playground, app.projects, app.project_roles
    if playground is None or projects is None or roles is None:
        raise InvalidRequest(
            "this platform has no playground: take `playgroundAccess` out", reason="NoPlayground"
        )
    desired = compile_project(request, playground)
    marker = Marker(app.platform.repository, request.team, standing.path, standing.commit, desired.digest)
    project, readers, connection = await asyncio.gather(
        projects.project(desired.name), roles.readers_of(desired.name), projects.connection(desired.name)
    )
    plan = plan_project(
        desired, marker, ActualProject(project, readers, connection, standing.let_in), request.entra_group
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

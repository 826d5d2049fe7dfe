"""What a stage says of workspaces that stand: ready, waited for, or given up, with the cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from shared import telemetry
from shared.app import App
from shared.branch.decision import Decision
from shared.errors import WorkspaceFailed
from shared.inventory.workspace_witnesses import with_witnesses
from shared.kaito.causes import INFERENCE, READY, Cause
from shared.kaito.presets import LEAST_READINESS, LONGEST_READINESS
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.names import namespace as namespace_name
from shared.resources.actual import Route, Workspace
from shared.resources.desired import DesiredWorkspaces
from shared.stages.workspace_bounds import require_bounds
from shared.stages.workspace_roads import require_roads

#: A node takes minutes to start and to stop.
NODE_WAIT = timedelta(seconds=30)


async def progress(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    desired: DesiredWorkspaces,
    standing: Iterable[Workspace],
    routes: Iterable[Route],
) -> Outcome:
    """What KAITO and the cluster say of the workspaces that are ours, and whether calls arrive at those that
    are ready. Raises for one that takes more nodes than it may, and for one that waiting on cannot help.
    """
    assert app.cluster is not None
    team = event.message.team
    home = namespace_name(team)
    seen, denied = await with_witnesses(app.cluster, home, standing, with_logs=app.pod_logs)
    own = [each for each in seen if each.managed]
    for error in denied.values():
        telemetry.noted(
            team, f"{error}: apply infra/kubernetes/rbac.yaml; until then conditions alone decide"
        )
    await require_bounds(app, event, decision, desired, own)
    catalog = decision.catalog
    assert catalog is not None
    waiting = _not_ready(event, desired, own, catalog.readiness_times())
    if waiting is not None:
        return waiting
    _tell(team, own)
    roads = await require_roads(app, event, own, routes, catalog)
    if isinstance(roads, Waiting):
        return roads
    text = f"workspaces ready: {', '.join(sorted(desired.workspaces))}"
    told = text if roads == "proven" else f"{text}; road not proven"
    return Done(worth_saying(event, False, told))


def _not_ready(
    event: Event[TeamMessage],
    desired: DesiredWorkspaces,
    own: Sequence[Workspace],
    readiness: Mapping[str, timedelta],
) -> Waiting | None:
    """What is waited for until all workspaces are ready by themselves; None when they are. Raises
    WorkspaceFailed when one cannot be.
    """
    if any(workspace.terminating for workspace in own):
        return Waiting(NODE_WAIT, "WorkspaceDeleting")
    times = [(each, readiness.get(each.name, LONGEST_READINESS)) for each in own]
    for each, time in times:
        _require_hope(event, each, time)
    for each, time in times:
        verdict = each.verdict
        if not verdict.is_ready:
            note = f"{each.name}: {verdict.text} ({verdict.cause.actor})" if verdict.text else ""
            return Waiting(NODE_WAIT, verdict.cause.reason, note=note, longer=_longer(verdict.cause, time))
    if len(own) < len(desired.workspaces):
        return Waiting(NODE_WAIT, "WorkspaceNotThere")
    return None


def _tell(team: str, serving: Iterable[Workspace]) -> None:
    for each in serving:
        if each.verdict.cause is not READY:
            telemetry.noted(team, f"{each.name} serves, but {each.verdict.text}")


def _longer(cause: Cause, readiness: timedelta) -> timedelta:
    """The limit of all stages has room for an hour of loading, and a large model takes longer. Of a node that
    does not come it is the same for all.
    """
    is_of_loading = cause.ends == "later" or cause is INFERENCE
    return readiness - LEAST_READINESS if is_of_loading else timedelta(0)


def _require_hope(event: Event[TeamMessage], workspace: Workspace, readiness: timedelta) -> None:
    """Raises where the wait ends now. A cause that may pass stands since the cluster says so, or since it is
    what this message waits for.
    """
    verdict = workspace.verdict
    waited = event.waited_since if event.waited_for == verdict.cause.reason else None
    since = verdict.since or waited or event.now
    if not verdict.is_ready and verdict.has_ended(event.now - since, readiness):
        end = verdict.at_end
        raise WorkspaceFailed(f"{workspace.name}: {end.text}", reason=end.cause.reason)

"""What a stage says of workspaces that stand: ready, waited for, or given up, with the cause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from shared import telemetry
from shared.app import App
from shared.branch.decision import Decision
from shared.errors import WorkspaceFailed
from shared.inventory.workspace_witnesses import with_witnesses
from shared.kaito.causes import READY
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.names import namespace as namespace_name
from shared.resources.actual import Workspace
from shared.resources.desired import DesiredWorkspaces
from shared.stages.workspace_bounds import require_bounds

#: A node takes minutes to start and to stop.
NODE_WAIT = timedelta(seconds=30)


async def progress(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    desired: DesiredWorkspaces,
    standing: Iterable[Workspace],
) -> Outcome:
    """What KAITO and the cluster say of the workspaces that are ours. Raises for one that takes more nodes
    than it may, and for one that waiting on cannot help.
    """
    assert app.cluster is not None
    team = event.message.team
    seen, denied = await with_witnesses(app.cluster, namespace_name(team), standing)
    own = [each for each in seen if each.managed]
    for error in denied.values():
        telemetry.noted(
            team, f"{error}: apply infra/kubernetes/rbac.yaml; until then conditions alone decide"
        )
    await require_bounds(app, event, decision, desired, own)
    return _outcome(event, desired, own)


def _outcome(event: Event[TeamMessage], desired: DesiredWorkspaces, own: Sequence[Workspace]) -> Outcome:
    """Done when all workspaces serve. Raises WorkspaceFailed when one cannot."""
    if any(workspace.terminating for workspace in own):
        return Waiting(NODE_WAIT, "WorkspaceDeleting")
    for each in own:
        _require_hope(event, each)
    for each in own:
        verdict = each.verdict
        if not verdict.is_ready:
            note = f"{each.name}: {verdict.text} ({verdict.cause.actor})" if verdict.text else ""
            return Waiting(NODE_WAIT, verdict.cause.reason, note=note)
    if len(own) < len(desired.workspaces):
        return Waiting(NODE_WAIT, "WorkspaceNotThere")
    for each in own:
        if each.verdict.cause is not READY:
            telemetry.noted(event.message.team, f"{each.name} serves, but {each.verdict.text}")
    return Done(worth_saying(event, False, f"workspaces ready: {', '.join(sorted(desired.workspaces))}"))


def _require_hope(event: Event[TeamMessage], workspace: Workspace) -> None:
    """Raises where the wait ends now. A cause that may pass stands since the cluster says so, or since it is
    what this message waits for.
    """
    verdict = workspace.verdict
    waited = event.waited_since if event.waited_for == verdict.cause.reason else None
    since = verdict.since or waited or event.now
    if not verdict.is_ready and verdict.has_ended(event.now - since):
        end = verdict.at_end
        raise WorkspaceFailed(f"{workspace.name}: {end.text}", reason=end.cause.reason)

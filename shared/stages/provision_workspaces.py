"""KAITO workspaces in the cluster, of one team or of the platform for all teams; given and taken away.

No stage blocks while a GPU node starts: it returns `Waiting`, and its message comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import Busy, NotManaged, Rejected
from shared.inventory.drift import limit_drift
from shared.marker import Marker
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.names import namespace as namespace_name
from shared.ports import Cluster
from shared.resources.actual import Namespace, Route, Workspace
from shared.resources.desired import (
    DesiredWorkspaces,
    compile_gateway,
    compile_shared_workspaces,
    compile_workspaces,
)
from shared.resources.plan import Delete, Plan, Replace, plan_workspaces
from shared.resources.readiness import Failed, NotYet, readiness
from shared.resources.workspaces import namespace_manifest
from shared.stages.apply import WorkspaceWriter, apply_plan, gather_all
from shared.stages.ownership import require_ours

#: A node takes minutes to start and to stop.
NODE_WAIT = timedelta(seconds=30)
QUOTA_EXCEEDED = "QuotaExceeded"
#: The team's product is written at the same time, within seconds.
GRANT_WAIT = timedelta(seconds=5)


async def provision_team_workspaces(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """The team's own workspaces."""
    assert decision.request is not None
    assert decision.catalog is not None
    desired = compile_workspaces(decision.request, decision.catalog, app.platform)
    return await _provision(app, event, decision, desired)


async def provision_shared_workspaces(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """The workspaces that the platform runs for all teams, in the namespace of the catalogue."""
    assert decision.catalog is not None
    return await _provision(app, event, decision, compile_shared_workspaces(decision.catalog, app.platform))


@dataclass(frozen=True, slots=True)
class _Existing:
    """A team's namespace with its workspaces and routes.

    `is_marked`: its marker says that all that is desired was written.
    """

    namespace: Namespace | None
    workspaces: Sequence[Workspace]
    routes: Sequence[Route]
    is_marked: bool


async def _provision(
    app: App, event: Event[TeamMessage], decision: Decision, desired: DesiredWorkspaces
) -> Outcome:
    """Write namespace, limits, workspaces and routes; then return what KAITO says about the workspaces."""
    team, cluster = event.message.team, _cluster(app)
    marker = Marker(app.platform.repository, team, decision.path, decision.commit, desired.digest)
    namespace = await cluster.namespace(namespace_name(team))
    if not desired.workspaces and not marker.owns(None if namespace is None else namespace.marker):
        return Done(wrote=False)
    if namespace is not None and namespace.terminating:
        return Waiting(NODE_WAIT, "NamespaceTerminating")
    existing = await _read(app, namespace, marker)
    granted = await _granted_part(app, decision, desired, existing.workspaces)
    if namespace is None and not granted.workspaces:
        return Waiting(GRANT_WAIT, "ProductNotThere")
    await _begin(cluster, existing, marker)
    plan = await _plan(cluster, event, granted, existing)
    if not await _apply(app, event, decision, plan):
        return Waiting(NODE_WAIT, QUOTA_EXCEEDED)
    if granted is not desired:
        return Waiting(GRANT_WAIT, "ProductNotThere")
    return await _finish(app, event, decision, desired, existing=existing, marker=marker, changed=bool(plan))


async def _read(app: App, namespace: Namespace | None, marker: Marker) -> _Existing:
    """Raises NotManaged when the namespace is not ours."""
    if namespace is None:
        return _Existing(None, (), (), is_marked=False)
    cluster = _cluster(app)
    known = require_ours(app, marker.team, namespace.marker, f"namespace {namespace.name}")
    workspaces, routes = await asyncio.gather(
        cluster.workspaces(namespace.name), cluster.routes(namespace.name)
    )
    is_marked = (known.digest, known.withdrawn) == (marker.digest, None)
    return _Existing(namespace, workspaces, routes, is_marked)


async def _granted_part(
    app: App, decision: Decision, desired: DesiredWorkspaces, found: Sequence[Workspace]
) -> DesiredWorkspaces:
    """The desired workspaces without the new ones, as long as the team's product does not grant them: no node
    is started before. The platform's own workspaces need no product.
    """
    missing = desired.workspaces.keys() - {workspace.name for workspace in found}
    if not missing or decision.request is None or await _is_granted(app, decision):
        return desired
    return desired.without(missing)


async def _is_granted(app: App, decision: Decision) -> bool:
    """Whether the team's product was written as the request says, so that its workspaces count as granted."""
    assert decision.request is not None
    assert decision.catalog is not None
    desired = compile_gateway(decision.request, decision.catalog, app.platform)
    found = await app.gateway.product(desired.product)
    if found is None:
        return False
    marker = require_ours(app, decision.request.team, found.marker, f"product {found.name}")
    return marker.withdrawn is None and marker.digest == desired.digest


async def _begin(cluster: Cluster, existing: _Existing, marker: Marker) -> None:
    """Take the digest off the namespace's marker, so that a change which is taken back before it was marked
    is seen.
    """
    namespace = existing.namespace
    is_unfinished = namespace is not None and namespace.marker is not None and not namespace.marker.digest
    if not existing.is_marked and not is_unfinished:
        await cluster.apply(namespace_manifest(marker.unfinished()))


async def _plan(
    cluster: Cluster, event: Event[TeamMessage], desired: DesiredWorkspaces, existing: _Existing
) -> Plan:
    """Limits and routes are written again where the marker does not vouch for them, where limits were edited,
    and where anything else differs although it was written once.
    """
    is_whole = existing.is_marked and not (
        event.verify_markers and await _are_limits_edited(cluster, desired)
    )
    plan = plan_workspaces(desired, existing.workspaces, existing.routes, is_whole)
    if plan and is_whole:
        return plan_workspaces(desired, existing.workspaces, existing.routes, False)
    return plan


async def _are_limits_edited(cluster: Cluster, desired: DesiredWorkspaces) -> bool:
    """Whether limits were edited or deleted; the marker does not show that."""
    return any(limit_drift(desired.limits, await asyncio.gather(*map(cluster.limit, desired.limits))))


async def _apply(app: App, event: Event[TeamMessage], decision: Decision, plan: Plan) -> bool:
    """Write the plan. Returns False while the quota is exceeded: the cluster counts it some moments after it
    was raised, or after a workspace was deleted; and a foreign workspace may use it.
    """
    if any(isinstance(change, Delete | Replace) for change in plan):
        await ensure_branch_unchanged(app, event, decision)
    try:
        await apply_plan(plan, WorkspaceWriter(_cluster(app), namespace_name(event.message.team)))
    except Busy as error:
        if error.reason != QUOTA_EXCEEDED:
            raise
        return False
    return True


async def _finish(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    desired: DesiredWorkspaces,
    *,
    existing: _Existing,
    marker: Marker,
    changed: bool,
) -> Outcome:
    """Write the marker when all workspaces exist. It vouches for the routes too, and a workspace that is
    being replaced has none.
    """
    name, cluster = namespace_name(event.message.team), _cluster(app)
    found = await cluster.workspaces(name) if changed else existing.workspaces
    lasting = {workspace.name for workspace in found if not workspace.terminating}
    if not existing.is_marked and desired.workspaces.keys() <= lasting:
        await cluster.apply(namespace_manifest(marker))
    if not desired.workspaces:
        return await _remove_namespace(app, event, decision, found)
    return _readiness(event, desired, [workspace for workspace in found if workspace.managed])


def _readiness(event: Event[TeamMessage], desired: DesiredWorkspaces, own: Sequence[Workspace]) -> Outcome:
    """Done when all workspaces serve. Raises Rejected when KAITO gave one up."""
    if any(workspace.terminating for workspace in own):
        return Waiting(NODE_WAIT, "WorkspaceDeleting")
    states = {workspace.name: readiness(workspace.conditions) for workspace in own}
    for name, state in states.items():
        if isinstance(state, Failed):
            raise Rejected(f"KAITO could not start {name}: {state.message}", reason="WorkspaceFailed")
    unready = next((state for state in states.values() if isinstance(state, NotYet)), None)
    if unready is not None:
        return Waiting(NODE_WAIT, unready.reason)
    if len(own) < len(desired.workspaces):
        return Waiting(NODE_WAIT, "WorkspaceNotThere")
    return Done(worth_saying(event, False, f"workspaces ready: {', '.join(sorted(desired.workspaces))}"))


async def withdraw_workspaces(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Delete the team's workspaces and namespace. Their grace period is short: a GPU costs money, and a
    mistake costs half an hour.
    """
    team, cluster = event.message.team, _cluster(app)
    namespace = await cluster.namespace(namespace_name(team))
    if namespace is None:
        return Done()
    marker = require_ours(app, team, namespace.marker, f"namespace {namespace.name}")
    if namespace.terminating:
        return Waiting(NODE_WAIT, "NamespaceTerminating")
    since = marker.withdrawn
    if since is None:
        await cluster.apply(namespace_manifest(replace(marker, withdrawn=event.now)))
    left = (since or event.now) + app.timeouts.workspace_grace - event.now
    if left > timedelta(0):
        return Waiting(left, "WithdrawalDelay", patient=True)
    if decision.in_doubt:
        return Done(wrote=False)
    return await _remove_namespace(app, event, decision, await cluster.workspaces(namespace.name))


async def _remove_namespace(
    app: App, event: Event[TeamMessage], decision: Decision, workspaces: Sequence[Workspace]
) -> Outcome:
    """Delete the workspaces, so that KAITO gives their nodes back, and the namespace when they are gone.

    The branch is read right before each deletion: a GPU takes half an hour to come back. Raises NotManaged
    when the namespace holds workspaces of others.
    """
    name, cluster = namespace_name(event.message.team), _cluster(app)
    if workspaces:
        await _delete_workspaces(app, event, decision, workspaces)
        return Waiting(NODE_WAIT, "WorkspaceDeleting")
    namespace = await cluster.namespace(name)
    if namespace is not None and not namespace.terminating:
        await ensure_branch_unchanged(app, event, decision)
        await cluster.delete_namespace(name, namespace.resource_version)
    return Done("workspaces deleted")


async def _delete_workspaces(
    app: App, event: Event[TeamMessage], decision: Decision, workspaces: Sequence[Workspace]
) -> None:
    """Each route before its workspace: a route that outlives a team which comes back would lead nowhere."""
    name, cluster = namespace_name(event.message.team), _cluster(app)
    foreign = [workspace.name for workspace in workspaces if not workspace.managed]
    if foreign:
        raise NotManaged(
            f"namespace {name} holds workspaces that are not managed by mergekey: {', '.join(foreign)}"
        )
    lasting = [workspace for workspace in workspaces if not workspace.terminating]
    if lasting:
        await ensure_branch_unchanged(app, event, decision)
    await gather_all(*(cluster.delete_route(name, workspace.name) for workspace in lasting))
    await gather_all(*(cluster.delete_workspace(name, each.name, each.resource_version) for each in lasting))


def _cluster(app: App) -> Cluster:
    """The pipeline calls these stages only where the platform has a cluster."""
    assert app.cluster is not None
    return app.cluster

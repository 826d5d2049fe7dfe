"""KAITO workspaces in the cluster, of one team or of the platform for all teams; given and taken away.

No stage blocks while a GPU node starts: it returns `Waiting`, and its message comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from datetime import timedelta

from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.cluster_ports import Cluster
from shared.errors import Busy, KindNotServed
from shared.inventory.list_all import errors_of, if_served, or_unread
from shared.marker import Marker
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting
from shared.names import namespace as namespace_name
from shared.resources.actual import Limit, Namespace, Route, Workspace
from shared.resources.config_changes import ActualConfigs
from shared.resources.desired import (
    DesiredWorkspaces,
    compile_shared_workspaces,
    compile_workspaces,
    shared_models,
)
from shared.resources.plan import UNREAD, Delete, Plan, Unread, Update, WritablePlan, known
from shared.resources.served_kinds import types_of
from shared.resources.standing_forms import beside, may_name_a_host
from shared.resources.workspace_plan import (
    ActualWorkspaces,
    configs_of,
    plan_withdrawn_workspaces,
    plan_workspaces,
)
from shared.stages.apply import WorkspaceWriter, apply_plan
from shared.stages.gateway_controller import platform_of
from shared.stages.ownership import own_marker
from shared.stages.read_ahead import ReadAhead
from shared.stages.route_upgrades import Upgrading
from shared.stages.workspace_progress import NODE_WAIT, progress
from shared.stages.workspace_roads import host_beside_others
from shared.stages.workspace_starts import postponed_workspaces, waiting_to_start

#: The cluster counts what changed within a second; after that, something else takes the room.
QUOTA_EXCEEDED, QUOTA_WAIT = "QuotaExceeded", timedelta(seconds=1)
NOTHING_DESIRED = DesiredWorkspaces((), {}, {})


def read_namespace(app: App, team: str) -> ReadAhead[Namespace | None]:
    """The team's namespace, for all that is done here."""
    return ReadAhead(lambda: _cluster(app).namespace(namespace_name(team)))


async def provision_team_workspaces(
    app: App, event: Event[TeamMessage], decision: Decision, found: ReadAhead[Namespace | None]
) -> Outcome:
    """The team's own workspaces."""
    assert decision.request is not None
    assert decision.catalog is not None
    platform = await platform_of(app) if decision.request.has_own_models else app.platform
    desired = compile_workspaces(decision.request, decision.catalog, platform)
    return await _provision(app, event, decision, desired, found)


async def provision_shared_workspaces(
    app: App, event: Event[TeamMessage], decision: Decision, found: ReadAhead[Namespace | None]
) -> Outcome:
    """The workspaces that the platform runs for all teams, in the namespace of the catalogue."""
    assert decision.catalog is not None
    platform = await platform_of(app) if shared_models(decision.catalog) else app.platform
    desired = compile_shared_workspaces(decision.catalog, platform)
    return await _provision(app, event, decision, desired, found)


async def _provision(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    desired: DesiredWorkspaces,
    found: ReadAhead[Namespace | None],
) -> Outcome:
    """Write namespace, limits, workspaces and routes; then return what KAITO says about the workspaces.

    What must be left alone is told after everything else was written.
    """
    team, cluster = event.message.team, _cluster(app)
    namespace = await found.get()
    desired = desired.as_in(namespace)
    digest = desired.digest_in(namespace)
    marker = Marker(app.platform.repository, team, decision.path, decision.commit, digest)
    actual, missing = await _read(cluster, namespace, marker, desired)
    if desired.workspaces and namespace is not None and namespace.terminating:
        return _going(namespace)
    desired, host = await _with_hosts(app, desired, actual.routes)
    assert decision.catalog is not None
    postponed = await postponed_workspaces(app, event, decision, desired, marker, actual)
    upgrading = Upgrading(app, event, desired, decision.catalog, host)
    due = await upgrading.due(actual)
    plan = plan_workspaces(desired, marker, actual, postponed.workspaces, due=due.routes, policy=due.policy)
    writable = plan.writable(despite_refusals=True, despite_unread=missing is not None)
    if not await _apply(app, event, decision, writable):
        return _quota_exceeded(event)
    _require_whole(plan, missing)
    if not desired.workspaces:
        return await _removed(app, event, plan)
    standing, routes = await _after(cluster, team, plan, actual)
    proving = await upgrading.prove(routes)
    if postponed.workspaces:
        return waiting_to_start(postponed)
    if isinstance(proving, Waiting):
        return proving
    return await progress(app, event, decision, desired, standing, proving)


async def _with_hosts(
    app: App, desired: DesiredWorkspaces, routes: Sequence[Route] | Unread
) -> tuple[DesiredWorkspaces, str | None]:
    """The same with routes that name the host where that ends no calls of others, with the host that one may
    name beside others that name none.
    """
    if not may_name_a_host(desired, routes):
        return desired, None
    without = beside(desired, await _cluster(app).all_routes())
    if without is desired:
        return desired, None
    host = await host_beside_others(app)
    return (without if host is None else desired), host


async def _after(
    cluster: Cluster, team: str, plan: Plan, actual: ActualWorkspaces
) -> tuple[Iterable[Workspace], Sequence[Route]]:
    """Workspaces and routes as they are after the plan was written."""
    if not plan:
        return actual.by_name.values(), known(actual.routes, ())
    home = namespace_name(team)
    return await asyncio.gather(cluster.workspaces(home), cluster.routes(home))


def _quota_exceeded(event: Event[TeamMessage]) -> Waiting:
    """The first wait is for the cluster to count, the others for room."""
    return Waiting(NODE_WAIT if event.waited_for == QUOTA_EXCEEDED else QUOTA_WAIT, QUOTA_EXCEEDED)


def _require_whole(plan: Plan, missing: KindNotServed | None) -> None:
    """Raises what kept a part of the plan from being written."""
    plan.require_allowed()
    if missing is not None and plan.unread:
        raise missing


async def _read(
    cluster: Cluster,
    namespace: Namespace | None,
    marker: Marker,
    desired: DesiredWorkspaces,
) -> tuple[ActualWorkspaces, KindNotServed | None]:
    """Read all that is in a namespace that is ours, and the error of the first kind that the cluster does not
    serve; limits only where there shall be any.
    """
    name = namespace_name(marker.team)
    if namespace is None or not marker.owns(namespace.marker):
        return await _read_nothing(cluster, namespace, desired)
    workspaces, routes, limits = await asyncio.gather(
        if_served(cluster.workspaces, name),
        if_served(cluster.routes, name),
        _limits(cluster, name, desired),
    )
    actual = ActualWorkspaces(namespace, or_unread(workspaces), or_unread(routes), limits)
    configs = await read_configs(cluster, name, configs_of(desired, actual))
    return replace(actual, configs=configs), next(iter(errors_of(workspaces, routes).values()), None)


async def _read_nothing(
    cluster: Cluster, namespace: Namespace | None, desired: DesiredWorkspaces
) -> tuple[ActualWorkspaces, KindNotServed | None]:
    """Where no list is read that would show it, the cluster is asked what it serves: nothing that costs money
    is begun while a kind is missing that a workspace needs.
    """
    needed = types_of([*desired.workspaces.values(), *desired.routes.values()])
    missing = (await cluster.served()).first_missing(needed) if needed else None
    if missing is None:
        actual = ActualWorkspaces(namespace)
        return replace(actual, configs=dict.fromkeys(configs_of(desired, actual))), None
    return ActualWorkspaces(namespace, UNREAD, UNREAD), missing


async def _limits(cluster: Cluster, namespace: str, desired: DesiredWorkspaces) -> Sequence[Limit] | Unread:
    return await cluster.limits(namespace) if desired.limits else UNREAD


async def read_configs(cluster: Cluster, namespace: str, names: Set[str]) -> ActualConfigs:
    """These configurations, each read by itself."""
    found = await asyncio.gather(*(cluster.config_map(namespace, name) for name in sorted(names)))
    return dict(zip(sorted(names), found, strict=True))


async def _apply(app: App, event: Event[TeamMessage], decision: Decision, plan: WritablePlan) -> bool:
    """Write the plan. Returns False while the quota is exceeded: the cluster counts it some moments after it
    was raised, or after a workspace was deleted; and a foreign workspace may use it.

    The branch is read right before a deletion and a restart: a GPU takes half an hour to come back.
    """
    if plan.deletes or any(isinstance(each, Update) and each.kind == "workspace" for each in plan):
        await ensure_branch_unchanged(app, event, decision)
    try:
        await apply_plan(plan, WorkspaceWriter(_cluster(app), namespace_name(event.message.team)))
    except Busy as error:
        if error.reason != QUOTA_EXCEEDED:
            raise
        return False
    return True


async def _removed(app: App, event: Event[TeamMessage], plan: Plan) -> Outcome:
    """Nothing is asked for (any more). A namespace that was deleted is waited for: it may not go."""
    for pending in plan.pending:
        return Waiting(NODE_WAIT, pending.reason, note=pending.note)
    if any(isinstance(change, Delete) and change.kind == "namespace" for change in plan):
        left = await _cluster(app).namespace(namespace_name(event.message.team))
        if left is not None and left.terminating:
            return _going(left)
    was_going = event.waited_for in ("NamespaceTerminating", "WorkspaceDeleting")
    return Done("workspaces deleted") if plan or was_going else Done(wrote=False)


def _going(namespace: Namespace) -> Waiting:
    return Waiting(NODE_WAIT, "NamespaceTerminating", note=namespace.remaining)


async def withdraw_workspaces(
    app: App, event: Event[TeamMessage], decision: Decision, found: ReadAhead[Namespace | None]
) -> Outcome:
    """Mark the namespace as withdrawn, wait for the end of its grace period, and delete what is in it."""
    team, cluster, grace = event.message.team, _cluster(app), app.timeouts.workspace_grace
    owner = own_marker(app, team)
    namespace = await found.get()
    actual, missing = await _read(cluster, namespace, owner, NOTHING_DESIRED)
    plan = plan_withdrawn_workspaces(owner, actual, event.now, grace, in_doubt=decision.in_doubt)
    writable = plan.writable(despite_refusals=True, despite_unread=missing is not None)
    await _apply(app, event, decision, writable)
    _require_whole(plan, missing)
    marker = None if namespace is None else namespace.marker
    if marker is None or plan.pending or plan.deletes:
        return await _removed(app, event, plan)
    left = (marker.withdrawn or event.now) + grace - event.now
    if left > timedelta(0) or marker.withdrawn is None:
        return Waiting(left, "WithdrawalDelay", patient=True)
    return Done(wrote=False)


def _cluster(app: App) -> Cluster:
    """The pipeline calls these stages only where the platform has a cluster."""
    assert app.cluster is not None
    return app.cluster

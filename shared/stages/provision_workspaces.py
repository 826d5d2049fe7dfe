"""The cluster's room: KAITO workspaces in namespaces, a team's own or the platform's for all. No stage waits
for a GPU: it comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import Busy, NotManaged, Rejected
from shared.inventory.drift import of_limits
from shared.marker import Marker, require_known
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.names import namespace as namespace_name
from shared.ports import Cluster
from shared.requests.request import AccessRequest
from shared.resources.actual import Namespace, Workspace
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

#: A node takes minutes to come and to go.
NODE_WAIT = timedelta(seconds=30)
QUOTA_EXCEEDED = "QuotaExceeded"
#: The product is written at the same time, in some seconds.
GRANT_WAIT = timedelta(seconds=5)


async def provision_team_workspaces(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """A team's own workspaces."""
    assert decision.request is not None
    assert decision.catalog is not None
    return await _provide(
        app, event, decision, compile_workspaces(decision.request, decision.catalog, app.platform)
    )


async def provision_shared_workspaces(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """The workspaces that the platform runs for all teams, in a namespace of the catalogue's."""
    assert decision.catalog is not None
    return await _provide(app, event, decision, compile_shared_workspaces(decision.catalog, app.platform))


async def _provide(
    app: App, event: Event[TeamMessage], decision: Decision, desired: DesiredWorkspaces
) -> Outcome:
    """Namespace, limits, workspaces and routes; then what KAITO says about them."""
    assert app.cluster is not None
    team = event.message.team
    marker = Marker(app.platform.repository, team, decision.path, decision.commit, desired.digest)
    name = namespace_name(team)
    actual = await app.cluster.namespace(name)
    if not desired.workspaces and (actual is None or not marker.owns(actual.marker)):
        return Done(wrote=False)
    if actual is not None and actual.terminating:
        return Waiting(NODE_WAIT, "NamespaceTerminating")
    marked = _is_marked(actual, marker)
    found, routes = (
        ([], [])
        if actual is None
        else await asyncio.gather(app.cluster.workspaces(name), app.cluster.routes(name))
    )
    all_of_it, desired = desired, await _as_granted(app, decision, desired, found)
    if actual is None and not desired.workspaces:
        return Waiting(GRANT_WAIT, "ProductNotThere")
    await _begin(app.cluster, actual, marker)
    whole = marked and not (event.closely and await _are_limits_edited(app.cluster, desired))
    plan = plan_workspaces(desired, found, routes, whole)
    if plan and whole:
        # Something is gone or edited although all was written: the limits and routes around it may be others'
        # or older.
        plan = plan_workspaces(desired, found, routes, False)
    if not await _follow(app, event, decision, plan):
        return Waiting(NODE_WAIT, QUOTA_EXCEEDED)
    if desired is not all_of_it:
        return Waiting(GRANT_WAIT, "ProductNotThere")
    if plan:
        found = await app.cluster.workspaces(name)
    if not marked and _all_stand(desired, found):
        await app.cluster.apply(namespace_manifest(marker))
    if not desired.workspaces:
        return await _remove_namespace(app, event, decision, found)
    return _judge(event, desired, found)


async def _begin(cluster: Cluster, actual: Namespace | None, marker: Marker) -> None:
    """A change that is taken back before it was marked must be seen."""
    if not _is_marked(actual, marker) and not _is_unfinished(actual):
        await cluster.apply(namespace_manifest(marker.unfinished()))


async def _as_granted(
    app: App, decision: Decision, desired: DesiredWorkspaces, found: Sequence[Workspace]
) -> DesiredWorkspaces:
    """Whose GPU it is, is settled by the team's product: until that stands, no node is started. The
    platform's own need none.
    """
    missing = desired.workspaces.keys() - {workspace.name for workspace in found}
    if not missing or decision.request is None or await _is_granted(app, decision.request, decision):
        return desired
    return desired.without(missing)


async def _is_granted(app: App, request: AccessRequest, decision: Decision) -> bool:
    """Whether the team's product stands as its request says, so that its workspaces count as its own."""
    assert decision.catalog is not None
    desired = compile_gateway(request, decision.catalog, app.platform)
    found = await app.gateway.product(desired.product)
    if found is not None and not Marker(app.platform.repository, request.team, "", "").owns(found.marker):
        raise NotManaged(
            f"there is a product {found.name} that is not managed by mergekey for {request.team}: rename or "
            "remove it"
        )
    marker = None if found is None else found.marker
    require_known(marker, f"the product {desired.product}")
    return marker is not None and marker.withdrawn is None and marker.digest == desired.digest


async def _follow(app: App, event: Event[TeamMessage], decision: Decision, plan: Plan) -> bool:
    """False when there is no room yet: a quota is counted some moments after it was raised, or after a
    workspace went; one of somebody else's may take it.
    """
    assert app.cluster is not None
    if any(isinstance(change, Delete | Replace) for change in plan):
        await ensure_branch_unchanged(app, event, decision)
    try:
        await apply_plan(plan, WorkspaceWriter(app.cluster, namespace_name(event.message.team)))
    except Busy as error:
        if error.reason != QUOTA_EXCEEDED:
            raise
        return False
    return True


async def withdraw_workspaces(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """A GPU costs money, a mistake costs half an hour: workspaces have a shorter grace of their own."""
    assert app.cluster is not None
    team = event.message.team
    namespace = await app.cluster.namespace(namespace_name(team))
    if namespace is None:
        return Done()
    marker = require_ours(app, team, namespace.marker, f"namespace {namespace.name}")
    if namespace.terminating:
        return Waiting(NODE_WAIT, "NamespaceTerminating")
    since = marker.withdrawn
    if since is None:
        await app.cluster.apply(namespace_manifest(replace(marker, withdrawn=event.now)))
    left = (since or event.now) + app.limits.workspace_grace - event.now
    if left > timedelta(0):
        return Waiting(left, "WithdrawalDelay", patient=True)
    if decision.in_doubt:
        return Done(wrote=False)
    return await _remove_namespace(app, event, decision, await app.cluster.workspaces(namespace.name))


async def _remove_namespace(
    app: App, event: Event[TeamMessage], decision: Decision, workspaces: Sequence[Workspace]
) -> Outcome:
    """Workspaces first, so that KAITO gives their nodes back, each after its route, which may outlive it if
    its team comes back; the namespace when they are gone. The branch is asked right before: a GPU takes half
    an hour to come back.
    """
    assert app.cluster is not None
    name, cluster = namespace_name(event.message.team), app.cluster
    foreign = [workspace.name for workspace in workspaces if not workspace.managed]
    if foreign:
        raise NotManaged(
            f"namespace {name} holds workspaces that are not managed by mergekey: {', '.join(foreign)}"
        )
    going = [workspace for workspace in workspaces if not workspace.terminating]
    if going:
        await ensure_branch_unchanged(app, event, decision)
    await gather_all(*(cluster.delete_route(name, workspace.name) for workspace in going))
    await gather_all(
        *(cluster.delete_workspace(name, workspace.name, workspace.resource_version) for workspace in going)
    )
    if workspaces:
        return Waiting(NODE_WAIT, "WorkspaceDeleting")
    actual = await cluster.namespace(name)
    if actual is not None and not actual.terminating:
        await ensure_branch_unchanged(app, event, decision)
        await cluster.delete_namespace(name, actual.resource_version)
    return Done("workspaces deleted")


async def _are_limits_edited(cluster: Cluster, desired: DesiredWorkspaces) -> bool:
    """Or gone: the mark does not tell."""
    return any(of_limits(desired.limits, await asyncio.gather(*map(cluster.limit, desired.limits))))


def _is_unfinished(actual: Namespace | None) -> bool:
    return actual is not None and actual.marker is not None and not actual.marker.digest


def _all_stand(desired: DesiredWorkspaces, found: Sequence[Workspace]) -> bool:
    """The marker vouches for routes too, and a workspace that is being replaced has none: it is written when
    all workspaces stand.
    """
    return desired.workspaces.keys() <= {workspace.name for workspace in found if not workspace.terminating}


def _is_marked(actual: Namespace | None, marker: Marker) -> bool:
    """Whether exactly this was written before. Raises NotManaged for somebody else's namespace."""
    if actual is None:
        return False
    if actual.marker is None or not marker.owns(actual.marker):
        raise NotManaged(
            f"there is a namespace {actual.name} that is not managed by mergekey for {marker.team}: rename "
            "or remove it"
        )
    require_known(actual.marker, f"the namespace {actual.name}")
    return (actual.marker.digest, actual.marker.withdrawn) == (marker.digest, None)


def _judge(event: Event[TeamMessage], desired: DesiredWorkspaces, found: Sequence[Workspace]) -> Outcome:
    ours = [workspace for workspace in found if workspace.managed]
    if any(workspace.terminating for workspace in ours):
        return Waiting(NODE_WAIT, "WorkspaceDeleting")
    verdicts = {workspace.name: readiness(workspace.conditions) for workspace in ours}
    for name, verdict in verdicts.items():
        if isinstance(verdict, Failed):
            raise Rejected(f"KAITO could not start {name}: {verdict.message}", reason="WorkspaceFailed")
    for verdict in verdicts.values():
        if isinstance(verdict, NotYet):
            return Waiting(NODE_WAIT, verdict.reason)
    wanted = sorted(desired.workspaces)
    if len(ours) < len(wanted):
        return Waiting(NODE_WAIT, "WorkspaceNotThere")
    return Done(worth_saying(event, False, f"workspaces ready: {', '.join(wanted)}"))

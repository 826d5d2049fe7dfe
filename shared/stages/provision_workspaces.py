"""KAITO workspaces in the cluster, of one team or of the platform for all teams; given and taken away.

No stage blocks while a GPU node starts: it returns `Waiting`, and its message comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import timedelta

from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.catalog.catalog import Catalog
from shared.catalog.workspace_checks import faults_on
from shared.errors import Busy, KindNotServed, Rejected
from shared.inventory.list_all import errors_of, if_served, or_unread
from shared.kaito.releases import Release, difference, start_problem
from shared.marker import Marker
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.names import namespace as namespace_name
from shared.names import workspace as workspace_name
from shared.ports import Cluster
from shared.resources.actual import Limit, Namespace, Workspace
from shared.resources.config_changes import ActualConfigs
from shared.resources.desired import (
    DesiredWorkspaces,
    compile_gateway,
    compile_shared_workspaces,
    compile_workspaces,
)
from shared.resources.plan import UNREAD, Delete, Plan, Unread, Update, WritablePlan, refusal
from shared.resources.readiness import Failed, NotYet, Ready, readiness
from shared.resources.served_kinds import types_of
from shared.resources.workspace_plan import (
    ActualWorkspaces,
    begun,
    changed_for_all,
    configs_of,
    plan_withdrawn_workspaces,
    plan_workspaces,
    started,
)
from shared.stages.apply import WorkspaceWriter, apply_plan
from shared.stages.ownership import own_marker
from shared.stages.read_ahead import ReadAhead
from shared.stages.workspace_turns import workspaces_before

#: A node takes minutes to start and to stop.
NODE_WAIT = timedelta(seconds=30)
#: The cluster counts what changed within a second; after that, something else takes the room.
QUOTA_EXCEEDED, QUOTA_WAIT = "QuotaExceeded", timedelta(seconds=1)
NOTHING_DESIRED = DesiredWorkspaces((), {}, {})
#: The team's product is written at the same time, within seconds.
GRANT_WAIT = timedelta(seconds=5)
#: The cluster's answer about its release is kept for as long.
RELEASE_WAIT = timedelta(minutes=5)
#: A model takes minutes to start.
TURN_WAIT = timedelta(minutes=1)
PRODUCT_NOT_THERE, KAITO_RELEASE_UNKNOWN = "ProductNotThere", "KaitoReleaseUnknown"
ANOTHER_IS_REPLACED = "AnotherIsReplaced"
WORKSPACE_IMPOSSIBLE = "WorkspaceImpossible"


def read_namespace(app: App, team: str) -> ReadAhead[Namespace | None]:
    """The team's namespace, for all that is done here."""
    return ReadAhead(lambda: _cluster(app).namespace(namespace_name(team)))


async def provision_team_workspaces(
    app: App, event: Event[TeamMessage], decision: Decision, found: ReadAhead[Namespace | None]
) -> Outcome:
    """The team's own workspaces."""
    assert decision.request is not None
    assert decision.catalog is not None
    desired = compile_workspaces(decision.request, decision.catalog, app.platform)
    return await _provision(app, event, decision, desired, found)


async def provision_shared_workspaces(
    app: App, event: Event[TeamMessage], decision: Decision, found: ReadAhead[Namespace | None]
) -> Outcome:
    """The workspaces that the platform runs for all teams, in the namespace of the catalogue."""
    assert decision.catalog is not None
    desired = compile_shared_workspaces(decision.catalog, app.platform)
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
    digest = desired.digest_in(namespace)
    marker = Marker(app.platform.repository, team, decision.path, decision.commit, digest)
    actual, missing = await _read(cluster, namespace, marker, desired)
    if desired.workspaces and namespace is not None and namespace.terminating:
        return _going(namespace)
    postponed = await _postponed(app, event, decision, desired, marker, actual)
    plan = plan_workspaces(desired, marker, actual, postponed.workspaces)
    writable = plan.writable(despite_refusals=True, despite_unread=missing is not None)
    if not await _apply(app, event, decision, writable):
        return _quota_exceeded(event)
    _require_whole(plan, missing)
    if postponed.workspaces:
        return _waiting(postponed)
    if not desired.workspaces:
        return await _removed(app, event, plan)
    standing = await cluster.workspaces(namespace_name(team)) if plan else actual.by_name.values()
    return _progress(event, decision, desired, standing)


def _progress(
    event: Event[TeamMessage], decision: Decision, desired: DesiredWorkspaces, standing: Iterable[Workspace]
) -> Outcome:
    """What KAITO says of the workspaces that are ours. Raises for one that takes more nodes than it may."""
    own = [workspace for workspace in standing if workspace.managed]
    _require_bounds(own, decision)
    return _readiness(event, desired, own)


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
    configs = await _configs(cluster, name, configs_of(desired, actual))
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


async def _configs(cluster: Cluster, namespace: str, names: Set[str]) -> ActualConfigs:
    """These configurations, each read by itself."""
    found = await asyncio.gather(*(cluster.config_map(namespace, name) for name in sorted(names)))
    return dict(zip(sorted(names), found, strict=True))


@dataclass(frozen=True, slots=True)
class _Postponed:
    """The workspaces that must not be created or changed yet, each with the reason; `note` is for people."""

    workspaces: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    is_first_look: bool = False


async def _postponed(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    desired: DesiredWorkspaces,
    marker: Marker,
    actual: ActualWorkspaces,
) -> _Postponed:
    """The workspaces that must wait; what exists stays. Those that the catalogue changes are changed one at a
    time. A namespace whose marker vouches for all that is desired had its turn: there something is put right
    that people did.
    """
    if actual.unread:
        return _Postponed()
    unjudged = await _postponed_starts(app, decision, desired, actual)
    if unjudged.workspaces:
        return unjudged
    changed, state = changed_for_all(desired, actual), begun(marker, actual)
    if not changed or state == "vouched":
        return _Postponed()
    if state == "not yet":
        return _Postponed(dict.fromkeys(changed, ANOTHER_IS_REPLACED), is_first_look=True)
    wanted = {name: desired.workspaces[name] for name in changed}
    before = await workspaces_before(app, event, decision, wanted)
    note = f"after {', '.join(sorted(set(before.values())))}" if before else ""
    return _Postponed(dict.fromkeys(before, ANOTHER_IS_REPLACED), note)


async def _postponed_starts(
    app: App, decision: Decision, desired: DesiredWorkspaces, actual: ActualWorkspaces
) -> _Postponed:
    """New workspaces as long as the team's product does not grant them, or the release of KAITO in the
    cluster is not the one by which they were judged: no node is started before. The platform's own workspaces
    need no product.
    """
    new = started(desired, actual)
    if not new:
        return _Postponed()
    missing = new - actual.by_name.keys()
    if missing and decision.request is not None and not await _is_granted(app, decision):
        return _Postponed(dict.fromkeys(missing, PRODUCT_NOT_THERE))
    assert decision.catalog is not None
    if impossible := _impossible(decision.catalog, desired, new):
        return _Postponed(dict.fromkeys(impossible, WORKSPACE_IMPOSSIBLE), "; ".join(impossible.values()))
    release = await _cluster(app).release()
    return _Postponed(
        dict(_held_by_release(decision.catalog, new, release)), difference(decision.catalog.kaito, release)
    )


def _held_by_release(catalog: Catalog, new: Set[str], release: Release | None) -> Iterator[tuple[str, str]]:
    """The new workspaces, by name, that may not be created in a cluster with this release of KAITO."""
    for model in catalog.models:
        is_bounded = model.max_nodes is not None
        reason = start_problem(catalog.kaito, release, is_bounded=is_bounded)
        if workspace_name(model.name) in new and reason is not None:
            yield workspace_name(model.name), reason


def _impossible(catalog: Catalog, desired: DesiredWorkspaces, new: Set[str]) -> dict[str, str]:
    """The new workspaces that KAITO does not make as the catalogue has them, each with the first reason. The
    review says the same; what was merged all the same ends here, before it costs anything.
    """
    found = dict[str, str]()
    for model in catalog.models:
        name, setup = workspace_name(model.name), catalog.setup(model)
        if setup is not None and name in new:
            size = str(desired.workspaces[name]["resource"]["instanceType"])
            for _, _, message in faults_on(setup, size):
                found.setdefault(name, message)
    return found


def _waiting(postponed: _Postponed) -> Waiting:
    """Raises Rejected for workspaces that KAITO does not make: to wait would not help."""
    reasons = set(postponed.workspaces.values())
    if WORKSPACE_IMPOSSIBLE in reasons:
        raise Rejected(postponed.note, reason="WorkspaceImpossible")
    if PRODUCT_NOT_THERE in reasons:
        return Waiting(GRANT_WAIT, "ProductNotThere")
    if ANOTHER_IS_REPLACED in reasons:
        # A catalogue-wide change takes as long as all teams' models need to start.
        wait = GRANT_WAIT if postponed.is_first_look else TURN_WAIT
        return Waiting(wait, "AnotherIsReplaced", patient=True, note=postponed.note)
    if KAITO_RELEASE_UNKNOWN in reasons:
        return Waiting(RELEASE_WAIT, "KaitoReleaseUnknown", note=postponed.note)
    return Waiting(RELEASE_WAIT, "KaitoReleaseDiffers", note=postponed.note)


async def _is_granted(app: App, decision: Decision) -> bool:
    """Whether the team's product was written as the request says, so that its workspaces count as granted."""
    assert decision.request is not None
    assert decision.catalog is not None
    desired = compile_gateway(decision.request, decision.catalog, app.platform)
    found = await app.gateway.product(desired.product)
    if found is None:
        return False
    owner = own_marker(app, decision.request.team)
    Plan(
        refused=refusal("product", found.name, f"product {found.name}", owner, found.marker)
    ).require_allowed()
    marker = found.marker
    return marker is not None and marker.withdrawn is None and marker.digest == desired.digest


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


def _require_bounds(own: Iterable[Workspace], decision: Decision) -> None:
    """Raises Rejected when KAITO takes more nodes for a workspace that does not serve yet than the catalogue
    allows. Nothing is deleted.
    """
    assert decision.catalog is not None
    bounds = {workspace_name(model.name): model.max_nodes for model in decision.catalog.models}
    for each in own:
        most = bounds.get(each.name)
        if most is not None and each.nodes > most and not isinstance(readiness(each.conditions), Ready):
            message = f"KAITO takes {each.nodes} nodes for {each.name}, the catalogue allows {most}"
            raise Rejected(message, reason="TooManyNodes")


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

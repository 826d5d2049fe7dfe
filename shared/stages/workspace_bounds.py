"""Workspaces for which KAITO takes more nodes than the catalogue allows.

One that has never served goes, before its nodes have cost much. That it went is remembered in an immutable
ConfigMap of its namespace, whose name is a hash of what was tried: the workspace, the bound, and the release
of KAITO. So it is not made again until one of them changes, whatever message asks for it; earlier versions,
and server-side apply of the namespace, leave the ConfigMap alone; and it goes with the namespace.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence, Set
from datetime import datetime

from shared import telemetry
from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.catalog.catalog import Catalog
from shared.cluster_ports import Cluster
from shared.errors import AccessDenied, Busy, Rejected
from shared.kaito.releases import Release
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event
from shared.names import namespace as namespace_name
from shared.resources.actual import Workspace
from shared.resources.desired import DesiredWorkspaces
from shared.resources.plan import Delete, Plan, in_steps
from shared.resources.workspaces import MANAGED_BY, MANAGER, Manifest, node_bounds
from shared.stages.apply import WorkspaceWriter, apply_plan

TOO_MANY_NODES = "TooManyNodes"
#: Names of the ConfigMaps begin so.
_PREFIX = "too-many-nodes-"


async def require_bounds(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    desired: DesiredWorkspaces,
    own: Sequence[Workspace],
) -> None:
    """Raises Rejected when KAITO takes more nodes for a workspace that does not serve than the catalogue
    allows. It is deleted where it has surely never served and is younger than the limit for waiting.
    """
    assert decision.catalog is not None
    failures = list[Rejected]()
    for each, most in _above(own, decision.catalog):
        told = f"KAITO takes {each.nodes} nodes for {each.name}, the catalogue allows {most}"
        if each.verdict.is_ready:
            telemetry.noted(event.message.team, f"{told}: it serves, and stays")
            continue
        if _is_new(each, event.now, app) and each.name in desired.workspaces:
            told += await _gone(app, event, decision, desired.workspaces[each.name], each, most)
        failures.append(Rejected(told, reason="TooManyNodes"))
    for failure in failures:
        raise failure


def _above(own: Sequence[Workspace], catalog: Catalog) -> Iterator[tuple[Workspace, int]]:
    bounds = node_bounds(catalog)
    for each in own:
        most = bounds.get(each.name)
        if most is not None and each.nodes > most and not each.terminating:
            yield each, most


def _is_new(workspace: Workspace, now: datetime, app: App) -> bool:
    is_young = workspace.created is not None and now - workspace.created < app.timeouts.wait
    return is_young and workspace.was_never_ready


async def _gone(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    manifest: Manifest,
    found: Workspace,
    most: int,
) -> str:
    """Remember the workspace and delete it, after the branch was looked at again. Returns what to tell. Where
    it cannot be remembered it stays: it would be made and paid again and again.
    """
    assert app.cluster is not None
    cluster, home = app.cluster, namespace_name(event.message.team)
    await ensure_branch_unchanged(app, event, decision)
    memory = _memory(home, manifest, most, await cluster.release(), found.nodes)
    try:
        await cluster.create(memory)
    except (Busy, AccessDenied) as error:
        # An attempt that was cut off may have made it; a quota of others may have no room for it.
        if not await _is_remembered(cluster, home, memory["metadata"]["name"]):
            return f"; nothing was deleted: {error.message}"
    steps = in_steps(
        [Delete("route", found.name, "")], [Delete("workspace", found.name, found.resource_version)]
    )
    plan = Plan(steps).writable(despite_refusals=False, despite_unread=False)
    await apply_plan(plan, WorkspaceWriter(cluster, home))
    return "; it was deleted, and is not made again for the same request, catalogue and release"


async def refused_before(
    cluster: Cluster, home: str, desired: DesiredWorkspaces, names: Set[str], catalog: Catalog
) -> frozenset[str]:
    """Those of the workspaces that were deleted because KAITO took too many nodes for them."""
    bounds = {name: most for name, most in node_bounds(catalog).items() if name in names}
    if not bounds:
        return frozenset()
    release = await cluster.release()
    return frozenset(
        [
            name
            for name, most in sorted(bounds.items())
            if await _is_remembered(cluster, home, _memory_name(desired.workspaces[name], most, release))
        ]
    )


async def _is_remembered(cluster: Cluster, home: str, name: str) -> bool:
    """Unknown with the rights of earlier versions, which remembered nothing."""
    try:
        return await cluster.config_map(home, name) is not None
    except AccessDenied:
        return False


def _memory_name(manifest: Manifest, most: int, release: Release | None) -> str:
    tried = json.dumps([manifest, most, release], sort_keys=True)
    return f"{_PREFIX}{hashlib.sha256(tried.encode()).hexdigest()[:16]}"


def _memory(home: str, manifest: Manifest, most: int, release: Release | None, nodes: int) -> Manifest:
    name = _memory_name(manifest, most, release)
    said = {"workspace": manifest["metadata"]["name"], "nodes": str(nodes), "maxNodes": str(most)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": home, "labels": {MANAGED_BY: MANAGER}},
        "immutable": True,
        "data": {**said, "kaito": release or "unknown"},
    }

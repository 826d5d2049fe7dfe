"""Lists all existing objects for a sweep, concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

from shared import names
from shared.app import App
from shared.inventory.snapshot import Snapshot
from shared.ports import Cluster
from shared.resources.actual import (
    GpuNode,
    Limit,
    Namespace,
    Product,
    Project,
    RoleGrant,
    Route,
    Workspace,
)
from shared.resources.plan import Unread
from shared.resources.workspace_plan import has_our_label
from shared.resources.workspaces import LIMITS


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)
Limits = Mapping[str, tuple[Limit, ...]]
#: Namespaces that are looked at by themselves at the same time.
CONCURRENCY = 8


async def list_all(app: App, products: Iterable[Product]) -> Snapshot:
    """All objects but the products, which the caller has already."""
    gateway = app.gateway
    unified = asyncio.gather(
        gateway.api(names.API), gateway.api_policy(names.API), gateway.fragment(names.FRAGMENT)
    )
    on_gateway = asyncio.gather(
        gateway.linked_products(names.API),
        gateway.subscriptions(),
        gateway.backends(""),
        gateway.named_values(names.CREDENTIAL_PREFIX, app.platform.repository),
    )
    in_vault = asyncio.gather(app.vault.newest(), app.roles.readers())
    (
        (api, policy, fragment),
        (linked, subscriptions, backends, values),
        (secrets, readers),
        cluster,
        limits,
        playground,
    ) = await asyncio.gather(
        unified,
        on_gateway,
        in_vault,
        _survey_cluster(app.cluster),
        _survey_limits(app.cluster),
        _survey_playground(app),
    )
    found = (
        _by_name(products),
        linked,
        _by_name(subscriptions),
        _by_name(backends),
        _by_name(values),
        _by_name(secrets),
        readers,
    )
    snapshot = Snapshot(
        api,
        *found,
        *cluster,
        *playground,
        api_policy=policy,
        fragment=fragment.digest,
        rules=fragment.rules,
        limits=limits,
    )
    if app.cluster is None:
        return snapshot
    return await _with_missing(app.cluster, app.platform.repository, snapshot)


async def _survey_playground(app: App) -> tuple[Mapping[str, Project], Mapping[str, frozenset[RoleGrant]]]:
    if app.projects is None or app.project_roles is None:
        return {}, {}
    projects, users = await asyncio.gather(app.projects.projects(), app.project_roles.readers())
    return _by_name(projects), users


async def _survey_cluster(
    cluster: Cluster | None,
) -> tuple[
    Mapping[str, Namespace],
    Mapping[str, tuple[Workspace, ...]],
    Mapping[str, tuple[Route, ...]],
    tuple[GpuNode, ...],
]:
    if cluster is None:
        return {}, {}, {}, ()
    namespaces, workspaces, routes, nodes = await asyncio.gather(
        cluster.namespaces(), cluster.all_workspaces(), cluster.all_routes(), cluster.gpu_nodes()
    )
    by_home = {home: tuple(found) for home, found in workspaces.items()}
    return _by_name(namespaces), by_home, {home: tuple(found) for home, found in routes.items()}, tuple(nodes)


async def _survey_limits(cluster: Cluster | None) -> Limits:
    """Quotas and network policies by namespace: one list of each kind."""
    if cluster is None:
        return {}
    quotas, policies = await asyncio.gather(cluster.all_quotas(), cluster.all_network_policies())
    return {
        home: (*quotas.get(home, ()), *policies.get(home, ())) for home in quotas.keys() | policies.keys()
    }


async def _with_missing(cluster: Cluster, repository: int, snapshot: Snapshot) -> Snapshot:
    """What the lists by label lack is looked for by its name: it is gone, or has lost the label."""
    semaphore = asyncio.Semaphore(CONCURRENCY)

    async def read(home: str) -> tuple[str, tuple[Limit, ...], tuple[Route, ...]]:
        async with semaphore:
            limits, routes = await asyncio.gather(cluster.limits(home), cluster.routes(home))
            return home, tuple(limits), tuple(routes)

    found = await asyncio.gather(*map(read, _incomplete_homes(repository, snapshot)))
    known = {} if isinstance(snapshot.limits, Unread) else snapshot.limits
    return replace(
        snapshot,
        limits={**known, **{home: limits for home, limits, _ in found}},
        routes={**snapshot.routes, **{home: routes for home, _, routes in found}},
    )


def _incomplete_homes(repository: int, snapshot: Snapshot) -> Iterator[str]:
    """The namespaces that a marker vouches for and of which the lists lack a limit or a route."""
    for home, namespace in snapshot.namespaces.items():
        marker = namespace.marker
        if marker is None or (marker.repository, names.namespace(marker.team)) != (repository, home):
            continue
        is_written = bool(marker.digest) and marker.withdrawn is None and not marker.newer
        if is_written and not namespace.terminating and has_our_label(namespace) and _lacks(home, snapshot):
            yield home


def _lacks(home: str, snapshot: Snapshot) -> bool:
    limits = () if isinstance(snapshot.limits, Unread) else snapshot.limits.get(home, ())
    workspaces = {each.name for each in snapshot.workspaces.get(home, ()) if not each.terminating}
    routes = {each.name for each in snapshot.routes.get(home, ())}
    return bool(LIMITS.items() - {(each.kind, each.name) for each in limits} or workspaces - routes)


def _by_name(found: Iterable[N]) -> dict[str, N]:
    return {each.name: each for each in found}

"""Lists all existing objects for a sweep, concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from shared import names
from shared.app import App
from shared.cluster_ports import Cluster
from shared.errors import AccessDenied, KindNotServed, MergekeyError
from shared.inventory.bearer import read_bearer
from shared.inventory.snapshot import Snapshot
from shared.inventory.workspace_logs import with_log_classes
from shared.inventory.workspace_witnesses import Witnesses, witnesses
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
from shared.resources.namespace_labels import has_our_label
from shared.resources.plan import UNREAD, Unread, known
from shared.resources.workspaces import LIMITS


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)
V = TypeVar("V")
Limits = Mapping[str, tuple[Limit, ...]]
#: Namespaces that are looked at by themselves at the same time.
CONCURRENCY = 8


@dataclass(frozen=True, slots=True)
class _InCluster:
    """The lists of the cluster, as in the snapshot."""

    namespaces: Mapping[str, Namespace] | Unread = field(default_factory=dict)
    workspaces: Mapping[str, tuple[Workspace, ...]] | Unread = field(default_factory=dict)
    routes: Mapping[str, tuple[Route, ...]] | Unread = field(default_factory=dict)
    nodes: tuple[GpuNode, ...] | Unread = ()
    limits: Limits | Unread = field(default_factory=dict)
    not_served: Mapping[str, MergekeyError] = field(default_factory=dict)


async def if_served(read: Callable[..., Awaitable[V]], *where: str) -> V | KindNotServed:
    """What is read (in a namespace), or the error where the cluster does not know the kind: that part is
    unknown then, and the others are compared all the same.
    """
    try:
        return await read(*where)
    except KindNotServed as error:
        return error


def or_unread(found: V | KindNotServed) -> V | Unread:
    return UNREAD if isinstance(found, KindNotServed) else found


def errors_of(*parts: object) -> dict[str, KindNotServed]:
    """By kind, those that are not served."""
    return {each.kind: each for each in parts if isinstance(each, KindNotServed)}


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
    for_bearer = asyncio.gather(read_bearer(gateway), gateway.linked_products(names.BEARER_API))
    in_vault = asyncio.gather(app.vault.newest(), app.roles.readers())
    (
        (api, policy, fragment),
        (linked, subscriptions, backends, values),
        (secrets, readers),
        (bearer, bearer_linked),
        cluster,
        playground,
    ) = await asyncio.gather(
        unified,
        on_gateway,
        in_vault,
        for_bearer,
        _survey_cluster(app.cluster, app.pod_logs),
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
        cluster.namespaces,
        cluster.workspaces,
        cluster.routes,
        cluster.nodes,
        *playground,
        api_policy=policy,
        fragment=fragment.digest,
        rules=fragment.rules,
        limits=cluster.limits,
        bearer=bearer,
        bearer_linked=bearer_linked,
        not_served=cluster.not_served,
    )
    if app.cluster is None:
        return snapshot
    return await _with_missing(app.cluster, app.platform.repository, snapshot)


async def _survey_playground(app: App) -> tuple[Mapping[str, Project], Mapping[str, frozenset[RoleGrant]]]:
    if app.projects is None or app.project_roles is None:
        return {}, {}
    projects, users = await asyncio.gather(app.projects.projects(), app.project_roles.readers())
    return _by_name(projects), users


async def _survey_cluster(cluster: Cluster | None, with_logs: bool) -> _InCluster:
    """Nodes are listed first: one whose workspace is not in the later list has lost it."""
    if cluster is None:
        return _InCluster()
    nodes = await if_served(cluster.gpu_nodes)
    namespaces, workspaces, routes, (limits, unknown) = await asyncio.gather(
        if_served(cluster.namespaces),
        if_served(cluster.all_workspaces),
        if_served(cluster.all_routes),
        _survey_limits(cluster),
    )
    standing = _by_home(workspaces)
    seen = await witnesses(
        cluster, known(standing, {}), with_claims=_has_lost_nodes(known(or_unread(nodes), ()), standing)
    )
    denied = dict(seen.denied or {})
    told = {home: seen.of(home, each) for home, each in known(standing, {}).items()}
    if with_logs:
        told = {home: await with_log_classes(cluster, home, each, denied) for home, each in told.items()}
    return _InCluster(
        UNREAD if isinstance(namespaces, KindNotServed) else _by_name(namespaces),
        standing if isinstance(standing, Unread) else told,
        _by_home(routes),
        UNREAD if isinstance(nodes, KindNotServed) else _with_claims(nodes, seen),
        limits,
        {**unknown, **denied, **errors_of(nodes, namespaces, workspaces, routes)},
    )


def _with_claims(nodes: Iterable[GpuNode], seen: Witnesses) -> tuple[GpuNode, ...]:
    """Nodes whose NodeClaims are being deleted are going."""
    going = {claim.node for claim in seen.claims or () if claim.going}
    return tuple(replace(node, going=node.going or node.name in going) for node in nodes)


def _has_lost_nodes(
    nodes: Iterable[GpuNode], workspaces: Mapping[str, tuple[Workspace, ...]] | Unread
) -> bool:
    """Whether a node stands whose workspace does not: it was left behind, or its NodeClaim is being deleted.
    All releases of KAITO let go of a workspace before its nodes are gone.
    """
    if isinstance(workspaces, Unread):
        return False
    standing = {(home, each.name) for home, found in workspaces.items() for each in found}
    return any(not node.going and (node.namespace, node.workspace) not in standing for node in nodes)


async def _survey_limits(cluster: Cluster) -> tuple[Limits | Unread, Mapping[str, MergekeyError]]:
    """Quotas and network policies by namespace, one list of each kind, and why they are unknown, by kind.

    The rights that earlier versions were given do not list them: until rbac.yaml is applied again, a sweep
    says so and compares everything else.
    """
    try:
        quotas, policies = await asyncio.gather(cluster.all_quotas(), cluster.all_network_policies())
    except KindNotServed as error:
        return UNREAD, errors_of(error)
    except AccessDenied as error:
        return UNREAD, {"ResourceQuota, NetworkPolicy": error}
    homes = quotas.keys() | policies.keys()
    return {home: (*quotas.get(home, ()), *policies.get(home, ())) for home in homes}, {}


def _by_home(found: Mapping[str, list[V]] | KindNotServed) -> Mapping[str, tuple[V, ...]] | Unread:
    if isinstance(found, KindNotServed):
        return UNREAD
    return {home: tuple(each) for home, each in found.items()}


async def _with_missing(cluster: Cluster, repository: int, snapshot: Snapshot) -> Snapshot:
    """What the lists by label lack is looked for by its name: it is gone, or has lost the label."""
    semaphore = asyncio.Semaphore(CONCURRENCY)

    async def read(home: str) -> tuple[list[Limit] | KindNotServed, list[Route] | KindNotServed]:
        async with semaphore:
            return await asyncio.gather(if_served(cluster.limits, home), if_served(cluster.routes, home))

    homes = tuple(_incomplete_homes(repository, snapshot))
    found = dict(zip(homes, await asyncio.gather(*map(read, homes)), strict=True))
    return replace(
        snapshot,
        limits=_completed(snapshot.limits, {home: limits for home, (limits, _) in found.items()}),
        routes=_completed(snapshot.routes, {home: routes for home, (_, routes) in found.items()}),
        not_served={
            **snapshot.not_served,
            **errors_of(*(part for parts in found.values() for part in parts)),
        },
    )


def _completed(
    listed: Mapping[str, tuple[V, ...]] | Unread, found: Mapping[str, list[V] | KindNotServed]
) -> Mapping[str, tuple[V, ...]] | Unread:
    read = {home: tuple(each) for home, each in found.items() if not isinstance(each, KindNotServed)}
    if isinstance(listed, Unread) or len(read) < len(found):
        return UNREAD
    return {**listed, **read}


def _incomplete_homes(repository: int, snapshot: Snapshot) -> Iterator[str]:
    """The namespaces of ours, also unfinished ones, of which the lists lack a limit or a route."""
    for home, namespace in known(snapshot.namespaces, {}).items():
        marker = namespace.marker
        if marker is None or (marker.repository, names.namespace(marker.team)) != (repository, home):
            continue
        is_in_force = marker.withdrawn is None and not marker.newer
        if is_in_force and not namespace.terminating and has_our_label(namespace) and _lacks(home, snapshot):
            yield home


def _lacks(home: str, snapshot: Snapshot) -> bool:
    """Whether a list that was answered has not all that should be there."""
    return _lacks_limit(home, snapshot) or _lacks_route(home, snapshot)


def _lacks_limit(home: str, snapshot: Snapshot) -> bool:
    if isinstance(snapshot.limits, Unread):
        return False
    return bool(LIMITS.items() - {(each.kind, each.name) for each in snapshot.limits.get(home, ())})


def _lacks_route(home: str, snapshot: Snapshot) -> bool:
    if isinstance(snapshot.workspaces, Unread) or isinstance(snapshot.routes, Unread):
        return False
    workspaces = {each.name for each in snapshot.workspaces.get(home, ()) if not each.terminating}
    return bool(workspaces - {each.name for each in snapshot.routes.get(home, ())})


def _by_name(found: Iterable[N]) -> dict[str, N]:
    return {each.name: each for each in found}

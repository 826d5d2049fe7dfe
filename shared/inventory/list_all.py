"""Lists all existing objects for a sweep, concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from shared import names
from shared.app import App
from shared.inventory.snapshot import Snapshot
from shared.ports import Cluster
from shared.resources.actual import GpuNode, Namespace, Product, Project, RoleGrant, Route, Workspace


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


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
        playground,
    ) = await asyncio.gather(
        unified, on_gateway, in_vault, _survey_cluster(app.cluster), _survey_playground(app)
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
    return Snapshot(
        api, *found, *cluster, *playground, api_policy=policy, fragment=fragment.digest, rules=fragment.rules
    )


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


def _by_name(found: Iterable[N]) -> dict[str, N]:
    return {each.name: each for each in found}

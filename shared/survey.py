"""What exists, for a sweep: everything by lists, side by side; one team by itself only for a deep look."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Protocol, TypeVar

from shared.app import App
from shared.domain import drift, names
from shared.domain.actual import GpuNode, Namespace, Product, Project, Reader, Route, Workspace
from shared.domain.catalog import Catalog
from shared.domain.desired import (
    DesiredWorkspaces,
    compile_gateway,
    compile_project,
    compile_shared_workspaces,
    compile_workspaces,
)
from shared.domain.policy import requested_model_fragment
from shared.domain.policy_xml import digest_of, meaning_of
from shared.domain.world import Wanted, World
from shared.ports import Cluster


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


async def survey(app: App, products: Iterable[Product]) -> World:
    """Everything but the products, which the caller has already."""
    gateway = app.gateway
    on_gateway = asyncio.gather(
        gateway.api(names.API),
        gateway.api_policy(names.API),
        gateway.linked_products(names.API),
        gateway.subscriptions(),
        gateway.backends(""),
        gateway.named_values(names.CREDENTIAL_PREFIX, app.platform.repository),
    )
    in_vault = asyncio.gather(app.vault.newest(), app.roles.readers())
    (api, rules, linked, subscriptions, backends, values), (secrets, readers), cluster, playground = await asyncio.gather(
        on_gateway, in_vault, _survey_cluster(app.cluster), _survey_playground(app)
    )
    urls = {value.name: value.url for value in values if value.ours}
    found = _by_name(products), linked, _by_name(subscriptions), _by_name(backends), urls, _by_name(secrets), readers
    return World(api, *found, *cluster, *playground, api_policy=rules.digest if rules else "")


async def look_deep(app: App, wanted: Wanted, catalog: Catalog, world: World) -> list[str]:
    """What lists cannot show: limits and a policy that were edited, keys that are not those in the vault."""
    desired, team = compile_gateway(wanted.request, catalog, app.platform), wanted.request.team
    workspaces = compile_workspaces(wanted.request, catalog, app.platform)
    found = [*chain.from_iterable(await asyncio.gather(_look_at_traces(app, wanted, world), _look_at_limits(app, workspaces, team, world)))]
    if desired.product not in world.products or names.subscription(team) not in world.subscriptions:
        return found
    policy, keys = await asyncio.gather(app.gateway.product_policy(desired.product), app.gateway.keys(names.subscription(team)))
    if policy is None or policy.digest != digest_of(desired.policy):
        found.append("its policy is not what was written")
    for name, value in zip((names.primary_key_secret(team), names.secondary_key_secret(team)), keys, strict=True):
        if name in world.secrets and world.secrets[name].tags.get("fingerprint") != value.fingerprint(name):
            found.append(f"secret {name} is not the key that the gateway takes")
    return found


async def look_deep_at_catalog(app: App, catalog: Catalog, world: World) -> list[str]:
    """The same of the catalogue's own: the fragment that every product's policy begins with, and the limits of its workspaces."""
    shared = compile_shared_workspaces(catalog, app.platform)
    fragment, found = await asyncio.gather(app.gateway.fragment(names.FRAGMENT), _look_at_limits(app, shared, names.CATALOGUE_TEAM, world))
    if fragment != meaning_of(requested_model_fragment()):
        found.append("the policy fragment is not what was written")
    return found


async def _look_at_limits(app: App, desired: DesiredWorkspaces, team: str, world: World) -> list[str]:
    """Of a namespace that stands. Those of one that does not are written with it."""
    if app.cluster is None or names.namespace(team) not in world.namespaces:
        return []
    return list(drift.of_limits(desired.limits, await asyncio.gather(*map(app.cluster.limit, desired.limits))))


async def _look_at_traces(app: App, wanted: Wanted, world: World) -> list[str]:
    """No list of the account shows the connections of its projects."""
    playground, request = app.platform.playground, wanted.request
    if app.projects is None or playground is None or not request.playground_access or names.project(request.team) not in world.projects:
        return []
    target, connection = compile_project(request, playground).tracing, await app.projects.connection(names.project(request.team))
    return [] if target is None or (connection is not None and connection.target.lower() == target.lower()) else ["its traces are not kept"]


async def _survey_playground(app: App) -> tuple[Mapping[str, Project], Mapping[str, frozenset[Reader]]]:
    if app.projects is None or app.project_roles is None:
        return {}, {}
    projects, users = await asyncio.gather(app.projects.projects(), app.project_roles.readers())
    return _by_name(projects), users


async def _survey_cluster(
    cluster: Cluster | None,
) -> tuple[Mapping[str, Namespace], Mapping[str, tuple[Workspace, ...]], Mapping[str, tuple[Route, ...]], tuple[GpuNode, ...]]:
    if cluster is None:
        return {}, {}, {}, ()
    namespaces, workspaces, routes, nodes = await asyncio.gather(
        cluster.namespaces(), cluster.all_workspaces(), cluster.all_routes(), cluster.gpu_nodes()
    )
    by_home = {home: tuple(found) for home, found in workspaces.items()}
    return _by_name(namespaces), by_home, {home: tuple(found) for home, found in routes.items()}, tuple(nodes)


def _by_name(found: Iterable[N]) -> dict[str, N]:
    return {each.name: each for each in found}

"""The account of what is in force: how much each team has of the models that are limited over all teams,
whether it has a request or not.

Every product of ours that is not withdrawn counts, finished or not, held or not, and independently of the
team's file. Its marker names a commit; Git has the request and the catalogue of that commit, from which the
access was granted. Where Git has lost them, the product's policy tells what it grants. Where the policy is
not ours, and where an unmanaged product has the team's name, the grant is unknown: the models that the team's
files name then count with the largest amount that a team may have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

from shared import names
from shared.app import App
from shared.branch.in_force import granted_at
from shared.branch.missing_teams import our_products
from shared.branch.review import KEPT, read
from shared.catalog.capacity import (
    ExistingNodes,
    ExistingWorkspaces,
    Grants,
    is_dedicated,
    nodes_of_grant,
)
from shared.catalog.catalog import Catalog
from shared.catalog.reservation import Account, Share
from shared.cluster_ports import Cluster
from shared.errors import KindNotServed
from shared.marker import NOWHERE, Marker
from shared.requests.paths import RequestPaths
from shared.resources.actual import Product, Workspace
from shared.resources.desired import Platform, compile_gateway
from shared.resources.plan import UNREAD, Unread

#: Teams whose grants are read at the same time.
CONCURRENCY = 8


@dataclass(frozen=True, slots=True)
class KnownObjects:
    """The objects that the caller has listed already. `workspaces` by namespace; None if they were not
    listed, UNREAD if the cluster does not serve them.
    """

    products: Sequence[Product]
    workspaces: Mapping[str, Sequence[Workspace]] | Unread | None = None


@dataclass(frozen=True, slots=True)
class RequestFiles:
    """The valid catalogue of the branch, and the requests that are regular files: their contents by path, by
    team.
    """

    catalog: Catalog
    requests: Mapping[str, Mapping[str, bytes]]

    def of(self, team: str) -> Mapping[str, bytes]:
        """The team's own."""
        return self.requests.get(team, {})


async def account_of(
    app: App, files: RequestFiles, seen: KnownObjects, teams: frozenset[str] | None = None
) -> Account:
    """The account of these teams, or of all teams. It costs at most two calls to GitHub for each team whose
    request differs from what was granted.
    """
    own = {product.name for product in our_products(app, seen.products)}
    counted = _counted_products(files, seen.products, own)
    if teams is not None:
        counted = {team: product for team, product in counted.items() if team in teams}
    unmanaged = frozenset(team for team, product in counted.items() if product.name not in own)
    shares = await _shares(app, files, counted, unmanaged)
    # Of neither does a stage of ours write a product, whatever the request says.
    kept = unmanaged | {team for team, product in counted.items() if product.marker and product.marker.newer}
    there, nodes = await _existing_workspaces(app, files.catalog, seen)
    return Account(shares, there, kept, nodes)


async def _shares(
    app: App, files: RequestFiles, counted: Mapping[str, Product], unmanaged: Set[str]
) -> dict[str, Share]:
    """By team. Most have what their file says: only for the others anything is read."""
    known = {
        team: _share_by_file(app, files, product, team)
        for team, product in counted.items()
        if team not in unmanaged
    }
    shares = {team: share for team, share in known.items() if share is not None}
    gate = asyncio.Semaphore(CONCURRENCY)

    async def look(team: str) -> Share:
        async with gate:
            if team in unmanaged:
                return Share(await _by_policy(app, files, team))
            return await _share(app, files, counted[team], team)

    rest = [team for team in counted if team not in shares]
    found = await asyncio.gather(*map(look, rest))
    return shares | dict(zip(rest, found, strict=True))


def _counted_products(files: RequestFiles, products: Iterable[Product], own: Set[str]) -> dict[str, Product]:
    """By team, the products that count. One that is not ours counts only where a team of ours has a request
    at its name.
    """
    named = ((names.team_named_in(product.name), product) for product in products)
    return {
        team: product
        for team, product in named
        if team is not None and not _is_withdrawn(product) and (product.name in own or team in files.requests)
    }


async def share_of(app: App, files: RequestFiles, product: Product, team: str) -> Share:
    """The share of one team, to which the product belongs; empty when it is withdrawn."""
    if _is_withdrawn(product):
        return Share()
    return _share_by_file(app, files, product, team) or await _share(app, files, product, team)


def _is_withdrawn(product: Product) -> bool:
    return product.marker is not None and product.marker.withdrawn is not None


def _share_by_file(app: App, files: RequestFiles, product: Product, team: str) -> Share | None:
    """What the team's current file says, if its digest is the marker's: then nothing has to be read."""
    digest = "" if product.marker is None else product.marker.digest
    for path, content in files.of(team).items() if digest else ():
        grants, known = _granted_by(path, content, files.catalog, app.paths.requests, app.platform)
        if digest == known:
            return Share(grants)
    return None


async def _share(app: App, files: RequestFiles, product: Product, team: str) -> Share:
    """A marker without a digest reserves what its commit asks for; the policy tells how much of that was
    written.
    """
    marker = product.marker
    assert marker is not None, "it is ours"
    if marker.digest:
        firm = await granted_by(app, marker)
        return Share(await _by_policy(app, files, team) if firm is None else firm)
    if marker.commit == NOWHERE:
        return Share(await _by_policy(app, files, team, without_policy={}))
    claimed = await granted_by(app, marker)
    return Share(
        await _by_policy(app, files, team, without_policy={}),
        _at_the_ceiling(app, files, team) if claimed is None else claimed,
    )


@lru_cache(maxsize=KEPT)
def _granted_by(
    path: str, content: bytes, catalog: Catalog, paths: RequestPaths, platform: Platform
) -> tuple[Grants, str]:
    """What a request grants, and the digest with which that is written; empty for one that is not valid."""
    evaluation = read(path, content, catalog, paths)
    if evaluation.request is None:
        return {}, ""
    return evaluation.tokens, compile_gateway(evaluation.request, catalog, platform).digest


async def granted_by(app: App, marker: Marker) -> Grants | None:
    """The grants of the request at the marker's commit, read with the catalogue of the same commit; None when
    Git has lost them, or the marker names no commit or path.
    """
    found = await granted_at(app, marker)
    return None if found is None or found[0].request is None else found[0].tokens


async def _by_policy(
    app: App, files: RequestFiles, team: str, without_policy: Grants | None = None
) -> Grants:
    """The grants of the product's policy. `without_policy` are those of a product that has no policy; None if
    they are unknown.
    """
    policy = await app.gateway.product_policy(names.product(team))
    if policy is None and without_policy is not None:
        return without_policy
    return _at_the_ceiling(app, files, team) if policy is None or policy.grants is None else policy.grants


def _at_the_ceiling(app: App, files: RequestFiles, team: str) -> Grants:
    """The models that the team's files name, without a limit: they count with the ceiling of the catalogue,
    because the real amount is unknown.
    """
    asked = [
        read(path, content, files.catalog, app.paths.requests).tokens
        for path, content in files.of(team).items()
    ]
    return {
        model: tokens if is_dedicated(tokens) else None
        for tokens_of in asked
        for model, tokens in tokens_of.items()
    }


async def _existing_workspaces(
    app: App, catalog: Catalog, seen: KnownObjects
) -> tuple[ExistingWorkspaces, ExistingNodes]:
    """By model, the teams that have a workspace for it, and the nodes of each. It costs one list of the
    cluster, where a model may have dedicated workspaces.
    """
    dedicated = [model.name for model in catalog.models if model.dedicated is not None]
    if not dedicated or app.cluster is None:
        return {}, {}
    workspaces = await _listed(app.cluster) if seen.workspaces is None else seen.workspaces
    if isinstance(workspaces, Unread):
        return await _not_seen_gone(app, app.cluster, dedicated, seen.products), {}
    there = {model: _teams_with(names.workspace(model), workspaces) for model in dedicated}
    return there, dict(_nodes(catalog, workspaces))


def _nodes(
    catalog: Catalog, workspaces: Mapping[str, Sequence[Workspace]]
) -> Iterator[tuple[tuple[str, str], int]]:
    """By model and team, what the tables or the cluster say, the larger of both."""
    models = {names.workspace(model.name): model.name for model in catalog.models if model.dedicated}
    for namespace, found in workspaces.items():
        team = names.team_named_in(namespace)
        for each in found if team is not None else ():
            model = models.get(each.name)
            if team is not None and model is not None:
                yield (model, team), _nodes_of(catalog, model, each)


def _nodes_of(catalog: Catalog, model: str, found: Workspace) -> int:
    size = found.fixed.get("instanceType")
    return max(nodes_of_grant(catalog, model, str(size) if size else 0), found.nodes)


async def _listed(cluster: Cluster) -> Mapping[str, Sequence[Workspace]] | Unread:
    try:
        return await cluster.all_workspaces()
    except KindNotServed:
        return UNREAD


async def _not_seen_gone(
    app: App, cluster: Cluster, dedicated: Iterable[str], products: Iterable[Product]
) -> ExistingWorkspaces:
    """While the cluster does not serve workspaces, those of withdrawn teams that may have a namespace: by the
    requests from which they were made. The other teams' grants count anyway.
    """
    leaving = _leaving(our_products(app, products), await _namespaces(cluster))
    asked = await asyncio.gather(*(granted_by(app, marker) for marker in leaving))
    # The grants are unknown where Git has lost the request.
    had = {marker.team: grants for marker, grants in zip(leaving, asked, strict=True)}
    return {
        model: frozenset(
            team for team, grants in had.items() if grants is None or is_dedicated(grants.get(model))
        )
        for model in dedicated
    }


async def _namespaces(cluster: Cluster) -> Set[str] | Unread:
    try:
        return {each.name for each in await cluster.namespaces()}
    except KindNotServed:
        return UNREAD


def _leaving(products: Iterable[Product], homes: Set[str] | Unread) -> list[Marker]:
    """The markers of the withdrawn teams that have one of these namespaces, or may have."""
    markers = (product.marker for product in products if product.marker is not None)
    withdrawn = [each for each in markers if each.withdrawn is not None]
    if isinstance(homes, Unread):
        return withdrawn
    return [each for each in withdrawn if names.namespace(each.team) in homes]


def _teams_with(workspace: str, workspaces: Mapping[str, Sequence[Workspace]]) -> frozenset[str]:
    """The teams that have a workspace of this name."""
    namespaces = [name for name, found in workspaces.items() if workspace in {each.name for each in found}]
    return frozenset(team for name in namespaces if (team := names.team_named_in(name)) is not None)

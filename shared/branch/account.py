"""What is in force: what each team has of the models that are counted over all teams, whether it has a
request or not.

Every product of ours that is not withdrawn counts: finished or not, held or not, whatever became of the
team's file. Its marker names a commit, and Git has the text and the catalogue of that commit, by which it was
granted. Where Git has lost them the product's policy says what it grants. Where that is not ours either, and
where somebody else's product has the name, nobody knows: then the models that the team's files name count
with what a team may have of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from shared import names
from shared.app import App
from shared.branch.missing_teams import ours
from shared.branch.platform_checks import read_fitting_catalog
from shared.branch.review import read
from shared.catalog.capacity import Grants
from shared.catalog.catalog import Catalog
from shared.catalog.reservation import Account, Share
from shared.marker import NOWHERE, Marker
from shared.requests.paths import RequestPaths
from shared.requests.request import AccessRequest
from shared.resources.actual import Product, Workspace
from shared.resources.desired import Platform, compile_gateway

#: Teams that are looked at at the same time.
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Seen:
    """What the caller has read already. `workspaces` by namespace; None where nobody has looked."""

    products: Sequence[Product]
    workspaces: Mapping[str, Sequence[Workspace]] | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """The catalogue that is in force by the branch, and what the requests say: by team and path."""

    catalog: Catalog
    requests: Mapping[str, Mapping[str, bytes]]

    @classmethod
    def of(cls, catalog: Catalog, contents: Mapping[str, bytes], paths: RequestPaths) -> Files:
        """Of the contents of regular files, those of requests."""
        found: dict[str, dict[str, bytes]] = {}
        for path, content in contents.items():
            team = paths.team_of(path)
            if team is not None:
                found.setdefault(team, {})[path] = content
        return cls(catalog, found)


async def account_of(app: App, files: Files, seen: Seen, teams: frozenset[str] | None = None) -> Account:
    """The account of these teams, or of all. At most two calls of GitHub for each team whose request is not
    what was granted.
    """
    own = {product.name for product in ours(app, seen.products)}
    named = [(product, names.team_named_in(product.name)) for product in seen.products]
    wanted = [
        (product, team) for product, team in named if team is not None and (teams is None or team in teams)
    ]
    # Of a stranger's product only what a team of ours asks for beside it matters.
    wanted = [
        (product, team)
        for product, team in wanted
        if not _is_withdrawn(product) and (product.name in own or team in files.requests)
    ]
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(product: Product, team: str) -> Share:
        async with gate:
            return (
                await _share(app, files, product, team)
                if product.name in own
                else Share(await _by_policy(app, files, team))
            )

    shares = zip(wanted, await asyncio.gather(*(look(*each) for each in wanted)), strict=True)
    kept = frozenset(team for product, team in wanted if product.name not in own)
    return Account(
        {team: share for (_, team), share in shares}, await _standing(app, files.catalog, seen), kept
    )


async def share_of(app: App, files: Files, product: Product, team: str) -> Share:
    """Of one team, whose own the product is; nothing when it is withdrawn."""
    return Share() if _is_withdrawn(product) else await _share(app, files, product, team)


def _is_withdrawn(product: Product) -> bool:
    return product.marker is not None and product.marker.withdrawn is not None


async def _share(app: App, files: Files, product: Product, team: str) -> Share:
    """A marker without a digest has reserved what its commit says, and nobody knows how far that was written:
    the policy does.
    """
    marker = product.marker
    assert marker is not None, "it is ours"
    if marker.digest:
        firm = _as_it_stands(app, files, marker, team)
        if firm is None:
            firm = await _by_commit(app, marker)
        return Share(await _by_policy(app, files, team) if firm is None else firm)
    if marker.commit == NOWHERE:
        return Share(await _by_policy(app, files, team, bare={}))
    claimed = await _by_commit(app, marker)
    return Share(
        await _by_policy(app, files, team, bare={}),
        _at_the_ceiling(app, files, team) if claimed is None else claimed,
    )


def _as_it_stands(app: App, files: Files, marker: Marker, team: str) -> Grants | None:
    """What the team's file says, where that is what was granted: then no earlier text is needed."""
    for path, text in files.requests.get(team, {}).items():
        now = read(path, text, files.catalog, app.places.requests)
        if now.request is not None and _digest(now.request, files.catalog, app.platform) == marker.digest:
            return now.tokens
    return None


@lru_cache(maxsize=4096)
def _digest(request: AccessRequest, catalog: Catalog, platform: Platform) -> str:
    """Every account asks it of every team, and to write a policy takes thirty times as long as to find it
    here.
    """
    return compile_gateway(request, catalog, platform).digest


async def _by_commit(app: App, marker: Marker) -> Grants | None:
    """What the text of the marker's commit was granted by the catalogue of the same commit; None when Git has
    lost it, or the marker does not say which it was.
    """
    if marker.commit in ("", NOWHERE) or not marker.path:
        return None
    text, catalog = await asyncio.gather(
        app.repository.file(marker.commit, marker.path),
        app.repository.file(marker.commit, app.places.catalog),
    )
    offered = None if catalog is None else read_fitting_catalog(app.places.catalog, catalog, None).catalog
    if text is None or offered is None:
        return None
    verdict = read(marker.path, text, offered, app.places.requests)
    return None if verdict.request is None else verdict.tokens


async def _by_policy(app: App, files: Files, team: str, bare: Grants | None = None) -> Grants:
    """What the policy of the product grants. `bare` is what one without a policy has; where that is None
    nobody knows.
    """
    policy = await app.gateway.product_policy(names.product(team))
    if policy is None and bare is not None:
        return bare
    return _at_the_ceiling(app, files, team) if policy is None or policy.grants is None else policy.grants


def _at_the_ceiling(app: App, files: Files, team: str) -> Grants:
    """The models that the team's files name, without a bound, so that they count with the ceiling: nobody
    knows better.
    """
    asked = [
        read(path, text, files.catalog, app.places.requests).tokens
        for path, text in files.requests.get(team, {}).items()
    ]
    return {model: 0 if tokens == 0 else None for tokens_of in asked for model, tokens in tokens_of.items()}


async def _standing(app: App, catalog: Catalog, seen: Seen) -> dict[str, frozenset[str]]:
    """By one list of the cluster, where a model may have workspaces of teams' own."""
    models = {
        names.workspace(model.name): model.name for model in catalog.models if model.dedicated is not None
    }
    if not models or app.cluster is None:
        return {}
    workspaces = await app.cluster.all_workspaces() if seen.workspaces is None else seen.workspaces
    homes = [
        (team, found)
        for namespace, found in workspaces.items()
        if (team := names.team_named_in(namespace)) is not None
    ]
    there = {(models[each.name], team) for team, found in homes for each in found if each.name in models}
    return {model: frozenset(team for name, team in there if name == model) for model in models.values()}

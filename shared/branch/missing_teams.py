"""The teams whose access would end, and which of them the guard holds until a person approves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from shared import names
from shared.app import App
from shared.branch.team_states import paths_by_team, trusted_marker
from shared.branch.withdrawal_guard import MissingTeam, MissingTeams, approved_teams, withhold
from shared.git import Tree, is_hidden
from shared.inventory import owned_teams
from shared.inventory.team_snapshot import read_team
from shared.marker import Marker
from shared.ports import Head
from shared.resources.actual import Product

#: Teams whose approval is looked up at the same time.
CONCURRENCY = 8


def our_products(app: App, products: Iterable[Product]) -> list[Product]:
    """The products of this repository's teams, each with the part of its marker that can be trusted."""
    own = (product for product in products if _is_ours(app, product))
    marked = ((product, trusted_marker(product.marker, app.paths.requests)) for product in own)
    return [
        product if marker is product.marker else replace(product, marker=marker) for product, marker in marked
    ]


def _is_ours(app: App, product: Product) -> bool:
    marker = product.marker
    return (
        marker is not None
        and marker.repository == app.platform.repository
        and product.name == names.product(marker.team)
    )


def markers_of(app: App, products: Iterable[Product | None]) -> list[Marker]:
    """The markers of the products of this repository's teams."""
    found = our_products(app, (product for product in products if product is not None))
    return [product.marker for product in found if product.marker is not None]


async def apply_guard(
    app: App, present: Iterable[str], endings: Iterable[MissingTeam], head: Head
) -> MissingTeams:
    """The guard's decision. Commit messages are searched for approvals only if a team would be held."""
    teams, ending = frozenset(present), tuple(endings)
    unapproved = withhold(teams, ending)
    if not unapproved.held:
        return unapproved
    return withhold(teams, ending, await _approved(app, unapproved.held, head))


async def find_missing(
    app: App, products: Iterable[Product], tree: Tree, head: Head, others: Iterable[MissingTeam] = ()
) -> MissingTeams:
    """The missing teams by paths and markers alone; no file is read. `others` are teams that may have no
    product. An empty tree yields no missing teams.
    """
    if not tree:
        return MissingTeams()
    today, present = app.clock.now().date(), paths_by_team(tree, app.paths.requests).keys()
    endings = {each.team: each for each in others if each.team not in present}
    for marker in markers_of(app, products):
        if marker.team not in present and not is_hidden(tree, marker.path):
            endings[marker.team] = _missing_team(marker, marker.has_lapsed(today))
    return await apply_guard(app, present, endings.values(), head)


def _missing_team(marker: Marker, expired: bool) -> MissingTeam:
    held = marker.held is not None or "held" in marker.unreadable
    return MissingTeam(
        marker.team, marker.path, marker.commit, marker.withdrawn is not None, held, over=expired, marked=True
    )


async def _approved(app: App, held: Iterable[MissingTeam], head: Head) -> frozenset[str]:
    """The teams that are named by a commit on the branch which is not older than the commit of their access.
    If the history was rewritten, the order is unknown: then any commit that names the team counts.
    """
    named = [
        (commit.sha, approved_teams(commit.message))
        for commit in await app.repository.newest_commits(head.commit)
    ]
    approvals = [(sha, teams) for sha, teams in named if teams]
    gate = asyncio.Semaphore(CONCURRENCY)

    async def is_approved(each: MissingTeam) -> bool:
        async with gate:
            naming = [sha for sha, teams in approvals if each.team in teams]
            if not each.commit or not await app.repository.is_ancestor(each.commit, head.commit):
                return bool(naming)
            return any([await app.repository.is_ancestor(each.commit, sha) for sha in naming])

    candidates = [each for each in held if any(each.team in teams for _, teams in approvals)]
    answers = await asyncio.gather(*map(is_approved, candidates))
    return frozenset(each.team for each, approved in zip(candidates, answers, strict=True) if approved)


async def is_in_use(app: App, team: str) -> bool:
    """Whether a team without a product has other objects that are not withdrawn: its product was deleted by
    somebody else.
    """
    seen = await read_team(app, team, None)
    seen.require("Gateway", "Keys", "Workspaces", "Projects")
    return owned_teams.is_in_use(team, app.platform.repository, seen.snapshot)

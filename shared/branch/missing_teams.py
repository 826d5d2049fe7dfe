"""Teams whose access would end: which of them the guard lets go, and which of them a person has named."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from shared import names
from shared.app import App
from shared.branch.team_states import paths_by_team, speaking
from shared.branch.withdrawal_guard import MissingTeam, MissingTeams, teams_allowed, withhold
from shared.git import Tree, is_hidden
from shared.inventory import orphans
from shared.inventory.team_snapshot import read_team
from shared.marker import Marker
from shared.ports import Head
from shared.resources.actual import Product

#: Teams whose leave is looked up at the same time.
AT_ONCE = 8


def ours(app: App, products: Iterable[Product]) -> list[Product]:
    """The products that this repository's teams have, each with what its marker says of its own team."""
    marked = ((product, speaking(product.marker, app.places.requests)) for product in products)
    return [
        product if marker is product.marker else replace(product, marker=marker)
        for product, marker in marked
        if marker is not None
        and marker.repository == app.platform.repository
        and product.name == names.product(marker.team)
    ]


def markers_of(app: App, products: Iterable[Product | None]) -> list[Marker]:
    """What the products of this repository's teams say."""
    found = ours(app, (product for product in products if product is not None))
    return [product.marker for product in found if product.marker is not None]


async def guarded(
    app: App, present: Iterable[str], endings: Iterable[MissingTeam], head: Head
) -> MissingTeams:
    """What the guard lets go. Git is asked for a person's leave only while somebody is held."""
    teams, found = frozenset(present), tuple(endings)
    judged = withhold(teams, found)
    return withhold(teams, found, await _allowed(app, judged.held, head)) if judged.held else judged


async def find_missing(
    app: App, products: Iterable[Product], tree: Tree, head: Head, others: Iterable[MissingTeam] = ()
) -> MissingTeams:
    """By paths and markers alone: no file is read. `others` are teams that may have no product.

    A tree without any file says nothing.
    """
    if not tree:
        return MissingTeams()
    today, present = app.clock.now().date(), paths_by_team(tree, app.places.requests).keys()
    endings = {each.team: each for each in others if each.team not in present}
    for marker in markers_of(app, products):
        if marker.team not in present and not is_hidden(tree, marker.path):
            endings[marker.team] = _gone(marker, marker.has_lapsed(today))
    return await guarded(app, present, endings.values(), head)


def _gone(marker: Marker, lapsed: bool) -> MissingTeam:
    held = marker.held is not None or "held" in marker.unreadable
    return MissingTeam(
        marker.team, marker.path, marker.commit, marker.withdrawn is not None, held, over=lapsed, marked=True
    )


async def _allowed(app: App, held: Iterable[MissingTeam], head: Head) -> frozenset[str]:
    """The teams that a commit on the branch names, which is not older than the one that their access comes
    from. Of a history that was rewritten nobody can say which is older: then any commit that names the team
    counts.
    """
    named = [
        (commit.sha, teams_allowed(commit.message))
        for commit in await app.repository.newest_commits(head.commit)
    ]
    leave = [(sha, teams) for sha, teams in named if teams]
    gate = asyncio.Semaphore(AT_ONCE)

    async def is_allowed(each: MissingTeam) -> bool:
        async with gate:
            naming = [sha for sha, teams in leave if each.team in teams]
            if not each.commit or not await app.repository.is_ancestor(each.commit, head.commit):
                return bool(naming)
            return any([await app.repository.is_ancestor(each.commit, sha) for sha in naming])

    asked = [each for each in held if any(each.team in teams for _, teams in leave)]
    answers = await asyncio.gather(*map(is_allowed, asked))
    return frozenset(each.team for each, yes in zip(asked, answers, strict=True) if yes)


async def is_in_use(app: App, team: str) -> bool:
    """Whether a team without a product has anything that was not withdrawn: somebody else has taken its
    product away.
    """
    seen = await read_team(app, team, None)
    seen.require("Gateway", "Keys", "Workspaces", "Projects")
    return orphans.is_in_use(team, app.platform.repository, seen.world)

"""Teams that have objects and no request any more: who they are, and which of them the guard lets go."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from shared.app import App
from shared.domain import leftovers, names
from shared.domain.actual import Product
from shared.domain.guard import Absence, Gone, judge
from shared.domain.marker import Marker
from shared.domain.push import Tree, requests_of
from shared.sighting import sight


def ours(app: App, products: Iterable[Product]) -> list[Product]:
    """The products that this repository's teams have."""
    marked = ((product, product.marker) for product in products)
    return [
        product
        for product, marker in marked
        if marker is not None and marker.repository == app.platform.repository and product.name == names.product(marker.team)
    ]


def markers_of(app: App, products: Iterable[Product | None]) -> list[Marker]:
    """What the products of this repository's teams say."""
    found = ours(app, (product for product in products if product is not None))
    return [product.marker for product in found if product.marker is not None]


def absence(app: App, products: Iterable[Product], tree: Tree, message: str, others: Iterable[Gone] = ()) -> Absence:
    """Judged by the branch's files. `message` is that of the commit that may give leave; `others` may be teams without a product.

    A tree without any file says nothing.
    """
    named = {app.places.requests.team_of(path) or "" for path in requests_of(tree, app.places.requests)}
    present = {team for team in named if names.team_fault(team) is None}
    markers = markers_of(app, products)
    teams = {each.team: each for each in others}
    teams |= {each.team: _gone(each, app.clock.now().date()) for each in markers}
    return judge(present, [each for team, each in teams.items() if team not in present], message) if tree else Absence()


def _gone(marker: Marker, today: date) -> Gone:
    withdrawn, held = marker.withdrawn is not None, marker.held is not None
    return Gone(marker.team, marker.path, marker.commit, withdrawn, held, over=marker.has_lapsed(today))


async def is_in_use(app: App, team: str) -> bool:
    """Whether a team without a product has anything that was not withdrawn: somebody else has taken its product away."""
    seen = await sight(app, team, None)
    seen.require("Gateway", "Keys", "Workspaces", "Projects")
    return leftovers.is_in_use(team, app.platform.repository, seen.world)

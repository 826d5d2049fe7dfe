"""Teams that have objects and no request any more: who they are, and which of them the guard lets go."""

from __future__ import annotations

from collections.abc import Iterable

from shared.app import App
from shared.domain import names
from shared.domain.actual import Product
from shared.domain.guard import Absence, Gone, judge
from shared.domain.push import Tree, requests_of


def ours(app: App, products: Iterable[Product]) -> list[Product]:
    """The products that this repository's teams have."""
    marked = ((product, product.marker) for product in products)
    return [
        product
        for product, marker in marked
        if marker is not None and marker.repository == app.platform.repository and product.name == names.product(marker.team)
    ]


def absence(app: App, products: Iterable[Product], tree: Tree, message: str, others: Iterable[Gone] = ()) -> Absence:
    """Judged by the branch's files. `message` is that of the commit that may give leave; `others` may be teams without a product.

    A tree without any file says nothing.
    """
    present = {app.places.requests.team_of(path) or "" for path in requests_of(tree, app.places.requests)}
    markers = [product.marker for product in ours(app, products) if product.marker is not None]
    teams = {each.team: each for each in others}
    teams |= {each.team: Gone(each.team, each.path, each.commit, each.withdrawn is not None) for each in markers}
    return judge(present, [each for team, each in teams.items() if team not in present], message) if tree else Absence()

"""Namespaces of ours that need a person: those that do not go, and those that have lost the label by which
the cluster lets the app write there. What runs in them goes on costing money.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from shared import names
from shared.catalog.catalog import Catalog
from shared.inventory.snapshot import Snapshot
from shared.resources.actual import Namespace, Workspace
from shared.resources.plan import UNREAD, Unread, known
from shared.resources.workspace_plan import has_our_label, label_lost

#: An empty namespace goes in seconds, one with a GPU node in minutes.
STAYS_TOO_LONG = timedelta(minutes=10)


def namespace_findings(
    repository: int, snapshot: Snapshot, catalog: Catalog | None, now: datetime
) -> Iterator[str]:
    """All such namespaces, as texts for the log."""
    for found in _ours(repository, snapshot):
        if found.terminating and found.deleted is not None and now - found.deleted > STAYS_TOO_LONG:
            minutes = (now - found.deleted) // timedelta(minutes=1)
            why = found.remaining or "its conditions do not say why"
            yield f"namespace {found.name} has been going for {minutes} minutes and is still there: {why}"
        elif not found.terminating and not has_our_label(found):
            listed = snapshot.workspaces
            workspaces = () if isinstance(listed, Unread) else listed.get(found.name, ())
            lost = label_lost(found.name, UNREAD if isinstance(listed, Unread) else workspaces)
            yield lost + _cost(workspaces, catalog)


def going(repository: int, snapshot: Snapshot) -> int:
    """How many namespaces of ours are being deleted: in the first seconds nothing else shows it."""
    return sum(found.terminating for found in _ours(repository, snapshot))


def labelled(repository: int, snapshot: Snapshot) -> frozenset[str]:
    """The teams whose namespaces have the label."""
    return frozenset(
        found.marker.team
        for found in _ours(repository, snapshot)
        if found.marker is not None and has_our_label(found)
    )


def _ours(repository: int, snapshot: Snapshot) -> Iterator[Namespace]:
    for name, found in sorted(known(snapshot.namespaces, {}).items()):
        marker = found.marker
        if marker is not None and (marker.repository, names.namespace(marker.team)) == (repository, name):
            yield found


def _cost(workspaces: tuple[Workspace, ...], catalog: Catalog | None) -> str:
    """What the nodes cost in an hour, as far as the catalogue says. A workspace of which KAITO does not say
    how many nodes it takes has at least one.
    """
    if catalog is None:
        return ""
    prices = (catalog.node_price.get(str(each.fixed.get("instanceType"))) for each in workspaces)
    both = zip(prices, workspaces, strict=True)
    costs = [price * max(each.nodes, 1) for price, each in both if price is not None]
    if not costs:
        return ""
    more = "" if len(costs) == len(workspaces) else " or more"
    return f", for {sum(costs)} {catalog.currency}{more} an hour"

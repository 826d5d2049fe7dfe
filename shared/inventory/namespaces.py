"""Namespaces of ours that need a person: those that do not go, those with a workspace that does not go, and
those that have lost the label by which the cluster lets the app write there. What runs in them goes on
costing money.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from shared import names
from shared.catalog.catalog import Catalog
from shared.inventory.snapshot import Snapshot
from shared.resources.actual import Namespace, Workspace
from shared.resources.namespace_labels import has_our_label, label_lost
from shared.resources.plan import UNREAD, Unread, known
from shared.resources.workspaces import node_bounds

#: An empty namespace goes in seconds, one with a GPU node in minutes.
STAYS_TOO_LONG = timedelta(minutes=10)


def namespace_findings(
    repository: int, snapshot: Snapshot, catalog: Catalog | None, now: datetime
) -> Iterator[str]:
    """All such namespaces, as texts for the log."""
    for found in _ours(repository, snapshot):
        listed = (
            UNREAD if isinstance(snapshot.workspaces, Unread) else snapshot.workspaces.get(found.name, ())
        )
        if found.terminating:
            yield from _namespace_that_stays(found, now)
        elif not has_our_label(found):
            yield label_lost(found.name, listed) + _cost(known(listed, ()), catalog)
        else:
            yield from _workspaces_that_stay(found.name, known(listed, ()), catalog, now)
            yield from _above_bounds(found.name, known(listed, ()), catalog)


def _namespace_that_stays(found: Namespace, now: datetime) -> Iterator[str]:
    minutes = _too_long(found.deleted, now)
    if minutes is not None:
        why = found.remaining or "its conditions do not say why"
        yield f"namespace {found.name} has been going for {minutes} minutes and is still there: {why}"


def _workspaces_that_stay(
    home: str, workspaces: Iterable[Workspace], catalog: Catalog | None, now: datetime
) -> Iterator[str]:
    """Their namespace is deleted when they are gone, so that it does not tell of them."""
    for each in workspaces:
        minutes = _too_long(each.deleted, now) if each.managed else None
        if minutes is not None:
            yield (
                f"workspace {home}/{each.name} has been going for {minutes} minutes and is still there: "
                f"KAITO has not taken its finalizer off, and its GPUs go on{_cost((each,), catalog)}"
            )


def _above_bounds(home: str, workspaces: Iterable[Workspace], catalog: Catalog | None) -> Iterator[str]:
    """Workspaces that take more nodes than the catalogue allows and were not deleted for it."""
    bounds = {} if catalog is None else node_bounds(catalog)
    for each in workspaces:
        most = bounds.get(each.name)
        if each.managed and not each.terminating and most is not None and each.nodes > most:
            told = f"workspace {home}/{each.name} takes {each.nodes} nodes, the catalogue allows {most}"
            yield f"{told}: it stays{_cost((each,), catalog)}"


def _too_long(deleted: datetime | None, now: datetime) -> int | None:
    """For how many minutes the object has been going; None while that is usual."""
    if deleted is None or now - deleted <= STAYS_TOO_LONG:
        return None
    return (now - deleted) // timedelta(minutes=1)


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

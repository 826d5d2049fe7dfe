"""What sweeps tell of the roads to workspaces, by the notes on the routes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared import names
from shared.documents.problem import counted
from shared.gateway_api.road import RoadNote
from shared.inventory.snapshot import Snapshot
from shared.marker import Marker
from shared.resources.desired import Platform
from shared.resources.network_policy import Step, policy_forms
from shared.resources.plan import Unread, known
from shared.resources.route_upgrade import Name, Upgrade, Was, policy_step, road_of, upgrade_of

_WHAT: Mapping[Was, str] = {"prefix": "route", "host": "route", "policy": "the network policy of"}


def upgrades_due(snapshot: Snapshot, platform: Platform, host: str | None = None) -> frozenset[Name]:
    """The routes that may be brought to today's form now, those that are on their way, and one route of each
    namespace with whose network policy something may be done. `host` is the one that a route may name beside
    others that name none.
    """
    routes = known(snapshot.routes, {})
    upgrade = upgrade_of(routes, host)
    policies = (
        (home, min(each.name for each in found))
        for home, found in routes.items()
        if _policy_step(snapshot, platform, home, upgrade) != "stays"
    )
    return frozenset((*upgrade.due, *upgrade.tried, *policies))


def _policy_step(snapshot: Snapshot, platform: Platform, home: str, upgrade: Upgrade) -> Step:
    if platform.cluster is None or isinstance(snapshot.limits, Unread):
        return "stays"
    team = home.removeprefix(names.namespace(""))
    forms = policy_forms(Marker(platform.repository, team, "", ""), platform.cluster)
    routes = known(snapshot.routes, {}).get(home, ())
    return policy_step(forms, snapshot.limits.get(home, ()), home, routes, upgrade)


def road_findings(snapshot: Snapshot, asked: Mapping[Name, RoadNote]) -> Iterator[str]:
    """One text for each road that fails and each route that has its earlier form back, and one for all roads
    that cannot be asked. `asked` are the notes of this sweep, which come before those of its lists.
    """
    notes = dict(sorted({**_notes(snapshot), **asked}.items()))
    for (home, name), note in notes.items():
        if note.verdict.word in ("RoadFails", "OtherName"):
            yield f"workspace {home}/{name}: {note.verdict.text}"
    upgrade = upgrade_of(known(snapshot.routes, {}))
    for (home, name), kept in sorted(upgrade.kept.items(), key=lambda each: each[0]):
        yield (
            f"{_WHAT[kept.form]} {home}/{name} has its earlier form back: {kept.cause}; no other is brought "
            "to today's form until the route's annotation mergekey.dev/route is taken off"
        )
    unasked = [note for note in notes.values() if note.verdict.word == "NotReachable"]
    if unasked:
        yield (
            f"{counted(len(unasked), 'road')} to workspaces cannot be asked from the workers "
            f"({unasked[0].verdict.detail}): conditions alone say what is ready, and "
            f"{counted(upgrade.earlier, 'route')} of earlier versions stay as they are"
        )


def _notes(snapshot: Snapshot) -> dict[Name, RoadNote]:
    """What the roads were last seen to do, of the routes as they are now."""
    return {
        (home, route.name): note
        for home, found in known(snapshot.routes, {}).items()
        for route in found
        if route.managed and (note := road_of(route)) is not None
    }

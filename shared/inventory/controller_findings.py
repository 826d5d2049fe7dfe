"""What sweeps tell once of the cluster's Gateway and its controller, by what these do to all routes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from shared.documents.problem import counted
from shared.gateway_api.causes import ANSWER_TIME, IGNORED, judge_route
from shared.gateway_api.controllers import HABITS, Habits, by_name
from shared.inventory.snapshot import Snapshot
from shared.resources.actual import Route
from shared.resources.desired import Platform
from shared.resources.plan import known
from shared.resources.routes import hostname_of


def controller_findings(snapshot: Snapshot, platform: Platform) -> Iterator[str]:
    """One text for each controller that ignores a part of our routes, and one where these cannot name the
    host at which they are called. None without routes of ours.
    """
    cluster = platform.cluster
    routes = [each for found in known(snapshot.routes, {}).values() for each in found if each.managed]
    if cluster is None or not routes:
        return
    ignored = Counter(name for each in routes for name in _ignoring(each, cluster.gateway))
    for name, number in sorted(ignored.items()):
        yield _ignores(name, number)
    if hostname_of(cluster.url) is None:
        yield (
            "WORKSPACE_INGRESS_URL has no host that a route can name, as an IP address is none: "
            f"{counted(len(routes), 'route')} to workspaces are for any host, and any other route of the "
            "Gateway with the same path can take their calls. Give the Gateway a name; see docs/gpus.md"
        )


def _ignoring(route: Route, gateway: str) -> frozenset[str]:
    """The controllers, by their `controllerName`, that take the route as it is and ignore a part of it."""
    return frozenset(
        each.controller
        for each in route.parents
        if judge_route((each,), route.generation, gateway, ANSWER_TIME).cause is IGNORED
    )


def _ignores(name: str, number: int) -> str:
    controller = by_name(name)
    habits = Habits(name, name, ()) if controller is None else HABITS[controller]
    bounds = _bounds(habits)
    told = f": it {' and '.join(bounds)}" if bounds else ""
    routes = counted(number, "route")
    return f"{habits.title} ignores a part of {routes} (UnsupportedField){told}. See docs/gpus.md"


def _bounds(habits: Habits) -> Sequence[str]:
    """How the controller bounds calls, whatever a route says."""
    silence, body = habits.silence, habits.body
    return (
        *([] if silence is None else [f"ends an answer after {silence} seconds without a byte"]),
        *([] if body is None else [f"refuses bodies of more than {body / 2**20:g} MiB"]),
    )

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
from shared.resources.route_upgrade import answers, earlier_form
from shared.resources.routes import hostname_of, names_no_host


def controller_findings(snapshot: Snapshot, platform: Platform, host: str | None = None) -> Iterator[str]:
    """One text for each controller that ignores a part of our routes, and one where these do not or cannot
    name the host at which they are called. None without routes of ours. `host` is the one that a route may
    name beside others that name none, None for none.
    """
    cluster, routes = platform.cluster, _ours(snapshot)
    if cluster is None or not routes:
        return
    ignored = Counter(name for _, each in routes for name in _ignoring(each, cluster.gateway))
    for name, number in sorted(ignored.items()):
        yield _ignores(name, number)
    wanted = hostname_of(cluster.url)
    if wanted is None:
        yield (
            "WORKSPACE_INGRESS_URL has no host that a route can name, as an IP address is none: "
            f"{counted(len(routes), 'route')} to workspaces are for any host, and any other route of the "
            "Gateway with the same path can take their calls. Give the Gateway a name; see docs/gpus.md"
        )
    elif host is None and _could_name_the_host(routes):
        number = sum(names_no_host(each.spec) for _, each in routes)
        yield (
            f"{counted(number, 'route')} to workspaces name no host, and any other route of the Gateway that "
            f"names {wanted} takes their calls. Give each listener of Gateway {cluster.gateway} the hostname "
            f"{wanted}: then they name it, and no call is lost. See docs/gpus.md"
        )


def _ours(snapshot: Snapshot) -> list[tuple[str, Route]]:
    """Our routes, with their namespaces."""
    standing = known(snapshot.routes, {})
    return [(home, each) for home, found in standing.items() for each in found if each.managed]


def _could_name_the_host(routes: Sequence[tuple[str, Route]]) -> bool:
    """Whether some name no host, and nothing else is left to be brought to today's form."""
    is_done = all(earlier_form(each, home, None) is None and answers(each) for home, each in routes)
    return is_done and any(names_no_host(each.spec) for _, each in routes)


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

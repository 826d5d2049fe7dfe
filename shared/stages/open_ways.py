"""Looks for ways around API Management that the cluster leaves open (`shared.gateway_api.listeners`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from shared import telemetry
from shared.app import App
from shared.documents.problem import START, Level, Problem, problem_at
from shared.errors import AccessDenied, KindNotServed, MergekeyError
from shared.gateway_api.listeners import OpenWay, open_ways, other_controller
from shared.gateway_api.observed import Gateway
from shared.resources.workspaces import MANAGED_BY, MANAGER, PREFIX

#: The labels of our namespaces alone, with the values that they must have, None for any.
LABELS = {MANAGED_BY: MANAGER, f"{PREFIX}/team": None, f"{PREFIX}/repository": None}


async def find_open_ways(app: App) -> tuple[OpenWay, ...]:
    """All of them; none without a cluster. Raises what the cluster and Resource Manager raise."""
    if app.cluster is None or app.platform.cluster is None:
        return ()
    gateway, engine = await asyncio.gather(
        app.cluster.gateway(app.platform.cluster.gateway), app.cluster.network_policy_engine()
    )
    return tuple(_judged(app, gateway, engine))


async def seen_open_ways(app: App) -> tuple[OpenWay, ...]:
    """The same, but none where it cannot be read: the log says why."""
    try:
        return await find_open_ways(app)
    except MergekeyError as error:
        telemetry.not_looked_at("ways around API Management", str(error))
        return ()


async def way_that_stops(app: App, team: str) -> OpenWay | None:
    """A way because of which no workspace may be started. A right or a kind that is missing stops none: it is
    told, as of all that a stage finds beside its work.
    """
    assert app.cluster is not None
    assert app.platform.cluster is not None
    try:
        gateway = await app.cluster.gateway(app.platform.cluster.gateway)
    except (AccessDenied, KindNotServed) as error:
        telemetry.noted(team, f"{error.reason}: {error.message}")
        return None
    return next((way for way in _judged(app, gateway, None) if way.stops_new), None)


def way_problems(ways: Iterable[OpenWay], path: str, *, is_used: bool = False) -> Iterator[Problem]:
    """At the beginning of a file. One that stops new workspaces is a failure where some stand already
    (`is_used`): anybody may be calling them.
    """
    for way in ways:
        level: Level = "failure" if is_used and way.stops_new else "warning"
        message = f"{way.text[0].upper()}{way.text[1:]}. See docs/gpus.md."
        yield problem_at(path, START, way.reason, message, level)


def _judged(app: App, gateway: Gateway | None, engine: str | None) -> Iterator[OpenWay]:
    cluster = app.platform.cluster
    certificate = None if cluster is None else cluster.certificate
    yield from open_ways(gateway, engine, has_certificate=certificate is not None, labels=LABELS)
    if cluster is not None and gateway is not None:
        yield from other_controller(gateway, cluster.controller)

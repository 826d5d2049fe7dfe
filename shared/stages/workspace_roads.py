"""Asks the roads to workspaces, and says of those with ready pods whether calls arrive.

A workspace is ready when its pods are and its road was seen to answer. The conditions that the controller of
the Gateway wrote give the cause where it does not, and decide alone where the road cannot be asked from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from shared import telemetry
from shared.app import App
from shared.catalog.catalog import Catalog
from shared.errors import AccessDenied, KindNotServed, WorkspaceFailed
from shared.gateway_api.causes import (
    ANSWER_TIME,
    IGNORED,
    READY,
    RouteVerdict,
    judge_route,
    needs_gateway,
)
from shared.gateway_api.listeners import is_for_host
from shared.gateway_api.observed import Gateway
from shared.gateway_api.road import ANNOTATION, RoadNote, RoadVerdict, judge_road, next_note
from shared.kaito.presets import LEAST_READINESS, LONGEST_READINESS
from shared.marker import read_time
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event, Waiting
from shared.names import namespace as namespace_name
from shared.names import workspace as workspace_name
from shared.resources.actual import Route, Workspace
from shared.resources.route_upgrade import road_note
from shared.resources.routes import hostname_of
from shared.resources.workspaces import workspace_url

#: People mend a road, or a controller that comes back.
ROAD_WAIT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class AskedRoad:
    """A route, and the verdict on its road since when it stands. `conditions` are what the controller of the
    Gateway says of the route.
    """

    route: Route
    note: RoadNote
    conditions: RouteVerdict

    @property
    def verdict(self) -> RoadVerdict:
        return self.note.verdict

    @property
    def fails(self) -> bool:
        """Whether calls do not arrive, as far as that is known."""
        word = self.verdict.word
        return word == "RoadFails" or (word == "NotReachable" and not self.conditions.is_ready)

    @property
    def reason(self) -> str:
        """Why calls do not arrive, by the conditions; empty where these are as they should be."""
        return "" if self.conditions.is_ready else self.conditions.cause.reason

    @property
    def text(self) -> str:
        """Why calls do not arrive, for people."""
        if self.conditions.is_ready:
            return f"{self.verdict.text} ({self.conditions.cause.actor})"
        return f"{self.verdict.text}; {self.conditions.text} ({self.conditions.cause.actor})"


def served_names(catalog: Catalog) -> dict[str, str]:
    """What API Management asks for at each workspace, by the workspace's name."""
    return {workspace_name(each.name): each.workspace_name for each in catalog.models}


async def require_roads(
    app: App,
    event: Event[TeamMessage],
    own: Sequence[Workspace],
    routes: Iterable[Route],
    catalog: Catalog,
) -> Waiting | Literal["proven", "not proven"]:
    """Whether calls arrive at these workspaces, which are ready by themselves; `not proven` where that is
    known of conditions alone. Raises WorkspaceFailed for a road at which waiting on cannot help.
    """
    by_name = {each.name: each for each in own}
    mine = [each for each in routes if each.name in by_name]
    asked = await ask_roads(app, event.message.team, mine, catalog, event.now)
    readiness = catalog.readiness_times()
    for each in asked:
        time = readiness.get(each.route.name, LONGEST_READINESS)
        _require_hope(event, each, by_name[each.route.name], time)
    failing = next((each for each in asked if each.fails), None)
    if failing is not None:
        longer = readiness.get(failing.route.name, LONGEST_READINESS) - LEAST_READINESS
        note = f"{failing.route.name}: {failing.text}"
        return Waiting(ROAD_WAIT, failing.reason or "RoadFails", note=note, longer=longer)
    _tell(event.message.team, asked)
    return "proven" if _answering(asked) >= by_name.keys() else "not proven"


def _answering(asked: Iterable[AskedRoad]) -> frozenset[str]:
    return frozenset(each.route.name for each in asked if each.verdict.word == "Answers")


def _tell(team: str, asked: Iterable[AskedRoad]) -> None:
    """Log what the controllers say of routes that work all the same. A part that a controller ignores is the
    same of all routes: the sweep tells it once.
    """
    for each in asked:
        if each.conditions.is_ready and each.conditions.cause not in (READY, IGNORED):
            telemetry.noted(team, f"{each.route.name} serves, but {each.conditions.text}")


def _require_hope(
    event: Event[TeamMessage], asked: AskedRoad, workspace: Workspace, readiness: timedelta
) -> None:
    """Raises where the wait ends now. A road can fail from the moment at which its pods are ready."""
    name, verdict = asked.route.name, asked.verdict
    if verdict.word == "OtherName":
        raise WorkspaceFailed(f"{name}: {verdict.text}", reason="OtherName")
    waited = event.waited_since if event.waited_for == (asked.reason or "RoadFails") else None
    failing = min(asked.note.since, waited or asked.note.since)
    since = max(failing, _ready_since(workspace) or failing)
    if asked.fails and event.now - since >= readiness:
        raise WorkspaceFailed(f"{name}: {asked.text}", reason=asked.reason or "RoadFails")


def _ready_since(workspace: Workspace) -> datetime | None:
    """Since when all its conditions are true that are, as far as the cluster says."""
    times = (
        read_time(str(each.get("lastTransitionTime") or ""))
        for each in workspace.conditions
        if each.get("status") == "True"
    )
    return max((each for each in times if each is not None), default=None)


async def ask_roads(
    app: App, team: str, routes: Iterable[Route], catalog: Catalog, now: datetime
) -> list[AskedRoad]:
    """Ask the roads of these routes of a team, all at once, and write each verdict that has changed at its
    route. A Gateway is read where the conditions of a route that fails do not suffice.
    """
    served = served_names(catalog)
    ours = [each for each in routes if each.managed and each.name in served]
    notes = await asyncio.gather(*(_ask(app, team, each, served[each.name], now) for each in ours))
    found = [
        AskedRoad(route, note, conditions_of(app, route, now))
        for route, note in zip(ours, notes, strict=True)
    ]
    return await _with_gateway(app, found, now)


async def _ask(app: App, team: str, route: Route, served: str, now: datetime) -> RoadNote:
    """The note that stands at the route after its road was asked."""
    before, verdict = road_note(route), await verdict_of(app, team, route.name, served)
    note = next_note(before, verdict, route.generation, now)
    if note is not None:
        await annotate(app, team, route.name, {ANNOTATION: note.text})
        return note
    assert before is not None, "it says the same"
    return before


async def verdict_of(app: App, team: str, name: str, served: str) -> RoadVerdict:
    """The verdict on the road to a workspace, as it is now."""
    assert app.platform.cluster is not None
    assert app.roads is not None
    return judge_road(await app.roads.ask(workspace_url(app.platform.cluster, team, name)), served)


async def annotate(app: App, team: str, name: str, annotations: Mapping[str, str | None]) -> None:
    """Write annotations of a route. Where the cluster does not allow it, the verdict is told all the same."""
    assert app.cluster is not None
    try:
        await app.cluster.annotate_route(namespace_name(team), name, annotations)
    except AccessDenied as error:
        telemetry.noted(team, f"{error}: apply infra/kubernetes/rbac.yaml; until then no verdict is kept")


def conditions_of(
    app: App, route: Route, now: datetime, seen: Gateway | Literal["missing"] | None = None
) -> RouteVerdict:
    """What the conditions of a route say of our Gateway, with what is there of it."""
    assert app.platform.cluster is not None
    age = ANSWER_TIME if route.created is None else now - route.created
    return judge_route(route.parents, route.generation, app.platform.cluster.gateway, age, seen)


async def _with_gateway(app: App, asked: Sequence[AskedRoad], now: datetime) -> list[AskedRoad]:
    """The same with what the Gateway shows, where calls do not arrive and the route does not say why."""
    unclear = [each for each in asked if each.fails and _is_unclear(each.conditions)]
    if not unclear:
        return list(asked)
    seen = await read_gateway(app)
    return [
        replace(each, conditions=conditions_of(app, each.route, now, seen)) if each in unclear else each
        for each in asked
    ]


def _is_unclear(conditions: RouteVerdict) -> bool:
    """Words of the controller stay when the Gateway goes, so that good ones may be old."""
    return conditions.is_ready or needs_gateway(conditions)


async def read_gateway(app: App) -> Gateway | Literal["missing"] | None:
    """The Gateway of the settings; None where the cluster does not show it."""
    assert app.cluster is not None
    assert app.platform.cluster is not None
    try:
        return await app.cluster.gateway(app.platform.cluster.gateway) or "missing"
    except (AccessDenied, KindNotServed):
        return None


async def host_beside_others(app: App) -> str | None:
    """The host that a route may name beside others that name none, as all listeners of the Gateway are for
    it; None where they are not, or the Gateway cannot be read.
    """
    assert app.platform.cluster is not None
    host = hostname_of(app.platform.cluster.url)
    seen = None if host is None else await read_gateway(app)
    return host if isinstance(seen, Gateway) and host is not None and is_for_host(seen, host) else None

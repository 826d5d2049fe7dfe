"""Brings standing routes and network policies from the forms of earlier versions to today's, and proves each
by a call.

Before a route is written its road must answer; afterwards it must answer again within a minute, or the route
gets its earlier form back (`shared.resources.route_upgrade`). A network policy lets in the proxies beside the
callers of before first, and nobody else when the roads were seen to answer; it is taken back in the same way.
A route that names the host from now on is taken back too when a road beside it fails that names none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared import telemetry
from shared.app import App
from shared.catalog.catalog import Catalog
from shared.cluster_ports import Cluster
from shared.errors import AccessDenied
from shared.gateway_api.road import ANNOTATION as ROAD
from shared.gateway_api.road import RoadNote, RoadVerdict
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event, Waiting
from shared.names import CATALOG_TEAM, team_named_in
from shared.names import namespace as namespace_name
from shared.resources.actual import Limit, Route
from shared.resources.desired import DesiredWorkspaces
from shared.resources.plan import known
from shared.resources.route_upgrade import (
    ANNOTATION,
    Upgrade,
    UpgradeNote,
    Was,
    answers,
    earlier_form,
    policy_step,
    standing_policy,
    upgrade_note,
    upgrade_of,
)
from shared.resources.routes import form_of, names_no_host, without_host
from shared.resources.standing_forms import NOTHING_DUE, Due
from shared.resources.workspace_plan import ActualWorkspaces
from shared.stages.workspace_roads import annotate, ask_roads, conditions_of, served_names, verdict_of

#: A controller takes less than a second for a change; until then its proxies answer as before. A road that
#: does not answer for a minute has failed.
SETTLE_TIME, PROOF_TIME = timedelta(seconds=10), timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Upgrading:
    """The app with what is upgraded: the message, and what its team shall have. `host` is the one that a
    route may name beside others that name none; None for none.
    """

    app: App
    event: Event[TeamMessage]
    desired: DesiredWorkspaces
    catalog: Catalog
    host: str | None = None

    @property
    def cluster(self) -> Cluster:
        assert self.app.cluster is not None
        return self.app.cluster

    @property
    def team(self) -> str:
        return self.event.message.team

    @property
    def home(self) -> str:
        return namespace_name(self.team)

    async def due(self, actual: ActualWorkspaces) -> Due:
        """What of the team is written in today's form now, because it is its turn. A road must answer before
        its route is. What is due is marked as being on its way.
        """
        routes, limits = known(actual.routes, ()), known(actual.limits, ())
        if not self._may_change(routes, limits):
            return NOTHING_DUE
        upgrade = upgrade_of(await self.cluster.all_routes(), self.host)
        mine = [each for each in routes if (self.home, each.name) in upgrade.due]
        asked = await ask_roads(self.app, self.team, mine, self.catalog, self.event.now)
        answering = [each.route for each in asked if each.verdict.word == "Answers"]
        marked = await self._marked({each.name: self._form(each) for each in answering})
        return await self._with_policy(Due(marked), routes, limits, upgrade)

    def _may_change(self, routes: Sequence[Route], limits: Sequence[Limit]) -> bool:
        """Whether anything of the team has an earlier form."""
        forms = self.desired.policy
        if forms is None:
            return False
        is_open = standing_policy(forms, limits) in ("earlier", "wide")
        return is_open or upgrade_of({self.home: routes}, self.host).earlier > 0

    def _form(self, route: Route) -> Was:
        return "host" if earlier_form(route, self.home, self.host) == "host" else "prefix"

    async def _with_policy(
        self, due: Due, routes: Sequence[Route], limits: Sequence[Limit], upgrade: Upgrade
    ) -> Due:
        """What is due with what may be done with the network policy. One of the routes tells that it is on
        its way.
        """
        assert self.desired.policy is not None
        step = policy_step(self.desired.policy, limits, self.home, routes, upgrade)
        teller = min(self.desired.routes.keys() & {each.name for each in routes}, default="")
        if step == "narrow" and not await self._marked({teller: "policy"}):
            return due
        return Due(due.routes, step)

    async def _marked(self, forms: Mapping[str, Was]) -> frozenset[str]:
        """Those of the routes, with their earlier forms, that say now that they are on their way. Without the
        right to mark them nothing would bound how many are.
        """
        try:
            for name, form in sorted(forms.items()):
                note = UpgradeNote("tried", form, self.event.now)
                await self.cluster.annotate_route(self.home, name, {ANNOTATION: note.text})
        except AccessDenied:
            return frozenset()
        return frozenset(forms)

    async def prove(self, routes: Sequence[Route]) -> Waiting | Sequence[Route]:
        """Ask the roads of the routes that are on their way. When none is any more, because each answers or
        was taken back, the routes as they are then.
        """
        waiting = list[str]()
        notes = [(each, note) for each in routes if (note := self._note_of_today(each)) is not None]
        for route, note in notes:
            if note.step == "kept":
                await self._take_back(route, note)
            elif not await self._is_settled(route, note):
                waiting.append(route.name)
        if waiting:
            told = f"the road of {', '.join(waiting)} is asked in its new form"
            return Waiting(SETTLE_TIME, "RouteNotProven", note=told)
        return await self.cluster.routes(self.home) if notes else routes

    def _note_of_today(self, route: Route) -> UpgradeNote | None:
        """The note of a route of ours that has today's form; None for another, and for one that is proven."""
        is_ours = route.managed and route.name in self.desired.routes
        if not is_ours or form_of(route.spec, self.home, route.name) != "exact":
            return None
        note = upgrade_note(route)
        is_earlier = note is not None and note.form == "host" and names_no_host(route.spec)
        return None if is_earlier else note

    async def _is_settled(self, route: Route, note: UpgradeNote) -> bool:
        """Whether nothing is to be waited for at this route: it is proven, or taken back."""
        stood = self.event.now - note.since
        if stood < SETTLE_TIME:
            return False
        if note.form == "host" and (lost := await self._lost_beside()):
            await self._keep(route, note, lost)
            return True
        verdict = await verdict_of(self.app, self.team, route.name, served_names(self.catalog)[route.name])
        conditions = conditions_of(self.app, route, self.event.now)
        if conditions.is_ready and verdict.word == "Answers":
            await self._end(route, verdict)
            return True
        if stood < PROOF_TIME:
            return False
        if conditions.is_ready and verdict.word == "NotReachable":
            telemetry.noted(self.team, f"{route.name}: today's form could not be proven: {verdict.text}")
            await self._end(route, verdict)
            return True
        await self._keep(route, note, verdict.text if conditions.is_ready else conditions.text)
        return True

    async def _lost_beside(self) -> str:
        """Why calls fail at a route that names no host, since another names it; empty where they do not. One
        of those whose roads answered stands for all of them.
        """
        served, found = served_names(self.catalog), await self.cluster.all_routes()
        others = (
            (home, each.name)
            for home, routes in sorted(found.items())
            for each in routes
            if names_no_host(each.spec) and answers(each) and each.name in served
        )
        home, name = next(others, ("", ""))
        team = CATALOG_TEAM if home == namespace_name(CATALOG_TEAM) else team_named_in(home)
        if team is None:
            return ""
        verdict = await verdict_of(self.app, team, name, served[name])
        return f"{home}/{name} names no host: {verdict.text}" if verdict.word == "RoadFails" else ""

    async def _keep(self, route: Route, note: UpgradeNote, cause: str) -> None:
        """Mark the route as one that keeps its earlier form, and give it that."""
        kept = UpgradeNote("kept", note.form, self.event.now, cause)
        await annotate(self.app, self.team, route.name, {ANNOTATION: kept.text})
        await self._take_back(route, kept)

    async def _end(self, route: Route, verdict: RoadVerdict) -> None:
        """Note what the road does in today's form, and that nothing is on its way any more."""
        note = RoadNote(verdict, route.generation, self.event.now)
        await annotate(self.app, self.team, route.name, {ROAD: note.text, ANNOTATION: None})

    async def _take_back(self, route: Route, kept: UpgradeNote) -> None:
        """Give the route, or the network policy, its earlier form."""
        manifest = self.desired.earlier_routes[route.name]
        if kept.form == "host":
            manifest = without_host(self.desired.routes[route.name])
        if kept.form == "policy":
            forms = self.desired.policy
            if forms is None or standing_policy(forms, await self.cluster.limits(self.home)) != "narrow":
                return
            manifest = forms.wide
        told = "its network policy" if kept.form == "policy" else "it"
        telemetry.noted(
            self.team, f"{route.name}: calls fail, and {told} has its earlier form back: {kept.cause}"
        )
        await self.cluster.apply(manifest)

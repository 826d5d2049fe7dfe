"""Drives messages through the stages over fakes, as the Functions host drives them over the real services."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from shared import names
from shared.app import App
from shared.branch.withdrawal_guard import approved_teams
from shared.marker import Marker
from shared.messaging.outcomes import Event, Outcome, Push
from shared.messaging.routes import (
    DELIVER_KEYS,
    PROVISION_CATALOG,
    PROVISION_GATEWAY,
    PROVISION_PROJECTS,
    PROVISION_WORKSPACES,
    STAGES,
    SWEEP,
    Stage,
)
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.key_slots import EXPOSED
from shared.stages import pipeline
from shared.stages.receive_push import queue_changes
from shared.stages.settlement import settle, start_sweep
from shared.stages.sweep import run_sweep
from tests.fakes.app import Asked, FakeApp, a_change, an_event, catalog_text, path_of
from tests.fakes.calls import Call, nothing

WORK: dict[Stage, Callable[[App, Event[Any]], Awaitable[Outcome]]] = {
    SWEEP: run_sweep,
    PROVISION_CATALOG: pipeline.provision_catalog,
    PROVISION_GATEWAY: pipeline.provision_gateway,
    PROVISION_WORKSPACES: pipeline.provision_workspaces,
    PROVISION_PROJECTS: pipeline.provision_projects,
    DELIVER_KEYS: pipeline.deliver_keys,
}
_deliveries = count(1)
#: What `teams_in_force` has made: pickled, it is copied in a fourth of the time that `deepcopy` takes.
IN_FORCE: dict[tuple[str, ...], bytes] = {}


class Killed(Exception):
    """The process is gone: nothing of ours catches this."""


class Kill:
    """Stops the process at the write number `index`, before or after it took effect; no call gets out any
    more after that.
    """

    def __init__(self, app: FakeApp, index: int, when: str) -> None:
        self._app = app
        self._left = index
        self._when = when
        self.done = False
        app.calls.before, app.calls.after = self._before, self._after

    async def _before(self, call: Call) -> None:
        self._stop(call, "before")

    async def _after(self, call: Call) -> None:
        self._stop(call, "after")

    def _stop(self, call: Call, when: str) -> None:
        if call.writes and call.system != "reports" and when == self._when:
            self._left -= 1
            self.done = self._left < 0
        if self.done:
            raise Killed(str(call))

    def restart(self) -> None:
        """A new process: calls get through again."""
        self._app.calls.before = self._app.calls.after = nothing


async def a_platform(gpus: bool = True) -> FakeApp:
    """An app whose catalogue is on the branch and provisioned."""
    app = FakeApp(gpus)
    app.repository.commit({DEFAULT_CATALOG_PATH: catalog_text()})
    await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    app.calls.forget()
    return app


async def a_team(asked: Asked | None = None) -> FakeApp:
    """An app with one team that has everything its request asks for."""
    app = await a_platform()
    await ask(app, asked or Asked())
    app.calls.forget()
    return app


async def teams_in_force(*teams: str) -> FakeApp:
    """An app in which a push has brought these teams all that they ask for: a copy of one made once."""
    if teams not in IN_FORCE:
        app = await a_platform()
        await push(app, {path_of(team): Asked(team=team).text() for team in teams})
        IN_FORCE[teams] = pickle.dumps(app)
    copied: FakeApp = pickle.loads(IN_FORCE[teams])
    return copied


async def run(app: FakeApp, stage: Stage, team: str = "alpha") -> Outcome:
    """One stage on a message about what stands on the branch now."""
    return await WORK[stage](app, an_event(app, a_change(app, team), f"d{next(_deliveries)}/{team}"))


async def ask(app: FakeApp, asked: Asked) -> str:
    """Merge a request and let everything that is due happen. Returns the verdict's summary."""
    return await push(app, {path_of(asked.team): asked.text()})


async def withdraw(app: FakeApp, team: str = "alpha") -> str:
    """Merge the removal of a request. Another team's request stands beside it, or the branch would be
    empty.
    """
    if path_of("zulu") not in app.repository.files():
        await ask(app, Asked(team="zulu"))
    return await push(app, {path_of(team): None})


async def push(app: FakeApp, files: dict[str, str | bytes | None], delivery: str | None = None) -> str:
    before = app.repository.branch
    app.repository.commit(files)
    return await arrive(app, before, delivery)


async def arrive(app: FakeApp, before: str | None, delivery: str | None = None) -> str:
    """A webhook call about the branch as it is; then everything that is due happens."""
    allows = any(approved_teams(message) for message in app.repository.messages_since(before))
    summary = await queue_changes(
        app,
        Push(delivery or f"d{next(_deliveries)}", before, allows, app.repository.branch),
        app.clock.now(),
    )
    await drain(app)
    return summary


async def drain(app: FakeApp, until: datetime | None = None) -> None:
    """Handle messages until none is due; with `until` the clock moves to those that are due by then."""
    while True:
        moved = await _handle_one(app)
        if moved:
            continue
        due = app.bus.next_due()
        if until is None or due is None or due > until:
            break
        app.clock.advance_to(due)
    if until is not None:
        app.clock.advance_to(until)


async def later(app: FakeApp, time: timedelta) -> None:
    """Time passes; what becomes due meanwhile happens at its time."""
    await drain(app, app.clock.now() + time)


async def sweep(app: FakeApp, deep: bool = False) -> None:
    """Everything is looked at. Then a second passes: two sweeps at one moment would be the same message."""
    await start_sweep(app, "a test", deep)
    await drain(app)
    app.clock.advance(timedelta(seconds=1))


async def _handle_one(app: FakeApp) -> bool:
    for stage in STAGES:
        held = app.bus.receive(stage)
        if held is None:
            continue
        try:
            await settle(app, stage, held.received(), WORK[stage])
        except Exception:
            app.bus.abandon(stage, held)
            raise
        app.bus.complete(stage, held)
        return True
    return False


def shown(app: FakeApp, team: str = "alpha") -> dict[str, str]:
    """The newest status of each stage, as people see it beside a commit."""
    prefix = f"mergekey/{team}/"
    return {
        status.context.removeprefix(prefix): f"{status.state}: {status.description}"
        for status in app.reports.shown
        if status.context.startswith(prefix)
    }


def world(app: FakeApp) -> dict[str, object]:
    """Everything that exists out there, without what differs from run to run: tags of versions, keys,
    commits.
    """
    state = app.gateway.state
    cluster = app.cluster.state if app.cluster else None
    return {
        "products": {
            name: (
                p.display_name,
                p.published,
                p.subscription_required,
                p.marker and (p.marker.digest, p.marker.withdrawn),
            )
            for name, p in state.products.items()
        },
        "policies": {name: policy.text for name, policy in state.policies.items()},
        "links": set(state.links),
        "subscriptions": {
            name: (s.product, s.display_name, s.state) for name, s in state.subscriptions.items()
        },
        "backends": {
            name: replace(found, etag="", marker=_digest(found.marker))
            for name, found in state.backends.items()
        },
        "named values": {name: value.url for name, value in state.named_values.items()},
        "api": {
            name: (api.operations, api.requires_keys, api.marker and api.marker.digest)
            for name, api in state.apis.items()
        },
        "fragments": dict(state.fragments),
        "secrets": {name: _secret(app, name) for name in app.vault.names()},
        "roles": set(app.roles.assigned),
        "projects": {name: _project(app, name) for name in (app.projects.names() if app.projects else ())},
        "project roles": set(app.project_roles.assigned) if app.project_roles else set(),
        "namespaces": {
            name: kept.manifest["metadata"].get("labels", {})
            for name, kept in (cluster.namespaces.items() if cluster else ())
        },
        "objects": {key: kept.manifest for key, kept in cluster.objects.items()} if cluster else {},
    }


def _project(app: FakeApp, name: str) -> tuple[object, ...]:
    assert app.projects is not None
    kept = app.projects.kept[name]
    return kept.display_name, kept.marker and (kept.marker.digest, kept.marker.withdrawn), kept.connection


def _digest(marker: Marker | None) -> Marker | None:
    return marker and replace(marker, commit="")


def _secret(app: FakeApp, name: str) -> tuple[object, ...]:
    newest = app.vault.kept[name].versions[0]
    same = {"commit": "", "fingerprint": ""} | ({EXPOSED: ""} if EXPOSED in newest.tags else {})
    return newest.enabled, {**newest.tags, **same}, matches_the_gateway(app, name)


def matches_the_gateway(app: FakeApp, name: str) -> bool:
    """Whether the newest version of a key's secret holds the key that the gateway takes."""
    kept = app.vault.kept[name]
    value = kept.values[kept.versions[0].version]
    team = name.removesuffix("-primary-key").removesuffix("-secondary-key")
    if team == name:
        return value == app.platform.gateway_url
    which = 0 if name.endswith("-primary-key") else 1
    keys = app.gateway.state.keys.get(names.subscription(team), ["", ""])
    return value == keys[which]

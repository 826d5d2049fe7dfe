"""The deep sweep reads teams individually, each about once a day, for what lists cannot show: the text of a
policy, the keys that the gateway takes, older versions of secrets, the traces of a project, the
configurations of workspaces, and whether calls arrive at these.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from shared import names, telemetry
from shared.app import App
from shared.catalog.catalog import Catalog
from shared.errors import AccessDenied, MergekeyError
from shared.gateway_api.road import RoadNote
from shared.inventory.snapshot import ActualTeam, DesiredTeam, Snapshot
from shared.messaging.messages import Sweep
from shared.messaging.outcomes import Event
from shared.names import CATALOG_TEAM
from shared.resources.desired import DesiredWorkspaces, compile_shared_workspaces, compile_workspaces
from shared.resources.keys import ActualKeys
from shared.resources.namespace_labels import has_our_label
from shared.resources.plan import known
from shared.resources.product import ActualProduct
from shared.resources.project import ActualProject
from shared.resources.route_upgrade import Name
from shared.resources.workspace_plan import ActualWorkspaces, configs_of
from shared.stages.existing_keys import read_gateway_keys
from shared.stages.provision_workspaces import read_configs
from shared.stages.workspace_roads import ask_roads

#: Each team's turn comes once in so many sweeps, which begin at this interval.
SLICES, SWEEP_INTERVAL = 96, timedelta(minutes=15)
#: Teams that are read at the same time: Resource Manager allows 25 reads a second.
CONCURRENCY = 8
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class DeepSnapshot:
    """The teams that were read individually. `failures`: why some could not be read; the others were.
    `shared`: the workspaces that the platform runs for all teams, where it was their turn. `roads`: what the
    roads that were asked do, by namespace and name.
    """

    teams: Mapping[str, ActualTeam] = field(default_factory=dict)
    failures: tuple[MergekeyError, ...] = ()
    shared: ActualWorkspaces | None = None
    roads: Mapping[Name, RoadNote] = field(default_factory=dict)


NOTHING_READ = DeepSnapshot()


async def read_deeply(
    app: App, catalog: Catalog | None, teams: Iterable[DesiredTeam], snapshot: Snapshot, event: Event[Sweep]
) -> DeepSnapshot:
    """Read the teams whose turn it is, or all of them when the sweep was ordered as a deep one. Without a
    valid catalogue nothing is read, because it is unknown what is desired.
    """
    turn = int(event.now.timestamp() // SWEEP_INTERVAL.total_seconds()) % SLICES
    semaphore = asyncio.Semaphore(CONCURRENCY)
    failures: list[MergekeyError] = []

    async def read(team: str, reading: Coroutine[None, None, R]) -> R | None:
        async with semaphore:
            try:
                return await reading
            except MergekeyError as error:
                telemetry.not_looked_at_deeply(team, error)
                failures.append(error)
                return None

    def is_due(team: str) -> bool:
        return event.message.deep or _slice(team) == turn

    if catalog is None:
        return NOTHING_READ
    due = [each for each in teams if is_due(each.request.team)]
    found = await asyncio.gather(
        *(read(each.request.team, _read_team(app, catalog, each, snapshot)) for each in due)
    )
    shared = None
    if is_due(CATALOG_TEAM):
        shared = await read(CATALOG_TEAM, _read_shared(app, catalog, snapshot))
    asked = [each for each in (CATALOG_TEAM, *(each.request.team for each in teams)) if is_due(each)]
    roads = await _roads_of(app, catalog, asked, snapshot, event.now)
    return DeepSnapshot(_by_team(due, found), tuple(failures), shared, roads)


def _by_team(due: Iterable[DesiredTeam], found: Iterable[ActualTeam | None]) -> dict[str, ActualTeam]:
    """Those that could be read."""
    pairs = zip(due, found, strict=True)
    return {each.request.team: actual for each, actual in pairs if actual is not None}


async def _roads_of(
    app: App, catalog: Catalog, teams: Iterable[str], snapshot: Snapshot, now: datetime
) -> Mapping[Name, RoadNote]:
    """Ask the roads to the workspaces of these teams whose pods are ready. No road fails a sweep. One that
    only reports would write what it saw, and asks none; nor is one asked where a namespace lost the label
    without which nothing may be written there.
    """
    if app.roads is None or app.sweep_report_only:
        return {}

    async def ask(team: str) -> dict[Name, RoadNote]:
        found = snapshot.team(team).workspaces
        namespace = known(found.namespace, None)
        if namespace is None or not has_our_label(namespace):
            return {}
        ready = {name for name, each in found.lasting.items() if each.managed and each.verdict.is_ready}
        routes = [each for each in known(found.routes, ()) if each.name in ready]
        try:
            asked = await ask_roads(app, team, routes, catalog, now)
        except MergekeyError as error:
            telemetry.not_looked_at_deeply(team, error)
            return {}
        return {(names.namespace(team), each.route.name): each.note for each in asked}

    asked = await asyncio.gather(*map(ask, teams))
    return {name: note for each in asked for name, note in each.items()}


def _slice(team: str) -> int:
    return int(hashlib.sha256(team.encode()).hexdigest()[:8], 16) % SLICES


async def _read_team(app: App, catalog: Catalog, team: DesiredTeam, snapshot: Snapshot) -> ActualTeam:
    """The team as lists show it, with the rest. Nothing more is read of objects that are missing, or that a
    newer version wrote.
    """
    actual, request = snapshot.team(team.request.team), team.request
    product, keys, project, workspaces = await asyncio.gather(
        _with_policy(app, actual),
        _with_keys(app, request.team, actual),
        _with_tracing(app, team, actual.project),
        _with_configs(
            app, request.team, compile_workspaces(request, catalog, app.platform), actual.workspaces
        ),
    )
    return ActualTeam(product, keys, workspaces, project)


async def _read_shared(app: App, catalog: Catalog, snapshot: Snapshot) -> ActualWorkspaces:
    desired = compile_shared_workspaces(catalog, app.platform)
    return await _with_configs(app, CATALOG_TEAM, desired, snapshot.team(CATALOG_TEAM).workspaces)


def _is_written_by_us(actual: ActualTeam) -> bool:
    product = actual.product.product
    return product is not None and not (product.marker is not None and product.marker.newer)


async def _with_policy(app: App, actual: ActualTeam) -> ActualProduct:
    product = actual.product.product
    if product is None or not _is_written_by_us(actual):
        return actual.product
    return replace(actual.product, policy=await app.gateway.product_policy(product.name))


async def _with_keys(app: App, team: str, actual: ActualTeam) -> ActualKeys:
    """With the fingerprints of the gateway's keys, and all versions of the secrets: a late write may have put
    a version with the same key over the one whose tag says who could read it.
    """
    if actual.keys.subscription is None or not _is_written_by_us(actual):
        return actual.keys
    secrets = names.key_secrets(team)
    (keys, mirrored), listed = await asyncio.gather(
        read_gateway_keys(app, team, actual.keys.mirror), asyncio.gather(*map(app.vault.versions, secrets))
    )
    return actual.keys.with_gateway_keys(team, keys, dict(zip(secrets, listed, strict=True)), mirrored)


async def _with_tracing(app: App, team: DesiredTeam, actual: ActualProject) -> ActualProject:
    """The tracing connection of the team's project, which no list of the account shows."""
    project = actual.project
    if app.projects is None or project is None or not team.request.playground_access:
        return actual
    if project.marker is not None and project.marker.newer:
        return actual
    return replace(actual, connection=await app.projects.connection(project.name))


async def _with_configs(
    app: App, team: str, desired: DesiredWorkspaces, actual: ActualWorkspaces
) -> ActualWorkspaces:
    """The configurations of a team's workspaces, which no list shows: a model that starts again would read
    one that people edited, and cannot start without. With the rights of earlier versions they are unknown.
    """
    if app.cluster is None or known(actual.namespace, None) is None:
        return actual
    needed = configs_of(desired, actual)
    try:
        configs = await read_configs(app.cluster, names.namespace(team), needed)
    except AccessDenied:
        return actual
    return replace(actual, configs=configs) if configs else actual

"""The deep sweep reads teams individually, each about once a day, for what lists cannot show: an edited
policy, a key that was renewed by hand, or one that another group could read.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain

from shared import names, telemetry
from shared.app import App
from shared.catalog.catalog import Catalog
from shared.errors import MergekeyError
from shared.inventory import drift
from shared.inventory.snapshot import DesiredTeam, Difference, Snapshot
from shared.messaging.messages import Sweep
from shared.messaging.outcomes import Event
from shared.names import CATALOG_TEAM
from shared.policies.policy_xml import digest_of
from shared.ports import Keys
from shared.requests.request import AccessRequest
from shared.resources.desired import (
    DesiredWorkspaces,
    compile_gateway,
    compile_project,
    compile_shared_workspaces,
    compile_workspaces,
)
from shared.resources.key_slots import EXPOSED, Slot, exposed_since

#: Each team's turn comes once in so many sweeps, which begin at this interval.
SLICES, SWEEP_INTERVAL = 96, timedelta(minutes=15)
#: Teams that are read at the same time: Resource Manager allows 25 reads a second.
CONCURRENCY = 8


@dataclass(frozen=True, slots=True)
class DeepSweep:
    """`failures`: why some teams could not be read; the others were."""

    findings: tuple[Difference, ...] = ()
    failures: tuple[MergekeyError, ...] = ()


async def run_deep_sweep(
    app: App, catalog: Catalog | None, teams: Iterable[DesiredTeam], snapshot: Snapshot, event: Event[Sweep]
) -> DeepSweep:
    """Compare the teams whose turn it is, or all of them when the sweep was ordered as a deep one. Without a
    valid catalogue nothing is compared, because it is unknown what is desired.
    """
    turn = int(event.now.timestamp() // SWEEP_INTERVAL.total_seconds()) % SLICES
    semaphore = asyncio.Semaphore(CONCURRENCY)

    async def compare(
        team: str, comparison: Coroutine[None, None, list[str]]
    ) -> list[Difference] | MergekeyError:
        async with semaphore:
            try:
                return [Difference(team, difference) for difference in await comparison]
            except MergekeyError as error:
                telemetry.not_looked_at_deeply(team, error)
                return error

    def is_due(team: str) -> bool:
        return event.message.deep or _slice(team) == turn

    if catalog is None:
        return DeepSweep()
    comparisons = [
        compare(each.request.team, _compare_team(app, each, catalog, snapshot))
        for each in teams
        if not each.over and is_due(each.request.team)
    ]
    if is_due(CATALOG_TEAM):
        comparisons.append(compare(CATALOG_TEAM, _compare_shared_limits(app, catalog, snapshot)))
    results = await asyncio.gather(*comparisons)
    found = chain.from_iterable(each for each in results if not isinstance(each, MergekeyError))
    return DeepSweep(tuple(found), tuple(each for each in results if isinstance(each, MergekeyError)))


def _slice(team: str) -> int:
    return int(hashlib.sha256(team.encode()).hexdigest()[:8], 16) % SLICES


async def _compare_team(app: App, team: DesiredTeam, catalog: Catalog, snapshot: Snapshot) -> list[str]:
    """Tracing connection and limits; policy and keys, where the product and its subscription are there."""
    request = team.request
    desired = compile_gateway(request, catalog, app.platform)
    workspaces = compile_workspaces(request, catalog, app.platform)
    tracing, limits = await asyncio.gather(
        _compare_tracing(app, request, snapshot), _compare_limits(app, workspaces, request.team, snapshot)
    )
    found = [*tracing, *limits]
    product = snapshot.products.get(desired.product)
    if product is None or names.subscription(request.team) not in snapshot.subscriptions:
        return found
    if product.marker is not None and product.marker.newer:
        return found
    policy, keys = await asyncio.gather(
        app.gateway.product_policy(desired.product), app.gateway.keys(names.subscription(request.team))
    )
    if policy is None or policy.digest != digest_of(desired.policy):
        found.append("its policy is not what was written")
    return found + await _compare_keys(app, request, snapshot, keys)


async def _compare_keys(app: App, request: AccessRequest, snapshot: Snapshot, keys: Keys) -> list[str]:
    """Whether the vault holds the gateway's keys, and whether another group could read one: a write that came
    too late may have put a version with the same key over the one whose tag says so.
    """
    found, secrets, reader = [], names.key_secrets(request.team), request.entra_group or ""
    listed = await asyncio.gather(*map(app.vault.versions, secrets))
    for name, value, versions in zip(secrets, keys, listed, strict=True):
        fingerprint = value.fingerprint(name)
        if name in snapshot.secrets and snapshot.secrets[name].tags.get("fingerprint") != fingerprint:
            found.append(f"secret {name} is not the key that the gateway takes")
        slot = Slot.of(versions, fingerprint)
        if EXPOSED not in (slot.tags or {}) and exposed_since(slot, reader, app.clock.now()):
            found.append(f"secret {name} holds a key that another group could read")
    return found


async def _compare_shared_limits(app: App, catalog: Catalog, snapshot: Snapshot) -> list[str]:
    """The limits of the workspaces that the platform runs for all teams."""
    desired = compile_shared_workspaces(catalog, app.platform)
    return await _compare_limits(app, desired, names.CATALOG_TEAM, snapshot)


async def _compare_limits(app: App, desired: DesiredWorkspaces, team: str, snapshot: Snapshot) -> list[str]:
    """The limits of a namespace that exists and that no newer version wrote. A missing namespace is written
    with its limits.
    """
    namespace = snapshot.namespaces.get(names.namespace(team))
    if app.cluster is None or namespace is None or (namespace.marker is not None and namespace.marker.newer):
        return []
    return list(
        drift.limit_drift(desired.limits, await asyncio.gather(*map(app.cluster.limit, desired.limits)))
    )


async def _compare_tracing(app: App, request: AccessRequest, snapshot: Snapshot) -> list[str]:
    """The tracing connection of the team's project, which no list of the account shows."""
    playground = app.platform.playground
    project = snapshot.projects.get(names.project(request.team))
    if app.projects is None or playground is None or not request.playground_access or project is None:
        return []
    if project.marker is not None and project.marker.newer:
        return []
    target = compile_project(request, playground).tracing
    connection = await app.projects.connection(names.project(request.team))
    is_connected = target is None or (connection is not None and connection.target.lower() == target.lower())
    return [] if is_connected else ["its traces are not kept"]

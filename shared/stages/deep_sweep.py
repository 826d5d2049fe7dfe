"""What lists cannot show (a policy that was edited, a key that was made new, or that another group could
read): teams read one by one, each about once a day.
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
from shared.inventory.snapshot import DesiredTeam, Finding, Snapshot
from shared.messaging.messages import CATALOG_TEAM, Sweep
from shared.messaging.outcomes import Event
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

#: Everybody's turn for a deep look comes after so many sweeps, one of which begins every quarter of an hour.
SLICES, SLICE = 96, timedelta(minutes=15)
#: Teams that are read at the same time: Resource Manager gives out 25 reads a second.
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class DeepLook:
    """`failures` are why some could not be looked at; the others were."""

    findings: tuple[Finding, ...] = ()
    failures: tuple[MergekeyError, ...] = ()


async def look_deeply(
    app: App, catalog: Catalog | None, wanted: Iterable[DesiredTeam], world: Snapshot, event: Event[Sweep]
) -> DeepLook:
    """At those whose turn it is, or at all when the sweep is deep. Without a valid catalogue nobody knows
    what should be.
    """
    turn = int(event.now.timestamp() // SLICE.total_seconds()) % SLICES
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(team: str, looking: Coroutine[None, None, list[str]]) -> list[Finding] | MergekeyError:
        async with gate:
            try:
                return [Finding(team, what) for what in await looking]
            except MergekeyError as error:
                telemetry.not_looked_at_deeply(team, error)
                return error

    def is_due(team: str) -> bool:
        return event.message.deep or _slice(team) == turn

    if catalog is None:
        return DeepLook()
    due = [
        look(each.request.team, _look(app, each, catalog, world))
        for each in wanted
        if not each.over and is_due(each.request.team)
    ]
    if is_due(CATALOG_TEAM):
        due.append(look(CATALOG_TEAM, _look_at_catalog(app, catalog, world)))
    looked = await asyncio.gather(*due)
    found = chain.from_iterable(each for each in looked if not isinstance(each, MergekeyError))
    return DeepLook(tuple(found), tuple(each for each in looked if isinstance(each, MergekeyError)))


def _slice(team: str) -> int:
    return int(hashlib.sha256(team.encode()).hexdigest()[:8], 16) % SLICES


async def _look(app: App, wanted: DesiredTeam, catalog: Catalog, world: Snapshot) -> list[str]:
    """What lists cannot show: limits and a policy that were edited, keys that are not those in the vault."""
    desired, team = compile_gateway(wanted.request, catalog, app.platform), wanted.request.team
    workspaces = compile_workspaces(wanted.request, catalog, app.platform)
    found = [
        *chain.from_iterable(
            await asyncio.gather(
                _look_at_traces(app, wanted, world), _look_at_limits(app, workspaces, team, world)
            )
        )
    ]
    product = world.products.get(desired.product)
    if (
        product is None
        or names.subscription(team) not in world.subscriptions
        or (product.marker is not None and product.marker.newer)
    ):
        return found
    policy, keys = await asyncio.gather(
        app.gateway.product_policy(desired.product), app.gateway.keys(names.subscription(team))
    )
    if policy is None or policy.digest != digest_of(desired.policy):
        found.append("its policy is not what was written")
    return found + await _look_at_keys(app, wanted.request, world, keys)


async def _look_at_keys(app: App, request: AccessRequest, world: Snapshot, keys: Keys) -> list[str]:
    """Whether the vault has what the gateway takes. Who could read a key, a write that came too late may have
    hidden in a version below.
    """
    found, secrets, reader = [], names.key_secrets(request.team), request.entra_group or ""
    listed = await asyncio.gather(*map(app.vault.versions, secrets))
    for name, value, versions in zip(secrets, keys, listed, strict=True):
        fingerprint = value.fingerprint(name)
        if name in world.secrets and world.secrets[name].tags.get("fingerprint") != fingerprint:
            found.append(f"secret {name} is not the key that the gateway takes")
        slot = Slot.of(versions, fingerprint)
        if EXPOSED not in (slot.tags or {}) and exposed_since(slot, reader, app.clock.now()):
            found.append(f"secret {name} holds a key that another group could read")
    return found


async def _look_at_catalog(app: App, catalog: Catalog, world: Snapshot) -> list[str]:
    """The same of the catalogue's own: the limits of its workspaces."""
    return await _look_at_limits(
        app, compile_shared_workspaces(catalog, app.platform), names.CATALOGUE_TEAM, world
    )


async def _look_at_limits(app: App, desired: DesiredWorkspaces, team: str, world: Snapshot) -> list[str]:
    """Of a namespace that stands, and that no newer version looks after. Those of one that does not stand are
    written with it.
    """
    namespace = world.namespaces.get(names.namespace(team))
    if app.cluster is None or namespace is None or (namespace.marker is not None and namespace.marker.newer):
        return []
    return list(
        drift.of_limits(desired.limits, await asyncio.gather(*map(app.cluster.limit, desired.limits)))
    )


async def _look_at_traces(app: App, wanted: DesiredTeam, world: Snapshot) -> list[str]:
    """No list of the account shows the connections of its projects."""
    playground, request = app.platform.playground, wanted.request
    project = world.projects.get(names.project(request.team))
    if app.projects is None or playground is None or not request.playground_access or project is None:
        return []
    if project.marker is not None and project.marker.newer:
        return []
    target, connection = (
        compile_project(request, playground).tracing,
        await app.projects.connection(names.project(request.team)),
    )
    return (
        []
        if target is None or (connection is not None and connection.target.lower() == target.lower())
        else ["its traces are not kept"]
    )

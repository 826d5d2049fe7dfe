"""The second API, which takes keys as bearer tokens, and the platform's own key, with which that is seen."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from shared import names
from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.catalog.catalog import Catalog
from shared.errors import Busy, PermanentError, Rejected
from shared.inventory.bearer import read_bearer, takes_bearer
from shared.marker import Marker
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event
from shared.names import BEARER_API, FRAGMENT, PROBE, SHARED_PREFIX
from shared.resources.bearer import plan_bearer, plan_probe
from shared.resources.desired import DesiredCatalog, compile_probe
from shared.resources.plan import Change, Create, Plan, Update
from shared.resources.product import ActualProduct
from shared.resources.subscription import display_name
from shared.stages.apply import GatewayWriter, apply_plan, misses_reference
from shared.stages.mirrors import put_mirror


async def provision_bearer(
    app: App, event: Event[TeamMessage], decision: Decision, desired: DesiredCatalog, marker: Marker
) -> bool:
    """Make the second API and the platform's key agree with the catalogue. Returns whether anything was
    written.

    Raises PermanentError where Resource Manager ignores the field of the native way: it answers 200 then, so
    the contract is read back.
    """
    assert decision.catalog is not None
    actual, probe = await asyncio.gather(read_bearer(app.gateway), _read_probe(app))
    plan = plan_bearer(desired, marker, actual)
    plan.require_allowed()
    probing = _plan_probe(decision.catalog, desired, marker, probe)
    if plan or probing:
        await ensure_branch_unchanged(app, event, decision)
    if desired.bearer is None:
        await apply_plan(probing.writable(), _ProbeWriter(app, marker))
    await _write_api(app, plan, desired, GatewayWriter(app.gateway, marker))
    if desired.bearer is not None:
        await apply_plan(probing.writable(), _ProbeWriter(app, marker))
    if desired.bearer == "native" and plan and not await takes_bearer(app.gateway):
        raise PermanentError(
            "API Management keeps no bearer keys here: write `bearerKeys: mirrored` into the catalogue",
            reason="BearerKeysIgnored",
        )
    return bool(plan or probing)


async def _write_api(app: App, plan: Plan, desired: DesiredCatalog, writer: GatewayWriter) -> None:
    """Raises Busy when a write was refused because something that the policy names, or the API itself, was
    deleted meanwhile.
    """
    try:
        await apply_plan(plan.writable(), writer)
    except Rejected as error:
        backends, fragment, api = await asyncio.gather(
            app.gateway.backends(SHARED_PREFIX), app.gateway.fragment(FRAGMENT), app.gateway.api(BEARER_API)
        )
        needed = {backend.name for backend in desired.backends} | {FRAGMENT, BEARER_API}
        there = {FRAGMENT: fragment.digest, BEARER_API: api}
        existing = {each.name for each in backends} | {name for name, found in there.items() if found}
        if misses_reference(error, needed, existing):
            raise Busy("what the second API needs was deleted meanwhile", reason="BackendGone") from None
        raise


def _plan_probe(catalog: Catalog, desired: DesiredCatalog, marker: Marker, actual: ActualProduct) -> Plan:
    wanted = None if desired.bearer is None else compile_probe(catalog)
    return plan_probe(wanted, marker, actual, mirrored=desired.bearer == "mirrored")


async def _read_probe(app: App) -> ActualProduct:
    gateway = app.gateway
    product, linked, subscription, mirror = await asyncio.gather(
        gateway.product(PROBE),
        gateway.is_linked(PROBE, BEARER_API),
        gateway.subscription(PROBE),
        gateway.subscription(names.mirror(PROBE)),
    )
    found = ActualProduct(
        product, backends=(), bearer_linked=linked, subscription=subscription, mirror=mirror
    )
    if product is None:
        return replace(found, policy=None)
    return replace(found, policy=await gateway.product_policy(PROBE))


class _ProbeWriter:
    """Writes the platform's own product, and its key."""

    def __init__(self, app: App, marker: Marker) -> None:
        self._gateway = app.gateway
        self._shown = display_name(marker.repository, marker.team)
        self._writer = GatewayWriter(app.gateway, marker)

    async def __call__(self, change: Change) -> None:
        """Raises Busy when the product was deleted meanwhile, for another state of the branch."""
        try:
            await self._write(change)
        except Rejected:
            if change.kind != "product" and await self._gateway.product(PROBE) is None:
                raise Busy(
                    "the platform's own product was deleted meanwhile", reason="ProductNotThere"
                ) from None
            raise

    async def _write(self, change: Change) -> None:
        match change:
            case Update("subscription", name, tag):
                await self._gateway.put_subscription(name, PROBE, self._shown, tag)
            case Create("mirror"):
                await self._put_mirror(None)
            case Update("mirror", _, tag):
                await self._put_mirror(tag)
            case _:
                await self._writer(change)

    async def _put_mirror(self, etag: str | None) -> None:
        keys = await self._gateway.keys(PROBE)
        await put_mirror(self._gateway, PROBE, PROBE, self._shown, etag, keys=keys)

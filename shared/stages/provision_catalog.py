"""The catalogue at the gateway: the unified API that serves all models, its policy, backends and secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import Busy, MergekeyError, Rejected
from shared.marker import Marker
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, worth_saying
from shared.names import API, CATALOG_TEAM, CREDENTIAL_PREFIX, FRAGMENT, SHARED_PREFIX
from shared.policies.policy_xml import canonical_digest
from shared.resources.backends import Backend, NamedValue, require_readable
from shared.resources.desired import DesiredCatalog, compile_catalog
from shared.resources.plan import Change, Create, Update, WritablePlan
from shared.resources.unified_api_plan import ActualCatalog, plan_catalog, plan_cleaning
from shared.stages.apply import GatewayWriter, apply_plan, misses_reference
from shared.stages.provision_bearer import provision_bearer
from shared.stages.read_ahead import ReadAhead


def read_catalog(app: App) -> ReadAhead[ActualCatalog]:
    """All that `provision_models` compares with the catalogue."""
    return ReadAhead(lambda: _actual_catalog(app))


async def provision_models(
    app: App, event: Event[TeamMessage], decision: Decision, found: ReadAhead[ActualCatalog]
) -> Outcome:
    """Make the unified API, its fragment, policy, backends and secrets agree with the catalogue."""
    assert decision.catalog is not None
    desired = compile_catalog(decision.catalog, app.platform)
    marker = Marker(app.platform.repository, CATALOG_TEAM, decision.path, decision.commit, desired.digest)
    actual = await found.get()
    plan, cleaning = plan_catalog(desired, marker, actual), plan_cleaning(desired, marker, actual)
    if plan.refused and plan.refused[0].kind != "api":
        await _provide_fragment(app, desired.fragment, actual)
    writable = plan.writable()
    if plan or cleaning:
        await ensure_branch_unchanged(app, event, decision)
    writer = GatewayWriter(app.gateway, marker)
    first, last = _before_the_marker(desired, marker, actual, writable)
    await _apply(app, first, actual, writer)
    # Before the marker, for which the first teams wait. What goes wrong there takes nothing from the others.
    bearer = await _tried(provision_bearer(app, event, decision, desired, marker))
    await _apply(app, last, actual, writer)
    left = await _clean(cleaning.writable(), GatewayWriter(app.gateway, marker))
    # Last, because all else is in place then: calls that need the secret fail, others do not.
    require_readable(writer.unreadable)
    if isinstance(bearer, MergekeyError):
        raise bearer
    note = _note(left)
    return Done(
        worth_saying(event, bool(plan) or bearer, note),
        wrote=bool(plan) or bearer or len(left) < len(list(cleaning)),
    )


def _note(left: list[str]) -> str:
    return "models in place" + (f"; {', '.join(left)} will go when nothing names it any more" if left else "")


def _before_the_marker(
    desired: DesiredCatalog, marker: Marker, actual: ActualCatalog, plan: WritablePlan
) -> tuple[WritablePlan, WritablePlan]:
    """The plan, and the marker, with which it ends unless that vouches for this catalogue already."""
    is_current = actual.api is not None and actual.api.is_current(marker.digest, desired.api_digest)
    return (plan, WritablePlan()) if is_current else plan.before_last()


async def _tried(work: Awaitable[bool]) -> bool | MergekeyError:
    try:
        return await work
    except MergekeyError as error:
        return error


async def _provide_fragment(app: App, text: str, actual: ActualCatalog) -> None:
    """Write the fragment, which every team's policy includes, although another object cannot be written
    because its name is taken.
    """
    if actual.fragment != canonical_digest(text):
        await app.gateway.put_fragment(FRAGMENT, text)


async def _apply(app: App, plan: WritablePlan, actual: ActualCatalog, writer: GatewayWriter) -> None:
    """Raises Busy when a write was refused because something that it names was deleted meanwhile."""
    existing = _names(actual)

    async def write(change: Change) -> None:
        try:
            await writer(change)
        except Rejected as error:
            if misses_reference(error, existing - {change.name}, _names(await _actual_catalog(app))):
                raise Busy(f"what {change.name} needs was deleted meanwhile", reason="BackendGone") from None
            raise
        if isinstance(change, Create | Update) and isinstance(change.body, Backend | NamedValue):
            existing.add(change.name)

    await apply_plan(plan, write)


def _names(actual: ActualCatalog) -> set[str]:
    return {backend.name for backend in actual.backends} | {value.name for value in actual.named_values}


async def _clean(cleaning: WritablePlan, writer: GatewayWriter) -> list[str]:
    """Delete what is not needed any more, and return the names of what is left: the service refuses to delete
    what a policy names.

    The policies of teams follow the catalogue, but not at once, and those of withdrawn teams stay until their
    grace period is over: sweeps try again.
    """
    left: list[str] = []

    async def delete(change: Change) -> None:
        try:
            await writer(change)
        except Rejected:
            left.append(change.name)

    await apply_plan(cleaning, delete)
    return left


async def _actual_catalog(app: App) -> ActualCatalog:
    api, policy, backends, values, fragment = await asyncio.gather(
        app.gateway.api(API),
        app.gateway.api_policy(API),
        app.gateway.backends(SHARED_PREFIX),
        app.gateway.named_values(CREDENTIAL_PREFIX, app.platform.repository),
        app.gateway.fragment(FRAGMENT),
    )
    return ActualCatalog(api, policy, tuple(backends), tuple(values), fragment.digest)

"""The gateway's room: the unified API that serves all models, and a product per team that says who may call
which, and how much.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import Busy, InvalidRequest, NotManaged, Rejected
from shared.marker import Marker, require_known
from shared.messaging.messages import CATALOG_TEAM, TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.names import (
    API,
    CACHE_BACKEND,
    CREDENTIAL_PREFIX,
    FRAGMENT,
    SAFETY_BACKEND,
    SHARED_PREFIX,
    product,
)
from shared.policies.policy_xml import canonical_digest, digest_of
from shared.requests.request import AccessRequest
from shared.resources.actual import Policy
from shared.resources.backends import Backend, NamedValue
from shared.resources.desired import DesiredGateway, compile_catalog, compile_gateway
from shared.resources.plan import (
    ActualCatalog,
    ActualGateway,
    Change,
    Create,
    Plan,
    Update,
    plan_catalog,
    plan_cleaning,
    plan_gateway,
)
from shared.stages.apply import GatewayWriter, apply_plan
from shared.stages.outgoing import ask_for_keys
from shared.stages.reserve_capacity import DesiredProduct, growth_of, reserve

#: While the unified API is not there yet, on a new platform only.
FIRST_WAIT = timedelta(seconds=1)
#: While others have what is asked for, and give it back at this moment.
ROOM_WAIT = timedelta(seconds=10)


async def provision_models(app: App, event: Event[TeamMessage], standing: Decision) -> Outcome:
    """The API, its fragment and policy, what serves the models, and the secrets that this needs."""
    assert standing.catalog is not None
    desired = compile_catalog(standing.catalog, app.platform)
    marker = Marker(app.platform.repository, CATALOG_TEAM, standing.path, standing.commit, desired.digest)
    actual = await _actual_catalog(app)
    if actual.api is not None and not marker.owns(actual.api.marker):
        raise NotManaged(f"there is an API {API!r} that is not managed by mergekey: rename or remove it")
    require_known(actual.api.marker if actual.api else None, f"the API {API!r}")
    try:
        plan, cleaning = plan_catalog(desired, marker, actual), plan_cleaning(desired, marker, actual)
    except NotManaged:
        await _keep_the_fragment(app, desired.fragment, actual)
        raise
    if plan or cleaning:
        await ensure_branch_unchanged(app, event, standing)
    await _build(app, plan, actual, GatewayWriter(app.gateway, marker))
    left = await _clean(cleaning, GatewayWriter(app.gateway, marker))
    note = "models in place" + (f"; {', '.join(left)} will go when nothing names it any more" if left else "")
    return Done(worth_saying(event, bool(plan), note), wrote=bool(plan) or len(left) < len(list(cleaning)))


async def _keep_the_fragment(app: App, text: str, actual: ActualCatalog) -> None:
    """Every team's policy includes it, and it is always the same: whoever has taken another name of ours
    keeps no team from its policy.
    """
    if actual.fragment != canonical_digest(text):
        await app.gateway.put_fragment(FRAGMENT, text)


async def _build(app: App, plan: Plan, actual: ActualCatalog, writer: GatewayWriter) -> None:
    """Raises Busy when a write was refused because another hand has taken away what stood before it."""
    stood = _names(actual)

    async def write(change: Change) -> None:
        try:
            await writer(change)
        except Rejected as error:
            if _misses(error, stood - {change.name}, _names(await _actual_catalog(app))):
                raise Busy(f"what {change.name} needs was deleted meanwhile", reason="BackendGone") from None
            raise
        if isinstance(change, Create | Update) and isinstance(change.body, Backend | NamedValue):
            stood.add(change.name)

    await apply_plan(plan, write)


def _misses(error: Rejected, needed: set[str], standing: set[str]) -> bool:
    """Whether the service refused something because of what it needs: that is not there, or was not, and is
    back since.
    """
    return bool(needed - standing) or any(f"'{name}'" in error.message for name in needed)


def _names(actual: ActualCatalog) -> set[str]:
    return {backend.name for backend in actual.backends} | {value.name for value in actual.named_values}


async def _clean(cleaning: Plan, writer: GatewayWriter) -> list[str]:
    """What is left: the service refuses to delete what a policy names. Teams' policies follow the catalogue,
    but not at once, and those of teams that have withdrawn stay until their grace ends: sweeps try again.
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


async def provision_product(app: App, event: Event[TeamMessage], standing: Decision) -> Outcome:
    """The team's product. The backends are read only when something differs."""
    assert standing.request is not None
    assert standing.catalog is not None
    name, team = product(standing.request.team), standing.request.team
    _require_cluster(app, standing.request)
    desired = compile_gateway(standing.request, standing.catalog, app.platform)
    marker = Marker(
        app.platform.repository,
        team,
        standing.path,
        standing.commit,
        desired.digest,
        expires=standing.request.expires,
    )
    actual, policy, api, linked = await asyncio.gather(
        app.gateway.product(name),
        app.gateway.product_policy(name),
        app.gateway.api(API),
        app.gateway.is_linked(name, API) if event.closely else _unknown(),
    )
    if actual is not None and not marker.owns(actual.marker):
        raise NotManaged(
            f"there is a product {name} that is not managed by mergekey for {team}: rename or remove it"
        )
    require_known(actual.marker if actual else None, f"the product {name}")
    if api is None or not api.was_finished:
        return Waiting(FIRST_WAIT, "CatalogueNotProvisioned")
    same = actual is not None and actual.marker is not None and actual.marker.digest == desired.digest
    unread = (same and not event.closely) or (actual is None and not desired.backends)
    backends = None if unread else tuple(await app.gateway.backends(f"{name}--"))
    found, writer = ActualGateway(actual, policy, backends, linked), GatewayWriter(app.gateway, marker)
    plan = plan_gateway(desired, marker, found)
    if plan:
        await ensure_branch_unchanged(app, event, standing)
        growth = await growth_of(
            app, DesiredProduct(standing.request, standing.catalog, desired, marker), actual
        )
        if growth is not None:
            reserved = await reserve(app, event, growth, writer)
            if reserved is None:
                return Waiting(ROOM_WAIT, "CapacityInUse")
            plan = plan_gateway(desired, marker, replace(found, product=reserved)).after_first()

    async def keys() -> None:
        await ask_for_keys(app, event, standing.commit)

    # Keys that sleep are woken when the policy is right: the one that stands may grant more.
    sleeping = actual is not None and not actual.is_in_force
    try:
        await apply_plan(plan, writer, None if sleeping else keys)
    except Rejected as error:
        await _require_backends(app, desired, error)
        await _require_own_policy(app, desired, policy)
        raise
    if sleeping:
        await keys()
    return Done(worth_saying(event, bool(plan), "product and policy in place"), wrote=bool(plan))


async def _require_backends(app: App, desired: DesiredGateway, error: Rejected) -> None:
    """A policy that names a backend or a fragment which is not there is refused. Of the team's own, which
    somebody deleted meanwhile, the next look finds what is missing; the gateway's own come with the
    catalogue.
    """
    own, shared, fragment = await asyncio.gather(
        app.gateway.backends(f"{desired.product}--"),
        app.gateway.backends(SHARED_PREFIX),
        app.gateway.fragment(FRAGMENT),
    )
    needed = {backend.name for backend in desired.backends} | {FRAGMENT}
    needed |= {name for name in (SAFETY_BACKEND, CACHE_BACKEND) if name in desired.policy}
    standing = {backend.name for backend in (*own, *shared)} | ({FRAGMENT} if fragment.digest else set())
    if _misses(error, needed, standing):
        raise Busy(
            "a backend or the fragment that the policy names is not there", reason="BackendGone"
        ) from None


async def _require_own_policy(app: App, desired: DesiredGateway, before: Policy | None) -> None:
    """A backend that is to be deleted is refused when a faster hand has written a policy that names it, after
    ours.
    """
    policy, known = await app.gateway.product_policy(desired.product), None if before is None else before.etag
    if policy is not None and policy.etag != known and policy.digest != digest_of(desired.policy):
        raise Busy(f"another policy of {desired.product} was written meanwhile") from None


async def _unknown() -> None:
    return None


def _require_cluster(app: App, request: AccessRequest) -> None:
    if app.platform.cluster is None and any(model.instance_type for model in request.models):
        raise InvalidRequest(
            "this platform has no GPU cluster: ask for the shared model, without `dedicated`",
            reason="NoCluster",
        )

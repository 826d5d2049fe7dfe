"""A team at the gateway: the product that says which models it may call, given and taken away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar
from weakref import WeakKeyDictionary

from shared.app import App
from shared.branch.account import granted_by
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.branch.push_summary import granted_lines
from shared.errors import Busy, InvalidRequest, Rejected
from shared.marker import Marker, format_time
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.names import API, BEARER_API, CACHE_BACKEND, FRAGMENT, SAFETY_BACKEND, SHARED_PREFIX
from shared.names import mirror as mirror_name
from shared.names import product as product_name
from shared.names import subscription as subscription_name
from shared.policies.policy_xml import digest_of
from shared.ports import Gateway
from shared.resources.actual import Policy, Product
from shared.resources.desired import DesiredGateway, compile_gateway
from shared.resources.plan import UNREAD, Change, Plan, Unread, WritablePlan
from shared.resources.product import ActualProduct, plan_closing, plan_hold, plan_product, plan_withdrawal
from shared.stages.apply import GatewayWriter, apply_plan, misses_reference
from shared.stages.linking import place_to_link
from shared.stages.outgoing import ask_for_keys
from shared.stages.ownership import own_marker
from shared.stages.read_ahead import ReadAhead
from shared.stages.reserve_capacity import DesiredProduct, growth_of, reserve

R = TypeVar("R")
#: While the unified API is not there yet, on a new platform only.
FIRST_WAIT = timedelta(seconds=1)
#: For so long it is known that the unified API was finished.
API_KNOWN = timedelta(seconds=10)
#: While other teams hold a reservation that they are about to give back.
CAPACITY_WAIT = timedelta(seconds=10)
#: The commit status of a team that the guard holds.
HELD = "withdrawal held: too many teams are gone at once; see the check"

#: When the APIs of a service were seen to be finished, by their names.
_API_FINISHED: WeakKeyDictionary[Gateway, dict[str, datetime]] = WeakKeyDictionary()


async def provision_product(
    app: App, event: Event[TeamMessage], decision: Decision, found: ReadAhead[Product | None]
) -> Outcome:
    """Make the team's product, with its policy, backends and link, agree with its request.

    Waits while the unified API is not finished, and while other teams still hold the capacity. Raises Busy
    while many other teams are being linked to the API.
    """
    wanted = _desired_product(app, decision)
    actual, is_api_finished = await _read_product(app, event, wanted.desired.product, found)
    actual = await _with_bearer_link(app, event, wanted, actual)
    plan_product(wanted.desired, wanted.marker, actual).require_allowed()
    if not is_api_finished:
        return Waiting(FIRST_WAIT, "CatalogueNotProvisioned")
    actual = await _with_backends(app, event, wanted, actual)
    plan = plan_product(wanted.desired, wanted.marker, actual).writable()
    with place_to_link(app) if any(change.kind == "product link" for change in plan) else nullcontext():
        if not await _write(app, event, decision, wanted, actual, plan=plan):
            return Waiting(CAPACITY_WAIT, "CapacityInUse")
    assert decision.request is not None
    told = f"product and policy in place: {', '.join(granted_lines(decision.request))}"
    return Done(worth_saying(event, bool(plan), told), wrote=bool(plan))


async def _write(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    wanted: DesiredProduct,
    actual: ActualProduct,
    *,
    plan: WritablePlan,
) -> bool:
    """Write the plan. Returns False while what grows does not fit beside the other teams."""
    writer = GatewayWriter(app.gateway, wanted.marker)
    if plan:
        await ensure_branch_unchanged(app, event, decision)
        reserved = await _plan_within_capacity(app, event, wanted, actual, plan=plan, writer=writer)
        if reserved is None:
            return False
        plan = reserved
    try:
        await _apply(app, event, decision, plan, product=actual.product, writer=writer)
    except Rejected as error:
        await _require_backends(app, wanted.desired, error)
        await _require_own_policy(app, wanted.desired, actual.policy)
        raise
    return True


def _desired_product(app: App, decision: Decision) -> DesiredProduct:
    """Raises InvalidRequest when the request needs a GPU cluster and the platform has none."""
    request, catalog = decision.request, decision.catalog
    assert request is not None
    assert catalog is not None
    if app.platform.cluster is None and any(model.instance_type for model in request.models):
        raise InvalidRequest(
            "this platform has no GPU cluster: ask for the shared model, without `dedicated`",
            reason="NoCluster",
        )
    desired = compile_gateway(request, catalog, app.platform)
    marker = Marker(
        app.platform.repository,
        request.team,
        decision.path,
        decision.commit,
        desired.digest,
        expires=request.expires,
    )
    return DesiredProduct(request, catalog, desired, marker, decision.tree)


def read_product(app: App, team: str) -> ReadAhead[Product | None]:
    """The team's product, for `provision_product` and `withdraw_product`."""
    return ReadAhead(lambda: app.gateway.product(product_name(team)))


async def _read_product(
    app: App, event: Event[TeamMessage], name: str, found: ReadAhead[Product | None]
) -> tuple[ActualProduct, bool]:
    """The product as it is, without its backends, and whether the unified API is finished. The link is read
    where the marker is not believed. Where there is no product, there is no policy and no link either.
    """
    product, is_api_finished = await asyncio.gather(found.get(), _is_api_finished(app))
    if product is None:
        return ActualProduct(None, None, linked=False if event.verify_markers else UNREAD), is_api_finished
    policy, linked = await asyncio.gather(
        app.gateway.product_policy(name),
        _if(event.verify_markers, lambda: app.gateway.is_linked(name, API)),
    )
    return ActualProduct(product, policy, linked=linked), is_api_finished


async def _with_bearer_link(
    app: App, event: Event[TeamMessage], wanted: DesiredProduct, actual: ActualProduct
) -> ActualProduct:
    """With whether it is linked to the API of bearer keys. That is read where the markers are not believed:
    no marker vouches for this link, and products of earlier versions get it by a sweep. While that API is
    not finished nothing is linked to it, and nothing waits for it.
    """
    product = actual.product
    # The links of a team that was withdrawn may have been taken away.
    may_lack = product is None or not product.is_in_force or event.verify_markers
    if not (wanted.desired.has_bearer and may_lack):
        return actual
    if not await _is_api_finished(app, BEARER_API):
        return actual
    is_linked = product is not None and await app.gateway.is_linked(product.name, BEARER_API)
    return replace(actual, bearer_linked=is_linked)


async def _is_api_finished(app: App, name: str = API) -> bool:
    """Whether an API was finished once. That it was is believed for some seconds; what links to an
    API that was deleted meanwhile is refused by the service, and comes back.
    """
    now, known = app.clock.now(), _API_FINISHED.setdefault(app.gateway, {}).get(name)
    if known is not None and timedelta(0) <= now - known < API_KNOWN:
        return True
    api = await app.gateway.api(name)
    if api is None or not api.was_finished:
        return False
    _API_FINISHED[app.gateway][name] = now
    return True


async def _if(is_needed: bool, read: Callable[[], Awaitable[R]]) -> R | Unread:
    return await read() if is_needed else UNREAD


async def _with_backends(
    app: App, event: Event[TeamMessage], wanted: DesiredProduct, actual: ActualProduct
) -> ActualProduct:
    """Backends are read only where the marker does not vouch for them, or a new team needs some."""
    is_unread = "backend" in plan_product(wanted.desired, wanted.marker, actual).unread
    if actual.product is None and not is_unread:
        return replace(actual, backends=())
    if not is_unread and not event.verify_markers:
        return actual
    return replace(actual, backends=tuple(await app.gateway.backends(f"{wanted.desired.product}--")))


async def _plan_within_capacity(
    app: App,
    event: Event[TeamMessage],
    wanted: DesiredProduct,
    actual: ActualProduct,
    *,
    plan: WritablePlan,
    writer: GatewayWriter,
) -> WritablePlan | None:
    """The plan, when what grows is reserved; None while it does not fit beside the other teams."""
    growth = await growth_of(app, wanted, actual.product)
    if growth is None:
        return plan
    reserved = await reserve(app, event, growth, writer)
    if reserved is None:
        return None
    return (
        plan_product(wanted.desired, wanted.marker, replace(actual, product=reserved))
        .writable()
        .after_first()
    )


async def _apply(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    plan: WritablePlan,
    *,
    product: Product | None,
    writer: GatewayWriter,
) -> None:
    """Write the plan, and queue the delivery of keys: beside it for a new product or one in force.

    Keys of a team that comes back are queued afterwards: they would work under its former policy, which may
    grant more.
    """

    async def keys() -> None:
        await ask_for_keys(app, event, decision.commit)

    comes_back = product is not None and not product.is_in_force
    await apply_plan(plan, writer, None if comes_back else keys)
    if comes_back:
        await keys()


async def _require_backends(app: App, desired: DesiredGateway, error: Rejected) -> None:
    """Raises Busy when the policy was refused because a backend or the fragment that it names does not exist.

    The next attempt makes the team's own backends again; the shared ones are made with the catalogue.
    """
    own, shared, fragment = await asyncio.gather(
        app.gateway.backends(f"{desired.product}--"),
        app.gateway.backends(SHARED_PREFIX),
        app.gateway.fragment(FRAGMENT),
    )
    needed = {backend.name for backend in desired.backends} | {FRAGMENT}
    needed |= {name for name in (SAFETY_BACKEND, CACHE_BACKEND) if name in desired.policy}
    existing = {backend.name for backend in (*own, *shared)} | ({FRAGMENT} if fragment.digest else set())
    if misses_reference(error, needed, existing):
        raise Busy(
            "a backend or the fragment that the policy names is not there", reason="BackendGone"
        ) from None


async def _require_own_policy(app: App, desired: DesiredGateway, before: Policy | Unread | None) -> None:
    """Raises Busy when another host has written a policy after ours: then a backend that was to be deleted is
    named again, and its deletion is refused.
    """
    policy = await app.gateway.product_policy(desired.product)
    known = before.etag if isinstance(before, Policy) else None
    if policy is not None and policy.etag != known and policy.digest != digest_of(desired.policy):
        raise Busy(f"another policy of {desired.product} was written meanwhile") from None


async def withdraw_product(
    app: App, event: Event[TeamMessage], decision: Decision, found: ReadAhead[Product | None]
) -> Outcome:
    """Suspend the subscription first, whatever else fails; close the product to calls without a key; mark it
    as withdrawn; delete it when the grace period is over.
    """
    team = event.message.team
    owner = own_marker(app, team)
    own = subscription_name(team)
    subscription, mirror, product = await asyncio.gather(
        app.gateway.subscription(own), app.gateway.subscription(mirror_name(own)), found.get()
    )
    await ensure_branch_unchanged(app, event, decision)
    actual = ActualProduct(product, subscription=subscription, mirror=mirror)
    writer = GatewayWriter(app.gateway, owner)
    await apply_plan(plan_closing(owner, actual).writable(), writer)
    plan = await _plan_withdrawal(app, event, decision, actual)
    if product is None and decision.in_doubt:
        return Done(wrote=False)
    if product is None or any(change.kind == "product" for change in plan):
        await apply_plan(plan.writable(), _deleting(app, team, writer))
        # Where the product is gone, the secrets are deleted too.
        await ask_for_keys(app, event, decision.commit)
        return Done("deleted" if product else None)
    # Keys are withdrawn also when the product has to stay, because it is not ours or not only ours.
    await ask_for_keys(app, event, decision.commit)
    await apply_plan(plan.writable(), writer)
    if product.marker is not None and product.marker.withdrawn is not None:
        return Done(wrote=bool(plan))
    return Done(f"withdrawn, keys suspended; deleted after {format_time(event.now + app.timeouts.grace)}")


async def _plan_withdrawal(
    app: App, event: Event[TeamMessage], decision: Decision, actual: ActualProduct
) -> Plan:
    """The plan, after reading what it needs besides product and subscription."""
    gateway, name = app.gateway, product_name(event.message.team)

    def plan(found: ActualProduct) -> Plan:
        owner, in_doubt = own_marker(app, event.message.team), decision.in_doubt
        return plan_withdrawal(owner, found, event.now, app.timeouts.grace, in_doubt=in_doubt)

    unread = plan(actual).unread
    subscriptions, backends, linked, bearer = await asyncio.gather(
        _if("subscription" in unread, lambda: gateway.product_subscriptions(name)),
        _if("backend" in unread, lambda: gateway.backends(f"{name}--")),
        _if("product link" in unread, lambda: gateway.is_linked(name, API)),
        _if("product link" in unread, lambda: gateway.is_linked(name, BEARER_API)),
    )
    known = replace(actual, subscriptions=subscriptions, backends=backends)
    return plan(replace(known, linked=linked, bearer_linked=bearer))


def _deleting(app: App, team: str, writer: GatewayWriter) -> Callable[[Change], Awaitable[None]]:
    """Writes a plan that deletes. Raises Busy when a deletion was refused because the team came back
    meanwhile.
    """

    async def write(change: Change) -> None:
        name = product_name(team)
        try:
            await writer(change)
        except Rejected:
            if change.kind == "product" and await app.gateway.product_subscriptions(name):
                raise Busy(f"a subscription of {name} was made meanwhile") from None
            if change.kind == "backend" and await app.gateway.product(name) is not None:
                raise Busy(f"{team} came back meanwhile, and its policy names its backends") from None
            raise

    return write


async def leave_held(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:  # noqa: ARG001
    """Change nothing for a team whose withdrawal the guard holds."""
    return Done(HELD, wrote=False)


async def hold_product(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Write into the marker since when the guard holds the withdrawal, so that the team stays held when other
    teams go, come or are deleted. Nothing is withdrawn.
    """
    team = event.message.team
    owner = own_marker(app, team)
    plan = plan_hold(owner, await app.gateway.product(product_name(team)), event.now).writable()
    if plan:
        await ensure_branch_unchanged(app, event, decision)
        await apply_plan(plan, GatewayWriter(app.gateway, owner))
    await doubt_marker(app, event, decision)
    return Done(HELD, wrote=bool(plan))


async def doubt_marker(app: App, event: Event[TeamMessage], decision: Decision) -> None:
    """Take the digest off a marker that vouches for another policy than there is, where the product is left
    as it is and the message was begun before.

    The first policy of a product has no ETag to fence it: a handler that came too late may have written it
    over a newer one, and then its marker was refused. The account of all teams believes a digest.
    """
    if not event.is_retry:
        return
    name = product_name(event.message.team)
    product, policy = await asyncio.gather(app.gateway.product(name), app.gateway.product_policy(name))
    marker = None if product is None else product.marker
    if product is None or marker is None or not own_marker(app, event.message.team).may_change(marker):
        return
    if not product.is_in_force or policy is None:
        return
    granted = await granted_by(app, marker)
    if granted is not None and granted != policy.grants:
        await ensure_branch_unchanged(app, event, decision)
        await app.gateway.mark_product(name, product.etag, marker.unfinished())

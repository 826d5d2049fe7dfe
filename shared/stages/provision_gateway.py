"""A team at the gateway: the product that says which models it may call, given and taken away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import Busy, InvalidRequest, NewerVersion, NotManaged, Rejected
from shared.marker import Marker, format_time
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.names import API, CACHE_BACKEND, FRAGMENT, SAFETY_BACKEND, SHARED_PREFIX
from shared.names import product as product_name
from shared.names import subscription as subscription_name
from shared.policies.policy_xml import digest_of
from shared.resources.actual import Policy, Product, Subscription
from shared.resources.desired import DesiredGateway, compile_gateway
from shared.resources.plan import ActualGateway, Plan, plan_gateway
from shared.stages.apply import (
    ADMINISTRATOR,
    GatewayWriter,
    apply_plan,
    gather_all,
    misses_reference,
    remove_administrator,
    require_subscription,
)
from shared.stages.outgoing import ask_for_keys
from shared.stages.ownership import (
    is_foreign_and_active,
    is_grace_over,
    is_own_and_active,
    is_own_and_suspended,
    is_own_subscription,
    own_marker,
    require_ours,
)
from shared.stages.reserve_capacity import DesiredProduct, growth_of, reserve

#: While the unified API is not there yet, on a new platform only.
FIRST_WAIT = timedelta(seconds=1)
#: While other teams hold a reservation that they are about to give back.
CAPACITY_WAIT = timedelta(seconds=10)
#: The commit status of a team that the guard holds.
HELD = "withdrawal held: too many teams are gone at once; see the check"


async def provision_product(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Make the team's product, with its policy, backends and link, agree with its request.

    Waits while the unified API is not finished, and while other teams still hold the capacity.
    """
    wanted = _desired_product(app, decision)
    actual, is_api_finished = await _read_product(app, event, wanted.desired.product)
    if actual.product is not None:
        require_ours(app, wanted.request.team, actual.product.marker, f"product {actual.product.name}")
    if not is_api_finished:
        return Waiting(FIRST_WAIT, "CatalogueNotProvisioned")
    actual = await _with_backends(app, event, wanted.desired, actual)
    writer = GatewayWriter(app.gateway, wanted.marker)
    plan: Plan | None = plan_gateway(wanted.desired, wanted.marker, actual)
    if plan:
        await ensure_branch_unchanged(app, event, decision)
        plan = await _plan_within_capacity(app, event, wanted, actual, plan=plan, writer=writer)
    if plan is None:
        return Waiting(CAPACITY_WAIT, "CapacityInUse")
    try:
        await _apply(app, event, decision, plan, product=actual.product, writer=writer)
    except Rejected as error:
        await _require_backends(app, wanted.desired, error)
        await _require_own_policy(app, wanted.desired, actual.policy)
        raise
    return Done(worth_saying(event, bool(plan), "product and policy in place"), wrote=bool(plan))


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


async def _read_product(app: App, event: Event[TeamMessage], name: str) -> tuple[ActualGateway, bool]:
    """The product as it is, without its backends, and whether the unified API is finished."""
    product, policy, api, linked = await asyncio.gather(
        app.gateway.product(name),
        app.gateway.product_policy(name),
        app.gateway.api(API),
        app.gateway.is_linked(name, API) if event.verify_markers else _unread(),
    )
    return ActualGateway(product, policy, linked=linked), api is not None and api.was_finished


async def _unread() -> None:
    return None


async def _with_backends(
    app: App, event: Event[TeamMessage], desired: DesiredGateway, actual: ActualGateway
) -> ActualGateway:
    """Backends are read only where the marker does not vouch for them, or a new team needs some."""
    if actual.product is None:
        is_needed = bool(desired.backends)
    else:
        marker = actual.product.marker
        is_needed = event.verify_markers or marker is None or marker.digest != desired.digest
    if not is_needed:
        return actual
    return replace(actual, backends=tuple(await app.gateway.backends(f"{desired.product}--")))


async def _plan_within_capacity(
    app: App,
    event: Event[TeamMessage],
    wanted: DesiredProduct,
    actual: ActualGateway,
    *,
    plan: Plan,
    writer: GatewayWriter,
) -> Plan | None:
    """The plan, when what grows is reserved; None while it does not fit beside the other teams."""
    growth = await growth_of(app, wanted, actual.product)
    if growth is None:
        return plan
    reserved = await reserve(app, event, growth, writer)
    if reserved is None:
        return None
    return plan_gateway(wanted.desired, wanted.marker, replace(actual, product=reserved)).after_first()


async def _apply(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    plan: Plan,
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


async def _require_own_policy(app: App, desired: DesiredGateway, before: Policy | None) -> None:
    """Raises Busy when another host has written a policy after ours: then a backend that was to be deleted is
    named again, and its deletion is refused.
    """
    policy, known = await app.gateway.product_policy(desired.product), None if before is None else before.etag
    if policy is not None and policy.etag != known and policy.digest != digest_of(desired.policy):
        raise Busy(f"another policy of {desired.product} was written meanwhile") from None


async def withdraw_product(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Suspend the subscription first, whatever else fails; close the product to calls without a key; mark it
    as withdrawn; delete it when the grace period is over.
    """
    team = event.message.team
    subscription, product = await asyncio.gather(
        app.gateway.subscription(subscription_name(team)), app.gateway.product(product_name(team))
    )
    await ensure_branch_unchanged(app, event, decision)
    if is_own_and_active(subscription, app, team):
        await app.gateway.suspend_subscription(subscription.name, subscription.etag)
    product = await require_subscription(app.gateway, product, own_marker(app, team))
    if product is None:
        return (
            Done(wrote=False)
            if decision.in_doubt
            else await _delete_remains(app, event, decision, subscription)
        )
    if is_grace_over(app, event, product.marker) and not decision.in_doubt:
        return await _delete_after_grace(app, event, decision, product, subscription)
    await ask_for_keys(app, event, decision.commit)
    return await _mark_withdrawn(app, event, product, subscription)


async def _mark_withdrawn(
    app: App, event: Event[TeamMessage], product: Product, subscription: Subscription | None
) -> Outcome:
    """Write the time of the withdrawal into the marker, once. Where a foreign subscription has the name of
    the team's own, the link is removed: the subscription is left alone, and its keys open nothing.
    """
    team = event.message.team
    marker = require_ours(app, team, product.marker, f"product {product.name}")
    unlinks = is_foreign_and_active(subscription, app, team) and await app.gateway.is_linked(
        product.name, API
    )
    # The digest vouches for the link: without it a team that comes back is linked again.
    digest = "" if unlinks else marker.digest
    withdrawn = replace(marker, withdrawn=marker.withdrawn or event.now, held=None, digest=digest)
    if withdrawn != marker:
        if marker.withdrawn is None and not marker.digest:
            # The product is unfinished: the administrator's keys may still be there.
            await remove_administrator(app.gateway, product.name)
        await app.gateway.publish_product(product.name, product.etag, product.display_name, withdrawn)
    if unlinks:
        await app.gateway.unlink_product(product.name, API)
    if marker.withdrawn is not None:
        return Done(wrote=unlinks)
    return Done(f"withdrawn, keys suspended; deleted after {format_time(event.now + app.timeouts.grace)}")


async def leave_held(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:  # noqa: ARG001
    """Change nothing for a team whose withdrawal the guard holds."""
    return Done(HELD, wrote=False)


async def hold_product(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Write into the marker since when the guard holds the withdrawal, so that the team stays held when other
    teams go, come or are deleted. Nothing is withdrawn.
    """
    team = event.message.team
    product = await app.gateway.product(product_name(team))
    marker = None if product is None else product.marker
    if product is None or marker is None or not own_marker(app, team).may_change(marker):
        return Done(HELD, wrote=False)
    if marker.held or marker.withdrawn or not product.is_finished:
        return Done(HELD, wrote=False)
    await ensure_branch_unchanged(app, event, decision)
    held = replace(marker, held=event.now)
    await app.gateway.publish_product(product.name, product.etag, product.display_name, held)
    return Done(HELD)


async def _delete_remains(
    app: App, event: Event[TeamMessage], decision: Decision, subscription: Subscription | None
) -> Outcome:
    """Delete what outlived the product: its backends, and the team's subscription.

    A subscription that was active a moment ago has a new ETag since it was suspended: the next sweep has it
    deleted.
    """
    team = event.message.team
    await _delete_backends(app, team)
    if is_own_and_suspended(subscription, app, team):
        await app.gateway.delete_subscription(subscription.name, subscription.etag)
    await ask_for_keys(app, event, decision.commit)
    return Done()


async def _delete_after_grace(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    product: Product,
    subscription: Subscription | None,
) -> Outcome:
    """Delete the product, then queue the withdrawal of keys: where the product is gone, they are deleted too.

    Keys are withdrawn also when the product has to stay, because it is not ours or not only ours.
    """
    team = event.message.team
    try:
        require_ours(app, team, product.marker, f"product {product.name}")
        await _delete_product(app, team, product, subscription)
    except (NotManaged, NewerVersion):
        await ask_for_keys(app, event, decision.commit)
        raise
    await ask_for_keys(app, event, decision.commit)
    return Done("deleted")


async def _delete_product(app: App, team: str, product: Product, subscription: Subscription | None) -> None:
    """Delete the product's subscriptions, the product and its backends.

    Raises Busy when a subscription was made meanwhile: then the team came back, and got its keys.
    """
    await _delete_subscriptions(app, team, product, subscription)
    try:
        await app.gateway.delete_product(product.name, product.etag)
    except Rejected:
        if await app.gateway.product_subscriptions(product.name):
            raise Busy(f"a subscription of {product.name} was made meanwhile") from None
        raise
    await _delete_backends(app, team)


async def _delete_subscriptions(
    app: App, team: str, product: Product, subscription: Subscription | None
) -> None:
    """Lists tell no ETag; that of the team's own subscription is the one that was read individually, so that
    a subscription made meanwhile is not deleted. Raises NotManaged when others have subscriptions.
    """
    etags = {} if subscription is None else {subscription.name: subscription.etag}
    listed = await app.gateway.product_subscriptions(product.name)
    foreign = [
        each.name
        for each in listed
        if each.owner != ADMINISTRATOR and not is_own_subscription(app, team, each)
    ]
    if foreign:
        raise NotManaged(
            f"product {product.name} has subscriptions that are not managed by mergekey: {', '.join(foreign)}"
        )
    await gather_all(
        *(app.gateway.delete_subscription(each.name, etags.get(each.name, each.etag)) for each in listed)
    )


async def _delete_backends(app: App, team: str) -> None:
    """Raises Busy when the team came back meanwhile, and its policy names the backends."""
    marker = own_marker(app, team)
    backends = await app.gateway.backends(f"{product_name(team)}--")
    own = [backend for backend in backends if marker.may_change(backend.marker)]
    try:
        await gather_all(*(app.gateway.delete_backend(backend.name, backend.etag) for backend in own))
    except Rejected:
        if await app.gateway.product(product_name(team)) is not None:
            raise Busy(f"{team} came back meanwhile, and its policy names its backends") from None
        raise

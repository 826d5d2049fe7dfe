"""A team at the gateway: the product that says which models it may call, given and taken away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import Busy, InvalidRequest, NewerVersion, NotManaged, Rejected
from shared.marker import Marker, format_time, require_known
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.names import API, CACHE_BACKEND, FRAGMENT, SAFETY_BACKEND, SHARED_PREFIX
from shared.names import product as product_name
from shared.names import subscription as subscription_name
from shared.policies.policy_xml import digest_of
from shared.requests.request import AccessRequest
from shared.resources.actual import Policy, Product, Subscription
from shared.resources.desired import DesiredGateway, compile_gateway
from shared.resources.plan import ActualGateway, plan_gateway
from shared.stages.apply import (
    ADMINISTRATOR,
    GatewayWriter,
    apply_plan,
    closed,
    gather_all,
    misses_reference,
    remove_administrator,
)
from shared.stages.outgoing import ask_for_keys
from shared.stages.ownership import is_grace_over, is_own_subscription, require_ours
from shared.stages.reserve_capacity import DesiredProduct, growth_of, reserve

#: While the unified API is not there yet, on a new platform only.
FIRST_WAIT = timedelta(seconds=1)
#: While others have what is asked for, and give it back at this moment.
ROOM_WAIT = timedelta(seconds=10)
#: What is said beside the commit.
HELD = "withdrawal held: too many teams are gone at once; see the check"


async def provision_product(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """The team's product. The backends are read only when something differs."""
    assert decision.request is not None
    assert decision.catalog is not None
    name, team = product_name(decision.request.team), decision.request.team
    _require_cluster(app, decision.request)
    desired = compile_gateway(decision.request, decision.catalog, app.platform)
    marker = Marker(
        app.platform.repository,
        team,
        decision.path,
        decision.commit,
        desired.digest,
        expires=decision.request.expires,
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
        await ensure_branch_unchanged(app, event, decision)
        growth = await growth_of(
            app, DesiredProduct(decision.request, decision.catalog, desired, marker), actual
        )
        if growth is not None:
            reserved = await reserve(app, event, growth, writer)
            if reserved is None:
                return Waiting(ROOM_WAIT, "CapacityInUse")
            plan = plan_gateway(desired, marker, replace(found, product=reserved)).after_first()

    async def keys() -> None:
        await ask_for_keys(app, event, decision.commit)

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
    existing = {backend.name for backend in (*own, *shared)} | ({FRAGMENT} if fragment.digest else set())
    if misses_reference(error, needed, existing):
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


async def withdraw_product(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Suspend first, whatever else fails; let nobody in without a key; mark the product; after grace delete
    what is ours.
    """
    team = event.message.team
    subscription, product = await asyncio.gather(
        app.gateway.subscription(subscription_name(team)), app.gateway.product(product_name(team))
    )
    await ensure_branch_unchanged(app, event, decision)
    if (
        subscription is not None
        and is_own_subscription(app, team, subscription)
        and subscription.state == "active"
    ):
        await app.gateway.suspend_subscription(subscription.name, subscription.etag)
    product = await closed(app.gateway, product, Marker(app.platform.repository, team, "", ""))
    marker = None if product is None else product.marker
    if product is None and decision.in_doubt:
        return Done(wrote=False)
    if product is None or (
        marker is not None and is_grace_over(app, event, marker) and not decision.in_doubt
    ):
        return await _end(app, event, decision, product, subscription)
    await ask_for_keys(app, event, decision.commit)
    marker = require_ours(app, team, marker, f"product {product.name}")
    # A subscription that somebody renamed, or made in our place, is left alone; what its keys open is ours to
    # shut.
    stranger = (
        subscription is not None
        and subscription.state == "active"
        and not is_own_subscription(app, team, subscription)
    )
    shut = stranger and await app.gateway.is_linked(product.name, API)
    # A digest vouches for the link, too: without it whoever comes back is linked again.
    over = replace(
        marker, withdrawn=marker.withdrawn or event.now, held=None, digest="" if shut else marker.digest
    )
    if over != marker:
        await _mark_withdrawn(app, product, marker, over)
    if shut:
        await app.gateway.unlink_product(product.name, API)
    if marker.withdrawn is not None:
        return Done(wrote=shut)
    return Done(f"withdrawn, keys suspended; deleted after {format_time(event.now + app.limits.grace)}")


async def _mark_withdrawn(app: App, product: Product, before: Marker, marker: Marker) -> None:
    if before.withdrawn is None and not before.digest:
        # Whoever began it died, or was told to stop, before the administrator's keys were removed.
        await remove_administrator(app.gateway, product.name)
    await app.gateway.publish_product(product.name, product.etag, product.display_name, marker)


async def leave_held(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:  # noqa: ARG001
    """Nothing is done about a team that the guard holds."""
    return Done(HELD, wrote=False)


async def hold_product(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """The product says since when: so the team stays held, whoever else goes, comes or is cleaned away.
    Nothing is withdrawn.
    """
    team = event.message.team
    product = await app.gateway.product(product_name(team))
    marker = None if product is None else product.marker
    may = Marker(app.platform.repository, team, "", "").may_change(marker)
    if (
        product is None
        or marker is None
        or not may
        or marker.held
        or marker.withdrawn
        or not product.is_finished
    ):
        return Done(HELD, wrote=False)
    await ensure_branch_unchanged(app, event, decision)
    await app.gateway.publish_product(
        product.name, product.etag, product.display_name, replace(marker, held=event.now)
    )
    return Done(HELD)


async def _end(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    product: Product | None,
    subscription: Subscription | None,
) -> Outcome:
    """Delete what is ours. Keys are asked for last: by the product that is gone the vault's stage knows that
    grace has ended.
    """
    team = event.message.team
    if product is None:
        await _delete_backends(app, team)
        if (
            subscription is not None
            and is_own_subscription(app, team, subscription)
            and subscription.state != "active"
        ):
            # It outlived its product. While it was active its ETag is out of date by now: then the next sweep
            # has it deleted.
            await app.gateway.delete_subscription(subscription.name, subscription.etag)
    else:
        try:
            require_ours(app, team, product.marker, f"product {product.name}")
            await _delete_product(app, team, product, subscription)
        except (NotManaged, NewerVersion):
            # The product has to stay, the keys have not.
            await ask_for_keys(app, event, decision.commit)
            raise
    await ask_for_keys(app, event, decision.commit)
    return Done(None if product is None else "deleted")


async def _delete_product(app: App, team: str, product: Product, subscription: Subscription | None) -> None:
    """Lists tell no ETags: the team's own subscription has the one that was read by itself, so that nobody's
    new keys are deleted.
    """
    etags = {} if subscription is None else {subscription.name: subscription.etag}
    subscriptions = await app.gateway.product_subscriptions(product.name)
    known = [
        found
        for found in subscriptions
        if is_own_subscription(app, team, found) or found.owner == ADMINISTRATOR
    ]
    if foreign := [found.name for found in subscriptions if found not in known]:
        raise NotManaged(
            f"product {product.name} has subscriptions that are not managed by mergekey: {', '.join(foreign)}"
        )
    await gather_all(
        *(app.gateway.delete_subscription(found.name, etags.get(found.name, found.etag)) for found in known)
    )
    try:
        await app.gateway.delete_product(product.name, product.etag)
    except Rejected:
        if await app.gateway.product_subscriptions(product.name):
            # The team came back, and got its keys.
            raise Busy(f"a subscription of {product.name} was made meanwhile") from None
        raise
    await _delete_backends(app, team)


async def _delete_backends(app: App, team: str) -> None:
    marker = Marker(app.platform.repository, team, "", "")
    backends = [
        found
        for found in await app.gateway.backends(f"{product_name(team)}--")
        if marker.may_change(found.marker)
    ]
    try:
        await gather_all(*(app.gateway.delete_backend(backend.name, backend.etag) for backend in backends))
    except Rejected:
        if await app.gateway.product(product_name(team)) is not None:
            raise Busy(f"{team} came back meanwhile, and its policy names its backends") from None
        raise

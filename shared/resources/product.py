"""A team's product at the gateway, with its policy, backends and link: the plans that give it, hold it,
withdraw it and delete it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared import names
from shared.errors import NotManaged
from shared.marker import NOWHERE, Marker
from shared.names import API, BEARER_API
from shared.policies.policy_xml import digest_of
from shared.resources.actual import ActualBackend, Policy, Product, Subscription
from shared.resources.backend_changes import Changes, backend_changes, unwanted_backends
from shared.resources.desired import DesiredGateway
from shared.resources.plan import (
    UNREAD,
    Change,
    Create,
    Delete,
    Kind,
    Plan,
    Refused,
    Unread,
    Update,
    in_steps,
    refusal,
)
from shared.resources.subscription import ADMINISTRATOR, is_own


@dataclass(frozen=True, slots=True)
class ActualProduct:
    """The existing gateway objects of a team. `subscription` is the team's own by its name, `mirror` the one
    with its keys as bearer tokens; `subscriptions` are all of the product. `bearer_linked` is unread also
    where the API of bearer keys is not there, or not finished.
    """

    product: Product | None
    policy: Policy | Unread | None = UNREAD
    backends: Sequence[ActualBackend] | Unread = UNREAD
    linked: bool | Unread = UNREAD
    bearer_linked: bool | Unread = UNREAD
    subscription: Subscription | Unread | None = UNREAD
    mirror: Subscription | Unread | None = UNREAD
    subscriptions: Sequence[Subscription] | Unread = UNREAD

    @property
    def own(self) -> tuple[Subscription | Unread | None, ...]:
        """The subscriptions with the names of the team's own. The mirror is the first: its keys hang on the
        other's.
        """
        return self.mirror, self.subscription


def plan_product(desired: DesiredGateway, marker: Marker, actual: ActualProduct) -> Plan:
    """The link lets the team's keys open the API, so it comes after the policy; the marker vouches for all,
    so it comes last. What was not read is as the marker says.

    The policy carries its own digest: a change that was taken back before its marker was written is seen. A
    product that can be used without a key is made to require one before anything else, which may fail.
    """
    product = actual.product
    if refused := _refused(marker, product):
        return Plan(refused=refused)
    known = None if product is None else product.marker
    is_vouched = known is not None and known.digest == marker.digest
    policy, unread_policy = _policy_change(desired, actual, is_vouched=is_vouched)
    backends, unread_backends = _backend_changes(desired, marker, actual, is_vouched=is_vouched)
    if backends.left_to_newer:
        return Plan(refused=backends.refused)
    is_finished = known is not None and known.digest != ""
    once: tuple[Change, ...] = (
        () if is_finished else (Delete("administrator subscription", desired.product, ""),)
    )
    link = _links(desired, actual, is_finished=is_finished)
    return Plan(
        in_steps(
            _product_change(desired, marker, product),
            backends.wanted,
            policy,
            (*link, *once),
            backends.unwanted,
            _marker_change(desired, marker, product, is_rewritten=bool(policy)),
        ),
        refused=backends.refused,
        unread=unread_policy | unread_backends,
    )


def _links(desired: DesiredGateway, actual: ActualProduct, *, is_finished: bool) -> tuple[Change, ...]:
    """The marker of a finished product vouches for the first link, and none for that of bearer keys."""
    missing = {
        API: not is_finished or actual.linked is False,
        BEARER_API: actual.bearer_linked is False,
    }
    return tuple(Create("product link", desired.product, api) for api in desired.apis if missing[api])


def plan_reservation(desired: DesiredGateway, marker: Marker, product: Product | None) -> Plan:
    """The marker at this commit, without a digest: it says, before anything is granted, that a team asks for
    more of what is bounded over all teams.
    """
    first, reserved = _product_change(desired, marker, product), marker.unfinished()
    if product is None or product.marker == reserved:
        return Plan(in_steps(first))
    return Plan(in_steps(first, [Update("product reservation", desired.product, product.etag, reserved)]))


def _refused(owner: Marker, product: Product | None) -> tuple[Refused, ...]:
    if product is None:
        return ()
    return refusal("product", product.name, f"product {product.name}", owner, product.marker)


def _product_change(desired: DesiredGateway, marker: Marker, product: Product | None) -> tuple[Change, ...]:
    """A product that is there, and that requires a subscription."""
    if product is None:
        return (Create("product", desired.product, (desired.shown_as, marker.unfinished())),)
    return () if product.subscription_required else (Update("product", desired.product, product.etag),)


def _policy_change(
    desired: DesiredGateway, actual: ActualProduct, *, is_vouched: bool
) -> tuple[tuple[Change, ...], frozenset[Kind]]:
    # A policy goes with its product: one that was read of a product which is gone is gone, too.
    policy = None if actual.product is None else actual.policy
    if isinstance(policy, Unread):
        return (), frozenset() if is_vouched else frozenset({"product policy"})
    if policy is not None and policy.digest == digest_of(desired.policy):
        return (), frozenset()
    tag = None if policy is None else policy.etag
    return (Update("product policy", desired.product, tag, desired.policy),), frozenset()


def _backend_changes(
    desired: DesiredGateway, marker: Marker, actual: ActualProduct, *, is_vouched: bool
) -> tuple[Changes, frozenset[Kind]]:
    if not isinstance(actual.backends, Unread):
        return backend_changes(desired.backends, marker, actual.backends), frozenset()
    is_missed = not is_vouched if actual.product is not None else bool(desired.backends)
    return Changes(), frozenset({"backend"}) if is_missed else frozenset()


def _marker_change(
    desired: DesiredGateway, marker: Marker, product: Product | None, *, is_rewritten: bool
) -> tuple[Change, ...]:
    """Also of a marker that says so already, when the policy was rewritten: a late handler that wrote the
    policy before has still to write its marker, and the new ETag refuses it.
    """
    known = product.marker if product else None
    marked = known is not None and known.digest == marker.digest and known.stands_as(marker)
    if marked and not is_rewritten and product is not None and product.is_shown_as(*desired.names):
        return ()
    tag = product.etag if product else None
    return (Update("product marker", desired.product, tag, (desired.shown_as, marker)),)


def plan_hold(owner: Marker, product: Product | None, now: datetime) -> Plan:
    """Write into the marker since when the guard holds the withdrawal, so that no later run withdraws it.

    A reservation is given back: while the team is held nobody grants it, and others would wait for it. What
    the team keeps is what its policy grants.
    """
    marker = None if product is None else product.marker
    if product is None or marker is None or not owner.may_change(marker) or marker.withdrawn:
        return Plan()
    kept = marker if marker.digest else replace(marker, commit=NOWHERE)
    if product.is_finished and not marker.held:
        held = (product.display_name, replace(kept, held=now))
        return Plan(in_steps([Update("product marker", product.name, product.etag, held)]))
    if kept != marker:
        return Plan(in_steps([Update("product reservation", product.name, product.etag, kept)]))
    return Plan()


def plan_closing(owner: Marker, actual: ActualProduct) -> Plan:
    """Suspend the team's subscription first, whatever else is refused; close the product to calls without a
    key.
    """
    return Plan(in_steps(suspension(owner, *actual.own), _closing(owner, actual.product)))


def plan_withdrawal(
    owner: Marker, actual: ActualProduct, now: datetime, grace: timedelta, *, in_doubt: bool
) -> Plan:
    """After the closing: mark the product as withdrawn; delete it, and what outlived it, when the grace
    period is over. `in_doubt`: the branch cannot be read; nothing is deleted.
    """
    product = actual.product
    if product is None:
        return Plan() if in_doubt else _plan_remains(owner, actual)
    if refused := _refused(owner, product):
        return Plan(refused=refused)
    marker = product.marker
    assert marker is not None, "it is ours"
    is_over = marker.withdrawn is not None and now >= marker.withdrawn + grace
    if is_over and not in_doubt:
        return _plan_deletion(owner, product, actual)
    return _plan_mark(owner, product, marker, actual, now)


def suspension(owner: Marker, *subscriptions: Subscription | Unread | None) -> Iterator[Change]:
    """Suspend the team's own subscriptions, where they are active."""
    return (
        Update("subscription", each.name, each.etag, "suspended")
        for each in _own(owner, *subscriptions)
        if each.state == "active"
    )


def _own(owner: Marker, *subscriptions: Subscription | Unread | None) -> list[Subscription]:
    """Those that are there, and the owner's."""
    known = (each for each in subscriptions if each is not None and not isinstance(each, Unread))
    return [each for each in known if is_own(owner, each)]


def _closing(owner: Marker, product: Product | None) -> tuple[Change, ...]:
    """A product that serves calls without a key does so even when the team's own keys are suspended."""
    if product is None or product.subscription_required or not owner.may_change(product.marker):
        return ()
    return (Update("product", product.name, product.etag),)


def _plan_remains(owner: Marker, actual: ActualProduct) -> Plan:
    """Delete what outlived the product: its backends, and the team's subscription.

    A subscription that was active a moment ago has a new ETag when it is suspended: the next sweep has it
    deleted.
    """
    deleted = [
        Delete("subscription", each.name, each.etag)
        for each in _own(owner, *actual.own)
        if each.state != "active"
    ]
    if isinstance(actual.backends, Unread):
        return Plan(in_steps(deleted), unread=frozenset({"backend"}))
    return Plan(in_steps(unwanted_backends(owner, actual.backends), deleted))


def _plan_mark(owner: Marker, product: Product, marker: Marker, actual: ActualProduct, now: datetime) -> Plan:
    """Write the time of the withdrawal into the marker, once. Where a foreign subscription has the name of
    the team's own, the link is removed: the subscription is left alone, and its keys open nothing.
    """
    is_foreign = any(_is_foreign_and_active(owner, each) for each in actual.own)
    if is_foreign and actual.linked is UNREAD:
        return Plan(unread=frozenset({"product link"}))
    unlinked = _unlinking(product, actual) if is_foreign else ()
    # The digest vouches for the link: without it a team that comes back is linked again.
    digest = "" if unlinked else marker.digest
    withdrawn = replace(marker, withdrawn=marker.withdrawn or now, held=None, digest=digest)
    if withdrawn == marker:
        return Plan(in_steps(unlinked))
    # The product is unfinished: the administrator's keys may still be there.
    is_unfinished = marker.withdrawn is None and not marker.digest
    return Plan(
        in_steps(
            [Delete("administrator subscription", product.name, "")] if is_unfinished else (),
            [Update("product marker", product.name, product.etag, (product.display_name, withdrawn))],
            unlinked,
        )
    )


def _unlinking(product: Product, actual: ActualProduct) -> tuple[Change, ...]:
    linked = {API: actual.linked, BEARER_API: actual.bearer_linked}
    return tuple(Delete("product link", product.name, api) for api in linked if linked[api] is True)


def _is_foreign_and_active(owner: Marker, subscription: Subscription | Unread | None) -> bool:
    """Whether the team's subscription was renamed, or replaced by another, whose keys work."""
    if isinstance(subscription, Unread) or subscription is None:
        return False
    return subscription.state == "active" and not is_own(owner, subscription)


def _plan_deletion(owner: Marker, product: Product, actual: ActualProduct) -> Plan:
    """Delete the product's subscriptions, the product, and its backends.

    Lists show no ETag: the team's own subscription is deleted with that which was read individually, so that
    one that was made meanwhile is kept, and the product with it. A copy of it under another name is not made
    by a stage, and so is not the team's own.
    """
    subscription = names.subscription(owner.team)
    own = (subscription, names.mirror(subscription))
    foreign = [
        each.name
        for each in (() if isinstance(actual.subscriptions, Unread) else actual.subscriptions)
        if (not is_own(owner, each) if each.name in own else each.owner != ADMINISTRATOR)
    ]
    if foreign:
        text = (
            f"product {product.name} has subscriptions that are not managed by mergekey: {', '.join(foreign)}"
        )
        return Plan(refused=(Refused("subscription", product.name, NotManaged, text),))
    return Plan(
        in_steps(
            [
                Delete("administrator subscription", product.name, ""),
                *(Delete("subscription", each.name, each.etag) for each in _own(owner, *actual.own)),
            ],
            [Delete("product", product.name, product.etag)],
            () if isinstance(actual.backends, Unread) else unwanted_backends(owner, actual.backends),
        ),
        unread=_unread_for_deletion(actual),
    )


def _unread_for_deletion(actual: ActualProduct) -> frozenset[Kind]:
    parts: dict[Kind, object] = {"subscription": actual.subscriptions, "backend": actual.backends}
    return frozenset(kind for kind, part in parts.items() if isinstance(part, Unread))

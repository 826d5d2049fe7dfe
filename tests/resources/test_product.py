"""The order in which differences are written, and what is not written at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NotManaged
from shared.marker import NOWHERE, Marker
from shared.policies.policy_xml import digest_of
from shared.policies.product_policy import product_policy
from shared.resources.actual import ActualBackend, Policy, Product, Subscription
from shared.resources.backends import Backend
from shared.resources.desired import DesiredGateway
from shared.resources.plan import UNREAD, Plan, Update
from shared.resources.product import (
    ActualProduct,
    plan_closing,
    plan_hold,
    plan_product,
    plan_reservation,
    plan_withdrawal,
)
from shared.resources.subscription import ADMINISTRATOR
from tests.fakes.app import REPOSITORY, Asked, a_catalog, path_of
from tests.fakes.clock import START
from tests.resources.plans import steps_of

OWN = Backend("team-alpha--phi-4", "https://models/team-alpha/phi-4/v1")
TEXT = product_policy(Asked().read(), a_catalog())
GATEWAY = DesiredGateway("team-alpha", "Team Alpha", TEXT, ())
#: The team's policy as it should be, and another one.
KNOWN, OLD = Policy('"1"', digest_of(TEXT)), Policy('"1"', "other")
MARKER = Marker(REPOSITORY, "alpha", path_of("alpha"), "c" * 40, "d" * 64)
OTHERS = Marker(REPOSITORY, "bravo", path_of("bravo"), "c" * 40)


def _product(marker: Marker | None, published: bool = True) -> Product:
    return Product("team-alpha", '"p1"', "Team Alpha", published, marker)


def _backend(name: str, url: str = OWN.url, marker: Marker | None = MARKER) -> ActualBackend:
    return ActualBackend(name, '"b1"', url, marker and Backend(name, url).with_digest(marker))


def _plan(
    desired: DesiredGateway,
    marker: Marker,
    product: Product | None,
    policy: Policy | None,
    backends: list[ActualBackend],
) -> Plan:
    return plan_product(desired, marker, ActualProduct(product, policy, tuple(backends)))


def test_a_new_team_is_product_policy_link_marker_in_this_order() -> None:
    assert steps_of(_plan(GATEWAY, MARKER, None, None, [])) == [
        ["create product team-alpha"],
        ["update product policy team-alpha"],
        ["create product link team-alpha", "delete administrator subscription team-alpha"],
        ["update product marker team-alpha"],
    ]


def test_backends_stand_before_the_policy_that_names_them() -> None:
    steps = steps_of(_plan(replace(GATEWAY, backends=(OWN,)), MARKER, None, None, []))
    assert "create backend team-alpha--phi-4" in steps[1]
    assert steps[2] == ["update product policy team-alpha"]


def test_a_product_that_was_just_deleted_gets_its_policy_before_it_opens() -> None:
    assert steps_of(_plan(GATEWAY, MARKER, None, KNOWN, [])) == steps_of(
        _plan(GATEWAY, MARKER, None, None, [])
    )


def test_what_is_no_longer_wanted_goes_after_the_policy_that_named_it() -> None:
    plan = _plan(
        GATEWAY, MARKER, _product(replace(MARKER, digest="e" * 64)), OLD, [_backend("team-alpha--phi-4")]
    )
    assert steps_of(plan) == [
        ["update product policy team-alpha"],
        ["delete backend team-alpha--phi-4"],
        ["update product marker team-alpha"],
    ]


def test_a_finished_product_keeps_its_link() -> None:
    assert steps_of(_plan(GATEWAY, MARKER, _product(replace(MARKER, digest="e" * 64)), OLD, [])) == [
        ["update product policy team-alpha"],
        ["update product marker team-alpha"],
    ]


def test_an_unfinished_product_gets_everything_but_its_creation() -> None:
    plan = _plan(GATEWAY, MARKER, _product(MARKER.unfinished(), published=False), OLD, [])
    assert steps_of(plan)[:2] == [
        ["update product policy team-alpha"],
        ["create product link team-alpha", "delete administrator subscription team-alpha"],
    ]


def test_what_nobody_has_looked_at_is_vouched_for_by_the_marker() -> None:
    wanted = replace(GATEWAY, backends=(OWN,))
    assert not plan_product(wanted, MARKER, ActualProduct(_product(MARKER), KNOWN))
    looked = ActualProduct(_product(MARKER), KNOWN, backends=(), linked=False)
    assert steps_of(plan_product(wanted, MARKER, looked)) == [
        ["create backend team-alpha--phi-4"],
        ["create product link team-alpha"],
    ]


def test_a_product_that_is_open_is_closed_whatever_its_marker_says() -> None:
    opened = replace(_product(MARKER), subscription_required=False)
    plan = _plan(GATEWAY, MARKER, opened, KNOWN, [])
    assert steps_of(plan) == [["update product team-alpha"]]
    assert [getattr(change, "tag", None) for change in plan] == [opened.etag]


@pytest.mark.parametrize(
    "marker", [replace(MARKER, digest="e" * 64), MARKER.unfinished(), replace(MARKER, withdrawn=START)]
)
def test_an_open_product_is_closed_before_anything_that_may_fail(marker: Marker) -> None:
    steps = steps_of(_plan(GATEWAY, MARKER, replace(_product(marker), subscription_required=False), OLD, []))
    assert steps[0] == ["update product team-alpha"]
    assert steps[1:] == steps_of(_plan(GATEWAY, MARKER, _product(marker), OLD, []))


def test_nothing_differs_and_nothing_is_planned() -> None:
    plan = _plan(GATEWAY, MARKER, _product(replace(MARKER, commit="e" * 40)), KNOWN, [])
    assert not plan
    assert str(plan) == ""
    assert list(plan) == []


@pytest.mark.parametrize(
    "product",
    [
        _product(replace(MARKER, withdrawn=START)),
        _product(replace(MARKER, path="elsewhere")),
        _product(MARKER, published=False),
    ],
    ids=["withdrawn", "moved", "unpublished"],
)
def test_only_the_seal_is_renewed_when_only_the_seal_differs(product: Product) -> None:
    assert steps_of(_plan(GATEWAY, MARKER, product, KNOWN, [])) == [["update product marker team-alpha"]]


@pytest.mark.parametrize("policy", [OLD, None], ids=["another", "none"])
def test_a_policy_that_is_not_the_one_that_the_marker_vouches_for_is_written_again(
    policy: Policy | None,
) -> None:
    """And its marker: the new ETag refuses a late handler that wrote the other policy."""
    assert steps_of(_plan(GATEWAY, MARKER, _product(MARKER), policy, [])) == [
        ["update product policy team-alpha"],
        ["update product marker team-alpha"],
    ]


def test_a_policy_that_stands_already_is_not_written_again() -> None:
    plan = _plan(GATEWAY, MARKER, _product(replace(MARKER, digest="e" * 64)), KNOWN, [])
    assert steps_of(plan) == [["update product marker team-alpha"]]


def test_writes_carry_the_tags_that_were_read() -> None:
    desired = replace(GATEWAY, backends=(OWN,))
    plan = _plan(
        desired,
        MARKER,
        _product(MARKER.unfinished()),
        Policy('"policy"', ""),
        [_backend(OWN.name, "https://elsewhere/v1")],
    )
    tags = {change.kind: getattr(change, "tag", None) for change in plan}
    assert (tags["product policy"], tags["product marker"], tags["backend"]) == ('"policy"', '"p1"', '"b1"')


def test_a_backend_of_somebody_else_is_neither_changed_nor_deleted() -> None:
    taken = _plan(replace(GATEWAY, backends=(OWN,)), MARKER, None, None, [_backend(OWN.name, marker=OTHERS)])
    with pytest.raises(NotManaged):
        taken.writable()
    plan = _plan(
        GATEWAY,
        MARKER,
        None,
        None,
        [_backend("team-alpha--x", marker=OTHERS), _backend("team-alpha--y", marker=None)],
    )
    assert "backend" not in str(plan)


def test_a_plan_says_nothing_of_what_it_writes() -> None:
    plan = _plan(replace(GATEWAY, policy="<secret/>"), MARKER, None, None, [])
    assert "secret" not in repr(plan) + str(plan)


@given(st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["", "d" * 64, "e" * 64, None]))
def test_the_marker_is_always_last_and_alone(
    wants: bool, has: bool, published: bool, digest: str | None
) -> None:
    desired = replace(GATEWAY, backends=(OWN,) if wants else ())
    product = None if digest is None else _product(replace(MARKER, digest=digest), published)
    plan = _plan(desired, MARKER, product, None, [_backend(OWN.name)] if has else [])
    kinds = [[change.kind for change in step] for step in plan.steps]
    assert all("product marker" not in step for step in kinds[:-1])
    assert "product marker" not in kinds[-1] or len(kinds[-1]) == 1


def test_a_reservation_is_the_marker_without_its_digest_and_nothing_where_it_stands() -> None:
    reserved = MARKER.unfinished()
    assert steps_of(plan_reservation(GATEWAY, MARKER, None)) == [["create product team-alpha"]]
    assert steps_of(plan_reservation(GATEWAY, MARKER, _product(MARKER))) == [
        ["update product reservation team-alpha"]
    ]
    assert not plan_reservation(GATEWAY, MARKER, _product(reserved))
    opened = replace(_product(reserved), subscription_required=False)
    assert steps_of(plan_reservation(GATEWAY, MARKER, opened)) == [["update product team-alpha"]]
    another = replace(opened, marker=replace(reserved, commit="e" * 40))
    assert steps_of(plan_reservation(GATEWAY, MARKER, another)) == [
        ["update product team-alpha"],
        ["update product reservation team-alpha"],
    ]


# --------------------------------------------------------------------------------- holding and withdrawing

OWNER = Marker(REPOSITORY, "alpha", "", "")
GRACE = timedelta(days=7)
ACTIVE = Subscription("team-alpha", '"s1"', f"mergekey/{REPOSITORY}/alpha", "team-alpha", "", "active")
THEIRS = replace(ACTIVE, display_name="mine")
GONE = _product(replace(MARKER, withdrawn=START))
OVER = START + GRACE


def _withdrawn(
    actual: ActualProduct, now: datetime = START, *, in_doubt: bool = False
) -> tuple[list[list[str]], list[str], frozenset[str]]:
    plan = plan_withdrawal(OWNER, actual, now, GRACE, in_doubt=in_doubt)
    return steps_of(plan), [each.kind for each in plan.refused], frozenset(plan.unread)


def test_the_subscription_is_suspended_and_the_product_closed_before_anything_else() -> None:
    opened = replace(_product(MARKER), subscription_required=False)
    plan = plan_closing(OWNER, ActualProduct(opened, subscription=ACTIVE))
    assert steps_of(plan) == [["update subscription team-alpha"], ["update product team-alpha"]]
    assert [getattr(change, "tag", None) for change in plan] == ['"s1"', '"p1"']


@pytest.mark.parametrize(
    ("product", "subscription"),
    [
        (_product(MARKER), None),
        (None, replace(ACTIVE, state="suspended")),
        (_product(MARKER), THEIRS),
        (replace(_product(None), subscription_required=False), None),
        (replace(_product(OTHERS), subscription_required=False), None),
        (replace(_product(replace(MARKER, newer=True)), subscription_required=False), None),
    ],
)
def test_nothing_else_is_suspended_or_closed(
    product: Product | None, subscription: Subscription | None
) -> None:
    assert not plan_closing(OWNER, ActualProduct(product, subscription=subscription))


def test_a_product_is_marked_once_and_deleted_when_its_grace_period_is_over() -> None:
    everything = ActualProduct(
        _product(MARKER), backends=[_backend(OWN.name)], subscription=ACTIVE, subscriptions=[ACTIVE]
    )
    assert _withdrawn(everything)[0] == [["update product marker team-alpha"]]
    over = replace(everything, product=GONE)
    assert _withdrawn(over, OVER - timedelta(seconds=1))[0] == []
    assert _withdrawn(over, OVER)[0] == [
        ["delete administrator subscription team-alpha", "delete subscription team-alpha"],
        ["delete product team-alpha"],
        ["delete backend team-alpha--phi-4"],
    ]
    assert _withdrawn(over, OVER, in_doubt=True)[0] == []
    assert _withdrawn(ActualProduct(GONE), OVER)[2] == {"subscription", "backend"}


def test_the_withdrawal_takes_the_hold_off_and_keeps_the_first_time() -> None:
    held = _product(replace(MARKER, held=START))
    [change] = plan_withdrawal(OWNER, ActualProduct(held), START, GRACE, in_doubt=False)
    assert isinstance(change, Update)
    assert change.body == ("Team Alpha", replace(MARKER, withdrawn=START))
    later = replace(GONE, marker=replace(MARKER, withdrawn=START, held=START))
    [change] = plan_withdrawal(OWNER, ActualProduct(later), OVER, 2 * GRACE, in_doubt=False)
    assert isinstance(change, Update)
    assert change.body[1].withdrawn == START


def test_an_unfinished_product_loses_the_administrators_keys_first() -> None:
    assert _withdrawn(ActualProduct(_product(MARKER.unfinished())))[0] == [
        ["delete administrator subscription team-alpha"],
        ["update product marker team-alpha"],
    ]


def test_a_foreign_subscription_in_the_teams_place_loses_the_link() -> None:
    foreign = ActualProduct(_product(MARKER), linked=True, subscription=THEIRS)
    plan = plan_withdrawal(OWNER, foreign, START, GRACE, in_doubt=False)
    assert steps_of(plan) == [["update product marker team-alpha"], ["delete product link team-alpha"]]
    [marking, _] = plan
    assert isinstance(marking, Update)
    assert marking.body[1].digest == "", "a team that comes back is linked again"
    assert _withdrawn(replace(foreign, linked=UNREAD))[2] == {"product link"}
    suspended = replace(THEIRS, state="suspended")
    assert _withdrawn(replace(foreign, subscription=suspended))[0] == [["update product marker team-alpha"]]


@pytest.mark.parametrize("marker", [None, OTHERS, replace(MARKER, newer=True)])
def test_a_product_of_others_stays_whatever_its_time_is(marker: Marker | None) -> None:
    for now in (START, OVER):
        assert _withdrawn(ActualProduct(_product(marker)), now) == ([], ["product"], frozenset())


def test_a_product_that_others_subscribed_to_is_not_deleted() -> None:
    theirs = replace(THEIRS, name="x")
    actual = ActualProduct(GONE, backends=[], subscription=ACTIVE, subscriptions=[ACTIVE, theirs])
    assert _withdrawn(actual, OVER) == ([], ["subscription"], frozenset())
    administrator = replace(theirs, owner=ADMINISTRATOR)
    assert _withdrawn(replace(actual, subscriptions=[administrator]), OVER)[1] == []


def test_what_outlived_the_product_goes_when_the_branch_can_be_read() -> None:
    suspended = replace(ACTIVE, state="suspended")
    left = ActualProduct(
        None, backends=[_backend(OWN.name), _backend("x", marker=OTHERS)], subscription=suspended
    )
    assert _withdrawn(left)[0] == [["delete backend team-alpha--phi-4"], ["delete subscription team-alpha"]]
    assert _withdrawn(left, in_doubt=True)[0] == []
    assert _withdrawn(replace(left, backends=[], subscription=ACTIVE))[0] == []
    assert _withdrawn(replace(left, backends=UNREAD))[2] == {"backend"}


def test_a_product_says_since_when_its_withdrawal_is_held() -> None:
    [change] = plan_hold(OWNER, _product(MARKER), START)
    assert isinstance(change, Update)
    assert change.body == ("Team Alpha", replace(MARKER, held=START))
    for product in (None, GONE, _product(OTHERS), _product(replace(MARKER, held=START))):
        assert not plan_hold(OWNER, product, START)


def test_a_reservation_of_a_team_that_is_held_is_given_back() -> None:
    reserved, given_back = MARKER.unfinished(), replace(MARKER.unfinished(), commit=NOWHERE)
    [change] = plan_hold(OWNER, _product(reserved, published=False), START)
    assert change == Update("product reservation", "team-alpha", '"p1"', given_back)
    assert not plan_hold(OWNER, _product(given_back, published=False), START)
    # What grew keeps what it had, and says that it is held.
    [change] = plan_hold(OWNER, _product(reserved), START)
    assert change == Update(
        "product marker", "team-alpha", '"p1"', ("Team Alpha", replace(given_back, held=START))
    )
    assert not plan_hold(OWNER, _product(replace(given_back, held=START)), START)

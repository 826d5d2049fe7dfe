"""How many teams the platform holds, and who is refused when it is full."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.branch.ceilings import PlatformUsage, beyond_ceilings, may_exceed_ceilings
from shared.policies.policy_table import MAX_PRODUCTS
from shared.requests.request import AccessRequest
from standins.resource_manager.tiers import CEILINGS
from tests.fakes.app import Asked

ONE = Asked().read()


def _requests(count: int, **fields: object) -> dict[str, AccessRequest]:
    names = [f"t{number:04}" for number in range(count)]
    return {name: replace(ONE, team=name, **fields) for name in names}  # type: ignore[arg-type]


def _refused(requests: dict[str, AccessRequest], platform: PlatformUsage) -> list[str]:
    return [path for path, _ in beyond_ceilings(requests, platform)]


def test_the_tiers_hold_what_the_service_says() -> None:
    told = {tier.lower(): numbers["products"] for tier, numbers in CEILINGS.items()}
    assert {tier: MAX_PRODUCTS[tier] for tier in MAX_PRODUCTS if tier != "consumption"} == told


def test_a_new_team_beyond_the_products_of_the_tier_is_refused_with_the_number() -> None:
    assert _refused(_requests(100), PlatformUsage("developer")) == []
    [(path, what)] = beyond_ceilings(_requests(101), PlatformUsage("developer"))
    assert path == "t0100"
    assert "'developer'" in what
    assert re.findall("[0-9]+", what) == ["100", "100"]


def test_who_has_a_product_is_not_refused_and_other_products_take_room_too() -> None:
    holders = frozenset(f"t{number:04}" for number in range(50, 101)) | {"gone"}
    assert _refused(_requests(101), PlatformUsage("developer", holders, others=2)) == [
        f"t{number:04}" for number in range(46, 50)
    ]


def test_playgrounds_and_readers_are_counted_where_they_are_asked_for() -> None:
    plain = {"entra_group": None}
    assert _refused(_requests(251, **plain, playground_access=True), PlatformUsage("premium")) == ["t0250"]
    assert _refused(_requests(251, **plain), PlatformUsage("premium")) == []
    assert len(_refused(_requests(1_400), PlatformUsage("premium"))) == 1_400 - 1_333
    many = _requests(1_066) | {
        f"p{n}": replace(ONE, team=f"p{n}", playground_access=True) for n in range(200)
    }
    assert len(_refused(many, PlatformUsage("premium"))) == 0, (
        "three for each of them, and four for each of the others"
    )
    assert len(_refused({**many, "zulu": replace(ONE, team="zulu")}, PlatformUsage("premium"))) == 1
    assert "4,000 role assignments" in next(beyond_ceilings(_requests(1_334), PlatformUsage("premium")))[1]


def _near() -> Iterator[tuple[AccessRequest, int, bool]]:
    plain = replace(ONE, entra_group=None)
    yield from ((plain, 500, False), (plain, 501, True), (ONE, 1_001, True))
    tried = replace(plain, playground_access=True)
    yield from ((tried, 250, False), (tried, 251, True), (plain, 251, False))


@pytest.mark.parametrize(("asked", "requests", "whether"), list(_near()))
def test_the_others_are_counted_only_where_there_may_be_too_many(
    asked: AccessRequest, requests: int, whether: bool
) -> None:
    assert may_exceed_ceilings([asked], requests, "standard") is whether
    assert not may_exceed_ceilings([], 10_000, "standard")

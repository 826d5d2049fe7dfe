"""The judge of promise 13: which limit holds for a write that was decided before the catalogue changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared import names
from shared.marker import Marker
from shared.policies.product_policy import product_policy
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import Product
from tests.fakes.app import REPOSITORY, Asked, a_catalog, catalog_text, path_of
from tests.fakes.calls import Call
from tests.fakes.gateway import Policy
from tests.simulation.account import Judge, catalog_in
from tests.simulation.scene import Handling, Machine, Scene

#: What the catalogue says of gpt-4.1, and what it says here: a ceiling may not be above the limit.
_SAID, _CEILING = "    maxTokensPerMinute: 100000\n", "    maxTokensPerMinute: 20000\n"


class Story:
    """alpha and mike ask for gpt-4.1; what they have is written beside what the other one has."""

    def __init__(self) -> None:
        self.scene = Scene(0)
        self._judge = Judge(self.scene)
        for team in ("alpha", "mike"):
            name, marker = names.product(team), Marker(REPOSITORY, team, path_of(team), "0" * 40)
            self.scene.app.gateway.state.products[name] = Product(
                name, "1", team, published=False, marker=marker
            )

    def offers(self, limit: int | None) -> None:
        """A push whose catalogue has so many tokens per minute for all teams; None for no limit."""
        capacity = "" if limit is None else f"    capacity: {limit}\n"
        text = catalog_text().replace(_SAID, _CEILING + capacity)
        self.scene.repository.commit({DEFAULT_CATALOG_PATH: text})
        self.scene.repository.note()
        assert catalog_in(self.scene.repository.files()) is not None

    def asks(self, team: str, tokens: int) -> str:
        """A push with the team's request; the commit."""
        self.scene.repository.commit({path_of(team): Asked(team, tokens=tokens).text()})
        self.scene.repository.note()
        return self.scene.repository.history[-1][1] or ""

    def looks(self, team: str) -> Handling:
        """At the branch, then at what everybody has."""
        found = Handling(Machine("m0"), f"provision-gateway {team}", team, 0.0)
        found.seen = len(self.scene.repository.history) - 1
        self._judge.after(Call("gateway", "products", "", writes=False), found)
        return found

    def writes(self, handling: Handling, tokens: int) -> None:
        text = product_policy(Asked(handling.team or "", tokens=tokens).read(), a_catalog())
        with self._judged("put_product_policy", handling) as name:
            self.scene.app.gateway.state.policies[name] = Policy(text, "1")

    def marks(self, call: str, handling: Handling, **fields: Any) -> None:
        """`fields` are those of the product's marker that change."""
        with self._judged(call, handling) as name:
            found = self.scene.app.gateway.state.products[name]
            assert found.marker is not None
            self.scene.app.gateway.state.products[name] = replace(
                found, marker=replace(found.marker, **fields)
            )

    def wakes(self, handling: Handling) -> None:
        """The team's keys work from now on."""
        with self._judged("put_subscription", handling):
            pass

    @contextmanager
    def _judged(self, name: str, handling: Handling) -> Iterator[str]:
        """A write to the product of the handler's team, whose name is given."""
        call = Call("gateway", name, names.product(handling.team or ""), writes=True)
        self._judge.before(call)
        yield call.target
        self._judge.after(call, handling)

    @property
    def broken(self) -> list[int]:
        return [violation.number for violation in self.scene.violations]


@pytest.fixture
def story() -> Iterator[Story]:
    told = Story()
    yield told
    told.scene.loop.close()


def test_two_that_get_the_same_part_break_the_promise(story: Story) -> None:
    story.offers(25_000)
    mike, alpha = story.looks("mike"), story.looks("alpha")
    story.writes(alpha, 20_000)
    assert story.broken == []
    story.writes(mike, 10_000)
    assert story.broken == [13]


@pytest.mark.parametrize(("looks_again", "broken"), [(False, []), (True, [13])])
def test_a_reservation_that_somebody_garbled_is_seen_by_its_policy(
    story: Story, looks_again: bool, broken: list[int]
) -> None:
    story.offers(25_000)
    alpha = story.looks("alpha")
    story.marks("garbled by hand", alpha, commit="", digest="")
    mike = story.looks("mike")
    story.writes(alpha, 20_000)
    story.writes(story.looks("mike") if looks_again else mike, 10_000)
    assert story.broken == broken


@pytest.mark.parametrize(
    ("followed", "vouches", "tokens", "broken"),
    [
        (False, True, 20_000, []),
        (False, True, 21_000, [13]),
        (False, False, 20_000, [13]),
        (True, True, 20_000, []),
        (True, True, 21_000, [13]),
        (True, False, 20_000, [13]),
    ],
)
def test_a_late_policy_counts_as_its_marker_says_until_the_next_one(
    story: Story, followed: bool, vouches: bool, tokens: int, broken: list[int]
) -> None:
    """The team had been granted 5,000, and somebody who had lost the lock wrote 10,000 over that."""
    story.offers(25_000)
    late, commit = story.looks("mike"), story.asks("mike", 5_000)
    story.writes(story.looks("mike"), 5_000)
    story.marks("publish_product", story.looks("mike"), commit=commit, digest="ab" if vouches else "")
    late.locked, late.followed = False, followed
    story.writes(late, 10_000)
    assert story.broken == []
    story.writes(story.looks("alpha"), tokens)
    assert story.broken == broken


@pytest.mark.parametrize(("tokens", "broken"), [(9_000, []), (10_000, []), (11_000, [13])])
def test_what_the_marker_vouches_for_is_no_growth_after_a_late_write(
    story: Story, tokens: int, broken: list[int]
) -> None:
    story.offers(30_000)
    story.writes(story.looks("alpha"), 20_000)
    story.writes(story.looks("mike"), 10_000)
    story.marks("publish_product", story.looks("mike"), digest="ab")
    story.offers(20_000)
    story.writes(story.looks("mike"), 1_000)
    story.marks("mark_product", story.looks("mike"), digest="")
    story.writes(story.looks("mike"), tokens)
    assert story.broken == broken


def test_a_policy_that_somebody_deleted_with_its_fragment_grants_nothing(story: Story) -> None:
    story.offers(25_000)
    story.writes(story.looks("alpha"), 20_000)
    story.scene.app.gateway.state.policies.clear()
    story.writes(story.looks("mike"), 10_000)
    assert story.broken == []
    story.writes(story.looks("alpha"), 20_000)
    assert story.broken == [13]


@pytest.mark.parametrize(("meanwhile", "broken"), [(None, []), (30_000, []), (29_000, [13]), (25_000, [13])])
def test_by_a_limit_that_was_raised_before_the_write_others_may_have_grown(
    story: Story, meanwhile: int | None, broken: list[int]
) -> None:
    story.offers(25_000)
    mike = story.looks("mike")
    story.offers(meanwhile)
    story.writes(story.looks("alpha"), 20_000)
    story.writes(mike, 10_000)
    assert story.broken == broken


def test_what_was_decided_before_a_limit_was_lowered_may_still_be_written(story: Story) -> None:
    story.offers(30_000)
    story.writes(story.looks("alpha"), 20_000)
    mike = story.looks("mike")
    story.offers(25_000)
    story.writes(mike, 10_000)
    assert story.broken == []


@pytest.mark.parametrize(("sees", "broken"), [(False, []), (True, [13])])
def test_a_grant_by_the_older_limit_excuses_only_who_could_not_see_it(
    story: Story, sees: bool, broken: list[int]
) -> None:
    story.offers(None)
    alpha = story.looks("alpha")
    story.offers(25_000)
    mike = story.looks("mike")
    story.writes(alpha, 20_000)
    story.writes(story.looks("mike") if sees else mike, 10_000)
    assert story.broken == broken


#: What lets a team that was withdrawn, and has only reserved, take what its policy says.
_BACK: dict[str, Callable[[Story, Handling], None]] = {
    "its marker vouches for it": lambda story, mike: story.marks("publish_product", mike, digest="ab"),
    "its keys work": lambda story, mike: story.wakes(mike),
    "its policy is new": lambda story, mike: story.writes(mike, 10_000),
}


def _reserved_anew(story: Story) -> Handling:
    """The team mike had 10,000, was withdrawn, and has only reserved since alpha got 20,000 of 25,000."""
    story.offers(25_000)
    mike, now = story.looks("mike"), datetime(2026, 3, 2, 9, tzinfo=UTC)
    story.writes(mike, 10_000)
    story.marks("publish_product", mike, digest="ab", withdrawn=now)
    story.writes(story.looks("alpha"), 20_000)
    again = story.looks("mike")
    story.marks("mark_product", again, digest="", withdrawn=None)
    assert story.broken == []
    return again


def test_a_reservation_that_the_guard_holds_lets_nobody_take_more(story: Story) -> None:
    mike = _reserved_anew(story)
    story.marks("publish_product", mike, held=datetime(2026, 3, 2, 10, tzinfo=UTC))
    assert story.broken == []


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("how", _BACK)
def test_whoever_comes_back_where_there_is_no_room_breaks_the_promise(
    story: Story, how: str, held: bool
) -> None:
    mike = _reserved_anew(story)
    if held:
        story.marks("publish_product", mike, held=datetime(2026, 3, 2, 10, tzinfo=UTC))
    _BACK[how](story, mike)
    assert story.broken == [13]

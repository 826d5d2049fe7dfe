"""Which of two keys is made new, when, and until when the other one works on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from shared.marker import format_time
from shared.resources.key_slots import EXPOSED, PRIMARY, SECONDARY, Renewal, Slot, is_marked, renewal
from tests.fakes.app import OTHER_READERS, READERS
from tests.fakes.clock import START

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
OURS, THEIRS = {"reader": READERS, "fingerprint": "f"}, {"reader": OTHER_READERS, "fingerprint": "f"}


def _since(age: timedelta) -> dict[str, str]:
    return {EXPOSED: format_time(START - age)}


def _renewal(
    primary: Mapping[str, str] | None, secondary: Mapping[str, str] | None, overlap: timedelta = DAY
) -> Renewal:
    return renewal([Slot(primary), Slot(secondary)], READERS, START, overlap)


@pytest.mark.parametrize("tags", [None, {}, {"reader": ""}, OURS, {"reader": READERS.upper()}])
def test_a_key_that_nobody_else_could_read_stays(tags: Mapping[str, str] | None) -> None:
    found = _renewal(tags, tags)
    assert found == Renewal()
    assert found.nothing


def test_of_another_group_the_secondary_is_renewed_at_once_and_the_primary_waits() -> None:
    found = _renewal(THEIRS, THEIRS)
    assert (found.now, dict(found.waiting), found.until) == ((SECONDARY,), {PRIMARY: START}, START + DAY)
    assert not found.nothing


def test_who_may_read_no_more_and_nobody_instead_is_another_group_too() -> None:
    assert renewal([Slot(OURS), Slot(OURS)], "", START, DAY).now == (SECONDARY,)


def test_without_an_overlap_both_are_renewed_the_secondary_first() -> None:
    assert _renewal(THEIRS, THEIRS, timedelta(0)) == Renewal((SECONDARY, PRIMARY))


def test_a_mark_counts_from_when_it_was_written_whoever_may_read_by_now() -> None:
    for reader in (OURS, THEIRS):
        waiting = _renewal({**reader, **_since(HOUR)}, OURS)
        assert (waiting.now, dict(waiting.waiting), waiting.until) == (
            (),
            {PRIMARY: START - HOUR},
            START - HOUR + DAY,
        )
        assert _renewal({**reader, **_since(DAY)}, OURS) == Renewal((PRIMARY,))
        assert _renewal(OURS, {**reader, **_since(HOUR)}) == Renewal((SECONDARY,))


@pytest.mark.parametrize("mark", ["soon", "", format_time(START + 300 * DAY)])
def test_a_mark_that_nobody_can_believe_counts_from_now(mark: str) -> None:
    assert dict(_renewal({**OURS, EXPOSED: mark}, OURS).waiting) == {PRIMARY: START}


def test_moments_are_whole_seconds_as_in_the_mark() -> None:
    found = renewal([Slot(THEIRS), Slot(OURS)], READERS, START + timedelta(microseconds=7), DAY)
    assert dict(found.waiting) == {PRIMARY: START}


def test_a_key_that_was_withdrawn_or_opens_nothing_need_not_wait() -> None:
    assert _renewal({**THEIRS, "withdrawn": "2026-03-02T08:00:00Z"}, OURS) == Renewal((PRIMARY,))
    for at_gateway, now in (("g", (PRIMARY,)), ("f", ())):
        assert renewal([Slot(THEIRS, at_gateway), Slot(OURS, "f")], READERS, START, DAY).now == now


def _below(*older: Mapping[str, str], at_gateway: str | None = None) -> Renewal:
    return renewal([Slot(OURS, at_gateway, older), Slot(OURS, at_gateway, older)], READERS, START, DAY)


def test_a_version_below_that_holds_the_same_key_tells_as_much_as_the_newest() -> None:
    assert _below(THEIRS) == _below(OURS, THEIRS) == _renewal(THEIRS, THEIRS)
    marked = _below(THEIRS, {**THEIRS, **_since(HOUR)}, {**OURS, **_since(2 * HOUR)})
    assert dict(marked.waiting) == {PRIMARY: START - 2 * HOUR}


@pytest.mark.parametrize("other", [{"fingerprint": "g"}, {"fingerprint": ""}, {}])
def test_a_version_below_that_holds_another_key_tells_nothing(other: Mapping[str, str]) -> None:
    below = {"reader": OTHER_READERS, **_since(HOUR), **other}
    assert _below(below).nothing
    assert _below(below, at_gateway="f").nothing
    without = {"reader": READERS}
    assert renewal([Slot(without, None, (below,)), Slot(without, "", (below,))], READERS, START, DAY).nothing


def test_a_version_below_that_holds_what_the_gateway_takes_tells_too() -> None:
    """Somebody has put an old key back: the newest version is the one that opens nothing."""
    assert _below({**THEIRS, "fingerprint": "g"}, at_gateway="g") == Renewal((SECONDARY, PRIMARY))


def test_a_secret_says_so_only_with_the_same_moment() -> None:
    assert is_marked(_since(HOUR), START - HOUR)
    assert not is_marked(_since(HOUR), START)
    assert not is_marked({}, START)

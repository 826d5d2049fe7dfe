"""The marker on everything that is ours: what is written is read back, and nothing else is taken for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.marker import Marker, format_time, parse_marker, parse_time, read_time
from shared.domain.workspace import marker_annotations, marker_of, namespace_manifest

WHEN = datetime(2026, 3, 2, 9, 0, 1, tzinfo=UTC)
TEXT = "managed by mergekey; repo 1234; team alpha; path tenant-access/config/alpha/access.yaml; commit 0123abc; sha256:9f"
MARKER = Marker(1234, "alpha", "tenant-access/config/alpha/access.yaml", "0123abc", "9f")

times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(lambda when: when.replace(microsecond=0))
markers = st.builds(
    Marker,
    repository=st.integers(0, 2**63),
    team=st.from_regex(r"[a-z][a-z0-9]{1,9}(-[a-z0-9]{1,5})?", fullmatch=True),
    path=st.from_regex(r"[A-Za-z0-9 ._/-]{1,80}", fullmatch=True).filter(lambda path: path == path.strip()),
    commit=st.from_regex(r"[0-9a-f]{40}", fullmatch=True),
    digest=st.from_regex(r"([0-9a-f]{64})?", fullmatch=True),
    withdrawn=st.one_of(st.none(), times),
    expires=st.one_of(st.none(), st.dates(date(2000, 1, 1), date(2100, 1, 1))),
    held=st.one_of(st.none(), times),
)


@given(markers, st.text(max_size=30))
def test_a_marker_at_the_end_of_any_description_is_read_back(marker: Marker, before: str) -> None:
    assert parse_marker(f"{before} {marker}") == marker


@given(markers.map(lambda marker: replace(marker, expires=None, held=None)))
def test_a_marker_in_annotations_is_read_back(marker: Marker) -> None:
    assert marker_of(marker_annotations(marker)) == marker
    assert marker_of(namespace_manifest(marker)["metadata"]["annotations"]) == marker


def test_a_marker_reads_well() -> None:
    assert str(MARKER) == TEXT
    withdrawn = Marker(1234, "alpha", MARKER.path, "0123abc", "9f", WHEN)
    assert str(withdrawn) == f"{TEXT}; withdrawn 2026-03-02T09:00:01Z"
    whole = replace(withdrawn, expires=date(2026, 3, 31), held=WHEN - timedelta(hours=1))
    assert str(whole) == f"{TEXT}; expires 2026-03-31; held 2026-03-02T08:00:01Z; withdrawn 2026-03-02T09:00:01Z"


@pytest.mark.parametrize(
    "description",
    [
        None,
        "",
        "Team Alpha",
        "managed by mergekey",
        f"{TEXT} and more",
        TEXT.replace("1234", "12a4"),
        TEXT.replace("; team alpha", ""),
        f"{TEXT}; withdrawn yesterday",
        f"{TEXT}; withdrawn 2026-13-45T09:00:01Z",
        f"{TEXT}; held 2026-13-45T09:00:01Z",
        f"{TEXT}; expires 2026-13-45",
    ],
)
def test_what_we_have_not_written_is_nobodys(description: str | None) -> None:
    assert parse_marker(description) is None


@given(st.text())
def test_no_description_breaks_the_reader(text: str) -> None:
    parse_marker(text)
    parse_marker(f"{TEXT}; withdrawn {text}")
    marker_of({"mergekey.dev/repository": text, "mergekey.dev/team": text, "mergekey.dev/withdrawn": text})


@pytest.mark.parametrize(
    "annotations",
    [
        {},
        {"mergekey.dev/repository": "²", "mergekey.dev/team": "alpha"},
        {"mergekey.dev/repository": "1"},
        {"repository": "1", "team": "alpha"},
    ],
)
def test_annotations_of_others_are_no_marker(annotations: dict[str, str]) -> None:
    assert marker_of(annotations) is None


@pytest.mark.parametrize(
    ("other", "ours"),
    [
        (Marker(1234, "alpha", "elsewhere", "9", "8"), True),
        (Marker(1234, "bravo", MARKER.path, "0123abc", "9f"), False),
        (Marker(12, "alpha", MARKER.path, "0123abc", "9f"), False),
        (None, False),
    ],
)
def test_an_object_is_ours_when_repository_and_team_are(other: Marker | None, ours: bool) -> None:
    assert MARKER.owns(other) is ours


def test_an_unfinished_marker_vouches_for_nothing() -> None:
    assert (MARKER.unfinished().digest, MARKER.unfinished().path) == ("", MARKER.path)


@given(times)
def test_times_are_read_back_and_say_utc(when: datetime) -> None:
    assert parse_time(format_time(when)) == when
    assert read_time(format_time(when)) == when
    assert read_time("yesterday") is None


def test_access_is_over_after_its_last_day_or_when_it_is_withdrawn() -> None:
    day = date(2026, 3, 31)
    dated = replace(MARKER, expires=day)
    assert [dated.has_lapsed(day + timedelta(days=n)) for n in (-1, 0, 1)] == [False, False, True]
    assert [dated.is_over(day + timedelta(days=n)) for n in (0, 1)] == [False, True]
    assert (MARKER.has_lapsed(day), MARKER.is_over(day)) == (False, False)
    withdrawn = replace(MARKER, withdrawn=WHEN)
    assert (withdrawn.has_lapsed(day), withdrawn.is_over(day)) == (False, True)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({}, True),
        ({"commit": "9", "digest": "8"}, True),
        ({"path": "elsewhere"}, False),
        ({"expires": date(2026, 3, 31)}, False),
        ({"held": WHEN}, False),
        ({"withdrawn": WHEN}, False),
    ],
    ids=str,
)
def test_what_stands_as_a_request_says_is_in_force_for_its_file_and_until_its_day(changed: dict[str, Any], same: bool) -> None:
    assert replace(MARKER, **changed).stands_as(MARKER) is same

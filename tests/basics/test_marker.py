"""The marker on everything that is ours: what is written is read back, and nothing else is taken for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.marker import Marker, format_time, is_team, owner_of, parse_marker, parse_time, read_time
from shared.resources.workspaces import marker_annotations, marker_of, namespace_manifest

WHEN = datetime(2026, 3, 2, 9, 0, 1, tzinfo=UTC)
COMMIT = "0123abcd" * 5
TEXT = (
    "managed by mergekey; repo 1234; team alpha; path tenant-access/config/alpha/access.yaml; commit "
    f"{COMMIT}; sha256:9f"
)
MARKER = Marker(1234, "alpha", "tenant-access/config/alpha/access.yaml", COMMIT, "9f")

times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda when: when.replace(microsecond=0)
)
markers = st.builds(
    Marker,
    repository=st.integers(0, 2**63),
    team=st.from_regex(r"[a-z][a-z0-9]{1,9}(-[a-z0-9]{1,5})?", fullmatch=True).filter(is_team),
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
    withdrawn = Marker(1234, "alpha", MARKER.path, COMMIT, "9f", WHEN)
    assert str(withdrawn) == f"{TEXT}; withdrawn 2026-03-02T09:00:01Z"
    whole = replace(withdrawn, expires=date(2026, 3, 31), held=WHEN - timedelta(hours=1))
    assert (
        str(whole) == f"{TEXT}; expires 2026-03-31; held 2026-03-02T08:00:01Z; withdrawn 2026-03-02T09:00:01Z"
    )


@pytest.mark.parametrize(
    "description",
    [
        None,
        "",
        "Team Alpha",
        "managed by mergekey",
        TEXT.replace("1234", "12a4"),
        TEXT.replace("1234", "1" * 5000),
        TEXT.replace("1234", "٢"),
        TEXT.replace("; team alpha", ""),
        TEXT.replace("team alpha", "team 9abc"),
        TEXT.replace("team alpha", "team Alpha"),
        TEXT.replace("team alpha", "team team-alpha"),
        TEXT.replace("team alpha", f"team {'a' * 41}"),
        TEXT.replace("team alpha", "team platform"),
    ],
)
def test_what_names_no_repository_or_no_team_is_nobodys(description: str | None) -> None:
    assert parse_marker(description) is None


@pytest.mark.parametrize(
    ("text", "unreadable"),
    [
        (f"{TEXT} and more", "digest"),
        (f"{TEXT}; withdrawn yesterday", "withdrawn"),
        (f"{TEXT}; withdrawn 2026-13-45T09:00:01Z", "withdrawn"),
        (f"{TEXT}; withdrawn 9999-12-31T00:00:00Z", "withdrawn"),
        (f"{TEXT}; withdrawn 2026-3-2T9:0:1Z", "withdrawn"),
        (f"{TEXT}; held 2026-13-45T09:00:01Z", "held"),
        (f"{TEXT}; expires 2026-13-45", "expires"),
        (f"{TEXT}; expires 20260331", "expires"),
        (f"{TEXT}; expires 2026-03-31; expires 2026-04-01", "expires"),
        (TEXT.replace(COMMIT, "0123abc"), "commit"),
        (TEXT.replace(f"; commit {COMMIT}", ""), "commit"),
        (TEXT.replace(MARKER.path, ""), "path"),
        (TEXT.replace(MARKER.path, "x" * 1025), "path"),
        (TEXT.replace(MARKER.path, "a\x1bb"), "path"),
        (TEXT.replace("sha256:9f", "sha256:zz"), "digest"),
    ],
)
def test_a_field_that_cannot_be_read_is_unknown_and_the_object_is_ours(text: str, unreadable: str) -> None:
    read = parse_marker(text)
    assert read is not None
    assert MARKER.owns(read)
    assert (set(read.unreadable), read.newer) == ({unreadable}, False)
    assert not read.stands_as(MARKER)
    path, commit, digest = (
        "" if unreadable == name else getattr(MARKER, name) for name in ("path", "commit", "digest")
    )
    assert replace(read, unreadable=frozenset()) == Marker(1234, "alpha", path, commit, digest)


@pytest.mark.parametrize("more", ["; rotated 2026-03-02T09:00:01Z", "; priority 3", "; see the ticket"])
def test_a_field_that_is_not_known_tells_of_a_newer_version(more: str) -> None:
    assert parse_marker(TEXT + more) == replace(MARKER, newer=True)
    newer = {**marker_annotations(MARKER), "mergekey.dev/rotated": "2026-03-02T09:00:01Z"}
    assert marker_of(newer) == replace(MARKER, newer=True)


@pytest.mark.parametrize(
    ("tags", "owner"),
    [
        ({"repository": "1234", "team": "alpha"}, (1234, "alpha")),
        ({"repository": "1234", "team": "catalogue"}, (1234, "catalogue")),
        ({"repository": "1234", "team": "ALPHA2"}, None),
        ({"repository": "1" * 5000, "team": "alpha"}, None),
        ({"repository": "²", "team": "alpha"}, None),
        ({"team": "alpha"}, None),
        ({}, None),
    ],
)
def test_tags_name_an_owner_when_repository_and_team_can_be_read(
    tags: dict[str, str], owner: tuple[int, str] | None
) -> None:
    assert owner_of(tags) == owner


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
        (Marker(1234, "bravo", MARKER.path, COMMIT, "9f"), False),
        (Marker(12, "alpha", MARKER.path, COMMIT, "9f"), False),
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
def test_what_stands_as_a_request_says_is_in_force_for_its_file_and_until_its_day(
    changed: dict[str, Any], same: bool
) -> None:
    assert replace(MARKER, **changed).stands_as(MARKER) is same

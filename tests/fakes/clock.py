"""A clock that stands still until it is moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class FakeClock:
    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, time: timedelta) -> None:
        assert time >= timedelta(0), "the clock moves forward only"
        self._now += time

    def advance_to(self, moment: datetime) -> None:
        self._now = max(self._now, moment)

"""What is counted per key: tokens and calls in a window that begins with the first of them, tokens in a
period of the calendar, UTC.

Windows are fixed, as in the classic tiers; the v2 tiers fill a bucket of tokens little by little.
https://learn.microsoft.com/azure/api-management/llm-token-limit-policy#usage-notes
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from standins.clock import Clock

_DAY = timedelta(days=1)
PERIODS = ("Hourly", "Daily", "Weekly", "Monthly", "Yearly")


@dataclass
class Count:
    """So many until `ends`, in seconds since 1970."""

    ends: float
    used: int = 0


class Counters:
    """A counter is found by what it counts and its key, whatever the policy that names it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[tuple[str, str], Count] = {}

    def window(self, what: str, key: str, seconds: float) -> Count:
        """The one that is open, or a new one."""
        return self._count(what, key, self._clock.now() + seconds)

    def period(self, name: str, key: str) -> Count:
        """The count of the calendar's current hour, day, week, month or year."""
        return self._count(name, key, _end_of(name, self._clock.utcnow()).timestamp())

    def seconds_left(self, count: Count) -> int:
        return max(1, math.ceil(count.ends - self._clock.now()))

    def forget(self) -> None:
        self._counts.clear()

    def _count(self, what: str, key: str, ends: float) -> Count:
        found = self._counts.get((what, key))
        if found is None or found.ends <= self._clock.now():
            found = self._counts[what, key] = Count(ends)
        return found


def _end_of(period: str, now: datetime) -> datetime:
    hour = now.replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    month = day.replace(day=1)
    ends = {
        "Hourly": hour + timedelta(hours=1),
        "Daily": day + _DAY,
        "Weekly": day - now.weekday() * _DAY + 7 * _DAY,
        "Monthly": (month + 32 * _DAY).replace(day=1),
        "Yearly": month.replace(year=now.year + 1, month=1),
    }
    return ends[period]

"""GitHub's limits on how often one may ask:
https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api

The primary limit counts requests of one installation, or one person, in an hour; a 304 is free. The secondary
ones look at bursts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from standins.clock import Clock
from standins.github.answers import Json, Refused
from standins.store import Table
from standins.world import Options

_HOUR, _MINUTE = 3600, 60
#: At most so many at once; points in a minute, at 1 for a read and 5 for a write; requests that make
#: something in a minute, in an hour.
CONCURRENT, POINTS, CREATED_IN_A_MINUTE, CREATED_IN_AN_HOUR = 100, 900, 80, 500
_READS = ("GET", "HEAD", "OPTIONS")
_SECONDARY = "You have exceeded a secondary rate limit"


class Limits:
    """What each caller has used, kept in the table; the options are `rate_limit`, `limit_status`,
    `secondary_limits`.
    """

    def __init__(self, clock: Clock, used: Table, options: Options) -> None:
        self._clock = clock
        self._used = used
        self._options = options
        self._running: Counter[str] = Counter()

    @contextmanager
    def admit(self, name: str, method: str) -> Iterator[None]:
        """Let one request of the caller pass, until it is answered. Raises `Refused` when there were too
        many.
        """
        if self._row(name)["used"] >= self._options["rate_limit"]:
            raise Refused(self._options["limit_status"], f"API rate limit exceeded for {name}.")
        if self._options["secondary_limits"]:
            self._admit_burst(name, 1 if method in _READS else 5)
        self._running[name] += 1
        try:
            yield
        finally:
            self._running[name] -= 1

    def count(self, name: str) -> None:
        row = self._row(name)
        self._used[name] = {**row, "used": row["used"] + 1}

    def state(self, name: str) -> dict[str, int]:
        """`{limit, used, remaining, reset}`. A client compares `reset` with its own clock, so it is told in
        the machine's time.
        """
        row, limit = self._row(name), self._options["rate_limit"]
        reset = math.ceil(row["reset"] - self._clock.offset)
        return {"limit": limit, "used": row["used"], "remaining": max(0, limit - row["used"]), "reset": reset}

    def headers(self, name: str) -> dict[str, str]:
        return {f"x-ratelimit-{key}": str(value) for key, value in self.state(name).items()} | {
            "x-ratelimit-resource": "core"
        }

    def _row(self, name: str) -> Json:
        row: Json | None = self._used.get(name)
        if row is None or row["reset"] <= self._clock.now():
            return {"used": 0, "reset": self._clock.now() + _HOUR, "recent": (row or {}).get("recent", [])}
        return row

    def _admit_burst(self, name: str, points: int) -> None:
        now, row = self._clock.now(), self._row(name)
        recent = [request for request in row["recent"] if request[0] > now - _HOUR]
        if self._running[name] >= CONCURRENT:
            raise _slow_down(_MINUTE)
        if spent(recent, now - _MINUTE) + points > POINTS:
            raise _slow_down(_MINUTE)
        if points > 1:
            _check_created(recent, now)
        self._used[name] = {**row, "recent": [*recent, [now, points]]}


def spent(recent: list[Any], since: float) -> int:
    return sum(points for at, points in recent if at > since)


def _check_created(recent: list[Any], now: float) -> None:
    written = [at for at, points in recent if points > 1]
    for seconds, most in ((_MINUTE, CREATED_IN_A_MINUTE), (_HOUR, CREATED_IN_AN_HOUR)):
        inside = [at for at in written if at > now - seconds]
        if len(inside) >= most:
            raise _slow_down(
                math.ceil(inside[-most] + seconds - now),
                " and have been temporarily blocked from content creation",
            )


def _slow_down(seconds: int, what: str = "") -> Refused:
    advice = (
        "Please retry your request again later."
        if what
        else "Please wait a few minutes before you try again."
    )
    return Refused(403, f"{_SECONDARY}{what}. {advice}", headers={"Retry-After": str(max(1, seconds))})

"""How many teams a process gives a door to at once.

API Management makes one link of a product and the unified API at a time, so of many new teams most would only
wait for theirs, each with a session that a host could hand to another team.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from shared.app import App
from shared.errors import Busy
from shared.ports import Gateway

#: Half of the sessions that a host handles at once in a stage (`maxConcurrentSessions` in host.json).
PLACES = 8
#: How long a team has its place, before that was measured, and the longest that another one is sent away for.
USUAL, LONGEST = timedelta(seconds=2), timedelta(minutes=5)


class Linking:
    """The places at one gateway. A team that finds none is told when one will be free, each a later time."""

    def __init__(self) -> None:
        self._taken = 0
        self._usual = USUAL
        self._turn: datetime | None = None

    def enter(self, now: datetime) -> None:
        """Take a place. Raises Busy when there is none."""
        if self._taken >= PLACES:
            self._turn = min(max(now, self._turn or now) + self._usual / PLACES, now + LONGEST)
            raise Busy(
                f"{PLACES} new teams are being linked to the unified API",
                reason="ManyNewTeams",
                retry_after=self._turn - now,
            )
        self._taken += 1

    def leave(self, lasted: timedelta) -> None:
        """Give the place back. The time for which it was taken counts for the next ones by a quarter."""
        self._taken -= 1
        self._usual += (max(lasted, timedelta(0)) - self._usual) / 4


_LINKING: WeakKeyDictionary[Gateway, Linking] = WeakKeyDictionary()


@contextmanager
def place_to_link(app: App) -> Iterator[None]:
    """A place among those who make a product and link it. Raises Busy when there is none."""
    linking, began = _LINKING.setdefault(app.gateway, Linking()), app.clock.now()
    linking.enter(began)
    try:
        yield
    finally:
        linking.leave(app.clock.now() - began)

"""GitHub's list of what it delivered to the App."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import count

from shared.errors import Unavailable
from shared.messaging.webhook_deliveries import Delivery
from shared.ports import Clock
from tests.fakes.calls import Calls


class FakeDeliveries:
    """`delivered` is what GitHub does. Repetitions are answered with `answer`; while `slow`, they are not
    shown until `land`.
    """

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._numbers = count(90_000_000_001)
        self._asked: set[int] = set()
        self._under_way: list[Delivery] = []
        self.rows: list[Delivery] = []
        self.answer = 202
        self.slow = False

    def delivered(self, guid: str, status: int, repository: int | None, event: str = "push") -> Delivery:
        """A first attempt."""
        made = Delivery(
            next(self._numbers), guid, event, repository, self._clock.now(), status, redelivery=False
        )
        self.rows.append(made)
        return made

    def land(self) -> None:
        """What is under way is answered."""
        while self._under_way:
            self.rows.append(replace(self._under_way.pop(0), at=self._clock.now(), status=self.answer))

    async def since(self, moment: datetime, only_failed: bool) -> list[Delivery]:
        async with self._calls.read("deliveries", "since", "failed" if only_failed else "all"):
            return [
                row for row in reversed(self.rows) if row.at >= moment and not (only_failed and row.succeeded)
            ]

    async def redeliver(self, delivery: int) -> None:
        if delivery in self._asked:
            return
        async with self._calls.write("deliveries", "redeliver", str(delivery)):
            first = next((row for row in self.rows if row.id == delivery), None)
            if first is None:
                raise Unavailable("GitHub answered 404", reason="NotFound")
            self._asked.add(delivery)
            self._under_way.append(replace(first, id=next(self._numbers), redelivery=True))
        if not self.slow:
            self.land()

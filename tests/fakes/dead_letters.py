"""The queue of dead letters over the bus in memory."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.errors import Busy
from shared.messaging.routes import DEAD_LETTERS
from shared.ports import Clock, QueuedDeadLetter
from tests.fakes.bus import FakeBus, Held
from tests.fakes.calls import Calls

PAGE = 250
#: As `infra/service-bus.json` says.
LOCK = timedelta(minutes=5)


class FakeDeadLetters:
    """`holding` are those that a caller has locked, and until when."""

    def __init__(self, calls: Calls, clock: Clock, bus: FakeBus) -> None:
        self._calls = calls
        self._clock = clock
        self._bus = bus
        self.holding: dict[int, datetime] = {}

    async def peek(self, first: int) -> list[QueuedDeadLetter]:
        async with self._calls.read("dead-letters", "peek", str(first)):
            waiting = sorted(self._bus.queues[DEAD_LETTERS], key=lambda held: held.sequence)
            return [_kept(held) for held in waiting if held.sequence >= first][:PAGE]

    async def lock(self, sequence: int) -> QueuedDeadLetter | None:
        async with self._calls.write("dead-letters", "lock", str(sequence)):
            held = self._find(sequence)
            if held is None:
                return None
            if self._is_held(sequence):
                raise Busy(
                    "another receiver holds this dead letter; it comes back within minutes",
                    reason="LetterIsHeld",
                )
            self.holding[sequence] = self._clock.now() + LOCK
            return _kept(held)

    async def complete(self, sequence: int) -> None:
        async with self._calls.write("dead-letters", "complete", str(sequence)):
            held = self._find(sequence)
            if held is None or not self._is_held(sequence):
                raise Busy(
                    "the dead letter was held for too long and stays where it was", reason="LetterIsHeld"
                )
            self._bus.queues[DEAD_LETTERS].remove(held)
            del self.holding[sequence]

    async def release(self, sequence: int) -> None:
        async with self._calls.write("dead-letters", "release", str(sequence)):
            self.holding.pop(sequence, None)

    def _find(self, sequence: int) -> Held | None:
        return next((held for held in self._bus.queues[DEAD_LETTERS] if held.sequence == sequence), None)

    def _is_held(self, sequence: int) -> bool:
        return sequence in self.holding and self._clock.now() < self.holding[sequence]


def _kept(held: Held) -> QueuedDeadLetter:
    return QueuedDeadLetter(held.sequence, held.received())

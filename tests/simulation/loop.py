"""An asyncio event loop whose time is virtual and whose order is a seed's: of all that is ready, chance picks
what runs next.

Time stands still while anything is ready and jumps to the next timer when nothing is. There are no sockets.
"""

from __future__ import annotations

import asyncio
import heapq
from datetime import datetime, timedelta
from random import Random
from typing import Any

from tests.fakes.clock import START, FakeClock


class NothingLeft(Exception):
    """Somebody waits for what can never happen."""


class NoEnd(Exception):
    """It goes on and on."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`steps` counts what has run."""

    _ready: list[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _stopping: bool

    def __init__(self, chance: Random, longest: int = 400_000) -> None:
        """`longest`: the steps after which nobody believes in an end any more."""
        super().__init__()
        self.longest = longest
        self._ready = []
        self._random = chance.random
        self._moment = 0.0
        self.steps = 0

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._moment

    def _run_once(self) -> None:
        """Called by `run_forever` until the loop is stopped."""
        ready, scheduled, random = self._ready, self._scheduled, self._random
        while not self._stopping:
            while scheduled and (scheduled[0].when() <= self._moment or scheduled[0]._cancelled):
                self._take_timer(heapq.heappop(scheduled))
            if ready:
                chosen = int(random() * len(ready))
                ready[chosen], ready[-1] = ready[-1], ready[chosen]
                handle = ready.pop()
                self.steps += 1
                if not handle._cancelled:
                    handle._run()
            elif scheduled:
                self._moment = scheduled[0].when()
            else:
                raise NothingLeft
            if self.steps > self.longest:
                raise NoEnd

    def _take_timer(self, handle: asyncio.TimerHandle) -> None:
        if not handle.cancelled():
            self._ready.append(handle)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What a dead machine had under way is cancelled, and nobody asks for the result."""
        if not isinstance(context.get("exception"), asyncio.CancelledError):
            super().call_exception_handler(context)

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""


class LoopClock(FakeClock):
    """The true time: what the services' clocks show."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time())

"""One clock for all stand-ins: it runs with real time and can be moved forward."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """Seconds since 1970, plus what the clock was moved by.

    A timer set with `call_at` follows the clock when it is moved, so that a lock of five minutes expires,
    and a message scheduled for tomorrow arrives, without anybody waiting for it.
    """

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset
        self._timers: set[Timer] = set()

    def now(self) -> float:
        return time.time() + self.offset

    def utcnow(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)

    def advance(self, seconds: float) -> None:
        """What was due first fires first: a lock that has expired is gone before a message arrives that was
        due later.
        """
        if seconds < 0:
            raise ValueError("the clock moves forward only")
        self.offset += seconds
        for timer in sorted(self._timers, key=lambda timer: timer.when):
            timer.rearm()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self, when, callback)
        self._timers.add(timer)
        timer.rearm()
        return timer

    async def sleep(self, seconds: float) -> None:
        done = asyncio.Event()
        timer = self.call_at(self.now() + seconds, done.set)
        try:
            await done.wait()
        finally:
            timer.cancel()

    def _forget(self, timer: Timer) -> None:
        self._timers.discard(timer)


class Timer:
    """A callback at a time of the clock. Cancelling it twice, or after it ran, does nothing."""

    def __init__(self, clock: Clock, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self._clock = clock
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def rearm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        delay = max(0.0, self.when - self._clock.now())
        self._handle = asyncio.get_running_loop().call_later(delay, self._fire)

    def cancel(self) -> None:
        self._clock._forget(self)
        if self._handle is not None:
            self._handle.cancel()

    def _fire(self) -> None:
        self._clock._forget(self)
        self._callback()

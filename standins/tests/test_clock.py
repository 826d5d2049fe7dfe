"""The clock that all stand-ins share."""

from __future__ import annotations

import asyncio
import random
from functools import partial

from standins.clock import Clock


def test_when_the_clock_is_moved_what_was_due_first_fires_first() -> None:
    assert asyncio.run(_fired(random.Random(1).sample(range(1, 61), 60))) == list(range(1, 61))


async def _fired(due: list[int]) -> list[int]:
    clock, fired = Clock(), list[int]()
    for seconds in due:
        clock.call_at(clock.now() + seconds, partial(fired.append, seconds))
    clock.advance(100)
    await asyncio.sleep(0.01)
    return fired

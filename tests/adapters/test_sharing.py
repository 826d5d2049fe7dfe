"""Calls that concurrent callers share."""

from __future__ import annotations

import asyncio

import pytest

from shared.adapters.sharing import NextFlight
from shared.errors import Unavailable


class _Calls:
    """Each call answers with its number, once it is let go."""

    def __init__(self) -> None:
        self.begun: list[asyncio.Future[None]] = []

    async def __call__(self) -> int:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.begun.append(mine)
        number = len(self.begun)
        await mine
        return number


async def _settle() -> None:
    """Everything that can run without a call's answer has run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_at_the_same_time_shares_one_call() -> None:
    calls, flight = _Calls(), NextFlight[int]()
    asked = [asyncio.create_task(flight.share(calls)) for _ in range(3)]
    await _settle()
    assert len(calls.begun) == 1
    calls.begun[0].set_result(None)
    assert await asyncio.gather(*asked) == [1, 1, 1]


async def test_who_asks_during_a_call_gets_the_answer_of_the_next_one() -> None:
    calls, flight = _Calls(), NextFlight[int]()
    first = asyncio.create_task(flight.share(calls))
    await _settle()
    late = [asyncio.create_task(flight.share(calls)) for _ in range(2)]
    await _settle()
    assert len(calls.begun) == 1
    calls.begun[0].set_result(None)
    await _settle()
    calls.begun[1].set_result(None)
    assert (await first, await asyncio.gather(*late)) == (1, [2, 2])


async def test_a_call_that_fails_keeps_no_later_one_from_being_made() -> None:
    calls, flight = _Calls(), NextFlight[int]()
    first = asyncio.create_task(flight.share(calls))
    await _settle()
    late = asyncio.create_task(flight.share(calls))
    calls.begun[0].set_exception(Unavailable("no answer"))
    with pytest.raises(Unavailable):
        await first
    await _settle()
    calls.begun[1].set_result(None)
    assert await late == 2


async def test_a_caller_that_is_cancelled_takes_the_answer_from_nobody() -> None:
    calls, flight = _Calls(), NextFlight[int]()
    first, second = (asyncio.create_task(flight.share(calls)) for _ in range(2))
    await _settle()
    first.cancel()
    calls.begun[0].set_result(None)
    assert await second == 1

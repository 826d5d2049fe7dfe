"""Requests to Resource Manager are spaced when it says that few are left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from azure.core.pipeline import AsyncPipeline
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import HttpRequest

from shared.adapters.pace import LOW, MAX_PACE, PER_SECOND, Pace, Paced


class _Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class _Answer:
    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.status_code = 200


class _Service(AsyncHttpTransport[Any, Any]):
    """Answers each request with the next of these numbers of requests that are left."""

    def __init__(self, left: Iterator[str], kind: str = "reads") -> None:
        self._left = left
        self._kind = kind

    async def send(self, request: Any, **_: Any) -> Any:
        return _Answer({f"x-ms-ratelimit-remaining-subscription-{self._kind}": next(self._left)})

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def __aenter__(self) -> _Service:
        return self

    async def __aexit__(self, *_: object) -> None: ...


async def _make(clock: _Clock, pace: Pace, method: str, left: list[str], kind: str = "reads") -> None:
    pipeline = AsyncPipeline(_Service(iter(left), kind), [Paced(pace, clock.sleep)])
    for _ in left:
        await pipeline.run(HttpRequest(method, "https://management.azure.com/x"))


async def test_nothing_waits_while_there_is_enough_or_nothing_is_said() -> None:
    clock = _Clock()
    pace = Pace(clock)
    await _make(
        clock, pace, "GET", ["", "no number", "9" * 5_000, "\u00b2", "-1", str(LOW + 3), str(LOW + 2)]
    )
    assert clock.slept == []


async def test_with_few_left_no_more_are_made_than_are_given_back() -> None:
    clock = _Clock()
    pace = Pace(clock)
    await _make(clock, pace, "GET", [str(LOW)] * 26)
    assert round(clock.now, 6) == 24 / PER_SECOND["reads"], "two go without a wait"
    clock.now += 60
    await _make(clock, pace, "GET", [str(LOW + 200)] * 3)
    before = len(clock.slept)
    await _make(clock, pace, "GET", [str(LOW + 200)] * 3)
    assert len(clock.slept) == before


async def test_reads_do_not_wait_for_writes_and_clients_share_one_pace() -> None:
    clock = _Clock()
    pace = Pace(clock)
    await _make(clock, pace, "PUT", ["3", "2"], kind="writes")
    await _make(clock, pace, "GET", ["200", "199"])
    assert clock.slept == []
    await _make(clock, pace, "PATCH", ["1"], kind="writes")
    assert len(clock.slept) == 1


async def test_a_request_that_would_wait_too_long_is_made() -> None:
    """The service says when to come back, and the message waits instead of the function."""
    pace = Pace(lambda: 0.0)
    pace.note("writes", "0")
    pauses = [pace.pause("writes") for _ in range(int(MAX_PACE * PER_SECOND["writes"]) + 5)]
    assert max(pauses) <= MAX_PACE
    assert pauses[-1] == 0.0

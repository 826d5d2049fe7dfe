"""The pace of requests to Azure Resource Manager, which says with each answer how many more it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy

from shared.calls import Kind, kind_of, number_in

#: What Resource Manager gives back in a second, of the requests of a principal in a subscription:
#: https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
PER_SECOND: Mapping[Kind, int] = {"reads": 25, "writes": 10, "deletes": 10}
#: With fewer requests left than this, no more are made than are given back.
LOW = 40
#: Seconds. A request that would have to wait longer is made, and the service says when to come back.
MAX_PACE = 10.0


class Pace:
    """When requests are made, so that no more are than Resource Manager takes: else many are refused (429),
    and each of them is made again.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._left: dict[Kind, int] = {}
        self._turn: dict[Kind, float] = {}

    def pause(self, kind: Kind) -> float:
        """Seconds until it is the turn of a request that would be made now."""
        left, now = self._left.get(kind), self._now()
        if left is None:
            return 0.0
        # The service has not counted those that are under way.
        self._left[kind] = left - 1
        if left > LOW:
            return 0.0
        turn = max(now, self._turn.get(kind, now))
        if turn - now > MAX_PACE:
            return 0.0
        self._turn[kind] = turn + 1 / PER_SECOND[kind]
        return turn - now

    def note(self, kind: Kind, left: str) -> None:
        """What the service says is left. Anything but a number of a sensible length says nothing."""
        number = number_in(left)
        if number is not None:
            self._left[kind] = number


def left_in(headers: Mapping[str, str], kind: Kind) -> str:
    """How many requests of a kind Resource Manager says are left; empty where it does not say."""
    return headers.get(f"x-ms-ratelimit-remaining-subscription-{kind}", "")


class Paced(AsyncHTTPPolicy[Any, Any]):
    """Makes the requests of a client at the pace that all clients share."""

    def __init__(self, pace: Pace, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        super().__init__()
        self._pace = pace
        self._sleep = sleep

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Wait for the request's turn, send it, and note what is left."""
        kind = kind_of(request.http_request.method)
        pause = self._pace.pause(kind)
        if pause > 0:
            await self._sleep(pause)
        response = await self.next.send(request)
        self._pace.note(kind, left_in(response.http_response.headers, kind))
        return response

"""Shares results among concurrent callers, and keeps recent ones."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """A cache of the most recently used values, for values that never change."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: str, value: V) -> V:
        self._values[key] = value
        if len(self._values) > self._most:
            self._values.popitem(last=False)
        return value


class SingleFlight(Generic[V]):
    """Concurrent callers with the same key share one result, or one failure. Results are not kept.

    A cancelled caller does not cancel the call for the others.
    """

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[V]] = {}

    async def share(self, key: str, ask: Callable[[], Awaitable[V]]) -> V:
        """The result of `ask`, which is called unless a call with this key is running."""
        if key not in self._running:
            task = self._running[key] = asyncio.create_task(_run(ask))
            task.add_done_callback(lambda done: self._end(key, done))
        return await asyncio.shield(self._running[key])

    def _end(self, key: str, task: asyncio.Task[V]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log an exception that no caller awaited


async def _run(ask: Callable[[], Awaitable[V]]) -> V:
    return await ask()

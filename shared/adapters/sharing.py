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
        _retrieve(task)


class NextFlight(Generic[V]):
    """Concurrent callers share a result that is not older than their question: whoever asks while a call is
    running waits for the next one, with all the others who ask meanwhile. Results are not kept.

    A cancelled caller does not cancel the call for the others.
    """

    def __init__(self) -> None:
        self._running: asyncio.Task[V] | None = None
        self._next: asyncio.Task[V] | None = None

    async def share(self, ask: Callable[[], Awaitable[V]]) -> V:
        """The result of a call of `ask` that begins from now on."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running, ask))
            self._next.add_done_callback(_retrieve)
        return await asyncio.shield(self._next)

    async def _after(self, running: asyncio.Task[V] | None, ask: Callable[[], Awaitable[V]]) -> V:
        if running is not None:
            await asyncio.wait([running])
        self._running, self._next = self._next, None
        return await ask()


async def _run(ask: Callable[[], Awaitable[V]]) -> V:
    return await ask()


def _retrieve(task: asyncio.Task[V]) -> None:
    """Retrieve the exception, so that asyncio does not log one that no caller awaited."""
    if not task.cancelled():
        task.exception()
